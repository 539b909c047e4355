// SPDX-License-Identifier: Apache-2.0
#include "app/driver_check.h"

#include <filesystem>
#include <fstream>
#include <gtest/gtest.h>

#include "app/driver_report.h"
#include "app/driver_template.h"
#include "app/local_engine.h"
#include "base/json.h"
#include "driver/collection.h"
#include "driver/host_for_tests.h"
#include "driver/temp_folder.h"

namespace sluice::app {
namespace {

namespace fs = std::filesystem;

driver::Engine& engine() {
  static const auto local = [] {
    auto started = LocalEngine::start(1);
    if (!started) throw std::runtime_error(started.error().text);
    return std::move(*started);
  }();
  return **local;
}

CheckOptions options() {
  return {.limits = server_limits()};
}

driver::Package package_at(const std::string& path) {
  auto read = driver::read_package(path);
  EXPECT_TRUE(read) << (read ? "" : read.error().text);
  return read ? std::move(*read) : driver::Package{};
}

const Terminal kPlain(false, 100);

TEST(DriverNew, MakesPackagesThatPassAndReachEveryLine) {
  for (const auto signature : {driver::Signature::lora_alliance, driver::Signature::actility, driver::Signature::ttn,
                               driver::Signature::chirpstack}) {
    driver::TempFolder folder;
    for (const auto& [path, text] : template_files({.name = "kettle", .producer = "acme", .signature = signature}))
      folder.write(path, text);
    const auto checked = check(engine(), package_at(folder.path()), options());
    const auto report = report_of(kPlain, checked, false);
    EXPECT_TRUE(checked.good()) << report;
    EXPECT_GE(checked.passed, 5U) << report;
    EXPECT_EQ(checked.skipped, 0U) << report;
    EXPECT_EQ(checked.package.id(), "acme:kettle:1");
    EXPECT_TRUE(checked.package.warnings.empty()) << report;
    ASSERT_TRUE(checked.coverage) << report;
    EXPECT_EQ(checked.coverage->reached, checked.coverage->all) << report;
    EXPECT_EQ(checked.signature, signature);
  }
}

TEST(DriverNew, RefusesOddNames) {
  EXPECT_EQ(fault_of({.name = "kettle-2.x"}), "");
  for (const char* name : {"", "Kettle", "a b", "../a", "-a", ".a", "\xc3\xa4"})
    EXPECT_NE(fault_of({.name = name}), "") << name;
  EXPECT_NE(fault_of({.name = std::string(65, 'a')}), "");
  EXPECT_NE(fault_of({.name = "a", .producer = "A"}), "");
  EXPECT_NE(fault_of({.name = "a", .producer = ""}), "");
}

TEST(DriverCheck, PassesEveryFormOfExamples) {
  const std::string formats = std::string(SLUICE_SOURCE_DIR) + "/tests/data/drivers/formats/";
  for (const auto& [name, passed] :
       std::vector<std::pair<std::string, std::size_t>>{{"current", 12}, {"legacy", 8}, {"samples", 2}}) {
    const auto checked = check(engine(), package_at(formats + name), options());
    EXPECT_TRUE(checked.good()) << report_of(kPlain, checked, false);
    EXPECT_EQ(checked.passed, passed) << report_of(kPlain, checked, false);
    EXPECT_EQ(checked.skipped, 0U);
  }
}

// A driver with an example that differs, one that throws two functions deep, and one that passes.
void write_broken(driver::TempFolder& folder) {
  folder.write("driver.yaml",
               "name: broken\nproducerId: acme\nprotocolId: acme:broken:1\npackageName: broken\n"
               "packageVersion: 1.0.0\n");
  folder.write("index.js",
               "function decodeUplink(input) {\n"
               "  console.log('first byte', input.bytes[0]);\n"
               "  if (input.bytes[0] === 9) return deep(input);\n"
               "  if (input.bytes[0] === 8) {\n"
               "    return null;\n"
               "  }\n"
               "  return { data: { level: input.bytes[0], list: [1, 2] } };\n"
               "}\n"
               "function deep(input) {\n"
               "  return input.missing.more;\n"
               "}\n");
  folder.write("examples.json", R"([
    { "type": "uplink", "description": "right", "input": { "bytes": "01" }, "output": { "data": { "level": 1, "list": [1, 2] } } },
    { "type": "uplink", "description": "wrong", "input": { "bytes": "02", "fPort": 4 }, "output": { "data": { "level": 3, "list": [1] } } },
    { "type": "uplink", "description": "throws", "input": { "bytes": "09" }, "output": { "data": {} } } ])");
}

TEST(DriverCheck, TellsWhatIsWrongAndWhere) {
  driver::TempFolder folder;
  write_broken(folder);
  const auto checked = check(engine(), package_at(folder.path()), options());
  EXPECT_EQ(checked.passed, 1U);
  EXPECT_EQ(checked.failed, 2U);
  const auto report = report_of(kPlain, checked, false);
  for (const char* part :
       {"bytes 02, fPort 4", "data.level", "expected  3", "got       2", "data.list.1", "expected  nothing",
        "index.js:10:", "10 |   return input.missing.more;", "called at index.js:3:", "in decodeUplink", "console",
        "first byte 9", "line coverage 83.3 % (5 of 6); never reached: 5"}) {
    EXPECT_NE(report.find(part), std::string::npos) << part << " is not in\n" << report;
  }
  const auto json = json::write(checked.to_json());
  EXPECT_NE(json.find(R"("where":{"file":"index.js","line":10,)"), std::string::npos) << json;
  EXPECT_NE(json.find(R"({"path":"data.level","expected":3,"got":2})"), std::string::npos) << json;

  auto filtered = options();
  filtered.filter = "RIGHT";
  filtered.coverage = false;
  const auto right = check(engine(), package_at(folder.path()), filtered);
  EXPECT_EQ(right.passed, 1U);
  EXPECT_TRUE(right.good());
  EXPECT_FALSE(right.coverage);
}

TEST(DriverCheck, TellsWhatTheEngineFound) {
  driver::TempFolder folder;
  write_broken(folder);
  folder.write("index.js",
               "function decodeUplink(input) { return { data: { level: 0 / 0 }, warnings: ['mine'] }; }\n"
               "function extractPoints() { return { frost: { unitId: 'Cel', record: 1 } }; }\n");
  folder.write("examples.json", R"([{ "type": "uplink", "description": "odd", "input": { "bytes": "01" },
    "output": { "data": { "level": null }, "warnings": ["mine"] }, "points": { "frost": { "unitId": "Cel", "record": 1 } } }])");
  const auto checked = check(engine(), package_at(folder.path()), options());
  const auto report = report_of(kPlain, checked, false);
  EXPECT_TRUE(checked.good()) << report;
  EXPECT_NE(report.find("warning level was NaN and became null"), std::string::npos) << report;
  EXPECT_NE(report.find("warning point frost "), std::string::npos) << report;
  EXPECT_EQ(report.find("warning mine"), std::string::npos) << report;
}

TEST(DriverCheck, TellsWhyCodeCannotBeRun) {
  driver::TempFolder folder;
  write_broken(folder);
  folder.write("index.js", "function decodeUplink(input) {\n  return { data: };\n}\n");
  const auto checked = check(engine(), package_at(folder.path()), options());
  EXPECT_FALSE(checked.good());
  EXPECT_EQ(checked.failed, 1U);
  const auto report = report_of(kPlain, checked, false);
  EXPECT_NE(report.find("the code cannot be run"), std::string::npos) << report;
  EXPECT_NE(report.find("SyntaxError"), std::string::npos) << report;
  EXPECT_NE(report.find("index.js:2"), std::string::npos) << report;
}

TEST(DriverReport, MarksWhatStandsAtAPlace) {
  const auto marked = [](const char* text, int column) {
    return marked_line(kPlain, {.file = "index.js", .line = 7, .column = column, .text = text}, 2);
  };
  EXPECT_EQ(marked("  throw new Error('x');", 18), "  7 |   throw new Error('x');\n    |             ^^^^^\n");
  EXPECT_EQ(marked("\treturn missing;", 16), "  7 |  return missing;\n    |         ^^^^^^^\n");
  EXPECT_EQ(marked("        return a.b.c;", 19), "  7 |   return a.b.c;\n    |          ^^^\n");
  EXPECT_EQ(marked("var b = = 2;", 0), "  7 | var b = = 2;\n");
  EXPECT_EQ(marked("", 3), "");
  // Of a long line, what is around the place.
  const auto wide = marked((std::string(5000, 'a') + " missing;" + std::string(5000, 'b')).c_str(), 5009);
  EXPECT_NE(wide.find("missing;"), std::string::npos);
  EXPECT_LT(wide.size(), 260U);
  EXPECT_NE(wide.find("^^^^^^^\n"), std::string::npos);
}

}  // namespace
}  // namespace sluice::app
