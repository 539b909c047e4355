// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <chrono>
#include <condition_variable>
#include <functional>
#include <map>
#include <mutex>
#include <thread>

namespace sluice::binder {

// Calls functions later, on a thread of its own. What is not due when it stops is dropped. Thread-safe.
class LaterThread {
 public:
  LaterThread() : thread_([this] { run(); }) {}
  ~LaterThread() = default;
  LaterThread(const LaterThread&) = delete;
  LaterThread& operator=(const LaterThread&) = delete;

  void after(std::chrono::milliseconds delay, std::function<void()> call) {
    {
      std::lock_guard lock(mutex_);
      if (ended_) return;
      due_.emplace(std::chrono::steady_clock::now() + delay, std::move(call));
    }
    changed_.notify_one();
  }

  // Not from the thread's own calls. Needed before the last owner lets go, who may be any thread.
  void stop() {
    {
      std::lock_guard lock(mutex_);
      if (ended_) return;
      ended_ = true;
    }
    changed_.notify_one();
    thread_.join();
    due_.clear();
  }

 private:
  void run() {
    std::unique_lock lock(mutex_);
    while (!ended_) {
      if (due_.empty()) {
        changed_.wait(lock);
        continue;
      }
      auto at = due_.begin()->first;
      if (at > std::chrono::steady_clock::now()) {
        changed_.wait_until(lock, at);
        continue;
      }
      auto call = std::move(due_.extract(due_.begin()).mapped());
      lock.unlock();
      call();
      call = nullptr;
      lock.lock();
    }
  }

  std::mutex mutex_;
  std::condition_variable changed_;
  std::multimap<std::chrono::steady_clock::time_point, std::function<void()>> due_;
  bool ended_ = false;
  std::thread thread_;  // last: it uses the others
};

}  // namespace sluice::binder
