// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <functional>
#include <memory>
#include <string>

#include "base/metrics.h"
#include "store/store.h"

namespace sluice::store {

// Takes events from anywhere and writes them to the store on a thread of its own, so that nobody waits for the disk.
// Alike events (account, code, connection, flow, driver, cause; without a cause: message) within a minute of the first
// are folded to one with data.count (spec api.md 11): the first is stored at once, its row follows the others. Bounded:
// over 10,000 waiting, further ones are counted in sluice_store_events_dropped_total. Thread-safe.
class Events {
 public:
  Events(Store& store, Clock& clock, Metrics& metrics);
  ~Events();  // writes what is waiting

  void add(std::string account, std::string level, std::string code, std::string message, boost::json::object data);
  // One event that changes while what it tells goes on: the first with that key is stored, each later one takes the
  // place of its level, message and data (not of its time). Whoever calls chooses the key, counts, and takes another
  // key for what shall be another event; a key that has been silent for a day is forgotten.
  void update(std::string key, std::string account, std::string level, std::string code, std::string message,
              boost::json::object data);
  // Waits until everything added before is in the store; for the API's reads and for tests. At most 5 s.
  void flush();
  // Calls `look` with every event once it is in the store, with its id; `again`: one that was there already and has
  // changed. Until the handle is destroyed (and perhaps once more while that happens). From the writer's thread: fast,
  // never blocking, not calling back here.
  using Look = std::function<void(const Event& event, bool again)>;
  [[nodiscard]] std::shared_ptr<void> watch(Look look);

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace sluice::store
