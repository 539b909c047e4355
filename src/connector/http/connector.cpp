// SPDX-License-Identifier: Apache-2.0
// HTTP POST of each message (spec connectors.md 3.1). There is no connection to keep: opening tries whether the
// endpoint can be reached, sending goes through the process' shared client, which keeps its sockets alive.
#include "connector/connector.h"

#include <boost/asio/as_tuple.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <unordered_map>

#include "base/codec.h"
#include "connector/address.h"
#include "connector/http/request.h"

namespace sluice::connector::http {
namespace {

namespace asio = boost::asio;

constexpr std::size_t kMaxInFlight = 64;

class HttpConnector : public Connector {
 public:
  HttpConnector(Settings settings, Host& host)
      : host_(host), plan_(Plan::read(settings, host.connection_id())), state_(std::make_shared<State>()) {}

  ~HttpConnector() override { stop(); }

  asio::awaitable<Result<void>> open() override {
    if (!plan_) co_return plan_.error();
    auto origin = fixed_origin(plan_->url);
    if (origin.empty()) co_return Result<void>();
    HttpRequest request = plan_->base;
    request.url = origin;
    request.connect_only = true;
    if (host_.trial()) ask_for_head(request);
    if (state_->stopped) co_return Error{ErrorKind::cancelled, "closed before it was opened"};
    // Shared, since the answer may come after this coroutine was destroyed.
    struct Answer {
      asio::steady_timer arrived;
      std::optional<Result<HttpResponse>> result;
    };
    auto answer = std::make_shared<Answer>(
        Answer{asio::steady_timer(host_.executor(), asio::steady_timer::time_point::max()), std::nullopt});
    start(std::move(request), [answer](Result<HttpResponse> result) {
      answer->result = std::move(result);
      answer->arrived.cancel();
    });
    co_await answer->arrived.async_wait(asio::as_tuple(asio::use_awaitable));
    if (!answer->result) co_return Error{ErrorKind::cancelled, "given up"};
    if (!*answer->result) co_return verdict_of(answer->result->error());
    if (answer->result->value().status == 401) {
      co_return Error{ErrorKind::bad_config, "the endpoint answers 401 (unauthorised) to a HEAD request"};
    }
    co_return Result<void>();
  }

  [[nodiscard]] std::optional<Peer> peer() const override {
    if (!plan_ || !plan_->base.proxy.empty()) return std::nullopt;
    auto origin = fixed_origin(plan_->url);
    Peer peer;
    peer.http = true;
    peer.tls = equals_ignoring_case(std::string_view(origin).substr(0, 8), "https://");
    auto start = origin.find("://");
    if (start == std::string::npos) return std::nullopt;
    auto authority = origin.substr(start + 3);
    if (auto user = authority.rfind('@'); user != std::string::npos) authority.erase(0, user + 1);
    auto address = parse_address(authority);
    if (!address) return std::nullopt;
    peer.host = address->host;
    std::uint16_t usual = peer.tls ? 443 : 80;
    peer.port = address->port ? address->port : usual;
    peer.ca_pem = plan_->base.ca_pem;
    peer.certificate_pem = plan_->base.certificate_pem;
    peer.key_pem = plan_->base.key_pem;
    return peer;
  }

  void send(Delivery delivery) override {
    auto request = make_request(*plan_, delivery, host_.clock().now());
    if (!request) return delivery.settle(request.error());
    request->body = delivery.take_body();
    auto kept = std::make_shared<Delivery>(std::move(delivery));
    start(std::move(*request), [kept, strict = plan_->strict](Result<HttpResponse> result) {
      if (result && (result->status < 200 || result->status > 299)) kept->answered(result->status, result->body);
      kept->settle(result ? verdict_of(*result, strict) : Result<void>(verdict_of(result.error())));
    });
  }

  asio::awaitable<void> close() override {
    stop();
    co_return;
  }

  [[nodiscard]] std::size_t max_in_flight() const override { return kMaxInFlight; }

 private:
  // A trial sends no message, but may ask: wrong credentials show in the answer. Only with what is the same for every
  // message.
  void ask_for_head(HttpRequest& request) const {
    auto url = plan_->url.text();
    if (url.find_first_of("{}") != std::string::npos) return;
    request.connect_only = false;
    request.method = "HEAD";
    request.url = url;
    for (const auto& [name, pattern] : plan_->headers) {
      if (pattern.text().find_first_of("{}") == std::string::npos) request.headers.emplace_back(name, pattern.text());
    }
  }

  using Done = std::function<void(Result<HttpResponse>)>;
  // Outlives the connector in answers that are still on their way to the strand. Only touched there.
  struct State {
    std::uint64_t last = 0;
    bool stopped = false;
    struct Running {
      std::uint64_t handle = 0;
      Done done;
    };
    std::unordered_map<std::uint64_t, Running> running;
  };

  void start(HttpRequest request, Done done) {
    auto number = ++state_->last;
    auto& running = state_->running[number];
    running.done = std::move(done);
    running.handle = host_.http().send(
        std::move(request),
        [weak = std::weak_ptr<State>(state_), executor = host_.executor(), number](Result<HttpResponse> result) {
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

  void stop() {
    state_->stopped = true;
    auto running = std::exchange(state_->running, {});
    for (auto& [number, exchange] : running) {
      host_.http().cancel(exchange.handle);
      exchange.done(Error{ErrorKind::cancelled, "the connection is being closed"});
    }
  }

  Host& host_;
  Result<Plan> plan_;
  std::shared_ptr<State> state_;
};

}  // namespace

std::unique_ptr<Connector> make(Settings settings, Host& host) {
  return std::make_unique<HttpConnector>(std::move(settings), host);
}

}  // namespace sluice::connector::http
