// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <optional>
#include <string_view>

#include "base/clock.h"

namespace sluice::driver {

// What `new Date(text).getTime()` gives in the sandbox, whose zone is UTC (spec drivers.md 7); nothing for an invalid
// date. Reads the ISO forms and those that drivers write: of toString, toUTCString and toLocaleString, "2024/11/21
// 10:00", "Nov 21, 2024 1:02 AM", month before day in "11/21/2024". Any text is taken; the years are 1 to 9999.
std::optional<UnixMillis> read_date(std::string_view text);

// The same, where "21/11/2024 1:02[:44]" is day, month, year (spec drivers.md 13, rule 4).
std::optional<UnixMillis> read_date_day_first(std::string_view text);

// Whether the text is as Date.prototype.toISOString writes it: "2024-11-21T01:02:44.000Z".
bool is_iso_text(std::string_view text);

}  // namespace sluice::driver
