// SPDX-License-Identifier: Apache-2.0
// Network servers attached (spec messages.md 8).
#include <algorithm>

#include "api/binder_resource.h"
#include "api/router.h"

namespace sluice::api {
namespace {

constexpr std::string_view kMask = "*****";

boost::json::object shown(const Call& call, const store::Binder& binder) {
  auto resource = binder.resource;
  resource["id"] = binder.id;
  if (!binder.as_key.empty()) resource["asKey"] = kMask;
  resource["uplinkUrl"] = call.context.public_url + "/iot-flow/tunnel/" + binder.id;
  return resource;
}

bool is_http_url(std::string_view url) {
  auto rest = url.starts_with("http://")    ? url.substr(7)
              : url.starts_with("https://") ? url.substr(8)
                                            : std::string_view();
  return !rest.empty() && rest.front() != '/' && rest.find_first_of(" \r\n\t#") == std::string_view::npos;
}

// The binder with what the body says in place of what it had; all faults at once.
std::vector<FieldFault> read(const boost::json::object& body, store::Binder& binder) {
  std::vector<FieldFault> faults;
  boost::json::object resource;
  auto text = [&](const char* name, std::size_t most) {
    const auto* value = json::find(body, name);
    if (value == nullptr) return std::string();
    if (!value->is_string() || value->get_string().size() > most) {
      faults.push_back({std::string("/") + name, "must be a text of at most " + std::to_string(most) + " characters"});
      return std::string();
    }
    resource[name] = value->get_string();
    return std::string(value->get_string());
  };
  if (text("type", 32) != "thingpark" && faults.empty()) faults.push_back({"/type", "must be \"thingpark\""});
  if (text("name", 255).empty() && (faults.empty() || faults.back().path != "/name"))
    faults.push_back({"/name", "is required"});
  auto as_id = text("asId", 255);
  auto url = text("downlinkUrl", 2000);
  if (!url.empty() && !is_http_url(url)) faults.push_back({"/downlinkUrl", "must be an absolute http or https URL"});
  auto deviation = text("maxTimeDeviation", 32);
  if (!deviation.empty() && !parse_duration(deviation))
    faults.push_back({"/maxTimeDeviation", "must be a duration as 5m"});

  const auto* security = json::find(body, "security");
  if (security != nullptr && !security->is_bool()) faults.push_back({"/security", "must be true or false"});
  bool secure = security == nullptr || !security->is_bool() || security->get_bool();
  resource["security"] = secure;

  const auto* key = json::find(body, "asKey");
  auto given = key != nullptr && key->is_string() ? std::string(key->get_string()) : std::string();
  if (key != nullptr && !key->is_string()) {
    faults.push_back({"/asKey", "must be a text"});
  } else if (given == kMask) {
    if (binder.as_key.empty()) faults.push_back({"/asKey", "is masked, and none is stored"});
  } else {
    if (given.size() > 255) faults.push_back({"/asKey", "must be a text of at most 255 characters"});
    binder.as_key = given;
  }
  auto faulty = [&](std::string_view path) {
    return std::any_of(faults.begin(), faults.end(), [&](const auto& fault) { return fault.path == path; });
  };
  if (secure && as_id.empty() && !faulty("/asId")) faults.push_back({"/asId", "is required unless security is false"});
  if (secure && binder.as_key.empty() && !faulty("/asKey"))
    faults.push_back({"/asKey", "is required unless security is false"});
  binder.resource = std::move(resource);
  return faults;
}

Result<store::Binder> own(const Call& call) {
  auto found = call.context.store.binder(call.params[0]);
  if (!found) return found.error();
  if (!*found || (*found)->account != call.caller.account) {
    return Error{ErrorKind::permanent, "there is no binder " + call.params[0], "com-4004"};
  }
  return std::move(**found);
}

Response list(Call& call) {
  auto found = call.context.store.binders(call.caller.account);
  if (!found) return fail(found.error());
  boost::json::array all;
  for (const auto& binder : *found)
    all.push_back(shown(call, binder));
  return answer_list(call, std::move(all), false);
}

Response get(Call& call) {
  auto binder = own(call);
  if (!binder) return fail(binder.error());
  return answer_resource(call, shown(call, *binder), binder->updated);
}

Response create(Call& call) {
  if (!call.body.is_object()) return fail({{"", "must be an object"}});
  store::Binder binder{.account = call.caller.account};
  if (auto faults = read(call.body.get_object(), binder); !faults.empty()) return fail(faults);
  std::lock_guard lock(call.state.configuration);
  auto made = call.context.store.insert_binder(std::move(binder));
  if (!made) return fail(made.error());
  if (auto reloaded = call.context.reload_binders(); !reloaded) return fail(reloaded.error());
  return answer_resource(call, shown(call, *made), made->updated, 201).with("Location", "/binders/" + made->id);
}

Response change(Call& call, bool patch) {
  if (!call.body.is_object()) return fail({{"", "must be an object"}});
  std::lock_guard lock(call.state.configuration);
  auto binder = own(call);
  if (!binder) return fail(binder.error());
  if (auto refused = unmodified_check(call, binder->updated)) return std::move(*refused);
  boost::json::value body = call.body;
  if (patch) {
    body = shown(call, *binder);
    json::merge_patch(body, call.body);
  }
  auto changed = *binder;
  if (auto faults = read(body.get_object(), changed); !faults.empty()) return fail(faults);
  if (changed.resource != binder->resource || changed.as_key != binder->as_key) {
    auto updated = call.context.store.update_binder(std::move(changed));
    if (!updated) return fail(updated.error());
    binder = std::move(updated);
    if (auto reloaded = call.context.reload_binders(); !reloaded) return fail(reloaded.error());
  }
  return answer_resource(call, shown(call, *binder), binder->updated);
}

Response put(Call& call) {
  return change(call, false);
}
Response patch(Call& call) {
  return change(call, true);
}

Response erase(Call& call) {
  std::lock_guard lock(call.state.configuration);
  auto binder = own(call);
  if (!binder) return fail(binder.error());
  if (auto refused = unmodified_check(call, binder->updated)) return std::move(*refused);
  if (auto erased = call.context.store.erase_binder(binder->id); !erased) return fail(erased.error());
  if (auto reloaded = call.context.reload_binders(); !reloaded) return fail(reloaded.error());
  return no_content();
}

}  // namespace

BinderHandlers binder_handlers() {
  return {list, create, get, put, patch, erase};
}

// Attaching a network server decides what comes into the account and who is answered: an owner's business (spec api.md
// 13).
void add_binders(std::vector<Route>& routes) {
  routes.push_back({"GET", "/iot-flow/v1/binders", Access::owner, list});
  routes.push_back({"POST", "/iot-flow/v1/binders", Access::owner, create, Body::json});
  routes.push_back({"GET", "/iot-flow/v1/binders/{id}", Access::owner, get});
  routes.push_back({"PUT", "/iot-flow/v1/binders/{id}", Access::owner, put, Body::json});
  routes.push_back({"PATCH", "/iot-flow/v1/binders/{id}", Access::owner, patch, Body::json});
  routes.push_back({"DELETE", "/iot-flow/v1/binders/{id}", Access::owner, erase});
}

}  // namespace sluice::api
