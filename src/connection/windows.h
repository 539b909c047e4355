// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <array>
#include <cstdint>
#include <map>
#include <mutex>
#include <string>
#include <unordered_map>

#include "base/clock.h"

namespace sluice::connection {

// What is counted of a connection (spec api.md 5.7). uplinks_lost is the sum of filtered, expired and dropped.
enum class Counter : std::uint8_t {
  uplinks,
  uplinks_failed,
  uplinks_lost,
  downlinks,
  downlinks_failed,
  downlinks_lost,
  uplinks_delivered,
  uplinks_filtered,
  uplinks_expired,
  uplinks_dropped,  // purged, over the list's bounds, or come while the connection was not active
  uplink_bytes      // of the delivered ones, as they were sent
};
constexpr std::size_t kCounters = 11;

struct WindowCounts {
  std::uint64_t active_things_1h = 0, active_things_24h = 0;
  std::array<std::uint64_t, kCounters> last_1h{}, last_24h{};
};

// The sliding hour and day of spec api.md 5.7, by one-minute buckets that exist only for minutes with traffic. Distinct
// devices are exact up to 10,000; further ones are counted only while they fit. Thread-safe.
class Windows {
 public:
  void add(Counter counter, UnixMillis now, std::uint64_t n = 1);
  void seen(const std::string& dev_eui, UnixMillis now);
  [[nodiscard]] WindowCounts read(UnixMillis now) const;

 private:
  void forget(std::int64_t minute);
  mutable std::mutex mutex_;
  std::map<std::int64_t, std::array<std::uint64_t, kCounters>> minutes_;
  std::unordered_map<std::string, std::int64_t> devices_;  // DevEUI -> minute last seen
  std::int64_t swept_ = 0;
};

}  // namespace sluice::connection
