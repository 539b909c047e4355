// SPDX-License-Identifier: Apache-2.0
// What is pending for a connection, what was given up, what is delivered once more; pause and resume.
#include <algorithm>
#include <charconv>

#include "api/router.h"
#include "base/codec.h"
#include "base/log.h"

namespace sluice::api {
namespace {

using boost::json::object;

constexpr std::size_t kMostIds = 10'000;
constexpr std::int64_t kMostPerSecond = 1'000'000;

void tell(const Call& call, const std::string& id, const char* level, const char* code, const std::string& what,
          object data = {}) {
  data["connectionId"] = id;
  data["user"] = call.caller.client_id;
  call.context.events.add(call.caller.account, level, code, what, std::move(data));
  log::info("connection {}: {} by {}", id, what, call.caller.client_id);
}

Response queue(Call& call) {
  auto connection = own_connection(call);
  if (!connection) return fail(connection.error());
  auto status = call.context.connections.queue(connection->id);
  object result{{"pending", status.pending}, {"bytes", status.bytes}};
  if (status.oldest) result["oldest"] = format_time(*status.oldest);
  result["paused"] = status.paused;
  result["deadLetters"] = status.dead;
  result["deadLetterBytes"] = status.dead_bytes;
  if (status.catching_up_until) result["estimate"] = format_time(*status.catching_up_until);
  result["totals"] =
      object{{"accepted", status.accepted}, {"delivered", status.delivered}, {"filtered", status.filtered},
             {"expired", status.expired},   {"dead", status.given_up},       {"dropped", status.dropped}};
  if (status.replay) result["replay"] = object{{"done", status.replay->done}, {"total", status.replay->total}};
  return answer(result);
}

Response purge(Call& call) {
  auto connection = own_connection(call);
  if (!connection) return fail(connection.error());
  auto count = call.context.connections.purge(connection->id);
  tell(call, connection->id, "warn", "connection-1305", "Queue emptied", {{"count", count}});
  return no_content();
}

Response pause(Call& call) {
  auto connection = own_connection(call);
  if (!connection) return fail(connection.error());
  if (auto done = call.context.connections.pause(connection->id); !done) return fail(done.error());
  tell(call, connection->id, "info", "connection-1308", "Delivery paused");
  return {.status = 202, .content_type = ""};
}

Response resume(Call& call) {
  auto connection = own_connection(call);
  if (!connection) return fail(connection.error());
  if (auto done = call.context.connections.resume(connection->id); !done) return fail(done.error());
  tell(call, connection->id, "info", "connection-1308", "Delivery resumed");
  return {.status = 202, .content_type = ""};
}

object shown(const connection::DeadLetter& letter, bool whole) {
  object result{{"id", std::to_string(letter.id)},
                {"time", format_time(letter.time)},
                {"arrived", format_time(letter.arrived)},
                {"type", letter.type}};
  if (!letter.dev_eui.empty()) result["DevEUI"] = letter.dev_eui;
  if (letter.fcnt_up) result["FCntUp"] = *letter.fcnt_up;
  result["cause"] = letter.cause;
  if (!letter.answer.empty()) result["answer"] = letter.answer;
  result["tries"] = letter.tries;
  result["bytes"] = letter.bytes;
  if (whole) {
    result["body"] = letter.body;
    if (!letter.sent.empty()) result["sent"] = letter.sent;
  }
  return result;
}

Response list(Call& call) {
  auto connection = own_connection(call);
  if (!connection) return fail(connection.error());
  auto page = read_page(call);
  if (!page) return fail(page.error());
  connection::DeadLetterFilter filter;
  std::vector<FieldFault> faults;
  if (auto device = call.request.parameter("DevEUI")) filter.dev_eui = to_upper(*device);
  auto read_time = [&](const char* name, std::optional<UnixMillis>& into) {
    auto text = call.request.parameter(name);
    if (!text) return;
    into = time_parameter(*text);
    if (!into) faults.push_back({name, "must be a date and time, such as 2024-05-02T08:15:22+02:00"});
  };
  read_time("startTime", filter.from);
  read_time("endTime", filter.to);
  if (filter.from && filter.to && *filter.from > *filter.to) faults.push_back({"startTime", "is after endTime"});
  if (!faults.empty()) return fail(faults);
  auto found = call.context.connections.dead_letters(connection->id, filter, page->offset(), page->per_page);
  boost::json::array items;
  for (const auto& letter : found.items)
    items.push_back(shown(letter, false));
  auto response = answer(items);
  add_page_headers(call, *page, found.total, response);
  return response;
}

std::optional<std::uint64_t> letter_id(const std::string& text) {
  std::uint64_t id = 0;
  auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), id);
  if (error != std::errc() || end != text.data() + text.size() || id == 0) return std::nullopt;
  return id;
}

Response no_letter(const Call& call) {
  return fail("com-4004", "there is no dead letter " + call.params[1] + " of this connection");
}

Response get(Call& call) {
  auto connection = own_connection(call);
  if (!connection) return fail(connection.error());
  auto id = letter_id(call.params[1]);
  if (!id) return no_letter(call);
  auto letter = call.context.connections.dead_letter(connection->id, *id);
  return letter ? answer(shown(*letter, true)) : no_letter(call);
}

// The letters that a body {"ids": [...]} names; without a body, or without ids: all (an empty list).
std::optional<std::vector<std::uint64_t>> read_ids(const Call& call, std::vector<FieldFault>& faults) {
  std::vector<std::uint64_t> ids;
  if (call.body.is_null()) return ids;
  if (!call.body.is_object()) {
    faults.push_back({"", "must be an object"});
    return std::nullopt;
  }
  const auto* given = json::find(call.body.get_object(), "ids");
  if (given == nullptr || given->is_null()) return ids;
  if (!given->is_array() || given->get_array().empty() || given->get_array().size() > kMostIds) {
    faults.push_back({"/ids", "must be an array of 1 to " + std::to_string(kMostIds) + " ids; leave it out for all"});
    return std::nullopt;
  }
  std::size_t place = 0;
  for (const auto& one : given->get_array()) {
    std::optional<std::uint64_t> id;
    if (one.is_string()) id = letter_id(std::string(one.get_string()));
    if (one.is_int64() && one.get_int64() > 0) id = static_cast<std::uint64_t>(one.get_int64());
    if (!id) faults.push_back({"/ids/" + std::to_string(place), "must be the id of a dead letter"});
    if (id) ids.push_back(*id);
    ++place;
  }
  if (!faults.empty()) return std::nullopt;
  return ids;
}

Response resend_these(Call& call, const std::string& connection, std::vector<std::uint64_t> ids) {
  auto count = call.context.connections.resend(connection, std::move(ids));
  if (count > 0) tell(call, connection, "info", "connection-1310", "Dead letters resent", {{"count", count}});
  return answer(object{{"count", count}}, 202);
}

Response resend_one(Call& call) {
  auto connection = own_connection(call);
  if (!connection) return fail(connection.error());
  auto id = letter_id(call.params[1]);
  if (!id) return no_letter(call);
  if (!call.context.connections.dead_letter(connection->id, *id)) return no_letter(call);
  return resend_these(call, connection->id, {*id});
}

Response resend_many(Call& call) {
  auto connection = own_connection(call);
  if (!connection) return fail(connection.error());
  // The body may be missing altogether.
  if (!trim(call.request.body).empty()) {
    auto parsed = json::parse(call.request.body);
    if (!parsed) return fail({{"", "is not JSON: " + parsed.error().text}});
    call.body = std::move(*parsed);
  }
  std::vector<FieldFault> faults;
  auto ids = read_ids(call, faults);
  if (!ids) return fail(faults);
  return resend_these(call, connection->id, std::move(*ids));
}

Response discard_one(Call& call) {
  auto connection = own_connection(call);
  if (!connection) return fail(connection.error());
  auto id = letter_id(call.params[1]);
  if (!id || call.context.connections.discard(connection->id, {*id}) == 0) return no_letter(call);
  tell(call, connection->id, "info", "connection-1310", "Dead letters deleted", {{"count", 1}});
  return no_content();
}

Response discard_all(Call& call) {
  auto connection = own_connection(call);
  if (!connection) return fail(connection.error());
  auto count = call.context.connections.discard(connection->id, {});
  if (count > 0) tell(call, connection->id, "info", "connection-1310", "Dead letters deleted", {{"count", count}});
  return no_content();
}

Response replay(Call& call) {
  if (!call.body.is_object()) return fail({{"", "must be an object"}});
  auto connection = own_connection(call);
  if (!connection) return fail(connection.error());
  const auto& body = call.body.get_object();
  std::vector<FieldFault> faults;
  connection::ReplayRequest request;
  auto read_time = [&](const char* name, UnixMillis& into) {
    auto text = json::text_or(body, name);
    auto time = text.empty() ? std::nullopt : parse_time(text);
    if (!time)
      faults.push_back({std::string("/") + name, "is required: a date and time, such as 2024-05-02T08:15:22+02:00"});
    else
      into = *time;
  };
  read_time("startTime", request.from);
  read_time("endTime", request.to);
  if (faults.empty() && request.from >= request.to) faults.push_back({"/startTime", "must be before endTime"});
  if (const auto* device = json::find(body, "DevEUI"); device && !device->is_null()) {
    auto text = device->is_string() ? to_upper(device->get_string()) : std::string();
    if (text.size() != 16 || !is_hex(text)) faults.push_back({"/DevEUI", "must be 16 hex digits"});
    request.dev_eui = text;
  }
  if (const auto* rate = json::find(body, "ratePerSecond"); rate && !rate->is_null()) {
    if (!rate->is_int64() || rate->get_int64() < 1 || rate->get_int64() > kMostPerSecond)
      faults.push_back({"/ratePerSecond", "must be a whole number from 1 to " + std::to_string(kMostPerSecond)});
    else
      request.per_second = static_cast<std::uint64_t>(rate->get_int64());
  }
  if (const auto* dry = json::find(body, "dryRun"); dry && !dry->is_null()) {
    if (!dry->is_bool())
      faults.push_back({"/dryRun", "must be true or false"});
    else
      request.count_only = dry->get_bool();
  }
  if (!faults.empty()) return fail(faults);
  request.user = call.caller.client_id;
  auto report = call.context.connections.replay(connection->id, request);
  if (!report) return fail(report.error());
  bool started = !request.count_only && report->messages > 0;
  object result{{"messages", report->messages}, {"bytes", report->bytes}, {"complete", report->complete}};
  if (report->oldest_kept) result["oldestKept"] = format_time(*report->oldest_kept);
  result["started"] = started;
  if (started) log::info("connection {}: replay started by {}", connection->id, call.caller.client_id);
  return answer(result, started ? 202 : 200);
}

Response end_replay(Call& call) {
  auto connection = own_connection(call);
  if (!connection) return fail(connection.error());
  if (!call.context.connections.end_replay(connection->id))
    return fail("com-4004", "no replay runs for this connection");
  return no_content();
}

}  // namespace

void add_delivery(std::vector<Route>& routes) {
  auto add = [&](std::string_view method, std::string_view path, Access access, Handler handler,
                 Body body = Body::none) {
    routes.push_back({method, path, access, handler, body});
  };
  add("GET", "/iot-flow/v1/connections/{id}/queue", Access::reader, queue);
  add("DELETE", "/iot-flow/v1/connections/{id}/queue", Access::owner, purge);
  add("POST", "/iot-flow/v1/connections/{id}/pause", Access::writer, pause);
  add("POST", "/iot-flow/v1/connections/{id}/resume", Access::writer, resume);
  add("GET", "/iot-flow/v1/connections/{id}/deadLetters", Access::reader, list);
  add("DELETE", "/iot-flow/v1/connections/{id}/deadLetters", Access::owner, discard_all);
  add("POST", "/iot-flow/v1/connections/{id}/deadLetters/resend", Access::writer, resend_many, Body::any);
  add("GET", "/iot-flow/v1/connections/{id}/deadLetters/{letterId}", Access::reader, get);
  add("DELETE", "/iot-flow/v1/connections/{id}/deadLetters/{letterId}", Access::owner, discard_one);
  add("POST", "/iot-flow/v1/connections/{id}/deadLetters/{letterId}/resend", Access::writer, resend_one);
  add("POST", "/iot-flow/v1/connections/{id}/replay", Access::writer, replay, Body::json);
  add("DELETE", "/iot-flow/v1/connections/{id}/replay", Access::writer, end_replay);
}

}  // namespace sluice::api
