// SPDX-License-Identifier: Apache-2.0
#include <fstream>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <iterator>
#include <map>

#include "base/json.h"
#include "message/json_scan.h"
#include "message/message.h"

namespace sluice::message {
namespace {

using testing::HasSubstr;

std::string sample(const std::string& name) {
  std::ifstream in(SLUICE_SOURCE_DIR "/tests/data/messages/" + name, std::ios::binary);
  EXPECT_TRUE(in) << name;
  return {std::istreambuf_iterator<char>(in), {}};
}

std::string convert(std::string_view xml) {
  auto json = xml_to_json(xml);
  EXPECT_TRUE(json) << (json ? "" : json.error().text);
  return json ? *json : std::string();
}

std::string fault(std::string_view xml) {
  auto json = xml_to_json(xml);
  EXPECT_FALSE(json);
  return json ? std::string() : json.error().text;
}

// Names and spellings of all scalars, whatever their JSON type; texts that hold JSON are looked into.
void spellings(std::string_view json, const std::string& prefix, std::map<std::string, std::string>& out) {
  for (const auto& item : scan::items(json)) {
    auto path = prefix + "/" + (item.key.empty() ? std::to_string(out.size()) : item.name());
    if (item.name() == "-xmlns") continue;
    if (item.kind == scan::Kind::object || item.kind == scan::Kind::array) {
      spellings(item.value, path, out);
    } else if (item.text().starts_with('{')) {
      spellings(item.text(), path, out);
    } else {
      out[path] = item.text();
    }
  }
}

TEST(Xml, GivesWhatTheJsonSamplesHold) {
  for (const std::string name :
       {"tunnel-downlink", "tunnel-downlink-sent", "tunnel-location", "tunnel-notification-reset", "tunnel-uplink"}) {
    SCOPED_TRACE(name);
    auto compact = scan::compact(sample(name + ".json"));
    ASSERT_TRUE(compact);
    std::map<std::string, std::string> expected;
    std::map<std::string, std::string> got;
    spellings(*compact, "", expected);
    spellings(convert(sample(name + ".xml")), "", got);
    for (const auto& [path, value] : expected)
      EXPECT_EQ(got[path], value) << path;
    if (name != "tunnel-uplink") {
      EXPECT_EQ(got.size(), expected.size());
    }
    EXPECT_TRUE(parse_report(convert(sample(name + ".xml"))));
  }
}

TEST(Xml, TypesTheFields) {
  auto json = convert(sample("tunnel-uplink.xml"));
  EXPECT_THAT(json, testing::StartsWith(
                        R"({"DevEUI_uplink":{"Time":"2015-07-09T16:06:38.49+02:00","DevEUI":"000000000F1D8693",)"
                        R"("FPort":2,"FCntUp":7011,"ADRbit":1,"ACKbit":1,"MType":4,"FCntDn":11,)"
                        R"("payload_hex":"0027bd00","mic_hex":"38e7a3b9","Lrcid":"00000065","LrrRSSI":-60.000000,)"));
  EXPECT_THAT(json, HasSubstr(R"("Lrrs":{"Lrr":[{"Lrrid":"08040059","LrrRSSI":-60.000000)"));
  EXPECT_THAT(json, HasSubstr(R"("CustomerID":"100000507","CustomerData":{"loc":{"lat":"43.58081",)"));
  EXPECT_THAT(json, HasSubstr(R"("DriverCfg":{"mod":{"pId":"abeeway")"));
  auto message = parse_report(json);
  ASSERT_TRUE(message);
  EXPECT_EQ(message->application, (ModuleRef{"abeeway", "asset-tracker", "1"}));
}

TEST(Xml, KeepsListsAndOddTexts) {
  EXPECT_EQ(convert("<a><Lrrs><Lrr><Chain>0</Chain></Lrr></Lrrs></a>"), R"({"a":{"Lrrs":{"Lrr":[{"Chain":0}]}}})");
  EXPECT_EQ(convert("<a><x>1</x><y/><x>2</x></a>"), R"({"a":{"x":["1","2"],"y":""}})");
  EXPECT_EQ(convert("<a><FPort>02</FPort><FCntUp>+1</FCntUp><LrrSNR>.5</LrrSNR><FCntDn/></a>"),
            R"({"a":{"FPort":"02","FCntUp":"+1","LrrSNR":".5","FCntDn":""}})");
  EXPECT_EQ(
      convert(
          "<a><CustomerData>{\"tags\":\"x\", \"doms\":{\"n\":1},\"k\":[]}</CustomerData><DriverCfg>{</DriverCfg></a>"),
      R"({"a":{"CustomerData":{"tags":["x"],"doms":[{"n":1}],"k":[]},"DriverCfg":"{"}})");
  EXPECT_EQ(convert("<l:a xmlns:l='u' b='c'><l:t>&lt;&#233;\"&amp;<![CDATA[<x>]]></l:t><!-- c --><?p i?></l:a>"),
            "{\"a\":{\"t\":\"<é\\\"&<x>\"}}");
}

TEST(Xml, RefusesWhatIsNoReport) {
  EXPECT_THAT(fault(""), HasSubstr("not valid XML"));
  EXPECT_THAT(fault("<a>"), HasSubstr("not valid XML at byte"));
  EXPECT_THAT(fault("<!DOCTYPE a [<!ENTITY x \"y\">]><a>&x;</a>"), HasSubstr("DOCTYPE"));
  EXPECT_THAT(fault("<a/><b/>"), HasSubstr("more than one root"));
  std::string deep;
  for (int i = 0; i < 17; ++i)
    deep += "<a>";
  for (int i = 0; i < 17; ++i)
    deep += "</a>";
  EXPECT_THAT(fault(deep), HasSubstr("16 levels"));
  EXPECT_TRUE(xml_to_json(deep.substr(3, deep.size() - 7)));
  EXPECT_THAT(fault(std::string((1 << 20) + 1, ' ')), HasSubstr("1 MiB"));
}

}  // namespace
}  // namespace sluice::message
