// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <deque>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <unordered_map>
#include <vector>

#include "base/metrics.h"
#include "driver/catalogue.h"
#include "driver/engine.h"
#include "driver/journal.h"
#include "message/downlink.h"
#include "store/events.h"

namespace sluice::flow {

class Router;

// What became of a downlink that a cloud or a client sent.
struct DownlinkResult {
  enum class Status { accepted, invalid, driver_refused, network_refused, no_answer, no_network_server, busy };
  Status status = Status::accepted;
  std::string dev_eui, correlation_id;
  std::string text;                                            // why not
  std::string code;                                            // "com-5002" where a driver refused
  std::vector<message::Fault> faults;                          // of an invalid one
  bool is_command = true;                                      // false: JSON without DevEUI_downlink, nothing was done
  std::string driver_id = {};                                  // who refused
  std::vector<std::string> driver_errors = {}, warnings = {};  // what it said
  bool pending = false;    // of an accepted one: it is on the disk, the network server has not taken it yet
  UnixMillis expires = 0;  // of a pending one
};

// Where a downlink comes from, and what it takes from there.
struct DownlinkSource {
  std::string account, connection_id;
  message::DownlinkDefaults defaults;
  bool bare_allowed = false;  // an endpoint: the object without its root is a downlink too, and the caller is answered
  bool keep = true;           // wait on the disk for a network server that is not there
  bool check_device = false;  // refuse devices that no flow brings to this connection
};

// A downlink on its way to a network server. `binder`: of the device's last report; empty where none is known.
struct OutgoingDownlink {
  std::string account, connection_id, binder;
  message::Downlink downlink;
  bool keep = true;
};

// What came of it.
struct NetworkAnswer {
  enum class Kind { accepted, pending, refused, no_answer, expired, no_network_server, busy, purged };
  Kind kind = Kind::refused;
  int status = 0;  // HTTP status of the network server, 0 where there was none
  std::string text;
  UnixMillis expires = 0;  // of a pending one
};

// How a connection counts (spec api.md 5.7).
enum class DownlinkCount { received, failed, lost };

// What leads out of this folder; joined by `app`. All are thread-safe and never block.
struct DownlinkWays {
  // `stored` is called when the downlink is on the disk; `done` once, with the verdict or with `pending`. The verdict
  // of a pending one comes by Downlinks::settled.
  std::function<void(OutgoingDownlink, std::function<void()> stored, std::function<void(NetworkAnswer)> done)> send;
  std::function<void(const std::string& connection_id, DownlinkCount)> count;
  // Puts a report for the cloud on its way, as if a network server had sent it.
  std::function<void(message::Message)> report;
};

// The way of a command: read and validated, encoded by the device's driver where it carries `payload`, sent to the
// network server; in the order of handle() for each device. A refused one is counted, gives an event connection-1501
// and, unless an endpoint's caller is told in his answer, a DevEUI_downlink_Rejected to the cloud of its connection
// (spec messages.md 4). Thread-safe; never blocks.
class Downlinks {
 public:
  Downlinks(Router& router, driver::Catalogue& catalogue, driver::Engine& engine, driver::Journal& journal,
            store::Events& events, Clock& clock, Metrics& metrics, DownlinkWays ways);
  // `done` is called once, from any thread. `stored` (may be empty) is called when the downlink is safe on the disk;
  // not at all where it is refused before, or not to be kept.
  void handle(DownlinkSource source, std::string body, std::function<void(DownlinkResult)> done,
              std::function<void()> stored = {});
  // The verdict of one that was pending, perhaps since before a restart.
  void settled(const OutgoingDownlink& downlink, const NetworkAnswer& answer);

 private:
  struct Handling {
    DownlinkSource source;
    message::Downlink downlink;
    std::function<void(DownlinkResult)> done;
    std::function<void()> stored;
  };
  using HandlingPtr = std::shared_ptr<Handling>;
  static std::string device_of(const Handling& handling);
  void next(const std::string& device);
  // True: a driver is at it, and next() will be called; false: it was refused.
  bool encode(const HandlingPtr& state);
  void transmit(const HandlingPtr& state);
  void answered(const HandlingPtr& state, const NetworkAnswer& answer);
  void accepted(const std::string& account, const std::string& connection_id, const message::Downlink& downlink);
  void refuse(const HandlingPtr& state, DownlinkResult result);
  void refused(const std::string& account, const std::string& connection_id, const message::Downlink& downlink,
               const std::string& cause, DownlinkCount count);
  void report(const std::string& account, const std::string& connection_id, const message::Downlink& downlink,
              int status, const std::string& cause);

  Router& router_;
  driver::Catalogue& catalogue_;
  driver::Engine& engine_;
  driver::Journal& journal_;
  store::Events& events_;
  Clock& clock_;
  DownlinkWays ways_;
  std::shared_ptr<Metrics::Value> accepted_, refused_, pending_, lost_;
  // A device's commands one after another until they are handed on: a driver takes its time, a payload_hex does not.
  // The front one is being worked on.
  std::mutex mutex_;
  std::unordered_map<std::string, std::deque<HandlingPtr>> devices_;  // by account/DevEUI
  std::size_t waiting_ = 0;
};

}  // namespace sluice::flow
