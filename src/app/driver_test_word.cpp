// SPDX-License-Identifier: Apache-2.0
// `sluice driver test`: a package's examples in the engine that serves.
#include <CLI/CLI.hpp>
#include <boost/json/array.hpp>
#include <chrono>
#include <cstdio>
#include <fstream>
#include <memory>

#include "app/driver_check.h"
#include "app/driver_report.h"
#include "app/driver_word.h"
#include "app/local_engine.h"
#include "app/terminal.h"
#include "base/json.h"
#include "driver/collection.h"

namespace sluice::app {
namespace {

using Ink = Terminal::Ink;

struct Given {
  std::vector<std::string> paths;
  std::string filter, json;
  bool no_coverage = false, verbose = false;
  unsigned limit_ms = 1000;
};

struct Totals {
  std::size_t drivers = 0, bad_drivers = 0, refused = 0, passed = 0, failed = 0, skipped = 0;
};

class Run {
 public:
  explicit Run(const Given& given) : given_(given) {}

  int run() {
    auto engine = LocalEngine::start();
    if (!engine) {
      std::fprintf(stderr, "sluice driver test: %s\n", engine.error().text.c_str());
      return 1;
    }
    engine_ = std::move(*engine);
    options_.filter = given_.filter;
    options_.coverage = !given_.no_coverage;
    options_.limits = server_limits();
    options_.limits.call = std::chrono::milliseconds(given_.limit_ms);
    auto found = driver::scan(given_.paths);
    const bool one_of_many = found.packages.size() + found.refused.size() > 1;
    for (auto& package : found.packages)
      try_package(std::move(package), one_of_many);
    for (const auto& refusal : found.refused)
      refuse(refusal.path, refusal.reason);
    if (given_.verbose) {
      for (const auto& other : found.passed_over)
        std::printf("%s\n", terminal_.paint(Ink::dim, printable("- " + other.path + ": " + other.reason)).c_str());
    }
    if (found.packages.empty() && found.refused.empty()) std::printf("There is no driver.\n");
    if (!given_.json.empty() && !write_json()) return 1;
    summary();
    return totals_.failed > 0 || totals_.refused > 0 || totals_.passed == 0 ? 1 : 0;
  }

 private:
  void try_package(driver::Package package, bool one_of_many) {
    const auto checked = check(**engine_, std::move(package), options_);
    // What the filter leaves nothing of is not worth a line.
    if (one_of_many && !given_.filter.empty() && checked.good() && checked.tried.empty()) return;
    ++totals_.drivers;
    if (!checked.good()) ++totals_.bad_drivers;
    totals_.passed += checked.passed;
    totals_.failed += checked.failed;
    totals_.skipped += checked.skipped;
    if (!given_.json.empty()) drivers_.emplace_back(checked.to_json());
    std::string text;
    if (one_of_many && !given_.verbose)
      text = line_of(terminal_, checked) + failures_of(terminal_, checked, false);
    else
      text = report_of(terminal_, checked, given_.verbose) + "\n";
    std::fputs(text.c_str(), stdout);
    std::fflush(stdout);
  }

  void refuse(const std::string& path, const std::string& why) {
    ++totals_.refused;
    std::printf("%s %s\n      %s\n", terminal_.paint(Ink::red, "\xe2\x9c\x97").c_str(), printable(path).c_str(),
                terminal_.paint(Ink::red, printable(why)).c_str());
  }

  bool write_json() {
    const boost::json::object report{{"drivers", std::move(drivers_)},
                                     {"passed", totals_.passed},
                                     {"failed", totals_.failed},
                                     {"skipped", totals_.skipped},
                                     {"refused", totals_.refused}};
    const auto text = json::write_pretty(report) + "\n";
    if (given_.json == "-") {
      std::fputs(text.c_str(), stdout);
      return true;
    }
    std::ofstream out(given_.json, std::ios::binary);
    out << text;
    out.close();
    if (!out) std::fprintf(stderr, "sluice driver test: cannot write %s\n", given_.json.c_str());
    return static_cast<bool>(out);
  }

  void summary() {
    if (totals_.drivers + totals_.refused > 1) {
      std::printf("\n%s", counted(totals_.drivers, "driver").c_str());
      if (totals_.bad_drivers > 0) std::printf(", %zu of them failing", totals_.bad_drivers);
      if (totals_.refused > 0) std::printf(", %zu refused", totals_.refused);
      std::printf("\n");
    }
    if (totals_.passed + totals_.failed + totals_.refused == 0 && totals_.drivers > 0) {
      std::printf("%s\n", given_.filter.empty() ? "There are no examples to run."
                                                : "No example fits the filter: there is nothing to run.");
    }
    const auto passed = std::to_string(totals_.passed) + " passed", failed = std::to_string(totals_.failed) + " failed";
    std::printf("%s, %s\n", terminal_.paint(totals_.passed > 0 ? Ink::green : Ink::plain, passed).c_str(),
                terminal_.paint(totals_.failed > 0 ? Ink::red : Ink::plain, failed).c_str());
  }

  const Given& given_;
  const Terminal terminal_{stdout};
  std::unique_ptr<LocalEngine> engine_;
  CheckOptions options_;
  Totals totals_;
  boost::json::array drivers_;
};

}  // namespace

void add_driver_test(CLI::App& driver, std::function<int()>& run) {
  auto given = std::make_shared<Given>();
  auto* word = driver.add_subcommand("test", "Run the examples of drivers in the engine that serves");
  word->add_option("PATH", given->paths, "a driver: folder, .tgz, .js; or a folder of many")->required();
  word->add_option("--filter", given->filter, "only examples whose description, type or file holds this text");
  word->add_flag("--no-coverage", given->no_coverage, "do not find out which lines the examples reach");
  word->add_flag("--verbose", given->verbose, "show every example with its output and its console lines");
  word->add_option("--json", given->json, "write a report there, as JSON; - for standard output");
  word->add_option("--limit-time", given->limit_ms, "processor time of a call, in milliseconds")
      ->capture_default_str()
      ->check(CLI::Range(1, 10000));
  word->callback([given, &run] { run = [given] { return Run(*given).run(); }; });
}

}  // namespace sluice::app
