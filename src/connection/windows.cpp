// SPDX-License-Identifier: Apache-2.0
#include "connection/windows.h"

#include <algorithm>
#include <bit>
#include <charconv>
#include <cmath>
#include <tuple>
#include <utility>

namespace sluice::connection {
namespace {

constexpr std::int64_t kHour = 60;
constexpr std::int64_t kDay = 1440;
constexpr auto kBytes = static_cast<std::size_t>(Counter::uplink_bytes);
static_assert(kBytes == kCounters - 1);

std::int64_t minute_of(UnixMillis now) {
  return now / 60'000;
}

// A DevEUI is 64 bits; of what is none, a hash stands for it (FNV-1a).
std::uint64_t device_number(std::string_view dev_eui) {
  std::uint64_t number = 0;
  auto end = std::from_chars(dev_eui.data(), dev_eui.data() + dev_eui.size(), number, 16);
  if (dev_eui.size() == 16 && end.ec == std::errc() && end.ptr == dev_eui.data() + dev_eui.size()) return number;
  number = 0xcbf29ce484222325;
  for (char c : dev_eui)
    number = (number ^ static_cast<unsigned char>(c)) * 0x100000001b3;
  return number;
}

// DevEUIs of one maker are consecutive numbers: their bits must be spread first (splitmix64).
std::uint64_t mix(std::uint64_t x) {
  x += 0x9e3779b97f4a7c15;
  x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9;
  x = (x ^ (x >> 27)) * 0x94d049bb133111eb;
  return x ^ (x >> 31);
}

// The element of that minute in an ascending vector, made where there is none.
template <class T>
T& of_minute(std::vector<T>& ascending, std::int64_t minute) {
  // Nearly always the last one.
  if (!ascending.empty() && ascending.back().minute == minute) return ascending.back();
  auto at = std::lower_bound(ascending.begin(), ascending.end(), minute,
                             [](const T& one, std::int64_t wanted) { return one.minute < wanted; });
  if (at == ascending.end() || at->minute != minute) {
    at = ascending.insert(at, T{});
    at->minute = static_cast<decltype(T::minute)>(minute);
  }
  return *at;
}

}  // namespace

double quantile(const Latencies& latencies, double share) {
  double total = 0, seen = 0;
  for (auto n : latencies)
    total += n;
  if (total == 0) return 0;
  for (std::size_t i = 0; i < kLatencyBounds.size(); ++i) {
    double here = latencies[i];
    if (here > 0 && seen + here >= share * total) {
      double low = i == 0 ? 0 : kLatencyBounds[i - 1];
      return low + (kLatencyBounds[i] - low) * (share * total - seen) / here;
    }
    seen += here;
  }
  return kLatencyBounds.back();
}

// ---------------------------------------------------------------- distinct devices

void Devices::seen(std::uint64_t device, std::int64_t minute) {
  auto known = last_.find(device);
  if (known != last_.end()) {
    known->second = std::max(known->second, static_cast<std::int32_t>(minute));
  } else {
    if (last_.size() >= kMostExact) make_room(minute);
    last_.emplace(device, static_cast<std::int32_t>(minute));
  }
  if (cells_) estimate(device, minute);
}

void Devices::make_room(std::int64_t minute) {
  forget_before(minute - kDay + 1);
  if (last_.size() < kMostExact) return;
  if (!cells_) {
    cells();
    for (const auto& [device, last] : last_)
      estimate(device, last);
  }
  // The day is estimated from here on. The hour stays exact where it can.
  std::erase_if(last_, [&](const auto& entry) { return entry.second <= minute - kHour; });
  exact_from_ = minute - kHour + 1;
  if (last_.size() < kMostExact * 9 / 10) return;
  last_.clear();
  exact_from_ = minute + 1;
}

Devices::Cells& Devices::cells() {
  if (!cells_) {
    cells_ = std::make_unique<Cells>();
    cells_->fill(0);
  }
  return *cells_;
}

void Devices::estimate(std::uint64_t device, std::int64_t minute) {
  auto hash = mix(device);
  auto rest = hash << kBits;
  auto rank = std::min(kRanks - 1, static_cast<unsigned>(std::countl_zero(rest)));
  auto& cell = cells()[(hash >> (64 - kBits)) * kRanks + rank];
  cell = std::max(cell, static_cast<std::int32_t>(minute));
}

std::uint64_t Devices::count(std::int64_t minute, std::int64_t length) const {
  auto after = minute - length;
  if (!cells_ || exact_from_ <= after + 1) {
    return static_cast<std::uint64_t>(
        std::count_if(last_.begin(), last_.end(), [&](const auto& entry) { return entry.second > after; }));
  }
  constexpr double m = 1u << kBits;
  double sum = 0;
  unsigned empty = 0;
  for (std::size_t cell = 0; cell < cells_->size(); cell += kRanks) {
    unsigned highest = 0;
    for (unsigned rank = kRanks; rank > 0 && highest == 0; --rank) {
      if ((*cells_)[cell + rank - 1] > after) highest = rank;
    }
    sum += std::ldexp(1.0, -static_cast<int>(highest));
    if (highest == 0) ++empty;
  }
  double estimated = 0.7213 / (1 + 1.079 / m) * m * m / sum;
  if (estimated <= 2.5 * m && empty > 0) estimated = m * std::log(m / empty);
  return static_cast<std::uint64_t>(std::llround(estimated));
}

void Devices::forget_before(std::int64_t minute) {
  std::erase_if(last_, [&](const auto& entry) { return entry.second < minute; });
  // All of a day is known exactly again.
  if (cells_ && exact_from_ <= minute) cells_.reset();
}

// Of a crowd only the cells are kept: their number is bounded.
void Devices::changes(std::int64_t minute, std::vector<Seen>& out) const {
  if (!cells_) {
    for (const auto& [device, last] : last_) {
      if (last >= minute) out.push_back({false, device, last});
    }
    return;
  }
  for (std::size_t i = 0; i < cells_->size(); ++i) {
    if ((*cells_)[i] > 0 && (*cells_)[i] >= minute) out.push_back({true, i, (*cells_)[i]});
  }
}

void Devices::restore(const Seen& seen) {
  if (!seen.cell) return this->seen(seen.key, seen.minute);
  if (seen.key >= std::tuple_size_v<Cells>) return;
  // Which devices an estimate stands for is not known: those kept beside it begin anew.
  if (!cells_) {
    for (const auto& [device, last] : last_)
      estimate(device, last);
  }
  auto& cell = cells()[static_cast<std::size_t>(seen.key)];
  cell = std::max(cell, static_cast<std::int32_t>(seen.minute));
  exact_from_ = std::max(exact_from_, seen.minute + 1);
}

// ---------------------------------------------------------------- the windows

Windows::Bucket& Windows::bucket(std::int64_t minute) {
  if (minute != swept_) {
    swept_ = minute;
    // By the hour: a front is costly to take off.
    if (!buckets_.empty() && buckets_.front().minute <= minute - kDay - kHour) {
      std::erase_if(buckets_, [&](const Bucket& one) { return one.minute <= minute - kDay; });
      devices_.forget_before(minute - kDay + 1);
    }
  }
  return of_minute(buckets_, minute);
}

MinuteCounts& Windows::change(std::int64_t minute) {
  if (unwritten_.size() >= kDay && unwritten_.back().minute != minute) unwritten_.erase(unwritten_.begin());
  return of_minute(unwritten_, minute);
}

void Windows::add(Counter counter, UnixMillis now, std::uint64_t n) {
  if (n == 0) return;
  std::lock_guard lock(mutex_);
  auto minute = minute_of(now);
  auto index = static_cast<std::size_t>(counter);
  auto& here = bucket(minute);
  if (index == kBytes)
    here.bytes += n;
  else
    here.counts[index] += static_cast<std::uint32_t>(n);
  if (keep_changes_) change(minute).counts[index] += n;
}

void Windows::seen(std::string_view dev_eui, UnixMillis now) {
  auto device = device_number(dev_eui);
  std::lock_guard lock(mutex_);
  auto minute = minute_of(now);
  devices_.seen(device, minute);
  if (seen_since_ == 0 || minute < seen_since_) seen_since_ = minute;
}

void Windows::took(double seconds, UnixMillis now) {
  auto bound = std::lower_bound(kLatencyBounds.begin(), kLatencyBounds.end(), seconds) - kLatencyBounds.begin();
  std::lock_guard lock(mutex_);
  if (keep_changes_) ++change(minute_of(now)).latencies[static_cast<std::size_t>(bound)];
}

WindowCounts Windows::read(UnixMillis now) const {
  std::lock_guard lock(mutex_);
  auto minute = minute_of(now);
  WindowCounts out;
  for (auto one = buckets_.rbegin(); one != buckets_.rend() && one->minute > minute - kDay; ++one) {
    auto add = [&](Counts& counts) {
      for (std::size_t i = 0; i < one->counts.size(); ++i)
        counts[i] += one->counts[i];
      counts[kBytes] += one->bytes;
    };
    add(out.last_24h);
    if (one->minute > minute - kHour) add(out.last_1h);
  }
  out.active_things_1h = devices_.count(minute, kHour);
  out.active_things_24h = devices_.count(minute, kDay);
  return out;
}

void Windows::keep_changes() {
  std::lock_guard lock(mutex_);
  keep_changes_ = true;
}

Windows::Changes Windows::take() {
  std::lock_guard lock(mutex_);
  Changes changes;
  changes.minutes = std::exchange(unwritten_, {});
  changes.since = std::exchange(seen_since_, 0);
  if (changes.since != 0) devices_.changes(changes.since, changes.seen);
  return changes;
}

void Windows::put_back(Changes changes) {
  std::lock_guard lock(mutex_);
  for (const auto& one : changes.minutes) {
    auto& here = change(one.minute);
    for (std::size_t i = 0; i < kCounters; ++i)
      here.counts[i] += one.counts[i];
    for (std::size_t i = 0; i < one.latencies.size(); ++i)
      here.latencies[i] += one.latencies[i];
  }
  if (changes.since != 0 && (seen_since_ == 0 || changes.since < seen_since_)) seen_since_ = changes.since;
}

std::vector<MinuteCounts> Windows::unwritten() const {
  std::lock_guard lock(mutex_);
  return unwritten_;
}

void Windows::restore(const std::vector<MinuteCounts>& minutes, const std::vector<Devices::Seen>& seen) {
  std::lock_guard lock(mutex_);
  for (const auto& one : minutes) {
    auto& here = of_minute(buckets_, one.minute);
    for (std::size_t i = 0; i < here.counts.size(); ++i)
      here.counts[i] += static_cast<std::uint32_t>(one.counts[i]);
    here.bytes += one.counts[kBytes];
  }
  for (const auto& one : seen)
    devices_.restore(one);
}

}  // namespace sluice::connection
