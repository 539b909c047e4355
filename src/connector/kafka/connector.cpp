// SPDX-License-Identifier: Apache-2.0
// Apache Kafka (spec connectors.md 3.4). What it does is in client.h; here its settings become the client's.
#include "connector/connector.h"

#include "connector/address.h"
#include "connector/kafka/client.h"
#include "connector/pem.h"

namespace sluice::connector::kafka {
namespace {

Error bad_config(std::string text) {
  return {ErrorKind::bad_config, std::move(text)};
}

// Of the kinds of PEM, each is one of librdkafka's options.
Result<void> read_pem(const Settings& settings, const char* name, const char* option, Options& out) {
  auto text = normalise_pem(settings.text(name));
  if (!text) return text.error().wrap(name);
  if (!text->empty()) out[option] = *text;
  return {};
}

Result<Options> read_security(const Settings& settings) {
  Options out;
  auto protocol = settings.text("securityProtocol");
  bool sasl = protocol.starts_with("SASL_"), tls = protocol.ends_with("SSL");
  out["security.protocol"] = protocol;
  auto username = settings.text("username"), password = settings.text("password");
  if (sasl) {
    if (username.empty() || password.empty())
      return bad_config("securityProtocol " + protocol + " needs username and password");
    out["sasl.mechanism"] = settings.text("saslMechanism");
    out["sasl.username"] = username;
    out["sasl.password"] = password;
  } else if (!username.empty() || !password.empty()) {
    return bad_config("username and password are of no use with securityProtocol " + protocol +
                      ": choose SASL_SSL or SASL_PLAINTEXT, or leave them out");
  }
  bool has_certificate = !settings.text("certificate").empty(), has_key = !settings.text("privateKey").empty();
  if (has_certificate != has_key) return bad_config("certificate and privateKey belong together: one is missing");
  if (!tls) {
    if (has_certificate) {
      return bad_config("certificate and privateKey are of no use with securityProtocol " + protocol +
                        ": choose SSL or SASL_SSL, or leave them out");
    }
    return out;
  }
  auto ca = read_pem(settings, "trustedCaCertificate", "ssl.ca.pem", out);
  auto certificate = read_pem(settings, "certificate", "ssl.certificate.pem", out);
  auto key = read_pem(settings, "privateKey", "ssl.key.pem", out);
  for (const auto* read : {&ca, &certificate, &key}) {
    if (!*read) return read->error();
  }
  return out;
}

std::string option_or_empty(const Options& options, const char* name) {
  auto found = options.find(name);
  return found == options.end() ? "" : found->second;
}

Result<Configuration> read_configuration(const Settings& settings, bool trial) {
  Configuration out;
  auto servers = parse_addresses(settings.text("bootstrapServers"));
  if (!servers) return servers.error().wrap("bootstrapServers");
  for (auto& server : *servers) {
    if (server.port == 0) server.port = 9092;
    bool v6 = server.host.find(':') != std::string::npos;
    out.servers += (out.servers.empty() ? "" : ",") + (v6 ? "[" + server.host + "]" : server.host) + ":" +
                   std::to_string(server.port);
  }
  auto security = read_security(settings);
  if (!security) return security.error();
  out.security = std::move(*security);
  out.producer_id = settings.text("producerClientId");
  out.consumer_id = settings.text("consumerClientId");
  out.group = settings.text("consumerGroupId");
  // A name and no pattern: braces can't be in it, so it is taken as it is.
  auto topic = message::Pattern::parse(settings.text("uplinkTopic"));
  if (!topic) return topic.error().wrap("uplinkTopic");
  out.uplink_topic = *topic;
  if (settings.flag("downlinkEnabled")) out.downlink_topic = settings.text("downlinkTopic");
  out.concurrency = static_cast<std::size_t>(settings.integer("concurrency"));
  out.connect_timeout = std::chrono::milliseconds(settings.integer("connectionTimeout"));
  out.action_timeout = std::chrono::milliseconds(settings.integer("actionTimeout"));
  // Any of several may be the one that is up.
  if (servers->size() == 1 || !trial) {
    out.peer = Peer{servers->front().host,
                    servers->front().port,
                    out.security["security.protocol"].ends_with("SSL"),
                    false,
                    option_or_empty(out.security, "ssl.ca.pem"),
                    option_or_empty(out.security, "ssl.certificate.pem"),
                    option_or_empty(out.security, "ssl.key.pem")};
  }
  return out;
}

}  // namespace

std::unique_ptr<Connector> make(Settings settings, Host& host) {
  return make_client(read_configuration(settings, host.trial()), host);
}

}  // namespace sluice::connector::kafka
