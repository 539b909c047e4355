// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <array>
#include <atomic>
#include <deque>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <shared_mutex>
#include <string>
#include <unordered_map>
#include <vector>

#include "message/trail.h"

namespace sluice::message {

// One step of a message's way, as it is read out of the book.
struct TrailStep {
  Stage stage = Stage::stored;
  UnixMillis time = 0;
  std::uint64_t connection = 0;  // 0: none
  std::string flow, driver, text;
};

// The way of one message as far as the book has it.
struct MessageTrail {
  std::uint64_t seq = 0;
  std::string account, dev_eui;
  MessageType type = MessageType::unknown;
  bool join = false;
  std::optional<int> fport;
  std::optional<std::int64_t> fcnt_up, fcnt_dn;
  std::optional<UnixMillis> time;  // radio time
  UnixMillis arrived = 0;
  std::vector<TrailStep> steps;  // in order of time
  std::uint64_t left_out = 0;    // steps from the middle that had no room
  bool whole = true;             // false: it began before the book did, so earlier steps are missing
};

// One note as somebody who watches live gets it; valid during the call.
struct Seen {
  const Message& message;
  const TrailNote& note;
  UnixMillis time = 0;
  const std::vector<TrailStep>& routed;  // the message's `routed` steps so far: its flows, connections and drivers
};

// Keeps the last messages' ways in memory, bounded in bytes: the oldest message goes first. Nothing of it is on the
// disk: after a restart it is empty.
//
// Invariants:
//  1. All notes of one device lie in one shard, in order of their coming; so a shard's oldest message is its device's
//     oldest too.
//  2. A shard is at most its share of the bound, but for the message being noted.
//  3. No watcher is called under a lock: it may be called once more after watch()'s handle has been given back.
class TrailBook final : public Trail {
 public:
  explicit TrailBook(Clock& clock, std::size_t max_bytes = kDefaultBytes);

  void note(const Message& message, const TrailNote& note) override;
  [[nodiscard]] bool watched(const std::string& account) const override;

  // The last messages of a device (upper-case DevEUI), newest first, at most `limit`.
  [[nodiscard]] std::vector<MessageTrail> of_device(const std::string& account, const std::string& dev_eui,
                                                    std::size_t limit) const;
  // One message of this account; nothing where the book has none of it.
  [[nodiscard]] std::optional<MessageTrail> of_message(const std::string& account, std::uint64_t seq) const;

  // Calls `look` with every note of this account's messages until the handle is destroyed. From the threads that note:
  // fast, never blocking, not calling back here.
  using Look = std::function<void(const Seen&)>;
  [[nodiscard]] std::shared_ptr<void> watch(std::string account, Look look);

  // Bytes in use, about; for tests.
  [[nodiscard]] std::size_t bytes() const;

  static constexpr std::size_t kDefaultBytes = 64u << 20;

 private:
  // Its messages as a chain through their entries, in order of their coming.
  struct Device {
    std::uint64_t oldest = 0, newest = 0;
  };
  using Devices = std::unordered_map<std::string, Device>;  // key: account, '/', DevEUI
  struct Entry {
    Devices::value_type* device = nullptr;
    std::uint64_t older = 0, newer = 0;  // of the same device; 0: none
    std::size_t account_size = 0;        // of the key's first part
    MessageType type = MessageType::unknown;
    bool join = false, whole = true;
    std::optional<int> fport;
    std::optional<std::int64_t> fcnt_up, fcnt_dn;
    std::optional<UnixMillis> time;
    UnixMillis arrived = 0;
    std::string steps;  // packed, see append_step()
    std::uint64_t left_out = 0;
    std::size_t counted = 0;  // what it counts in its shard's bytes
  };
  struct Shard {
    mutable std::mutex mutex;
    std::unordered_map<std::uint64_t, Entry> entries;
    std::deque<std::uint64_t> order;  // as they came
    Devices devices;
    std::size_t bytes = 0;
  };
  struct Watcher {
    std::string account;
    Look look;
  };

  static constexpr std::size_t kShards = 16;
  [[nodiscard]] Shard& shard_of(const std::string& dev_eui);
  [[nodiscard]] const Shard& shard_of(const std::string& dev_eui) const;
  Entry& entry_of(Shard& shard, const Message& message, bool first);
  static void drop_oldest(Shard& shard);
  static MessageTrail read(std::uint64_t seq, const Entry& entry);
  void tell(const Message& message, const TrailNote& note, UnixMillis time, const std::vector<TrailStep>& routed) const;

  Clock& clock_;
  const std::size_t shard_bytes_;
  std::array<Shard, kShards> shards_;

  // Watchers whose handle has gone are forgotten at the next watch().
  mutable std::shared_mutex watch_mutex_;
  std::vector<std::weak_ptr<Watcher>> watchers_;
  std::shared_ptr<std::atomic<std::size_t>> watching_ = std::make_shared<std::atomic<std::size_t>>(0);
};

}  // namespace sluice::message
