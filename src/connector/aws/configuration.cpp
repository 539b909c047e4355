// SPDX-License-Identifier: Apache-2.0
#include "connector/aws/configuration.h"

#include <algorithm>

#include "base/json.h"
#include "connector/address.h"
#include "connector/pem.h"

namespace sluice::connector::aws {
namespace {

using std::chrono::milliseconds;

constexpr std::size_t kMaxTopic = 256;
constexpr int kMaxSlashes = 7;
constexpr std::size_t kMaxAnswer = 65536;
constexpr std::string_view kCa = "trustedCaCertificate";

Error bad_config(std::string text) {
  return {ErrorKind::bad_config, std::move(text)};
}

Result<Endpoint> read_endpoint(const Settings& settings, const char* name, const std::string& usual_host,
                               std::uint16_t usual_port) {
  auto given = settings.text(name);
  if (given.empty()) return Endpoint{usual_host, usual_port};
  auto address = parse_address(given);
  if (!address) return address.error().wrap(name);
  return Endpoint{address->host, address->port ? address->port : usual_port};
}

// libcurl's form of a proxy, as the HTTP connector has it.
void read_proxy(const Settings& settings, HttpRequest& out) {
  const auto& proxy = settings.object("proxy");
  out.proxy = json::text_or(proxy, "hostname");
  while (out.proxy.ends_with('/'))
    out.proxy.pop_back();
  out.proxy_username = json::text_or(proxy, "username");
  out.proxy_password = json::text_or(proxy, "password");
}

// The same proxy for an MQTT session.
Result<std::optional<net::Proxy>> mqtt_proxy(const HttpRequest& request) {
  auto text = request.proxy;
  if (text.empty()) return std::optional<net::Proxy>();
  if (auto scheme = text.find("://"); scheme != std::string::npos) {
    if (text.compare(0, scheme, "http") != 0)
      return bad_config(
          "proxy: the session for commands goes through a proxy that is spoken to in clear (http://) only");
    text.erase(0, scheme + 3);
  }
  auto address = parse_address(text);
  if (!address) return address.error().wrap("proxy");
  net::Proxy out;
  out.host = address->host;
  out.port = address->port ? address->port : 1080;  // libcurl's default
  out.username = request.proxy_username;
  out.password = request.proxy_password;
  return std::optional<net::Proxy>(std::move(out));
}

Result<message::Pattern> read_pattern(const Settings& settings, const char* name) {
  auto pattern = message::Pattern::parse(settings.text(name));
  if (!pattern) return pattern.error().wrap(name);
  return pattern;
}

Result<net::mqtt::ClientOptions> read_client(const Settings& settings, Host& host, const Configuration& so_far) {
  net::mqtt::ClientOptions out;
  auto& transport = out.transport;
  transport.protocol = so_far.signs ? net::Protocol::wss : net::Protocol::ssl;
  transport.host = so_far.data.host;
  std::uint16_t usual = so_far.signs ? 443 : 8883;
  transport.port = settings.has("mqttPort") ? static_cast<std::uint16_t>(settings.integer("mqttPort")) : usual;
  bool alpn = settings.has("mqttAlpn") ? settings.flag("mqttAlpn") : transport.port == 443;
  if (alpn && !so_far.signs) transport.alpn = "x-amzn-mqtt-ca";
  transport.ca_pem = so_far.post.ca_pem;
  transport.ca_property = kCa;
  transport.certificate_pem = so_far.post.certificate_pem;
  transport.key_pem = so_far.post.key_pem;
  auto proxy = mqtt_proxy(so_far.post);
  if (!proxy) return proxy.error();
  transport.proxy = std::move(*proxy);
  out.version = settings.text("mqttVersion") == "5" ? net::mqtt::kVersion5 : net::mqtt::kVersion311;
  out.client_id = settings.text("clientId");
  bool named = !out.client_id.empty();
  if (!named) out.client_id = "sluice-" + host.connection_id();
  // In a trial an id of its own: with the configured one AWS would expel the connection that runs.
  if (named && host.trial()) out.client_id += "-" + host.connection_id();
  out.connect_timeout = so_far.connect_timeout;
  out.action_timeout = read_ms(settings, "actionTimeout");
  out.keep_alive = std::chrono::seconds(settings.integer("keepAlive"));
  out.ping_timeout = std::min<milliseconds>(out.keep_alive, std::chrono::seconds(10));
  return out;
}

}  // namespace

Result<std::string> read_pem(const Settings& settings, const char* name) {
  auto text = normalise_pem(settings.text(name));
  if (!text) return text.error().wrap(name);
  if (is_placeholder_pem(*text) && !text->empty())
    return bad_config(std::string(name) + " is a placeholder, no PEM that can be used");
  return text;
}

Result<Identity> read_identity(const Settings& settings, const char* certificate, const char* key) {
  auto certificate_pem = read_pem(settings, certificate), key_pem = read_pem(settings, key);
  for (auto [pem, name] : {std::pair{&certificate_pem, certificate}, std::pair{&key_pem, key}}) {
    if (!*pem) return pem->error();
    if ((*pem)->empty()) return bad_config(std::string(name) + " is missing: AWS knows a client by its certificate");
  }
  if (auto checked = check_certificates(*certificate_pem); !checked) return checked.error().wrap(certificate);
  if (auto checked = check_key(*key_pem); !checked) return checked.error().wrap(key);
  if (auto fits = check_key_fits(*certificate_pem, *key_pem); !fits) return fits.error().wrap(key);
  return Identity{std::move(*certificate_pem), std::move(*key_pem)};
}

Credentials read_credentials(const Settings& settings) {
  return {settings.text("accessKeyId"), settings.text("secretAccessKey"), settings.text("sessionToken")};
}

milliseconds read_ms(const Settings& settings, const char* name) {
  return milliseconds(settings.integer(name));
}

Result<ThingsOptions> read_things(const Settings& settings, Host& host) {
  ThingsOptions out;
  out.region = settings.text("region");
  auto registry = read_endpoint(settings, "registryEndpoint", registry_host(out.region), 443);
  if (!registry) return registry.error();
  out.registry = std::move(*registry);
  out.credentials = read_credentials(settings);
  out.thing_type = settings.text("deviceType");
  out.creates = settings.flag("createDevices");
  if (auto age = parse_duration(host.server_setting("thingMaxAge")); age && age->count() > 0) out.max_age = *age;
  auto ca = read_pem(settings, kCa.data());
  if (!ca) return ca.error();
  out.base.ca_pem = std::move(*ca);
  out.base.connect_timeout = std::min(read_ms(settings, "connectionTimeout"), milliseconds(5000));
  out.base.timeout = read_ms(settings, "actionTimeout");
  return out;
}

Result<void> check_filter(const std::string& filter) {
  if (filter.size() > kMaxTopic)
    return bad_config("downlinkTopicPattern: AWS takes topics of at most 256 bytes, this one has " +
                      std::to_string(filter.size()));
  if (std::count(filter.begin(), filter.end(), '/') > kMaxSlashes)
    return bad_config("downlinkTopicPattern: AWS takes topics of at most 7 slashes");
  return {};
}

Result<void> check_topic(std::string_view topic) {
  auto refuse = [](std::string text) { return Error{ErrorKind::permanent, std::move(text)}; };
  auto counted = topic;
  if (topic.starts_with("$aws/rules/")) {
    auto rule_end = topic.find('/', sizeof("$aws/rules/") - 1);
    if (rule_end != std::string_view::npos) counted.remove_prefix(rule_end + 1);
  }
  if (topic.empty()) return refuse("the topic is empty");
  if (counted.size() > kMaxTopic)
    return refuse("the topic has " + std::to_string(counted.size()) + " bytes, AWS takes 256 at most");
  if (auto slashes = std::count(counted.begin(), counted.end(), '/'); slashes > kMaxSlashes)
    return refuse("the topic has " + std::to_string(slashes) + " slashes, AWS takes 7 at most");
  return {};
}

Result<Configuration> Configuration::read(const Settings& settings, Host& host) {
  auto region = settings.text("region");
  Configuration out{.data_signer = Signer(read_credentials(settings), region, "iotdata"),
                    .gateway_signer = Signer(read_credentials(settings), region, "iotdevicegateway")};
  out.signs = settings.text("protocol") == "WSS";
  out.connect_timeout = read_ms(settings, "connectionTimeout");
  auto data =
      read_endpoint(settings, "endpoint", data_host(settings.text("accountPrefix"), region), out.signs ? 443 : 8443);
  if (!data) return data.error();
  out.data = std::move(*data);
  if (settings.has("httpsPort")) out.data.port = static_cast<std::uint16_t>(settings.integer("httpsPort"));
  auto things = read_things(settings, host);
  if (!things) return things.error();
  out.things = std::move(*things);
  read_proxy(settings, out.things.base);
  out.post = out.things.base;
  out.post.max_response = kMaxAnswer;
  if (!out.signs) {
    auto identity = read_identity(settings, "certificate", "privateKey");
    if (!identity) return identity.error();
    out.post.certificate_pem = std::move(identity->certificate_pem);
    out.post.key_pem = std::move(identity->key_pem);
    out.things.certificate_arn = settings.text("certificateId");
    if (out.things.certificate_arn.empty() && out.things.creates)
      return bad_config("certificateId is missing: created things are attached to it (or switch createDevices off)");
  }
  out.qos = settings.integer("qos") == 0 ? 0 : 1;
  auto uplink = read_pattern(settings, "uplinkTopicPattern"), downlink = read_pattern(settings, "downlinkTopicPattern");
  if (!uplink) return uplink.error();
  if (!downlink) return downlink.error();
  out.uplink_topic = std::move(*uplink);
  out.downlink_topic = std::move(*downlink);
  out.subscribes = settings.flag("downlinkEnabled") && !out.downlink_topic.text().empty();
  out.sessions = static_cast<std::size_t>(std::clamp<std::int64_t>(settings.integer("mqttConnections"), 1, 10));
  auto client = read_client(settings, host, out);
  if (!client) return client.error();
  out.client = std::move(*client);
  if (out.subscribes) {
    if (auto checked = check_filter(out.downlink_topic.subscription('/', "+")); !checked) return checked.error();
  }
  return out;
}

}  // namespace sluice::connector::aws
