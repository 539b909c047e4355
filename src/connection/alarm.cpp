// SPDX-License-Identifier: Apache-2.0
#include "connection/alarm.h"

#include <algorithm>

namespace sluice::connection {
namespace {

constexpr UnixMillis kHour = 3'600'000;
// An evaluation that comes later than this after it was due covers the first step alone: looking for how far the window
// went on meanwhile stays bounded.
constexpr UnixMillis kLongAgo = 48 * kHour;
// Of a window that opened longer ago than this nobody saw the beginning: the engine was off, or the machine asleep.
constexpr UnixMillis kLate = 60'000;

std::int64_t rounded_up(std::int64_t rate, UnixMillis elapsed) {
  return (rate * elapsed + kHour - 1) / kHour;
}

}  // namespace

std::string alarms_fact(const std::string& connection) {
  return "alarms/" + connection;
}

std::vector<std::string> Alarms::configure(const json::array& alarms) {
  std::vector<std::string> faults;
  std::vector<Alarm> made;
  for (const auto& one : alarms) {
    if (!one.is_object()) continue;
    const auto& resource = one.get_object();
    auto windows = Recurrence::read(resource);
    if (!windows) {
      faults.push_back(windows.error().text);
      continue;
    }
    // Its text and where it goes may change without it being another alarm.
    json::object judged;
    for (const char* name : {"startTime", "endTime", "timezone", "recurrence", "uplinkRateMinPerHour"}) {
      if (const auto* value = json::find(resource, name)) judged[name] = *value;
    }
    Alarm alarm{.key = json::write(judged),
                .windows = std::move(*windows),
                .rate = json::int_or(resource, "uplinkRateMinPerHour", 0),
                .message = json::text_or(resource, "message", "Low uplink rate"),
                .deliver_to = json::text_or(resource, "deliverTo")};
    auto before = std::find_if(alarms_.begin(), alarms_.end(), [&](const auto& old) { return old.key == alarm.key; });
    if (before != alarms_.end()) {
      alarm.judging = before->judging;
      alarm.seen = before->seen;
      alarm.raised = before->raised;
    }
    made.push_back(std::move(alarm));
  }
  changed_ = changed_ || !made.empty() || !alarms_.empty();
  alarms_ = std::move(made);
  fresh_ = true;
  return faults;
}

std::vector<AlarmVerdict> Alarms::advance(UnixMillis now, std::uint64_t delivered, bool active) {
  std::vector<AlarmVerdict> out;
  if (!fresh_ && active == active_ && now >= last_ && (!due_ || now < *due_)) return out;
  fresh_ = false;
  last_ = now;
  active_ = active;
  due_.reset();
  for (auto& alarm : alarms_) {
    if (!active) {
      changed_ = changed_ || alarm.judging;
      alarm.judging.reset();
      alarm.seen.reset();
      continue;
    }
    if (alarm.seen && *alarm.seen > now) alarm.seen.reset();
    if (alarm.judging && alarm.judging->from > now) alarm.judging.reset();
    judge(alarm, now, delivered, out);
    if (!alarm.judging) enter(alarm, now, delivered);
    std::optional<UnixMillis> due;
    if (alarm.judging)
      due = end_of_step(alarm, *alarm.judging);
    else if (auto next = alarm.windows.after(now))
      due = next->start;
    if (due) due_ = std::max(now + 1, std::min(*due, due_.value_or(*due)));
  }
  return out;
}

// The next full hour, or the end of the windows before it.
UnixMillis Alarms::end_of_step(const Alarm& alarm, const Judging& judging) {
  auto hours = (judging.from - judging.anchor) / kHour + 1;
  return alarm.windows.covered_until(judging.from, judging.anchor + hours * kHour);
}

void Alarms::judge(Alarm& alarm, UnixMillis now, std::uint64_t delivered, std::vector<AlarmVerdict>& out) {
  if (!alarm.judging) return;
  auto& judging = *alarm.judging;
  auto step = judging;
  UnixMillis to = step.from;
  // Usually one step; several when the engine was off or the machine asleep, which are judged as one.
  bool goes_on = true;  // behind `to`
  while (goes_on) {
    auto end = end_of_step(alarm, step);
    if (end > now) break;
    to = end;
    step.from = end;
    goes_on = alarm.windows.covered_until(end, end + 1) > end && now - to < kLongAgo;
  }
  if (to == judging.from) return;
  changed_ = true;
  auto elapsed = to - judging.from;
  // A crash may have taken the queue's last writes along.
  auto observed = static_cast<std::int64_t>(delivered - std::min(judging.base, delivered));
  bool low = observed * kHour < alarm.rate * elapsed;
  if (low || alarm.raised) {
    out.push_back({.low = low,
                   .message = alarm.message,
                   .deliver_to = alarm.deliver_to,
                   .expected = rounded_up(alarm.rate, elapsed),
                   .observed = observed,
                   .from = judging.from,
                   .to = to});
  }
  alarm.raised = low;
  if (goes_on) {
    judging.from = to;
    judging.base = delivered;
    return;
  }
  alarm.judging.reset();
  alarm.seen = to;
}

void Alarms::enter(Alarm& alarm, UnixMillis now, std::uint64_t delivered) {
  auto window = alarm.windows.covering(now);
  if (!window) {
    alarm.seen = now;
    return;
  }
  // Seen to open: from its start. Else from now on.
  bool from_start = alarm.seen && *alarm.seen <= window->start && now - window->start < kLate;
  alarm.judging = Judging{.anchor = window->start, .from = from_start ? window->start : now, .base = delivered};
  alarm.seen.reset();
  changed_ = true;
}

json::object Alarms::save() {
  changed_ = false;
  json::object out;
  for (const auto& alarm : alarms_) {
    if (!alarm.judging && !alarm.raised) continue;
    json::object state{{"raised", alarm.raised}};
    if (alarm.judging) {
      state["anchor"] = alarm.judging->anchor;
      state["from"] = alarm.judging->from;
      state["base"] = static_cast<std::int64_t>(alarm.judging->base);
    }
    out[alarm.key] = std::move(state);
  }
  return out;
}

void Alarms::restore(const json::object& saved) {
  for (auto& alarm : alarms_) {
    const auto* found = json::find(saved, alarm.key);
    if (!found || !found->is_object()) continue;
    const auto& state = found->get_object();
    alarm.raised = json::bool_or(state, "raised", false);
    if (!state.contains("from")) continue;
    Judging judging{.anchor = json::int_or(state, "anchor", 0),
                    .from = json::int_or(state, "from", 0),
                    .base = static_cast<std::uint64_t>(json::int_or(state, "base", 0))};
    if (judging.anchor <= judging.from) alarm.judging = judging;
  }
  fresh_ = true;
}

Result<message::Message> alarm_report(const AlarmVerdict& verdict, const std::string& account,
                                      const std::string& connection, const std::string& name, UnixMillis now) {
  json::object fields{
      {"ConnectionID", connection},        {"ConnectionName", name},
      {"ID", verdict.low ? 1401 : 1402},   {"State", verdict.low ? 3 : 1},  // warning, cleared (spec messages.md 6.4)
      {"Time", format_time(now)},          {"Text", verdict.message},
      {"Expected", verdict.expected},      {"Observed", verdict.observed},
      {"From", format_time(verdict.from)}, {"To", format_time(verdict.to)}};
  auto report = message::parse_report(json::write(json::object{{kAlarmRoot, std::move(fields)}}));
  if (!report) return report;
  report->account = account;
  report->binder = message::binder_of_connection(verdict.deliver_to);
  report->arrived = now;
  return report;
}

bool is_alarm_report(const message::Message& message) {
  return message.type == message::MessageType::unknown && message.root == kAlarmRoot;
}

}  // namespace sluice::connection
