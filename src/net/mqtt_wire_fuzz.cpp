// SPDX-License-Identifier: Apache-2.0
#include <cstdlib>

#include "net/mqtt_wire.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace sluice::net::mqtt;
  if (size == 0) return 0;
  int version = data[0] & 1 ? kVersion5 : kVersion311;
  std::string_view bytes(reinterpret_cast<const char*>(data + 1), size - 1);
  while (!bytes.empty()) {
    Packet packet;
    auto length = parse_packet(bytes, version, 1 << 16, packet);
    if (!length || *length == 0) break;
    if (*length > bytes.size()) std::abort();
    if (packet.type == PacketType::publish && packet.qos < 2) {
      // What was read can be written and read again.
      std::string out;
      append_publish(out, kVersion311, packet.id, packet.topic, packet.payload, packet.qos, packet.retain);
      Packet again;
      auto length2 = parse_packet(out, kVersion311, 1 << 17, again);
      if (!length2 || *length2 != out.size() || again.topic != packet.topic || again.payload != packet.payload)
        std::abort();
      if (out.size() != publish_size(kVersion311, packet.topic, packet.payload, packet.qos)) std::abort();
    }
    bytes.remove_prefix(*length);
  }
  return 0;
}
