// SPDX-License-Identifier: Apache-2.0
#include "driver/limits.h"

#include <charconv>
#include <optional>

#include "base/json.h"

namespace sluice::driver {
namespace {

constexpr std::size_t kKiB = 1024, kMiB = 1024 * kKiB, kGiB = 1024 * kMiB;
constexpr std::size_t kLeastMemory = kMiB, kLeastResult = kKiB;

// "64MiB": a whole number and one of the units; nothing where it is not, or too large to be counted.
std::optional<std::uint64_t> amount(const boost::json::value& value,
                                    std::initializer_list<std::pair<std::string_view, std::uint64_t>> units) {
  if (!value.is_string()) return {};
  std::string_view text = value.get_string();
  std::uint64_t number = 0;
  auto read = std::from_chars(text.data(), text.data() + text.size(), number);
  if (read.ec != std::errc() || number > (1ull << 40)) return {};
  std::string_view unit(read.ptr, static_cast<std::size_t>(text.data() + text.size() - read.ptr));
  for (const auto& [name, factor] : units) {
    if (unit == name) return number * factor;
  }
  return {};
}

std::string size_text(std::size_t bytes) {
  if (bytes % kMiB == 0) return std::to_string(bytes / kMiB) + "MiB";
  return bytes % kKiB == 0 ? std::to_string(bytes / kKiB) + "KiB" : std::to_string(bytes);
}

std::size_t read_size(const boost::json::object& limits, const char* name, std::size_t least, std::size_t most,
                      std::vector<LimitFault>& faults) {
  const auto* value = json::find(limits, name);
  if (value == nullptr) return 0;
  auto size = amount(*value, {{"", 1}, {"KiB", kKiB}, {"MiB", kMiB}, {"GiB", kGiB}});
  if (!size || *size < least) {
    faults.push_back({name, R"(must be a size as "64MiB" or "256KiB", at least )" + size_text(least)});
    return 0;
  }
  if (most > 0 && *size > most) {
    faults.push_back({name, "may be at most " + size_text(most) + ", the engine's own limit"});
    return 0;
  }
  return *size;
}

}  // namespace

Limits read_limits(const boost::json::object& limits, const Limits& most, std::vector<LimitFault>& faults) {
  Limits result;
  if (const auto* value = json::find(limits, "callTime")) {
    auto time = amount(*value, {{"ms", 1}, {"s", 1000}});
    if (!time || *time == 0) {
      faults.push_back({"callTime", R"(must be a time as "500ms" or "1s", at least 1ms)"});
    } else if (most.call.count() > 0 && *time > static_cast<std::uint64_t>(most.call.count())) {
      faults.push_back(
          {"callTime", "may be at most " + std::to_string(most.call.count()) + "ms, the engine's own limit"});
    } else {
      result.call = std::chrono::milliseconds(*time);
    }
  }
  result.memory = read_size(limits, "memory", kLeastMemory, most.memory, faults);
  result.result = read_size(limits, "result", kLeastResult, most.result, faults);
  if (const auto* depth = json::find(limits, "depth")) {
    auto levels = most.depth > 0 ? most.depth : kMaxDepth;
    if (!depth->is_int64() || depth->get_int64() < 1 || depth->get_int64() > levels) {
      faults.push_back({"depth", "must be a whole number from 1 to " + std::to_string(levels)});
    } else {
      result.depth = static_cast<unsigned>(depth->get_int64());
    }
  }
  return result;
}

}  // namespace sluice::driver
