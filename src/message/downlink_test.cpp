// SPDX-License-Identifier: Apache-2.0
#include "message/downlink.h"

#include <fstream>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <iterator>

#include "base/codec.h"
#include "base/json.h"

namespace sluice::message {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;

const UnixMillis kNow = *parse_time("2024-05-02T06:00:00Z");

std::string sample(const std::string& name) {
  std::ifstream in(SLUICE_SOURCE_DIR "/tests/data/messages/" + name, std::ios::binary);
  EXPECT_TRUE(in) << name;
  return {std::istreambuf_iterator<char>(in), {}};
}

std::vector<std::string> paths(const ParsedDownlink& parsed) {
  std::vector<std::string> out;
  for (const auto& fault : parsed.faults)
    out.push_back(fault.path);
  return out;
}

std::vector<std::string> fault_paths(std::string_view json) {
  return paths(parse_downlink(json, {}, true, kNow));
}

TEST(ParseDownlink, ReadsTheSamples) {
  UnixMillis then = *parse_time("2018-10-17T13:38:46Z");
  auto plain = parse_downlink(sample("downlink.json"), {}, false, then);
  EXPECT_THAT(plain.faults, IsEmpty());
  EXPECT_EQ(plain.downlink.dev_eui, "0018B20000000B20");
  EXPECT_EQ(plain.downlink.fport, 1);
  EXPECT_EQ(plain.downlink.payload_hex, "9e1c4852512000220020e3831071");
  EXPECT_EQ(plain.downlink.correlation_id.size(), 16u);
  auto full = parse_downlink(sample("downlink-full.json"), {}, false, then);
  EXPECT_THAT(full.faults, IsEmpty());
  EXPECT_EQ(
      full.downlink.payload,
      R"({"DownMessageType":"SET_PARAMETER","ParameterName":"TRANSMIT_STRAT","TransmitStrat":"DOUBLE_FIXED","AckToken":1})");
  EXPECT_EQ(full.downlink.application, (ModuleRef{"abeeway", "asset-tracker", "1"}));
  EXPECT_TRUE(full.downlink.confirmed && full.downlink.flush_queue && full.downlink.retry_ineligible_gateways);
  EXPECT_EQ(full.downlink.as_id, "TWA_199983788.1972.AS");
  EXPECT_EQ(full.downlink.as_key, "9311e22d7d44fc52215b0dc154aa1d22");
  EXPECT_EQ(full.downlink.valid_until, parse_time("2019-07-10T14:38:46.882Z"));
  EXPECT_THAT(parse_downlink(sample("tunnel-downlink.json"), {}, false, then).faults, IsEmpty());
}

TEST(ParseDownlink, ReportsAllFaultsAtOnce) {
  auto parsed =
      parse_downlink(R"({"DevEUI_downlink":{"DevEUI":"12","FPort":225,"payload_hex":"0 0","payload":{},"Confirmed":2,
    "FCntDn":-1,"AFCntDn":"4294967296","ValidityTime":"2024-05-02T05:59:59Z","Time":"yesterday","Token":"00",
    "CorrelationID":"xyz","DriverCfg":{"mod":{}},"FlushDownlinkQueue":[]}})",
                     {}, false, kNow);
  EXPECT_THAT(paths(parsed),
              testing::UnorderedElementsAre(
                  "/DevEUI_downlink/DevEUI", "/DevEUI_downlink/FPort", "/DevEUI_downlink/payload_hex",
                  "/DevEUI_downlink/payload", "/DevEUI_downlink/Confirmed", "/DevEUI_downlink/FCntDn",
                  "/DevEUI_downlink/AFCntDn", "/DevEUI_downlink/ValidityTime", "/DevEUI_downlink/Time",
                  "/DevEUI_downlink/Token", "/DevEUI_downlink/CorrelationID", "/DevEUI_downlink/DriverCfg/app",
                  "/DevEUI_downlink/DriverCfg/mod", "/DevEUI_downlink/FlushDownlinkQueue"));
  for (const auto& fault : parsed.faults)
    EXPECT_FALSE(fault.message.empty());
}

TEST(ParseDownlink, TellsWhatIsNoCommand) {
  EXPECT_THAT(fault_paths("hello"), ElementsAre(""));
  EXPECT_FALSE(parse_downlink("hello", {}, false, kNow).is_downlink) << "a topic may carry anything";
  auto other = parse_downlink(R"({"forward":1})", {}, false, kNow);
  EXPECT_FALSE(other.is_downlink);
  EXPECT_THAT(other.faults, IsEmpty());
  EXPECT_FALSE(parse_downlink("[1]", {}, false, kNow).is_downlink);
  EXPECT_THAT(fault_paths("[1]"), ElementsAre(""));
  EXPECT_THAT(fault_paths(R"({"DevEUI_downlink":"x"})"), ElementsAre("/DevEUI_downlink"));
}

TEST(ParseDownlink, TakesDefaultsAndBareObjects) {
  DownlinkDefaults defaults{"as", "key", 7, "74fe48ffff5a3d9f"};
  auto parsed = parse_downlink(R"({"payload_hex":"00"})", defaults, true, kNow);
  EXPECT_THAT(parsed.faults, IsEmpty());
  EXPECT_EQ(parsed.downlink.dev_eui, "74FE48FFFF5A3D9F");
  EXPECT_EQ(parsed.downlink.fport, 7);
  EXPECT_EQ(parsed.downlink.as_id, "as");
  EXPECT_EQ(parsed.downlink.as_key, "key");
  auto own = parse_downlink(R"({"DevEUI":"74-FE-48-FF-FF-5A-3D-90","FPort":"2","payload_hex":"00","AS_ID":"mine"})",
                            defaults, true, kNow);
  EXPECT_EQ(own.downlink.dev_eui, "74FE48FFFF5A3D90");
  EXPECT_EQ(own.downlink.fport, 2);
  EXPECT_EQ(own.downlink.as_id, "mine");
}

TEST(ParseDownlink, ChecksEachRule) {
  constexpr const char* kDevice = R"({"DevEUI":"74FE48FFFF5A3D9F",)";
  auto faults = [&](const std::string& rest) { return fault_paths(kDevice + rest + "}"); };
  EXPECT_THAT(faults(R"("payload_hex":"00","FPort":1)"), IsEmpty());
  EXPECT_THAT(faults(R"("payload_hex":"00","FPort":0)"), ElementsAre("/FPort"));
  EXPECT_THAT(faults(R"("payload_hex":"00","FPort":1.0)"), ElementsAre("/FPort"));
  EXPECT_THAT(faults(R"("payload_hex":"00")"), ElementsAre("/FPort"));
  EXPECT_THAT(faults(R"("payload_hex":"000","FPort":1)"), ElementsAre("/payload_hex"));
  EXPECT_THAT(faults(R"("payload_hex":")" + std::string(2 * 242, '0') + R"(","FPort":1)"), IsEmpty());
  EXPECT_THAT(faults(R"("payload_hex":")" + std::string(2 * 243, '0') + R"(","FPort":1)"), ElementsAre("/payload_hex"));
  EXPECT_THAT(faults(R"("payload":{"a":1})"), IsEmpty()) << "the driver may give the port";
  EXPECT_THAT(faults(R"("payload":[1])"), ElementsAre("/payload"));
  EXPECT_THAT(faults(R"("payload":"{\"a\":1}")"), IsEmpty());
  EXPECT_THAT(faults(R"("payload":{},"FCntDn":1)"), ElementsAre("/payload"));
  EXPECT_THAT(faults(R"("payload_hex":"00","FPort":1,"FCntDn":1,"AFCntDn":2)"), ElementsAre("/AFCntDn"));
  EXPECT_THAT(faults(R"("FPort":1)"), ElementsAre("/payload_hex"));
  EXPECT_THAT(faults(R"("FPort":1,"FlushDownlinkQueue":true)"), IsEmpty());
  EXPECT_THAT(faults(R"("FlushDownlinkQueue":"1")"), IsEmpty());
  EXPECT_THAT(faults(R"("payload_hex":"00","FPort":1,"ValidityTime":60)"), IsEmpty());
  EXPECT_THAT(faults(R"("payload_hex":"00","FPort":1,"ValidityTime":0)"), ElementsAre("/ValidityTime"));
  EXPECT_THAT(faults(R"("payload_hex":"00","FPort":1,"ValidityTime":"9223372036854775807")"),
              ElementsAre("/ValidityTime"));
  EXPECT_THAT(faults(R"("payload_hex":null,"payload":null,"FPort":null)"), ElementsAre("/payload_hex"));
}

// Each row: what is added to a sound command, the fault it makes ("" for none), and what the request then holds.
TEST(ParseDownlink, EachRuleMakesItsRequest) {
  struct Row {
    const char* fields;
    const char* fault;
    const char* query;
  };
  const Row rows[] = {
      {R"("Confirmed":"1")", "", "&Confirmed=1"},
      {R"("Confirmed":true)", "", "&Confirmed=1"},
      {R"("Confirmed":"true")", "", "&Confirmed=1"},
      {R"("Confirmed":0)", "", ""},
      {R"("Confirmed":false)", "", ""},
      {R"("Confirmed":null)", "", ""},
      {R"("Confirmed":"yes")", "/Confirmed", ""},
      {R"("FlushDownlinkQueue":"1")", "", "&FlushDownlinkQueue=1"},
      {R"("FlushDownlinkQueue":"0")", "", ""},
      {R"("RetryIneligibleGateways":"0")", "", "&RetryIneligibleGateways=0"},
      {R"("RetryIneligibleGateways":false)", "", "&RetryIneligibleGateways=0"},
      {R"("RetryIneligibleGateways":1)", "", ""},
      {R"("RetryIneligibleGateways":2)", "/RetryIneligibleGateways", ""},
      {R"("FCntDn":"7")", "", "&FCntDn=7"},
      {R"("FCntDn":0)", "", "&FCntDn=0"},
      {R"("FCntDn":4294967295)", "", "&FCntDn=4294967295"},
      {R"("FCntDn":4294967296)", "/FCntDn", ""},
      {R"("FCntDn":"-1")", "/FCntDn", ""},
      {R"("AFCntDn":"4294967295")", "", "&AFCntDn=4294967295"},
      {R"("FCntDn":1,"AFCntDn":1)", "/AFCntDn", ""},
      {R"("ValidityTime":"60")", "", "&ValidityTime=60"},
      {R"("ValidityTime":60)", "", "&ValidityTime=60"},
      {R"("ValidityTime":"2024-05-02T09:00:00+02:00")", "", "&ValidityTime=2024-05-02T09%3A00%3A00%2B02%3A00"},
      {R"("ValidityTime":"2024-05-02T08:00:00+02:00")", "/ValidityTime", ""},
      {R"("ValidityTime":-1)", "/ValidityTime", ""},
      {R"("ValidityTime":"soon")", "/ValidityTime", ""},
      {R"("CorrelationID":"0123456789abcdef")", "", "&CorrelationID=0123456789abcdef"},
      {R"("CorrelationID":"0123456789abcde")", "/CorrelationID", ""},
      {R"("AS_ID":"TWA.1")", "", "&AS_ID=TWA.1&"},
      {R"("AS_ID":7)", "/AS_ID", ""},
  };
  for (const auto& row : rows) {
    auto parsed = parse_downlink(
        R"({"DevEUI":"74FE48FFFF5A3D9F","FPort":"9","payload_hex":"0A",)" + std::string(row.fields) + "}",
        {"as", "key", 7, ""}, true, kNow);
    if (*row.fault) {
      EXPECT_THAT(paths(parsed), ElementsAre(row.fault)) << row.fields;
      continue;
    }
    EXPECT_THAT(parsed.faults, IsEmpty()) << row.fields;
    auto query = downlink_query(parsed.downlink, kNow);
    EXPECT_THAT(query, testing::StartsWith("DevEUI=74FE48FFFF5A3D9F&FPort=9&Payload=0A&")) << row.fields;
    EXPECT_THAT(query, HasSubstr(row.query)) << row.fields;
    for (const char* name : {"Confirmed", "FlushDownlinkQueue", "RetryIneligibleGateways", "FCntDn", "ValidityTime"}) {
      if (!std::string_view(row.query).starts_with(std::string("&") + name) &&
          !std::string_view(row.query).starts_with("&AFCntDn")) {
        EXPECT_THAT(query, testing::Not(HasSubstr(name))) << row.fields;
      }
    }
    EXPECT_EQ(parsed.downlink.correlation_id.size(), 16u);
    EXPECT_THAT(query, HasSubstr("&CorrelationID=" + parsed.downlink.correlation_id));
  }
}

TEST(ParseDownlink, APureFlushNeedsNoPort) {
  auto parsed = parse_downlink(R"({"DevEUI":"74FE48FFFF5A3D9F","FlushDownlinkQueue":1})", {}, true, kNow);
  EXPECT_THAT(parsed.faults, IsEmpty());
  EXPECT_EQ(downlink_query(parsed.downlink, kNow),
            "DevEUI=74FE48FFFF5A3D9F&FlushDownlinkQueue=1&CorrelationID=" + parsed.downlink.correlation_id);
}

TEST(DownlinkQuery, TheSecondsOfAValidityRunWhileItWaits) {
  std::string body = R"({"DevEUI":"74FE48FFFF5A3D9F","FPort":1,"payload_hex":"00","ValidityTime":"60","AS_KEY":"k")";
  auto parsed = parse_downlink(body + "}", {}, true, kNow);
  EXPECT_THAT(downlink_query(parsed.downlink, kNow + 900), HasSubstr("&ValidityTime=60&"));
  EXPECT_THAT(downlink_query(parsed.downlink, kNow + 45'000), HasSubstr("&ValidityTime=15&"));
  EXPECT_THAT(downlink_query(parsed.downlink, kNow + 70'000), HasSubstr("&ValidityTime=1&"));
  auto of_caller = parse_downlink(body + R"(,"Time":"2024-05-02T06:00:00Z","Token":")" + std::string(64, 'a') + "\"}",
                                  {}, true, kNow);
  EXPECT_THAT(downlink_query(of_caller.downlink, kNow + 45'000), HasSubstr("&ValidityTime=60&")) << "he has signed it";
}

TEST(DownlinkOfQuery, ReadsWhatACustomerSends) {
  EXPECT_EQ(downlink_of_query("DevEUI=000000000F1D8693&FPort=1&Payload=00&Confirmed=1&other=2&ValidityTime=60"),
            R"({"DevEUI_downlink":{"DevEUI":"000000000F1D8693","FPort":"1","payload_hex":"00","Confirmed":"1",)"
            R"("ValidityTime":"60"}})");
  EXPECT_EQ(downlink_of_query(""), std::nullopt);
  EXPECT_EQ(downlink_of_query("FPort=1"), std::nullopt);
  EXPECT_EQ(downlink_of_query("DevEUI=%4"), std::nullopt);
  EXPECT_EQ(downlink_of_query("DevEUI=a&&=&FPort"), R"({"DevEUI_downlink":{"DevEUI":"a","FPort":""}})");
}

TEST(StoredDownlink, ComesBackAsItWas) {
  auto parsed = parse_downlink(
      R"({"DevEUI":"74FE48FFFF5A3D9F","FPort":3,"payload_hex":"0aFF","AFCntDn":4294967295,"Confirmed":1,)"
      R"("FlushDownlinkQueue":1,"RetryIneligibleGateways":0,"ValidityTime":"60","AS_ID":"a","AS_KEY":"k","Time":)"
      R"("2024-05-02T06:00:00Z","CorrelationID":"0123456789abcdef"})",
      {}, true, kNow);
  ASSERT_THAT(parsed.faults, IsEmpty());
  auto back = read_downlink(write_downlink(parsed.downlink));
  ASSERT_TRUE(back);
  EXPECT_EQ(downlink_query(*back, kNow), downlink_query(parsed.downlink, kNow));
  EXPECT_EQ(back->valid_until, parsed.downlink.valid_until);
  EXPECT_EQ(write_downlink(*back), write_downlink(parsed.downlink));
  EXPECT_FALSE(read_downlink("{}"));
  EXPECT_FALSE(read_downlink("[]"));
  EXPECT_FALSE(read_downlink("x"));
}

TEST(DownlinkQuery, EqualsThePublishedVectors) {
  auto vectors = json::parse(sample("tunnel-token-vectors.json"));
  ASSERT_TRUE(vectors);
  int seen = 0;
  for (const auto& item : vectors->as_array()) {
    const auto& vector = item.as_object();
    if (vector.at("direction") != "downlink") continue;
    ++seen;
    Downlink downlink;
    downlink.dev_eui = "000000000F1D8693";
    downlink.fport = 1;
    downlink.payload_hex = "00";
    downlink.as_id = "app1.sample.com";
    downlink.as_key = json::text_or(vector, "asKey");
    auto query = json::text_or(vector, "query");
    downlink.time = query.substr(query.find("Time=") + 5);
    EXPECT_EQ(downlink_query(downlink, kNow), json::text_or(vector, "queryOnTheWire"));
  }
  EXPECT_EQ(seen, 2);
}

TEST(DownlinkQuery, KeepsTheOrderAndLeavesOutWhatIsNotUsed) {
  Downlink d;
  d.dev_eui = "000000000F1D8693";
  d.flush_queue = true;
  EXPECT_EQ(downlink_query(d, kNow), "DevEUI=000000000F1D8693&FlushDownlinkQueue=1");
  d.fport = 2;
  d.payload_hex = "ab";
  d.afcnt_dn = 9;
  d.confirmed = true;
  d.validity_time = "2024-05-02T09:00:00+02:00";
  d.as_id = "a b";
  d.as_key = "k";
  d.correlation_id = "0123456789ABCDEF";
  d.retry_ineligible_gateways = false;
  auto query = downlink_query(d, kNow);
  EXPECT_THAT(query,
              testing::StartsWith(
                  "DevEUI=000000000F1D8693&FPort=2&Payload=ab&AFCntDn=9&Confirmed=1&FlushDownlinkQueue=1&ValidityTime="
                  "2024-05-02T09%3A00%3A00%2B02%3A00&AS_ID=a%20b&Time=2024-05-02T06%3A00%3A00.000%2B00%3A00&"
                  "CorrelationID=0123456789ABCDEF&RetryIneligibleGateways=0&Token="));
  EXPECT_THAT(query, testing::Not(HasSubstr("k&")));
}

TEST(DownlinkQuery, PassesACallersTokenOnlyWithItsTime) {
  auto token = std::string(64, 'a');
  std::string body =
      R"({"DevEUI":"74FE48FFFF5A3D9F","FPort":1,"payload_hex":"00","AS_ID":"x","AS_KEY":"k","Token":")" + token + "\"";
  auto timed = parse_downlink(body + R"(,"Time":"2024-05-02T06:00:00Z"})", {}, true, kNow);
  EXPECT_THAT(downlink_query(timed.downlink, kNow), testing::EndsWith("&Time=2024-05-02T06%3A00%3A00Z&Token=" + token));
  auto untimed = parse_downlink(body + "}", {}, true, kNow);
  EXPECT_THAT(downlink_query(untimed.downlink, kNow), testing::Not(HasSubstr(token)));
}

TEST(RejectedReport, IsAReport) {
  Downlink d;
  d.dev_eui = "000000000F1D8693";
  d.fport = 2;
  d.correlation_id = "0123456789ABCDEF";
  auto text = rejected_report(d, 400, "a \"fault\"", kNow);
  EXPECT_EQ(
      text,
      R"({"DevEUI_downlink_Rejected":{"Time":"2024-05-02T06:00:00.000+00:00","DevEUI":"000000000F1D8693","FPort":2,)"
      R"("DeliveryStatus":400,"DownlinkRejectionCause":"a \"fault\"","CorrelationID":"0123456789ABCDEF"}})");
  auto message = parse_report(text);
  ASSERT_TRUE(message);
  EXPECT_EQ(message->type, MessageType::downlink_rejected);
  EXPECT_TRUE(parse_report(rejected_report({}, 400, "", kNow)));
}

}  // namespace
}  // namespace sluice::message
