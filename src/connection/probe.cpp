// SPDX-License-Identifier: Apache-2.0
#include "connection/probe.h"

#include <boost/asio/co_spawn.hpp>
#include <boost/asio/dispatch.hpp>
#include <boost/asio/redirect_error.hpp>
#include <boost/asio/use_awaitable.hpp>

#include "base/crypto.h"
#include "base/json.h"
#include "connection/certificates.h"

namespace sluice::connection {
namespace {

namespace asio = boost::asio;
using asio::awaitable;

class Trial final : public connector::Host, public std::enable_shared_from_this<Trial> {
 public:
  Trial(Shared& shared, const store::Connection& draft, std::string uplink, std::function<void(TestReport)> done)
      : shared_(shared),
        strand_(asio::make_strand(shared.executor)),
        woken_(strand_),
        id_("test-" + random_uuid().substr(0, 8)),
        account_(draft.account),
        resource_(draft.resource),
        uplink_(std::move(uplink)),
        done_(std::move(done)) {
    ++shared.trials->running;
    const auto* configuration = json::find(draft.resource, "configuration");
    configuration_ = connector::join_secrets(
        configuration && configuration->is_object() ? configuration->get_object() : boost::json::object(),
        draft.secrets);
  }

  ~Trial() override {
    connector_.reset();  // while what it refers to is there
    --trials_->running;
  }
  Trial(const Trial&) = delete;
  Trial& operator=(const Trial&) = delete;

  void start() {
    auto run = [self = shared_from_this()]() -> awaitable<void> { co_await self->run(); };
    asio::co_spawn(strand_, std::move(run), [self = shared_from_this()](std::exception_ptr failure) {
      if (failure) self->fail("connect", Error{ErrorKind::not_connected, "the trial failed"}, {});
      self->finish();
    });
  }

  // connector::Host
  asio::any_io_executor executor() override { return strand_; }
  Clock& clock() override { return shared_.clock; }
  HttpClient& http() override { return shared_.http; }
  std::string connection_id() override { return id_; }
  void authenticating() override {}
  void lost(Error error) override {
    if (!lost_) lost_ = std::move(error);
    woken_.cancel();
  }
  void received(connector::Received command) override {
    // Not ours to handle: the running connection gets its own copy.
    if (command.acknowledge) command.acknowledge();
  }
  void notice(connector::Notice) override {}  // what matters here is in the verdicts
  std::shared_ptr<void>& kept() override { return kept_; }
  std::string server_setting(std::string_view name) override {
    const auto* descriptor = shared_.registry.find(json::text_or(resource_, "connectorId"));
    return descriptor ? descriptor->server_setting(name, shared_.connector_settings) : "";
  }
  [[nodiscard]] bool trial() const override { return true; }

 private:
  using Time = std::chrono::steady_clock::time_point;

  awaitable<void> run() {
    until_ = std::chrono::steady_clock::now() + kTrialLimit;
    const auto* descriptor = shared_.registry.find(json::text_or(resource_, "connectorId"));
    if (!descriptor) {
      fail("connect", Error{ErrorKind::bad_config, "there is no such connector in this build"}, {});
      co_return;
    }
    auto schema = descriptor->schema_for(json::text_or(resource_, "brand"));
    connector_ = descriptor->make(connector::Settings(schema, configuration_), *this);
    if (auto peer = connector_->peer()) {
      auto view = co_await look_at_network(strand_, *peer, shared_.clock.now(), true);
      report_.steps = std::move(view.steps);
      network_seen_ = true;
      if (view.error) {
        report_.state = view.error->kind == ErrorKind::bad_config ? State::authentication_failed : State::unreachable;
        co_return;
      }
    }
    if (co_await open()) co_await publish();
    co_await close();
  }

  awaitable<bool> open() {
    auto started = std::chrono::steady_clock::now();
    auto opening = connector_->open();
    asio::co_spawn(strand_, std::move(opening),
                   [self = shared_from_this()](std::exception_ptr failure, Result<void> result) {
                     if (failure) result = Error{ErrorKind::not_connected, "opening failed"};
                     self->opened_ = std::move(result);
                     self->woken_.cancel();
                   });
    while (!opened_ && std::chrono::steady_clock::now() < until_ && !trials_->stopping)
      co_await wait(until_);
    Result<void> result = opened_ ? *opened_ : Result<void>(Error{ErrorKind::not_connected, "no answer in time"});
    const char* name = network_seen_ ? "authenticate" : "connect";
    if (!result) {
      fail(name, result.error(), started);
      co_return false;
    }
    add(name, true, "the peer accepts the connection", started);
    co_return true;
  }

  awaitable<void> publish() {
    auto started = std::chrono::steady_clock::now();
    report_.state = State::opened;
    if (uplink_.empty()) {
      add("publish", true, "not tried, since no message is sent without \"uplink\" in the request", started);
      report_.ok = true;
      co_return;
    }
    auto delivery = make_delivery();
    if (!delivery) {
      fail("publish", delivery.error(), started);
      co_return;
    }
    connector_->try_out(std::move(*delivery));
    while (!verdict_ && !lost_ && std::chrono::steady_clock::now() < until_ && !trials_->stopping)
      co_await wait(until_);
    if (!verdict_ && lost_) verdict_ = *lost_;
    if (!verdict_) verdict_ = Error{ErrorKind::not_connected, "no answer in time"};
    if (!*verdict_) {
      fail("publish", verdict_->error(), started);
      co_return;
    }
    add("publish", true, "the peer took the message", started);
    report_.ok = true;
  }

  // The message as the pump would send it.
  Result<connector::Delivery> make_delivery() {
    auto message = message::parse_report(uplink_);
    if (!message) return message.error().wrap("uplink");
    message->account = account_;
    message->arrived = shared_.clock.now();
    auto kept = std::make_shared<const message::Message>(std::move(*message));
    auto document = std::make_shared<const std::string>(message::compose(*kept, nullptr, ""));
    message::Format format;
    format.send_metadata = json::bool_or(configuration_, "sendMetadata", false);
    format.send_raw_decoded_format = json::bool_or(configuration_, "sendRawDecodedFormat", false);
    auto body = message::format_for(format, *kept, nullptr, "");
    if (!body) return Error{ErrorKind::permanent, "the connection's format does not send messages of this type"};
    return connector::Delivery(kept, document, std::move(*body), [self = shared_from_this()](Result<void> verdict) {
      asio::dispatch(self->strand_, [self, verdict = std::move(verdict)] {
        if (!self->verdict_) self->verdict_ = verdict;
        self->woken_.cancel();
      });
    });
  }

  awaitable<void> close() {
    // The answer need not wait for the farewell.
    finish();
    auto closing = connector_->close();
    bool closed = false;
    auto limit = std::chrono::steady_clock::now() + std::chrono::seconds(10);
    asio::co_spawn(strand_, std::move(closing), [self = shared_from_this(), &closed](std::exception_ptr) {
      closed = true;
      self->woken_.cancel();
    });
    // A connector that never ends closing or opening must outlive this coroutine: both hold us, and we hold it.
    while (!closed || !opened_) {
      co_await wait(limit);
      limit = std::chrono::steady_clock::now() + std::chrono::seconds(10);
    }
  }

  awaitable<void> wait(Time until) {
    constexpr std::chrono::milliseconds kLook{200};  // for the end of the process
    woken_.expires_at(std::min(until, std::chrono::steady_clock::now() + kLook));
    boost::system::error_code ignored;
    co_await woken_.async_wait(asio::redirect_error(asio::use_awaitable, ignored));
  }

  void add(const char* name, bool ok, std::string message, Time started) {
    auto ms = started == Time()
                  ? std::chrono::milliseconds(0)
                  : std::chrono::duration_cast<std::chrono::milliseconds>(std::chrono::steady_clock::now() - started);
    report_.steps.push_back({name, ok, ms.count(), std::move(message)});
  }

  void fail(const char* name, const Error& error, Time started) {
    std::string hint;
    bool publishing = std::string_view(name) == "publish";
    if (error.kind == ErrorKind::bad_config) {
      report_.state = State::authentication_failed;
      hint = publishing
                 ? ": give these credentials the right to publish, or change the topic or URL"
                 : ": check user name, password, key and certificate, and that they may connect with a client id "
                   "of this test";
    } else if (error.kind == ErrorKind::permanent) {
      report_.state = State::opened;
      hint = ": the peer or the configuration refuses this very message";
    } else {
      report_.state = State::unreachable;
      hint = publishing ? ": the peer does not answer" : ": check that the port speaks this protocol";
    }
    report_.ok = false;
    add(name, false, error.text + hint, started);
  }

  void finish() {
    if (done_) std::exchange(done_, nullptr)(report_);
  }

  Shared& shared_;
  std::shared_ptr<Trials> trials_ = shared_.trials;
  asio::strand<asio::any_io_executor> strand_;
  asio::steady_timer woken_;
  const std::string id_, account_;
  boost::json::object resource_, configuration_;  // secrets included
  std::string uplink_;
  std::function<void(TestReport)> done_;
  TestReport report_{.state = State::unreachable};
  std::unique_ptr<connector::Connector> connector_;
  bool network_seen_ = false;
  std::optional<Result<void>> opened_, verdict_;
  std::optional<Error> lost_;
  std::shared_ptr<void> kept_;
  Time until_;
};

}  // namespace

void try_connection(Shared& shared, const store::Connection& draft, std::string uplink,
                    std::function<void(TestReport)> done) {
  std::make_shared<Trial>(shared, draft, std::move(uplink), std::move(done))->start();
}

}  // namespace sluice::connection
