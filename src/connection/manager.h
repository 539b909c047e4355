// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <boost/json/object.hpp>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

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
  std::uint64_t pending = 0;  // messages waiting or in flight
  std::uint64_t pending_bytes = 0;
  std::optional<UnixMillis> oldest_pending;     // arrival time of the oldest one not acknowledged
  bool paused = false;                          // delivery halted by its user; what arrives is kept
  std::uint64_t dead = 0;                       // dead letters kept
  std::optional<UnixMillis> catching_up_until;  // estimate of when the backlog is delivered; nothing: there is none
};

// One step of trying a connection (spec api.md 5.9): "resolve", "connect", "tls", "authenticate", "publish".
struct TestStep {
  std::string name;
  bool ok = false;
  std::int64_t ms = 0;
  std::string message;  // what was found, or what failed and what to do about it; never a secret
};
struct TestReport {
  bool ok = false;
  State state = State::closed;  // what the connection would be
  std::vector<TestStep> steps;  // up to and including the first that failed
};

// A message that a cloud refused for good, kept with the reason.
struct DeadLetter {
  std::uint64_t id = 0;  // ascending, unique within its connection
  UnixMillis time = 0;   // when it was given up
  UnixMillis arrived = 0;
  std::string dev_eui, type;  // type: "uplink", as message::to_string
  std::optional<std::int64_t> fcnt_up;
  std::string cause;   // one line
  std::string answer;  // of the peer, capped, secrets cut out; may be empty
  unsigned tries = 0;
  std::uint64_t bytes = 0;
  std::string body;  // the report; only when one is asked for
  std::string sent;  // what was sent, capped; only when one is asked for
};
// Which letters: empty members name all.
struct DeadLetterFilter {
  std::string dev_eui;                 // upper case
  std::optional<UnixMillis> from, to;  // of DeadLetter::time: from inclusive, to exclusive
};
struct DeadLetterPage {
  std::uint64_t total = 0;
  std::vector<DeadLetter> items;  // newest first
};

// Which stored messages to deliver once more.
struct ReplayRequest {
  UnixMillis from = 0, to = 0;   // of arrival: from inclusive, to exclusive
  std::string dev_eui;           // empty: all devices
  std::uint64_t per_second = 0;  // 0: the connection's own pace
  bool count_only = false;       // tells what it would be, does nothing
  std::string user;              // who asks, for the event
};
struct ReplayReport {
  std::uint64_t messages = 0, bytes = 0;
  bool complete = true;                   // false: counting was ended after a time; there are at least so many
  std::optional<UnixMillis> oldest_kept;  // what is older than this is no longer in the log
};

// How a connection's queue stands (spec api.md 5.8).
struct QueueStatus {
  std::uint64_t pending = 0, bytes = 0;
  std::optional<UnixMillis> oldest;  // arrival of the oldest one
  bool paused = false;
  std::uint64_t dead = 0, dead_bytes = 0;
  std::optional<UnixMillis> catching_up_until;  // estimate; nothing where none can be made or nothing is pending
  // Since the connection was made: accepted = delivered + filtered + expired + dead + dropped + pending. One resent or
  // replayed is accepted once more.
  std::uint64_t accepted = 0, delivered = 0, filtered = 0, expired = 0, given_up = 0, dropped = 0;
  struct Replay {
    std::uint64_t done = 0, total = 0;
  };
  std::optional<Replay> replay;  // one that runs
};

// The counters of one step of time (spec api.md 5.7).
struct SeriesPoint {
  UnixMillis time = 0;  // its start
  boost::json::object counters;
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

  // Opens a connection made of `draft` (which needs no id), closes it, leaves nothing behind. `uplink`: a report to
  // send, JSON text; empty: none. `done` is called once, within 20 s, from any thread.
  virtual void test(store::Connection draft, std::string uplink, std::function<void(TestReport)> done) = 0;

  // Halts and continues delivery; survives a restart. Error com-4004 for an unknown connection.
  virtual Result<void> pause(const std::string& id) = 0;
  virtual Result<void> resume(const std::string& id) = 0;

  // Dead letters. All block on the disk.
  virtual DeadLetterPage dead_letters(const std::string& id, const DeadLetterFilter& filter, std::size_t offset,
                                      std::size_t limit) = 0;
  virtual std::optional<DeadLetter> dead_letter(const std::string& id, std::uint64_t letter) = 0;
  // Puts them on the pending list again and out of the dead letters; empty `letters`: all. Gives the number.
  virtual std::uint64_t resend(const std::string& id, std::vector<std::uint64_t> letters) = 0;
  virtual std::uint64_t discard(const std::string& id, std::vector<std::uint64_t> letters) = 0;
  // Puts stored messages that today's flows route to the connection on its list once more, over time, and tells how
  // many. One at a time: error com-4009. Goes on after a restart of the process. Blocks on the disk.
  virtual Result<ReplayReport> replay(const std::string& id, const ReplayRequest& request) = 0;
  // Ends a replay; what it has put on the list stays there. False where none ran.
  virtual bool end_replay(const std::string& id) = 0;
  // Blocks on the disk.
  [[nodiscard]] virtual QueueStatus queue(const std::string& id) = 0;

  // The counters as a series, oldest first; `step` is a minute, an hour or a day (else com-4000).
  virtual Result<std::vector<SeriesPoint>> series(const std::string& id, UnixMillis from, UnixMillis to,
                                                  std::chrono::minutes step) = 0;
};

}  // namespace sluice::connection
