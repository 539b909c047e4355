// SPDX-License-Identifier: Apache-2.0
// A new version of a driver tried against the last stored uplinks of its devices (promises.md 4): what would change.
// Nothing is stored or delivered.
#include "api/driver_calls.h"
#include "api/driver_resource.h"
#include "base/codec.h"

namespace sluice::api {
namespace {

using boost::json::object;

constexpr std::int64_t kMaxLast = 1000;
constexpr std::int64_t kLast = 100;
constexpr std::size_t kMaxDifferences = 20;
// Uplinks run at a time, each by both; a version that hangs with each of them must not keep the request for minutes.
constexpr std::size_t kAtATime = 50;
constexpr std::chrono::seconds kEnough{20};

// What a call gave, as it is told.
boost::json::value told(const driver::Outcome& outcome) {
  if (!outcome.ok) return object{{"error", object{{"code", outcome.code}, {"message", outcome.message}}}};
  object result;
  auto data = json::parse(outcome.data, 2 * driver::kMaxDepth);
  result["data"] = data ? std::move(*data) : boost::json::value();
  if (auto points = json::parse(outcome.points); !outcome.points.empty() && points) result["points"] = *points;
  return result;
}

// The stored driver with what the request changes, or what is wrong with the request.
store::Driver changed_driver(const Call& call, const object& body, store::Driver driver,
                             std::vector<FieldFault>& faults) {
  object given;
  Fields fields(body, given, faults);
  if (const auto* type = fields.text("type", 1, 64);
      type != nullptr && !driver::signature_of_type(std::string_view(type->get_string()))) {
    fields.fault("type", "must be thingpark-x-js, lora-alliance, ttn or chirpstack");
  }
  fields.flag("useContext");
  if (const auto* limits = fields.object("limits")) check_limits(call.context, limits->get_object(), faults);
  for (auto& member : given)
    driver.resource[member.key()] = std::move(member.value());
  for (auto [name, text] : {std::pair("code", &driver.code), std::pair("extractPoints", &driver.extract_points)}) {
    if (json::find(body, name) == nullptr) continue;
    auto read = read_code(body, name, std::string_view(name) == "code");
    if (!read)
      faults.push_back({std::string("/") + name, read.error().text});
    else
      *text = std::move(*read);
  }
  return driver;
}

struct Tally {
  std::int64_t uplinks = 0, same = 0, changed = 0, failed = 0, fixed = 0;
  boost::json::array differences;

  void count(const flow::Router::StoredUplink& uplink, const driver::Outcome& before, const driver::Outcome& after) {
    ++uplinks;
    auto was = told(before), is = told(after);
    if (before.ok == after.ok && was == is) {
      ++same;
      return;
    }
    ++(before.ok && !after.ok ? failed : !before.ok && after.ok ? fixed : changed);
    if (differences.size() >= kMaxDifferences) return;
    const auto& message = *uplink.message;
    object difference{{"DevEUI", message.dev_eui}};
    if (message.fcnt_up) difference["FCntUp"] = *message.fcnt_up;
    difference["time"] = format_time(message.time.value_or(message.arrived));
    difference["payload"] = message.payload_hex;
    if (message.fport) difference["fPort"] = *message.fport;
    difference["before"] = std::move(was);
    difference["after"] = std::move(is);
    differences.push_back(std::move(difference));
  }
};

Response try_out(Call& call) {
  if (!call.body.is_object()) return fail({{"", "must be an object"}});
  const auto& body = call.body.get_object();
  auto stored = visible_driver(call, call.params[0]);
  if (!stored) return fail(stored.error());
  // What one may change about hidden code, and what shows of it, would tell of it.
  if (is_hidden(call, *stored)) return fail("com-4003", "this feature is not available for a private driver");
  auto before = call.context.find_driver(call.caller.account, stored->id);
  if (!before) return fail("com-4004", "no driver code: " + stored->id + " is known, its code is not here");
  std::vector<FieldFault> faults;
  auto last = json::int_or(body, "last", kLast);
  if (const auto* value = json::find(body, "last");
      (value != nullptr && !value->is_int64()) || last < 1 || last > kMaxLast)
    faults.push_back({"/last", "must be a whole number from 1 to " + std::to_string(kMaxLast)});
  auto driver = changed_driver(call, body, std::move(*stored), faults);
  if (!faults.empty()) return fail(faults);
  auto inspected = call.context.inspect_driver(inspected_of(driver));
  if (!inspected) {
    auto response = fail(inspected.error());
    if (inspected.error().code.starts_with("com-500") && inspected.error().code != "com-5003") response.status = 400;
    return response;
  }
  auto after = loose_driver(call.caller.account, driver, inspected->signature);
  auto uplinks = call.context.last_uplinks(call.caller.account, driver.id, static_cast<std::size_t>(last));
  Tally tally;
  auto started = call.context.clock.steady();
  bool complete = true;
  for (std::size_t at = 0; at < uplinks.size() && complete; at += kAtATime) {
    auto end = std::min(uplinks.size(), at + kAtATime);
    std::vector<DriverCall> calls;
    for (auto i = at; i < end; ++i) {
      for (const auto& code : {before, after})
        calls.push_back({.code = code, .input = uplinks[i].input, .log = false});
    }
    auto outcomes = run_calls(call.context, std::move(calls));
    for (auto i = at; i < end; ++i)
      tally.count(uplinks[i], outcomes[2 * (i - at)], outcomes[2 * (i - at) + 1]);
    complete = end == uplinks.size() || call.context.clock.steady() - started < kEnough;
  }
  object result{{"uplinks", tally.uplinks}, {"same", tally.same},   {"changed", tally.changed},
                {"failed", tally.failed},   {"fixed", tally.fixed}, {"differences", std::move(tally.differences)}};
  if (!complete) result["incomplete"] = true;
  return answer(result);
}

}  // namespace

void add_driver_try(std::vector<Route>& routes) {
  routes.push_back({"POST", "/iot-flow/v1/drivers/{driverId}/try", Access::reader, try_out, Body::json});
}

}  // namespace sluice::api
