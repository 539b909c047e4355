// SPDX-License-Identifier: Apache-2.0
#include "driver/lanes.h"

#include <algorithm>
#include <set>
#include <utility>

namespace sluice::driver {
namespace {

constexpr auto kSlowFor = std::chrono::minutes(1);
constexpr unsigned kQuickToReturn = 20, kStallsToSlow = 2;
constexpr std::size_t kDevicesToSlow = 3;
constexpr std::size_t kMaxSlowDevices = 4096, kMaxStalls = 64, kMaxProven = 16384;

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

TaskPtr FairQueue::take_from_longest() {
  const auto found = std::max_element(lines_.begin(), lines_.end(),
                                      [](const auto& a, const auto& b) { return a.second.size() < b.second.size(); });
  if (found == lines_.end()) return nullptr;
  TaskPtr task = std::move(found->second.back());
  found->second.pop_back();
  --size_;
  if (found->second.empty()) {
    std::erase(turn_, &*found);
    lines_.erase(found);
  }
  return task;
}

std::size_t FairQueue::longest() const {
  std::size_t most = 0;
  for (const auto& [key, line] : lines_)
    most = std::max(most, line.size());
  return most;
}

SlowQueue::Line& SlowQueue::line(const std::string& driver) {
  const auto [entry, fresh] = lines_.try_emplace(driver);
  if (entry->second.size() == 0) turn_.push_back(&*entry);
  return entry->second;
}

void SlowQueue::push(bool suspect, TaskPtr task) {
  Line& of_driver = line(task->driver->key);
  const std::string& device = task->job.input.dev_eui;
  (suspect ? of_driver.suspect : of_driver.fresh).push(device, std::move(task));
  ++size_;
}

void SlowQueue::push_front(bool suspect, TaskPtr task) {
  Line& of_driver = line(task->driver->key);
  const std::string& device = task->job.input.dev_eui;
  (suspect ? of_driver.suspect : of_driver.fresh).push_front(device, std::move(task));
  ++size_;
}

TaskPtr SlowQueue::pop() {
  if (turn_.empty()) return nullptr;
  auto* const entry = turn_.front();
  turn_.pop_front();
  Line& of_driver = entry->second;
  const bool suspect = of_driver.fresh.empty() || (of_driver.suspects_turn && !of_driver.suspect.empty());
  of_driver.suspects_turn = !suspect;
  TaskPtr task = (suspect ? of_driver.suspect : of_driver.fresh).pop();
  --size_;
  if (of_driver.size() == 0) {
    lines_.erase(lines_.find(entry->first));
  } else {
    turn_.push_back(entry);
  }
  return task;
}

TaskPtr SlowQueue::make_room(const std::string& driver, const std::string& device) {
  const auto found = lines_.find(driver);
  if (found == lines_.end()) return nullptr;
  Line& of_driver = found->second;
  auto& fuller = of_driver.suspect.longest() >= of_driver.fresh.longest() ? of_driver.suspect : of_driver.fresh;
  if (fuller.longest() <= of_driver.suspect.size_of(device) + of_driver.fresh.size_of(device)) return nullptr;
  TaskPtr task = fuller.take_from_longest();
  --size_;
  if (of_driver.size() == 0) {
    std::erase(turn_, &*found);
    lines_.erase(found);
  }
  return task;
}

std::size_t SlowQueue::size_of(const std::string& driver) const {
  const auto found = lines_.find(driver);
  return found == lines_.end() ? 0 : found->second.size();
}

bool DriverState::is_slow(const std::string& device, Steady::time_point now) {
  if (evaluation_stalled && !evaluation_proven) return true;
  if (slow_ && now - slow_->since > kSlowFor) slow_.reset();
  if (slow_ && !proven_.contains(device)) return true;
  if (slow_devices_.empty()) return false;
  const auto found = slow_devices_.find(device);
  if (found == slow_devices_.end()) return false;
  if (now - found->second.since <= kSlowFor) return found->second.stalls >= kStallsToSlow;
  slow_devices_.erase(found);
  return false;
}

bool DriverState::suspects(const std::string& device, Steady::time_point now) const {
  const auto found = slow_devices_.find(device);
  return found != slow_devices_.end() && now - found->second.since <= kSlowFor;
}

void DriverState::was_fast(const std::string& device) {
  if (proven_.size() >= kMaxProven && !proven_.contains(device)) proven_.clear();  // the next calls tell again
  proven_.insert(device);
}

void DriverState::stalled(const std::string& device, Steady::time_point now) {
  proven_.erase(device);
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
  if (found != slow_devices_.end()) {
    if (++found->second.quick < kQuickToReturn) return;
    slow_devices_.erase(found);
  }
  was_fast(device);
}

}  // namespace sluice::driver
