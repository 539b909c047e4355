// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <string>

#include "base/clock.h"
#include "base/result.h"
#include "connection/windows.h"
#include "store/store.h"

namespace sluice::connection {

// spec api.md 5.4
enum class State : std::uint8_t {
  opened,
  opening,
  closed,
  closing,
  authenticating,
  authentication_failed,
  unreachable,
  deactivated,
};
const char* to_string(State state);  // "OPENED", ...

struct Status {
  State state = State::closed;
  std::optional<UnixMillis> startup_time;
  // Why it is not OPENED (absent while it is, or when deactivated).
  std::string reason_code, reason;
  UnixMillis since = 0;
  std::optional<UnixMillis> next_retry;
  std::uint64_t pending = 0;                 // messages waiting or in flight
  std::optional<UnixMillis> oldest_pending;  // arrival time of the oldest one not acknowledged
};

// What the API needs of the running connections. The API writes the store first, then calls here. Thread-safe, never
// blocks on a peer.
class Manager {
 public:
  virtual ~Manager() = default;
  // A connection was created or changed: starts, restarts (when `configuration` or `active` changed) or just applies
  // it.
  virtual void apply(const store::Connection& connection) = 0;
  // It was deleted: closes it and forgets what is pending.
  virtual void remove(const std::string& id) = 0;
  // Closes and opens again; several at once are one. Error com-4009 when it is not active.
  virtual Result<void> restart(const std::string& id) = 0;
  [[nodiscard]] virtual Status status(const std::string& id) const = 0;
  // The counters of the last hour and day.
  [[nodiscard]] virtual WindowCounts windows(const std::string& id) const = 0;
  // Counts a downlink for this connection, and how it ended.
  virtual void count(const std::string& id, Counter counter) = 0;
  // Drops what is pending and gives the number; counted lost.
  virtual std::uint64_t purge(const std::string& id) = 0;
};

}  // namespace sluice::connection
