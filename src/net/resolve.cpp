// SPDX-License-Identifier: Apache-2.0
#include "net/resolve.h"

#include <boost/asio/as_tuple.hpp>
#include <boost/asio/execution/context.hpp>
#include <boost/asio/ip/address.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <condition_variable>
#include <cstring>
#include <deque>
#include <functional>
#include <mutex>
#include <netdb.h>
#include <thread>
#include <unordered_map>

namespace sluice::net {
namespace {

namespace asio = boost::asio;
using asio::ip::tcp;
using Endpoints = std::vector<tcp::endpoint>;

Result<Endpoints> look_up(const std::string& host, std::uint16_t port) {
  addrinfo hints{};
  hints.ai_family = AF_UNSPEC;
  hints.ai_socktype = SOCK_STREAM;
  hints.ai_flags = AI_ADDRCONFIG;
  addrinfo* list = nullptr;
  int failed = getaddrinfo(host.c_str(), nullptr, &hints, &list);
  if (failed) return Error{ErrorKind::not_connected, gai_strerror(failed)};
  std::unique_ptr<addrinfo, decltype(&freeaddrinfo)> owner(list, freeaddrinfo);
  Endpoints endpoints;
  for (auto* entry = list; entry; entry = entry->ai_next) {
    tcp::endpoint endpoint;
    if (entry->ai_addrlen > endpoint.capacity()) continue;
    std::memcpy(endpoint.data(), entry->ai_addr, entry->ai_addrlen);
    endpoint.resize(entry->ai_addrlen);
    endpoint.port(port);
    endpoints.push_back(endpoint);
  }
  if (endpoints.empty()) return Error{ErrorKind::not_connected, "the name has no address"};
  return endpoints;
}

// Threads that end themselves when idle. They are detached, since a look-up can't be interrupted: what they share
// outlives the context, and after shutdown() they touch nothing of it.
class ResolverThreads : public asio::execution_context::service {
 public:
  using key_type = ResolverThreads;
  static inline asio::execution_context::id id;
  using Done = std::function<void(Result<Endpoints>)>;

  explicit ResolverThreads(asio::execution_context& context) : service(context) {}

  void add(std::string host, std::uint16_t port, Done done) {
    auto& shared = *shared_;
    std::lock_guard lock(shared.mutex);
    auto number = ++shared.last;
    shared.done.emplace(number, std::move(done));
    shared.jobs.push_back({std::move(host), port, number});
    if (shared.idle >= shared.jobs.size() || shared.threads >= kMaxThreads) {
      shared.changed.notify_one();
      return;
    }
    ++shared.threads;
    std::thread([kept = shared_] { work(*kept); }).detach();
  }

 private:
  static constexpr std::size_t kMaxThreads = 16;
  struct Job {
    std::string host;
    std::uint16_t port;
    std::uint64_t number;
  };
  struct Shared {
    std::mutex mutex;
    std::condition_variable changed;
    std::deque<Job> jobs;
    std::unordered_map<std::uint64_t, Done> done;  // of jobs waiting or running; they hold executors of the context
    std::uint64_t last = 0;
    std::size_t threads = 0, idle = 0;
    bool stopped = false;
  };

  static void work(Shared& shared) {
    std::unique_lock lock(shared.mutex);
    for (;;) {
      ++shared.idle;
      shared.changed.wait_for(lock, std::chrono::seconds(10), [&] { return shared.stopped || !shared.jobs.empty(); });
      --shared.idle;
      if (shared.stopped || shared.jobs.empty()) break;
      Job job = std::move(shared.jobs.front());
      shared.jobs.pop_front();
      lock.unlock();
      auto result = look_up(job.host, job.port);
      lock.lock();
      // Under the lock, so that shutdown() can't pass between the check and the post.
      auto found = shared.done.find(job.number);
      if (found == shared.done.end()) break;
      found->second(std::move(result));
      shared.done.erase(found);
    }
    --shared.threads;
  }

  void shutdown() override {
    decltype(Shared::done) dropped;
    {
      std::lock_guard lock(shared_->mutex);
      shared_->stopped = true;
      shared_->jobs.clear();
      dropped.swap(shared_->done);
    }
    shared_->changed.notify_all();
  }

  std::shared_ptr<Shared> shared_ = std::make_shared<Shared>();
};

}  // namespace

struct Resolution::Answer {
  explicit Answer(const asio::any_io_executor& executor) : arrived(executor) {}
  asio::steady_timer arrived;  // cancelled when there is an answer: an event with a time limit
  std::optional<Result<Endpoints>> result;
};

Resolution::Resolution(const asio::any_io_executor& executor)
    : executor_(executor), answer_(std::make_shared<Answer>(executor)) {}

asio::awaitable<Result<Endpoints>> Resolution::run(std::string host, std::uint16_t port,
                                                   std::chrono::milliseconds limit) {
  boost::system::error_code ec;
  auto address = asio::ip::make_address(host, ec);
  if (!ec) co_return Endpoints{tcp::endpoint(address, port)};
  auto answer = answer_;
  answer->arrived.expires_after(limit);
  auto& threads = asio::use_service<ResolverThreads>(asio::query(executor_, asio::execution::context));
  // The thread holds the answer weakly: the context may be gone before the look-up ends.
  threads.add(host, port, [executor = executor_, weak = std::weak_ptr<Answer>(answer)](Result<Endpoints> result) {
    asio::post(executor, [weak, result = std::move(result)]() mutable {
      auto answer = weak.lock();
      if (!answer || answer->result) return;
      answer->result = std::move(result);
      answer->arrived.cancel();
    });
  });
  if (!answer->result) co_await answer->arrived.async_wait(asio::as_tuple(asio::use_awaitable));
  if (!answer->result)
    answer->result = Error{ErrorKind::not_connected, "no answer within " + std::to_string(limit.count()) + " ms"};
  co_return std::move(*answer->result);
}

void Resolution::cancel() {
  if (!answer_->result) answer_->result = Error{ErrorKind::cancelled, "given up"};
  answer_->arrived.cancel();
}

}  // namespace sluice::net
