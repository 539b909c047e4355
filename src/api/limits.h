// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <deque>
#include <mutex>
#include <optional>
#include <string>
#include <unordered_map>

#include "base/clock.h"

namespace sluice::api {

// At most `count` happenings of one key within any `window`. Thread-safe; bounded in keys.
class SlidingLimit {
 public:
  SlidingLimit(std::size_t count, std::chrono::milliseconds window) : count_(count), window_(window.count()) {}
  // How long to wait until one more is allowed; nothing: it is allowed now.
  std::optional<std::chrono::milliseconds> wait(const std::string& key, UnixMillis now);
  void record(const std::string& key, UnixMillis now);

 private:
  std::mutex mutex_;
  std::size_t count_;
  UnixMillis window_;
  std::unordered_map<std::string, std::deque<UnixMillis>> times_;
};

}  // namespace sluice::api
