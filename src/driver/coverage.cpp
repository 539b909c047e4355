// SPDX-License-Identifier: Apache-2.0
#include "driver/coverage.h"

#include <algorithm>
#include <boost/json/array.hpp>
#include <boost/json/object.hpp>
#include <memory>
#include <numeric>

#include "base/json.h"

namespace sluice::driver {
namespace {

constexpr std::string_view kMarker = "sluice-coverage ";

DriverCodePtr instrumenter() {
  static const auto code = [] {
    auto made = std::make_shared<DriverCode>();
    made->account = "local";
    made->id = "sluice:coverage:1";
    made->revision = "1";
    made->source = kInstrumentScript;
    return made;
  }();
  return code;
}

Error unusable(const std::string& why) {
  return {ErrorKind::permanent, why};
}

int digit_of(char c) {
  return c >= '0' && c <= '9' ? c - '0' : c >= 'a' && c <= 'f' ? c - 'a' + 10 : 0;
}

}  // namespace

Result<Coverage> Coverage::of(Engine& engine, const std::string& source) {
  Input input;
  const std::string_view mark = "\xef\xbb\xbf";
  input.extra =
      "\"source\":" + json::quote(source.starts_with(mark) ? std::string_view(source).substr(mark.size()) : source);
  const auto outcome = engine.run(instrumenter(), Operation::decode_uplink, std::move(input));
  if (!outcome.ok) return unusable(outcome.message);
  const auto result = json::parse(outcome.data);
  if (!result || !result->is_object()) return unusable("the rewriting gave no result");
  const auto& o = result->get_object();
  if (const auto* error = json::find(o, "error"); error != nullptr && error->is_string()) {
    return unusable("line " + std::to_string(json::int_or(o, "line", 0)) + ", column " +
                    std::to_string(json::int_or(o, "column", 0)) + ": " + std::string(error->get_string()));
  }
  Coverage coverage;
  coverage.code_ = json::text_or(o, "code");
  const auto* lines = json::find(o, "lines");
  if (coverage.code_.empty() || lines == nullptr || !lines->is_array()) return unusable("the rewriting gave no code");
  for (const auto& line : lines->get_array()) {
    if (!line.is_int64() || line.get_int64() < 1 || line.get_int64() > (1 << 21))
      return unusable("a line has no number");
    coverage.lines_.push_back(static_cast<int>(line.get_int64()));
  }
  coverage.reached_.resize(coverage.lines_.size());
  return coverage;
}

DriverCode Coverage::instrumented(const DriverCode& code) const {
  DriverCode out = code;
  out.source = code_;
  out.revision += "/coverage";
  return out;
}

void Coverage::add(const Outcome& outcome) {
  for (const std::string_view line : outcome.log) {
    if (!line.starts_with(kMarker)) continue;
    const auto digits = line.substr(kMarker.size());
    for (std::size_t i = 0; i < reached_.size() && i / 4 < digits.size(); ++i) {
      if ((digit_of(digits[i / 4]) >> (i % 4) & 1) != 0) reached_[i] = true;
    }
  }
}

Coverage::Lines Coverage::lines() const {
  std::vector<std::size_t> order(lines_.size());
  std::iota(order.begin(), order.end(), 0u);
  std::sort(order.begin(), order.end(), [&](std::size_t a, std::size_t b) { return lines_[a] < lines_[b]; });
  Lines out;
  out.all = lines_.size();
  bool missing = false;
  for (const auto i : order) {
    if (reached_[i]) {
      ++out.reached;
    } else if (missing) {
      out.missed.back().second = lines_[i];
    } else {
      out.missed.emplace_back(lines_[i], lines_[i]);
    }
    missing = !reached_[i];
  }
  return out;
}

}  // namespace sluice::driver
