// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <chrono>
#include <optional>
#include <string>

#include "connector/aws/cloud.h"
#include "connector/aws/sigv4.h"
#include "connector/aws/things.h"
#include "connector/connector.h"
#include "net/mqtt_client.h"

namespace sluice::connector::aws {

// PEM out of a property, normalised. Errors: bad_config, naming the property.
Result<std::string> read_pem(const Settings& settings, const char* name);
// A certificate with its key, both needed. Errors: bad_config, naming the property.
struct Identity {
  std::string certificate_pem, key_pem;
};
Result<Identity> read_identity(const Settings& settings, const char* certificate, const char* key);
Credentials read_credentials(const Settings& settings);
// Time that open() may take for one step, and one answer.
std::chrono::milliseconds read_ms(const Settings& settings, const char* name);
// What the registry needs, out of the properties that both connectors share.
Result<ThingsOptions> read_things(const Settings& settings, Host& host);

// A topic filter that AWS takes (Message broker limits): at most 256 bytes and 7 slashes.
Result<void> check_filter(const std::string& filter);
// The same for a topic that is published to; the first three levels of Basic Ingest ($aws/rules/<rule>/) do not count.
// Errors: permanent.
Result<void> check_topic(std::string_view topic);

// actility-aws-iot's settings, read once.
struct Configuration {
  bool signs = false;  // protocol WSS
  Endpoint data;
  HttpRequest post;  // what every message's request has in common
  Signer data_signer;
  message::Pattern uplink_topic, downlink_topic;
  int qos = 1;
  bool subscribes = false;
  std::size_t sessions = 1;
  net::mqtt::ClientOptions client;  // of the first session; WSS: without the signed path
  Signer gateway_signer;
  ThingsOptions things;
  std::chrono::milliseconds connect_timeout{10000};

  // Errors: bad_config, naming the property.
  static Result<Configuration> read(const Settings& settings, Host& host);
};

}  // namespace sluice::connector::aws
