// SPDX-License-Identifier: Apache-2.0
#include <charconv>
#include <cmath>
#include <yaml-cpp/yaml.h>

#include "base/codec.h"
#include "driver/markup.h"
#include "message/json_scan.h"

namespace sluice::driver {
namespace {

constexpr std::size_t kTextLimit = 1u << 20;
constexpr std::size_t kValueLimit = 200'000;
constexpr int kLevels = 64;

Error fault(const std::string& text) {
  return {ErrorKind::permanent, text, "com-4000"};
}

bool is_integer(std::string_view text) {
  if (text.starts_with('-') || text.starts_with('+')) text.remove_prefix(1);
  return !text.empty() && text.find_first_not_of("0123456789") == std::string_view::npos;
}

// The core schema's plain scalars.
json::value plain(std::string_view text) {
  if (text.empty() || text == "~" || text == "null" || text == "Null" || text == "NULL") return nullptr;
  if (text == "true" || text == "True" || text == "TRUE") return true;
  if (text == "false" || text == "False" || text == "FALSE") return false;
  const bool based = text.starts_with("0x") || text.starts_with("0o");
  if (based) {
    std::int64_t whole = 0;
    const auto read = std::from_chars(text.data() + 2, text.data() + text.size(), whole, text[1] == 'x' ? 16 : 8);
    if (read.ec == std::errc() && read.ptr == text.data() + text.size() && text[2] != '-') return whole;
    return json::value(text);
  }
  auto digits = text.starts_with('+') ? text.substr(1) : text;
  if (is_integer(text) && !digits.starts_with("+") && !(text.starts_with('+') && digits.starts_with('-'))) {
    std::int64_t whole = 0;
    const auto read = std::from_chars(digits.data(), digits.data() + digits.size(), whole);
    if (read.ec == std::errc()) return whole;
  }
  // Digits or a point must come first: "infinity" and "nan" are words.
  const auto body = digits.starts_with('-') ? digits.substr(1) : digits;
  if (!body.empty() && ((body[0] >= '0' && body[0] <= '9') || body[0] == '.')) {
    double real = 0;
    const char* const end = digits.data() + digits.size();
    const auto read = std::from_chars(digits.data(), end, real);
    const bool all = read.ptr == end || (read.ptr + 1 == end && *read.ptr == '.');
    if (read.ec == std::errc() && all && std::isfinite(real)) return real;
  }
  return json::value(text);
}

class Converter {
 public:
  explicit Converter(Scalars scalars) : scalars_(scalars) {}

  Result<json::value> convert(const YAML::Node& node, int level) {
    // Aliases stand for whole trees: few lines can be very many values.
    if (++count_ > kValueLimit) return fault("more than 200,000 values");
    if (level > kLevels) return fault("more than 64 levels");
    switch (node.Type()) {
      case YAML::NodeType::Undefined:
      case YAML::NodeType::Null:
        return json::value(nullptr);
      case YAML::NodeType::Scalar:
        return scalar(node);
      case YAML::NodeType::Sequence: {
        json::array items;
        for (const auto& item : node) {
          auto value = convert(item, level + 1);
          if (!value) return value;
          items.push_back(std::move(*value));
        }
        return json::value(std::move(items));
      }
      case YAML::NodeType::Map: {
        json::object members;
        for (const auto& member : node) {
          if (!member.first.IsScalar()) continue;
          auto value = convert(member.second, level + 1);
          if (!value) return value;
          members[member.first.Scalar()] = std::move(*value);
        }
        return json::value(std::move(members));
      }
    }
    return json::value(nullptr);
  }

 private:
  [[nodiscard]] Result<json::value> scalar(const YAML::Node& node) const {
    const auto& text = node.Scalar();
    if (!message::scan::valid_utf8(text)) return fault("not UTF-8");
    if (scalars_ == Scalars::text) return json::value(trim(text));
    // "!" is what quoted ones are tagged with.
    return node.Tag() == "!" || node.Tag() == "tag:yaml.org,2002:str" ? json::value(text) : plain(text);
  }

  Scalars scalars_;
  std::size_t count_ = 0;
};

}  // namespace

Result<json::value> parse_yaml(std::string_view text, Scalars scalars) {
  if (text.size() > kTextLimit) return fault("over 1 MiB");
  if (!message::scan::valid_utf8(text)) return fault("not UTF-8");
  try {
    return Converter(scalars).convert(YAML::Load(std::string(text)), 0);
  } catch (const std::exception& e) {
    // "yaml-cpp: error at line 3, column 7: illegal map value"
    std::string_view what = e.what();
    constexpr std::string_view kPrefix = "yaml-cpp: error at ";
    if (what.starts_with(kPrefix)) what.remove_prefix(kPrefix.size());
    return fault(std::string(what));
  }
}

}  // namespace sluice::driver
