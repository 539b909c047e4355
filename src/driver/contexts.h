// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <functional>
#include <memory>
#include <vector>

#include "base/clock.h"
#include "base/metrics.h"
#include "driver/engine.h"
#include "store/device_contexts.h"

namespace sluice::driver {

// Gives calls of drivers with use_context their device's context, and keeps what they leave (spec drivers.md 10).
//
//   submit -> line of the device -> (context read) -> engine -> answer -> (context written) -> done
//
// Invariants:
//  1. Of one device at most one call is with the engine; the others wait in its line, in the order they came.
//  2. `done` is called after what the call left is written: a killed process loses the update of the call under way,
//  and
//     no other. The next call of the device starts after that as well.
//  3. A context that could not be read is never overwritten: its calls see [], and what they leave is dropped.
//  4. A write that fails is tried again; meanwhile the cache has it, and calls go on.
// One thread; the store blocks that one alone. Thread-safe.
class Contexts {
 public:
  using Submit = std::function<void(std::vector<Job>)>;
  // `submit` hands jobs to the engine. The store outlives this.
  Contexts(store::DeviceContexts& store, Clock& clock, Metrics& metrics, std::size_t queue_limit, Submit submit);
  ~Contexts();
  Contexts(const Contexts&) = delete;
  Contexts& operator=(const Contexts&) = delete;

  // True for a job that has to come here instead of going straight to the engine.
  static bool concerns(const Job& job);
  // Never blocks. Over the limit of waiting calls: answered com-5004 at once.
  void submit(std::vector<Job> jobs);
  // Takes no more; what waits is answered com-5004. Those with the engine are awaited: call it before the engine's end
  // with `finish` false, after it with true.
  void stop(bool finish);

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace sluice::driver
