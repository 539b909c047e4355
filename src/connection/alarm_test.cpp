// SPDX-License-Identifier: Apache-2.0
#include "connection/alarm.h"

#include <gtest/gtest.h>

namespace sluice::connection {
namespace {

UnixMillis at(const std::string& text) {
  return parse_time(text).value();
}

// Days go by: each call of advance() is made when the alarms ask for it.
class AlarmTest : public testing::Test {
 protected:
  static boost::json::object alarm(const char* start, const char* end, const char* zone, const char* rule, int rate) {
    boost::json::object out{{"startTime", start}, {"endTime", end}, {"uplinkRateMinPerHour", rate}, {"message", "few"}};
    if (*zone != 0) out["timezone"] = zone;
    if (*rule != 0) out["recurrence"] = *json::parse(std::string("[") + rule + "]");
    return out;
  }
  void set(boost::json::array alarms, const char* now) {
    resource_ = std::move(alarms);
    EXPECT_TRUE(alarms_.configure(resource_).empty());
    now_ = at(now);
    advance();
  }
  void advance() {
    for (const auto& verdict : alarms_.advance(now_, static_cast<std::uint64_t>(delivered_), active_)) {
      auto hours = [](UnixMillis time) { return format_time(time).substr(5, 11); };
      told_.push_back(std::string(verdict.low ? "low " : "fine ") + std::to_string(verdict.observed) + " of " +
                      std::to_string(verdict.expected) + ", " + hours(verdict.from) + " to " + hours(verdict.to));
    }
  }
  // Until then, with so many uplinks an hour.
  void pass(const std::string& until, double rate) {
    auto end = at(until);
    auto flow = [&](UnixMillis to) {
      delivered_ += rate * static_cast<double>(to - now_) / 3'600'000;
      now_ = to;
    };
    for (int steps = 0; alarms_.due() && *alarms_.due() <= end; ++steps) {
      ASSERT_LT(steps, 100'000);
      ASSERT_GT(*alarms_.due(), now_);
      flow(*alarms_.due());
      advance();
    }
    flow(end);
    advance();
  }
  // The process ends; the next one starts at that time.
  void restart(const std::string& then) {
    auto saved = *json::parse(json::write(saved_ ? *saved_ : alarms_.save()));
    alarms_ = Alarms();
    EXPECT_TRUE(alarms_.configure(resource_).empty());
    alarms_.restore(saved.get_object());
    now_ = at(then);
    advance();
  }
  std::vector<std::string> told() { return std::exchange(told_, {}); }

  using List = std::vector<std::string>;
  Alarms alarms_;
  boost::json::array resource_;
  std::optional<boost::json::object> saved_;
  UnixMillis now_ = 0;
  double delivered_ = 1000;
  bool active_ = true;
  List told_;
};

constexpr const char* kBusiness =
    R"({"frequency":"weekly","byDays":["monday","tuesday","wednesday","thursday","friday"]})";

TEST_F(AlarmTest, RaisedEachHourAndClearedOnce) {
  // A Thursday.
  set({alarm("2024-01-04T09:00:00Z", "2024-01-04T12:30:00Z", "", kBusiness, 10)}, "2024-01-03T00:00Z");
  pass("2024-01-04T09:00:00Z", 0);
  EXPECT_EQ(told(), List{});
  pass("2024-01-04T10:00:00Z", 10);
  EXPECT_EQ(told(), List{});  // exactly enough
  pass("2024-01-04T12:00:00Z", 9);
  EXPECT_EQ(told(), (List{"low 9 of 10, 01-04T10:00 to 01-04T11:00", "low 9 of 10, 01-04T11:00 to 01-04T12:00"}));
  pass("2024-01-04T12:30:00Z", 10);  // half an hour: five are enough
  EXPECT_EQ(told(), List{"fine 5 of 5, 01-04T12:00 to 01-04T12:30"});
  pass("2024-01-05T09:00:00Z", 0);
  EXPECT_EQ(told(), List{});
  pass("2024-01-05T12:30:00Z", 8);
  EXPECT_EQ(told().back(), "low 4 of 5, 01-05T12:00 to 01-05T12:30");
  // The weekend is nobody's; raised until an evaluation is fine.
  pass("2024-01-08T09:00:00Z", 0);
  EXPECT_EQ(told(), List{});
  pass("2024-01-08T10:00:00Z", 60);
  EXPECT_EQ(told(), List{"fine 60 of 10, 01-08T09:00 to 01-08T10:00"});
  pass("2024-01-08T12:30:00Z", 60);
  EXPECT_EQ(told(), List{});
}

TEST_F(AlarmTest, AWindowUnderAnHourIsJudgedAtItsEnd) {
  set({alarm("2024-01-04T09:00:00Z", "2024-01-04T09:10:00Z", "", R"({"frequency":"hourly"})", 30)},
      "2024-01-04T08:00:00Z");
  pass("2024-01-04T09:09:59Z", 0);
  EXPECT_EQ(told(), List{});
  pass("2024-01-04T10:05:00Z", 24);
  EXPECT_EQ(told(), List{"low 0 of 5, 01-04T09:00 to 01-04T09:10"});
  pass("2024-01-04T10:10:00Z", 30);
  // From 10:00 on: five minutes at 24 an hour and five at 30 give 4.5.
  EXPECT_EQ(told(), List{"low 4 of 5, 01-04T10:00 to 01-04T10:10"});
}

TEST_F(AlarmTest, RateZeroIsAlwaysEnough) {
  set({alarm("2024-01-04T09:00:00Z", "2024-01-04T18:00:00Z", "", "", 0)}, "2024-01-04T08:00:00Z");
  pass("2024-01-05T09:00:00Z", 0);
  EXPECT_EQ(told(), List{});
  EXPECT_FALSE(alarms_.due());
}

TEST_F(AlarmTest, TheHoursOfANightOfChange) {
  // 22:00 to 07:00 in Paris has eight hours in the night to the 31st of March, ten in that to the 27th of October.
  set({alarm("2024-03-29T22:00:00+01:00", "2024-03-30T07:00:00+01:00", "Europe/Paris", R"({"frequency":"daily"})", 5)},
      "2024-03-30T12:00:00Z");
  pass("2024-03-31T12:00:00Z", 1);
  auto spring = told();
  ASSERT_EQ(spring.size(), 8u);
  EXPECT_EQ(spring.front(), "low 1 of 5, 03-30T21:00 to 03-30T22:00");
  EXPECT_EQ(spring.back(), "low 1 of 5, 03-31T04:00 to 03-31T05:00");
  pass("2024-10-26T12:00:00Z", 100);
  told();
  pass("2024-10-27T12:00:00Z", 1);
  auto autumn = told();
  ASSERT_EQ(autumn.size(), 10u);
  EXPECT_EQ(autumn.front(), "low 1 of 5, 10-26T20:00 to 10-26T21:00");
  EXPECT_EQ(autumn.back(), "low 1 of 5, 10-27T05:00 to 10-27T06:00");
}

TEST_F(AlarmTest, AHalfHourOfSummerTime) {
  // 00:00 to 06:00 on Lord Howe is five and a half hours when summer time begins.
  set({alarm("2024-10-05T00:00:00+10:30", "2024-10-05T06:00:00+10:30", "Australia/Lord_Howe",
             R"({"frequency":"daily"})", 10)},
      "2024-10-05T12:00:00Z");
  pass("2024-10-06T00:00:00Z", 0);
  auto all = told();
  ASSERT_EQ(all.size(), 6u);
  EXPECT_EQ(all.front(), "low 0 of 10, 10-05T13:30 to 10-05T14:30");
  EXPECT_EQ(all.back(), "low 0 of 5, 10-05T18:30 to 10-05T19:00");
}

TEST_F(AlarmTest, NothingIsJudgedWhileDeactivated) {
  set({alarm("2024-01-04T09:00:00Z", "2024-01-04T18:00:00Z", "", R"({"frequency":"daily"})", 10)},
      "2024-01-04T08:00:00Z");
  pass("2024-01-04T10:30:00Z", 0);
  EXPECT_EQ(told().size(), 1u);
  active_ = false;
  advance();
  EXPECT_FALSE(alarms_.due());
  now_ = at("2024-01-04T15:15:00Z");
  advance();
  active_ = true;
  advance();
  EXPECT_EQ(told(), List{});
  pass("2024-01-04T16:30:00Z", 10);
  // From where it is active again; seven and a half are needed until the full hour.
  EXPECT_EQ(told(), List{"low 7 of 8, 01-04T15:15 to 01-04T16:00"});
  active_ = false;
  pass("2024-01-05T08:00:00Z", 0);
  active_ = true;
  advance();
  pass("2024-01-05T10:00:00Z", 10);
  EXPECT_EQ(told(), List{"fine 10 of 10, 01-05T09:00 to 01-05T10:00"});
}

TEST_F(AlarmTest, MadeWithinAWindow) {
  set({alarm("2024-01-04T09:00:00Z", "2024-01-04T18:00:00Z", "", R"({"frequency":"daily"})", 12)},
      "2024-01-06T10:50:00Z");
  pass("2024-01-06T12:00:00Z", 0);
  EXPECT_EQ(told(), (List{"low 0 of 2, 01-06T10:50 to 01-06T11:00", "low 0 of 12, 01-06T11:00 to 01-06T12:00"}));
}

TEST_F(AlarmTest, RestartedWithinAWindow) {
  set({alarm("2024-01-04T09:00:00Z", "2024-01-04T18:00:00Z", "", R"({"frequency":"daily"})", 12)},
      "2024-01-04T08:00:00Z");
  pass("2024-01-04T10:20:00Z", 12);
  EXPECT_EQ(told(), List{});
  restart("2024-01-04T10:25:00Z");
  pass("2024-01-04T11:00:00Z", 12);
  // Four before, seven after; one fell into the break.
  EXPECT_EQ(told(), List{"low 11 of 12, 01-04T10:00 to 01-04T11:00"});
  // Still known to be raised.
  restart("2024-01-04T11:00:01Z");
  pass("2024-01-04T12:00:00Z", 13);
  EXPECT_EQ(told(), List{"fine 12 of 12, 01-04T11:00 to 01-04T12:00"});
  // Off for some hours of the window: these are judged as one.
  restart("2024-01-04T15:30:00Z");
  EXPECT_EQ(told(), List{"low 0 of 36, 01-04T12:00 to 01-04T15:00"});
  // A window that ended, and the next one that opened while it was off: the latter from now on.
  restart("2024-01-05T10:30:00Z");
  EXPECT_EQ(told(), List{"low 0 of 36, 01-04T15:00 to 01-04T18:00"});
  pass("2024-01-05T11:00:00Z", 14);
  EXPECT_EQ(told(), List{"fine 7 of 6, 01-05T10:30 to 01-05T11:00"});
  // What is left of a year's rest is one step.
  restart("2025-01-05T10:30:00Z");
  EXPECT_EQ(told().size(), 1u);
}

TEST_F(AlarmTest, TheStateBeforeACrashIsAsGood) {
  set({alarm("2024-01-04T09:00:00Z", "2024-01-04T18:00:00Z", "", "", 12)}, "2024-01-04T08:00:00Z");
  EXPECT_TRUE(alarms_.has_changed());
  alarms_.save();
  EXPECT_FALSE(alarms_.has_changed());
  pass("2024-01-04T09:30:00Z", 12);
  EXPECT_TRUE(alarms_.has_changed());  // it is within the window now
  saved_ = alarms_.save();
  pass("2024-01-04T09:50:00Z", 12);
  EXPECT_FALSE(alarms_.has_changed());
  restart("2024-01-04T09:50:00Z");
  pass("2024-01-04T10:00:00Z", 6);
  EXPECT_EQ(told(), List{"low 11 of 12, 01-04T09:00 to 01-04T10:00"});
}

TEST_F(AlarmTest, AnotherTextIsTheSameAlarm) {
  auto one = alarm("2024-01-04T09:00:00Z", "2024-01-04T18:00:00Z", "", "", 12);
  set({one}, "2024-01-04T08:00:00Z");
  pass("2024-01-04T10:40:00Z", 0);
  told();
  one["message"] = "fewer";
  alarms_.configure({alarm("2025-01-01T00:00:00Z", "2025-01-01T01:00:00Z", "", "", 1), one});
  advance();
  pass("2024-01-04T11:00:00Z", 60);
  EXPECT_EQ(told(), List{"fine 20 of 12, 01-04T10:00 to 01-04T11:00"});
  // Another rate is another one: from now on.
  one["uplinkRateMinPerHour"] = 60;
  pass("2024-01-04T11:30:00Z", 0);
  alarms_.configure({one});
  advance();
  pass("2024-01-04T12:00:00Z", 2);
  EXPECT_EQ(told(), List{"low 1 of 30, 01-04T11:30 to 01-04T12:00"});
}

TEST_F(AlarmTest, WindowsThatOverlapAreOneStretch) {
  // Every minute one of an hour: judged once an hour, not once a minute.
  set({alarm("2024-01-04T09:00:00Z", "2024-01-04T10:00:00Z", "", R"({"frequency":"minutely","count":91})", 10)},
      "2024-01-04T08:00:00Z");
  pass("2024-01-05T00:00:00Z", 1);
  EXPECT_EQ(told(), (List{"low 1 of 10, 01-04T09:00 to 01-04T10:00", "low 1 of 10, 01-04T10:00 to 01-04T11:00",
                          "low 0 of 5, 01-04T11:00 to 01-04T11:30"}));
}

TEST_F(AlarmTest, SeveralAlarmsAreJudgedApart) {
  set({alarm("2024-01-04T09:00:00Z", "2024-01-04T10:00:00Z", "", "", 10),
       alarm("2024-01-04T09:30:00Z", "2024-01-04T10:30:00Z", "", "", 2)},
      "2024-01-04T08:00:00Z");
  pass("2024-01-04T12:00:00Z", 1);
  EXPECT_EQ(told(), (List{"low 1 of 10, 01-04T09:00 to 01-04T10:00", "low 1 of 2, 01-04T09:30 to 01-04T10:30"}));
}

TEST_F(AlarmTest, AClockSetBackRaisesNothing) {
  set({alarm("2024-01-04T09:00:00Z", "2024-01-04T18:00:00Z", "", "", 10)}, "2024-01-04T08:00:00Z");
  pass("2024-01-04T10:30:00Z", 10);
  now_ = at("2024-01-04T09:30:00Z");
  advance();
  ASSERT_EQ(*alarms_.due(), at("2024-01-04T10:00:00Z"));
  pass("2024-01-04T10:00:00Z", 10);
  EXPECT_EQ(told(), List{});
}

TEST_F(AlarmTest, AMachineThatSleptIsNotBlamed) {
  set({alarm("2024-01-04T09:00:00Z", "2024-01-04T18:00:00Z", "", "", 10)}, "2024-01-04T08:00:00Z");
  now_ = at("2024-01-04T11:30:00Z");  // nobody called at 09:00
  advance();
  EXPECT_EQ(told(), List{});
  pass("2024-01-04T12:00:00Z", 8);
  EXPECT_EQ(told(), List{"low 4 of 5, 01-04T11:30 to 01-04T12:00"});
}

TEST(AlarmReport, IsADocumentOfItsOwn) {
  AlarmVerdict verdict{.low = true,
                       .message = "few \"uplinks\"",
                       .deliver_to = "9",
                       .expected = 10,
                       .observed = 3,
                       .from = at("2024-01-04T09:00:00Z"),
                       .to = at("2024-01-04T10:00:00Z")};
  auto report = alarm_report(verdict, "1", "8", "plant", at("2024-01-04T10:00:00.005Z"));
  ASSERT_TRUE(report) << report.error().text;
  EXPECT_EQ(report->body,
            R"({"Connection_alarm":{"ConnectionID":"8","ConnectionName":"plant","ID":1401,"State":3,)"
            R"("Time":"2024-01-04T10:00:00.005+00:00","Text":"few \"uplinks\"","Expected":10,"Observed":3,)"
            R"("From":"2024-01-04T09:00:00.000+00:00","To":"2024-01-04T10:00:00.000+00:00"}})");
  EXPECT_EQ(message::connection_of_binder(report->binder), "9");
  EXPECT_EQ(report->account, "1");
  EXPECT_TRUE(is_alarm_report(*report));
  EXPECT_FALSE(is_alarm_report(*message::parse_report(R"({"BS_alarm":{"ID":101}})")));
  EXPECT_EQ(message::format_for({}, *report, nullptr, ""), report->body);
}

}  // namespace
}  // namespace sluice::connection
