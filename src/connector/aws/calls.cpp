// SPDX-License-Identifier: Apache-2.0
#include "connector/aws/calls.h"

#include <boost/asio/as_tuple.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <optional>
#include <unordered_map>

namespace sluice::connector::aws {

namespace asio = boost::asio;

// Outlives its owner in answers that are still on their way to the strand. Only touched there.
struct Calls::State {
  struct Running {
    std::uint64_t handle = 0;
    Done done;
  };
  std::uint64_t last = 0;
  bool stopped = false;
  std::unordered_map<std::uint64_t, Running> running;
};

Calls::Calls(asio::any_io_executor executor, HttpClient& http)
    : executor_(std::move(executor)), http_(http), state_(std::make_shared<State>()) {}

Calls::~Calls() {
  stop();
}

void Calls::start(HttpRequest request, Done done) {
  if (state_->stopped) return done(Error{ErrorKind::cancelled, "the connection is being closed"});
  auto number = ++state_->last;
  auto& running = state_->running[number];
  running.done = std::move(done);
  running.handle = http_.send(std::move(request), [weak = std::weak_ptr<State>(state_), executor = executor_,
                                                   number](Result<HttpResponse> result) {
    asio::post(executor, [weak, number, result = std::move(result)]() mutable {
      auto state = weak.lock();
      if (!state) return;
      auto found = state->running.find(number);
      if (found == state->running.end()) return;
      auto ended = std::move(found->second.done);
      state->running.erase(found);
      ended(std::move(result));
    });
  });
}

asio::awaitable<Result<HttpResponse>> Calls::run(HttpRequest request) {
  // Shared, since the answer may come after the coroutine was destroyed.
  struct Answer {
    asio::steady_timer arrived;
    std::optional<Result<HttpResponse>> result;
  };
  auto answer = std::make_shared<Answer>(
      Answer{asio::steady_timer(executor_, asio::steady_timer::time_point::max()), std::nullopt});
  start(std::move(request), [answer](Result<HttpResponse> result) {
    answer->result = std::move(result);
    answer->arrived.cancel();
  });
  if (!answer->result) co_await answer->arrived.async_wait(asio::as_tuple(asio::use_awaitable));
  if (!answer->result) co_return Error{ErrorKind::cancelled, "given up"};
  co_return std::move(*answer->result);
}

void Calls::stop() {
  state_->stopped = true;
  auto running = std::exchange(state_->running, {});
  for (auto& [number, call] : running) {
    http_.cancel(call.handle);
    call.done(Error{ErrorKind::cancelled, "the connection is being closed"});
  }
}

}  // namespace sluice::connector::aws
