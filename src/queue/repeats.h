// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <deque>
#include <vector>

#include "base/clock.h"

namespace sluice::queue {

// Remembers 64-bit hashes for 10 minutes in one-minute generations, so that forgetting costs nothing per entry. At most
// `max` entries: over it the oldest generation goes early. 8 bytes an entry at half load. Not thread-safe.
class Repeats {
 public:
  explicit Repeats(std::size_t max) : max_(max) {}
  // True when the hash was there already; else it is remembered.
  bool seen(std::uint64_t hash, std::chrono::steady_clock::time_point now);
  // Takes back what seen() has just remembered (its write failed).
  void forget(std::uint64_t hash);
  [[nodiscard]] std::size_t size() const { return total_; }

 private:
  struct Generation {
    std::chrono::steady_clock::time_point start;
    std::vector<std::uint64_t> slots;  // open addressing, 0 is empty
    std::size_t count = 0;
    bool contains(std::uint64_t hash) const;
    void insert(std::uint64_t hash);
  };
  std::size_t max_;
  std::size_t total_ = 0;
  std::deque<Generation> generations_;
};

}  // namespace sluice::queue
