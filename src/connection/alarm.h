// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "connection/recurrence.h"
#include "message/message.h"

namespace sluice::connection {

// The root of the report that an alarm is delivered as, and the fact that keeps a connection's alarms over a restart.
inline constexpr std::string_view kAlarmRoot = "Connection_alarm";
std::string alarms_fact(const std::string& connection);

// What one evaluation of an alarm gave, where there is something to tell.
struct AlarmVerdict {
  bool low = true;  // false: fine again, after it was low
  std::string message;
  std::string deliver_to;  // id of the connection that gets a report of it; empty: none does
  // Uplinks that were needed and that were delivered, from `from` (inclusive) to `to` (exclusive).
  std::int64_t expected = 0, observed = 0;
  UnixMillis from = 0, to = 0;
};

// The low rate alarms of one connection (spec api.md 5.6): within a window they are judged at each full hour after its
// start and at its end, pro rata where less than an hour has gone by since the last time.
//
// No I/O, no timers: whoever has them calls advance() at due(), and after every change of what is handed to it. Windows
// that meet or overlap are one stretch, with the hours of the one that began first. What is not judged: the part of a
// window before the alarm was known (its connection was made, the alarm added) or while the connection was deactivated,
// and windows that went by, or opened, while the engine was off. Where it was off for a part of a window, that part
// counts: nothing was delivered meanwhile. Not thread-safe.
class Alarms {
 public:
  // Takes the alarms of a connection's resource; those that judge as before keep how they stand. Returns what is wrong
  // with those that cannot be read: they are left out.
  std::vector<std::string> configure(const boost::json::array& alarms);
  [[nodiscard]] bool empty() const { return alarms_.empty(); }

  // Judges what has fallen due. `delivered`: uplinks delivered so far, never less than before; `active`: not
  // DEACTIVATED. A clock set back makes a window under way be judged from then on.
  std::vector<AlarmVerdict> advance(UnixMillis now, std::uint64_t delivered, bool active);
  // When to call advance() next; nothing: no further window is known, or the connection is not active.
  [[nodiscard]] std::optional<UnixMillis> due() const { return due_; }

  // How the alarms stand, and back: only alarms that judge as those that were saved take it. `save` is only needed when
  // has_changed(), which it resets.
  [[nodiscard]] bool has_changed() const { return changed_; }
  boost::json::object save();
  void restore(const boost::json::object& saved);

 private:
  struct Judging {
    UnixMillis anchor = 0;   // full hours are counted from here: the window's start
    UnixMillis from = 0;     // of the last evaluation, or where judging began
    std::uint64_t base = 0;  // delivered until then
  };
  struct Alarm {
    std::string key;  // what is judged, told apart from other alarms
    Recurrence windows;
    std::int64_t rate = 0;  // uplinks an hour
    std::string message, deliver_to;
    std::optional<Judging> judging;  // inside a window
    std::optional<UnixMillis> seen;  // outside of all: since when that is known
    bool raised = false;
  };

  void judge(Alarm& alarm, UnixMillis now, std::uint64_t delivered, std::vector<AlarmVerdict>& out);
  void enter(Alarm& alarm, UnixMillis now, std::uint64_t delivered);
  static UnixMillis end_of_step(const Alarm& alarm, const Judging& judging);

  std::vector<Alarm> alarms_;
  std::optional<UnixMillis> due_;
  UnixMillis last_ = 0;  // advance() was called
  bool active_ = false;
  bool fresh_ = true;  // something is to be looked at, due or not
  bool changed_ = false;
};

// The report of a verdict for the connection `deliver_to`, as if a network server had sent it, routed there alone
// (docs/connections.md). `connection`, `name`: whose alarm it is.
Result<message::Message> alarm_report(const AlarmVerdict& verdict, const std::string& account,
                                      const std::string& connection, const std::string& name, UnixMillis now);
// True for such a report: it is no uplink, and counts for no alarm.
[[nodiscard]] bool is_alarm_report(const message::Message& message);

}  // namespace sluice::connection
