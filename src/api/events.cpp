// SPDX-License-Identifier: Apache-2.0
// What happened (spec api.md 11).
#include "api/router.h"
#include "base/codec.h"

namespace sluice::api {
namespace {

constexpr UnixMillis kDay = 24LL * 3600 * 1000;

Response list(Call& call) {
  auto page = read_page(call, true);
  if (!page) return fail(page.error());
  std::vector<FieldFault> faults;
  auto query = read_event_filters(call, faults);
  auto now = call.context.clock.now();
  query.to = now + 1;
  query.from = now - kDay;
  if (auto text = call.request.parameter("startTime")) {
    auto time = time_parameter(*text);
    if (!time) faults.push_back({"startTime", "must be a time as 2024-05-02T08:15:22.118+02:00"});
    query.from = time.value_or(0);
  }
  if (auto text = call.request.parameter("endTime")) {
    auto time = time_parameter(*text);
    if (!time) faults.push_back({"endTime", "must be a time as 2024-05-02T08:15:22.118+02:00"});
    query.to = time.value_or(0);
  }
  if (faults.empty() && query.from > query.to) faults.push_back({"startTime", "must not be after endTime"});
  if (!faults.empty()) return fail(faults);
  query.offset = page->offset();
  query.limit = page->per_page;

  call.context.events.flush();
  auto total = call.context.store.count_events(query);
  if (!total) return fail(total.error());
  auto found = call.context.store.events(query);
  if (!found) return fail(found.error());
  boost::json::array items;
  for (const auto& event : *found)
    items.push_back(event_item(event));
  auto response = answer(items);
  add_page_headers(call, *page, *total, response);
  return response;
}

}  // namespace

std::optional<UnixMillis> time_parameter(std::string text) {
  if (text.size() > 6 && text[text.size() - 6] == ' ') text[text.size() - 6] = '+';
  return parse_time(text);
}

std::optional<std::string> dev_eui_of(std::string_view text) {
  auto dev_eui = to_upper(text);
  std::erase(dev_eui, '-');
  if (dev_eui.size() != 16 || !is_hex(dev_eui)) return {};
  return dev_eui;
}

store::EventQuery read_event_filters(const Call& call, std::vector<FieldFault>& faults) {
  store::EventQuery query{.account = call.caller.account};
  query.level = call.request.parameter("level").value_or("");
  if (!query.level.empty() && query.level != "debug" && query.level != "info" && query.level != "warn" &&
      query.level != "error") {
    faults.push_back({"level", "must be debug, info, warn or error"});
  }
  if (auto device = call.request.parameter("deviceEui"); device && !device->empty()) {
    auto dev_eui = dev_eui_of(*device);
    if (!dev_eui) faults.push_back({"deviceEui", "must be 16 hex digits"});
    query.dev_eui = dev_eui.value_or("");
  }
  query.connection_id = call.request.parameter("q_connectionId").value_or("");
  query.text = call.request.parameter("q").value_or("");
  query.code = call.request.parameter("code").value_or("");
  query.flow_id = call.request.parameter("flowId").value_or("");
  return query;
}

boost::json::object event_item(const store::Event& event) {
  boost::json::object item{
      {"eventTime", format_time(event.time)}, {"level", event.level}, {"code", event.code}, {"message", event.message}};
  if (!event.data.empty()) item["data"] = event.data;
  return item;
}

void add_events(std::vector<Route>& routes) {
  routes.push_back({"GET", "/iot-flow/v1/events", Access::reader, list});
}

}  // namespace sluice::api
