// SPDX-License-Identifier: Apache-2.0
#include "net/mqtt_wire.h"

#include <gtest/gtest.h>

#include "net/testing/fake_mqtt_broker.h"

namespace sluice::net::mqtt {
namespace {

constexpr std::size_t kMax = 1 << 20;

TEST(MqttWire, ConnectIsAsTheStandardSays) {
  ConnectOptions options;
  options.client_id = "c";
  options.keep_alive_s = 60;
  std::string out;
  append_connect(out, options);
  EXPECT_EQ(out, bytes(0x10, 13, 0, 4, 'M', 'Q', 'T', 'T', 4, 0x02, 0, 60, 0, 1, 'c'));
  options.has_password = true;
  options.password = "p";
  out.clear();
  append_connect(out, options);
  EXPECT_EQ(out, bytes(0x10, 18, 0, 4, 'M', 'Q', 'T', 'T', 4, 0xc2, 0, 60, 0, 1, 'c', 0, 0, 0, 1, 'p'));
  options.version = kVersion5;
  out.clear();
  append_connect(out, options);
  EXPECT_EQ(out, bytes(0x10, 25, 0, 4, 'M', 'Q', 'T', 'T', 5, 0x42, 0, 60, 8, 0x21, 0, 100, 0x27, 0, 0x10, 0, 0, 0, 1,
                       'c', 0, 1, 'p'));
}

TEST(MqttWire, PublishRoundTrip) {
  for (int version : {kVersion311, kVersion5}) {
    for (int qos : {0, 1}) {
      for (std::size_t size : {std::size_t{0}, std::size_t{100}, std::size_t{130}, std::size_t{20000}}) {
        std::string payload(size, 'x'), out;
        append_publish(out, version, qos ? 513 : 0, "a/b", payload, qos, true);
        EXPECT_EQ(out.size(), publish_size(version, "a/b", payload, qos));
        Packet packet;
        for (std::size_t cut : {std::size_t{1}, std::size_t{2}, out.size() - 1}) {
          auto part = parse_packet(std::string_view(out).substr(0, cut), version, kMax, packet);
          ASSERT_TRUE(part);
          EXPECT_EQ(*part, 0u);
        }
        std::string input = out + "more";
        auto length = parse_packet(input, version, kMax, packet);
        ASSERT_TRUE(length);
        EXPECT_EQ(*length, out.size());
        EXPECT_EQ(packet.type, PacketType::publish);
        EXPECT_EQ(packet.topic, "a/b");
        EXPECT_EQ(packet.payload, payload);
        EXPECT_EQ(packet.id, qos ? 513 : 0);
        EXPECT_EQ(packet.qos, qos);
        EXPECT_TRUE(packet.retain);
      }
    }
  }
}

TEST(MqttWire, ConnackPropertiesOfVersion5) {
  Packet packet;
  auto connack = bytes(0x20, 29, 0, 0x87, 26, 0x21, 0, 10, 0x27, 0, 0, 4, 0, 0x24, 1, 0x25, 0, 0x12, 0, 1, 'q', 0x13, 0,
                       5, 0x1f, 0, 2, 'n', 'o', 0x22, 0);
  connack += bytes(9);
  connack[1] = 29 + 1;
  connack[4] = 27;
  auto length = parse_packet(connack, kVersion5, kMax, packet);
  ASSERT_TRUE(length) << length.error().text;
  EXPECT_EQ(packet.reason, 0x87);
  EXPECT_EQ(packet.properties.receive_maximum, 10);
  EXPECT_EQ(packet.properties.maximum_packet_size, 1024u);
  EXPECT_EQ(packet.properties.maximum_qos, 1);
  EXPECT_EQ(packet.properties.retain_available, 0);
  EXPECT_EQ(packet.properties.assigned_client_id, "q");
  EXPECT_EQ(packet.properties.server_keep_alive, 5);
  EXPECT_EQ(packet.properties.reason_string, "no");
}

TEST(MqttWire, MalformedPacketsAreErrors) {
  Packet packet;
  for (const auto& input : {bytes(0x30, 0xff, 0xff, 0xff, 0xff, 1),  // length of five bytes
                            bytes(0x00, 0),                          // type 0
                            bytes(0x30, 3, 0, 9, 'a'),               // topic longer than the packet
                            bytes(0x36, 4, 0, 0, 0, 1),              // QoS 3
                            bytes(0x32, 4, 0, 0, 0, 0),              // QoS 1 without an id
                            bytes(0x30, 3, 0, 1, 0),                 // NUL in the topic
                            bytes(0x40, 1, 0),                       // half an id
                            bytes(0x20, 1, 0)}) {                    // CONNACK without a code
    EXPECT_FALSE(parse_packet(input, kVersion311, kMax, packet));
  }
  EXPECT_FALSE(parse_packet(bytes(0x20, 4, 0, 0, 1, 0x7f), kVersion5, kMax, packet));    // unknown property
  EXPECT_FALSE(parse_packet(bytes(0x30, 0x80, 0x80, 0x41), kVersion311, kMax, packet));  // over the limit
}

TEST(MqttWire, ReasonsHaveTheirKinds) {
  EXPECT_EQ(reason_of(0x87).kind, ErrorKind::bad_config);
  EXPECT_EQ(reason_of(0x90).kind, ErrorKind::permanent);
  EXPECT_EQ(reason_of(0x95).kind, ErrorKind::permanent);
  EXPECT_EQ(reason_of(0x97).kind, ErrorKind::transient);
  EXPECT_EQ(reason_of(0x80).kind, ErrorKind::transient);
  EXPECT_EQ(reason_of(0xfe).kind, ErrorKind::transient);
  EXPECT_EQ(connack_reason_311(4).kind, ErrorKind::bad_config);
  EXPECT_EQ(connack_reason_311(5).kind, ErrorKind::bad_config);
  EXPECT_EQ(connack_reason_311(3).kind, ErrorKind::not_connected);
}

}  // namespace
}  // namespace sluice::net::mqtt
