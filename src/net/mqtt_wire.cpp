// SPDX-License-Identifier: Apache-2.0
#include "net/mqtt_wire.h"

#include <array>

namespace sluice::net::mqtt {
namespace {

Error malformed(const char* what) {
  return {ErrorKind::not_connected, std::string("the broker sent a malformed packet: ") + what};
}

// Reads fields off the front of a packet; after a field that is not there `ok` stays false and everything reads as
// zero.
struct Reader {
  std::string_view rest;
  bool ok = true;

  std::uint8_t byte() {
    if (rest.empty()) {
      ok = false;
      return 0;
    }
    auto value = static_cast<std::uint8_t>(rest.front());
    rest.remove_prefix(1);
    return value;
  }
  std::uint16_t two() {
    auto high = byte();
    return static_cast<std::uint16_t>(high << 8 | byte());
  }
  std::uint32_t four() {
    std::uint32_t high = two();
    return high << 16 | two();
  }
  std::string_view bytes(std::size_t count) {
    if (count > rest.size()) {
      ok = false;
      rest = {};
      return {};
    }
    auto taken = rest.substr(0, count);
    rest.remove_prefix(count);
    return taken;
  }
  std::string_view text() { return bytes(two()); }
  std::uint32_t variable() {
    std::uint32_t value = 0;
    for (int shift = 0; shift < 28; shift += 7) {
      auto part = byte();
      value |= static_cast<std::uint32_t>(part & 0x7f) << shift;
      if (!(part & 0x80)) return value;
    }
    ok = false;
    return 0;
  }
};

void read_property(Reader& reader, std::uint32_t id, Properties& out) {
  switch (id) {
    case 0x01:
    case 0x17:
    case 0x19:
    case 0x28:
    case 0x29:
    case 0x2a:
      reader.byte();
      break;
    case 0x24:
      out.maximum_qos = reader.byte();
      break;
    case 0x25:
      out.retain_available = reader.byte();
      break;
    case 0x13:
      out.server_keep_alive = reader.two();
      break;
    case 0x21:
      out.receive_maximum = reader.two();
      break;
    case 0x22:
    case 0x23:
      reader.two();
      break;
    case 0x27:
      out.maximum_packet_size = reader.four();
      break;
    case 0x02:
    case 0x11:
    case 0x18:
      reader.four();
      break;
    case 0x0b:
      reader.variable();
      break;
    case 0x12:
      out.assigned_client_id = reader.text();
      break;
    case 0x1f:
      out.reason_string = reader.text();
      break;
    case 0x03:
    case 0x08:
    case 0x09:
    case 0x15:
    case 0x16:
    case 0x1a:
    case 0x1c:
      reader.text();
      break;
    case 0x26:
      reader.text();
      reader.text();
      break;
    default:
      reader.ok = false;  // the length of an unknown property is unknown too
  }
}

void read_properties(Reader& reader, Properties& out) {
  Reader inner{reader.bytes(reader.variable())};
  while (reader.ok && inner.ok && !inner.rest.empty())
    read_property(inner, inner.variable(), out);
  reader.ok = reader.ok && inner.ok;
}

void read_publish(Reader& reader, std::uint8_t flags, int version, Packet& out) {
  out.duplicate = flags & 8;
  out.qos = (flags >> 1) & 3;
  out.retain = flags & 1;
  out.topic = reader.text();
  if (out.qos > 0) out.id = reader.two();
  if (version == kVersion5) read_properties(reader, out.properties);
  out.payload = reader.rest;
  // QoS 3 does not exist, and an acknowledged packet needs an id.
  if (out.qos == 3 || (out.qos > 0 && out.id == 0) || out.topic.find('\0') != std::string_view::npos) reader.ok = false;
}

// A reason code and properties that may be left out at the end of a packet of MQTT 5.
void read_reason(Reader& reader, int version, Packet& out) {
  if (version != kVersion5 || reader.rest.empty()) return;
  out.reason = reader.byte();
  if (!reader.rest.empty()) read_properties(reader, out.properties);
}

void read_body(Reader& reader, std::uint8_t flags, int version, Packet& out) {
  switch (out.type) {
    case PacketType::publish:
      read_publish(reader, flags, version, out);
      break;
    case PacketType::connack:
      reader.byte();  // session present: always a clean one
      out.reason = reader.byte();
      if (version == kVersion5 && !reader.rest.empty()) read_properties(reader, out.properties);
      break;
    case PacketType::puback:
    case PacketType::pubrec:
    case PacketType::pubrel:
    case PacketType::pubcomp:
      out.id = reader.two();
      read_reason(reader, version, out);
      break;
    case PacketType::suback:
    case PacketType::unsuback:
      out.id = reader.two();
      if (version == kVersion5) read_properties(reader, out.properties);
      for (char code : reader.rest)
        out.codes.push_back(static_cast<std::uint8_t>(code));
      break;
    case PacketType::disconnect:
    case PacketType::auth:
      read_reason(reader, version, out);
      break;
    case PacketType::subscribe:
    case PacketType::unsubscribe:
      out.id = reader.two();
      if (version == kVersion5) read_properties(reader, out.properties);
      out.payload = reader.rest;
      break;
    case PacketType::connect:
      out.payload = reader.rest;
      break;
    case PacketType::pingreq:
    case PacketType::pingresp:
      break;
  }
}

void append_two(std::string& out, std::size_t value) {
  out += static_cast<char>(value >> 8 & 0xff);
  out += static_cast<char>(value & 0xff);
}

void append_four(std::string& out, std::uint32_t value) {
  append_two(out, value >> 16);
  append_two(out, value & 0xffff);
}

void append_text(std::string& out, std::string_view text) {
  append_two(out, text.size());
  out += text;
}

void append_variable(std::string& out, std::size_t value) {
  do {
    auto part = static_cast<std::uint8_t>(value & 0x7f);
    value >>= 7;
    out += static_cast<char>(value ? part | 0x80 : part);
  } while (value);
}

std::size_t variable_size(std::size_t value) {
  return value < 128 ? 1 : value < 16384 ? 2 : value < 2097152 ? 3 : 4;
}

std::size_t publish_body_size(int version, std::string_view topic, std::string_view payload, int qos) {
  return 2 + topic.size() + (qos > 0 ? 2 : 0) + (version == kVersion5 ? 1 : 0) + payload.size();
}

constexpr auto kTransient = ErrorKind::transient;
constexpr auto kPermanent = ErrorKind::permanent;
constexpr auto kNotConnected = ErrorKind::not_connected;
constexpr auto kBadConfig = ErrorKind::bad_config;

constexpr std::array<Reason, 33> kReasons{{
    {0x80, kTransient, "unspecified error"},
    {0x81, kNotConnected, "malformed packet"},
    {0x82, kNotConnected, "protocol error"},
    {0x83, kTransient, "implementation specific error"},
    {0x84, kBadConfig, "unsupported protocol version"},
    {0x85, kBadConfig, "client identifier not valid"},
    {0x86, kBadConfig, "bad user name or password"},
    {0x87, kBadConfig, "not authorised"},
    {0x88, kNotConnected, "server unavailable"},
    {0x89, kNotConnected, "server busy"},
    {0x8a, kBadConfig, "banned"},
    {0x8b, kNotConnected, "server shutting down"},
    {0x8c, kBadConfig, "bad authentication method"},
    {0x8d, kNotConnected, "keep alive time-out"},
    {0x8e, kNotConnected, "another client took over the client id"},
    {0x8f, kBadConfig, "topic filter invalid"},
    {0x90, kPermanent, "topic name invalid"},
    {0x91, kTransient, "packet identifier in use"},
    {0x92, kTransient, "packet identifier not found"},
    {0x93, kNotConnected, "receive maximum exceeded"},
    {0x94, kNotConnected, "topic alias invalid"},
    {0x95, kPermanent, "packet too large"},
    {0x96, kTransient, "message rate too high"},
    {0x97, kTransient, "quota exceeded"},
    {0x98, kNotConnected, "administrative action"},
    {0x99, kPermanent, "payload format invalid"},
    {0x9a, kBadConfig, "retain not supported"},
    {0x9b, kBadConfig, "QoS not supported"},
    {0x9c, kNotConnected, "use another server"},
    {0x9d, kBadConfig, "server moved"},
    {0x9f, kNotConnected, "connection rate exceeded"},
    {0xa0, kNotConnected, "maximum connect time"},
    {0xa2, kBadConfig, "wildcard subscriptions not supported"},
}};

}  // namespace

Result<std::size_t> parse_packet(std::string_view bytes, int version, std::size_t max_packet, Packet& out) {
  if (bytes.size() < 2) return std::size_t{0};
  std::size_t length = 0, at = 1;
  for (;; ++at) {
    if (at > 4) return malformed("its length takes more than four bytes");
    if (at >= bytes.size()) return std::size_t{0};
    auto part = static_cast<std::uint8_t>(bytes[at]);
    length |= static_cast<std::size_t>(part & 0x7f) << (7 * (at - 1));
    if (!(part & 0x80)) break;
  }
  std::size_t total = at + 1 + length;
  if (total > max_packet) {
    return Error{ErrorKind::not_connected, "the broker sent a packet of " + std::to_string(total) +
                                               " bytes, more than " + std::to_string(max_packet)};
  }
  if (bytes.size() < total) return std::size_t{0};
  auto first = static_cast<std::uint8_t>(bytes[0]);
  if ((first >> 4) == 0) return malformed("it has no type");
  out = Packet();
  out.type = static_cast<PacketType>(first >> 4);
  Reader reader{bytes.substr(at + 1, length)};
  read_body(reader, first & 15, version, out);
  if (!reader.ok) return malformed("its fields do not fit");
  return total;
}

void append_connect(std::string& out, const ConnectOptions& options) {
  std::string body;
  append_text(body, "MQTT");
  body += static_cast<char>(options.version);
  // 3.1.1 has no password without a user name: an empty one goes along.
  bool username = options.has_username || (options.has_password && options.version == kVersion311);
  body += static_cast<char>(0x02 | (username ? 0x80 : 0) | (options.has_password ? 0x40 : 0));
  append_two(body, options.keep_alive_s);
  if (options.version == kVersion5) {
    body += static_cast<char>(8);
    body += static_cast<char>(0x21);
    append_two(body, options.receive_maximum);
    body += static_cast<char>(0x27);
    append_four(body, options.maximum_packet_size);
  }
  append_text(body, options.client_id);
  if (username) append_text(body, options.username);
  if (options.has_password) append_text(body, options.password);
  out += static_cast<char>(0x10);
  append_variable(out, body.size());
  out += body;
}

std::size_t publish_size(int version, std::string_view topic, std::string_view payload, int qos) {
  auto body = publish_body_size(version, topic, payload, qos);
  return 1 + variable_size(body) + body;
}

void append_publish(std::string& out, int version, std::uint16_t id, std::string_view topic, std::string_view payload,
                    int qos, bool retain) {
  out += static_cast<char>(0x30 | qos << 1 | (retain ? 1 : 0));
  append_variable(out, publish_body_size(version, topic, payload, qos));
  append_text(out, topic);
  if (qos > 0) append_two(out, id);
  if (version == kVersion5) out += '\0';
  out += payload;
}

void append_subscribe(std::string& out, int version, std::uint16_t id, std::string_view filter, int qos) {
  out += static_cast<char>(0x82);
  append_variable(out, 2 + (version == kVersion5 ? 1 : 0) + 2 + filter.size() + 1);
  append_two(out, id);
  if (version == kVersion5) out += '\0';
  append_text(out, filter);
  out += static_cast<char>(qos);
}

void append_puback(std::string& out, std::uint16_t id) {
  out += std::string_view("\x40\x02", 2);
  append_two(out, id);
}

void append_pingreq(std::string& out) {
  out += std::string_view("\xc0\x00", 2);
}

void append_disconnect(std::string& out) {
  out += std::string_view("\xe0\x00", 2);
}

Reason reason_of(std::uint8_t code) {
  for (const auto& reason : kReasons) {
    if (reason.code == code) return reason;
  }
  // What we do not know is tried again: a duplicate is allowed, a loss is not.
  return {code, kTransient, "unknown reason"};
}

Reason connack_reason_311(std::uint8_t code) {
  switch (code) {
    case 1:
      return {code, kBadConfig, "unacceptable protocol version"};
    case 2:
      return {code, kBadConfig, "client identifier rejected"};
    case 3:
      return {code, kNotConnected, "server unavailable"};
    case 4:
      return {code, kBadConfig, "bad user name or password"};
    case 5:
      return {code, kBadConfig, "not authorised"};
    default:
      return {code, kNotConnected, "unknown return code"};
  }
}

}  // namespace sluice::net::mqtt
