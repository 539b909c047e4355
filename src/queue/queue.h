// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <array>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_set>
#include <vector>

#include "base/clock.h"
#include "base/metrics.h"
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
  // return. A repetition of a report stored in the last 10 minutes (same binder and body, hence same type, DevEUI,
  // counter and Time) is answered `repeated` once the first is on disk. Errors: `transient` with `wait` when the log is
  // full or the disk fails: nothing was stored, answer 503. Never blocks. Thread-safe.
  virtual void append(message::Message message, AppendDone done) = 0;
};

// One message waiting for one connection.
struct Pending {
  std::uint64_t place = 0;  // its place in the connection's list: ascending in routing order, unique, never 0
  message::MessagePtr message;
  message::DecodedPtr decoded;   // null when it was not decoded
  std::int64_t validity_ms = 0;  // of the flow; 0: no limit
  std::uint64_t bytes = 0;       // what it counts in the list's size; hand it back to settle()
  bool again = false;            // put on the list once more by its user's wish: a resent letter, a replay
};

// What became of an entry. `dropped`: over a bound, purged, its connection not active, or missing from a damaged log.
enum class Fate : std::uint8_t { delivered, filtered, expired, dead, dropped };
constexpr std::size_t kFates = 5;

// A message given up for good, kept with the reason: a dead letter.
struct Letter {
  std::uint64_t id = 0;  // given by the queue: ascending, unique within its connection
  UnixMillis time = 0;   // when it was given up
  message::MessagePtr message;
  message::DecodedPtr decoded;
  std::int64_t validity_ms = 0;
  std::string cause;   // one line
  std::string answer;  // of the peer, capped
  std::string sent;    // the bytes that were sent, capped; empty when none were
  unsigned tries = 0;
  std::uint64_t bytes = 0;  // what it takes on the disk; given by the queue
};

// Which letters are asked for; newest first.
struct LetterQuery {
  std::string dev_eui;                  // upper case; empty: all
  UnixMillis from = 0, to = INT64_MAX;  // of Letter::time: from inclusive, to exclusive
  std::size_t offset = 0, limit = 100;
};
struct LetterPage {
  std::uint64_t total = 0;  // that the query names
  std::vector<Letter> letters;
};

// An entry whose fate is known. `letter`: kept in the same write that takes the entry off its list.
struct Settled {
  std::uint64_t place = 0, bytes = 0;
  Fate fate = Fate::delivered;
  std::shared_ptr<const Letter> letter = {};
};

// Which entries of a list are read: none of the devices `without`, or those of device `only` alone (device_hash of the
// message's DevEUI). At most `scan` entries are looked at, none behind `up_to`.
struct ReadFilter {
  std::unordered_set<std::uint64_t> without;
  std::optional<std::uint64_t> only;
  std::uint64_t up_to = UINT64_MAX;
  std::size_t scan = 100'000;
};
struct Batch {
  std::vector<Pending> entries;
  std::uint64_t last = 0;  // place of the last entry looked at
  bool end = false;        // nothing lay behind it, up to `up_to`
};
// Tells devices apart in ReadFilter; 0 for a message without device. Stable: it lies on the disk.
std::uint64_t device_hash(std::string_view dev_eui);

// A message to deliver once more.
struct Again {
  message::MessagePtr message;
  message::DecodedPtr decoded;
  std::int64_t validity_ms = 0;
};

// Bounds of one connection's list, under those of all (Options); 0: none of its own.
struct Bounds {
  std::uint64_t max_count = 0, max_bytes = 0;
  std::int64_t max_age_ms = 0;
};

// All that ever was put on a list, and what became of it. accepted = the sum of fates + what is pending.
struct Totals {
  std::uint64_t accepted = 0;
  std::array<std::uint64_t, kFates> fates{};
  [[nodiscard]] std::uint64_t settled() const {
    std::uint64_t sum = 0;
    for (auto fate : fates)
      sum += fate;
    return sum;
  }
};

// What routing one message gave: where it goes. No targets: it matched no flow.
struct Routed {
  struct Target {
    std::uint64_t connection = 0;
    message::DecodedPtr decoded;
    std::int64_t validity_ms = 0;
  };
  message::MessagePtr message;
  std::vector<Target> targets;
};

// Which messages have been routed: all up to `watermark`, and those of `beyond`.
struct Progress {
  std::uint64_t watermark = 0;
  std::vector<std::uint64_t> beyond;
};

// How one connection's list stands.
struct ListState {
  std::uint64_t count = 0, bytes = 0;
  std::optional<UnixMillis> oldest;  // arrival of the oldest message; nothing when empty
  std::uint64_t letters = 0, letter_bytes = 0;
  Totals totals;
};

// Told about new entries of the lists, in order of `place`, from a thread of the queue's.
class Subscriber {
 public:
  virtual ~Subscriber() = default;
  virtual void on_pending(std::uint64_t connection, std::vector<Pending> entries) = 0;
  // Entries up to and including `place` were dropped because the list was over its bounds.
  virtual void on_dropped(std::uint64_t connection, std::uint64_t place, std::uint64_t count, const char* reason) = 0;
  // Dead letters were dropped because there were more, or older ones, than are kept.
  virtual void on_letters_dropped(std::uint64_t /*connection*/, std::uint64_t /*count*/) {}
  // The totals of a list do not add up any more, by that many messages (positive: missing). Told once for each change.
  virtual void on_gap(std::uint64_t /*connection*/, std::int64_t /*gap*/) {}
};

// The log and the pending lists.
//
// Invariants:
//  1. `append` is answered only after the report is synced. What was answered is in the log until it is routed and
//  every
//     list that holds it has settled it (or dropped it over its bounds, counted).
//  2. Routing is replayed from Progress after a crash: a message is put on its lists at least once, and exactly once
//  when
//     the lists' last writes have survived.
//  3. An entry leaves its list only by settle(), purge() or the bounds. The lists are not synced on each write: losing
//     their tail repeats work (routing, delivery), and never loses a message, since the log is synced and kept.
//  4. Entries of one list are handed out in ascending `place`.
class Queue : public Log {
 public:
  // -- routing (one caller) --
  // Messages after `after`, in order, at most `max`; waits up to `timeout` for the first. Empty: none came.
  virtual std::vector<message::MessagePtr> next(std::uint64_t after, std::size_t max,
                                                std::chrono::milliseconds timeout) = 0;
  // Wakes next() early.
  virtual void wake() = 0;
  // Stored messages from the newest backwards, those already routed too (the log keeps them up to keep_bytes), each
  // given to `look` until it says false, or `max_count` messages or `max_bytes` of them were read. Blocks on the disk;
  // runs beside everything else. Damaged ones are passed over.
  virtual void read_back(std::size_t max_count, std::uint64_t max_bytes,
                         const std::function<bool(const message::MessagePtr&)>& look) = 0;
  // Stored messages after `after`, in order, at most `max`. Blocks on the disk.
  virtual std::vector<message::MessagePtr> stored_after(std::uint64_t after, std::size_t max) = 0;
  // The seq before the first stored message that arrived at `time` or later (by a search that takes arrivals for
  // ascending), and that of the newest one. Blocks on the disk.
  virtual std::uint64_t seq_before(UnixMillis time) = 0;
  virtual std::uint64_t newest() = 0;
  // What was routed before the last stop.
  virtual Progress progress() = 0;
  // Puts routed messages on their lists and remembers the progress, both in one write. Waits while the writer is
  // behind.
  virtual void put(std::vector<Routed> routed, Progress progress) = 0;

  // -- small facts kept beside the lists, written along without sync (the device's last DriverCfg) --
  virtual std::optional<std::string> fact(const std::string& key) = 0;
  virtual void put_fact(std::string key, std::string value) = 0;
  // The same, synced before it returns. An empty value takes the fact away. Blocks on the disk. Errors: transient.
  virtual Result<void> keep_fact(const std::string& key, const std::string& value) = 0;

  // -- delivery --
  virtual void subscribe(Subscriber* subscriber) = 0;  // before routing starts; null to end
  // Entries after `place`, in order, at most `max`. Blocks on the disk. Entries whose message is gone from a damaged
  // log are dropped and counted.
  virtual std::vector<Pending> read(std::uint64_t connection, std::uint64_t place, std::size_t max) = 0;
  // The same for those that the filter names.
  virtual Batch read_some(std::uint64_t connection, std::uint64_t place, std::size_t max, const ReadFilter& filter) = 0;
  // Takes entries off the list; `low`: every entry below it is settled. Never blocks.
  virtual void settle(std::uint64_t connection, std::vector<Settled> entries, std::uint64_t low) = 0;
  // Empties the list; gives the number dropped, and in `end` the place below which nothing is left. Blocks on the disk.
  virtual std::uint64_t purge(std::uint64_t connection, std::uint64_t* end = nullptr) = 0;
  // Purges, and forgets letters and totals: the connection is no more. Blocks on the disk.
  virtual void forget(std::uint64_t connection) = 0;
  // Takes effect with the next look at the bounds. Never blocks.
  virtual void set_bounds(std::uint64_t connection, Bounds bounds) = 0;
  // Puts messages at the end of the list once more. They are kept in their entries, the log may lose them meanwhile.
  // Gives false when closing. Blocks on the disk.
  virtual bool put_again(std::uint64_t connection, std::vector<Again> messages) = 0;

  // -- dead letters; all block on the disk --
  virtual LetterPage letters(std::uint64_t connection, const LetterQuery& query) = 0;
  virtual std::optional<Letter> letter(std::uint64_t connection, std::uint64_t id) = 0;
  // Puts letters at the end of the list again, out of the letters, in one write for each; `ids` empty: all. Gives the
  // number.
  virtual std::uint64_t resend(std::uint64_t connection, std::vector<std::uint64_t> ids) = 0;
  virtual std::uint64_t discard(std::uint64_t connection, std::vector<std::uint64_t> ids) = 0;

  virtual ListState state(std::uint64_t connection) = 0;  // blocks on the disk for `oldest`
  [[nodiscard]] virtual std::uint64_t count(std::uint64_t connection) = 0;
  virtual std::vector<std::uint64_t> lists() = 0;  // connections that have entries or letters

  // True when appends are refused for lack of room.
  [[nodiscard]] virtual bool full() const = 0;
  // Writes what waits, stops the threads. Later appends are refused.
  virtual void close() = 0;
};

struct Options {
  std::string directory;
  std::uint64_t max_bytes = 10ull << 30;        // of the log: over it appends are refused
  std::uint64_t min_free_bytes = 256ull << 20;  // of the file system: below it appends are refused
  std::uint64_t keep_bytes = 1ull << 30;        // of routed and settled messages kept for replay
  std::uint64_t list_max_count = 5'000'000;     // of one connection's list: over it the oldest are dropped, counted
  std::uint64_t list_max_bytes = 4ull << 30;
  std::chrono::hours list_max_age{24 * 7};
  std::uint64_t letters_max_count = 10'000;  // dead letters of one connection: over it the oldest are dropped, counted
  std::uint64_t letters_max_bytes = 64ull << 20;
  std::chrono::hours letters_max_age{24 * 30};
  std::size_t append_max_count = 20'000;  // waiting for the next sync
  std::size_t append_max_bytes = 64u << 20;
  std::chrono::milliseconds maintenance{2000};  // how often bounds are looked at and the log is trimmed
  std::size_t repeats_max = 4'000'000;          // reports remembered to recognise repetitions
};

// Opens (or makes) the embedded queue, RocksDB below `directory`. Errors: bad_config with the reason.
Result<std::unique_ptr<Queue>> open_rocks(Options options, Clock& clock, Metrics& metrics);

}  // namespace sluice::queue
