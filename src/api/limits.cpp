// SPDX-License-Identifier: Apache-2.0
#include "api/limits.h"

namespace sluice::api {
namespace {

constexpr std::size_t kMaxKeys = 10'000;

void drop_old(std::deque<UnixMillis>& times, UnixMillis since) {
  while (!times.empty() && times.front() <= since)
    times.pop_front();
}

}  // namespace

std::optional<std::chrono::milliseconds> SlidingLimit::wait(const std::string& key, UnixMillis now) {
  std::lock_guard lock(mutex_);
  auto found = times_.find(key);
  if (found == times_.end()) return {};
  drop_old(found->second, now - window_);
  if (found->second.size() < count_) return {};
  // A clock set back must not lock a client out for longer than the window.
  auto wait = found->second[found->second.size() - count_] + window_ - now;
  return std::chrono::milliseconds(std::min(wait, window_));
}

void SlidingLimit::record(const std::string& key, UnixMillis now) {
  std::lock_guard lock(mutex_);
  if (times_.size() >= kMaxKeys && !times_.contains(key)) {
    for (auto entry = times_.begin(); entry != times_.end();) {
      drop_old(entry->second, now - window_);
      entry = entry->second.empty() ? times_.erase(entry) : std::next(entry);
    }
    // Everybody at once: forgetting one key is better than growing without end.
    if (times_.size() >= kMaxKeys) times_.erase(times_.begin());
  }
  auto& times = times_[key];
  times.push_back(now);
  if (times.size() > count_) times.pop_front();
}

}  // namespace sluice::api
