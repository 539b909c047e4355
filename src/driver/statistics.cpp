// SPDX-License-Identifier: Apache-2.0
#include "driver/statistics.h"

#include <algorithm>
#include <bit>
#include <cmath>

namespace sluice::driver {
namespace {

constexpr std::size_t kMaxDrivers = 10'000;
constexpr UnixMillis kIdle = 24LL * 3600 * 1000;
constexpr UnixMillis kTidyEvery = 60'000;
constexpr std::size_t kMaxInput = 512;
constexpr std::size_t kMaxMessage = 1024;

std::string key_of(std::string_view account, std::string_view driver_id) {
  std::string key;
  key.reserve(account.size() + 1 + driver_id.size());
  key += account;
  key += '\0';
  key += driver_id;
  return key;
}

// Four buckets to each power of two.
std::size_t bucket_of(std::uint32_t microseconds) {
  if (microseconds < 4) return microseconds;
  auto power = static_cast<std::size_t>(std::bit_width(microseconds)) - 1;  // 2 and more
  auto quarter = (microseconds >> (power - 2)) & 3u;
  return std::min<std::size_t>(4 + (power - 2) * 4 + quarter, 103);
}

// The middle of a bucket.
std::uint32_t middle_of(std::size_t bucket) {
  if (bucket < 4) return static_cast<std::uint32_t>(bucket);
  auto power = (bucket - 4) / 4 + 2;
  auto quarter = (bucket - 4) % 4;
  auto width = 1ull << (power - 2);
  return static_cast<std::uint32_t>((4 + quarter) * width + width / 2);
}

}  // namespace

const char* name_of(Operation operation) {
  switch (operation) {
    case Operation::decode_uplink:
      return "decodeUplink";
    case Operation::decode_downlink:
      return "decodeDownlink";
    case Operation::encode_downlink:
      return "encodeDownlink";
    case Operation::extract_points:
      return "extractPoints";
  }
  return "";
}

std::string cut_text(std::string_view text, std::size_t most) {
  if (text.size() <= most) return std::string(text);
  auto end = most;
  while (end > 0 && (static_cast<unsigned char>(text[end]) & 0xc0) == 0x80)
    --end;
  return std::string(text.substr(0, end)) + "...";
}

void TimeSketch::add(std::uint32_t microseconds) {
  ++counts_[bucket_of(microseconds)];
  ++total_;
}

std::uint32_t TimeSketch::quantile(double share) const {
  if (total_ == 0) return 0;
  auto wanted = std::max<std::uint64_t>(1, static_cast<std::uint64_t>(std::ceil(share * static_cast<double>(total_))));
  std::uint64_t seen = 0;
  for (std::size_t i = 0; i < counts_.size(); ++i) {
    seen += counts_[i];
    if (seen >= wanted) return middle_of(i);
  }
  return middle_of(counts_.size() - 1);
}

void Statistics::note(const EndedCall& call) {
  auto now = clock_.now();
  std::lock_guard lock(mutex_);
  tidy(now);
  auto& driver = drivers_[key_of(call.code.account, call.code.id)];
  if (driver.since == 0) driver.since = now;
  driver.last = now;
  auto& operation = driver.operations[static_cast<std::size_t>(call.operation)];
  ++operation.calls;
  if (call.outcome.time_us > 0) operation.times.add(call.outcome.time_us);
  if (call.outcome.ok) {
    ++operation.sequence;
    return;
  }
  operation.sequence = 0;
  ++operation.failures;
  ++driver.failures[call.outcome.code];
  driver.last_error = DriverStatistics::LastError{.time = now,
                                                  .operation = call.operation,
                                                  .dev_eui = std::string(call.dev_eui),
                                                  .input = cut_text(call.input, kMaxInput),
                                                  .fport = call.fport,
                                                  .code = call.outcome.code,
                                                  .message = cut_text(call.outcome.message, kMaxMessage),
                                                  .where = call.outcome.where};
  if (auto& where = driver.last_error->where) where->stack = cut_text(where->stack, 2 * kMaxMessage);
}

void Statistics::tidy(UnixMillis now) {
  bool full = drivers_.size() >= kMaxDrivers;
  if (!full && now - tidied_ < kTidyEvery && now >= tidied_) return;
  tidied_ = now;
  std::erase_if(drivers_, [&](const auto& entry) { return now - entry.second.last >= kIdle; });
  if (drivers_.size() < kMaxDrivers) return;
  auto oldest = std::min_element(drivers_.begin(), drivers_.end(),
                                 [](const auto& a, const auto& b) { return a.second.last < b.second.last; });
  drivers_.erase(oldest);
}

std::optional<DriverStatistics> Statistics::of(const std::string& account, const std::string& driver_id) const {
  std::lock_guard lock(mutex_);
  auto found = drivers_.find(key_of(account, driver_id));
  return found == drivers_.end() ? std::nullopt : std::optional(found->second);
}

std::array<std::uint64_t, 3> Statistics::sequences(const std::string& account, const std::string& driver_id) const {
  std::lock_guard lock(mutex_);
  auto found = drivers_.find(key_of(account, driver_id));
  if (found == drivers_.end()) return {};
  const auto& driver = found->second;
  return {driver.of(Operation::decode_uplink).sequence, driver.of(Operation::decode_downlink).sequence,
          driver.of(Operation::encode_downlink).sequence};
}

void Statistics::forget(const std::string& account, const std::string& driver_id) {
  std::lock_guard lock(mutex_);
  drivers_.erase(key_of(account, driver_id));
}

}  // namespace sluice::driver
