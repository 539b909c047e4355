// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <mutex>
#include <optional>
#include <string>
#include <unordered_map>
#include <vector>

#include "message/message.h"
#include "queue/queue.h"

namespace sluice::flow {

// What the last messages of a device said of it, so that its other messages (a sent report has no ModelCfg) match the
// same flows and downlinks find its driver and network server (spec processors.md 1.1).
struct DeviceFacts {
  std::string binder;
  std::vector<std::string> tags;
  std::optional<message::ModuleRef> application, model;
  bool operator==(const DeviceFacts&) const = default;
};

// Keeps the facts of the devices seen lately in memory (at most some 200,000) and all of them in the queue's store;
// written only when they change. Thread-safe.
class Devices {
 public:
  explicit Devices(queue::Queue& queue) : queue_(queue) {}
  // Learns from a message that has a device and gives what is known of it now.
  DeviceFacts learn(const message::Message& message);
  std::optional<DeviceFacts> find(const std::string& account, const std::string& dev_eui);

 private:
  using Map = std::unordered_map<std::string, DeviceFacts>;
  DeviceFacts* lookup(const std::string& key);
  queue::Queue& queue_;
  std::mutex mutex_;
  Map recent_, older_;  // two generations instead of a list in order of use: forgetting costs nothing per message
};

}  // namespace sluice::flow
