// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/result.h"

namespace sluice::connector::mqtt {

// The scalars of a JSON document, each with its place as levels of a topic: {"a":{"b":1.50},"c":["x"]} gives a/b 1.50
// and c/0 "x". The spelling stays; what a key must not hold in a topic (+ # / control characters) becomes _. Errors:
// permanent (no JSON object or array, over 32 levels, over 10,000 leaves).
Result<std::vector<std::pair<std::string, std::string>>> leaves_of(std::string_view json);

}  // namespace sluice::connector::mqtt
