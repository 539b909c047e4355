// SPDX-License-Identifier: Apache-2.0
// AWS IoT Greengrass V2 (spec connectors.md 6.2): one client device of a core's MQTT broker, which speaks for all
// devices; the core's authority by discovery in the cloud (5.4); a thing in the cloud's registry for each device. What
// the cloud does not answer never holds up what goes to the core.
#include "connector/connector.h"

#include <boost/asio/co_spawn.hpp>
#include <boost/asio/use_awaitable.hpp>

#include "base/codec.h"
#include "connector/address.h"
#include "connector/aws/calls.h"
#include "connector/aws/configuration.h"
#include "connector/aws/greengrass/discovery.h"
#include "connector/aws/sessions.h"
#include "net/dial.h"

namespace sluice::connector::greengrass {
namespace {

using boost::asio::awaitable;
using net::mqtt::Client;
using net::mqtt::ClientOptions;
using net::mqtt::Incoming;
using std::chrono::milliseconds;

constexpr std::size_t kMaxInFlight = 256;
// What the core's broker takes by default, and AWS behind it.
constexpr std::size_t kMaxBody = 128 * 1024;
constexpr std::size_t kMaxDiscovery = 4u << 20;
// Of open(), below the 30 s it may take.
constexpr std::chrono::seconds kOpenLimit{28};
constexpr milliseconds kRegistryLimit{5000};

struct Configuration {
  ClientOptions client;  // without the core's authority
  std::string root_ca;
  aws::Endpoint discovery;
  aws::ThingsOptions things;
  message::Pattern uplink_topic, downlink_topic;
  bool subscribes = false;
};

// What lasts from opening to opening.
struct Kept {
  std::shared_ptr<void> things;
  std::string authorities;  // of the core
};

std::shared_ptr<Kept> kept_of(Host& host) {
  auto& kept = host.kept();
  if (!kept) kept = std::make_shared<Kept>();
  return std::static_pointer_cast<Kept>(kept);
}

Result<ClientOptions> read_client(const Settings& settings) {
  ClientOptions out;
  auto address = parse_address(settings.text("ggHostName"));
  if (!address) return address.error().wrap("ggHostName");
  auto identity = aws::read_identity(settings, "ggadCertificate", "ggadPrivateKey");
  if (!identity) return identity.error();
  auto& transport = out.transport;
  transport.protocol = net::Protocol::ssl;
  transport.host = address->host;
  transport.port = address->port ? address->port : 8883;
  transport.certificate_pem = std::move(identity->certificate_pem);
  transport.key_pem = std::move(identity->key_pem);
  transport.ca_property = "awsRootCa";
  out.version = settings.text("mqttVersion") == "5" ? net::mqtt::kVersion5 : net::mqtt::kVersion311;
  out.client_id = settings.text("ggadThingName");
  out.connect_timeout = aws::read_ms(settings, "connectionTimeout");
  out.action_timeout = aws::read_ms(settings, "actionTimeout");
  out.keep_alive = std::chrono::seconds(settings.integer("keepAlive"));
  out.ping_timeout = std::min<milliseconds>(out.keep_alive, std::chrono::seconds(10));
  out.max_in_flight = kMaxInFlight;
  return out;
}

Result<Configuration> read_configuration(const Settings& settings, Host& host) {
  Configuration out;
  auto client = read_client(settings);
  if (!client) return client.error();
  out.client = std::move(*client);
  auto root = aws::read_pem(settings, "awsRootCa");
  if (!root) return root.error();
  out.root_ca = std::move(*root);
  out.discovery = {aws::discovery_host(settings.text("region")), 8443};
  if (auto given = settings.text("discoveryEndpoint"); !given.empty()) {
    auto address = parse_address(given);
    if (!address) return address.error().wrap("discoveryEndpoint");
    out.discovery.host = address->host;
    if (address->port) out.discovery.port = address->port;
  }
  auto things = aws::read_things(settings, host);
  if (!things) return things.error();
  out.things = std::move(*things);
  out.things.certificate_arn = settings.text("ggadCertificateId");
  auto uplink = message::Pattern::parse(settings.text("uplinkTopicPattern"));
  if (!uplink) return uplink.error().wrap("uplinkTopicPattern");
  out.uplink_topic = *uplink;
  auto downlink = message::Pattern::parse(settings.text("downlinkTopicPattern"));
  if (!downlink) return downlink.error().wrap("downlinkTopicPattern");
  out.downlink_topic = *downlink;
  out.subscribes = settings.flag("downlinkEnabled") && !out.downlink_topic.text().empty();
  return out;
}

class GreengrassConnector : public Connector {
 public:
  GreengrassConnector(Settings settings, Host& host)
      : host_(host),
        configuration_(read_configuration(settings, host)),
        calls_(host.executor(), host.http()),
        kept_(kept_of(host)) {
    if (!configuration_) return;
    const auto& text = configuration_->uplink_topic.text();
    if (text.find_first_of("{}") == std::string::npos) fixed_topic_ = text;
    things_ = std::make_unique<aws::Things>(host, kept_->things, configuration_->things);
  }

  ~GreengrassConnector() override {
    if (client_) {
      client_->on_message = nullptr;
      client_->on_lost = nullptr;
    }
    if (things_) things_->stop();
    calls_.stop();
  }

  awaitable<Result<void>> open() override {
    if (!configuration_) co_return configuration_.error();
    open_until_ = host_.clock().steady() + kOpenLimit;
    bool discovered = kept_->authorities.empty();
    if (discovered) co_await discover();
    auto opened = co_await connect();
    if (!opened && opened.error().kind == ErrorKind::bad_config && !discovered && !stopped_) {
      // The core may have another authority by now.
      auto before = std::exchange(kept_->authorities, {});
      co_await discover();
      if (!kept_->authorities.empty() && kept_->authorities != before) opened = co_await connect();
    }
    if (stopped_) co_return Error{ErrorKind::cancelled, "closed before it was opened"};
    if (!opened) {
      auto error = opened.error();
      if (error.kind == ErrorKind::bad_config && !discovery_fault_.empty()) {
        error.text += "; " + discovery_fault_;
        // A core that can't be judged before the cloud answers is no fault of the configuration: soon again.
        if (discovery_passes_) error.kind = ErrorKind::not_connected;
      }
      co_return error;
    }
    if (host_.trial()) co_return Result<void>();
    if (configuration_->subscribes) {
      auto granted = co_await client_->subscribe(configuration_->downlink_topic.subscription('/', "+"), 1);
      if (!granted) co_return granted.error();
    }
    if (!client_->is_open()) co_return Error{ErrorKind::not_connected, "the core closed the connection at once"};
    begin_with_things();
    open_ = true;
    co_return Result<void>();
  }

  void send(Delivery delivery) override {
    auto topic = fixed_topic_.empty()
                     ? configuration_->uplink_topic.render(delivery.document(), message::Place::mqtt_topic)
                     : Result<std::string>(fixed_topic_);
    if (!topic) return delivery.settle(topic.error());
    if (delivery.body().size() > kMaxBody) {
      return delivery.settle(Error{ErrorKind::permanent, "the message has " + std::to_string(delivery.body().size()) +
                                                             " bytes, the core takes 131072 at most"});
    }
    const auto& device = delivery.message().dev_eui;
    if (device.empty() || host_.trial() || things_->is_ready(device)) return publish(std::move(delivery), *topic);
    auto name = device;
    if (configuration_->things.creates) {
      // The core needs no thing in the cloud to take it.
      publish(std::move(delivery), *topic);
      return things_->ensure(name, [](const Result<void>&) {});
    }
    auto kept = std::make_shared<Delivery>(std::move(delivery));
    things_->ensure(name, [this, kept, topic = std::move(*topic)](Result<void> there) {
      bool ends = !there && (there.error().kind == ErrorKind::permanent || there.error().kind == ErrorKind::cancelled);
      if (ends) return kept->settle(std::move(there));
      publish(std::move(*kept), topic);
    });
  }

  // A trial's opening stops before the client id, of which a core takes none but the thing's name, and which would
  // expel the connection that runs. Here the core is asked whether it takes another one.
  void try_out(Delivery delivery) override {
    if (!host_.trial()) return send(std::move(delivery));
    auto options = client_options();
    options.client_id += "-" + host_.connection_id();
    client_ = Client::make(host_.executor(), std::move(options));
    auto kept = std::make_shared<Delivery>(std::move(delivery));
    auto connecting = client_->connect();
    boost::asio::co_spawn(
        host_.executor(), std::move(connecting),
        [this, weak = std::weak_ptr<bool>(alive_), client = client_, kept](std::exception_ptr failed,
                                                                           const Result<void>& connected) {
          if (weak.expired()) return;
          if (!failed && connected) return send(std::move(*kept));
          auto error = failed ? Error{ErrorKind::bug, "connecting ended with an exception"} : connected.error();
          error.text += " (a Greengrass core may refuse the trial's client id, since it is not the thing's name)";
          kept->settle(std::move(error));
        });
  }

  awaitable<void> close() override {
    open_ = false;
    stopped_ = true;
    if (things_) things_->stop();
    calls_.stop();
    if (dial_) dial_->cancel();
    std::vector<aws::ClientPtr> clients;
    if (client_) clients.push_back(client_);
    co_await aws::close_all(host_.executor(), std::move(clients));
  }

  // Only once the core's authority is known: before, its certificate can't be judged.
  [[nodiscard]] std::optional<Peer> peer() const override {
    if (!configuration_ || kept_->authorities.empty()) return std::nullopt;
    const auto& transport = configuration_->client.transport;
    return Peer{transport.host,   transport.port, true, false, kept_->authorities, transport.certificate_pem,
                transport.key_pem};
  }

  [[nodiscard]] std::size_t max_in_flight() const override {
    return client_ ? std::min(client_->window(), kMaxInFlight) : kMaxInFlight;
  }

 private:
  // What is left of open() for its next step.
  [[nodiscard]] milliseconds step_limit() const {
    auto left = std::chrono::duration_cast<milliseconds>(open_until_ - host_.clock().steady());
    return std::clamp(configuration_->client.connect_timeout, milliseconds(1), std::max(left, milliseconds(1)));
  }

  // Asks the cloud for the core's authority (spec connectors.md 5.4). Where that fails the root given has to do: it may
  // hold the core's authority, too.
  awaitable<void> discover() {
    const auto& transport = configuration_->client.transport;
    HttpRequest request;
    request.method = "GET";
    request.url = "https://" + configuration_->discovery.authority() + "/greengrass/discover/thing/" +
                  url_encode(configuration_->client.client_id);
    request.ca_pem = configuration_->root_ca;
    request.certificate_pem = transport.certificate_pem;
    request.key_pem = transport.key_pem;
    request.timeout = request.connect_timeout = step_limit();
    request.max_response = kMaxDiscovery;
    auto answer = co_await calls_.run(std::move(request));
    if (stopped_) co_return;
    std::string why;
    discovery_passes_ = answer ? aws::is_passing(*answer) : answer.error().kind != ErrorKind::bad_config;
    if (!answer) {
      why = answer.error().text;
    } else if (answer->status != 200) {
      why = aws::answer_text(*answer);
      if (answer->status == 401 || answer->status == 403) why += ": the thing's policy must allow greengrass:Discover";
      if (answer->status == 404) why += ": associate the thing with a core";
    } else if (auto found = authorities_of(answer->body)) {
      discovery_fault_.clear();
      kept_->authorities = std::move(*found);
      co_return;
    } else {
      why = found.error().text;
    }
    discovery_fault_ =
        "the core's CA could not be discovered at " + configuration_->discovery.authority() + " (" + why + ")";
    host_.notice({Notice::Kind::other, discovery_fault_ + "; the core is checked against awsRootCa", ""});
  }

  [[nodiscard]] ClientOptions client_options() const {
    auto options = configuration_->client;
    options.transport.ca_pem = kept_->authorities.empty() ? configuration_->root_ca : kept_->authorities;
    options.connect_timeout = step_limit();
    return options;
  }

  awaitable<Result<void>> connect() {
    if (stopped_) co_return Error{ErrorKind::cancelled, "closed before it was opened"};
    auto options = client_options();
    if (host_.trial()) co_return co_await shake_hands(options);
    client_ = Client::make(host_.executor(), std::move(options));
    client_->on_message = [this](const Incoming& incoming) { received(incoming); };
    client_->on_lost = [this](Error error) { lost(std::move(error)); };
    std::function<void()> authenticating = [this] { host_.authenticating(); };
    co_return co_await client_->connect(std::move(authenticating));
  }

  awaitable<Result<void>> shake_hands(const ClientOptions& options) {
    dial_ = std::make_unique<net::Dial>(host_.executor(), options.transport);
    auto limit = std::make_shared<boost::asio::steady_timer>(host_.executor(), options.connect_timeout);
    limit->async_wait([this, weak = std::weak_ptr<bool>(alive_)](boost::system::error_code ec) {
      if (!ec && !weak.expired() && dial_) dial_->cancel();
    });
    std::string phase;
    auto dialled = co_await dial_->run(phase, options.connect_timeout);
    limit->cancel();
    dial_.reset();
    if (!dialled) co_return dialled.error().wrap(phase);
    (*dialled)->abort();
    co_return Result<void>();
  }

  void begin_with_things() {
    auto limit = std::min(kRegistryLimit, configuration_->things.base.timeout);
    auto beginning = things_->begin(limit);
    boost::asio::co_spawn(
        host_.executor(), std::move(beginning),
        [this, weak = std::weak_ptr<bool>(alive_)](std::exception_ptr failed, const Result<void>& begun) {
          if (weak.expired() || stopped_ || failed || begun || begun.error().kind != ErrorKind::bad_config) return;
          host_.notice({Notice::Kind::other, begun.error().text + "; messages go to the core all the same", ""});
        });
  }

  void publish(Delivery delivery, const std::string& topic) {
    if (!client_) return delivery.settle(Error{ErrorKind::not_connected, "not connected to the core"});
    auto body = delivery.take_body();
    auto kept = std::make_shared<Delivery>(std::move(delivery));
    client_->publish(topic, body, 1, false, [kept](Result<void> result) { kept->settle(std::move(result)); });
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
  aws::Calls calls_;
  std::shared_ptr<Kept> kept_;
  std::unique_ptr<aws::Things> things_;
  aws::ClientPtr client_;
  std::unique_ptr<net::Dial> dial_;                             // of a trial
  std::shared_ptr<bool> alive_ = std::make_shared<bool>(true);  // what ends later sees by it that we are gone
  std::string discovery_fault_;                                 // why there is no authority of the core's
  bool discovery_passes_ = false;                               // that fault may pass by itself
  std::string fixed_topic_;                                     // where it is the same for every message
  std::chrono::steady_clock::time_point open_until_;
  bool open_ = false, stopped_ = false;
};

}  // namespace

std::unique_ptr<Connector> make(Settings settings, Host& host) {
  return std::make_unique<GreengrassConnector>(std::move(settings), host);
}

}  // namespace sluice::connector::greengrass
