// SPDX-License-Identifier: Apache-2.0
#include "message/pattern.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace sluice::message {
namespace {

using testing::HasSubstr;
using testing::Pair;
using testing::UnorderedElementsAre;

constexpr std::string_view kUplink =
    R"({"DevEUI_uplink":{"Time":"2018-10-03T15:38:46.882+02:00","DevEUI":"0018b20000000B20",
  "FPort":"1","FCntUp":1174,"LrrRSSI":-65.0,"ADRbit":true,"CustomerID":"1100000077","Empty":"","Nothing":null,
  "CustomerData":{"tags":["site=Paris","Paris:Nord/1"],"name":"A+B #1/\u00e9","alr":{"pro":"X"}},
  "a}b":"brace","payload":{"t":21.50}}})";

class PatternTest : public testing::Test {
 protected:
  std::string render(std::string_view text, Place place = Place::plain, std::string_view json = kUplink) {
    auto message = parse_report(json);
    auto pattern = Pattern::parse(text);
    EXPECT_TRUE(message && pattern) << text << (pattern ? "" : pattern.error().text);
    if (!message || !pattern) return {};
    Document document(*message, message->body);
    auto rendered = pattern->render(document, place);
    return rendered ? *rendered : "error: " + rendered.error().text;
  }
  static std::string fault(std::string_view text) {
    auto pattern = Pattern::parse(text);
    EXPECT_FALSE(pattern) << text;
    if (pattern) return {};
    EXPECT_EQ(pattern.error().kind, ErrorKind::bad_config);
    return pattern.error().text;
  }
  static Pattern parse(std::string_view text) {
    auto pattern = Pattern::parse(text);
    EXPECT_TRUE(pattern);
    return pattern ? *pattern : Pattern();
  }
};

TEST_F(PatternTest, FindsNamesPathsAndJsonPaths) {
  EXPECT_EQ(render("tpx/things/{DevEUI}/uplink"), "tpx/things/0018b20000000B20/uplink");
  EXPECT_EQ(render("{FPort}-{FCntUp}-{LrrRSSI}-{ADRbit}"), "1-1174--65.0-true");
  EXPECT_EQ(render("{CustomerData.tags[0]}"), "site=Paris");
  EXPECT_EQ(render("{CustomerData.tags[-1]}"), "Paris:Nord/1");
  EXPECT_EQ(render("{CustomerData['tags'][0]}"), "site=Paris");
  EXPECT_EQ(render("{CustomerData.name}"), "A+B #1/é");
  EXPECT_EQ(render("{$..CustomerData.tags[?(@ =~ /Paris:.*/)]}"), "Paris:Nord/1");
  EXPECT_EQ(render("{$.DevEUI_uplink.payload.t}"), "21.50");
  EXPECT_EQ(render("{DevEUI_uplink.FPort}"), "1");
  EXPECT_EQ(render("{CustomerData.alr}"), R"({"pro":"X"})");
  EXPECT_EQ(render("{CustomerData.tags.length()|'none'}"), "none");
  EXPECT_EQ(render("{$..tags.length()}"), "1");
  EXPECT_EQ(render("{CustomerID}/{Time}"), "1100000077/2018-10-03T15:38:46.882+02:00");
}

TEST_F(PatternTest, TakesTheFirstAlternativeWithAValue) {
  EXPECT_EQ(render("{CustomerData.nickname|DevEUI|'None'}"), "0018b20000000B20");
  EXPECT_EQ(render("{x | y | 'No|ne'}"), "No|ne");
  EXPECT_EQ(render("{Empty|Nothing|\"x\"}"), "x");
  EXPECT_EQ(render("{x|''}"), "");
  EXPECT_EQ(render("{$..tags[?(@ =~ /(Rome|Paris):.*|x'y/)]|'None'}"), "Paris:Nord/1");
  EXPECT_EQ(render("{$..[?(@.pro == 'Y' || @.pro == 'X')].pro}"), "X");
}

TEST_F(PatternTest, KeepsDoubledBracesAndNesting) {
  EXPECT_EQ(render("{{{DevEUI}}}"), "{0018b20000000B20}");
  EXPECT_EQ(render("a{{b}}c}"), "a{b}c}");
  EXPECT_EQ(render("{['a}b']}"), "brace");
  EXPECT_EQ(render("{$..tags[?(@ =~ /.{2,12}:.*/)]}"), "Paris:Nord/1");
}

TEST_F(PatternTest, FailsWithoutAValueButNotInAHeader) {
  EXPECT_EQ(render("a/{x}/b", Place::mqtt_topic), "error: unable to solve the uplink topic pattern: {x} has no value");
  EXPECT_EQ(render("a/{Empty}/b", Place::url), "error: unable to solve the URL pattern: {Empty} has no value");
  EXPECT_EQ(render("a/{x}/b", Place::header), "a//b");
}

TEST_F(PatternTest, LetsNoValueLeaveItsPlace) {
  EXPECT_EQ(render("t/{CustomerData.name}", Place::mqtt_topic), "t/A_B _1_é");
  EXPECT_EQ(render("https://h/{CustomerData.name}?a=b/c", Place::url), "https://h/A%2BB%20%231%2F%C3%A9?a=b/c");
  constexpr std::string_view kNasty =
      R"({"DevEUI_uplink":{"DevEUI":"0018b20000000B20","n":"a\r\nX: y\u0000\u0085b.*#","u":"https://x/y?z"}})";
  EXPECT_EQ(render("{n}", Place::header, kNasty),
            "aX: y\xC2\x85"
            "b.*#");
  EXPECT_EQ(render("k.{n}", Place::amqp_routing_key, kNasty), "k.a__X: y__b___");
  EXPECT_EQ(render("{n}", Place::mqtt_topic, kNasty), "a__X: y__b.*_");
  EXPECT_EQ(render("{u}", Place::url, kNasty), "https://x/y?z");
  constexpr std::string_view kDots = R"({"DevEUI_uplink":{"DevEUI":"0018b20000000B20","a":"..","b":".","c":"..."}})";
  EXPECT_EQ(render("https://h/{a}/{b}/{c}?x={a}", Place::url, kDots), "https://h/__/_/...?x=..");
  EXPECT_EQ(render("https://h/.{b}/{b}{b}/end", Place::url, kDots), "https://h/._/__/end");
}

TEST_F(PatternTest, FindsTheDeviceOfAResolvedPosition) {
  constexpr std::string_view kPosition =
      R"({"deviceEUI":"20635f01e10008f4","time":"2022-04-20T16:37:42.288000+00:00","age":1.50})";
  EXPECT_EQ(render("{DevEUI}/{age}", Place::mqtt_topic, kPosition), "20635F01E10008F4/1.50");
  EXPECT_EQ(render("{deviceEUI}", Place::plain, kPosition), "20635f01e10008f4");
  EXPECT_EQ(render("{Time|'none'}", Place::plain, kPosition), "none");
}

TEST_F(PatternTest, NamesTheEvent) {
  EXPECT_EQ(render("application/1/device/{DevEUI}/event/{$event}"), "application/1/device/0018b20000000B20/event/up");
  EXPECT_EQ(render("{$event}", Place::plain, R"({"DevEUI_uplink":{"rawJoinRequest":"00"}})"), "join");
  EXPECT_EQ(render("{$event}", Place::plain, R"({"DevEUI_uplink":{"payloadDecodedError":{}}})"), "error");
  EXPECT_EQ(render("{$event}", Place::plain, R"({"DevEUI_downlink_Sent":{}})"), "ack");
  EXPECT_EQ(render("{$event}", Place::plain, R"({"DevEUI_notification":{"Type":"devstatusans"}})"), "status");
  EXPECT_EQ(render("{$event|'-'}", Place::plain, R"({"DevEUI_notification":{"Type":"reset"}})"), "-");
}

TEST_F(PatternTest, NamesFaultsButTakesOtherLanguages) {
  EXPECT_THAT(fault("a/{DevEUI"), HasSubstr("character 3: this '{' has no closing '}'"));
  EXPECT_THAT(fault("a/{}"), HasSubstr("expected a field name"));
  EXPECT_THAT(fault("{a||b}"), HasSubstr("character 4"));
  EXPECT_THAT(fault("{$.a[?]}"), HasSubstr("JSONPath"));
  EXPECT_THAT(fault(std::string(20'000, 'a')), HasSubstr("16,384"));
  EXPECT_EQ(render("{if (contains(\"Paris\", .CustomerData.tags)) .DevEUI else \"x\"|'none'}"), "none");
  EXPECT_EQ(render("{[for (.a) .b]|'none'}"), "none");
}

TEST_F(PatternTest, KnowsLiterals) {
  EXPECT_TRUE(parse("").is_literal());
  EXPECT_TRUE(parse("a/b{{c}}").is_literal());
  EXPECT_FALSE(parse("a/{b}").is_literal());
  EXPECT_EQ(parse("a/{b}").text(), "a/{b}");
}

TEST_F(PatternTest, TurnsIntoASubscription) {
  EXPECT_EQ(parse("tpx/things/{DevEUI}/downlink").subscription('/', "+"), "tpx/things/+/downlink");
  EXPECT_EQ(parse("a.{$..x[?(@.y == 'a.b/c')]}.b").subscription('.', "*"), "a.*.b");
  EXPECT_EQ(parse("a/x{DevEUI}-{FPort}y/b").subscription('/', "+"), "a/+/b");
  EXPECT_EQ(parse("{DevEUI}").subscription('/', "+"), "+");
  EXPECT_EQ(parse("/a//b/").subscription('/', "+"), "/a//b/");
  EXPECT_EQ(parse("").subscription('/', "+"), "");
}

TEST_F(PatternTest, PicksNamesOutOfATopic) {
  auto pattern = parse("tpx/{DevEUI}/x-{FPort}.y/{$..a}/{b}{c}");
  EXPECT_THAT(*pattern.capture("tpx/0018B20000000B20/x-7.y/any/thing", '/'),
              UnorderedElementsAre(Pair("DevEUI", "0018B20000000B20"), Pair("FPort", "7")));
  EXPECT_FALSE(pattern.capture("tpy/0018B20000000B20/x-7.y/any/thing", '/'));
  EXPECT_FALSE(pattern.capture("tpx/0018B20000000B20/x-7.z/any/thing", '/'));
  EXPECT_FALSE(pattern.capture("tpx/0018B20000000B20/x-7.y/any", '/'));
  EXPECT_FALSE(pattern.capture("tpx/0018B20000000B20/x-7.y/any/thing/more", '/'));
  EXPECT_THAT(*parse("a/+/{DevEUI}/#").capture("a/b/c/d/e", '/'), UnorderedElementsAre(Pair("DevEUI", "c")));
  EXPECT_FALSE(parse("{a}/{a}").capture("1/2", '/'));
  EXPECT_THAT(*parse("down/all").capture("down/all", '/'), testing::IsEmpty());
}

}  // namespace
}  // namespace sluice::message
