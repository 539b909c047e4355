// SPDX-License-Identifier: Apache-2.0
// Azure Event Hubs (spec connectors.md 7.4): Kafka with one way to authenticate, and the service's own limits. Values:
// https://learn.microsoft.com/azure/event-hubs/apache-kafka-configurations
#include "connector/connector.h"

#include "connector/address.h"
#include "connector/kafka/client.h"
#include "connector/pem.h"

namespace sluice::connector::event_hub {
namespace {

using kafka::Configuration;

constexpr std::uint16_t kKafkaPort = 9093;
constexpr std::uint64_t kMessagesOfUnit = 1000;  // a second

Result<Configuration> read_configuration(const Settings& settings, const std::string& connection_id) {
  Configuration out;
  auto address = parse_address(settings.text("hostName"));
  if (!address) return address.error().wrap("hostName");
  if (address->port == 0) address->port = kKafkaPort;
  out.servers = address->host + ":" + std::to_string(address->port);
  auto name = settings.text("sharedAccessKeyName"), key = settings.text("sharedAccessKey");
  if (name.find(';') != std::string::npos || key.find(';') != std::string::npos)
    return Error{ErrorKind::bad_config,
                 "sharedAccessKeyName and sharedAccessKey are the two values out of the connection string, without the "
                 "rest of it"};
  out.security = {
      {"security.protocol", "SASL_SSL"},
      {"sasl.mechanism", "PLAIN"},
      {"sasl.username", "$ConnectionString"},
      {"sasl.password", "Endpoint=sb://" + address->host + "/;SharedAccessKeyName=" + name + ";SharedAccessKey=" + key},
  };
  auto ca = normalise_pem(settings.text("trustedCaCertificate"));
  if (!ca) return ca.error().wrap("trustedCaCertificate");
  if (!ca->empty()) out.security["ssl.ca.pem"] = *ca;
  // The service closes what was idle for four minutes without telling.
  out.more = {
      {"metadata.max.age.ms", "180000"}, {"connections.max.idle.ms", "180000"}, {"request.timeout.ms", "60000"}};
  out.producer_id = "sluice-" + connection_id;
  out.consumer_id = out.producer_id;
  out.group = "$Default";
  auto uplink = message::Pattern::parse(settings.text("uplinkTopicPattern"));
  if (!uplink) return uplink.error().wrap("uplinkTopicPattern");
  out.uplink_topic = *uplink;
  if (settings.flag("downlinkEnabled")) out.downlink_topic = settings.text("downlinkTopicPattern");
  out.connect_timeout = std::chrono::milliseconds(settings.integer("connectionTimeout"));
  out.action_timeout = std::chrono::milliseconds(settings.integer("actionTimeout"));
  out.usual_rate = kMessagesOfUnit * static_cast<std::uint64_t>(settings.integer("eventHubUnits"));
  out.peer = Peer{address->host, address->port, true, false, *ca, "", ""};
  out.uplink_property = "uplinkTopicPattern";
  out.downlink_property = "downlinkTopicPattern";
  out.hint = "hostName is <namespace>.servicebus.windows.net:9093";
  return out;
}

}  // namespace

std::unique_ptr<Connector> make(Settings settings, Host& host) {
  return kafka::make_client(read_configuration(settings, host.connection_id()), host);
}

}  // namespace sluice::connector::event_hub
