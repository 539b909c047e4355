// SPDX-License-Identifier: Apache-2.0
// Flows (spec api.md 6).
#include <algorithm>
#include <set>

#include "api/fields.h"
#include "api/router.h"
#include "base/codec.h"
#include "base/log.h"

namespace sluice::api {
namespace {

using boost::json::object;

constexpr std::size_t kMaxMatchers = 100'000;
constexpr std::string_view kAuto = "actility:auto:1";
// Two flows without matchers would both claim what nobody else does.
constexpr std::string_view kCatchAll = "everything else";

// "lora:<16 hex digits>" without dashes; empty where the key is none.
std::string clean_key(std::string_view text) {
  if (!equals_ignoring_case(text.substr(0, 5), "lora:")) return {};
  std::string digits;
  for (char c : text.substr(5)) {
    if (c != '-') digits += c;
  }
  return digits.size() == 16 && is_hex(digits) ? "lora:" + digits : std::string();
}

std::string canonical_module(const object& matcher, const char* name) {
  const auto* module = json::find(matcher, name);
  if (module == nullptr) return "-";
  const auto& o = module->get_object();
  return json::write(boost::json::array{to_lower(json::text_or(o, "producerId")),
                                        to_lower(json::text_or(o, "moduleId")), to_lower(json::text_or(o, "version"))});
}

// What two flows may not both declare: lower-cased, tags sorted and without doubles.
std::string canonical(const object& matcher) {
  if (json::text_or(matcher, "type") == "key") return to_lower(json::text_or(matcher, "key"));
  std::set<std::string> tags;
  if (const auto* list = json::find(matcher, "tags")) {
    for (const auto& tag : list->get_array())
      tags.insert(to_lower(tag.get_string()));
  }
  boost::json::array sorted(tags.begin(), tags.end());
  return "thing " + json::write(sorted) + canonical_module(matcher, "model") + canonical_module(matcher, "application");
}

std::set<std::string> definitions(const object& flow) {
  std::set<std::string> all;
  for (const auto& matcher : flow.at("matchers").as_array())
    all.insert(canonical(matcher.as_object()));
  if (all.empty()) all.insert(std::string(kCatchAll));
  return all;
}

void check_module(const object& matcher, const char* name, const std::string& path, std::vector<FieldFault>& faults) {
  const auto* module = json::find(matcher, name);
  if (module == nullptr) return;
  bool sound = module->is_object();
  for (const char* part : {"producerId", "moduleId", "version"}) {
    sound = sound && !json::text_or(module->get_object(), part).empty();
  }
  if (!sound) faults.push_back({path + "/" + name, "must have producerId, moduleId and version"});
}

void check_matcher(boost::json::value& value, const std::string& path, std::vector<FieldFault>& faults) {
  if (!value.is_object()) return faults.push_back({path, "must be an object"});
  auto& matcher = value.get_object();
  drop_nulls(matcher);
  auto type = json::text_or(matcher, "type");
  if (type == "key") {
    auto key = clean_key(json::text_or(matcher, "key"));
    if (key.empty()) return faults.push_back({path + "/key", "must be lora: and the 16 hex digits of a DevEUI"});
    matcher["key"] = key;
    return;
  }
  if (type != "thing") return faults.push_back({path + "/type", "must be key or thing"});
  const auto* tags = json::find(matcher, "tags");
  bool sound = tags == nullptr || tags->is_array();
  if (sound && tags != nullptr) {
    for (const auto& tag : tags->get_array())
      sound = sound && tag.is_string() && !tag.get_string().empty();
  }
  if (!sound) return faults.push_back({path + "/tags", "must be a list of texts"});
  check_module(matcher, "model", path, faults);
  check_module(matcher, "application", path, faults);
  bool no_tags = tags == nullptr || tags->get_array().empty();
  if (no_tags && !matcher.contains("model") && !matcher.contains("application")) {
    faults.push_back({path, "a thing matcher needs tags, model or application: it would match every thing"});
  }
}

void check_target(const Call& call, boost::json::value& value, const std::string& path,
                  std::vector<FieldFault>& faults) {
  if (!value.is_object()) return faults.push_back({path, "must be an object"});
  auto& target = value.get_object();
  drop_nulls(target);
  auto connector = json::text_or(target, "id");
  auto id = json::text_or(target, "connectionId");
  if (connector.empty()) faults.push_back({path + "/id", "is required: the connector's id"});
  auto found = call.context.store.connection(id);
  if (!found || !*found || (*found)->account != call.caller.account) {
    faults.push_back(
        {path + "/connectionId", id.empty() ? "is required" : "there is no connection " + id.substr(0, 64)});
  } else if (!connector.empty() && json::text_or((*found)->resource, "connectorId") != connector) {
    faults.push_back({path + "/id", "connection " + id + " is of " + json::text_or((*found)->resource, "connectorId")});
  }
  if (const auto* validity = json::find(target, "uplinkTimeValidity")) {
    if (!validity->is_string() || !parse_duration(validity->get_string())) {
      faults.push_back({path + "/uplinkTimeValidity", "must be a duration as 72h or 3d12h"});
    }
  }
  if (const auto* configuration = json::find(target, "configuration");
      configuration != nullptr && !configuration->is_object()) {
    faults.push_back({path + "/configuration", "must be an object"});
  }
}

// The resource to store, all faults at once.
std::vector<FieldFault> read(const Call& call, const object& body, object& resource) {
  std::vector<FieldFault> faults;
  Fields fields(body, resource, faults);
  fields.text("name", 0, 255);
  fields.text("description", 0, 4096);
  fields.flag("skipDecoding");
  fields.flag("active");
  if (const auto* driver = fields.object("driver")) {
    auto id = json::text_or(driver->get_object(), "id");
    if (id.empty()) faults.push_back({"/driver/id", "is required"});
    resource["driver"] = object{{"id", id}};
  }
  if (const auto* up = fields.array("upOperations")) check_up_operations(up->get_array(), "/upOperations", faults);
  if (fields.array("matchers") == nullptr) resource["matchers"] = boost::json::array();
  auto& matchers = resource["matchers"].get_array();
  if (matchers.size() > kMaxMatchers) {
    faults.push_back({"/matchers", "may have at most " + std::to_string(kMaxMatchers) + " entries"});
    return faults;
  }
  for (std::size_t i = 0; i < matchers.size() && !enough(faults); ++i)
    check_matcher(matchers[i], "/matchers/" + std::to_string(i), faults);
  if (fields.array("connectors", true) == nullptr) return faults;
  auto& targets = resource["connectors"].get_array();
  for (std::size_t i = 0; i < targets.size() && !enough(faults); ++i)
    check_target(call, targets[i], "/connectors/" + std::to_string(i), faults);
  return faults;
}

// The account's matchers, read from the store where they are not known yet. Needs State::configuration.
Result<std::unordered_map<std::string, std::string>*> index(const Call& call) {
  auto& matchers = call.state.matchers;
  auto known = matchers.find(call.caller.account);
  if (known != matchers.end()) return &known->second;
  auto flows = call.context.store.flows(call.caller.account);
  if (!flows) return flows.error();
  auto& made = matchers[call.caller.account];
  for (const auto& flow : *flows) {
    for (auto& definition : definitions(flow.resource))
      made.emplace(definition, flow.id);
  }
  return &made;
}

// 409 where another flow has one of the definitions.
std::optional<Response> conflict(const Call& call, const std::set<std::string>& wanted, const std::string& own_id) {
  auto known = index(call);
  if (!known) return fail(known.error());
  for (const auto& definition : wanted) {
    auto found = (*known)->find(definition);
    if (found == (*known)->end() || found->second == own_id) continue;
    return fail("com-4009",
                definition == kCatchAll ? "another flow without matchers takes everything else already"
                                        : "another flow has the same matcher: " + definition.substr(0, 200),
                {{"flowId", found->second}});
  }
  return {};
}

void reindex(const Call& call, const std::string& id, const std::set<std::string>& before,
             const std::set<std::string>& after) {
  auto& known = call.state.matchers[call.caller.account];
  for (const auto& definition : before)
    known.erase(definition);
  for (const auto& definition : after)
    known.emplace(definition, id);
}

void warn_of_unknown_driver(const Call& call, const store::Flow& flow) {
  const auto* driver = json::find(flow.resource, "driver");
  if (driver == nullptr) return;
  auto id = json::text_or(driver->get_object(), "id");
  if (id == kAuto) return;
  for (const auto& account : {call.caller.account, std::string()}) {
    auto found = call.context.store.driver(account, id);
    if (found && *found) return;
  }
  call.context.events.add(call.caller.account, "warn", "driver-2003",
                          "Flow names an unknown driver: nothing is decoded", {{"driverId", id}, {"flowId", flow.id}});
}

object shown(const store::Flow& flow) {
  auto resource = flow.resource;
  resource["id"] = flow.id;
  return resource;
}

Result<store::Flow> own(const Call& call) {
  auto found = call.context.store.flow(call.params[0]);
  if (!found) return found.error();
  if (!*found || (*found)->account != call.caller.account) {
    return Error{ErrorKind::permanent, "there is no flow " + call.params[0], "com-4004"};
  }
  return std::move(**found);
}

Response list(Call& call) {
  auto found = call.context.store.flows(call.caller.account);
  if (!found) return fail(found.error());
  return answer_list(
      call, found->size(), [&](std::size_t i) { return shown((*found)[i]); }, true);
}

Response get(Call& call) {
  auto flow = own(call);
  return flow ? answer_resource(call, shown(*flow), flow->updated) : fail(flow.error());
}

Response create(Call& call) {
  if (!call.body.is_object()) return fail({{"", "must be an object"}});
  std::lock_guard lock(call.state.configuration);
  store::Flow flow{.account = call.caller.account};
  if (auto faults = read(call, call.body.get_object(), flow.resource); !faults.empty()) return fail(faults);
  auto wanted = definitions(flow.resource);
  if (auto refused = conflict(call, wanted, "")) return std::move(*refused);
  auto made = call.context.store.insert_flow(std::move(flow));
  if (!made) return fail(made.error());
  reindex(call, made->id, {}, wanted);
  if (auto reloaded = call.context.reload_flows(); !reloaded) return fail(reloaded.error());
  warn_of_unknown_driver(call, *made);
  log::info("flow {} created by {}", made->id, call.caller.client_id);
  return answer_resource(call, shown(*made), made->updated, 201).with("Location", "/flows/" + made->id);
}

Response change(Call& call, bool patch) {
  if (!call.body.is_object()) return fail({{"", "must be an object"}});
  std::lock_guard lock(call.state.configuration);
  auto flow = own(call);
  if (!flow) return fail(flow.error());
  if (auto refused = unmodified_check(call, flow->updated)) return std::move(*refused);
  boost::json::value body = call.body;
  if (patch) {
    body = flow->resource;
    json::merge_patch(body, call.body);
  }
  auto changed = *flow;
  changed.resource = {};
  if (auto faults = read(call, body.get_object(), changed.resource); !faults.empty()) return fail(faults);
  if (changed.resource == flow->resource) return answer_resource(call, shown(*flow), flow->updated);
  auto wanted = definitions(changed.resource);
  if (auto refused = conflict(call, wanted, flow->id)) return std::move(*refused);
  auto updated = call.context.store.update_flow(std::move(changed));
  if (!updated) return fail(updated.error());
  reindex(call, flow->id, definitions(flow->resource), wanted);
  if (auto reloaded = call.context.reload_flows(); !reloaded) return fail(reloaded.error());
  warn_of_unknown_driver(call, *updated);
  log::info("flow {} updated by {}", updated->id, call.caller.client_id);
  return answer_resource(call, shown(*updated), updated->updated);
}

Response put(Call& call) {
  return change(call, false);
}
Response patch(Call& call) {
  return change(call, true);
}

Response erase(Call& call) {
  std::lock_guard lock(call.state.configuration);
  auto flow = own(call);
  if (!flow) return fail(flow.error());
  if (auto refused = unmodified_check(call, flow->updated)) return std::move(*refused);
  if (auto known = index(call); !known) return fail(known.error());
  if (auto erased = call.context.store.erase_flow(flow->id); !erased) return fail(erased.error());
  reindex(call, flow->id, definitions(flow->resource), {});
  if (auto reloaded = call.context.reload_flows(); !reloaded) return fail(reloaded.error());
  log::info("flow {} deleted by {}", flow->id, call.caller.client_id);
  return no_content();
}

}  // namespace

void add_flows(std::vector<Route>& routes) {
  routes.push_back({"GET", "/iot-flow/v1/flows", Access::reader, list});
  routes.push_back({"POST", "/iot-flow/v1/flows", Access::writer, create, Body::json});
  routes.push_back({"GET", "/iot-flow/v1/flows/{id}", Access::reader, get});
  routes.push_back({"PUT", "/iot-flow/v1/flows/{id}", Access::writer, put, Body::json});
  routes.push_back({"PATCH", "/iot-flow/v1/flows/{id}", Access::writer, patch, Body::json});
  routes.push_back({"DELETE", "/iot-flow/v1/flows/{id}", Access::owner, erase});
}

}  // namespace sluice::api
