// SPDX-License-Identifier: Apache-2.0
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "app/import_report.h"
#include "app/progress.h"
#include "base/json.h"

namespace sluice::app {
namespace {

using driver::Installed;
using Outcome = Installed::Outcome;
using testing::HasSubstr;
using testing::Not;

ImportReport report() {
  ImportReport report;
  report.target = "the data directory ./d";
  report.seconds = 1.26;
  report.found.layouts = {driver::Layout::ttn};
  report.found.refused = {{"a.yaml", "x.js: not there"}, {"b.yaml", "x.js: not there"}};
  report.found.passed_over = {{"c", "no driver.yaml"}};
  report.installed = {{.outcome = Outcome::created, .path = "p1", .id = "a:b:1", .warnings = {"long name"}},
                      {.outcome = Outcome::unchanged, .path = "p2", .id = "a:c:1"},
                      {.outcome = Outcome::refused, .path = "p3", .id = "a:d:1", .reason = "version 1.0.0 is older"}};
  return report;
}

TEST(ImportReport, TellsCountsAndReasons) {
  const Terminal plain(false, 80);
  EXPECT_EQ(to_text(report(), plain, false), R"(5 drivers (The Things Network's layout) in 1.3 s
into the data directory ./d

  imported  1
  replaced  0
  unchanged 1
  refused   3

refused
  x.js: not there (2)
    a.yaml
    b.yaml

left as it is
  version 1.0.0 is older
    p3

1 warning about 1 driver; 1 passed over (--verbose lists them)
)");
  const auto all = to_text(report(), plain, true);
  EXPECT_THAT(all, HasSubstr("warnings\n  p1\n    long name\n"));
  EXPECT_THAT(all, HasSubstr("passed over\n  no driver.yaml\n    c\n"));
}

TEST(ImportReport, ShortensLongListsAndShowsNoControlCharacters) {
  auto many = report();
  many.found.refused.clear();
  for (int i = 0; i < 12; ++i)
    many.found.refused.push_back({"f" + std::to_string(i), "bad \x1b[31m"});
  const auto text = to_text(many, Terminal(false, 80), false);
  EXPECT_THAT(text, HasSubstr("  bad \\x1b[31m (12)\n    f0\n"));
  EXPECT_THAT(text, HasSubstr("    and 7 more (--verbose lists them)\n"));
  EXPECT_THAT(text, Not(HasSubstr("f9")));
}

TEST(ImportReport, FaultsAreThoseOfTheDriver) {
  EXPECT_TRUE(report().has_faults());
  auto none = report();
  none.found.refused.clear();
  EXPECT_FALSE(none.has_faults());  // an older version is no fault
  none.installed[2].own_fault = true;
  EXPECT_TRUE(none.has_faults());
}

TEST(ImportReport, IsJsonForPrograms) {
  auto with = report();
  with.examples = {{"p1", {.passed = 2, .failed = 1, .failures = {"x: differs"}}}};
  const auto o = to_json(with);
  EXPECT_EQ(json::int_or(o, "created", -1), 1);
  EXPECT_EQ(json::int_or(o, "refused", -1), 3);
  const auto& drivers = o.at("drivers").get_array();
  ASSERT_EQ(drivers.size(), 5U);
  EXPECT_EQ(json::write(drivers[2]), R"({"path":"p1","id":"a:b:1","outcome":"created","warnings":["long name"],)"
                                     R"("examples":{"passed":2,"failed":1,"skipped":0,"failures":["x: differs"]}})");
  EXPECT_EQ(json::write(o.at("passedOver")), R"([{"path":"c","reason":"no driver.yaml"}])");
}

TEST(ProgressLine, FitsTheTerminal) {
  const Terminal plain(false, 70);
  EXPECT_EQ(progress_line(plain, "importing", 6, 12, 80.4, "vendor/x"),
            "importing [############............] 6/12  80/s  vendor/x");
  EXPECT_EQ(progress_line(plain, "reading", 1500, 0, 0, "x"), "reading  1,500  x");
  const auto cut = progress_line(plain, "importing", 6, 12, 80, "a/very/long/path/to/somewhere/x-codec.yaml");
  EXPECT_LE(columns(cut), 70U);
  EXPECT_THAT(cut, testing::EndsWith("x-codec.yaml"));
  EXPECT_THAT(cut, HasSubstr("\xe2\x80\xa6"));
}

}  // namespace
}  // namespace sluice::app
