// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <memory>
#include <optional>
#include <re2/re2.h>
#include <string>
#include <vector>

#include "message/jsonpath.h"

namespace sluice::message::path {

struct Expression;

struct Selector {
  enum class Type { name, wildcard, index, slice, filter };
  Type type = Type::wildcard;
  std::string name;
  std::optional<std::int64_t> from, to, step;  // an index is in `from`
  std::shared_ptr<const Expression> filter;
};

enum class Function { none, length, min, max, sum, avg, first, last, keys };

struct Step {
  bool deep = false;
  std::vector<Selector> selectors;
  Function function = Function::none;  // then there are no selectors
};

// One side of a comparison.
struct Operand {
  enum class Type { text, number, literal, list, path, regex };
  Type type = Type::literal;
  std::string text;  // content, number's spelling, or literal's word
  std::vector<Operand> list;
  bool absolute = false;  // path: from $ instead of @
  std::shared_ptr<const JsonPath::Steps> path;
  std::shared_ptr<const re2::RE2> regex;
};

enum class Operator {
  exists,  // `left` alone
  all,     // &&
  any,     // ||
  negate,
  equal,
  not_equal,
  less,
  less_equal,
  greater,
  greater_equal,
  matches,
  in,
  not_in,
  subset_of,
  any_of,
  none_of,
  contains,
  size,
  empty,
};

struct Expression {
  Operator op = Operator::exists;
  std::vector<Expression> parts;  // of all, any, negate
  Operand left, right;
};

}  // namespace sluice::message::path

namespace sluice::message {
struct JsonPath::Steps {
  std::vector<path::Step> list;
};
}  // namespace sluice::message
