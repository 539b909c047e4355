// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "driver/engine.h"

namespace sluice::driver {

// Which lines of a driver ran. Its source is rewritten so that it notes the lines it reaches and reports them behind
// each call, in a console line; the rewriting runs in the engine's own sandbox (instrument.js), since the source is
// anybody's. Rewritten code is for counting only: judge examples by the original. Not thread-safe.
class Coverage {
 public:
  // Errors: permanent, why the source cannot be rewritten ("line 3, column 7: Unexpected token"). Takes 5 us a byte
  // of source or so, and a result of the engine of the source's size and more.
  static Result<Coverage> of(Engine& engine, const std::string& source);

  // The driver with the rewritten source.
  [[nodiscard]] DriverCode instrumented(const DriverCode& code) const;
  // Takes what a call of the rewritten driver reports.
  void add(const Outcome& outcome);

  // Lines in which a statement begins, from 1.
  struct Lines {
    std::size_t reached = 0, all = 0;
    std::vector<std::pair<int, int>> missed;  // first and last of each run of lines never reached
    [[nodiscard]] double percent() const {
      return all == 0 ? 100.0 : 100.0 * static_cast<double>(reached) / static_cast<double>(all);
    }
  };
  [[nodiscard]] Lines lines() const;

 private:
  std::string code_;
  std::vector<int> lines_;     // by counter
  std::vector<bool> reached_;  // by counter
};

// acorn.js and instrument.js, joined (embedded at build time).
extern const std::string_view kInstrumentScript;

}  // namespace sluice::driver
