// SPDX-License-Identifier: Apache-2.0
#include "driver/lanes.h"

#include <set>
#include <utility>

namespace sluice::driver {
namespace {

constexpr auto kSlowFor = std::chrono::minutes(1);
constexpr unsigned kQuickToReturn = 20, kStallsToSlow = 2;
constexpr std::size_t kDevicesToSlow = 3;
constexpr std::size_t kMaxSlowDevices = 4096, kMaxStalls = 64;

}  // namespace

std::deque<TaskPtr>& FairQueue::line(const std::string& key) {
  const auto [entry, fresh] = lines_.try_emplace(key);
  if (entry->second.empty()) turn_.push_back(&*entry);
  return entry->second;
}

void FairQueue::push(const std::string& key, TaskPtr task) {
  line(key).push_back(std::move(task));
  ++size_;
}

void FairQueue::push_front(const std::string& key, TaskPtr task) {
  line(key).push_front(std::move(task));
  ++size_;
}

TaskPtr FairQueue::pop() {
  if (turn_.empty()) return nullptr;
  auto* const entry = turn_.front();
  turn_.pop_front();
  TaskPtr task = std::move(entry->second.front());
  entry->second.pop_front();
  --size_;
  if (entry->second.empty()) {
    lines_.erase(lines_.find(entry->first));
  } else {
    turn_.push_back(entry);
  }
  return task;
}

std::size_t FairQueue::size_of(const std::string& key) const {
  const auto found = lines_.find(key);
  return found == lines_.end() ? 0 : found->second.size();
}

bool DriverState::is_slow(const std::string& device, Steady::time_point now) {
  if (evaluation_stalled && !evaluation_proven) return true;
  if (slow_ && now - slow_->since > kSlowFor) slow_.reset();
  if (slow_) return true;
  if (slow_devices_.empty()) return false;
  const auto found = slow_devices_.find(device);
  if (found == slow_devices_.end()) return false;
  if (now - found->second.since <= kSlowFor) return found->second.stalls >= kStallsToSlow;
  slow_devices_.erase(found);
  return false;
}

void DriverState::stalled(const std::string& device, Steady::time_point now) {
  if (slow_devices_.size() >= kMaxSlowDevices) slow_devices_.clear();
  Slow& slow = slow_devices_[device];
  slow.stalls = now - slow.since <= kSlowFor ? slow.stalls + 1 : 1;
  slow.since = now;
  slow.quick = 0;
  stalls_.emplace_back(now, device);
  while (stalls_.size() > kMaxStalls || now - stalls_.front().first > kSlowFor)
    stalls_.pop_front();
  std::set<std::string_view> devices;
  for (const auto& [time, stalling] : stalls_)
    devices.insert(stalling);
  if (devices.size() >= kDevicesToSlow) slow_ = Slow{now, 0, 0};
}

void DriverState::was_quick(const std::string& device) {
  if (slow_ && ++slow_->quick >= kQuickToReturn) {
    slow_.reset();
    stalls_.clear();
  }
  const auto found = slow_devices_.find(device);
  if (found != slow_devices_.end() && ++found->second.quick >= kQuickToReturn) slow_devices_.erase(found);
}

}  // namespace sluice::driver
