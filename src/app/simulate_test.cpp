// SPDX-License-Identifier: Apache-2.0
#include <gtest/gtest.h>
#include <set>

#include "app/simulate_book.h"
#include "app/simulate_mqtt.h"
#include "app/simulate_report.h"
#include "binder/thingpark/tunnel.h"

namespace sluice::app {
namespace {

constexpr UnixMillis kNow = 1700000000000;

ReportSettings settings() {
  ReportSettings out;
  out.host = "127.0.0.1:8080";
  out.path = "/iot-flow/tunnel/x";
  out.as_id = "my app/1";  // needs encoding
  out.as_key = "f3203a20a2e8dfaf6686b621f56d05e3";
  return out;
}

ReportMaker maker(ReportSettings given = settings()) {
  auto made = ReportMaker::make(std::move(given));
  EXPECT_TRUE(made) << made.error().text;
  return std::move(*made);
}

struct Split {
  std::string query, body;
};

Split split(std::string_view request) {
  const auto question = request.find('?');
  const auto end = request.find(" HTTP/1.1\r\n");
  const auto body = request.find("\r\n\r\n");
  return {std::string(request.substr(question + 1, end - question - 1)), std::string(request.substr(body + 4))};
}

TEST(SimulateReport, IsAcceptedByTheBinderAndReadsAsWhatWasMeant) {
  auto reports = maker();
  binder::thingpark::Settings binder;
  binder.id = "x";
  binder.as_id = settings().as_id;
  binder.as_key = settings().as_key;
  for (std::uint32_t device = 0; device < 50; ++device) {
    const auto [query, body] = split(reports.request(device, 7 + device, kNow));
    auto accepted = binder::thingpark::accept(binder, {query, "application/json", body}, kNow);
    auto* message = std::get_if<message::Message>(&accepted);
    ASSERT_NE(message, nullptr) << std::get<binder::thingpark::Refusal>(accepted).text << body;
    EXPECT_EQ(message->dev_eui, reports.dev_eui(device));
    EXPECT_EQ(message->fcnt_up, 7 + device);
    EXPECT_EQ(message->payload_hex, reports.payload_hex(device, 7 + device));
    ASSERT_TRUE(message->application);
    EXPECT_EQ(message->application->module, "climate");
    EXPECT_EQ(message->body, body);  // compact already
  }
}

TEST(SimulateReport, AWrongKeyIsRefused) {
  auto reports = maker();
  binder::thingpark::Settings binder;
  binder.as_id = settings().as_id;
  binder.as_key = "00000000000000000000000000000000";
  const auto [query, body] = split(reports.request(1, 1, kNow));
  auto accepted = binder::thingpark::accept(binder, {query, "application/json", body}, kNow);
  ASSERT_TRUE(std::holds_alternative<binder::thingpark::Refusal>(accepted));
  EXPECT_EQ(std::get<binder::thingpark::Refusal>(accepted).status, 401);
}

TEST(SimulateReport, TheHeadAnnouncesTheBody) {
  auto reports = maker();
  const std::string request(reports.request(3, 9, kNow));
  const auto body = split(request).body;
  EXPECT_NE(request.find("Content-Length: " + std::to_string(body.size()) + "\r\n"), std::string::npos);
  EXPECT_TRUE(request.starts_with("POST /iot-flow/tunnel/x?LrnDevEui=5A1CE00000000004&LrnFPort=2&"));
}

TEST(SimulateReport, PayloadsVaryAndAreRepeatable) {
  auto first = maker(), second = maker();
  std::set<std::string> seen;
  for (std::uint32_t i = 0; i < 200; ++i) {
    EXPECT_EQ(first.payload_hex(1, i), second.payload_hex(1, i));
    EXPECT_EQ(first.payload_hex(1, i).size(), 12u);
    seen.insert(first.payload_hex(1, i));
  }
  EXPECT_GT(seen.size(), 190u);
}

TEST(SimulateReport, RefusesWhatItCannotMake) {
  auto given = settings();
  given.payload_type = "soup";
  EXPECT_FALSE(ReportMaker::make(given));
  given = settings();
  given.driver = "climate";
  EXPECT_FALSE(ReportMaker::make(given));
  given.driver = "a:b\":1";
  EXPECT_FALSE(ReportMaker::make(given));
}

std::string document(const ReportMaker& reports, std::uint32_t device, std::uint32_t fcnt) {
  return R"({"DevEUI_uplink":{"DevEUI":")" + reports.dev_eui(device) + R"(","FCntUp":)" + std::to_string(fcnt) +
         R"(,"payload_hex":")" + reports.payload_hex(device, fcnt) + R"(","payload":{"temperature":1}}})";
}

TEST(SimulateBook, CountsWhatBecameOfEachReport) {
  auto reports = maker();
  Book book(reports, 2, 5, true);
  for (int i = 0; i < 4; ++i)
    EXPECT_EQ(book.issue(0, 1000), 5u + static_cast<unsigned>(i));
  book.answered(0, 5);
  book.answered(0, 6);
  book.arrived(document(reports, 0, 6), 3000);
  book.arrived(document(reports, 0, 6), 3000);  // again
  book.arrived(document(reports, 0, 5), 4000);  // too late
  book.arrived(document(reports, 0, 7), 4000);  // never answered, yet known
  book.arrived(document(reports, 0, 9), 4000);  // never sent
  book.arrived(document(reports, 1, 5), 4000);  // never sent
  book.arrived("{}", 4000);
  auto damaged = document(reports, 0, 8);
  damaged.replace(damaged.find("payload_hex") + 14, 2, "FF");
  book.arrived(damaged, 4000);
  const auto& counts = book.counts();
  EXPECT_EQ(counts.sent, 4u);
  EXPECT_EQ(counts.answered, 2u);
  EXPECT_EQ(counts.arrived, 3u);
  EXPECT_EQ(counts.duplicates, 1u);
  EXPECT_EQ(counts.reordered, 1u);
  EXPECT_EQ(counts.unknown, 3u);
  EXPECT_EQ(counts.damaged, 1u);
  EXPECT_EQ(counts.undecoded, 0u);
  EXPECT_EQ(book.missing(), 0u);
  book.answered(0, 8);
  EXPECT_EQ(book.missing(), 1u);
}

TEST(SimulateLatencies, QuantilesAreWithinThreePercentAndNeverTooGood) {
  Latencies latencies;
  for (int i = 1; i <= 10000; ++i)
    latencies.add(i * 10);
  EXPECT_GE(latencies.quantile_ms(0.5), 50.0);
  EXPECT_LE(latencies.quantile_ms(0.5), 50.0 * 1.04);
  EXPECT_GE(latencies.quantile_ms(0.99), 99.0);
  EXPECT_LE(latencies.quantile_ms(0.99), 100.0);
  EXPECT_DOUBLE_EQ(latencies.max_ms(), 100.0);
  EXPECT_EQ(Latencies().quantile_ms(0.5), 0.0);
}

TEST(SimulateMqtt, ReadsPlaces) {
  auto place = parse_mqtt_place("mqtt://me:pa:ss@[::1]:1884/a/+/b/#");
  ASSERT_TRUE(place);
  EXPECT_EQ(place->username, "me");
  EXPECT_EQ(place->password, "pa:ss");
  EXPECT_EQ(place->port, "1884");
  EXPECT_EQ(place->filter, "a/+/b/#");
  EXPECT_FALSE(parse_mqtt_place("tcp://x/y"));
  EXPECT_FALSE(parse_mqtt_place("mqtt://x:1/"));
}

TEST(SimulateMqtt, ReadsPacketsHoweverTheyAreCut) {
  // CONNACK, SUBACK, then a PUBLISH of QoS 1 on "t" with id 258 and 200 bytes.
  std::string stream("\x20\x02\x00\x00\x90\x03\x00\x01\x00", 9);
  stream += "\x32\xCD";
  stream += '\x01';
  stream += std::string("\x00\x01t\x01\x02", 5) + std::string(200, 'x');
  for (std::size_t cut = 1; cut < stream.size(); ++cut) {
    MqttReader reader;
    int connack = -1, suback = -1;
    std::string got;
    reader.on_connack = [&](int code) { connack = code; };
    reader.on_suback = [&](int code) { suback = code; };
    reader.on_publish = [&](const MqttReader::Publish& publish) {
      EXPECT_EQ(publish.topic, "t");
      EXPECT_EQ(publish.packet_id, 258);
      got = publish.payload;
    };
    ASSERT_TRUE(reader.feed(std::string_view(stream).substr(0, cut)));
    ASSERT_TRUE(reader.feed(std::string_view(stream).substr(cut)));
    EXPECT_EQ(connack, 0);
    EXPECT_EQ(suback, 0);
    EXPECT_EQ(got, std::string(200, 'x')) << cut;
  }
}

}  // namespace
}  // namespace sluice::app
