// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "message/json_tree.h"

namespace sluice::message {

// JSONPath in the dialect of the Java library json-path (Jayway): root `$`, dot and bracket names, `*`, `..`, indexes,
// slices, unions, filters `[?(...)]` with == != < <= > >= =~ in nin subsetof anyof noneof contains size empty, && || !,
// tail functions length() size() min() max() sum() avg() first() last() keys(). Differences to RFC 9535 that follow it:
//  - a filter on an object asks the object itself, not its members;
//  - a number equals a text that spells the same number, and is compared with it (spec messages.md 1.2: "17" and 17
//  alike);
//  - nothing equals nothing is false.
// Beyond it: a filter without parentheses, slices with a step, mixed unions. A union of names gives each value, not an
// object of them. Regular expressions are RE2's (linear in time; no look-around, no back references) and match the
// whole text. Immutable, safe to share between threads.
class JsonPath {
 public:
  // What a path found: a piece of the document, or a number a function computed.
  struct Value {
    std::optional<JsonTree::Index> node;
    std::string computed;  // JSON text where there is no node
  };

  // `bad_config` with position and expectation. Texts over 4 KiB and nesting over 16 levels are refused.
  static Result<JsonPath> parse(std::string_view text);

  // All values in document order; none also where the path would visit over a million nodes.
  [[nodiscard]] std::vector<Value> find(const JsonTree& tree) const;

  struct Steps;

 private:
  std::shared_ptr<const Steps> steps_;
};

}  // namespace sluice::message
