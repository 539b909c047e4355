// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <deque>
#include <memory>
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

// Places for what runs long: so many in all and so many a key. Thread-safe; what is taken may outlive this.
class Places {
 public:
  Places(std::size_t all, std::size_t per_key) : all_(all), per_key_(per_key) {}
  // A place, given back when the last copy of the pointer has gone; null where none is free.
  std::shared_ptr<void> take(const std::string& key);

 private:
  struct Taken {
    std::mutex mutex;
    std::size_t all = 0;
    std::unordered_map<std::string, std::size_t> by_key;
  };
  const std::size_t all_, per_key_;
  std::shared_ptr<Taken> taken_ = std::make_shared<Taken>();
};

}  // namespace sluice::api
