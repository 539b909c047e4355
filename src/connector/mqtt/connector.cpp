// SPDX-License-Identifier: Apache-2.0
// MQTT 3.1.1 and 5 (spec connectors.md 3.2). The protocol is in client.h; here is what makes a connection of it:
// settings in, topics by pattern, verdicts out.
#include "connector/connector.h"

#include <algorithm>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/use_awaitable.hpp>

#include "connector/address.h"
#include "connector/mqtt/leaves.h"
#include "connector/pem.h"
#include "net/mqtt_client.h"

namespace sluice::connector::mqtt {
namespace {

using net::Protocol;
using net::TransportOptions;
using net::mqtt::Client;
using net::mqtt::ClientOptions;
using net::mqtt::Incoming;
using net::mqtt::kVersion311;
using net::mqtt::kVersion5;
using net::mqtt::Properties;

constexpr std::size_t kMaxInFlight = 1000;
// Each message is many publishes then.
constexpr std::size_t kMaxInFlightByField = 16;

struct Configuration {
  ClientOptions client;
  message::Pattern uplink_topic, downlink_topic;
  bool subscribes = false;
  int qos = 1;
  bool retain = false, field_as_topic = false;
};

Error bad_config(std::string text) {
  return {ErrorKind::bad_config, std::move(text)};
}

Result<std::string> pem(const Settings& settings, const char* name) {
  auto text = normalise_pem(settings.text(name));
  if (!text) return text.error().wrap(name);
  return text;
}

Result<TransportOptions> read_transport(const Settings& settings) {
  TransportOptions out;
  auto protocol = settings.text("protocol");
  out.protocol = protocol == "TCP" ? Protocol::tcp : protocol == "WSS" ? Protocol::wss : Protocol::ssl;
  auto address = parse_address(settings.text("hostName"));
  if (!address) return address.error().wrap("hostName");
  out.host = address->host;
  std::uint16_t usual = out.protocol == Protocol::tcp ? 1883 : out.protocol == Protocol::ssl ? 8883 : 443;
  out.port = address->port ? address->port : usual;
  if (!address->path.empty() && address->path != "/") out.path = address->path;
  if (out.protocol == Protocol::tcp) return out;
  const char* ca_name = settings.has("trustedCaCertficate") ? "trustedCaCertficate" : "trustedCaCertificate";
  auto ca = pem(settings, ca_name), certificate = pem(settings, "certificate"), key = pem(settings, "privateKey");
  for (const auto* text : {&ca, &certificate, &key}) {
    if (!*text) return text->error();
  }
  if (certificate->empty() != key->empty())
    return bad_config("certificate and privateKey belong together: one is missing");
  out.ca_pem = *ca;
  out.certificate_pem = *certificate;
  out.key_pem = *key;
  return out;
}

Result<Configuration> read_configuration(const Settings& settings, const std::string& connection_id, bool trial) {
  Configuration out;
  auto transport = read_transport(settings);
  if (!transport) return transport.error();
  out.client.transport = std::move(*transport);
  out.client.version = settings.text("mqttVersion") == "5" ? kVersion5 : kVersion311;
  out.client.client_id = settings.text("clientId");
  if (out.client.client_id.empty()) out.client.client_id = "sluice-" + connection_id;
  if (auto username = settings.text("username"); !username.empty()) out.client.username = username;
  if (auto password = settings.text("password"); !password.empty()) out.client.password = password;
  out.client.connect_timeout = std::chrono::milliseconds(settings.integer("connectionTimeout"));
  out.client.action_timeout = std::chrono::milliseconds(settings.integer("actionTimeout"));
  out.client.keep_alive = std::chrono::seconds(settings.integer("keepAlive"));
  out.client.ping_timeout = std::min<std::chrono::milliseconds>(out.client.keep_alive, std::chrono::seconds(10));
  out.client.max_in_flight = kMaxInFlight;
  if (trial) {
    // An id of its own: with the configured one the broker would expel the connection that runs.
    auto given = settings.text("clientId");
    out.client.client_id = (given.empty() ? "sluice" : given) + "-" + connection_id;
  }
  auto uplink = message::Pattern::parse(settings.text("uplinkTopicPattern"));
  if (!uplink) return uplink.error().wrap("uplinkTopicPattern");
  out.uplink_topic = *uplink;
  auto downlink = message::Pattern::parse(settings.text("downlinkTopicPattern"));
  if (!downlink) return downlink.error().wrap("downlinkTopicPattern");
  out.downlink_topic = *downlink;
  out.subscribes = settings.flag("downlinkEnabled") && !out.downlink_topic.text().empty();
  out.qos = settings.integer("qos") == 0 ? 0 : 1;
  out.retain = settings.flag("messageRetain");
  out.field_as_topic = settings.flag("fieldAsTopic");
  return out;
}

// What settles a message that goes out as several publishes: its verdict is the first error, or success with the last
// one.
struct Parts {
  Parts(Delivery message, std::size_t count) : delivery(std::move(message)), left(count) {}
  Delivery delivery;
  std::size_t left;
  std::optional<Error> error;

  void one_done(const Result<void>& result) {
    if (!result && !error) error = result.error();
    if (--left > 0) return;
    delivery.settle(error ? Result<void>(*error) : Result<void>());
  }
};

class MqttConnector : public Connector {
 public:
  MqttConnector(Settings settings, Host& host)
      : host_(host), configuration_(read_configuration(settings, host.connection_id(), host.trial())) {
    if (!configuration_) return;
    const auto& text = configuration_->uplink_topic.text();
    if (text.find_first_of("{}") == std::string::npos) fixed_topic_ = text;
  }

  ~MqttConnector() override {
    if (!client_) return;
    client_->on_message = nullptr;
    client_->on_lost = nullptr;
  }

  boost::asio::awaitable<Result<void>> open() override {
    if (!configuration_) co_return configuration_.error();
    client_ = Client::make(host_.executor(), configuration_->client);
    auto client = client_;
    client->on_message = [this](const Incoming& incoming) { received(incoming); };
    client->on_lost = [this](Error error) { lost(std::move(error)); };
    auto connected = co_await client->connect([this] { host_.authenticating(); });
    if (!connected) co_return connected;
    if (auto fault = unsupported(client->offered())) co_return *fault;
    if (configuration_->subscribes) {
      auto granted = co_await client->subscribe(configuration_->downlink_topic.subscription('/', "+"), 1);
      if (!granted) co_return granted.error();
    }
    if (!client->is_open()) co_return Error{ErrorKind::not_connected, "the broker closed the connection at once"};
    open_ = true;
    co_return Result<void>();
  }

  void send(Delivery delivery) override {
    auto topic = fixed_topic_.empty()
                     ? configuration_->uplink_topic.render(delivery.document(), message::Place::mqtt_topic)
                     : Result<std::string>(fixed_topic_);
    if (!topic) return delivery.settle(topic.error());
    if (configuration_->field_as_topic) return send_fields(std::move(delivery), *topic);
    std::string body = delivery.take_body();
    auto kept = std::make_shared<Delivery>(std::move(delivery));
    client_->publish(*topic, body, configuration_->qos, configuration_->retain,
                     [kept](Result<void> result) { kept->settle(std::move(result)); });
  }

  boost::asio::awaitable<void> close() override {
    open_ = false;
    if (asking_) co_await asking_->close();
    if (client_) co_await client_->close();
  }

  [[nodiscard]] std::optional<Peer> peer() const override {
    if (!configuration_) return std::nullopt;
    const auto& transport = configuration_->client.transport;
    return Peer{transport.host,
                transport.port,
                transport.protocol != Protocol::tcp,
                false,
                transport.ca_pem,
                transport.certificate_pem,
                transport.key_pem};
  }

  // A broker of MQTT 3.1.1 acknowledges what it denies. One that speaks 5 as well says so there.
  void try_out(Delivery delivery) override {
    if (configuration_->client.version == kVersion5 || configuration_->qos == 0) return send(std::move(delivery));
    auto options = configuration_->client;
    options.version = kVersion5;
    options.client_id += "-5";
    asking_ = Client::make(host_.executor(), options);
    auto kept = std::make_shared<Delivery>(std::move(delivery));
    boost::asio::co_spawn(host_.executor(), asking_->connect(),
                          [this, weak = std::weak_ptr<bool>(alive_), client = asking_, kept](
                              std::exception_ptr failed, const Result<void>& connected) {
                            if (weak.expired()) return;
                            if (!failed && connected && client->is_open()) std::swap(client_, asking_);
                            if (client_->is_open()) send(std::move(*kept));
                          });
  }

  [[nodiscard]] std::size_t max_in_flight() const override {
    std::size_t limit = client_ ? client_->window() : kMaxInFlight;
    return configuration_ && configuration_->field_as_topic ? std::min(limit, kMaxInFlightByField) : limit;
  }

 private:
  // What the broker of MQTT 5 says it can't do though the configuration asks for it.
  [[nodiscard]] std::optional<Error> unsupported(const Properties& offered) const {
    if (offered.maximum_qos.value_or(2) < 1 && configuration_->qos == 1)
      return bad_config("the broker has QoS 0 only: set qos to 0");
    if (offered.retain_available.value_or(1) == 0 && configuration_->retain) {
      return bad_config("the broker retains no messages: switch messageRetain off");
    }
    return std::nullopt;
  }

  void send_fields(Delivery delivery, const std::string& topic) {
    auto leaves = leaves_of(delivery.body());
    if (!leaves) return delivery.settle(leaves.error());
    if (leaves->empty()) return delivery.settle({});
    auto parts = std::make_shared<Parts>(std::move(delivery), leaves->size());
    for (const auto& [path, scalar] : *leaves) {
      client_->publish(path.empty() ? topic : topic + "/" + path, scalar, configuration_->qos, configuration_->retain,
                       [parts](const Result<void>& result) { parts->one_done(result); });
    }
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
    if (std::exchange(open_, false)) host_.lost(std::move(error));
  }

  Host& host_;
  Result<Configuration> configuration_;
  std::shared_ptr<Client> client_;
  std::shared_ptr<Client> asking_;                              // of a trial
  std::shared_ptr<bool> alive_ = std::make_shared<bool>(true);  // what ends later sees by it that we are gone
  std::string fixed_topic_;                                     // where it is the same for every message
  bool open_ = false;
};

}  // namespace

std::unique_ptr<Connector> make(Settings settings, Host& host) {
  return std::make_unique<MqttConnector>(std::move(settings), host);
}

}  // namespace sluice::connector::mqtt
