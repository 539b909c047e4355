// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <array>
#include <cstdint>
#include <string_view>
#include <vector>

#include "app/simulate_report.h"

namespace sluice::app {

// Durations in buckets 3 % wide, from 1 us to hours, in 9 KB.
class Latencies {
 public:
  void add(std::int64_t micros);
  // The duration below which `share` (0..1) of them lie, in milliseconds; 0 without any.
  [[nodiscard]] double quantile_ms(double share) const;
  [[nodiscard]] double max_ms() const { return static_cast<double>(max_) / 1000.0; }
  [[nodiscard]] std::uint64_t count() const { return count_; }

 private:
  static constexpr int kSteps = 32;  // a power of two's share
  std::array<std::uint32_t, 36 * kSteps> buckets_{};
  std::uint64_t count_ = 0;
  std::int64_t max_ = 0;
};

// Which reports were sent, answered and arrived, by device and counter. Not thread-safe.
class Book {
 public:
  struct Counts {
    std::uint64_t sent = 0, answered = 0, arrived = 0, duplicates = 0, unknown = 0, damaged = 0, reordered = 0,
                  undecoded = 0;
    std::uint64_t answered_arrived = 0;  // both
  };

  Book(const ReportMaker& maker, std::uint32_t devices, std::uint32_t first_fcnt, bool keep);
  // The next counter of the device; `due_us` is when it was to be sent.
  std::uint32_t issue(std::uint32_t device, std::int64_t due_us);
  void answered(std::uint32_t device, std::uint32_t fcnt);
  // A message of the broker: found by DevEUI and FCntUp, compared with what was sent.
  void arrived(std::string_view document, std::int64_t now_us);

  [[nodiscard]] const Counts& counts() const { return counts_; }
  // Answered with 2xx and not arrived.
  [[nodiscard]] std::uint64_t missing() const { return counts_.answered - counts_.answered_arrived; }
  [[nodiscard]] const Latencies& latencies() const { return latencies_; }

 private:
  struct Entry {
    std::int64_t due_us;
    bool answered, arrived;
  };
  struct Device {
    std::uint32_t next;
    std::uint32_t newest_arrived;
    std::vector<Entry> entries;
  };
  const ReportMaker& maker_;
  std::uint32_t first_fcnt_;
  bool keep_;
  std::vector<Device> devices_;
  Counts counts_;
  Latencies latencies_;
};

}  // namespace sluice::app
