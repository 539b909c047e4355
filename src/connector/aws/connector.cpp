// SPDX-License-Identifier: Apache-2.0
// AWS IoT Core (spec connectors.md 6.1): messages by HTTPS, one request each; commands by MQTT sessions; a thing for
// each device. Requests go through the process' shared client, which keeps its sockets alive; an opened connection is
// lost when one of its MQTT sessions is.
#include "connector/connector.h"

#include <algorithm>
#include <array>
#include <boost/asio/buffer.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/use_awaitable.hpp>

#include "base/codec.h"
#include "base/crypto.h"
#include "connector/aws/calls.h"
#include "connector/aws/configuration.h"
#include "connector/aws/sessions.h"
#include "net/dial.h"

namespace sluice::connector::aws {
namespace {

using boost::asio::awaitable;
using net::mqtt::Client;
using net::mqtt::Incoming;
using std::chrono::milliseconds;

// As many as the HTTP client has connections for one host: at 10 ms a request these are 6,400 messages a second.
constexpr std::size_t kMaxInFlight = 64;
constexpr std::size_t kMaxBody = 128 * 1024;
// AWS's own limit of what an account may publish a second over HTTPS is higher; the figure is the spec's.
constexpr std::uint64_t kUsualRate = 1000;
// Of open(), below the 30 s it may take.
constexpr std::chrono::seconds kOpenLimit{28};
constexpr milliseconds kRegistryLimit{5000};

class AwsConnector : public Connector {
 public:
  AwsConnector(Settings settings, Host& host)
      : host_(host), configuration_(Configuration::read(settings, host)), calls_(host.executor(), host.http()) {
    if (!configuration_) return;
    const auto& text = configuration_->uplink_topic.text();
    if (text.find_first_of("{}") == std::string::npos) fixed_topic_ = text;
    things_ = std::make_unique<Things>(host, host.kept(), configuration_->things);
  }

  ~AwsConnector() override {
    forget_sessions();
    if (things_) things_->stop();
    calls_.stop();
  }

  awaitable<Result<void>> open() override {
    if (!configuration_) co_return configuration_.error();
    open_until_ = host_.clock().steady() + kOpenLimit;
    auto reached = co_await reach();
    if (!reached) co_return reached;
    host_.authenticating();
    for (std::size_t i = 0; configuration_->subscribes && i < configuration_->sessions; ++i) {
      auto joined = co_await open_session(i);
      if (!joined) co_return joined;
    }
    auto begun = co_await things_->begin(std::min(kRegistryLimit, step_limit()));
    if (!begun) co_return begun;
    bool all_open =
        std::all_of(sessions_.begin(), sessions_.end(), [](const ClientPtr& session) { return session->is_open(); });
    if (stopped_) co_return closed_early();
    if (!all_open) co_return Error{ErrorKind::not_connected, "AWS closed the session for commands at once"};
    open_ = true;
    co_return Result<void>();
  }

  void send(Delivery delivery) override {
    auto topic = fixed_topic_.empty()
                     ? configuration_->uplink_topic.render(delivery.document(), message::Place::mqtt_topic)
                     : Result<std::string>(fixed_topic_);
    if (!topic) return delivery.settle(topic.error());
    if (auto checked = check_topic(*topic); !checked) return delivery.settle(checked.error());
    if (delivery.body().size() > kMaxBody) {
      return delivery.settle(Error{ErrorKind::permanent, "the message has " + std::to_string(delivery.body().size()) +
                                                             " bytes, AWS takes 131072 at most"});
    }
    const auto& device = delivery.message().dev_eui;
    // A trial makes nothing.
    if (device.empty() || host_.trial() || things_->is_ready(device)) return post(std::move(delivery), *topic);
    auto name = device;
    auto kept = std::make_shared<Delivery>(std::move(delivery));
    things_->ensure(name, [this, kept, topic = std::move(*topic)](Result<void> provided) {
      if (!provided) return kept->settle(std::move(provided));
      post(std::move(*kept), topic);
    });
  }

  awaitable<void> close() override {
    open_ = false;
    stopped_ = true;
    end_dial();
    if (things_) things_->stop();
    calls_.stop();
    co_await close_all(host_.executor(), sessions_);
  }

  [[nodiscard]] std::optional<Peer> peer() const override {
    if (!configuration_ || !configuration_->post.proxy.empty()) return std::nullopt;
    const auto& post = configuration_->post;
    return Peer{configuration_->data.host,
                configuration_->data.port,
                true,
                true,
                post.ca_pem,
                post.certificate_pem,
                post.key_pem};
  }

  [[nodiscard]] std::size_t max_in_flight() const override { return kMaxInFlight; }
  [[nodiscard]] std::uint64_t usual_rate() const override { return kUsualRate; }

 private:
  static Error closed_early() { return {ErrorKind::cancelled, "closed before it was opened"}; }

  // What is left of open() for its next step.
  [[nodiscard]] milliseconds step_limit() const {
    auto left = std::chrono::duration_cast<milliseconds>(open_until_ - host_.clock().steady());
    return std::clamp(configuration_->connect_timeout, milliseconds(1), std::max(left, milliseconds(1)));
  }

  // Whether the endpoint answers and takes our certificate or signature: asks for something that publishes nothing. Not
  // by a handshake alone, since with TLS 1.3 a refused certificate shows behind it. What it answers matters little, as
  // the rights to publish say nothing of the right to look at retained messages.
  awaitable<Result<void>> reach() {
    auto answer = co_await ask_for_anything();
    if (!answer) {
      if (auto refusal = co_await refusal_of_certificate(answer.error())) co_return *refusal;
      co_return verdict_of(answer.error());
    }
    if (is_credential_fault(*answer) || answer->status == 407) co_return verdict_of(*answer);
    co_return Result<void>();
  }

  // With TLS 1.3 a server refuses our certificate behind the handshake and closes; to who is sending then its reason is
  // lost. Who says nothing reads it.
  awaitable<std::optional<Error>> refusal_of_certificate(const Error& failure) {
    constexpr milliseconds kMost{1000};
    if (failure.kind != ErrorKind::not_connected || configuration_->signs || stopped_) co_return std::nullopt;
    auto options = configuration_->client.transport;
    options.host = configuration_->data.host;
    options.port = configuration_->data.port;
    options.alpn.clear();
    dial_ = std::make_unique<net::Dial>(host_.executor(), std::move(options));
    boost::asio::steady_timer limit(host_.executor(), std::min(kMost, step_limit()));
    limit.async_wait([this](boost::system::error_code ec) {
      if (!ec) end_dial();
    });
    std::string phase;
    auto made = co_await dial_->run(phase, kMost);
    std::optional<Error> refusal;
    if (made) {
      asked_ = std::move(*made);
      std::array<char, 1> byte{};
      auto [ec, count] = co_await asked_->read(boost::asio::buffer(byte));
      if (ec) refusal = net::transport_error(ec).wrap("requesting " + configuration_->data.authority());
    } else {
      refusal = made.error().wrap(phase);
    }
    limit.cancel();
    asked_.reset();
    dial_.reset();
    if (refusal && refusal->kind != ErrorKind::bad_config) refusal.reset();
    co_return refusal;
  }

  void end_dial() {
    if (dial_) dial_->cancel();
    if (asked_) asked_->abort();
  }

  awaitable<Result<HttpResponse>> ask_for_anything() {
    auto request = configuration_->post;
    request.method = "GET";
    request.timeout = request.connect_timeout = step_limit();
    finish(request, "/retainedMessage", {{"maxResults", "1"}});
    co_return co_await calls_.run(std::move(request));
  }

  awaitable<Result<void>> open_session(std::size_t number) {
    if (stopped_) co_return closed_early();
    auto options = configuration_->client;
    auto group = options.client_id;
    if (number > 0) options.client_id += "-" + std::to_string(number + 1);
    options.connect_timeout = step_limit();
    if (configuration_->signs) options.transport.path = signed_path(options.transport);
    auto session = Client::make(host_.executor(), std::move(options));
    sessions_.push_back(session);
    session->on_message = [this](const Incoming& incoming) { received(incoming); };
    session->on_lost = [this](Error error) { lost(std::move(error)); };
    auto connected = co_await session->connect();
    if (!connected) co_return connected.error().wrap("the session for commands");
    auto filter = configuration_->downlink_topic.subscription('/', "+");
    if (configuration_->sessions > 1) filter = "$share/" + share_name(std::move(group)) + "/" + filter;
    auto granted = co_await session->subscribe(std::move(filter), 1);
    if (!granted) co_return granted.error().wrap("the session for commands");
    co_return Result<void>();
  }

  // Sessions of one group get each command once among them.
  static std::string share_name(std::string name) {
    std::replace_if(
        name.begin(), name.end(), [](char c) { return c == '/' || c == '+' || c == '#'; }, '_');
    return name;
  }

  std::string signed_path(const net::TransportOptions& transport) {
    SignedRequest request;
    request.path = "/mqtt";
    request.headers = {{"Host", Endpoint{transport.host, transport.port}.authority()}};
    auto query =
        configuration_->gateway_signer.presign(std::move(request), host_.clock().now(), 0, Signer::Token::is_added);
    return "/mqtt?" + query;
  }

  void post(Delivery delivery, const std::string& topic) {
    auto request = configuration_->post;
    request.body = delivery.take_body();
    request.headers.emplace_back("Content-Type", "application/json");
    finish(request, "/topics/" + url_encode(topic), {{"qos", std::to_string(configuration_->qos)}});
    auto kept = std::make_shared<Delivery>(std::move(delivery));
    calls_.start(std::move(request), [kept](Result<HttpResponse> result) {
      if (result && (result->status < 200 || result->status > 299)) kept->answered(result->status, result->body);
      kept->settle(result ? verdict_of(*result) : Result<void>(verdict_of(result.error())));
    });
  }

  // The URL, and the signature where there is no certificate.
  void finish(HttpRequest& request, const std::string& path, SignedRequest::Pairs query) {
    auto authority = configuration_->data.authority();
    request.url = "https://" + authority + path + "?" + query_text(query);
    if (!configuration_->signs) return;
    SignedRequest to_sign{request.method, path, std::move(query), {{"Host", authority}}, {}};
    if (!request.body.empty()) to_sign.body_sha256 = to_hex(sha256(request.body));
    for (auto& header : configuration_->data_signer.sign(std::move(to_sign), host_.clock().now()))
      request.headers.push_back(std::move(header));
  }

  void received(const Incoming& incoming) {
    Received command;
    command.body = incoming.payload;
    command.acknowledge = incoming.acknowledge;
    if (auto values = configuration_->downlink_topic.capture(incoming.topic, '/')) {
      if (auto found = values->find("DevEUI"); found != values->end()) command.dev_eui = found->second;
    }
    host_.received(std::move(command));
  }

  void lost(Error error) {
    // During open() its result tells.
    if (std::exchange(open_, false)) host_.lost(error.wrap("the session for commands"));
  }

  void forget_sessions() {
    for (const auto& session : sessions_) {
      session->on_message = nullptr;
      session->on_lost = nullptr;
    }
  }

  Host& host_;
  Result<Configuration> configuration_;
  Calls calls_;
  std::unique_ptr<Things> things_;
  std::vector<ClientPtr> sessions_;
  std::unique_ptr<net::Dial> dial_;        // while a refusal is looked into
  std::unique_ptr<net::Transport> asked_;  // then
  std::string fixed_topic_;                // where it is the same for every message
  std::chrono::steady_clock::time_point open_until_;
  bool open_ = false, stopped_ = false;
};

}  // namespace

std::unique_ptr<Connector> make(Settings settings, Host& host) {
  return std::make_unique<AwsConnector>(std::move(settings), host);
}

}  // namespace sluice::connector::aws
