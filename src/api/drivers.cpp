// SPDX-License-Identifier: Apache-2.0
// Drivers (spec api.md 7, drivers.md 16).
#include <algorithm>
#include <array>
#include <charconv>
#include <set>

#include "api/driver_calls.h"
#include "api/fields.h"
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

bool is_id_part(std::string_view text) {
  return !text.empty() && text.size() <= 64 && std::all_of(text.begin(), text.end(), [](unsigned char c) {
    return std::isalnum(c) != 0 || c == '.' || c == '_' || c == '-';
  });
}

// major, minor, patch; nothing where the text is no SemVer. What follows '-' or '+' does not count here.
std::optional<std::array<int, 3>> semver(std::string_view text) {
  text = text.substr(0, text.find_first_of("-+"));
  std::array<int, 3> parts{};
  for (std::size_t i = 0; i < 3; ++i) {
    auto part = text.substr(0, text.find('.'));
    auto end = std::from_chars(part.data(), part.data() + part.size(), parts[i]);
    if (part.empty() || end.ec != std::errc() || end.ptr != part.data() + part.size() || parts[i] < 0) return {};
    if (part.size() == text.size() && i < 2) return {};
    text.remove_prefix(std::min(text.size(), part.size() + 1));
  }
  return text.empty() ? std::optional(parts) : std::nullopt;
}

object lite(const object& resource) {
  object result;
  for (auto key : kLite) {
    if (const auto* value = json::find(resource, key)) result[key] = *value;
  }
  return result;
}

// The driver as this account sees it: its own before the system's.
Result<store::Driver> visible(const Call& call, const std::string& id) {
  for (const auto& account : {call.caller.account, std::string()}) {
    auto found = call.context.store.driver(account, id);
    if (!found) return found.error();
    if (*found) return std::move(**found);
  }
  return Error{ErrorKind::permanent, "there is no driver " + id, "com-4004"};
}

// The code of a private driver is shown to nobody but its owner (spec drivers.md 16.4).
object full(const Call& call, const store::Driver& driver) {
  auto resource = driver.resource;
  resource.erase("models");
  bool hidden = json::bool_or(resource, "private", false) && driver.account != call.caller.account;
  if (!hidden) resource["code"] = to_base64(driver.code);
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
    return !text || contains_text({json::text_or(driver, "name"), json::text_or(driver, "id"),
                                   json::text_or(driver, "description"), json::text_or(application, "moduleId")},
                                  *text);
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
  boost::json::array all;
  if (filter.fits(auto_driver())) all.push_back(auto_driver());
  for (const auto& driver : *found) {
    if (filter.fits(driver.resource)) all.push_back(lite(driver.resource));
  }
  return answer_list(call, std::move(all), true);
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
  auto driver = visible(call, call.params[0]);
  return driver ? answer_resource(call, full(call, *driver), driver->updated) : fail(driver.error());
}

void check_application(const object& resource, std::vector<FieldFault>& faults) {
  const auto* application = json::find(resource, "application");
  if (application == nullptr) return;
  for (const char* part : {"producerId", "moduleId", "version"}) {
    if (!is_id_part(json::text_or(application->get_object(), part))) {
      faults.push_back({std::string("/application/") + part, "must be 1 to 64 of A-Z a-z 0-9 . _ -"});
    }
  }
}

void check_example(const boost::json::value& value, const std::string& path, std::vector<FieldFault>& faults) {
  if (!value.is_object()) return faults.push_back({path, "must be an object"});
  const auto& example = value.get_object();
  auto type = json::text_or(example, "type");
  if (type != "uplink" && type != "downlink") faults.push_back({path + "/type", "must be uplink or downlink"});
  if (json::text_or(example, "description").empty()) faults.push_back({path + "/description", "is required"});
  const auto* bytes = json::find(example, "bytes");
  if (bytes == nullptr || !bytes->is_string() || bytes->get_string().size() % 2 != 0 ||
      (!bytes->get_string().empty() && !is_hex(bytes->get_string()))) {
    faults.push_back({path + "/bytes", "must be an even number of hex digits"});
  }
  const auto* port = json::find(example, "fPort");
  if (port == nullptr || !port->is_int64()) faults.push_back({path + "/fPort", "must be a whole number"});
  const auto* data = json::find(example, "data");
  if (data == nullptr || !data->is_object()) faults.push_back({path + "/data", "must be an object"});
}

// What a client may say of a driver, checked; all faults at once.
std::vector<FieldFault> read(const object& body, object& resource) {
  std::vector<FieldFault> faults;
  Fields fields(body, resource, faults);
  fields.text("name", 1, 64, true);
  fields.text("description", 0, 4096);
  if (const auto* id = fields.text("moduleId", 1, 64, true); id != nullptr && !is_id_part(id->get_string())) {
    fields.fault("moduleId", "must be 1 to 64 of A-Z a-z 0-9 . _ -");
  }
  if (const auto* version = fields.text("version", 1, 64, true); version != nullptr && !semver(version->get_string())) {
    fields.fault("version", "must be a semantic version as 1.0.0");
  }
  if (const auto* type = fields.text("type", 1, 64, true)) {
    if (!driver::signature_of_type(std::string_view(type->get_string()))) {
      fields.fault("type", "must be thingpark-x-js, lora-alliance, ttn or chirpstack");
    }
  }
  fields.object("application", true);
  check_application(resource, faults);
  for (const char* uri : {"specification", "deviceImageUrl", "manufacturerLogoUrl", "providerLogoUrl"}) {
    fields.text(uri, 0, 2000);
  }
  for (const char* schema : {"uplinkJsonSchema", "downlinkJsonSchema"})
    fields.object(schema);
  // Taken for the choice by model, not shown (spec api.md 7).
  fields.array("models");
  fields.flag("stable");
  fields.flag("private");
  if (const auto* examples = fields.array("examples")) {
    const auto& list = examples->get_array();
    for (std::size_t i = 0; i < list.size() && !enough(faults); ++i)
      check_example(list[i], "/examples/" + std::to_string(i), faults);
  }
  if (const auto* points = fields.object("pointsSchema")) {
    for (const auto& point : points->get_object()) {
      if (enough(faults)) break;
      auto text = point_fault(point.key(), point.value());
      if (!text.empty()) faults.push_back({"/pointsSchema/" + std::string(point.key()), text});
    }
  }
  if (!resource.contains("private")) resource["private"] = false;
  return faults;
}

// The code evaluated: it parses and offers what its type promises.
std::optional<Response> check_code(const Call& call, const object& resource, const std::string& code,
                                   driver::Engine::Inspection& inspection) {
  auto type = json::text_or(resource, "type");
  // Real drivers of type thingpark-x-js have either of two signatures: found by looking.
  auto declared = type == "thingpark-x-js" ? std::nullopt : driver::signature_of_type(type);
  auto found = call.context.inspect_driver(code, declared);
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

std::optional<Response> check_examples(const Call& call, const store::Driver& driver,
                                       const driver::Engine::Inspection& inspection) {
  const auto* examples = json::find(driver.resource, "examples");
  if (!flag(call, "checkExamples") || examples == nullptr) return {};
  auto code = loose_driver(driver.account, driver.code, inspection.signature, driver.extract_points);
  std::vector<FieldFault> faults;
  const auto& list = examples->get_array();
  for (std::size_t i = 0; i < list.size(); ++i) {
    auto result = run_example(call.context, code, list[i].get_object(), inspection.encode_downlink);
    if (json::bool_or(result, "ok", false)) continue;
    faults.push_back({"/examples/" + std::to_string(i),
                      "\"" + json::text_or(list[i].get_object(), "description") + "\" gives " + json::write(result)});
  }
  if (faults.empty()) return {};
  return fail(faults);
}

Response import_system(Call& call, const std::string& id) {
  auto system = call.context.store.driver("", id);
  if (!system) return fail(system.error());
  if (!*system) return fail("com-4004", "there is no system driver " + id);
  if (json::bool_or((*system)->resource, "private", false)) {
    return fail("com-4003", "this feature is not available for a private driver");
  }
  auto copy = std::move(**system);
  copy.account = call.caller.account;
  copy.resource["source"] = "imported";
  std::lock_guard lock(call.state.configuration);
  auto made = call.context.store.insert_driver(std::move(copy));
  if (!made) return fail(made.error());
  if (auto reloaded = call.context.reload_drivers(); !reloaded) return fail(reloaded.error());
  log::info("driver {} imported by {}", id, call.caller.client_id);
  return answer_resource(call, full(call, *made), made->updated, 201).with("Location", "/drivers/" + url_encode(id));
}

Response create(Call& call) {
  if (!call.body.is_object()) return fail({{"", "must be an object"}});
  const auto& body = call.body.get_object();
  if (auto id = json::text_or(body, "importedFrom"); !id.empty()) return import_system(call, id);
  if (json::text_or(body, "type") == "thingpark-x-java") {
    return fail({{"/type", "thingpark-x-java drivers cannot be uploaded"}});
  }
  store::Driver driver{.account = call.caller.account};
  auto faults = read(body, driver.resource);
  auto code = read_code(body);
  if (!code) faults.push_back({"/code", code.error().text});
  if (!faults.empty()) return fail(faults);
  driver.code = std::move(*code);
  auto version = semver(json::text_or(driver.resource, "version"));
  driver.id =
      std::string(kCustom) + ":" + json::text_or(driver.resource, "moduleId") + ":" + std::to_string((*version)[0]);
  driver.resource["id"] = driver.id;
  driver.resource["producerId"] = kCustom;
  driver.resource["source"] = "custom";
  driver::Engine::Inspection inspection{};
  if (auto refused = check_code(call, driver.resource, driver.code, inspection)) return std::move(*refused);
  if (auto refused = check_examples(call, driver, inspection)) return std::move(*refused);
  std::lock_guard lock(call.state.configuration);
  auto made = call.context.store.insert_driver(std::move(driver));
  if (!made) return fail(made.error());
  if (auto reloaded = call.context.reload_drivers(); !reloaded) return fail(reloaded.error());
  log::info("driver {} created by {}", made->id, call.caller.client_id);
  return answer_resource(call, full(call, *made), made->updated, 201)
      .with("Location", "/drivers/" + url_encode(made->id));
}

// The account's own driver; a system one may not be changed.
Result<store::Driver> own(const Call& call) {
  const auto& id = call.params[0];
  auto driver = id == kAuto ? Result<store::Driver>(store::Driver{.id = id}) : visible(call, id);
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
  for (auto& fault : read(body, changed.resource))
    faults.push_back(std::move(fault));
  if (!faults.empty()) return fail(faults);
  for (const char* name : {"id", "producerId", "source"})
    changed.resource[name] = driver->resource.at(name);
  auto was = semver(json::text_or(driver->resource, "version")), is = semver(json::text_or(body, "version"));
  if (was && is && *is < *was && !flag(call, "force")) {
    return fail("com-4009", "an older version than the stored one; ?force=true takes it");
  }
  if (call.body.get_object().contains("code")) {
    auto code = read_code(call.body.get_object());
    if (!code) return fail({{"/code", code.error().text}});
    changed.code = std::move(*code);
  }
  if (changed.resource == driver->resource && changed.code == driver->code) {
    return answer_resource(call, full(call, *driver), driver->updated);
  }
  // A driver that hangs takes seconds to find out: nobody else waits for that.
  lock.unlock();
  driver::Engine::Inspection inspection{};
  if (auto refused = check_code(call, changed.resource, changed.code, inspection)) return std::move(*refused);
  if (auto refused = check_examples(call, changed, inspection)) return std::move(*refused);
  lock.lock();
  auto again = own(call);
  if (!again) return fail(again.error());
  if (again->resource != driver->resource || again->code != driver->code) {
    return fail("com-4009", "the driver was changed by somebody else meanwhile");
  }
  auto updated = call.context.store.update_driver(std::move(changed));
  if (!updated) return fail(updated.error());
  if (auto reloaded = call.context.reload_drivers(); !reloaded) return fail(reloaded.error());
  log::info("driver {} updated by {}", updated->id, call.caller.client_id);
  return answer_resource(call, full(call, *updated), updated->updated);
}

void warn_of_flows(const Call& call, const std::string& id) {
  if (auto left = visible(call, id)) return;  // the system driver is back
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
  warn_of_flows(call, driver->id);
  log::info("driver {} deleted by {}", driver->id, call.caller.client_id);
  return no_content();
}

Response validate(Call& call) {
  if (!call.body.is_object()) return fail({{"", "must be an object"}});
  const auto& body = call.body.get_object();
  auto type = json::text_or(body, "type", "thingpark-x-js");
  if (!driver::signature_of_type(type)) {
    return fail({{"/type", "must be thingpark-x-js, lora-alliance, ttn or chirpstack"}});
  }
  auto code = read_code(body);
  if (!code) return fail({{"/code", code.error().text}});
  driver::Engine::Inspection inspection{};
  if (auto refused = check_code(call, {{"type", type}}, *code, inspection)) return std::move(*refused);
  return {.content_type = ""};
}

Response examples(Call& call) {
  auto driver = visible(call, call.params[0]);
  if (!driver) return fail(driver.error());
  const auto* found = json::find(driver->resource, "examples");
  auto list = found != nullptr && found->is_array() ? found->get_array() : boost::json::array();
  if (flag(call, "run")) {
    auto code = call.context.find_driver(call.caller.account, driver->id);
    auto inspected =
        code ? call.context.inspect_driver(code->source, code->signature)
             : Result<driver::Engine::Inspection>(Error{ErrorKind::permanent, "no driver code", "com-4004"});
    if (!inspected) return fail(inspected.error());
    for (auto& example : list) {
      if (!example.is_object()) continue;
      example.get_object()["result"] =
          run_example(call.context, code, example.get_object(), inspected->encode_downlink);
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
