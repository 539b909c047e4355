// SPDX-License-Identifier: Apache-2.0
// The way of one message, and why it goes where it goes (spec promises.md 5).
#include <algorithm>
#include <charconv>
#include <map>
#include <set>

#include "api/router.h"
#include "base/codec.h"

namespace sluice::api {
namespace {

using message::MessageTrail;
using message::Stage;

constexpr std::size_t kMostMessages = 100, kUsualMessages = 10;
// How far back the log is read for what the book no longer has.
constexpr std::size_t kLookBack = 100'000;
constexpr std::uint64_t kLookBackBytes = 64u << 20;
// How much of the pending lists is read in one request.
constexpr std::size_t kMostPending = 5000, kPendingAtOnce = 500;
// What was matched a moment ago may not be on its list yet.
constexpr UnixMillis kOnItsWay = 5000;

// A message, what the book has of it, and what the log and the lists tell.
struct Found {
  MessageTrail trail;
  message::MessagePtr report;             // of the log; null where it is no longer there or was not looked for
  std::set<std::uint64_t> pending_lists;  // where it was found waiting; looked for only where the book is not enough
  bool in_book = false;
};

MessageTrail trail_of(const message::Message& m) {
  return {.seq = m.seq,
          .account = m.account,
          .dev_eui = m.dev_eui,
          .type = m.type,
          .join = m.join,
          .fport = m.fport,
          .fcnt_up = m.fcnt_up,
          .fcnt_dn = m.fcnt_dn,
          .time = m.time,
          .arrived = m.arrived,
          .whole = false};
}

std::map<std::uint64_t, std::string> connection_names(const Call& call) {
  std::map<std::uint64_t, std::string> names;
  auto connections = call.context.store.connections(call.caller.account);
  if (!connections) return names;
  for (const auto& connection : *connections)
    names[std::strtoull(connection.id.c_str(), nullptr, 10)] = json::text_or(connection.resource, "name");
  return names;
}

// Notes on which of the account's lists these messages wait.
void find_pending(const Call& call, const std::map<std::uint64_t, std::string>& names, std::vector<Found>& all) {
  std::map<std::uint64_t, Found*> wanted;
  for (auto& one : all) {
    if (!one.trail.whole) wanted[one.trail.seq] = &one;
  }
  if (wanted.empty() || call.context.queue == nullptr) return;
  std::size_t read = 0;
  for (const auto& [connection, name] : names) {
    if (call.context.queue->count(connection) == 0) continue;
    for (std::uint64_t place = 0; read < kMostPending;) {
      auto entries = call.context.queue->read(connection, place, kPendingAtOnce);
      for (const auto& entry : entries) {
        auto found = wanted.find(entry.message->seq);
        if (found != wanted.end()) found->second->pending_lists.insert(connection);
        place = entry.place;
      }
      read += entries.size();
      // A list is in order of routing, which is that of the log but for some messages that wait for a driver.
      if (entries.size() < kPendingAtOnce || entries.back().message->seq > wanted.rbegin()->first + 10'000) break;
    }
  }
}

// What became of the message at one connection.
struct Outcome {
  std::string flow, driver, cause;
  const char* outcome = "pending";
  UnixMillis time = 0;    // since when
  UnixMillis routed = 0;  // when it was put there
  std::uint64_t attempts = 0;
  bool final = false;
};

std::map<std::uint64_t, Outcome> outcomes_of(const MessageTrail& trail) {
  std::map<std::uint64_t, Outcome> all;
  std::set<std::string> decoded;
  for (const auto& step : trail.steps) {
    if (step.stage == Stage::decoded) decoded.insert(step.driver);
    if (step.connection == 0) continue;
    auto& one = all[step.connection];
    switch (step.stage) {
      case Stage::routed:
        one.flow = step.flow;
        one.driver = step.driver;
        one.routed = one.time = step.time;
        break;
      case Stage::sent:
        ++one.attempts;
        if (one.final || one.time == 0) one.time = step.time;
        one.final = false;
        one.outcome = "pending";
        break;
      case Stage::retried:
        one.cause = step.text;
        if (one.time == 0) one.time = step.time;
        break;
      default:
        one.final = true;
        one.outcome = message::to_string(step.stage);
        one.time = step.time;
        if (step.stage != Stage::delivered || !step.text.empty()) one.cause = step.text;
        if (step.stage == Stage::delivered) one.cause.clear();
    }
  }
  for (auto& [connection, one] : all) {
    if (!one.final && one.attempts == 0 && !one.driver.empty() && !decoded.contains(one.driver))
      one.outcome = "decoding";
  }
  return all;
}

boost::json::object outcome_item(const Call& call, const std::map<std::uint64_t, std::string>& names,
                                 std::uint64_t connection, Outcome one, const MessageTrail& trail) {
  auto id = std::to_string(connection);
  boost::json::object item{{"connectionId", id}};
  auto name = names.find(connection);
  if (name != names.end()) item["connectionName"] = name->second;
  bool waits = !one.final && one.outcome != std::string_view("decoding");
  if (waits && name == names.end()) {
    one.outcome = "dropped";
    one.cause = "the connection was deleted";
    waits = false;
  }
  if (waits) {
    auto status = call.context.connections.status(id);
    bool gone = status.pending == 0 || (status.oldest_pending && *status.oldest_pending > trail.arrived);
    if (gone && one.routed != 0 && call.context.clock.now() - one.routed > kOnItsWay) {
      one.outcome = "gone";
      one.cause = "it no longer waits: its list was purged, or was over its bounds";
    } else {
      item["connectionState"] = connection::to_string(status.state);
      if (!status.reason.empty()) item["connectionReason"] = status.reason;
      if (status.paused) item["paused"] = true;
      if (status.next_retry) item["nextRetry"] = format_time(*status.next_retry);
      item["pendingMessages"] = status.pending;
    }
  }
  item["outcome"] = one.outcome;
  if (one.time != 0) item["time"] = format_time(one.time);
  item["attempts"] = one.attempts;
  if (!one.flow.empty()) item["flowId"] = one.flow;
  if (!one.driver.empty()) item["driverId"] = one.driver;
  if (!one.cause.empty()) item["cause"] = one.cause;
  return item;
}

boost::json::object step_item(const message::TrailStep& step, const std::map<std::uint64_t, std::string>& names) {
  boost::json::object item{{"stage", message::to_string(step.stage)}, {"time", format_time(step.time)}};
  if (step.connection != 0) {
    item["connectionId"] = std::to_string(step.connection);
    if (auto name = names.find(step.connection); name != names.end()) item["connectionName"] = name->second;
  }
  if (!step.flow.empty()) item["flowId"] = step.flow;
  if (!step.driver.empty()) item["driverId"] = step.driver;
  if (!step.text.empty()) item["text"] = step.text;
  return item;
}

boost::json::object message_item(const Call& call, const std::map<std::uint64_t, std::string>& names,
                                 const Found& found) {
  const auto& trail = found.trail;
  boost::json::object item{{"id", std::to_string(trail.seq)},
                           {"type", trail.join ? "join" : message::to_string(trail.type)},
                           {"receivedTime", format_time(trail.arrived)}};
  if (!trail.dev_eui.empty()) item["DevEUI"] = trail.dev_eui;
  if (trail.time) item["time"] = format_time(*trail.time);
  if (trail.fport) item["FPort"] = *trail.fport;
  if (trail.fcnt_up) item["FCntUp"] = *trail.fcnt_up;
  if (trail.fcnt_dn) item["FCntDn"] = *trail.fcnt_dn;
  boost::json::array way, outcomes;
  if (!found.in_book) way.push_back(boost::json::object{{"stage", "stored"}, {"time", format_time(trail.arrived)}});
  for (const auto& step : trail.steps)
    way.push_back(step_item(step, names));
  auto all = outcomes_of(trail);
  for (auto connection : found.pending_lists)
    all.try_emplace(connection, Outcome{.time = trail.arrived});
  for (auto& [connection, one] : all)
    outcomes.push_back(outcome_item(call, names, connection, std::move(one), trail));
  item["way"] = std::move(way);
  item["outcomes"] = std::move(outcomes);
  item["complete"] = trail.whole && trail.left_out == 0;
  if (trail.left_out > 0) item["leftOut"] = trail.left_out;
  if (!trail.whole) {
    item["note"] = found.pending_lists.empty() && all.empty()
                       ? "its way is no longer kept, and it waits for no connection"
                       : "its way is kept in part only: steps before the server's last start are missing";
  }
  return item;
}

// The device's stored messages that are not among those found, newest first.
void add_from_log(const Call& call, const std::string& dev_eui, std::size_t limit, std::vector<Found>& found) {
  if (call.context.queue == nullptr) return;
  std::set<std::uint64_t> known;
  for (const auto& one : found)
    known.insert(one.trail.seq);
  std::size_t seen = 0;
  call.context.queue->read_back(kLookBack, kLookBackBytes, [&](const message::MessagePtr& message) {
    if (message->account != call.caller.account || message->dev_eui != dev_eui) return true;
    if (!known.contains(message->seq)) found.push_back({.trail = trail_of(*message), .report = message});
    return ++seen < limit;
  });
  std::sort(found.begin(), found.end(), [](const Found& a, const Found& b) { return a.trail.seq > b.trail.seq; });
  if (found.size() > limit) found.resize(limit);
}

Response list_messages(Call& call) {
  std::vector<FieldFault> faults;
  auto dev_eui = dev_eui_of(call.request.parameter("deviceEui").value_or(""));
  if (!dev_eui) faults.push_back({"deviceEui", "is required: 16 hex digits"});
  std::size_t limit = kUsualMessages;
  if (auto text = call.request.parameter("limit")) {
    auto end = std::from_chars(text->data(), text->data() + text->size(), limit);
    if (end.ec != std::errc() || end.ptr != text->data() + text->size() || limit < 1 || limit > kMostMessages)
      faults.push_back({"limit", "must be a number from 1 to " + std::to_string(kMostMessages)});
  }
  if (!faults.empty()) return fail(faults);
  std::vector<Found> found;
  if (call.context.trail != nullptr) {
    for (auto& trail : call.context.trail->of_device(call.caller.account, *dev_eui, limit))
      found.push_back({.trail = std::move(trail), .in_book = true});
  }
  if (found.size() < limit) add_from_log(call, *dev_eui, limit, found);
  auto names = connection_names(call);
  find_pending(call, names, found);
  boost::json::array items;
  for (const auto& one : found)
    items.push_back(message_item(call, names, one));
  return answer(items);
}

Response get_message(Call& call) {
  const auto& text = call.params[0];
  auto missing = [&] { return fail("com-4004", "no message " + text + " is kept"); };
  std::uint64_t seq = 0;
  auto end = std::from_chars(text.data(), text.data() + text.size(), seq);
  if (end.ec != std::errc() || end.ptr != text.data() + text.size() || seq == 0) return missing();
  std::vector<Found> found(1);
  auto& one = found.front();
  if (call.context.trail != nullptr) {
    if (auto trail = call.context.trail->of_message(call.caller.account, seq)) {
      one.trail = std::move(*trail);
      one.in_book = true;
    }
  }
  if (call.context.queue != nullptr) {
    call.context.queue->read_back(kLookBack, kLookBackBytes, [&](const message::MessagePtr& message) {
      if (message->seq == seq && message->account == call.caller.account) one.report = message;
      return message->seq > seq;
    });
  }
  if (!one.in_book && !one.report) return missing();
  if (!one.in_book) one.trail = trail_of(*one.report);
  auto names = connection_names(call);
  find_pending(call, names, found);
  auto item = message_item(call, names, one);
  if (one.report) {
    if (auto report = json::parse(one.report->body, 128)) item["report"] = std::move(*report);
  }
  return answer(item);
}

Response explain(Call& call) {
  auto dev_eui = dev_eui_of(call.params[0]);
  if (!dev_eui) return fail({FieldFault{"devEUI", "must be 16 hex digits"}});
  if (!call.context.explain) return fail("com-5003", "this server routes nothing");
  auto flows = call.context.explain(call.caller.account, *dev_eui);
  if (!flows) return fail(flows.error());
  auto names = connection_names(call);
  for (auto& flow : *flows) {
    for (auto& item : flow.as_object()["connections"].as_array()) {
      auto& connection = item.as_object();
      auto id = json::text_or(connection, "connectionId");
      auto name = names.find(std::strtoull(id.c_str(), nullptr, 10));
      if (name == names.end()) {
        connection["reason"] = "there is no such connection";
        continue;
      }
      connection["name"] = name->second;
      auto status = call.context.connections.status(id);
      connection["state"] = connection::to_string(status.state);
      if (status.paused) connection["paused"] = true;
    }
  }
  return answer(*flows);
}

}  // namespace

void add_messages(std::vector<Route>& routes) {
  routes.push_back({"GET", "/iot-flow/v1/messages", Access::reader, list_messages});
  routes.push_back({"GET", "/iot-flow/v1/messages/{id}", Access::reader, get_message});
  routes.push_back({"GET", "/iot-flow/v1/devices/{devEUI}/explain", Access::reader, explain});
}

}  // namespace sluice::api
