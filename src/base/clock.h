// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <chrono>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace sluice {

// Milliseconds since 1970-01-01T00:00:00Z.
using UnixMillis = std::int64_t;

// Time as the parts of the engine see it, so that tests can turn it. Thread-safe.
class Clock {
 public:
  virtual ~Clock() = default;
  [[nodiscard]] virtual UnixMillis now() const = 0;
  // Never goes back; for waits and ages within one run.
  [[nodiscard]] virtual std::chrono::steady_clock::time_point steady() const = 0;
};

// The machine's clock.
Clock& system_clock();

// An RFC 3339 / ISO 8601 time with 0 to 9 fraction digits; without a zone it is UTC. Nothing where it is no time.
std::optional<UnixMillis> parse_time(std::string_view text);
// "2019-09-27T10:08:08.309+00:00": ISO 8601 in UTC with milliseconds and offset (spec api.md 1.2).
std::string format_time(UnixMillis time);

// "3d12h60m": one or more <integer><unit> with unit d, h, m, s, added up (spec api.md 5.3). Empty or zero: 0 ms, no
// limit. Nothing where the text has another form or is over 100 years.
std::optional<std::chrono::milliseconds> parse_duration(std::string_view text);

}  // namespace sluice
