// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <functional>
#include <optional>
#include <string>
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
  message::Downlink downlink;                                  // as far as it was read; for the report of a refusal
  std::string driver_id = {};                                  // who refused
  std::vector<std::string> driver_errors = {}, warnings = {};  // what it said
};

// Where a downlink comes from, and what it takes from there.
struct DownlinkSource {
  std::string account, connection_id;
  message::DownlinkDefaults defaults;
  bool bare_allowed = false;  // the object without its root is a downlink too
};

// How a downlink leaves: joined to the binder by `app`.
using SendDownlink =
    std::function<void(const std::string& account, const std::string& binder, message::Downlink downlink,
                       std::function<void(bool accepted, int status, std::string text)> done)>;

// The way of a command: read and validated, encoded by the device's driver where it carries `payload`, sent to the
// network server. Refused ones give an event connection-1501. Thread-safe; never blocks.
class Downlinks {
 public:
  Downlinks(Router& router, driver::Catalogue& catalogue, driver::Engine& engine, driver::Journal& journal,
            store::Events& events, Clock& clock, Metrics& metrics, SendDownlink send);
  // `done` is called once, from any thread.
  void handle(DownlinkSource source, std::string body, std::function<void(DownlinkResult)> done);

 private:
  struct Handling {
    DownlinkSource source;
    message::Downlink downlink;
    std::function<void(DownlinkResult)> done;
  };
  using HandlingPtr = std::shared_ptr<Handling>;
  void encode(const HandlingPtr& state);
  void transmit(const HandlingPtr& state);
  void refuse(Handling& handling, DownlinkResult result);

  Router& router_;
  driver::Catalogue& catalogue_;
  driver::Engine& engine_;
  driver::Journal& journal_;
  store::Events& events_;
  Clock& clock_;
  SendDownlink send_;
  std::shared_ptr<Metrics::Value> accepted_, refused_;
};

}  // namespace sluice::flow
