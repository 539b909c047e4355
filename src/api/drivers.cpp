// SPDX-License-Identifier: Apache-2.0
// Drivers (spec api.md 7, drivers.md 16).
#include <algorithm>
#include <array>
#include <set>

#include "api/driver_calls.h"
#include "api/driver_resource.h"
#include "base/codec.h"
#include "base/log.h"

namespace sluice::api {
namespace {

using boost::json::object;

constexpr std::string_view kAuto = "actility:auto:1";
constexpr std::string_view kCustom = "custom";
constexpr std::array<std::string_view, 12> kLite = {"id",       "name",    "description",   "producerId",
                                                    "moduleId", "source",  "version",       "application",
                                                    "type",     "private", "systemVersion", "importedFrom"};

// The stand-in for "choose by the device" (spec api.md 7).
object auto_driver() {
  return {{"id", kAuto},
          {"name", "Automatic"},
          {"description", "Chooses the driver by the device's DriverCfg"},
          {"producerId", "actility"},
          {"moduleId", "auto"},
          {"source", "system"},
          {"version", "1.0.0"},
          {"application", object{{"producerId", "actility"}, {"moduleId", "auto"}, {"version", "1"}}},
          {"type", "thingpark-x-js"},
          {"private", true}};
}

object lite(const object& resource) {
  object result;
  for (auto key : kLite) {
    if (const auto* value = json::find(resource, key)) result[key] = *value;
  }
  return result;
}

// How the driver does for this account: calls in a row without an error, since the program started.
void add_sequences(const Call& call, const std::string& id, object& resource) {
  auto sequences = call.context.journal.statistics().sequences(call.caller.account, id);
  resource["decodedUplinksSequenceWoError"] = sequences[0];
  resource["decodedDownlinksSequenceWoError"] = sequences[1];
  resource["encodedDownlinksSequenceWoError"] = sequences[2];
}

// The code of a private driver is shown to nobody but its owner (spec drivers.md 16.4).
object full(const Call& call, const store::Driver& driver) {
  auto resource = driver.resource;
  resource.erase("models");
  if (!is_hidden(call, driver)) {
    if (!driver.code.empty()) resource["code"] = to_base64(driver.code);
    if (!driver.extract_points.empty()) resource["extractPoints"] = to_base64(driver.extract_points);
  }
  add_sequences(call, driver.id, resource);
  if (json::text_or(resource, "source") == "imported") {
    auto system = call.context.store.driver("", driver.id);
    if (system && *system) resource["systemVersion"] = json::text_or((*system)->resource, "version");
  }
  return resource;
}

struct Filter {
  explicit Filter(const Call& call)
      : text(call.request.parameter("q")),
        source(call.request.parameter("source")),
        provider(call.request.parameter("provider")),
        manufacturer(call.request.parameter("manufacturer")),
        protocol(call.request.parameter("protocolId")) {}

  [[nodiscard]] bool fits(const object& driver) const {
    const auto* found = json::find(driver, "application");
    auto application = found != nullptr && found->is_object() ? found->get_object() : object();
    auto producer = json::text_or(application, "producerId");
    auto protocol_id =
        producer + ":" + json::text_or(application, "moduleId") + ":" + json::text_or(application, "version");
    if (source && json::text_or(driver, "source") != *source) return false;
    if (provider && json::text_or(driver, "producerId") != *provider) return false;
    if (manufacturer && producer != *manufacturer) return false;
    if (protocol && !equals_ignoring_case(protocol_id, *protocol)) return false;
    return !text ||
           contains_text({json::text_or(driver, "name"), json::text_or(driver, "id"),
                          json::text_or(driver, "description"), json::text_or(application, "moduleId"), models(driver)},
                         *text);
  }

  // All models as one text, as "producer:module:version" each.
  static std::string models(const object& driver) {
    std::string result;
    const auto* list = json::find(driver, "models");
    if (list == nullptr || !list->is_array()) return result;
    for (const auto& model : list->get_array()) {
      if (!model.is_object()) continue;
      for (const char* part : {"producerId", "moduleId", "version"})
        result += json::text_or(model.get_object(), part) + (part[0] == 'v' ? "\n" : ":");
    }
    return result;
  }

  std::optional<std::string> text, source, provider, manufacturer, protocol;
};

// What the account sees, by id: an own driver stands in for the system one of the same id.
Result<std::vector<store::Driver>> all_visible(const Call& call) {
  auto found = call.context.store.drivers(call.caller.account);
  if (!found) return found.error();
  std::vector<store::Driver> result;
  for (auto& driver : *found) {
    // Ordered by id, then account: "" comes first and is overridden.
    if (!result.empty() && result.back().id == driver.id) result.pop_back();
    result.push_back(std::move(driver));
  }
  return result;
}

Response list(Call& call) {
  auto found = all_visible(call);
  if (!found) return fail(found.error());
  Filter filter(call);
  std::vector<const store::Driver*> fitting;
  if (filter.fits(auto_driver())) fitting.push_back(nullptr);
  for (const auto& driver : *found) {
    if (filter.fits(driver.resource)) fitting.push_back(&driver);
  }
  return answer_list(
      call, fitting.size(),
      [&](std::size_t i) -> object {
        if (fitting[i] == nullptr) return auto_driver();
        auto item = lite(fitting[i]->resource);
        add_sequences(call, fitting[i]->id, item);
        return item;
      },
      true);
}

Response distinct(Call& call, bool manufacturers) {
  auto found = all_visible(call);
  if (!found) return fail(found.error());
  auto text = call.request.parameter("q");
  auto source = call.request.parameter("source");
  std::set<std::string> names;
  for (const auto& driver : *found) {
    if (source && json::text_or(driver.resource, "source") != *source) continue;
    auto name = json::text_or(driver.resource, "producerId");
    const auto* application = json::find(driver.resource, "application");
    if (manufacturers) name = application != nullptr ? json::text_or(application->as_object(), "producerId") : "";
    if (!name.empty() && (!text || contains_text({name}, *text))) names.insert(name);
  }
  return answer_list(call, boost::json::array(names.begin(), names.end()), false);
}

Response providers(Call& call) {
  return distinct(call, false);
}
Response manufacturers(Call& call) {
  return distinct(call, true);
}

Response get(Call& call) {
  if (call.params[0] == kAuto) return answer(auto_driver());
  auto driver = visible_driver(call, call.params[0]);
  return driver ? answer_resource(call, full(call, *driver), driver->updated) : fail(driver.error());
}

// The code evaluated: it parses and offers what its type promises.
std::optional<Response> check_code(const Call& call, const store::Driver& driver,
                                   driver::Engine::Inspection& inspection) {
  auto found = call.context.inspect_driver(inspected_of(driver));
  if (!found) {
    auto response = fail(found.error());
    if (found.error().code.starts_with("com-500") && found.error().code != "com-5003") response.status = 400;
    return response;
  }
  if (!found->decode_uplink && !found->decode_downlink && !found->encode_downlink) {
    return fail("com-4000",
                "unable to wrap driver, driver code must have one type of signatures (tpx, ttn, chirpstack)");
  }
  inspection = *found;
  return {};
}

// Code that is trusted may do more, so only an Owner says so, and only an Owner changes what is trusted.
std::optional<Response> check_trust(const Call& call, const store::Driver* before, const store::Driver& after) {
  if (call.caller.role == store::Role::owner) return {};
  bool was = before != nullptr && json::bool_or(before->resource, "trusted", false);
  bool is = json::bool_or(after.resource, "trusted", false);
  if (is && !was) return fail("com-4003", "only an Owner may declare a driver trusted");
  if (is && (before->code != after.code || before->extract_points != after.extract_points))
    return fail("com-4003", "only an Owner may change the code of a trusted driver");
  return {};
}

std::optional<Response> check_examples(const Call& call, const store::Driver& driver,
                                       const driver::Engine::Inspection& inspection) {
  const auto* examples = json::find(driver.resource, "examples");
  if (!flag(call, "checkExamples") || examples == nullptr) return {};
  auto code = loose_driver(driver.account, driver, inspection.signature);
  std::vector<FieldFault> faults;
  const auto& list = examples->get_array();
  for (std::size_t i = 0; i < list.size(); ++i) {
    auto result = run_example(call.context, code, inspection, list[i].get_object());
    if (json::bool_or(result, "ok", false)) continue;
    faults.push_back({"/examples/" + std::to_string(i),
                      "\"" + json::text_or(list[i].get_object(), "description") + "\" gives " + json::write(result)});
  }
  if (faults.empty()) return {};
  return fail(faults);
}

// A system driver that may be copied: its code is not hidden.
Result<store::Driver> to_copy(const Call& call, const std::string& id, const std::string& account) {
  auto found = call.context.store.driver(account, id);
  if (!found) return found.error();
  if (!*found) {
    return Error{ErrorKind::permanent, (account.empty() ? "there is no system driver " : "there is no driver ") + id,
                 "com-4004"};
  }
  if (is_hidden(call, **found)) {
    return Error{ErrorKind::permanent, "this feature is not available for a private driver", "com-4003"};
  }
  return std::move(**found);
}

// Stores a new driver, puts it in force and answers it.
Response add(Call& call, store::Driver driver, const char* how) {
  // Trust was given to the code it came with by whoever may give it.
  if (call.caller.role != store::Role::owner) driver.resource.erase("trusted");
  std::lock_guard lock(call.state.configuration);
  auto made = call.context.store.insert_driver(std::move(driver));
  if (!made) return fail(made.error());
  if (auto reloaded = call.context.reload_drivers(); !reloaded) return fail(reloaded.error());
  log::info("driver {} {} by {}", made->id, how, call.caller.client_id);
  return answer_resource(call, full(call, *made), made->updated, 201)
      .with("Location", "/drivers/" + url_encode(made->id));
}

// Override (spec drivers.md 16.3): a copy under the same id that stands in for the system driver.
Response import_system(Call& call, const std::string& id) {
  auto copy = to_copy(call, id, "");
  if (!copy) return fail(copy.error());
  copy->account = call.caller.account;
  copy->resource["source"] = "imported";
  return add(call, std::move(*copy), "imported");
}

void name_custom(store::Driver& driver) {
  auto version = semver(json::text_or(driver.resource, "version"));
  driver.id = std::string(kCustom) + ":" + json::text_or(driver.resource, "moduleId") + ":" +
              std::to_string(version ? (*version)[0] : 0);
  driver.resource["id"] = driver.id;
  driver.resource["producerId"] = kCustom;
  driver.resource["source"] = "custom";
}

// Duplicate (spec drivers.md 16.3): all that the driver has, as a new custom one with an id of its own.
Response duplicate(Call& call, const std::string& id) {
  auto seen = visible_driver(call, id);
  auto copy = seen ? to_copy(call, seen->id, seen->account) : Result<store::Driver>(seen.error());
  if (!copy) return fail(copy.error());
  store::Driver driver{.account = call.caller.account,
                       .resource = std::move(copy->resource),
                       .code = std::move(copy->code),
                       .extract_points = std::move(copy->extract_points)};
  std::vector<FieldFault> faults;
  Fields fields(call.body.get_object(), driver.resource, faults);
  read_identity(fields, false);
  if (!faults.empty()) return fail(faults);
  name_custom(driver);
  return add(call, std::move(driver), "duplicated");
}

Response create(Call& call) {
  if (!call.body.is_object()) return fail({{"", "must be an object"}});
  const auto& body = call.body.get_object();
  if (auto id = json::text_or(body, "importedFrom"); !id.empty()) return import_system(call, id);
  if (auto id = json::text_or(body, "duplicateOf"); !id.empty()) return duplicate(call, id);
  if (json::text_or(body, "type") == "thingpark-x-java") {
    return fail({{"/type", "thingpark-x-java drivers cannot be uploaded"}});
  }
  store::Driver driver{.account = call.caller.account};
  auto faults = read_driver(call.context, body, driver.resource);
  auto code = read_code(body);
  if (!code) faults.push_back({"/code", code.error().text});
  auto points = read_code(body, "extractPoints", false);
  if (!points) faults.push_back({"/extractPoints", points.error().text});
  if (!faults.empty()) return fail(faults);
  driver.code = std::move(*code);
  driver.extract_points = std::move(*points);
  name_custom(driver);
  if (auto refused = check_trust(call, nullptr, driver)) return std::move(*refused);
  driver::Engine::Inspection inspection{};
  if (auto refused = check_code(call, driver, inspection)) return std::move(*refused);
  if (auto refused = check_examples(call, driver, inspection)) return std::move(*refused);
  return add(call, std::move(driver), "created");
}

// The account's own driver; a system one may not be changed.
Result<store::Driver> own(const Call& call) {
  const auto& id = call.params[0];
  auto driver = id == kAuto ? Result<store::Driver>(store::Driver{.id = id}) : visible_driver(call, id);
  if (driver && driver->account.empty()) {
    return Error{ErrorKind::permanent, "a system driver cannot be changed: import it first", "com-4003"};
  }
  return driver;
}

std::vector<FieldFault> fixed_faults(const object& before, const object& after) {
  std::vector<FieldFault> faults;
  for (const char* name : {"id", "producerId", "moduleId", "source"}) {
    if (json::text_or(before, name) != json::text_or(after, name)) {
      faults.push_back({std::string("/") + name, "cannot be changed"});
    }
  }
  auto was = semver(json::text_or(before, "version")), is = semver(json::text_or(after, "version"));
  if (was && is && (*was)[0] != (*is)[0]) {
    faults.push_back({"/version", "another major version is another driver: create it"});
  }
  return faults;
}

Response patch(Call& call) {
  if (!call.body.is_object()) return fail({{"", "must be an object"}});
  std::unique_lock lock(call.state.configuration);
  auto driver = own(call);
  if (!driver) return fail(driver.error());
  if (auto refused = unmodified_check(call, driver->updated)) return std::move(*refused);
  boost::json::value merged = driver->resource;
  json::merge_patch(merged, call.body);
  auto& body = merged.get_object();
  auto changed = *driver;
  changed.resource = {};
  auto faults = fixed_faults(driver->resource, body);
  for (auto& fault : read_driver(call.context, body, changed.resource, &driver->resource))
    faults.push_back(std::move(fault));
  if (!faults.empty()) return fail(faults);
  for (const char* name : {"id", "producerId", "source"}) {
    if (const auto* value = json::find(driver->resource, name)) changed.resource[name] = *value;
  }
  auto was = semver(json::text_or(driver->resource, "version")), is = semver(json::text_or(body, "version"));
  if (was && is && *is < *was && !flag(call, "force")) {
    return fail("com-4009", "an older version than the stored one; ?force=true takes it");
  }
  if (call.body.get_object().contains("code")) {
    auto code = read_code(call.body.get_object());
    if (!code) return fail({{"/code", code.error().text}});
    changed.code = std::move(*code);
  }
  if (call.body.get_object().contains("extractPoints")) {
    auto points = read_code(call.body.get_object(), "extractPoints", false);
    if (!points) return fail({{"/extractPoints", points.error().text}});
    changed.extract_points = std::move(*points);
  }
  if (auto refused = check_trust(call, &*driver, changed)) return std::move(*refused);
  if (changed.resource == driver->resource && changed.code == driver->code &&
      changed.extract_points == driver->extract_points) {
    return answer_resource(call, full(call, *driver), driver->updated);
  }
  // A driver that hangs takes seconds to find out: nobody else waits for that.
  lock.unlock();
  driver::Engine::Inspection inspection{};
  if (!changed.code.empty()) {  // a driver known without code has nothing to run
    if (auto refused = check_code(call, changed, inspection)) return std::move(*refused);
    if (auto refused = check_examples(call, changed, inspection)) return std::move(*refused);
  }
  lock.lock();
  auto again = own(call);
  if (!again) return fail(again.error());
  if (again->resource != driver->resource || again->code != driver->code ||
      again->extract_points != driver->extract_points) {
    return fail("com-4009", "the driver was changed by somebody else meanwhile");
  }
  auto updated = call.context.store.update_driver(std::move(changed));
  if (!updated) return fail(updated.error());
  if (auto reloaded = call.context.reload_drivers(); !reloaded) return fail(reloaded.error());
  log::info("driver {} updated by {}", updated->id, call.caller.client_id);
  return answer_resource(call, full(call, *updated), updated->updated);
}

void warn_of_flows(const Call& call, const std::string& id) {
  if (auto left = visible_driver(call, id)) return;  // the system driver is back
  auto flows = call.context.store.flows(call.caller.account);
  if (!flows) return;
  for (const auto& flow : *flows) {
    const auto* named = json::find(flow.resource, "driver");
    if (named == nullptr || json::text_or(named->as_object(), "id") != id) continue;
    call.context.events.add(call.caller.account, "warn", "driver-2003", "Driver deleted: its flow decodes no longer",
                            {{"driverId", id}, {"flowId", flow.id}});
  }
}

Response erase(Call& call) {
  std::lock_guard lock(call.state.configuration);
  auto driver = own(call);
  if (!driver) return fail(driver.error());
  if (auto refused = unmodified_check(call, driver->updated)) return std::move(*refused);
  if (auto erased = call.context.store.erase_driver(driver->account, driver->id); !erased) return fail(erased.error());
  if (auto reloaded = call.context.reload_drivers(); !reloaded) return fail(reloaded.error());
  // The next driver of that id starts afresh.
  call.context.journal.forget(driver->account, driver->id);
  call.context.journal.flush_log();
  if (auto cleared = call.context.store.clear_driver_log(driver->account, driver->id); !cleared)
    log::warn("the log of driver {} is not cleared: {}", driver->id, cleared.error().text);
  warn_of_flows(call, driver->id);
  log::info("driver {} deleted by {}", driver->id, call.caller.client_id);
  return no_content();
}

Response validate(Call& call) {
  if (!call.body.is_object()) return fail({{"", "must be an object"}});
  const auto& body = call.body.get_object();
  auto type = json::text_or(body, "type");
  if (!type.empty() && !driver::signature_of_type(type)) {
    return fail({{"/type", "must be thingpark-x-js, lora-alliance, ttn or chirpstack"}});
  }
  auto code = read_code(body);
  if (!code) return fail({{"/code", code.error().text}});
  driver::Engine::Inspection inspection{};
  store::Driver driver{.resource = {{"type", type}}, .code = std::move(*code)};
  if (auto refused = check_code(call, driver, inspection)) return std::move(*refused);
  return {.content_type = ""};
}

Response examples(Call& call) {
  auto driver = visible_driver(call, call.params[0]);
  if (!driver) return fail(driver.error());
  const auto* found = json::find(driver->resource, "examples");
  auto list = found != nullptr && found->is_array() ? found->get_array() : boost::json::array();
  if (flag(call, "run")) {
    auto code = call.context.find_driver(call.caller.account, driver->id);
    auto inspected = code ? call.context.inspect_driver({.source = code->source,
                                                         .declared = code->signature,
                                                         .extract_points_source = code->extract_points_source,
                                                         .use_context = code->use_context,
                                                         .trusted = code->trusted})
                          : Result<driver::Engine::Inspection>(
                                Error{ErrorKind::permanent,
                                      "no driver code: " + driver->id + " is known, its code is not here", "com-4004"});
    if (!inspected) return fail(inspected.error());
    for (auto& example : list) {
      if (!example.is_object()) continue;
      example.get_object()["result"] = run_example(call.context, code, *inspected, example.get_object());
    }
  }
  return answer_list(call, std::move(list), false);
}

}  // namespace

void add_drivers(std::vector<Route>& routes) {
  routes.push_back({"GET", "/iot-flow/v1/drivers", Access::reader, list});
  routes.push_back({"POST", "/iot-flow/v1/drivers", Access::writer, create, Body::json});
  routes.push_back({"GET", "/iot-flow/v1/drivers/providers", Access::reader, providers});
  routes.push_back({"GET", "/iot-flow/v1/drivers/manufacturers", Access::reader, manufacturers});
  routes.push_back({"POST", "/iot-flow/v1/drivers/validate/code", Access::reader, validate, Body::json});
  routes.push_back({"GET", "/iot-flow/v1/drivers/{driverId}", Access::reader, get});
  routes.push_back({"PATCH", "/iot-flow/v1/drivers/{driverId}", Access::writer, patch, Body::json});
  routes.push_back({"DELETE", "/iot-flow/v1/drivers/{driverId}", Access::owner, erase});
  routes.push_back({"GET", "/iot-flow/v1/drivers/{driverId}/examples", Access::reader, examples});
}

}  // namespace sluice::api
