// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <vector>

#include "connector/connector.h"
#include "connector/kafka/handle.h"

namespace sluice::connector::kafka {

// The consumers that receive a connection's commands, all of one group. What it takes from the topic is handed on, and
// its offset committed once it is acknowledged and so is all before it in its partition: after a crash a command may
// come twice, and none is missed.
//
// A group that has never committed anything for a partition begins at its end (spec connectors.md 3.4). That end is
// committed before the group is joined, so that what comes during a later interruption is not skipped.
//
// All calls on the strand, but those that say so.
class Group {
 public:
  struct Settings {
    Options options;
    std::string topic;
    std::string name;  // of the property that names the topic, for notices
    std::size_t members = 1;
  };
  Group(std::shared_ptr<Outlet> outlet, Settings settings, std::function<void(Received)> received,
        std::function<void(std::string)> notice);

  // Makes the members and subscribes, in the background. `joined` is called once when all have subscribed or failed to.
  void start(std::function<void()> joined);
  // At least every minute: the broker takes a member for dead that does not ask for its messages.
  void tick();
  // Ends the members: each commits and leaves, in the background. `token` goes with the last.
  void stop(const std::shared_ptr<void>& token);

 private:
  struct Member {
    std::shared_ptr<Handle> handle;
    std::map<std::int32_t, std::map<std::int64_t, bool>> open;  // by partition: offset, whether it was acknowledged
    std::size_t unacknowledged = 0, held = 0;                   // of `open`, and all of it
  };
  static bool is_full(const Member& member);
  void joined(std::vector<std::shared_ptr<Handle>> handles, const std::vector<std::string>& faults);
  void drain(std::size_t member);
  void rebalance(const Member& member, rd_kafka_event_t* event);
  void take(std::size_t member, const rd_kafka_message_t& message);
  void acknowledged(std::size_t member, std::int32_t partition, std::int64_t offset);
  void failed(rd_kafka_resp_err_t code, const std::string& text);

  const std::shared_ptr<Outlet> outlet_;
  const Settings settings_;
  const std::function<void(Received)> received_;
  const std::function<void(std::string)> notice_;
  std::function<void()> joined_;
  const std::shared_ptr<std::atomic<bool>> stop_ = std::make_shared<std::atomic<bool>>(false);
  std::vector<Member> members_;
  std::set<rd_kafka_resp_err_t> told_;
};

}  // namespace sluice::connector::kafka
