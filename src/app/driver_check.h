// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <boost/json/object.hpp>
#include <optional>
#include <string>
#include <vector>

#include "driver/coverage.h"
#include "driver/engine.h"
#include "driver/package.h"
#include "driver/trial.h"

namespace sluice::app {

struct CheckOptions {
  std::string filter;  // only examples whose description, kind or file holds it, in any case; empty: all
  bool coverage = true;
  driver::Limits limits;  // of each call
};

// What trying a package gave.
struct Checked {
  driver::Package package;
  driver::Signature signature = driver::Signature::lora_alliance;
  std::string unusable;                // why the code cannot be run at all; empty: it can
  std::optional<driver::Where> where;  // of that
  // The examples that were chosen, and what became of each; empty where the code cannot be run.
  std::vector<driver::Example> examples;
  std::vector<driver::Tried> tried;
  std::optional<driver::Coverage::Lines> coverage;
  std::string no_coverage;  // why there is none, where it was asked for
  std::size_t passed = 0, failed = 0, skipped = 0;

  [[nodiscard]] bool good() const { return unusable.empty() && failed == 0; }
  [[nodiscard]] boost::json::object to_json() const;
};

// Evaluates the package's code, runs its examples and finds the lines they reach. Code that cannot be run counts as one
// failure. Blocks.
Checked check(driver::Engine& engine, driver::Package package, const CheckOptions& options);

// A place in the author's files: "index.js", 3, 18, and the text of that line.
struct SourcePlace {
  std::string file;
  int line = 0, column = 0;
  std::string text;
};
// The places of what was thrown, the innermost first; with the names of their functions where they have one.
struct Frame {
  std::string function;
  SourcePlace place;
};
std::vector<Frame> frames_of(const driver::Package& package, const driver::Where& where);

// Lines of the stored code as ranges in the author's files: "3", "10-12"; "decoder.js:10-12" where there are several
// files.
std::vector<std::string> ranges_of(const driver::Package& package, const std::vector<std::pair<int, int>>& ranges);

}  // namespace sluice::app
