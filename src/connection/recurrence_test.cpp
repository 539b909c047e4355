// SPDX-License-Identifier: Apache-2.0
#include "connection/recurrence.h"

#include <gtest/gtest.h>
#include <random>

namespace sluice::connection {
namespace {

UnixMillis at(const std::string& text) {
  auto time = parse_time(text);
  EXPECT_TRUE(time) << text;
  return time.value_or(0);
}

// "2024-03-31T07:00/2024-03-31T16:00", in UTC, with seconds where there are any.
std::string shown(const Occurrence& window) {
  auto one = [](UnixMillis time) {
    auto text = format_time(time).substr(0, 19);
    return text.ends_with(":00") ? text.substr(0, 16) : text;
  };
  return one(window.start) + "/" + one(window.end);
}

Recurrence read(const std::string& start, const std::string& end, const std::string& zone, const std::string& rules) {
  boost::json::object alarm{{"startTime", start}, {"endTime", end}};
  if (!zone.empty()) alarm["timezone"] = zone;
  if (!rules.empty()) alarm["recurrence"] = *json::parse("[" + rules + "]");
  auto out = Recurrence::read(alarm);
  EXPECT_TRUE(out) << out.error().text;
  return std::move(*out);
}

struct Case {
  const char* name;
  const char *start, *end, *zone, *rules;
  const char* after;                  // the windows that begin later than this
  std::vector<std::string> expected;  // the first of them, in UTC
  bool last = false;                  // there are no further ones
};

class RecurrenceTable : public testing::TestWithParam<Case> {};

TEST_P(RecurrenceTable, Windows) {
  const auto& p = GetParam();
  auto recurrence = read(p.start, p.end, p.zone, p.rules);
  auto time = at(p.after);
  std::vector<std::string> got;
  while (got.size() < p.expected.size()) {
    auto window = recurrence.after(time);
    if (!window) break;
    got.push_back(shown(*window));
    // What is found going forward is found from within, too.
    auto inside = recurrence.covering(window->end - 1);
    ASSERT_TRUE(inside) << got.back();
    EXPECT_LE(inside->start, window->start);
    EXPECT_GE(recurrence.covered_until(window->start, INT64_MAX / 2), window->end);
    time = window->start;
  }
  EXPECT_EQ(got, p.expected);
  if (p.last) {
    auto further = recurrence.after(time);
    EXPECT_FALSE(further) << shown(*further);
  }
}

const char* const kDaily = R"({"frequency":"daily"})";

INSTANTIATE_TEST_SUITE_P(
    All, RecurrenceTable,
    testing::Values(Case{"Once",
                         "2019-01-31T09:00:00+01:00",
                         "2019-01-31T18:00:00+01:00",
                         "Europe/Paris",
                         "",
                         "2019-01-01T00:00Z",
                         {"2019-01-31T08:00/2019-01-31T17:00"},
                         true},
                    // Business days over the change to summer time: 09:00 stays 09:00.
                    Case{"ParisSpring",
                         "2024-03-28T09:00:00+01:00",
                         "2024-03-28T18:00:00+01:00",
                         "Europe/Paris",
                         R"({"frequency":"weekly","byDays":["monday","tuesday","wednesday","thursday","friday"]})",
                         "2024-03-28T00:00Z",
                         {"2024-03-28T08:00/2024-03-28T17:00", "2024-03-29T08:00/2024-03-29T17:00",
                          "2024-04-01T07:00/2024-04-01T16:00"}},
                    Case{"ParisAutumn",
                         "2024-10-25T09:00:00+02:00",
                         "2024-10-25T18:00:00+02:00",
                         "Europe/Paris",
                         kDaily,
                         "2024-10-26T00:00Z",
                         {"2024-10-26T07:00/2024-10-26T16:00", "2024-10-27T08:00/2024-10-27T17:00"}},
                    Case{"NewYorkSpring",
                         "2024-03-01T09:00:00-05:00",
                         "2024-03-01T17:00:00-05:00",
                         "America/New_York",
                         kDaily,
                         "2024-03-09T00:00Z",
                         {"2024-03-09T14:00/2024-03-09T22:00", "2024-03-10T13:00/2024-03-10T21:00"}},
                    Case{"NewYorkAutumn",
                         "2024-03-01T09:00:00-05:00",
                         "2024-03-01T17:00:00-05:00",
                         "America/New_York",
                         kDaily,
                         "2024-11-02T00:00Z",
                         {"2024-11-02T13:00/2024-11-02T21:00", "2024-11-03T14:00/2024-11-03T22:00"}},
                    // Half an hour of summer time: +10:30 and +11:00.
                    Case{"LordHoweAutumn",
                         "2024-04-01T09:00:00+11:00",
                         "2024-04-01T10:00:00+11:00",
                         "Australia/Lord_Howe",
                         kDaily,
                         "2024-04-05T12:00Z",
                         {"2024-04-05T22:00/2024-04-05T23:00", "2024-04-06T22:30/2024-04-06T23:30"}},
                    Case{"LordHoweSpring",
                         "2024-10-01T09:00:00+10:30",
                         "2024-10-01T10:00:00+10:30",
                         "Australia/Lord_Howe",
                         kDaily,
                         "2024-10-04T12:00Z",
                         {"2024-10-04T22:30/2024-10-04T23:30", "2024-10-05T22:00/2024-10-05T23:00"}},
                    // Over midnight and over the change: nine hours, eight in the short night, ten in the long one.
                    Case{"OverMidnightSpring",
                         "2024-03-29T22:00:00+01:00",
                         "2024-03-30T07:00:00+01:00",
                         "Europe/Paris",
                         kDaily,
                         "2024-03-29T00:00Z",
                         {"2024-03-29T21:00/2024-03-30T06:00", "2024-03-30T21:00/2024-03-31T05:00",
                          "2024-03-31T20:00/2024-04-01T05:00"}},
                    Case{"OverMidnightAutumn",
                         "2024-10-25T22:00:00+02:00",
                         "2024-10-26T07:00:00+02:00",
                         "Europe/Paris",
                         kDaily,
                         "2024-10-26T00:00Z",
                         {"2024-10-26T20:00/2024-10-27T06:00", "2024-10-27T21:00/2024-10-28T06:00"}},
                    // 02:30 does not exist on the 31st: 03:30. The window ends at 02:45, which is 03:45.
                    Case{"InTheGap",
                         "2024-03-30T02:30:00+01:00",
                         "2024-03-30T02:45:00+01:00",
                         "Europe/Paris",
                         kDaily,
                         "2024-03-30T00:00Z",
                         {"2024-03-30T01:30/2024-03-30T01:45", "2024-03-31T01:30/2024-03-31T01:45",
                          "2024-04-01T00:30/2024-04-01T00:45"}},
                    // From 02:30 (03:30) to 03:15, which is earlier: as long as the clock says.
                    Case{"OutOfTheGap",
                         "2024-03-30T02:30:00+01:00",
                         "2024-03-30T03:15:00+01:00",
                         "Europe/Paris",
                         kDaily,
                         "2024-03-31T00:00Z",
                         {"2024-03-31T01:30/2024-03-31T02:15", "2024-04-01T00:30/2024-04-01T01:15"}},
                    Case{"InTheGapNewYork",
                         "2024-03-09T02:30:00-05:00",
                         "2024-03-09T04:00:00-05:00",
                         "America/New_York",
                         kDaily,
                         "2024-03-10T00:00Z",
                         {"2024-03-10T07:30/2024-03-10T08:00", "2024-03-11T06:30/2024-03-11T08:00"}},
                    Case{"InTheGapLordHowe",
                         "2024-10-05T02:10:00+10:30",
                         "2024-10-05T02:20:00+10:30",
                         "Australia/Lord_Howe",
                         kDaily,
                         "2024-10-05T00:00Z",
                         {"2024-10-05T15:40/2024-10-05T15:50", "2024-10-06T15:10/2024-10-06T15:20"}},
                    // 02:30 comes twice on the 27th: the first, at +02:00.
                    Case{"Doubled",
                         "2024-10-26T02:30:00+02:00",
                         "2024-10-26T02:45:00+02:00",
                         "Europe/Paris",
                         kDaily,
                         "2024-10-26T01:00Z",
                         {"2024-10-27T00:30/2024-10-27T00:45", "2024-10-28T01:30/2024-10-28T01:45"}},
                    Case{"DoubledNewYork",
                         "2024-11-02T01:30:00-04:00",
                         "2024-11-02T03:00:00-04:00",
                         "America/New_York",
                         kDaily,
                         "2024-11-02T12:00Z",
                         {"2024-11-03T05:30/2024-11-03T08:00", "2024-11-04T06:30/2024-11-04T08:00"}},
                    Case{"DoubledLordHowe",
                         "2024-04-06T01:40:00+11:00",
                         "2024-04-06T01:50:00+11:00",
                         "Australia/Lord_Howe",
                         kDaily,
                         "2024-04-06T00:00Z",
                         {"2024-04-06T14:40/2024-04-06T14:50", "2024-04-07T15:10/2024-04-07T15:20"}},
                    // Midnight itself is left out here: 00:00 is 01:00.
                    Case{"GapAtMidnight",
                         "2018-11-02T00:00:00-03:00",
                         "2018-11-02T06:00:00-03:00",
                         "America/Sao_Paulo",
                         kDaily,
                         "2018-11-03T12:00Z",
                         {"2018-11-04T03:00/2018-11-04T08:00", "2018-11-05T02:00/2018-11-05T08:00"}},
                    // Without a zone: the offset it is written with.
                    Case{"OwnOffset",
                         "2024-03-30T23:00:00-03:30",
                         "2024-03-31T01:00:00-03:30",
                         "",
                         R"({"frequency":"weekly","byDays":["saturday"]})",
                         "2024-03-30T12:00Z",
                         {"2024-03-31T02:30/2024-03-31T04:30", "2024-04-07T02:30/2024-04-07T04:30"}},
                    Case{"LeapDayYearly",
                         "2024-02-29T10:00:00Z",
                         "2024-02-29T11:00:00Z",
                         "",
                         R"({"frequency":"yearly"})",
                         "2024-03-01T00:00Z",
                         {"2028-02-29T10:00/2028-02-29T11:00", "2032-02-29T10:00/2032-02-29T11:00"}},
                    Case{"LeapDayOver2100",
                         "2096-02-29T10:00:00Z",
                         "2096-02-29T11:00:00Z",
                         "",
                         R"({"frequency":"yearly"})",
                         "2096-03-01T00:00Z",
                         {"2104-02-29T10:00/2104-02-29T11:00"}},
                    Case{"The31st",
                         "2024-01-31T10:00:00Z",
                         "2024-01-31T11:00:00Z",
                         "",
                         R"({"frequency":"monthly"})",
                         "2024-01-31T10:00Z",
                         {"2024-03-31T10:00/2024-03-31T11:00", "2024-05-31T10:00/2024-05-31T11:00"}},
                    Case{"LastFriday",
                         "2024-01-26T10:00:00Z",
                         "2024-01-26T11:00:00Z",
                         "",
                         R"({"frequency":"monthly","byDays":["-1friday"]})",
                         "2024-01-01T00:00Z",
                         {"2024-01-26T10:00/2024-01-26T11:00", "2024-02-23T10:00/2024-02-23T11:00",
                          "2024-03-29T10:00/2024-03-29T11:00"}},
                    Case{"SecondTuesdayAndLastFriday",
                         "2024-01-09T10:00:00Z",
                         "2024-01-09T11:00:00Z",
                         "",
                         R"({"frequency":"monthly","byDays":["-1friday","+2tuesday"],"count":4})",
                         "2024-01-01T00:00Z",
                         {"2024-01-09T10:00/2024-01-09T11:00", "2024-01-26T10:00/2024-01-26T11:00",
                          "2024-02-13T10:00/2024-02-13T11:00", "2024-02-23T10:00/2024-02-23T11:00"},
                         true},
                    Case{"FifthThursday",
                         "2024-02-29T10:00:00Z",
                         "2024-02-29T11:00:00Z",
                         "",
                         R"({"frequency":"monthly","byDays":["+5thursday"]})",
                         "2024-02-29T10:00Z",
                         {"2024-05-30T10:00/2024-05-30T11:00", "2024-08-29T10:00/2024-08-29T11:00"}},
                    Case{"EveryMondayOfTheMonth",
                         "2024-01-29T10:00:00Z",
                         "2024-01-29T11:00:00Z",
                         "",
                         R"({"frequency":"monthly","interval":2,"byDays":["monday"]})",
                         "2024-01-29T10:00Z",
                         {"2024-03-04T10:00/2024-03-04T11:00", "2024-03-11T10:00/2024-03-11T11:00"}},
                    // Years that have 53 Mondays: 2029 (began on one), 2035, 2040 (leap, began on a Sunday).
                    Case{"Monday53",
                         "2024-01-01T10:00:00Z",
                         "2024-01-01T11:00:00Z",
                         "",
                         R"({"frequency":"yearly","byDays":["+53monday"]})",
                         "2024-01-01T10:00Z",
                         {"2024-12-30T10:00/2024-12-30T11:00", "2029-12-31T10:00/2029-12-31T11:00",
                          "2035-12-31T10:00/2035-12-31T11:00", "2040-12-31T10:00/2040-12-31T11:00"}},
                    Case{"LastSundayOfTheYear",
                         "2024-12-29T10:00:00Z",
                         "2024-12-29T11:00:00Z",
                         "",
                         R"({"frequency":"yearly","interval":2,"byDays":["-1sunday"]})",
                         "2024-12-29T10:00Z",
                         {"2026-12-27T10:00/2026-12-27T11:00"}},
                    Case{"NeverAgain",
                         "2024-01-01T10:00:00Z",
                         "2024-01-01T11:00:00Z",
                         "",
                         R"({"frequency":"monthly","byDays":["+6monday"]})",
                         "2024-01-01T00:00Z",
                         {"2024-01-01T10:00/2024-01-01T11:00"},
                         true},
                    // The first window is one although it is no Monday, and counts.
                    Case{"FirstNotAmongTheDays",
                         "2024-01-04T10:00:00Z",
                         "2024-01-04T11:00:00Z",
                         "",
                         R"({"frequency":"weekly","byDays":["monday"],"count":3})",
                         "2024-01-01T00:00Z",
                         {"2024-01-04T10:00/2024-01-04T11:00", "2024-01-08T10:00/2024-01-08T11:00",
                          "2024-01-15T10:00/2024-01-15T11:00"},
                         true},
                    // Every second week, counted from the Monday of the first.
                    Case{"EverySecondWeek",
                         "2024-01-04T10:00:00Z",
                         "2024-01-04T11:00:00Z",
                         "",
                         R"({"frequency":"weekly","interval":2,"byDays":["thursday","tuesday"]})",
                         "2024-01-04T10:00Z",
                         {"2024-01-16T10:00/2024-01-16T11:00", "2024-01-18T10:00/2024-01-18T11:00",
                          "2024-01-30T10:00/2024-01-30T11:00"}},
                    Case{"WeeklyOnItsOwnDay",
                         "2024-01-04T10:00:00Z",
                         "2024-01-04T11:00:00Z",
                         "",
                         R"({"frequency":"weekly","count":2})",
                         "2024-01-04T10:00Z",
                         {"2024-01-11T10:00/2024-01-11T11:00"},
                         true},
                    Case{"DailyCount",
                         "2024-01-04T10:00:00Z",
                         "2024-01-04T11:00:00Z",
                         "",
                         R"({"frequency":"daily","interval":10,"count":2})",
                         "2024-01-04T10:00Z",
                         {"2024-01-14T10:00/2024-01-14T11:00"},
                         true},
                    Case{"CountOfOne",
                         "2024-01-04T10:00:00Z",
                         "2024-01-04T11:00:00Z",
                         "",
                         R"({"frequency":"daily","count":1})",
                         "2024-01-01T00:00Z",
                         {"2024-01-04T10:00/2024-01-04T11:00"},
                         true},
                    Case{"DailyOnDays",
                         "2024-01-05T10:00:00Z",
                         "2024-01-05T11:00:00Z",
                         "",
                         R"({"frequency":"daily","byDays":["friday","Monday"],"count":3})",
                         "2024-01-05T10:00Z",
                         {"2024-01-08T10:00/2024-01-08T11:00", "2024-01-12T10:00/2024-01-12T11:00"},
                         true},
                    Case{"UntilIsInclusive",
                         "2024-01-04T10:00:00+01:00",
                         "2024-01-04T11:00:00+01:00",
                         "Europe/Paris",
                         R"({"frequency":"daily","until":"2024-01-06T10:00:00+01:00"})",
                         "2024-01-04T09:00Z",
                         {"2024-01-05T09:00/2024-01-05T10:00", "2024-01-06T09:00/2024-01-06T10:00"},
                         true},
                    Case{"UntilJustBefore",
                         "2024-01-04T10:00:00+01:00",
                         "2024-01-04T11:00:00+01:00",
                         "Europe/Paris",
                         R"({"frequency":"daily","until":"2024-01-06T09:59:59+01:00"})",
                         "2024-01-04T09:00Z",
                         {"2024-01-05T09:00/2024-01-05T10:00"},
                         true},
                    Case{"Secondly",
                         "1970-01-01T00:00:00Z",
                         "1970-01-01T00:00:01Z",
                         "",
                         R"({"frequency":"secondly","interval":7})",
                         "2026-01-01T00:00:00Z",
                         {"2026-01-01T00:00:07/2026-01-01T00:00:08", "2026-01-01T00:00:14/2026-01-01T00:00:15"}},
                    Case{"SecondlyCount",
                         "1970-01-01T00:00:00Z",
                         "1970-01-01T00:00:01Z",
                         "",
                         R"({"frequency":"secondly","count":1767225602})",
                         "2025-12-31T23:59:59Z",
                         {"2026-01-01T00:00/2026-01-01T00:00:01", "2026-01-01T00:00:01/2026-01-01T00:00:02"},
                         true},
                    Case{"MinutelyUntil",
                         "2024-01-01T00:00:00Z",
                         "2024-01-01T00:01:00Z",
                         "",
                         R"({"frequency":"minutely","interval":90,"until":"2024-01-01T03:00:00Z"})",
                         "2024-01-01T00:00Z",
                         {"2024-01-01T01:30/2024-01-01T01:31", "2024-01-01T03:00/2024-01-01T03:01"},
                         true},
                    // Elapsed time: no hour is missing or doubled in the night of the change.
                    Case{"Hourly",
                         "2024-10-26T00:10:00+02:00",
                         "2024-10-26T00:20:00+02:00",
                         "Europe/Paris",
                         R"({"frequency":"hourly"})",
                         "2024-10-27T00:00Z",
                         {"2024-10-27T00:10/2024-10-27T00:20", "2024-10-27T01:10/2024-10-27T01:20",
                          "2024-10-27T02:10/2024-10-27T02:20"}},
                    // On the days of the zone's calendar.
                    Case{"HourlyOnDays",
                         "2024-03-31T20:30:00+02:00",
                         "2024-03-31T20:40:00+02:00",
                         "Europe/Paris",
                         R"({"frequency":"hourly","interval":12,"byDays":["sunday"],"count":4})",
                         "2024-03-31T18:30Z",
                         {"2024-04-07T06:30/2024-04-07T06:40", "2024-04-07T18:30/2024-04-07T18:40",
                          "2024-04-14T06:30/2024-04-14T06:40"},
                         true},
                    Case{"Union",
                         "2024-01-01T10:00:00Z",
                         "2024-01-01T11:00:00Z",
                         "",
                         R"({"frequency":"weekly","byDays":["wednesday"]},{"frequency":"monthly"})",
                         "2024-01-01T10:00Z",
                         {"2024-01-03T10:00/2024-01-03T11:00", "2024-01-10T10:00/2024-01-10T11:00",
                          "2024-01-17T10:00/2024-01-17T11:00", "2024-01-24T10:00/2024-01-24T11:00",
                          "2024-01-31T10:00/2024-01-31T11:00", "2024-02-01T10:00/2024-02-01T11:00"}},
                    Case{"HugeInterval",
                         "2024-01-01T10:00:00Z",
                         "2024-01-01T11:00:00Z",
                         "",
                         R"({"frequency":"yearly","interval":2147483647},{"frequency":"hourly","interval":2147483647},
                {"frequency":"daily","interval":2147483647},{"frequency":"daily","count":2147483647,"interval":9999999})",
                         "2024-01-01T00:00Z",
                         {"2024-01-01T10:00/2024-01-01T11:00"},
                         true}),
    [](const auto& info) { return info.param.name; });

TEST(Recurrence, AWindowEndsJustBeforeItsEnd) {
  auto recurrence = read("2024-01-01T10:00:00Z", "2024-01-01T11:00:00Z", "", kDaily);
  EXPECT_FALSE(recurrence.covering(at("2024-01-02T09:59:59.999Z")));
  EXPECT_TRUE(recurrence.covering(at("2024-01-02T10:00:00Z")));
  EXPECT_TRUE(recurrence.covering(at("2024-01-02T10:59:59.999Z")));
  EXPECT_FALSE(recurrence.covering(at("2024-01-02T11:00:00Z")));
  EXPECT_FALSE(recurrence.covering(at("2023-12-31T10:30:00Z")));
}

TEST(Recurrence, WindowsThatMeetAreOneStretch) {
  auto night = read("2024-01-01T22:00:00Z", "2024-01-02T06:00:00Z", "",
                    R"({"frequency":"daily"},{"frequency":"hourly","interval":8,"until":"2024-01-02T06:00:00Z"})");
  // The second rule adds 06:00 to 14:00 of the 2nd.
  auto far = at("2024-02-01T00:00Z");
  EXPECT_EQ(night.covered_until(at("2024-01-01T23:00:00Z"), far), at("2024-01-02T14:00Z"));
  EXPECT_EQ(night.covered_until(at("2024-01-02T15:00:00Z"), far), at("2024-01-02T15:00:00Z"));
  auto always = read("2024-01-01T22:00:00Z", "2024-01-02T22:00:00Z", "", kDaily);
  EXPECT_EQ(always.covered_until(at("2024-01-05T00:00:00Z"), at("2024-01-05T01:00Z")), at("2024-01-05T01:00Z"));
  // Of the windows that hold a time the oldest is told.
  auto over = read("2024-01-01T00:00:00Z", "2024-01-04T00:00:00Z", "", kDaily);
  EXPECT_EQ(shown(*over.covering(at("2024-03-10T12:00Z"))), "2024-03-08T00:00/2024-03-11T00:00");
}

TEST(Recurrence, SecondsSince1970HoldEveryHour) {
  auto recurrence = read("1970-01-01T00:00:00Z", "1970-01-01T09:00:00Z", "Europe/Paris",
                         R"({"frequency":"secondly"},{"frequency":"secondly","byDays":["monday"],"count":2147483647})");
  auto now = at("2026-11-25T12:00:00Z");
  EXPECT_EQ(shown(*recurrence.covering(now)), "2026-11-25T03:00:01/2026-11-25T12:00:01");
  EXPECT_EQ(recurrence.covered_until(now, now + 3'600'000), now + 3'600'000);
  EXPECT_EQ(recurrence.after(now)->start, now + 1000);
}

// Whatever the rule: what is found at a time is what a walk over all windows finds.
TEST(Recurrence, FoundWithinIsWhatAWalkFinds) {
  std::minstd_rand random(7);
  auto pick = [&](int n) { return static_cast<int>(random() % static_cast<unsigned>(n)); };
  const char* zones[] = {"Europe/Paris", "America/New_York", "Australia/Lord_Howe", "Asia/Kolkata", ""};
  const char* frequencies[] = {"minutely", "hourly", "daily", "weekly", "monthly", "yearly"};
  const char* days[] = {"monday", "sunday", "thursday"};
  const UnixMillis first = at("2024-01-31T00:00:00Z");
  for (int round = 0; round < 300; ++round) {
    auto start = first + pick(24 * 60) * 60'000LL;
    auto end = start + (1 + pick(50)) * 1'800'000LL;
    const char* frequency = frequencies[pick(6)];
    boost::json::object rule{{"frequency", frequency}, {"interval", 1 + pick(3)}};
    if (std::string_view(frequency) == "minutely") rule["interval"] = 30 + pick(300);
    if (pick(2) == 0) rule["byDays"] = boost::json::array{days[pick(3)], days[pick(3)]};
    if (pick(2) == 0) rule["count"] = 1 + pick(60);
    auto text = json::write(rule);
    auto recurrence = read(format_time(start), format_time(end), zones[pick(5)], text);
    std::vector<Occurrence> all;
    const auto horizon = at("2026-02-01T00:00Z");
    for (auto next = recurrence.after(start - 1); next && next->start < horizon; next = recurrence.after(next->start))
      all.push_back(*next);
    if (rule.contains("count")) {
      EXPECT_LE(all.size(), static_cast<std::size_t>(rule["count"].as_int64())) << text;
    }
    for (int probe = 0; probe < 50; ++probe) {
      auto time = start + static_cast<std::int64_t>(random() % 62'000'000ull) * 1000;
      auto found =
          std::find_if(all.begin(), all.end(), [&](const auto& one) { return one.start <= time && time < one.end; });
      auto got = recurrence.covering(time);
      ASSERT_EQ(got.has_value(), found != all.end()) << text << " at " << format_time(time);
      if (got) {
        ASSERT_EQ(shown(*got), shown(*found)) << text << " at " << format_time(time);
      }
      auto until = time;
      for (const auto& one : all) {
        if (one.start <= until && until < one.end) until = one.end;
      }
      if (until + 86'400'000 < horizon) {
        ASSERT_EQ(recurrence.covered_until(time, horizon), until) << text << " at " << format_time(time);
      }
    }
  }
}

TEST(Recurrence, FaultsNameTheField) {
  auto error = [](boost::json::object more) {
    boost::json::object alarm{{"startTime", "2024-01-01T10:00:00Z"}, {"endTime", "2024-01-01T11:00:00Z"}};
    for (auto& one : more)
      alarm[one.key()] = one.value();
    auto read = Recurrence::read(alarm);
    return read ? std::string() : read.error().text;
  };
  EXPECT_EQ(error({}), "");
  EXPECT_EQ(error({{"timezone", "Mars/Olympus"}}), "timezone is not known");
  EXPECT_EQ(error({{"startTime", "soon"}}), "startTime is no time");
  EXPECT_EQ(error({{"endTime", "2024-01-01T10:00:00Z"}}), "endTime is no time after startTime");
  EXPECT_EQ(error({{"recurrence", {{{"frequency", "fortnightly"}}}}}), "recurrence/frequency is not known");
  EXPECT_TRUE(is_time_zone("America/Argentina/Buenos_Aires"));
  EXPECT_TRUE(is_time_zone("US/Eastern"));
  EXPECT_TRUE(is_time_zone("UTC"));
  EXPECT_FALSE(is_time_zone("../../etc/passwd"));
  EXPECT_FALSE(is_time_zone(""));
}

}  // namespace
}  // namespace sluice::connection
