// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <string_view>

#include "base/result.h"

namespace sluice::app {

// Where `--expect mqtt://[user:password@]host:port/topic/filter` points.
struct MqttPlace {
  std::string host, port = "1883", username, password, filter;
};
Result<MqttPlace> parse_mqtt_place(const std::string& url);

// The few packets a subscriber needs (MQTT 3.1.1). Written for the simulator alone: what measures shares no code with
// the client it measures.
std::string mqtt_connect(const std::string& client_id, const MqttPlace& place);
std::string mqtt_subscribe(std::uint16_t packet_id, const std::string& filter, int qos);
std::string mqtt_puback(std::uint16_t packet_id);
std::string mqtt_pingreq();

// Cuts a stream into packets. Not thread-safe.
class MqttReader {
 public:
  struct Publish {
    std::string_view topic, payload;
    int qos = 0;
    std::uint16_t packet_id = 0;
  };
  std::function<void(int code)> on_connack, on_suback;
  std::function<void(const Publish&)> on_publish;

  // Errors: permanent, for what is no MQTT or a packet over 1 MiB.
  Result<void> feed(std::string_view bytes);

 private:
  Result<void> packet(std::uint8_t head, std::string_view body);
  std::string pending_;
};

}  // namespace sluice::app
