// SPDX-License-Identifier: Apache-2.0
#include "message/message.h"

#include <filesystem>
#include <fstream>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <iterator>
#include <map>

#include "base/json.h"
#include "message/json_scan.h"

namespace sluice::message {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

std::string sample(const std::string& name) {
  std::ifstream in(SLUICE_SOURCE_DIR "/tests/data/messages/" + name, std::ios::binary);
  EXPECT_TRUE(in) << name;
  return {std::istreambuf_iterator<char>(in), {}};
}

Message read(std::string_view json) {
  auto message = parse_report(json);
  EXPECT_TRUE(message) << (message ? "" : message.error().text);
  return message ? *message : Message{};
}

std::string fault(std::string_view json) {
  auto message = parse_report(json);
  EXPECT_FALSE(message) << json;
  if (message) return {};
  EXPECT_EQ(message.error().kind, ErrorKind::permanent);
  return message.error().text;
}

TEST(ParseReport, ReadsEverySample) {
  const std::map<std::string, MessageType> kSamples = {
      {"bs-alarm.json", MessageType::base_station_alarm},
      {"device-alarm.json", MessageType::device_alarm},
      {"downlink-full.json", MessageType::downlink},
      {"downlink-rejected.json", MessageType::downlink_rejected},
      {"downlink-sent.json", MessageType::downlink_sent},
      {"downlink.json", MessageType::downlink},
      {"join-request.json", MessageType::uplink},
      {"location.json", MessageType::location},
      {"multicast-summary.json", MessageType::multicast_summary},
      {"notification-devstatusans.json", MessageType::notification},
      {"notification.json", MessageType::notification},
      {"resolved-position-previous.json", MessageType::resolved_position},
      {"resolved-position.json", MessageType::resolved_position},
      {"tunnel-downlink-sent.json", MessageType::downlink_sent},
      {"tunnel-downlink.json", MessageType::downlink},
      {"tunnel-location.json", MessageType::location},
      {"tunnel-notification-reset.json", MessageType::notification},
      {"tunnel-uplink.json", MessageType::uplink},
      {"uplink-decode-error.json", MessageType::uplink},
      {"uplink-decoded-points.json", MessageType::uplink},
      {"uplink-decoded.json", MessageType::uplink},
      {"uplink.json", MessageType::uplink},
  };
  for (const auto& [name, type] : kSamples) {
    SCOPED_TRACE(name);
    auto text = sample(name);
    auto message = read(text);
    EXPECT_EQ(message.type, type);
    EXPECT_EQ(message.dev_eui.empty(), type == MessageType::base_station_alarm);
    EXPECT_EQ(message.body[message.root_begin], '{');
    EXPECT_EQ(message.body[message.root_end], '}');
    EXPECT_EQ(message.body.find('\n'), std::string::npos);
    EXPECT_EQ(message.join, name == "join-request.json");
    auto before = json::parse(text);
    auto after = json::parse(message.body);
    ASSERT_TRUE(before && after);
    if (name == "tunnel-uplink.json") before->as_object()["DevEUI_uplink"].as_object().erase("-xmlns");
    EXPECT_EQ(*before, *after);
  }
}

TEST(ParseReport, ReadsTheFieldsOfAnUplink) {
  auto m = read(sample("uplink.json"));
  EXPECT_EQ(m.root, "DevEUI_uplink");
  EXPECT_EQ(m.dev_eui, "0018B20000000B20");
  EXPECT_EQ(m.customer_id, "1100000077");
  EXPECT_EQ(m.time_text, "2018-10-03T15:38:46.882+02:00");
  EXPECT_EQ(m.time, parse_time("2018-10-03T13:38:46.882Z"));
  EXPECT_EQ(m.fport, 1);
  EXPECT_EQ(m.fcnt_up, 1174);
  EXPECT_EQ(m.fcnt_dn, 1229);
  EXPECT_EQ(m.payload_hex, "9e1c4852512000220020e3831071");
  EXPECT_FALSE(m.encrypted);
  EXPECT_THAT(m.tags, ElementsAre("TemperatureService", "SwissPostDevice", "site=Paris"));
  EXPECT_THAT(m.device_tags, ElementsAre("site=Paris"));
  EXPECT_TRUE(m.has_model_cfg);
  EXPECT_FALSE(m.has_driver_cfg);
  EXPECT_EQ(m.spelled(m.fport_text), "1");
  EXPECT_EQ(m.spelled(m.fcnt_up_text), "1174");
}

TEST(ParseReport, ReadsDriverCfg) {
  auto m = read(sample("uplink-decode-error.json"));
  EXPECT_TRUE(m.has_driver_cfg);
  EXPECT_EQ(m.model, (ModuleRef{"nke", "bob", "1"}));
  EXPECT_EQ(m.application, (ModuleRef{"eolane", "bob", "1"}));
  EXPECT_EQ(m.body.substr(m.driver_cfg_end, 14), R"(},"InstantPER")");
}

TEST(ParseReport, ReadsDriverCfgAndCustomerDataHeldAsText) {
  auto m = read(R"({"DevEUI_uplink":{"DevEUI":"000000000F1D8693","CustomerData":"{\"tags\":[\"a=b\"]}",
    "DriverCfg":"{\"app\":{\"pId\":\"abeeway\",\"mId\":\"asset-tracker\",\"ver\":1}}"}})");
  EXPECT_THAT(m.tags, ElementsAre("a=b"));
  EXPECT_EQ(m.application, (ModuleRef{"abeeway", "asset-tracker", "1"}));
  EXPECT_EQ(m.driver_cfg_end, 0u);
  EXPECT_THAT(m.body, HasSubstr(R"("CustomerData":"{\"tags\":[\"a=b\"]}")"));
}

TEST(ParseReport, KeepsNumbersAndEscapesAsSpelled) {
  auto m = read(
      "{ \"DevEUI_uplink\" : {\t\"a\": -65.0, \"b\" :1.1E-5,\n \"c\":0.0, \"d\":[ 1e400 , "
      "123456789012345678901234567890 ],"
      " \"e\":\"\\u00e9 \\/ x  y\", \"f\":{ } } }\r\n");
  EXPECT_EQ(m.body, R"({"DevEUI_uplink":{"a":-65.0,"b":1.1E-5,"c":0.0,"d":[1e400,123456789012345678901234567890],)"
                    R"("e":"\u00e9 \/ x  y","f":{}}})");
  EXPECT_EQ(m.root_end, m.body.size() - 2);
}

TEST(ParseReport, DropsTheNamespaceWhereverItStands) {
  auto first = read(R"({"DevEUI_uplink":{"-xmlns":"http://uri.actility.com/lora","FPort":1}})");
  EXPECT_EQ(first.body, R"({"DevEUI_uplink":{"FPort":1}})");
  EXPECT_EQ(first.fport, 1);
  EXPECT_EQ(read(R"({"DevEUI_uplink":{"FPort":1,"-xmlns":"x"}})").body, R"({"DevEUI_uplink":{"FPort":1}})");
  EXPECT_EQ(read(R"({"DevEUI_uplink":{"-xmlns":"x"}})").body, R"({"DevEUI_uplink":{}})");
}

TEST(ParseReport, ComparesADevEuiWithoutDashesAndCase) {
  EXPECT_EQ(read(R"({"DevEUI_location":{"DevEUI":"74-fe-48-FF-FF-5A-3D-9F"}})").dev_eui, "74FE48FFFF5A3D9F");
  EXPECT_EQ(read(sample("resolved-position.json")).dev_eui.size(), 16u);
  EXPECT_THAT(fault(R"({"DevEUI_location":{"DevEUI":"74FE48"}})"), HasSubstr("16 hex digits"));
  EXPECT_THAT(fault(R"({"deviceEUI":"74FE48FFFF5A3D9X"})"), HasSubstr("16 hex digits"));
}

TEST(ParseReport, TakesUnknownRootsAndIgnoresTheTracer) {
  auto unknown = read(R"({"DevEUI_new":{"DevEUI":"000000000F1D8693","x":1}})");
  EXPECT_EQ(unknown.type, MessageType::unknown);
  EXPECT_EQ(unknown.root, "DevEUI_new");
  EXPECT_EQ(unknown.dev_eui, "000000000F1D8693");
  for (const char* json :
       {R"({"tracerInfo":{"DevEUI":"0000000000000001"},"DevEUI_uplink":{"DevEUI":"000000000F1D8693"}})",
        R"({"DevEUI_uplink":{"DevEUI":"000000000F1D8693"},"tracerInfo":{"FPort":1}})"}) {
    auto m = read(json);
    EXPECT_EQ(m.type, MessageType::uplink);
    EXPECT_EQ(m.dev_eui, "000000000F1D8693");
    EXPECT_FALSE(m.fport);
    EXPECT_EQ(m.body, json);
  }
}

TEST(ParseReport, RefusesWhatIsNoReport) {
  EXPECT_THAT(fault(""), HasSubstr("not valid JSON"));
  EXPECT_THAT(fault("hello"), HasSubstr("not valid JSON at byte 0"));
  EXPECT_THAT(fault(R"({"DevEUI_uplink":{"a":1 2}})"), HasSubstr("expected ','"));
  EXPECT_THAT(fault(R"({"DevEUI_uplink":{"a":01}})"), HasSubstr("not valid JSON"));
  EXPECT_THAT(fault(R"({"DevEUI_uplink":{"a":1,}})"), HasSubstr("not valid JSON"));
  EXPECT_THAT(fault(R"({"DevEUI_uplink":{"a":tru}})"), HasSubstr("not valid JSON"));
  EXPECT_THAT(fault(R"({"DevEUI_uplink":{}} x)"), HasSubstr("after the document"));
  EXPECT_THAT(fault("{\"DevEUI_uplink\":{\"a\":\"\xff\"}}"), HasSubstr("UTF-8"));
  EXPECT_THAT(fault("{\"DevEUI_uplink\":{\"a\":\"\n\"}}"), HasSubstr("control character"));
  EXPECT_THAT(fault(R"({"DevEUI_uplink":{"a":"\x"}})"), HasSubstr("escape"));
  EXPECT_THAT(fault("[1]"), HasSubstr("neither a root"));
  EXPECT_THAT(fault("{}"), HasSubstr("neither a root"));
  EXPECT_THAT(fault(R"({"a":{},"b":{}})"), HasSubstr("neither a root"));
  EXPECT_THAT(fault(R"({"DevEUI_uplink":"x"})"), HasSubstr("neither a root"));
  EXPECT_THAT(fault("{\"DevEUI_uplink\":{\"a\":" + std::string(70, '[')), HasSubstr("64 levels"));
  EXPECT_THAT(fault(std::string((1 << 20) + 1, ' ')), HasSubstr("1 MiB"));
}

TEST(ParseReport, ReadsModelCfgWithBlanksAndZero) {
  EXPECT_TRUE(read(R"({"DevEUI_uplink":{"ModelCfg":"0"}})").tags.empty());
  EXPECT_THAT(read(R"({"DevEUI_uplink":{"ModelCfg":"0:2329,1:TPX_a:b , 2: X "}})").tags,
              ElementsAre("2329", "TPX_a:b", "X"));
  EXPECT_FALSE(read(R"({"deviceEUI":"000000000F1D8693","modelCfg":null})").has_model_cfg);
}

TEST(ParseReport, CutsNothingShortOfCrashing) {
  auto text = sample("uplink.json");
  for (std::size_t size = 0; size + 2 < text.size(); ++size)
    EXPECT_FALSE(parse_report(text.substr(0, size)));
}

TEST(Record, ComesBackAsItWas) {
  for (const char* name : {"uplink.json", "resolved-position.json", "bs-alarm.json", "tunnel-uplink.json"}) {
    auto message = read(sample(name));
    message.account = "acme";
    message.binder = "6f1c";
    message.arrived = 1'700'000'000'123;
    auto record = encode_record(message);
    auto back = decode_record(record);
    ASSERT_TRUE(back);
    EXPECT_EQ(back->body, message.body);
    EXPECT_EQ(back->account, "acme");
    EXPECT_EQ(back->binder, "6f1c");
    EXPECT_EQ(back->arrived, message.arrived);
    EXPECT_EQ(back->dev_eui, message.dev_eui);
    EXPECT_EQ(back->root_end, message.root_end);
    EXPECT_EQ(back->driver_cfg_end, message.driver_cfg_end);
    EXPECT_EQ(back->tags, message.tags);
    for (std::size_t size = 0; size < 20; ++size)
      EXPECT_FALSE(decode_record(record.substr(0, size)));
  }
}

Decoded decoded() {
  Decoded d;
  d.driver_id = "abeeway:asset-tracker:1";
  d.payload = R"({"t":-65.0})";
  d.points = R"({"t":{"record":-65.0}})";
  return d;
}

TEST(Compose, AddsInOrderInsideTheRoot) {
  auto m = read(R"({"DevEUI_uplink":{"DriverCfg":{"app":{"pId":"a","mId":"b","ver":"1"}},"x":0.0}})");
  auto d = decoded();
  EXPECT_EQ(
      compose(m, &d, "https://h/u"),
      R"({"DevEUI_uplink":{"DriverCfg":{"app":{"pId":"a","mId":"b","ver":"1"},"id":"abeeway:asset-tracker:1"},"x":0.0,)"
      R"("payload":{"t":-65.0},"points":{"t":{"record":-65.0}},"downlinkUrl":"https://h/u"}})");
  EXPECT_EQ(compose(m, nullptr, ""), m.body);
  d.points.clear();
  EXPECT_EQ(compose(read(R"({"DevEUI_uplink":{}})"), &d, ""),
            R"({"DevEUI_uplink":{"DriverCfg":{"id":"abeeway:asset-tracker:1"},"payload":{"t":-65.0}}})");
  EXPECT_EQ(compose(read(R"({"DevEUI_uplink":{"DriverCfg":{}}})"), &d, ""),
            R"({"DevEUI_uplink":{"DriverCfg":{"id":"abeeway:asset-tracker:1"},"payload":{"t":-65.0}}})");
}

TEST(Compose, ReplacesATextualDriverCfgByItsObject) {
  auto d = decoded();
  d.points.clear();
  auto m = read(R"({"DevEUI_uplink":{"DriverCfg":"{\"app\": {\"ver\":\"1\"}}","x":1}})");
  EXPECT_EQ(compose(m, &d, ""),
            R"({"DevEUI_uplink":{"DriverCfg":{"app":{"ver":"1"},"id":"abeeway:asset-tracker:1"},"x":1,)"
            R"("payload":{"t":-65.0}}})");
  EXPECT_EQ(compose(m, nullptr, ""), m.body);
  EXPECT_EQ(compose(read(R"({"DevEUI_uplink":{"DriverCfg":"{"}})"), &d, ""),
            R"({"DevEUI_uplink":{"DriverCfg":{"id":"abeeway:asset-tracker:1"},"payload":{"t":-65.0}}})");
}

TEST(Compose, WritesTheErrorInsteadOfThePayload) {
  Decoded d{"x:y:1", "", "", "com-5002", "driver internal error: Error: \"Invalid\" fPort!"};
  EXPECT_EQ(compose(read(R"({"DevEUI_uplink":{"a":1}})"), &d, ""),
            R"({"DevEUI_uplink":{"a":1,"DriverCfg":{"id":"x:y:1"},"payloadDecodedError":{"code":"com-5002",)"
            R"("message":"driver internal error: Error: \"Invalid\" fPort!"}}})");
}

TEST(Compose, LeavesNoKeyTwice) {
  auto m = read(sample("uplink-decoded-points.json"));
  EXPECT_TRUE(m.has_added);
  auto d = decoded();
  auto text = compose(m, &d, "https://h/u");
  auto document = json::parse(text);
  ASSERT_TRUE(document);
  const auto& root = document->at("DevEUI_uplink").as_object();
  EXPECT_EQ(json::write(root.at("payload")), R"({"t":-65.0})");
  EXPECT_EQ(root.at("DriverCfg").at("id"), "abeeway:asset-tracker:1");
  for (const char* key : {"\"payload\":", "\"points\":", "\"id\":", "\"downlinkUrl\":"}) {
    EXPECT_EQ(text.find(key), text.rfind(key)) << key;
  }
  auto position = read(sample("resolved-position-previous.json"));
  text = compose(position, nullptr, "https://h/u");
  EXPECT_EQ(text.find("\"downlinkUrl\":"), text.rfind("\"downlinkUrl\":"));
  EXPECT_THAT(text, testing::EndsWith(R"(,"downlinkUrl":"https://h/u"})"));
}

TEST(Compose, LeavesOtherTypesUntouched) {
  for (const char* name : {"downlink-sent.json", "bs-alarm.json", "notification.json"}) {
    auto m = read(sample(name));
    auto d = decoded();
    EXPECT_EQ(compose(m, &d, "https://h/u"), m.body);
  }
}

TEST(FormatFor, FollowsTheTable) {
  auto uplink = read(R"({"DevEUI_uplink":{"a":0.0}})");
  auto sent = read(sample("downlink-sent.json"));
  auto d = decoded();
  EXPECT_EQ(format_for({false, false}, uplink, &d, ""), compose(uplink, &d, ""));
  EXPECT_EQ(format_for({false, true}, uplink, &d, "u"), d.payload);
  EXPECT_EQ(format_for({false, true}, uplink, nullptr, ""), uplink.body);
  EXPECT_EQ(format_for({false, true}, sent, nullptr, ""), sent.body);
  EXPECT_EQ(format_for({true, true}, sent, nullptr, ""), std::nullopt);
  EXPECT_EQ(format_for({true, true}, uplink, nullptr, "u"), R"({"a":0.0,"downlinkUrl":"u"})");
  auto came = read(sample("uplink-decoded.json"));
  EXPECT_THAT(*format_for({false, true}, came, nullptr, ""), testing::StartsWith(R"({"messageType":"HEARTBEAT")"));
  EXPECT_THAT(*format_for({true, false}, came, nullptr, ""), testing::StartsWith(R"({"Time":)"));
  EXPECT_TRUE(format_for({true, false}, read(sample("join-request.json")), nullptr, ""));
}

TEST(Scan, UnescapesEveryForm) {
  EXPECT_EQ(scan::unescape(R"(a\"\\\/\b\f\n\r\t\u00e9\ud83d\ude00\ud83dx)"), "a\"\\/\b\f\n\r\té😀\xEF\xBF\xBDx");
  EXPECT_TRUE(scan::is_number("-60.000000"));
  for (const char* no : {"", "-", "+1", "01", ".5", "1.", "1e", "NaN", "1 ", "0x1", "1 2"})
    EXPECT_FALSE(scan::is_number(no)) << no;
}

}  // namespace
}  // namespace sluice::message
