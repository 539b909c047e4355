// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <boost/json/object.hpp>
#include <string>
#include <vector>

#include "app/terminal.h"
#include "driver/collection.h"
#include "driver/install.h"

namespace sluice::app {

// What became of one driver's examples, where they were run.
struct CheckedExamples {
  std::size_t passed = 0, failed = 0, skipped = 0;
  std::vector<std::string> failures;  // "description: data.t: expected 1, got 2"
};

struct ImportReport {
  std::string target;  // "the data directory ./sluice-data"
  bool dry_run = false, checked = false;
  double seconds = 0;
  driver::Collection found;  // its packages may have been moved away
  std::vector<driver::Installed> installed;
  std::vector<std::pair<std::string, CheckedExamples>> examples;  // by path

  [[nodiscard]] std::size_t count(driver::Installed::Outcome outcome) const;  // readers' refusals included
  // One was refused for a fault of its own.
  [[nodiscard]] bool has_faults() const;
};

// For people: counts, then what was refused by reason. `verbose`: every warning and what was passed over, too.
std::string to_text(const ImportReport& report, const Terminal& terminal, bool verbose);
// For programs (docs/drivers.md).
boost::json::object to_json(const ImportReport& report);

}  // namespace sluice::app
