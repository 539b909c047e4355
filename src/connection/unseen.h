// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <boost/unordered/unordered_flat_map.hpp>
#include <cstdint>
#include <limits>

namespace sluice::connection {

// Which devices have entries in a list that its pump has not looked at yet, by the last one's place: a newer message of
// a device without any may go out before all that waits. Bounded: where more devices wait than are kept, nobody passes
// until the pump has come up to where it began to forget. Not thread-safe.
class Unseen {
 public:
  // An entry is left for later.
  void note(std::uint64_t device, std::uint64_t place) {
    if (known_from_ == kNothing) known_from_ = place;
    if (last_.size() >= kMost && !last_.contains(device)) {
      last_.clear();
      known_from_ = place;
    }
    auto& last = last_[device];
    if (last < place) last = place;
  }

  // Whether nothing of the device lies behind `looked_to`, the place up to which all was looked at. Forgets what was.
  bool none_of(std::uint64_t device, std::uint64_t looked_to) {
    if (known_from_ == kNothing || looked_to + 1 < known_from_) return false;
    auto found = last_.find(device);
    if (found == last_.end()) return true;
    if (found->second > looked_to) return false;
    last_.erase(found);
    return true;
  }

  // The pump has seen all there is.
  void clear() {
    last_.clear();
    known_from_ = kNothing;
  }

 private:
  static constexpr std::uint64_t kNothing = std::numeric_limits<std::uint64_t>::max();
  static constexpr std::size_t kMost = 16384;  // devices: some 400 KB

  boost::unordered_flat_map<std::uint64_t, std::uint64_t> last_;
  std::uint64_t known_from_ = kNothing;  // entries from here on are known
};

}  // namespace sluice::connection
