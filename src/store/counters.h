// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <chrono>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "base/clock.h"
#include "base/result.h"

namespace sluice::store {

// What was counted of a connection in one step of time; what each number counts is the caller's. Numbers that a row
// does not have are zero.
struct CounterStep {
  std::uint64_t connection = 0;
  UnixMillis time = 0;  // begin of the step
  std::vector<std::uint64_t> counts;
};

// A device, or a cell of an estimate of their number, by the minute (since 1970) it was last seen in.
struct CounterSeen {
  std::uint64_t connection = 0;
  bool cell = false;
  std::uint64_t key = 0;
  std::int64_t minute = 0;
};

// The connections' counters by minute, hour and day (UTC) (spec api.md 5.7). Calls block on the disk. Thread-safe.
// Errors: `transient` com-5003 for a full or failing disk.
class Counters {
 public:
  using Step = std::chrono::minutes;
  static constexpr Step kMinute{1}, kHour{60}, kDay{1440};
  // For how long steps of that length are kept: 24 h, 31 days, 400 days. Zero: there is no such step.
  static std::chrono::hours kept(Step step);

  virtual ~Counters() = default;
  // Adds to the steps of each length that the minutes lie in, notes what was seen, and drops what is over the bounds of
  // these connections. All or nothing. What was written survives the end of the process; a power cut may lose the last
  // moments.
  virtual Result<void> add(const std::vector<CounterStep>& minutes, const std::vector<CounterSeen>& seen,
                           UnixMillis now) = 0;
  // Of a connection, ascending: from inclusive, to exclusive. Steps without any count are left out.
  virtual Result<std::vector<CounterStep>> steps(std::uint64_t connection, Step step, UnixMillis from,
                                                 UnixMillis to) = 0;
  // What was seen in or after that minute.
  virtual Result<std::vector<CounterSeen>> seen(std::uint64_t connection, std::int64_t minute) = 0;
  // Drops all of a connection.
  virtual Result<void> forget(std::uint64_t connection) = 0;
  // Drops what is over the bounds, and all of connections that are not named.
  virtual Result<void> tidy(const std::vector<std::uint64_t>& connections, UnixMillis now) = 0;
};

// Opens (or makes) counters.db below `directory`: a file of its own, since it is written every few seconds and must not
// wait for the configuration's syncs, nor they for it.
Result<std::unique_ptr<Counters>> open_counters(const std::string& directory);

}  // namespace sluice::store
