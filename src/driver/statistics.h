// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <array>
#include <cstdint>
#include <map>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>

#include "base/clock.h"
#include "driver/engine.h"

namespace sluice::driver {

// "decodeUplink", "decodeDownlink", "encodeDownlink", "extractPoints": the functions' names in the driver guide.
const char* name_of(Operation operation);
inline constexpr std::size_t kOperations = 4;

// Times of calls in buckets a quarter of a power of two wide, so a percentile is right to a fifth.
class TimeSketch {
 public:
  void add(std::uint32_t microseconds);
  // The time below which `share` (0..1) of the calls took; 0 without any. Microseconds.
  [[nodiscard]] std::uint32_t quantile(double share) const;

 private:
  std::array<std::uint32_t, 104> counts_{};
  std::uint64_t total_ = 0;
};

// How one driver does for one account, since it was first called by this process or since it was last idle for a day.
struct DriverStatistics {
  struct OfOperation {
    std::uint64_t calls = 0, failures = 0;
    std::uint64_t sequence = 0;  // calls without an error since the last one
    TimeSketch times;
  };
  struct LastError {
    UnixMillis time = 0;
    Operation operation = Operation::decode_uplink;
    std::string dev_eui, input;  // hex text or JSON, at most 512 bytes
    std::optional<int> fport;
    std::string code, message;
    std::optional<Where> where;
  };
  UnixMillis since = 0, last = 0;
  std::array<OfOperation, kOperations> operations;
  std::map<std::string, std::uint64_t> failures;  // by code
  std::optional<LastError> last_error;

  [[nodiscard]] const OfOperation& of(Operation operation) const {
    return operations[static_cast<std::size_t>(operation)];
  }
};

// One call that has ended. The views live as long as the call to whoever is told.
struct EndedCall {
  const DriverCode& code;
  Operation operation = Operation::decode_uplink;
  std::string_view dev_eui;
  std::optional<int> fport;
  std::string_view input;  // decoding: hex text; encoding: JSON text
  const Outcome& outcome;
};

// The text cut to `most` bytes at a character's border.
std::string cut_text(std::string_view text, std::size_t most);

// Counts by account and driver, for messages alone: who tries a driver by hand does not disturb them. In memory: at
// most 10,000 drivers, the longest unused go first; what was not called for a day is dropped. Thread-safe; note() is a
// hash and a few additions under a lock.
class Statistics {
 public:
  explicit Statistics(Clock& clock) : clock_(clock) {}
  void note(const EndedCall& call);
  [[nodiscard]] std::optional<DriverStatistics> of(const std::string& account, const std::string& driver_id) const;
  // Calls in a row without an error: {decode uplink, decode downlink, encode downlink}.
  [[nodiscard]] std::array<std::uint64_t, 3> sequences(const std::string& account, const std::string& driver_id) const;
  // A driver that is gone.
  void forget(const std::string& account, const std::string& driver_id);

 private:
  void tidy(UnixMillis now);

  Clock& clock_;
  mutable std::mutex mutex_;
  std::unordered_map<std::string, DriverStatistics> drivers_;  // account, NUL, id
  UnixMillis tidied_ = 0;
};

}  // namespace sluice::driver
