// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "base/clock.h"
#include "base/result.h"
#include "message/message.h"

namespace sluice::queue {

// What became of an appended report.
enum class Appended { stored, repeated };

using AppendDone = std::function<void(Result<Appended>)>;

// The durable log of reports, as binders see it.
class Log {
 public:
  virtual ~Log() = default;
  // Takes the report and calls `done` once it is on disk (synced), from a thread of the queue's: post to your own and
  // return. A repetition of a report stored in the last 10 minutes (same binder, type, DevEUI, counter, Time and body) is
  // answered `repeated` once the first is on disk. Errors: `transient` with `wait` when the log is full or the disk
  // fails: nothing was stored, answer 503. Never blocks. Thread-safe.
  virtual void append(message::Message message, AppendDone done) = 0;
};

}  // namespace sluice::queue
