// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <boost/json/array.hpp>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/metrics.h"
#include "base/result.h"
#include "driver/catalogue.h"
#include "driver/engine.h"
#include "driver/journal.h"
#include "message/message.h"
#include "message/trail.h"
#include "store/events.h"
#include "store/store.h"

namespace sluice::queue {
class Queue;
struct Again;
}  // namespace sluice::queue

namespace sluice::flow {

// Takes messages from the log in order, finds the flows that match, has them decoded and puts them on the pending lists
// of their connections: parallel by device, in order per device.
class Router {
 public:
  Router(queue::Queue& queue, store::Store& store, driver::Catalogue& catalogue, driver::Engine& engine,
         driver::Journal& journal, store::Events& events, Clock& clock, Metrics& metrics,
         message::Trail& trail = message::no_trail());
  ~Router();
  // Reads the flows and starts routing where the last run stopped.
  Result<void> start();
  // Stops taking messages, waits up to 5 s for those under way.
  void stop();
  // Reads the flows again; a change applies to messages that arrive after it.
  Result<void> reload();

  // What is known of a device from its last messages, for downlinks.
  struct Device {
    std::string binder;
    std::optional<message::ModuleRef> application, model;
  };
  [[nodiscard]] std::optional<Device> device(const std::string& account, const std::string& dev_eui) const;
  // The driver that the flow names which routes this device to this connection (spec processors.md 2): its id, or
  // "actility:auto:1"; empty where none.
  [[nodiscard]] std::string driver_for(const std::string& account, const std::string& dev_eui,
                                       const std::string& connection_id) const;
  // True where some active flow brings the device's messages to this connection.
  [[nodiscard]] bool routes(const std::string& account, const std::string& dev_eui,
                            const std::string& connection_id) const;

  // A stored uplink, and what a driver gets of it.
  struct StoredUplink {
    message::MessagePtr message;
    driver::Input input;
  };
  // The newest stored uplinks that this driver would decode by today's flows, newest first, at most `last`, looked for
  // among the newest 100,000 messages and 64 MiB. Blocks on the disk.
  [[nodiscard]] std::vector<StoredUplink> last_uplinks(const std::string& account, const std::string& driver_id,
                                                       std::size_t last) const;

  // Which of these stored messages of the account today's flows route to the connection, in their order, decoded as the
  // flows say where `decode`. Blocks until the drivers have answered, 30 s at most: what is not decoded by then goes
  // undecoded. Drivers' statistics do not count these calls.
  [[nodiscard]] std::vector<queue::Again> route_again(const std::string& account, std::uint64_t connection,
                                                      std::vector<message::MessagePtr> messages, bool decode) const;
  // Why a device's messages match or do not match each flow of the account, by today's flows and by what its last
  // messages said of it: an array of {flowId, name, active, matches, reason, matchers: [{type, matches, reason}],
  // driver: {id, reason}, connections: [{connectionId, feeds, reason}]}, by ascending flow id. `matches`: the flow
  // takes its messages; a connection's `feeds`: it gets them from this flow. Errors as of the store, on which it
  // blocks.
  [[nodiscard]] Result<boost::json::array> explain(const std::string& account, const std::string& dev_eui) const;

  struct Impl;

 private:
  std::unique_ptr<Impl> impl_;
};

}  // namespace sluice::flow
