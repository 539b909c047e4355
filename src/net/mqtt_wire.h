// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"

namespace sluice::net::mqtt {

// Packets of MQTT 3.1.1 and 5, written and read. Pure functions over bytes; what is read is never trusted.

enum class PacketType : std::uint8_t {
  connect = 1,
  connack = 2,
  publish = 3,
  puback = 4,
  pubrec = 5,
  pubrel = 6,
  pubcomp = 7,
  subscribe = 8,
  suback = 9,
  unsubscribe = 10,
  unsuback = 11,
  pingreq = 12,
  pingresp = 13,
  disconnect = 14,
  auth = 15,
};

constexpr int kVersion311 = 4;
constexpr int kVersion5 = 5;

// The properties of MQTT 5 that concern us; others are skipped.
struct Properties {
  std::optional<std::uint16_t> receive_maximum, server_keep_alive;
  std::optional<std::uint32_t> maximum_packet_size;
  std::optional<std::uint8_t> maximum_qos, retain_available;
  std::string assigned_client_id, reason_string;
};

// One packet as read. The views point into the bytes that were parsed.
struct Packet {
  PacketType type = PacketType::connect;
  std::uint8_t qos = 0;  // publish
  bool retain = false, duplicate = false;
  std::uint16_t id = 0;             // publish with QoS > 0, puback, subscribe, suback, ...
  std::uint8_t reason = 0;          // connack, puback, disconnect
  std::string_view topic;           // publish
  std::string_view payload;         // publish; of connect and subscribe what follows the header, unread
  std::vector<std::uint8_t> codes;  // suback
  Properties properties;
};

// Reads the packet at the front of `bytes`. Gives its length, or 0 while it is not complete. Errors (not_connected): it
// is malformed or longer than `max_packet`; nothing after it can be read either.
Result<std::size_t> parse_packet(std::string_view bytes, int version, std::size_t max_packet, Packet& out);

struct ConnectOptions {
  int version = kVersion311;
  std::string client_id, username, password;
  bool has_username = false, has_password = false;
  std::uint16_t keep_alive_s = 60;
  std::uint16_t receive_maximum = 100;          // MQTT 5
  std::uint32_t maximum_packet_size = 1 << 20;  // MQTT 5
};

void append_connect(std::string& out, const ConnectOptions& options);
void append_publish(std::string& out, int version, std::uint16_t id, std::string_view topic, std::string_view payload,
                    int qos, bool retain);
void append_subscribe(std::string& out, int version, std::uint16_t id, std::string_view filter, int qos);
void append_puback(std::string& out, std::uint16_t id);
void append_pingreq(std::string& out);
void append_disconnect(std::string& out);
// Bytes that append_publish would add.
std::size_t publish_size(int version, std::string_view topic, std::string_view payload, int qos);

// What a reason code of MQTT 5 means for us: one table for CONNACK, PUBACK, SUBACK and DISCONNECT.
struct Reason {
  std::uint8_t code;
  ErrorKind kind;
  const char* text;
};
Reason reason_of(std::uint8_t code);
// The same for the CONNACK codes of 3.1.1.
Reason connack_reason_311(std::uint8_t code);

}  // namespace sluice::net::mqtt
