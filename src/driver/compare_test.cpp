// SPDX-License-Identifier: Apache-2.0
#include "driver/compare.h"

#include <gtest/gtest.h>

#include "base/json.h"
#include "driver/date_text.h"

namespace sluice::driver {
namespace {

boost::json::value of(std::string_view text) {
  auto parsed = json::parse(text);
  EXPECT_TRUE(parsed) << text;
  return parsed ? *parsed : boost::json::value();
}

// "path: expected | got" for each difference, "-" for what is absent.
std::string listed(const std::vector<Difference>& differences) {
  std::string out;
  for (const auto& d : differences) {
    if (!out.empty()) out += "; ";
    out += d.path + ": " + (d.expected ? json::write(*d.expected) : "-") + " | " + (d.got ? json::write(*d.got) : "-");
    if (!d.note.empty()) out += " (" + d.note + ")";
  }
  return out;
}

std::string uplink(std::string_view expected, std::string_view got) {
  return listed(compare_results(of(expected), of(got), Example::Kind::uplink));
}

std::string downlink(std::string_view expected, std::string_view got) {
  return listed(compare_results(of(expected), of(got), Example::Kind::downlink_decode));
}

std::string encoded(std::string_view expected, std::string_view got) {
  return listed(compare_results(of(expected), of(got), Example::Kind::downlink_encode));
}

std::string points(std::string_view expected, std::string_view got) {
  return listed(compare_points(of(expected).get_object(), of(got).get_object()));
}

TEST(Compare, IsDeepAndStrict) {
  EXPECT_EQ(uplink(R"({"data":{"a":1,"b":[1,2]}})", R"({"data":{"b":[1,2],"a":1}})"), "");
  EXPECT_EQ(uplink(R"({"data":{"a":1}})", R"({"data":{"a":2}})"), "data.a: 1 | 2");
  EXPECT_EQ(uplink(R"({"data":{"a":1}})", R"({"data":{"a":"1"}})"), "data.a: 1 | \"1\"");
  EXPECT_EQ(uplink(R"({"data":{"a":1}})", R"({"data":{}})"), "data.a: 1 | -");
  EXPECT_EQ(uplink(R"({"data":{}})", R"({"data":{"a":null}})"), "data.a: - | null");
  EXPECT_EQ(uplink(R"({"data":{"a":null}})", R"({"data":{"a":0}})"), "data.a: null | 0");
  EXPECT_EQ(uplink(R"({"data":{"a":true}})", R"({"data":{"a":1}})"), "data.a: true | 1");
  EXPECT_EQ(uplink(R"({"data":[1,{"x":[2]}]})", R"({"data":[1,{"x":[3]}]})"), "data.1.x.0: 2 | 3");
  EXPECT_EQ(uplink(R"({"data":[1,2]})", R"({"data":[1]})"), "data.1: 2 | -");
  EXPECT_EQ(uplink(R"({"data":[1]})", R"({"data":[1,2]})"), "data.1: - | 2");
  EXPECT_EQ(uplink(R"({"data":{"a":{}}})", R"({"data":{"a":[]}})"), "data.a: {} | []");
}

TEST(Compare, TakesNumbersByTheirValue) {
  EXPECT_EQ(uplink(R"({"data":{"a":1.0,"b":-0.0,"c":1e2}})", R"({"data":{"a":1,"b":0,"c":100}})"), "");
  EXPECT_EQ(uplink(R"({"data":{"a":9007199254740993}})", R"({"data":{"a":9007199254740992}})"), "");
  EXPECT_EQ(uplink(R"({"data":{"a":0.1}})", R"({"data":{"a":0.100001}})"), "data.a: 0.1 | 0.100001");
  EXPECT_EQ(uplink(R"({"data":{"a":1700000000001}})", R"({"data":{"a":1700000000002}})"),
            "data.a: 1700000000001 | 1700000000002");
}

TEST(Compare, LeavesTheLastDigitsToTheEngine) {
  EXPECT_EQ(uplink(R"({"data":{"a":10.889999999999999}})", R"({"data":{"a":10.89}})"), "");
  EXPECT_EQ(uplink(R"({"data":{"a":1.0259018697121183}})", R"({"data":{"a":1.0259018697121038}})"), "");
  EXPECT_NE(uplink(R"({"data":{"a":10.889999999}})", R"({"data":{"a":10.89}})"), "");
  EXPECT_NE(uplink(R"({"data":{"a":0}})", R"({"data":{"a":1e-300}})"), "");
}

TEST(Compare, TakesAbsentListsForEmptyOnes) {
  EXPECT_EQ(uplink(R"({"data":{}})", R"({"data":{},"errors":[],"warnings":[]})"), "");
  EXPECT_EQ(uplink(R"({"data":{},"warnings":null})", R"({"data":{}})"), "");
  EXPECT_EQ(uplink(R"({"a":1})", R"({"data":{"a":1},"errors":[],"warnings":[]})"), "");
  EXPECT_EQ(uplink(R"({"data":{},"warnings":"low"})", R"({"data":{},"warnings":["low"]})"), "");
  EXPECT_EQ(uplink(R"({"data":{},"warnings":[7]})", R"({"data":{},"warnings":["7"]})"), "");
  EXPECT_EQ(uplink(R"({"data":{}})", R"({"data":{},"warnings":["low"]})"), "warnings.0: - | \"low\"");
  EXPECT_EQ(uplink(R"({"data":{"a":1},"errors":["bad"]})", R"({"errors":["bad"]})"), "");
  EXPECT_EQ(uplink(R"({"errors":["bad"]})", R"({"errors":["worse"]})"), "errors.0: \"bad\" | \"worse\"");
  EXPECT_EQ(uplink(R"({"errors":["bad"]})", R"({"data":1})"), "errors.0: \"bad\" | -; data: - | 1");
}

TEST(Compare, TakesBytesAsHexOrAsList) {
  EXPECT_EQ(encoded(R"({"bytes":"0A0b","fPort":2})", R"({"bytes":[10,11],"fPort":2})"), "");
  EXPECT_EQ(encoded(R"({"bytes":[10,11]})", R"({"bytes":"0a0B"})"), "");
  EXPECT_EQ(encoded(R"([10,11])", R"({"bytes":"0a0b"})"), "");
  EXPECT_EQ(encoded(R"({"bytes":"0A0C"})", R"({"bytes":[10,11]})"), "bytes.1: 12 | 11");
  EXPECT_EQ(encoded(R"({"bytes":"0A"})", R"({"bytes":[10,11]})"), "bytes.1: - | 11");
  EXPECT_EQ(encoded(R"({"bytes":"xy"})", R"({"bytes":[10]})"), "bytes: \"xy\" | [10]");
  // Only there: a member of the data is text.
  EXPECT_EQ(uplink(R"({"data":{"bytes":"0A"}})", R"({"data":{"bytes":[10]}})"), "data.bytes: \"0A\" | [10]");
}

TEST(Compare, LetsAnyTimeStandForTheCrosses) {
  const auto* any = R"({"data":{"at":"XXXX-XX-XXTXX:XX:XX.XXXZ"}})";
  EXPECT_EQ(uplink(any, R"({"data":{"at":"2024-01-01T10:00:00.000Z"}})"), "");
  EXPECT_EQ(uplink(any, R"({"data":{"at":"Thu, 21 Nov 2024 01:02:44 GMT"}})"), "");
  EXPECT_EQ(uplink(any, R"({"data":{"at":"soon"}})"), "data.at: \"XXXX-XX-XXTXX:XX:XX.XXXZ\" | \"soon\"");
  EXPECT_EQ(uplink(any, R"({"data":{"at":1}})"), "data.at: \"XXXX-XX-XXTXX:XX:XX.XXXZ\" | 1");
  EXPECT_EQ(uplink(any, R"({"data":{}})"), "data.at: \"XXXX-XX-XXTXX:XX:XX.XXXZ\" | -");
  EXPECT_NE(downlink(any, R"({"data":{"at":"2024-01-01T10:00:00.000Z"}})"), "");
}

TEST(Compare, LetsNumbersStandForSkipNumber) {
  const auto* any = R"({"data":{"n":"SKIP_NUMBER"}})";
  EXPECT_EQ(uplink(any, R"({"data":{"n":1700000000}})"), "");
  EXPECT_EQ(uplink(any, R"({"data":{"n":1.5}})"), "");
  EXPECT_EQ(uplink(any, R"({"data":{"n":"12 days"}})"), "");
  EXPECT_EQ(uplink(any, R"({"data":{"n":"7 "}})"), "");
  EXPECT_NE(uplink(any, R"({"data":{"n":7}})"), "");
  EXPECT_NE(uplink(any, R"({"data":{"n":"many"}})"), "");
  EXPECT_NE(uplink(any, R"({"data":{"n":null}})"), "");
  EXPECT_NE(uplink(any, R"({"data":{"n":"2024-01-01T10:00:00.000Z"}})"), "");
  EXPECT_NE(downlink(any, R"({"data":{"n":1700000000}})"), "");
}

TEST(Compare, ComparesTimesToTheSecond) {
  for (const char* key : {"date", "time", "dateTime", "TIMESTAMP"}) {
    const std::string a = R"({"data":{"x":{")" + std::string(key) + R"(":"2024-01-01T10:00:00.123Z"}}})";
    const std::string b = R"({"data":{"x":{")" + std::string(key) + R"(":"2024-01-01T10:00:00.987Z"}}})";
    const std::string c = R"({"data":{"x":{")" + std::string(key) + R"(":"2024-01-01T10:00:01.000Z"}}})";
    EXPECT_EQ(uplink(a, b), "") << key;
    EXPECT_NE(uplink(a, c), "") << key;
    EXPECT_NE(downlink(a, b), "") << key;
  }
  EXPECT_EQ(uplink(R"({"data":{"time":"21/11/2024 1:02"}})", R"({"data":{"time":"2024-11-21T01:02:00Z"}})"), "");
  EXPECT_EQ(uplink(R"({"data":{"time":"1704103200"}})", R"({"data":{"time":"1704103200"}})"), "");
  EXPECT_EQ(uplink(R"({"data":{"time":"2024-01-01T10:00:00Z"}})", R"({"data":{"time":1704103200500}})"), "");
  EXPECT_EQ(uplink(R"({"data":{"time":12}})", R"({"data":{"time":15}})"), "data.time: 12 | 15");
  EXPECT_NE(uplink(R"({"data":{"times":"2024-01-01T10:00:00.1Z"}})", R"({"data":{"times":"2024-01-01T10:00:00.2Z"}})"),
            "");
}

TEST(Compare, LeavesKeysWithDotsToTheDeepComparison) {
  EXPECT_NE(uplink(R"({"data":{"a.b":{"time":"2024-01-01T10:00:00.1Z"}}})",
                   R"({"data":{"a.b":{"time":"2024-01-01T10:00:00.2Z"}}})"),
            "");
  EXPECT_NE(uplink(R"({"data":{"a.b":"SKIP_NUMBER"}})", R"({"data":{"a.b":1234}})"), "");
  EXPECT_EQ(uplink(R"({"data":{"a.b":1}})", R"({"data":{"a.b":1}})"), "");
}

TEST(Compare, ComparesPointsWithoutWhatTheEngineAdds) {
  const auto* got = R"({"temperature":{"unitId":"Cel","type":"double","record":19.4}})";
  EXPECT_EQ(points(R"({"temperature":{"unitId":"Cel","record":19.4}})", got), "");
  EXPECT_EQ(points(R"({"temperature":{"unitId":"Cel","type":"double","record":19.4}})", got), "");
  EXPECT_EQ(points(R"({"temperature":19.4})", got), "");
  EXPECT_EQ(points(R"({"temperature":19.5})", got), "temperature: 19.5 | 19.4");
  EXPECT_EQ(points(R"({"temperature":{"unitId":"K","record":19.4}})", got), "temperature.unitId: \"K\" | \"Cel\"");
  EXPECT_EQ(points(R"({})", R"({})"), "");
  EXPECT_EQ(points(R"({})", R"({"a":{"record":1}})"), "a: - | {\"record\":1}");
  EXPECT_EQ(points(R"({"a":{"record":1}})", R"({})"), "a: {\"record\":1} | -");
}

TEST(Compare, ComparesTimesOfRecordsAsInstants) {
  const auto* got = R"({"t:2":{"unitId":"Cel","records":[{"eventTime":"2024-01-01T10:00:00.000Z","value":18}]}})";
  EXPECT_EQ(points(R"({"t:2":{"unitId":"Cel","records":[{"eventTime":"2024-01-01T10:00:00Z","value":18}]}})", got), "");
  EXPECT_EQ(points(R"({"t:2":{"unitId":"Cel","records":[{"eventTime":"2024-01-01T11:00:00+01:00","value":18}]}})", got),
            "");
  EXPECT_NE(points(R"({"t:2":{"unitId":"Cel","records":[{"eventTime":"2024-01-01T10:00:01Z","value":18}]}})", got), "");
  EXPECT_EQ(points(R"({"t:2":{"unitId":"Cel","records":[{"eventTime":"2024-01-01T10:00:00","value":18}]}})", got),
            "t:2.records.0.eventTime: \"2024-01-01T10:00:00\" | - "
            "(the example is wrong: an eventTime needs Z or an offset)");
}

TEST(DateText, ReadsWhatJavaScriptReads) {
  constexpr UnixMillis kThen = 1732150964000;  // 2024-11-21T01:02:44Z
  for (const char* text :
       {"2024-11-21T01:02:44Z", "2024-11-21T01:02:44", "2024-11-21 01:02:44", "2024-11-21T01:02:44.000+00:00",
        "2024-11-21T02:02:44+01:00", "2024-11-20T20:02:44-0500", "2024-11-21T01:02:44.000000000Z",
        "Thu, 21 Nov 2024 01:02:44 GMT", "Thu Nov 21 2024 01:02:44 GMT+0000 (Coordinated Universal Time)",
        "Thu Nov 21 2024 02:02:44 GMT+0100 (CET)", "11/21/2024, 1:02:44 AM", "11/21/2024 01:02:44",
        "Nov 21, 2024, 1:02:44 AM", "21 November 2024 01:02:44 UTC", "2024/11/21 01:02:44", "11-21-2024 01:02:44",
        "Wed, 20 Nov 2024 20:02:44 EST",
        "11/21/2024, 1:02:44\xe2\x80\xaf"
        "AM"}) {
    EXPECT_EQ(read_date(text), kThen) << text;
  }
  EXPECT_EQ(read_date("2024-11-21T01:02:44.1239Z"), kThen + 123);
  EXPECT_EQ(read_date("2024-11-21"), 1732147200000);
  EXPECT_EQ(read_date("11/21/2024, 12:00:00 AM"), 1732147200000);
  EXPECT_EQ(read_date("11/21/2024, 12:00:00 PM"), 1732147200000 + 12 * 3600 * 1000);
  EXPECT_EQ(read_date("2024"), 1704067200000);
  for (const char* text : {"", "soon", "21/11/2024 1:02", "2024-13-01", "25:00", "N/A", "12 Foo 2024", "1:02:44 AM",
                           "2024-11-21T25:00:00Z", "2024-11-21T01:02:44Q"}) {
    EXPECT_EQ(read_date(text), std::nullopt) << text;
  }
  EXPECT_EQ(read_date_day_first("21/11/2024 1:02:44"), kThen);
  EXPECT_EQ(read_date_day_first("21/11/2024 1:02"), kThen - 44000);
  EXPECT_EQ(read_date_day_first("1/2/2024 0:00"), 1706745600000);  // the first of February
  EXPECT_EQ(read_date_day_first("2024-11-21T01:02:44Z"), kThen);
}

}  // namespace
}  // namespace sluice::driver
