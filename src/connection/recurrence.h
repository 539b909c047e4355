// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/clock.h"
#include "base/json.h"
#include "base/result.h"

namespace sluice::connection {

// A window of time: `start` inclusive, `end` exclusive.
struct Occurrence {
  UnixMillis start = 0, end = 0;
  bool operator==(const Occurrence&) const = default;
};

// True for a name of the IANA time zone database that this machine knows ("Europe/Paris"). Thread-safe; the first call
// reads the machine's list of zones.
[[nodiscard]] bool is_time_zone(const std::string& name);

// The windows of one alarm: a first one, and those its rules add (spec api.md 5.6). Immutable and thread-safe; a zone's
// table is read from the machine's once, everything else is arithmetic. No call walks from the start on: each costs
// some microseconds, whatever lies between the start and the time asked for.
//
// How a window repeats:
//  - daily, weekly, monthly and yearly on the wall clock of the zone: 09:00 stays 09:00. A local time that a change to
//    summer time leaves out is taken as far behind the gap as it lies in it (02:30 is 03:30, as RFC 5545 has it); of
//    one that comes twice the first counts. A window that this leaves without length is as long as its clock times say.
//  - secondly, minutely and hourly in elapsed time: every hour is every 3600 s, in the nights of a change too.
//  - the first window is one whatever the rules say, and `count` counts it. A day that a month or a year does not have
//    (the 31st, 29 February, the fifth Friday) is passed over. Weeks begin on Monday.
class Recurrence {
 public:
  // Reads startTime, endTime, timezone and recurrence of an alarm. Errors: permanent, naming the field. What only the
  // API refuses (ordinals with weekly) is not looked for.
  static Result<Recurrence> read(const boost::json::object& alarm);
  ~Recurrence();
  Recurrence(Recurrence&&) noexcept;
  Recurrence& operator=(Recurrence&&) noexcept;

  // Of the windows that hold that time, the one that began first; nothing where none does.
  [[nodiscard]] std::optional<Occurrence> covering(UnixMillis time) const;
  // Until when the windows hold the time from `time` on without a gap, but no later than `limit`; `time` where it lies
  // in none.
  [[nodiscard]] UnixMillis covered_until(UnixMillis time, UnixMillis limit) const;
  // The first window that begins after that time; nothing where none does.
  [[nodiscard]] std::optional<Occurrence> after(UnixMillis time) const;

 private:
  class Rule;
  class Elapsed;
  class Days;
  struct Frame;
  Recurrence();

  std::unique_ptr<Frame> frame_;
  std::vector<std::unique_ptr<Rule>> rules_;
};

}  // namespace sluice::connection
