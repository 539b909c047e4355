// SPDX-License-Identifier: Apache-2.0
// What drivers said and how they do: their logs and their statistics.
#include "api/driver_resource.h"
#include "base/codec.h"

namespace sluice::api {
namespace {

using boost::json::object;

constexpr UnixMillis kKept = 7LL * 24 * 3600 * 1000;

// A driver whose log this account may read. The lines of a private driver show its code (spec drivers.md 16.4).
Result<store::Driver> readable(const Call& call) {
  auto driver = visible_driver(call, call.params[0]);
  if (driver && is_hidden(call, *driver))
    return Error{ErrorKind::permanent, "this feature is not available for a private driver", "com-4003"};
  return driver;
}

Result<store::DriverLogQuery> read_query(const Call& call, std::vector<FieldFault>& faults) {
  auto now = call.context.clock.now();
  store::DriverLogQuery query{.account = call.caller.account, .from = now - kKept, .to = now + 1};
  for (auto [name, time] : {std::pair("from", &query.from), std::pair("to", &query.to)}) {
    auto text = call.request.parameter(name);
    if (!text) continue;
    auto read = time_parameter(*text);
    if (!read) faults.push_back({name, "must be a time as 2024-05-02T08:15:22.118+02:00"});
    *time = read.value_or(*time);
  }
  if (faults.empty() && query.from > query.to) faults.push_back({"from", "must not be after to"});
  query.level = call.request.parameter("level").value_or("");
  if (!query.level.empty() && query.level != "log" && query.level != "warn" && query.level != "error")
    faults.push_back({"level", "must be log, warn or error"});
  query.operation = call.request.parameter("operation").value_or("");
  if (!query.operation.empty() && query.operation != "decodeUplink" && query.operation != "decodeDownlink" &&
      query.operation != "encodeDownlink" && query.operation != "extractPoints") {
    faults.push_back({"operation", "must be decodeUplink, decodeDownlink, encodeDownlink or extractPoints"});
  }
  for (char c : call.request.parameter("DevEUI").value_or("")) {
    if (c != '-' && c != ':') query.dev_eui += c;
  }
  return query;
}

Response log(Call& call) {
  auto driver = readable(call);
  if (!driver) return fail(driver.error());
  auto page = read_page(call, true);
  if (!page) return fail(page.error());
  std::vector<FieldFault> faults;
  auto query = read_query(call, faults);
  if (!faults.empty()) return fail(faults);
  query->driver_id = driver->id;
  query->offset = page->offset();
  query->limit = page->per_page;
  call.context.journal.flush_log();
  auto total = call.context.store.count_driver_log(*query);
  if (!total) return fail(total.error());
  auto found = call.context.store.driver_log(*query);
  if (!found) return fail(found.error());
  boost::json::array items;
  for (auto& entry : *found) {
    object item{{"time", format_time(entry.time)}, {"level", entry.level}, {"operation", entry.operation}};
    if (!entry.dev_eui.empty()) item["DevEUI"] = entry.dev_eui;
    for (auto& member : entry.data)
      item[member.key()] = std::move(member.value());
    items.push_back(std::move(item));
  }
  auto response = answer(items);
  add_page_headers(call, *page, *total, response);
  return response;
}

Response clear(Call& call) {
  auto driver = readable(call);
  if (!driver) return fail(driver.error());
  call.context.journal.flush_log();
  auto cleared = call.context.store.clear_driver_log(call.caller.account, driver->id);
  return cleared ? no_content() : fail(cleared.error());
}

double milliseconds(std::uint32_t microseconds) {
  return static_cast<double>(microseconds) / 1000;
}

object of_error(const driver::DriverStatistics::LastError& error, bool hidden) {
  object result{{"time", format_time(error.time)},
                {"operation", driver::name_of(error.operation)},
                {"code", error.code},
                {"message", error.message}};
  if (!error.dev_eui.empty()) result["DevEUI"] = error.dev_eui;
  if (error.fport) result["fPort"] = *error.fport;
  if (!error.input.empty()) result["payload"] = error.input;
  if (error.where && !hidden) {
    if (error.where->line > 0) result["line"] = error.where->line;
    if (error.where->column > 0) result["column"] = error.where->column;
    if (!error.where->stack.empty()) result["stack"] = error.where->stack;
  }
  return result;
}

Response statistics(Call& call) {
  auto driver = visible_driver(call, call.params[0]);
  if (!driver) return fail(driver.error());
  auto known = call.context.journal.statistics().of(call.caller.account, driver->id);
  driver::DriverStatistics none;
  const auto& found = known ? *known : none;
  object result{{"driverId", driver->id}};
  std::uint64_t calls = 0, failures = 0;
  object operations;
  for (std::size_t i = 0; i < driver::kOperations; ++i) {
    auto operation = static_cast<driver::Operation>(i);
    const auto& counts = found.of(operation);
    calls += counts.calls;
    failures += counts.failures;
    if (counts.calls == 0) continue;
    operations[driver::name_of(operation)] = object{{"calls", counts.calls},
                                                    {"failures", counts.failures},
                                                    {"sequenceWoError", counts.sequence},
                                                    {"p50Ms", milliseconds(counts.times.quantile(0.5))},
                                                    {"p99Ms", milliseconds(counts.times.quantile(0.99))}};
  }
  result["calls"] = calls;
  result["failures"] = failures;
  object by_code;
  for (const auto& [code, count] : found.failures)
    by_code[code] = count;
  result["failuresByCode"] = std::move(by_code);
  result["operations"] = std::move(operations);
  if (known) {
    result["since"] = format_time(found.since);
    result["lastCall"] = format_time(found.last);
  }
  if (found.last_error) result["lastError"] = of_error(*found.last_error, is_hidden(call, *driver));
  return answer(result);
}

}  // namespace

void add_driver_log(std::vector<Route>& routes) {
  routes.push_back({"GET", "/iot-flow/v1/drivers/{driverId}/log", Access::reader, log});
  routes.push_back({"DELETE", "/iot-flow/v1/drivers/{driverId}/log", Access::writer, clear});
  routes.push_back({"GET", "/iot-flow/v1/drivers/{driverId}/statistics", Access::reader, statistics});
}

}  // namespace sluice::api
