// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <memory>
#include <string>

#include "base/metrics.h"
#include "store/store.h"

namespace sluice::store {

// Takes entries of the drivers' logs from anywhere and writes them to the store on a thread of its own, all that came
// within 200 ms in one transaction, so that nobody waits for the disk. Of one driver and account at most 20 a second
// are taken (and 20 more of calls by hand, so that the one who looks for the cause sees his own); how many were left
// out stands in the next entry as data.dropped. Over 5,000 entries or 8 MiB waiting, further ones are counted in
// sluice_store_driver_log_dropped_total. Thread-safe.
class DriverLog {
 public:
  DriverLog(Store& store, Clock& clock, Metrics& metrics);
  ~DriverLog();  // writes what is waiting
  DriverLog(const DriverLog&) = delete;
  DriverLog& operator=(const DriverLog&) = delete;

  // Whether an entry of that driver would be taken now; one that is not counts as left out. To be asked before an entry
  // is put together, since that costs more than this.
  bool admit(const std::string& account, const std::string& driver_id, bool by_hand);
  // An admitted entry. Its time is set here.
  void add(DriverLogEntry entry, bool by_hand);
  // Waits until everything added before is in the store; for the API's reads and for tests. At most 5 s.
  void flush();

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace sluice::store
