// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <boost/json/object.hpp>
#include <cstdint>
#include <map>
#include <mutex>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "base/clock.h"
#include "driver/statistics.h"

namespace sluice::driver {

// An event to be told: the newest form of the one with that key (store::Events::update).
struct Notice {
  std::string key, account, level, code, message;
  boost::json::object data;
};

// Says once that a driver fails, and once that it works again (promises.md 4), however many messages, devices and texts
// there are: of an account, a driver and a kind (driver-2001: failed; driver-2002: over its time or memory) there is
// one event while the trouble lasts.
//
//            a failure                        a failure: the same event, counted on
//   fine ------------------> failing ----------------------------------------------+
//    ^                          |  ^                                                |
//    |  driver-2004             |  +------------------------------------------------+
//    +--------------------------+
//       a call that works, an hour after the last failure, or the first one of a code that has not failed
//
// Trouble that lasts longer than a day gets an event a day, so that a list of the last 24 hours shows it. In memory: at
// most 10,000 drivers in trouble. Thread-safe.
class Failures {
 public:
  explicit Failures(Clock& clock) : clock_(clock) {}
  // `p99_us`: of the driver's calls of this operation.
  Notice failed(const EndedCall& call, std::uint32_t p99_us);
  std::vector<Notice> worked(const EndedCall& call);
  // A driver that is gone.
  void forget(const std::string& account, const std::string& driver_id);

 private:
  struct Trouble {
    std::string key, code, revision;
    UnixMillis began = 0, event_began = 0, last = 0;
    std::int64_t count = 0;  // of the running event
    std::string first_cause;
    std::set<std::string, std::less<>> devices;
    bool more_devices = false;
  };
  // account, driver: its troubles, at most one a kind
  using Drivers = std::map<std::pair<std::string, std::string>, std::vector<Trouble>, std::less<>>;
  void make_room(UnixMillis now);

  Clock& clock_;
  std::mutex mutex_;
  Drivers drivers_;
  std::uint64_t next_ = 0;
};

}  // namespace sluice::driver
