// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string_view>

#include "base/json.h"

namespace sluice::driver {

// JSON as people write it by hand, in files that a JavaScript program once read as literals: comments, hexadecimal
// numbers, trailing commas, keys without quotes, single quotes, a byte-order mark, blanks beyond ASCII. Bounded: 64
// levels; the text's length bounds the rest. NaN, infinities and undefined are null. Nothing is evaluated.
//
// The whole text as one value. Errors: permanent, saying in which line and what was met.
Result<json::value> parse_lenient(std::string_view text);

// The value that begins at `position`, blanks and comments before it skipped; `position` is moved behind it. The text
// has been checked to be UTF-8.
Result<json::value> parse_lenient_value(std::string_view text, std::size_t& position);

}  // namespace sluice::driver
