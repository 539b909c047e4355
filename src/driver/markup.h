// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string_view>

#include "base/json.h"

namespace sluice::driver {

// Configuration languages turned into JSON. Bounded: 1 MiB, 64 levels, 200,000 values with aliases resolved. Errors:
// permanent, saying in which line and why.
enum class Scalars : std::uint8_t {
  typed,  // YAML 1.2's core schema: true, null, 0x1F and 1.5 are what they look like; quoted ones are text
  text,   // all are text, trimmed: "00012345" and "12345e67" stay what they are
};
Result<json::value> parse_yaml(std::string_view text, Scalars scalars);
Result<json::value> parse_toml(std::string_view text);

}  // namespace sluice::driver
