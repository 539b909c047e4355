// SPDX-License-Identifier: Apache-2.0
#include "connection/windows.h"

namespace sluice::connection {
namespace {

constexpr std::int64_t kDay = 1440;
constexpr std::size_t kMaxDevices = 10'000;

std::int64_t minute_of(UnixMillis now) {
  return now / 60'000;
}

}  // namespace

void Windows::forget(std::int64_t minute) {
  if (minute == swept_) return;
  swept_ = minute;
  minutes_.erase(minutes_.begin(), minutes_.lower_bound(minute - kDay + 1));
  if (devices_.size() >= kMaxDevices || minute % 60 == 0) {
    std::erase_if(devices_, [&](const auto& entry) { return entry.second <= minute - kDay; });
  }
}

void Windows::add(Counter counter, UnixMillis now, std::uint64_t n) {
  std::lock_guard lock(mutex_);
  auto minute = minute_of(now);
  forget(minute);
  minutes_[minute][static_cast<std::size_t>(counter)] += n;
}

void Windows::seen(const std::string& dev_eui, UnixMillis now) {
  std::lock_guard lock(mutex_);
  auto minute = minute_of(now);
  forget(minute);
  auto found = devices_.find(dev_eui);
  if (found != devices_.end())
    found->second = minute;
  else if (devices_.size() < kMaxDevices)
    devices_.emplace(dev_eui, minute);
}

WindowCounts Windows::read(UnixMillis now) const {
  std::lock_guard lock(mutex_);
  auto minute = minute_of(now);
  WindowCounts out;
  for (auto it = minutes_.upper_bound(minute - kDay); it != minutes_.end(); ++it) {
    for (std::size_t i = 0; i < kCounters; ++i) {
      out.last_24h[i] += it->second[i];
      if (it->first > minute - 60) out.last_1h[i] += it->second[i];
    }
  }
  for (const auto& [device, last] : devices_) {
    if (last > minute - kDay) ++out.active_things_24h;
    if (last > minute - 60) ++out.active_things_1h;
  }
  return out;
}

}  // namespace sluice::connection
