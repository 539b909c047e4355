// SPDX-License-Identifier: Apache-2.0
#include "app/simulate_mqtt.h"

namespace sluice::app {
namespace {

constexpr std::size_t kMaxPacket = 1u << 20;

std::string u16(std::size_t value) {
  return {static_cast<char>(value >> 8), static_cast<char>(value & 0xFF)};
}

std::string text(std::string_view value) {
  return u16(value.size()).append(value);
}

std::string packet_of(unsigned head, const std::string& body) {
  std::string out(1, static_cast<char>(head));
  std::size_t length = body.size();
  do {
    const std::size_t digit = length % 128;
    length /= 128;
    out += static_cast<char>(length ? digit | 0x80 : digit);
  } while (length);
  return out + body;
}

std::uint16_t read_u16(std::string_view bytes) {
  return static_cast<std::uint16_t>(static_cast<unsigned char>(bytes[0]) << 8 | static_cast<unsigned char>(bytes[1]));
}

}  // namespace

Result<MqttPlace> parse_mqtt_place(const std::string& url) {
  static constexpr std::string_view kScheme = "mqtt://";
  const std::size_t slash = url.find('/', kScheme.size());
  if (!url.starts_with(kScheme) || slash == std::string::npos || slash + 1 == url.size()) {
    return Error{ErrorKind::bad_config, "expected mqtt://[user:password@]host[:port]/topic/filter"};
  }
  MqttPlace place;
  place.filter = url.substr(slash + 1);
  std::string authority = url.substr(kScheme.size(), slash - kScheme.size());
  if (const std::size_t at = authority.rfind('@'); at != std::string::npos) {
    const std::string user = authority.substr(0, at);
    const std::size_t colon = user.find(':');
    place.username = user.substr(0, colon);
    if (colon != std::string::npos) place.password = user.substr(colon + 1);
    authority.erase(0, at + 1);
  }
  if (const std::size_t colon = authority.rfind(':'); colon != std::string::npos) {
    place.port = authority.substr(colon + 1);
    authority.resize(colon);
  }
  place.host = authority;
  if (place.host.empty() || place.port.empty())
    return Error{ErrorKind::bad_config, "the broker's host or port is empty"};
  return place;
}

std::string mqtt_connect(const std::string& client_id, const MqttPlace& place) {
  unsigned flags = 0x02;  // clean session
  std::string credentials;
  if (!place.username.empty()) {
    flags |= 0x80;
    credentials += text(place.username);
    if (!place.password.empty()) {
      flags |= 0x40;
      credentials += text(place.password);
    }
  }
  std::string body = text("MQTT");
  body += '\x04';
  body += static_cast<char>(flags);
  body += u16(60);
  return packet_of(0x10, body + text(client_id) + credentials);
}

std::string mqtt_subscribe(std::uint16_t packet_id, const std::string& filter, int qos) {
  return packet_of(0x82, u16(packet_id) + text(filter) + static_cast<char>(qos));
}

std::string mqtt_puback(std::uint16_t packet_id) {
  return packet_of(0x40, u16(packet_id));
}

std::string mqtt_pingreq() {
  return packet_of(0xC0, "");
}

Result<void> MqttReader::feed(std::string_view bytes) {
  pending_.append(bytes);
  std::size_t at = 0;
  while (pending_.size() - at >= 2) {
    std::size_t length = 0, digits = 0;
    bool whole = false;
    while (at + 1 + digits < pending_.size() && digits < 4) {
      const auto digit = static_cast<unsigned char>(pending_[at + 1 + digits]);
      length |= static_cast<std::size_t>(digit & 0x7F) << (7 * digits++);
      if ((digit & 0x80) == 0) {
        whole = true;
        break;
      }
    }
    if (!whole && digits == 4) return Error{ErrorKind::permanent, "the broker does not speak MQTT"};
    if (length > kMaxPacket) return Error{ErrorKind::permanent, "a packet of the broker is over 1 MiB"};
    const std::size_t head = 1 + digits;
    if (!whole || pending_.size() - at < head + length) break;
    auto done = packet(static_cast<std::uint8_t>(pending_[at]), std::string_view(pending_).substr(at + head, length));
    if (!done) return done;
    at += head + length;
  }
  pending_.erase(0, at);
  return {};
}

Result<void> MqttReader::packet(std::uint8_t head, std::string_view body) {
  const Error broken{ErrorKind::permanent, "a packet of the broker is cut short"};
  switch (head >> 4) {
    case 2:
      if (body.size() < 2) return broken;
      if (on_connack) on_connack(static_cast<unsigned char>(body[1]));
      break;
    case 9:
      if (body.size() < 3) return broken;
      if (on_suback) on_suback(static_cast<unsigned char>(body[2]));
      break;
    case 3: {
      Publish publish;
      publish.qos = (head >> 1) & 3;
      if (body.size() < 2) return broken;
      const std::size_t topic = read_u16(body);
      const std::size_t start = 2 + topic + (publish.qos ? 2 : 0);
      if (body.size() < start) return broken;
      publish.topic = body.substr(2, topic);
      if (publish.qos) publish.packet_id = read_u16(body.substr(2 + topic));
      publish.payload = body.substr(start);
      if (on_publish) on_publish(publish);
      break;
    }
    default:
      break;  // answers to our pings
  }
  return {};
}

}  // namespace sluice::app
