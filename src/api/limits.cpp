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

std::shared_ptr<void> Places::take(const std::string& key) {
  std::lock_guard lock(taken_->mutex);
  auto& of_key = taken_->by_key[key];
  if (taken_->all >= all_ || of_key >= per_key_) {
    if (of_key == 0) taken_->by_key.erase(key);
    return nullptr;
  }
  ++taken_->all;
  ++of_key;
  // The pointer's value says nothing; it only must not be null.
  return {taken_.get(), [taken = taken_, key](void*) {
            std::lock_guard again(taken->mutex);
            --taken->all;
            auto found = taken->by_key.find(key);
            if (--found->second == 0) taken->by_key.erase(found);
          }};
}

}  // namespace sluice::api
