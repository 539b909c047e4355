// SPDX-License-Identifier: Apache-2.0
// AMQP 0-9-1 (spec connectors.md 3.3). The protocol is in client.h; here is what makes a connection of it: settings in,
// routing keys by pattern, verdicts out.
#include "connector/connector.h"

#include <algorithm>
#include <cctype>

#include "connector/address.h"
#include "connector/amqp/client.h"
#include "connector/pem.h"

namespace sluice::connector::amqp {
namespace {

using net::Protocol;
using net::TransportOptions;

constexpr std::size_t kMaxInFlight = 4096;

struct Configuration {
  ClientOptions client;
  message::Pattern uplink, downlink;
  bool mandatory = false;
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
  out.protocol = settings.text("protocol") == "TCP" ? Protocol::tcp : Protocol::ssl;
  auto address = parse_address(settings.text("hostName"));
  if (!address) return address.error().wrap("hostName");
  out.host = address->host;
  std::uint16_t usual = out.protocol == Protocol::tcp ? 5672 : 5671;
  out.port = address->port ? address->port : usual;
  if (out.protocol == Protocol::tcp) return out;
  const char* ca_name = settings.has("trustedCaCertificate") ? "trustedCaCertificate" : "trustedCaCertficate";
  out.ca_property = "trustedCaCertificate";
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

// {profile} is a word of the server's, not of the message.
Result<message::Pattern> read_pattern(const Settings& settings, const char* name, const std::string& profile) {
  constexpr std::string_view kWord = "{profile}";
  std::string escaped, text = settings.text(name);
  for (char c : profile) {
    escaped += c;
    if (c == '{' || c == '}') escaped += c;
  }
  for (std::size_t at = 0; (at = text.find(kWord, at)) != std::string::npos; at += escaped.size())
    text.replace(at, kWord.size(), escaped);
  auto pattern = message::Pattern::parse(text);
  if (!pattern) return pattern.error().wrap(name);
  return pattern;
}

Result<void> check_lengths(const ClientOptions& client) {
  for (const auto& [name, text] : {std::pair{"exchangeName", &client.exchange},
                                   {"virtualHost", &client.virtual_host},
                                   {"downlinkQueue", &client.queue},
                                   {"downlinkTopicPattern", &client.binding_key}}) {
    if (text->size() > kMaxShortText) return bad_config(std::string(name) + ": over AMQP's maximum of 255 bytes");
  }
  return {};
}

Result<Configuration> read_configuration(const Settings& settings, Host& host) {
  Configuration out;
  auto profile = host.server_setting("profile");
  if (profile.empty()) profile = "default";
  auto id = host.connection_id();
  auto& client = out.client;
  auto transport = read_transport(settings);
  if (!transport) return transport.error();
  client.transport = std::move(*transport);
  client.username = settings.text("username");
  client.password = settings.text("password");
  client.by_certificate = client.username.empty() && !client.transport.certificate_pem.empty();
  if (client.username.empty() && !client.by_certificate) client.username = client.password = "guest";
  client.virtual_host = settings.text("virtualHost");
  client.connection_name = profile + "/ConnectionId." + id;
  client.exchange = settings.text("exchangeName");
  client.trial = host.trial();
  client.connect_timeout = std::chrono::milliseconds(settings.integer("connectionTimeout"));
  client.action_timeout = std::chrono::milliseconds(settings.integer("actionTimeout"));
  client.heartbeat = std::chrono::seconds(settings.integer("heartbeat"));
  client.max_in_flight = kMaxInFlight;
  auto uplink = read_pattern(settings, "uplinkTopicPattern", profile);
  if (!uplink) return uplink.error();
  out.uplink = *uplink;
  auto downlink = read_pattern(settings, "downlinkTopicPattern", profile);
  if (!downlink) return downlink.error();
  out.downlink = *downlink;
  auto queue = settings.text("downlinkQueue");
  if (settings.flag("downlinkEnabled") && !out.downlink.text().empty()) {
    client.queue = queue.empty() ? "sluice." + profile + "." + id : queue;
    // A trial takes nothing out of the queue of the connection that runs.
    if (client.trial) client.queue += ".trial." + id;
    client.binding_key = out.downlink.subscription('.', "*");
  }
  out.mandatory = settings.flag("mandatory");
  auto fits = check_lengths(client);
  if (!fits) return fits.error();
  return out;
}

class AmqpConnector : public Connector {
 public:
  AmqpConnector(const Settings& settings, Host& host)
      : host_(host), configuration_(read_configuration(settings, host)) {
    if (!configuration_) return;
    const auto& text = configuration_->uplink.text();
    if (text.find_first_of("{}") == std::string::npos) fixed_key_ = text;
  }

  ~AmqpConnector() override {
    if (!client_) return;
    client_->on_message = nullptr;
    client_->on_lost = nullptr;
    client_->on_notice = nullptr;
  }

  boost::asio::awaitable<Result<void>> open() override {
    if (!configuration_) co_return configuration_.error();
    client_ = Client::make(host_.executor(), configuration_->client);
    auto client = client_;
    client->on_message = [this](const Incoming& incoming) { received(incoming); };
    client->on_lost = [this](Error error) { lost(std::move(error)); };
    client->on_notice = [this](std::string text) { host_.notice({Notice::Kind::other, std::move(text), {}}); };
    // Where all messages go by one key and that reaches no queue, no message is at fault.
    if (!fixed_key_.empty()) client->unroutable = ErrorKind::bad_config;
    auto connected = co_await client->connect([this] { host_.authenticating(); });
    if (!connected) co_return connected;
    if (!client->is_open()) co_return Error{ErrorKind::not_connected, "the broker closed the connection at once"};
    open_ = true;
    co_return Result<void>();
  }

  void send(Delivery delivery) override {
    auto key = fixed_key_.empty() ? configuration_->uplink.render(delivery.document(), message::Place::amqp_routing_key)
                                  : Result<std::string>(fixed_key_);
    if (!key) return delivery.settle(key.error());
    auto id = std::to_string(delivery.message().seq);
    std::string body = delivery.take_body();
    auto kept = std::make_shared<Delivery>(std::move(delivery));
    client_->publish(std::move(*key), std::move(body), std::move(id), configuration_->mandatory,
                     [kept](Result<void> result) { kept->settle(std::move(result)); });
  }

  boost::asio::awaitable<void> close() override {
    open_ = false;
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

  [[nodiscard]] std::size_t max_in_flight() const override { return kMaxInFlight; }

 private:
  void received(const Incoming& incoming) {
    Received command;
    command.body = incoming.body;
    command.acknowledge = incoming.acknowledge;
    if (auto values = configuration_->downlink.capture(incoming.routing_key, '.')) {
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
  std::string fixed_key_;  // where it is the same for every message
  bool open_ = false;
};

}  // namespace

std::unique_ptr<Connector> make(Settings settings, Host& host) {
  return std::make_unique<AmqpConnector>(settings, host);
}

}  // namespace sluice::connector::amqp
