// SPDX-License-Identifier: Apache-2.0
// Connections (spec api.md 5). The store is written first, then the manager is told; both under one lock, so that the
// manager hears of changes in the order they were stored.
#include <algorithm>
#include <array>

#include "api/fields.h"
#include "api/router.h"
#include "base/codec.h"
#include "base/crypto.h"
#include "base/log.h"

namespace sluice::api {
namespace {

using boost::json::object;

constexpr std::string_view kMask = "*****";
// Where secrets go: one that is kept while these change may go to somebody else (spec api.md 5.5).
constexpr std::array<std::string_view, 8> kHostKeys = {"hostName",      "host",    "destinationURL",   "destinationUrl",
                                                       "accountPrefix", "hubName", "bootstrapServers", "proxy"};

const connector::Descriptor* descriptor(const Call& call, const object& resource) {
  return call.context.registry.find(json::text_or(resource, "connectorId"));
}

object configuration_of(const object& resource) {
  const auto* configuration = json::find(resource, "configuration");
  return configuration != nullptr && configuration->is_object() ? configuration->get_object() : object();
}

// The resource as it was sent, secrets included.
object whole(const store::Connection& connection) {
  auto resource = connection.resource;
  resource["configuration"] = connector::join_secrets(configuration_of(resource), connection.secrets);
  return resource;
}

object shown(const Call& call, const store::Connection& connection) {
  auto resource = connection.resource;
  auto configuration = connector::join_secrets(configuration_of(resource), connection.secrets);
  if (const auto* connector = descriptor(call, resource)) {
    configuration = connector::mask(*connector, std::move(configuration));
    connector::show_defaults(*connector, configuration);
    resource["configuration"] = std::move(configuration);
  }
  for (const char* list : {"alarms", "upOperations", "dlOperations"}) {
    const auto* value = json::find(resource, list);
    if (value != nullptr && value->is_array() && value->get_array().empty()) resource.erase(list);
  }
  if (const auto* until = resource.if_contains("debugUntil")) {
    if (until->is_int64() && until->get_int64() <= call.context.clock.now()) resource["debug"] = false;
    resource.erase("debugUntil");
  }
  resource["id"] = connection.id;
  auto status = call.context.connections.status(connection.id);
  resource["state"] = connection::to_string(status.state);
  if (status.startup_time) resource["startupTime"] = format_time(*status.startup_time);
  if (!status.reason.empty() && status.state != connection::State::opened &&
      status.state != connection::State::deactivated) {
    object reason{{"code", status.reason_code}, {"message", status.reason}, {"since", format_time(status.since)}};
    if (status.next_retry) reason["nextRetry"] = format_time(*status.next_retry);
    resource["stateReason"] = std::move(reason);
  }
  if (status.paused) resource["paused"] = true;
  if (allowed(call.caller, Access::controller)) {
    resource["downlinkUrl"] = call.context.public_url + "/iot-flow/downlinkMessages/" + connection.downlink_uuid;
  }
  return resource;
}

Response answer_connection(const Call& call, const store::Connection& connection, int status = 200) {
  auto response = answer(shown(call, connection), status);
  // A state of its own changes the answer without changing the resource: no 304 from the time alone.
  response.with("Last-Modified", http_date(connection.updated));
  response.etag = resource_tag(connection.updated, response.body);
  return response;
}

// What a request asks for: the resource with secrets in place, all faults at once.
struct Draft {
  object resource;
  const connector::Descriptor* connector = nullptr;
  bool kept_secret = false;
  std::vector<FieldFault> faults;
};

bool has_mask(const boost::json::value& value) {
  if (value.is_string()) return value.get_string() == kMask;
  if (value.is_array()) {
    for (const auto& item : value.get_array()) {
      if (has_mask(item)) return true;
    }
  }
  if (value.is_object()) {
    for (const auto& member : value.get_object()) {
      if (has_mask(member.value())) return true;
    }
  }
  return false;
}

// A connection that may send less than its alarm wants to see would raise it for ever (spec promises.md 1.10).
void check_rate(Draft& draft) {
  const auto& configuration = draft.resource.at("configuration").as_object();
  const auto* rate = json::find(configuration, "uplinkRateLimiter");
  const auto* alarms = json::find(draft.resource, "alarms");
  if (rate == nullptr || !rate->is_int64() || alarms == nullptr || !alarms->is_array()) return;
  for (const auto& alarm : alarms->get_array()) {
    if (!alarm.is_object()) continue;
    const auto* least = json::find(alarm.get_object(), "uplinkRateMinPerHour");
    if (least == nullptr || !least->is_int64() || rate->get_int64() >= 1'000'000) continue;
    if (rate->get_int64() * 3600 >= least->get_int64()) continue;
    draft.faults.push_back({"/configuration/uplinkRateLimiter",
                            "allows fewer uplinks an hour than the alarm's uplinkRateMinPerHour asks for"});
    return;
  }
}

void read_configuration(Draft& draft, const object* stored) {
  auto configuration = configuration_of(draft.resource);
  drop_nulls(configuration);
  draft.kept_secret = has_mask(configuration);
  // What every answer shows is stored: else writing back what was read would be a change, and a restart.
  connector::show_defaults(*draft.connector, configuration);
  auto faults = connector::keep_masked(*draft.connector, configuration, stored != nullptr ? *stored : object());
  for (auto& fault : connector::validate(*draft.connector, configuration, json::text_or(draft.resource, "brand"))) {
    auto same = [&](const auto& other) { return other.path == fault.path; };  // a mask without a secret says it all
    if (std::none_of(faults.begin(), faults.end(), same)) faults.push_back(std::move(fault));
  }
  for (auto& fault : faults)
    draft.faults.push_back({std::move(fault.path), std::move(fault.message)});
  draft.resource["configuration"] = std::move(configuration);
  check_rate(draft);
}

// An alarm's report goes through a connection of the same account alone.
void check_alarm_targets(const Call& call, const boost::json::array& alarms, std::vector<FieldFault>& faults) {
  std::size_t place = 0;
  for (const auto& alarm : alarms) {
    auto path = "/alarms/" + std::to_string(place++) + "/deliverTo";
    const auto* target = alarm.is_object() ? json::find(alarm.get_object(), "deliverTo") : nullptr;
    if (target == nullptr || !target->is_string() || enough(faults)) continue;
    auto found = call.context.store.connection(std::string(target->get_string()));
    if (!found || !*found || (*found)->account != call.caller.account)
      faults.push_back({path, "is no connection of this account"});
  }
}

Draft read(const Call& call, const object& body, const store::Connection* stored) {
  Draft draft;
  Fields fields(body, draft.resource, draft.faults);
  fields.text("connectorId", 1, 255, true);
  fields.text("name", 1, 255);
  fields.text("brand", 0, 255);
  fields.flag("active");
  fields.flag("debug");
  if (const auto* alarms = fields.array("alarms")) {
    check_alarms(alarms->get_array(), "/alarms", draft.faults);
    check_alarm_targets(call, alarms->get_array(), draft.faults);
  }
  if (const auto* up = fields.array("upOperations"))
    check_up_operations(up->get_array(), "/upOperations", draft.faults);
  if (const auto* down = fields.array("dlOperations")) {
    check_down_operations(down->get_array(), "/dlOperations", draft.faults);
  }
  const auto* configuration = fields.object("configuration", true);
  if (!draft.resource.contains("active")) draft.resource["active"] = true;
  if (stored != nullptr && draft.resource.contains("connectorId") &&
      draft.resource.at("connectorId") != stored->resource.at("connectorId")) {
    draft.faults.push_back({"/connectorId", "cannot be changed: make a new connection"});
    return draft;
  }
  draft.connector = descriptor(call, draft.resource);
  if (draft.connector == nullptr || configuration == nullptr) return draft;
  auto before =
      stored != nullptr ? connector::join_secrets(configuration_of(stored->resource), stored->secrets) : object();
  read_configuration(draft, stored != nullptr ? &before : nullptr);
  return draft;
}

// Debug mode switches itself off: its end goes with the resource, unseen, from the moment it was switched on. Of what
// is over nothing is left to switch.
void set_debug_end(const Call& call, const object* before, object& resource) {
  if (!json::bool_or(resource, "debug", false)) return;
  const auto* until = before != nullptr ? before->if_contains("debugUntil") : nullptr;
  bool goes_on = until != nullptr && until->is_int64() && until->get_int64() > call.context.clock.now();
  resource["debugUntil"] = goes_on ? until->get_int64() : call.context.clock.now() + call.context.debug_limit.count();
}

// One client id at one broker for two connections of an account: each would expel the other for ever (spec promises.md
// 1.10).
void check_client_id(const Call& call, const std::string& own_id, Draft& draft) {
  auto configuration = configuration_of(draft.resource);
  auto client_id = json::text_or(configuration, "clientId"), host = json::text_or(configuration, "hostName");
  if (client_id.empty() || host.empty()) return;
  auto others = call.context.store.connections(call.caller.account);
  if (!others) return;
  for (const auto& other : *others) {
    if (other.id == own_id) continue;
    auto theirs = configuration_of(other.resource);
    if (json::text_or(theirs, "clientId") != client_id ||
        !equals_ignoring_case(json::text_or(theirs, "hostName"), host))
      continue;
    draft.faults.push_back(
        {"/configuration/clientId",
         "is the clientId of connection " + other.id +
             " at the same hostName, too: the broker would end one for the other; give each its own"});
    return;
  }
}

// The draft as a row: secrets apart.
void put_into(const Draft& draft, store::Connection& connection) {
  connection.resource = draft.resource;
  auto [clear, secrets] = connector::split_secrets(*draft.connector, configuration_of(draft.resource));
  connection.resource["configuration"] = std::move(clear);
  connection.secrets = std::move(secrets);
}

void tell(const Call& call, const std::string& id, const char* what, boost::json::array changed = {}) {
  object data{{"connectionId", id}, {"user", call.caller.client_id}};
  if (!changed.empty()) data["changed"] = std::move(changed);
  call.context.events.add(call.caller.account, "info", "connection-1005", std::string("Connection ") + what,
                          std::move(data));
  log::info("connection {} {} by {}", id, what, call.caller.client_id);
}

void warn_of_unknown_keys(const Call& call, const Draft& draft, const std::string& id) {
  // One request may bring thousands: they would push all other events out.
  constexpr std::size_t kMost = 10;
  auto unknown = connector::unknown_keys(*draft.connector, configuration_of(draft.resource));
  if (unknown.size() > kMost) {
    call.context.events.add(call.caller.account, "warn", "connection-1008",
                            "Configuration has " + std::to_string(unknown.size()) + " unknown keys",
                            {{"connectionId", id}, {"count", unknown.size()}});
    unknown.resize(kMost);
  }
  for (const auto& [key, nearest] : unknown) {
    auto text = "Configuration has the unknown key " + key + (nearest.empty() ? "" : ": is " + nearest + " meant?");
    call.context.events.add(call.caller.account, "warn", "connection-1008", text, {{"connectionId", id}, {"key", key}});
  }
}

Response list(Call& call) {
  auto found = call.context.store.connections(call.caller.account);
  if (!found) return fail(found.error());
  auto text = call.request.parameter("q");
  auto connector = call.request.parameter("connectorId");
  auto state = call.request.parameter("state");
  auto active = call.request.parameter("active");
  // Filters look at what is stored; what is shown is made for the page alone.
  std::vector<const store::Connection*> fitting;
  for (const auto& connection : *found) {
    const auto& resource = connection.resource;
    if (connector && json::text_or(resource, "connectorId") != *connector) continue;
    if (active && (*active == "true") != json::bool_or(resource, "active", true)) continue;
    if (state &&
        !equals_ignoring_case(connection::to_string(call.context.connections.status(connection.id).state), *state)) {
      continue;
    }
    if (text) {
      const auto* configuration = json::find(resource, "configuration");
      auto description = configuration != nullptr && configuration->is_object()
                             ? json::text_or(configuration->get_object(), "description")
                             : std::string();
      auto brand = json::text_or(resource, "brand"), name = json::text_or(resource, "name");
      if (!contains_text({name, connection.id, brand, description}, *text)) continue;
    }
    fitting.push_back(&connection);
  }
  return answer_list(
      call, fitting.size(), [&](std::size_t i) { return shown(call, *fitting[i]); }, false);
}

Response get(Call& call) {
  auto connection = own_connection(call);
  return connection ? answer_connection(call, *connection) : fail(connection.error());
}

Response create(Call& call) {
  if (!call.body.is_object()) return fail({{"", "must be an object"}});
  auto draft = read(call, call.body.get_object(), nullptr);
  if (draft.connector == nullptr && draft.resource.contains("connectorId")) {
    return fail("com-4004", "there is no connector " + json::text_or(draft.resource, "connectorId"));
  }
  if (!draft.faults.empty()) return fail(draft.faults);
  set_debug_end(call, nullptr, draft.resource);
  store::Connection connection{.account = call.caller.account};
  put_into(draft, connection);
  std::lock_guard lock(call.state.configuration);
  check_client_id(call, "", draft);
  if (!draft.faults.empty()) return fail(draft.faults);
  auto made = call.context.store.insert_connection(std::move(connection));
  if (!made) return fail(made.error());
  if (!made->resource.contains("name")) {
    // The default name has the id in it, which is known only now.
    made->resource["name"] = json::text_or(made->resource, "connectorId") + " " + made->id;
    made = call.context.store.update_connection(std::move(*made));
    if (!made) return fail(made.error());
  }
  call.context.connections.apply(*made);
  tell(call, made->id, "created");
  warn_of_unknown_keys(call, draft, made->id);
  return answer_connection(call, *made, 201).with("Location", "/connections/" + made->id);
}

boost::json::array changed_names(const object& before, const object& after) {
  boost::json::array names;
  auto differs = [](const object& a, std::string_view key, const boost::json::value& value) {
    const auto* other = a.if_contains(key);
    return other == nullptr || *other != value;
  };
  for (const auto& member : after) {
    if (differs(before, member.key(), member.value())) names.emplace_back(member.key());
  }
  for (const auto& member : before) {
    if (!after.contains(member.key())) names.emplace_back(member.key());
  }
  return names;
}

void warn_of_moved_secret(const Call& call, const Draft& draft, const object& before, const std::string& id) {
  if (!draft.kept_secret) return;
  auto changed = changed_names(configuration_of(before), configuration_of(draft.resource));
  for (auto key : kHostKeys) {
    for (const auto& name : changed) {
      if (name.get_string() != key) continue;
      call.context.events.add(call.caller.account, "warn", "connection-1006", "Secret kept while its host changed",
                              {{"connectionId", id}, {"user", call.caller.client_id}});
      return;
    }
  }
}

Response store_change(Call& call, const store::Connection& before, Draft draft) {
  if (draft.connector != nullptr && draft.faults.empty()) check_client_id(call, before.id, draft);
  if (!draft.faults.empty()) return fail(draft.faults);
  if (draft.connector == nullptr) return fail("com-4004", "the connector of this connection is not part of this build");
  if (!draft.resource.contains("name")) {
    draft.resource["name"] = json::text_or(draft.resource, "connectorId") + " " + before.id;
  }
  auto old = whole(before);
  set_debug_end(call, &old, draft.resource);
  if (draft.resource == old) return answer_connection(call, before);
  auto connection = before;
  put_into(draft, connection);
  auto updated = call.context.store.update_connection(std::move(connection));
  if (!updated) return fail(updated.error());
  call.context.connections.apply(*updated);
  tell(call, updated->id, "updated", changed_names(old, draft.resource));
  warn_of_moved_secret(call, draft, old, updated->id);
  warn_of_unknown_keys(call, draft, updated->id);
  return answer_connection(call, *updated);
}

Response put(Call& call) {
  if (!call.body.is_object()) return fail({{"", "must be an object"}});
  std::lock_guard lock(call.state.configuration);
  auto before = own_connection(call);
  if (!before) return fail(before.error());
  if (auto refused = unmodified_check(call, before->updated)) return std::move(*refused);
  return store_change(call, *before, read(call, call.body.get_object(), &*before));
}

Response patch_with(Call& call, const boost::json::value& patch) {
  std::lock_guard lock(call.state.configuration);
  auto before = own_connection(call);
  if (!before) return fail(before.error());
  if (auto refused = unmodified_check(call, before->updated)) return std::move(*refused);
  boost::json::value merged = whole(*before);
  json::merge_patch(merged, patch);
  return store_change(call, *before, read(call, merged.get_object(), &*before));
}

Response patch(Call& call) {
  if (!call.body.is_object()) return fail({{"", "must be an object"}});
  return patch_with(call, call.body);
}

// start and stop are the same as a PATCH of `active` (spec api.md 5.4).
Response start(Call& call) {
  auto before = own_connection(call);
  if (!before) return fail(before.error());
  bool was_active = json::bool_or(before->resource, "active", true);
  auto response = patch_with(call, object{{"active", true}});
  if (!response.problem && was_active) {
    // One that is active and waits for its next try, or has given up, is tried at once.
    auto state = call.context.connections.status(call.params[0]).state;
    using connection::State;
    if (state == State::unreachable || state == State::authentication_failed || state == State::closed) {
      auto restarted = call.context.connections.restart(call.params[0]);
      if (!restarted) log::info("connection {} was not restarted: {}", call.params[0], restarted.error().text);
    }
  }
  return response.problem ? response : Response{.status = 202, .content_type = ""};
}

Response stop(Call& call) {
  auto response = patch_with(call, object{{"active", false}});
  return response.problem ? response : Response{.status = 202, .content_type = ""};
}

Response restart(Call& call) {
  auto connection = own_connection(call);
  if (!connection) return fail(connection.error());
  if (!json::bool_or(connection->resource, "active", true))
    return fail("com-4009", "the connection is not active: start it");
  if (auto done = call.context.connections.restart(connection->id); !done) return fail(done.error());
  log::info("connection {} restarted by {}", connection->id, call.caller.client_id);
  return {.status = 202, .content_type = ""};
}

bool names(const boost::json::value& target, const std::string& id) {
  return target.is_object() && json::text_or(target.get_object(), "connectionId") == id;
}

// Takes the connection out of a flow; a flow left without connectors stays, inactive.
void take_out(store::Flow& flow, const std::string& id) {
  boost::json::array left;
  for (auto& target : flow.resource.at("connectors").as_array()) {
    if (!names(target, id)) left.push_back(std::move(target));
  }
  if (left.empty()) flow.resource["active"] = false;
  flow.resource["connectors"] = std::move(left);
}

Response erase(Call& call) {
  std::lock_guard lock(call.state.configuration);
  auto connection = own_connection(call);
  if (!connection) return fail(connection.error());
  if (auto refused = unmodified_check(call, connection->updated)) return std::move(*refused);
  auto flows = call.context.store.flows(call.caller.account);
  if (!flows) return fail(flows.error());
  std::vector<store::Flow> using_it;
  boost::json::array ids;
  for (auto& flow : *flows) {
    const auto* targets = json::find(flow.resource, "connectors");
    if (targets == nullptr || !targets->is_array()) continue;
    const auto& list = targets->get_array();
    if (std::none_of(list.begin(), list.end(), [&](const auto& target) { return names(target, connection->id); }))
      continue;
    ids.emplace_back(flow.id);
    using_it.push_back(std::move(flow));
  }
  if (!using_it.empty() && !flag(call, "force")) {
    return fail("com-4009", "flows use this connection; ?force=true takes it out of them", {{"flows", std::move(ids)}});
  }
  for (auto& flow : using_it) {
    take_out(flow, connection->id);
    if (auto updated = call.context.store.update_flow(std::move(flow)); !updated) return fail(updated.error());
  }
  if (auto erased = call.context.store.erase_connection(connection->id); !erased) return fail(erased.error());
  if (!using_it.empty()) {
    if (auto reloaded = call.context.reload_flows(); !reloaded) return fail(reloaded.error());
  }
  call.context.connections.remove(connection->id);
  if (call.context.purge_downlinks) call.context.purge_downlinks(connection->id);
  tell(call, connection->id, "deleted");
  return no_content();
}

Response rotate(Call& call) {
  std::lock_guard lock(call.state.configuration);
  auto connection = own_connection(call);
  if (!connection) return fail(connection.error());
  connection->downlink_uuid = random_uuid();
  auto updated = call.context.store.update_connection(std::move(*connection));
  if (!updated) return fail(updated.error());
  call.context.connections.apply(*updated);
  tell(call, updated->id, "updated", {"downlinkUrl"});
  return answer_connection(call, *updated);
}

object metrics_of(const Call& call, const std::string& id) {
  using connection::Counter;
  auto counts = call.context.connections.windows(id);
  object result{{"connectionId", std::stoll(id)},
                {"activeThingsLast1h", counts.active_things_1h},
                {"activeThingsLast24h", counts.active_things_24h}};
  auto add = [&](const char* name, const char* ending, Counter counter) {
    auto index = static_cast<std::size_t>(counter);
    result[std::string(name) + "Last1h" + ending] = counts.last_1h[index];
    result[std::string(name) + "Last24h" + ending] = counts.last_24h[index];
  };
  add("uplinks", "", Counter::uplinks);
  add("uplinks", "Failed", Counter::uplinks_failed);
  add("uplinks", "Lost", Counter::uplinks_lost);
  add("downlinks", "", Counter::downlinks);
  add("downlinks", "Failed", Counter::downlinks_failed);
  add("downlinks", "Lost", Counter::downlinks_lost);
  auto pending = call.context.connections.status(id).pending;
  result["lag"] = std::min<std::uint64_t>(pending, INT32_MAX);
  return result;
}

Response metrics(Call& call) {
  auto connection = own_connection(call);
  return connection ? answer(metrics_of(call, connection->id)) : fail(connection.error());
}

Response all_metrics(Call& call) {
  auto found = call.context.store.connections(call.caller.account);
  if (!found) return fail(found.error());
  return answer_list(
      call, found->size(), [&](std::size_t i) { return metrics_of(call, (*found)[i].id); }, false);
}

}  // namespace

std::variant<store::Connection, Response> read_trial(Call& call) {
  if (!call.body.is_object()) return fail({{"", "must be an object"}});
  auto body = call.body.get_object();
  std::optional<store::Connection> stored;
  if (const auto* id = body.if_contains("id"); id != nullptr && !id->is_null()) {
    if (!id->is_string()) return fail({{"/id", "must be a string"}});
    auto found = own_connection(call, std::string(id->get_string()));
    if (!found) return fail(found.error());
    stored = std::move(*found);
  }
  // Only the id: the connection as it is.
  if (stored && !body.contains("configuration") && !body.contains("connectorId")) return std::move(*stored);
  auto draft = read(call, body, stored ? &*stored : nullptr);
  if (draft.connector == nullptr && draft.resource.contains("connectorId")) {
    return fail("com-4004", "there is no connector " + json::text_or(draft.resource, "connectorId"));
  }
  if (!draft.faults.empty()) return fail(draft.faults);
  store::Connection connection{.account = call.caller.account};
  put_into(draft, connection);
  return connection;
}

void add_connections(std::vector<Route>& routes) {
  routes.push_back({"GET", "/iot-flow/v1/connections", Access::reader, list});
  routes.push_back({"POST", "/iot-flow/v1/connections", Access::writer, create, Body::json});
  routes.push_back({"GET", "/iot-flow/v1/connections/metrics", Access::reader, all_metrics});
  routes.push_back({"GET", "/iot-flow/v1/connections/{id}", Access::reader, get});
  routes.push_back({"PUT", "/iot-flow/v1/connections/{id}", Access::writer, put, Body::json});
  routes.push_back({"PATCH", "/iot-flow/v1/connections/{id}", Access::writer, patch, Body::json});
  routes.push_back({"DELETE", "/iot-flow/v1/connections/{id}", Access::owner, erase});
  routes.push_back({"POST", "/iot-flow/v1/connections/{id}/restart", Access::writer, restart});
  routes.push_back({"POST", "/iot-flow/v1/connections/{id}/start", Access::writer, start});
  routes.push_back({"POST", "/iot-flow/v1/connections/{id}/stop", Access::writer, stop});
  routes.push_back({"GET", "/iot-flow/v1/connections/{id}/metrics", Access::reader, metrics});
  routes.push_back({"POST", "/iot-flow/v1/connections/{id}/downlinkUrl/rotate", Access::owner, rotate});
}

}  // namespace sluice::api
