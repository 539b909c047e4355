// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <array>
#include <cstdint>
#include <memory>
#include <mutex>
#include <string_view>
#include <unordered_map>
#include <vector>

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
using Counts = std::array<std::uint64_t, kCounters>;

// Upper bounds of the classes of latency, from arrival to the peer's acknowledgement, in seconds; one more class holds
// what took longer.
constexpr std::array<double, 16> kLatencyBounds{0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2,
                                                0.5,   1,     2,     5,    10,   60,   300, 3600};
using Latencies = std::array<std::uint32_t, kLatencyBounds.size() + 1>;
// The latency in seconds that `share` (0..1) of the messages keep, interpolated within its class; 0 without any.
double quantile(const Latencies& latencies, double share);

struct WindowCounts {
  std::uint64_t active_things_1h = 0, active_things_24h = 0;
  Counts last_1h{}, last_24h{};
};

// What was counted within one minute (since 1970).
struct MinuteCounts {
  std::int64_t minute = 0;
  Counts counts{};
  Latencies latencies{};
};

// Distinct devices of the last day, by the minute they were last seen in: exact up to 10,000; beyond it a HyperLogLog
// whose cells remember when each rank was last seen, so that it slides as well (standard error 1.6%). Not thread-safe.
class Devices {
 public:
  struct Seen {
    bool cell = false;      // of the HyperLogLog; else a device
    std::uint64_t key = 0;  // the device, or the cell's number
    std::int64_t minute = 0;
  };
  void seen(std::uint64_t device, std::int64_t minute);
  // Of the `length` minutes that end with `minute`.
  [[nodiscard]] std::uint64_t count(std::int64_t minute, std::int64_t length) const;
  // Forgets those last seen before `minute`.
  void forget_before(std::int64_t minute);
  // What was seen in or after `minute`, to be kept; and what was kept, given back.
  void changes(std::int64_t minute, std::vector<Seen>& out) const;
  void restore(const Seen& seen);

  static constexpr std::size_t kMostExact = 10'000;

 private:
  static constexpr unsigned kBits = 12, kRanks = 24;
  using Cells = std::array<std::int32_t, (1u << kBits) * kRanks>;  // minute in which a rank was last seen; 0: never
  void make_room(std::int64_t minute);
  Cells& cells();
  void estimate(std::uint64_t device, std::int64_t minute);

  std::unordered_map<std::uint64_t, std::int32_t> last_;
  std::int64_t exact_from_ = 0;   // last_ holds every device seen in this minute or later
  std::unique_ptr<Cells> cells_;  // only where there were more devices than are counted exactly
};

// The sliding hour and day of spec api.md 5.7, by one-minute buckets that exist only for minutes with traffic. Holds
// what was counted and is not written yet, too, once keep_changes() was called. Thread-safe.
class Windows {
 public:
  // What has changed since it was last taken.
  struct Changes {
    std::vector<MinuteCounts> minutes;  // what has been added, ascending
    std::vector<Devices::Seen> seen;
    std::int64_t since = 0;  // the minute from which on `seen` is whole
    [[nodiscard]] bool empty() const { return minutes.empty() && seen.empty(); }
  };

  void add(Counter counter, UnixMillis now, std::uint64_t n = 1);
  void seen(std::string_view dev_eui, UnixMillis now);
  // A message was acknowledged that long after it came.
  void took(double seconds, UnixMillis now);
  [[nodiscard]] WindowCounts read(UnixMillis now) const;

  void keep_changes();
  Changes take();
  // They could not be written; at most a day of them is kept.
  void put_back(Changes changes);
  // What was counted and not taken yet.
  [[nodiscard]] std::vector<MinuteCounts> unwritten() const;
  // What an earlier process wrote.
  void restore(const std::vector<MinuteCounts>& minutes, const std::vector<Devices::Seen>& seen);

 private:
  // Small, as there may be 1,440 of them for each connection.
  struct Bucket {
    std::int32_t minute = 0;
    std::array<std::uint32_t, kCounters - 1> counts{};
    std::uint64_t bytes = 0;
  };
  Bucket& bucket(std::int64_t minute);
  MinuteCounts& change(std::int64_t minute);

  mutable std::mutex mutex_;
  std::vector<Bucket> buckets_;  // ascending; up to an hour more than a day
  Devices devices_;
  std::int64_t swept_ = 0;
  bool keep_changes_ = false;
  std::vector<MinuteCounts> unwritten_;  // ascending
  std::int64_t seen_since_ = 0;          // devices seen from this minute on are not written; 0: none
};

}  // namespace sluice::connection
