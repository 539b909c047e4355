// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <boost/json/value.hpp>
#include <string>
#include <string_view>

#include "base/result.h"

namespace sluice::json {

using boost::json::array;
using boost::json::object;
using boost::json::value;

// Parses one JSON text (UTF-8, at most `max_depth` levels). Errors are `permanent` and say at which byte and why.
Result<value> parse(std::string_view text, std::size_t max_depth = 64);

// Compact JSON. Unlike boost::json::serialize, doubles are written in their shortest plain form (1.5, not 1.5E0).
std::string write(const value& v);
// Two-space indented JSON, for people.
std::string write_pretty(const value& v);

// A JSON string literal, quotes included.
std::string quote(std::string_view text);
void append_quoted(std::string& out, std::string_view text);

// The member of that name, or nullptr. A member that is null counts as absent (spec api.md 1.1).
const value* find(const object& o, std::string_view key);
// The text, number or flag of that name, or the fallback where it is absent or of another type.
std::string text_or(const object& o, std::string_view key, std::string_view fallback = {});
bool bool_or(const object& o, std::string_view key, bool fallback);
std::int64_t int_or(const object& o, std::string_view key, std::int64_t fallback);

// RFC 7396 merge patch.
void merge_patch(value& target, const value& patch);

}  // namespace sluice::json
