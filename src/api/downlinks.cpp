// SPDX-License-Identifier: Apache-2.0
// Commands for devices (spec api.md 12): by a connection's secret URL, or with a token. The answer waits for the
// network server, but no worker does.
#include <atomic>
#include <charconv>

#include "api/router.h"
#include "base/codec.h"

namespace sluice::api {
namespace {

constexpr std::size_t kMaxBody = 64 << 10;
constexpr std::size_t kMaxBatch = 100;
constexpr std::chrono::seconds kWait{10};

using boost::json::object;

std::optional<int> port_of(const object& configuration) {
  const auto* value = json::find(configuration, "downlinkPort");
  if (value == nullptr) return {};
  if (value->is_int64()) return static_cast<int>(value->get_int64());
  if (!value->is_string()) return {};
  const auto& text = value->get_string();
  int number = 0;
  auto end = std::from_chars(text.data(), text.data() + text.size(), number);
  return end.ec == std::errc() && end.ptr == text.data() + text.size() ? std::optional(number) : std::nullopt;
}

Response gateway(int status, std::string text) {
  auto response = fail("com-5000", std::move(text));
  response.status = status;
  return response;
}

Response answer_result(const flow::DownlinkResult& result) {
  using Status = flow::DownlinkResult::Status;
  switch (result.status) {
    case Status::accepted: {
      object body{{"correlationId", result.correlation_id}, {"DevEUI", result.dev_eui}, {"status", "QUEUED"}};
      if (result.pending) {
        body["pending"] = true;
        body["expires"] = format_time(result.expires);
      }
      return answer(body, 202);
    }
    case Status::invalid: {
      std::vector<FieldFault> faults;
      for (const auto& fault : result.faults)
        faults.push_back({fault.path, fault.message});
      if (faults.empty()) faults.push_back({"", result.text.empty() ? "not a downlink message" : result.text});
      return fail(faults);
    }
    case Status::driver_refused: {
      auto response = fail(result.code.empty() ? "com-5002" : result.code, result.text);
      response.status = 422;
      auto& data = response.problem->data;
      if (!result.driver_id.empty()) data["driverId"] = result.driver_id;
      if (!result.driver_errors.empty())
        data["driverErrors"] = boost::json::array(result.driver_errors.begin(), result.driver_errors.end());
      if (!result.warnings.empty())
        data["warnings"] = boost::json::array(result.warnings.begin(), result.warnings.end());
      return response;
    }
    case Status::network_refused:
      return gateway(502, "the network server refused: " + result.text);
    case Status::no_answer:
      return gateway(504, "the network server did not answer: " + result.text);
    case Status::no_network_server:
      return fail("com-4009", "no network server to send this downlink to: " + result.text);
    case Status::busy:
      return fail("com-5003", result.text.empty() ? "too many downlinks are waiting" : result.text);
  }
  return fail("com-5000", "internal error");
}

Response too_late() {
  return gateway(504, "the network server did not answer in 10 s; the downlink may still be sent");
}

// The answer for one of several: the body it would have had alone, and its status.
object part_of(const Response& response) {
  object part;
  if (response.problem) {
    part = {{"code", response.problem->code}, {"message", response.problem->message}};
    if (!response.problem->data.empty()) part["data"] = response.problem->data;
  } else if (auto parsed = json::parse(response.body); parsed && parsed->is_object()) {
    part = std::move(parsed->get_object());
  }
  part["httpStatus"] = response.status;
  return part;
}

// What the later answer needs; nothing of the request's. What becomes of a downlink is counted where it is handled.
struct Way {
  decltype(Context::handle_downlink) handle;
  flow::DownlinkSource source;

  void send(std::string body, std::function<void(Response)> done) const {
    handle(source, std::move(body),
           [done = std::move(done)](const flow::DownlinkResult& result) { done(answer_result(result)); });
  }
};

void send_all(const Way& way, std::vector<std::string> bodies, std::function<void(Response)> done) {
  struct Batch {
    std::mutex mutex;
    boost::json::array parts;
    std::size_t left;
    std::function<void(Response)> done;
  };
  auto batch = std::make_shared<Batch>();
  batch->parts.resize(bodies.size());
  batch->left = bodies.size();
  batch->done = std::move(done);
  for (std::size_t i = 0; i < bodies.size(); ++i) {
    way.send(std::move(bodies[i]), [batch, i](const Response& response) {
      std::unique_lock lock(batch->mutex);
      batch->parts[i] = part_of(response);
      if (--batch->left > 0) return;
      lock.unlock();
      batch->done(answer(batch->parts, 202));
    });
  }
}

// JSON to hand on: XML as the JSON it stands for; without a body, the query of a tunnel's downlink (spec messages.md
// 8.4), which a customer sends who talks to us as to his network server.
Result<std::string> json_of(const Request& request, bool has_key) {
  if (trim(request.body).empty()) {
    auto read = message::downlink_of_query(request.query);
    if (!read) return request.body;
    if (!has_key) return std::move(*read);
    // He signs with the key that he and we share; the network server knows the connection's own.
    auto document = json::parse(*read);
    if (!document) return request.body;
    auto& root = document->as_object().begin()->value().as_object();
    for (const char* name : {"Token", "Time", "AS_ID"})
      root.erase(name);
    return json::write(*document);
  }
  if (trim(request.body).starts_with('<')) {
    auto read = message::xml_to_json(request.body);
    if (!read) return Error{ErrorKind::permanent, read.error().text, "com-4000"};
    return read;
  }
  return request.body;
}

// A downlink that is dropped because its connection takes none.
Response not_taken(const Call& call, const std::string& id, const char* why) {
  call.context.connections.count(id, connection::Counter::downlinks);
  call.context.connections.count(id, connection::Counter::downlinks_lost);
  return fail("com-4009", why);
}

Response send(Call& call, const store::Connection& connection) {
  const auto& resource = connection.resource;
  if (!json::bool_or(resource, "active", true)) {
    return not_taken(call, connection.id, "the connection is deactivated");
  }
  const auto* found = json::find(resource, "configuration");
  auto configuration = connector::join_secrets(found != nullptr && found->is_object() ? found->get_object() : object(),
                                               connection.secrets);
  if (!json::bool_or(configuration, "downlinkEnabled", true)) {
    return not_taken(call, connection.id, "downlinks are not enabled on this connection");
  }
  auto body = json_of(call.request, !json::text_or(configuration, "downlinkAsKey").empty());
  if (!body) return fail(body.error());
  Way way{.handle = call.context.handle_downlink,
          .source = {.account = connection.account,
                     .connection_id = connection.id,
                     .defaults = {.as_id = json::text_or(configuration, "downlinkAsId"),
                                  .as_key = json::text_or(configuration, "downlinkAsKey"),
                                  .fport = port_of(configuration)},
                     .bare_allowed = true,
                     .keep = json::bool_or(configuration, "queueDownlinks", true),
                     .check_device = json::bool_or(configuration, "checkDevice", false)}};
  Response response;
  if (!trim(*body).starts_with('[')) {
    response.later = Later{.start = [way = std::move(way), body = std::move(*body)](
                                        std::function<void(Response)> done) { way.send(body, std::move(done)); },
                           .limit = kWait,
                           .too_late = too_late};
    return response;
  }
  auto parsed = json::parse(*body);
  if (!parsed) return fail(parsed.error());
  std::vector<std::string> bodies;
  for (const auto& item : parsed->as_array())
    bodies.push_back(json::write(item));
  if (bodies.empty() || bodies.size() > kMaxBatch) {
    return fail({{"", "a list must have 1 to " + std::to_string(kMaxBatch) + " downlinks"}});
  }
  response.later = Later{.start = [way = std::move(way), bodies = std::move(bodies)](
                                      std::function<void(Response)> done) { send_all(way, bodies, std::move(done)); },
                         .limit = kWait,
                         .too_late = too_late};
  return response;
}

Response by_uuid(Call& call) {
  if (call.request.body.size() > kMaxBody) return fail("com-4013", "a downlink may have at most 65536 bytes");
  auto now = call.context.clock.now();
  const auto& uuid = call.params[0];
  if (uuid.size() > 64) return fail("com-4004", "there is no such downlink URL");
  auto found = call.context.store.connection_of_downlink(uuid);
  if (!found) return fail(found.error());
  if (!*found) return fail("com-4004", "there is no such downlink URL");
  if (auto most = call.context.downlinks_per_second; most > 0) {
    if (auto wait = call.state.downlinks.wait(uuid, now)) {
      return fail("com-4029", "more than " + std::to_string(most) +
                                  " requests a second to this URL: send lists of downlinks, or with a token")
          .with("Retry-After", std::to_string((wait->count() + 999) / 1000));
    }
    call.state.downlinks.record(uuid, now);
  }
  return send(call, **found);
}

Response by_id(Call& call) {
  if (call.request.body.size() > kMaxBody) return fail("com-4013", "a downlink may have at most 65536 bytes");
  auto found = own_connection(call);
  return found ? send(call, *found) : fail(found.error());
}

// What waits for a network server: {count, items}, oldest first.
Response queued(Call& call) {
  auto found = own_connection(call);
  if (!found) return fail(found.error());
  auto page = read_page(call);
  if (!page) return fail(page.error());
  auto waiting = call.context.queued_downlinks(found->id, page->offset(), page->per_page);
  boost::json::array items;
  for (const auto& one : waiting.items) {
    object item{{"id", std::to_string(one.id)}, {"DevEUI", one.dev_eui}};
    if (one.fport) item["FPort"] = *one.fport;
    if (!one.correlation_id.empty()) item["correlationId"] = one.correlation_id;
    item["queued"] = format_time(one.queued);
    item["expires"] = format_time(one.expires);
    item["tries"] = one.tries;
    item["inFlight"] = one.in_flight;
    if (!one.last_error.empty()) item["lastError"] = one.last_error;
    items.push_back(std::move(item));
  }
  auto response = answer(object{{"count", waiting.total}, {"items", std::move(items)}});
  add_page_headers(call, *page, waiting.total, response);
  return response;
}

Response purge(Call& call) {
  auto found = own_connection(call);
  if (!found) return fail(found.error());
  call.context.purge_downlinks(found->id);
  return no_content();
}

}  // namespace

void add_downlinks(std::vector<Route>& routes) {
  routes.push_back({"POST", "/iot-flow/downlinkMessages/{uuid}", Access::open, by_uuid, Body::any});
  routes.push_back({"POST", "/iot-flow/v1/connections/{id}/downlinks", Access::controller, by_id, Body::any});
  routes.push_back({"GET", "/iot-flow/v1/connections/{id}/downlinks/queue", Access::reader, queued});
  routes.push_back({"DELETE", "/iot-flow/v1/connections/{id}/downlinks/queue", Access::owner, purge});
}

}  // namespace sluice::api
