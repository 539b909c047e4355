// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <chrono>
#include <condition_variable>
#include <map>
#include <memory>
#include <mutex>
#include <thread>
#include <vector>

#include "base/clock.h"
#include "connection/manager.h"
#include "connection/windows.h"
#include "store/counters.h"

namespace sluice::connection {

// Writes what the connections count to the store, all that has changed in one transaction, and gives it back after a
// start. What was counted since the last writing is lost when the process is killed. Thread-safe.
class Ledger {
 public:
  // Without a store nothing is kept beyond the windows.
  Ledger(store::Counters* counters, Clock& clock) : counters_(counters), clock_(clock) {}
  ~Ledger();
  Ledger(const Ledger&) = delete;
  Ledger& operator=(const Ledger&) = delete;

  // Drops what is kept of connections that were not added, and begins to write every `every`, on a thread of its own.
  // Once. Blocks.
  void start(std::chrono::milliseconds every);
  // Writes what is left and ends the thread.
  void stop();
  // A connection there was before: gives its windows what was kept. Blocks.
  void restore(std::uint64_t connection, Windows& windows);
  void add(std::uint64_t connection, std::shared_ptr<Windows> windows);
  // Drops what is kept of it. Blocks.
  void remove(std::uint64_t connection);
  // Writes what has changed. What cannot be written is tried again the next time. Blocks.
  Result<void> flush();
  // The counters by step (a minute, an hour, a day in UTC; else com-4000), oldest first: from the one that `from` lies
  // in to the last that begins before `to`, of those that are kept, up to now. One without traffic has zeros. Blocks.
  Result<std::vector<SeriesPoint>> series(std::uint64_t connection, UnixMillis from, UnixMillis to,
                                          std::chrono::minutes step);

 private:
  void run(std::chrono::milliseconds every);
  Result<void> tidy();

  store::Counters* counters_;
  Clock& clock_;
  std::mutex writing_;  // held over a writing and a reading, so that nothing is in between
  std::mutex mutex_;
  std::condition_variable wake_;
  bool stopping_ = false;
  std::map<std::uint64_t, std::shared_ptr<Windows>> windows_;
  std::thread thread_;
};

}  // namespace sluice::connection
