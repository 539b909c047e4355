// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <array>
#include <memory>
#include <string>

#include "base/metrics.h"
#include "driver/failures.h"
#include "driver/statistics.h"
#include "store/driver_log.h"
#include "store/events.h"

namespace sluice::driver {

// What is kept of a driver's calls: its log, its statistics, events that it fails and works again, metrics. To be told
// by whoever runs drivers, once for each call that has ended. Thread-safe; never blocks.
class Journal {
 public:
  Journal(store::DriverLog& log, store::Events& events, Clock& clock, Metrics& metrics);

  // A call for a message.
  void note(const EndedCall& call);
  // A call by hand: for the log alone.
  void note_by_hand(const EndedCall& call);

  [[nodiscard]] const Statistics& statistics() const { return statistics_; }
  // Waits until everything told before can be read in the store (store::DriverLog::flush).
  void flush_log() { log_.flush(); }
  // A driver that is deleted: what was counted of it must not be told of the next one with its id.
  void forget(const std::string& account, const std::string& driver_id);

 private:
  void write(const EndedCall& call, bool by_hand);
  void tell(Notice notice);

  store::DriverLog& log_;
  store::Events& events_;
  Statistics statistics_;
  Failures failures_;
  struct Meter {
    std::shared_ptr<Metrics::Histogram> seconds;
    std::array<std::shared_ptr<Metrics::Value>, 4> results;
  };
  std::array<Meter, kOperations> meters_;
};

}  // namespace sluice::driver
