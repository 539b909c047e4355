// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <chrono>
#include <cstdint>
#include <deque>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <unordered_map>
#include <unordered_set>

#include "driver/engine.h"

namespace sluice::driver {

using Steady = std::chrono::steady_clock;

struct DriverState;

// A job on its way through the engine.
struct Task {
  Job job;
  std::uint64_t id = 0;
  DriverState* driver = nullptr;
  Steady::time_point queued{};
  Steady::time_point slow_since{};  // when it was put into the slow line
  bool inspect = false;
  std::function<void(Result<Engine::Inspection>)> inspected;  // of an inspection, in place of job.done
  unsigned crashes = 0;                                       // hosts that ended while they ran it
  unsigned moves = 0;                                         // hosts that ended before they came to it
};
using TaskPtr = std::unique_ptr<Task>;

// Lines of tasks that are served in turn, one task each: a line that is long delays no other. Keys are accounts in the
// fast lane and devices in the slow one.
class FairQueue {
 public:
  void push(const std::string& key, TaskPtr task);
  // In front of its line: it has waited before.
  void push_front(const std::string& key, TaskPtr task);
  TaskPtr pop();
  // The newest task of the longest line; null when empty.
  TaskPtr take_from_longest();
  [[nodiscard]] std::size_t size() const { return size_; }
  [[nodiscard]] bool empty() const { return size_ == 0; }
  [[nodiscard]] std::size_t size_of(const std::string& key) const;
  [[nodiscard]] std::size_t longest() const;

 private:
  using Lines = std::unordered_map<std::string, std::deque<TaskPtr>>;
  std::deque<TaskPtr>& line(const std::string& key);
  Lines lines_;
  std::deque<Lines::value_type*> turn_;  // each line that is not empty, once
  std::size_t size_ = 0;
};

// The tasks that wait for the slow host: drivers in turn, and of one driver its devices in turn. Devices that nothing
// is held against take every second turn of their driver, so that they get by those that are known to stall.
class SlowQueue {
 public:
  void push(bool suspect, TaskPtr task);
  void push_front(bool suspect, TaskPtr task);
  TaskPtr pop();
  // The newest task of the driver's device that has the most waiting, but for `device` where that has as many.
  TaskPtr make_room(const std::string& driver, const std::string& device);
  [[nodiscard]] std::size_t size() const { return size_; }
  [[nodiscard]] bool empty() const { return size_ == 0; }
  [[nodiscard]] std::size_t size_of(const std::string& driver) const;

 private:
  struct Line {
    FairQueue fresh, suspect;
    bool suspects_turn = false;
    [[nodiscard]] std::size_t size() const { return fresh.size() + suspect.size(); }
  };
  using Lines = std::unordered_map<std::string, Line>;
  Line& line(const std::string& driver);
  Lines lines_;
  std::deque<Lines::value_type*> turn_;  // each line that is not empty, once
  std::size_t size_ = 0;
};

// What the engine knows of one driver version of one account. It decides the lane: a device that stalled twice within a
// minute goes slow until 20 of its calls were quick again or a minute has passed (once may be the machine's fault);
// when three devices stalled within a minute, the whole driver does, but for the devices it has been quick for since
// they last stalled.
struct DriverState {
  std::uint32_t number = 0;
  DriverCodePtr code;
  std::string key;
  bool any_signature = false;  // to be found by looking
  std::size_t in_use = 0;      // tasks that point here
  Steady::time_point last_used{};

  std::unordered_set<std::string> told_points;  // what is wrong with its points, each told once

  // Evaluating it took longer than a fast host gives, and is tried on the slow one; then, when it has ended there, it
  // is let onto the fast hosts with the full limit.
  bool evaluation_stalled = false, evaluation_proven = false;

  [[nodiscard]] bool is_slow(const std::string& device, Steady::time_point now);
  void stalled(const std::string& device, Steady::time_point now);
  // A call on the slow host ended well within the stall limit.
  void was_quick(const std::string& device);
  // A call on a fast host came to its end.
  void was_fast(const std::string& device);
  // The device has stalled within the last minute.
  [[nodiscard]] bool suspects(const std::string& device, Steady::time_point now) const;

 private:
  struct Slow {
    Steady::time_point since{};
    unsigned quick = 0, stalls = 0;
  };
  std::unordered_map<std::string, Slow> slow_devices_;
  std::deque<std::pair<Steady::time_point, std::string>> stalls_;  // of the last minute, at most 64
  std::optional<Slow> slow_;                                       // the whole driver
  std::unordered_set<std::string> proven_;                         // quick at their last call; bounded
};

}  // namespace sluice::driver
