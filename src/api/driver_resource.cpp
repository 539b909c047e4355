// SPDX-License-Identifier: Apache-2.0
// What a client may say of a driver (spec api.md 7), and which drivers it sees.
#include "api/driver_resource.h"

#include <algorithm>
#include <charconv>

#include "api/driver_calls.h"
#include "api/fields.h"
#include "base/codec.h"
#include "driver/example.h"
#include "driver/limits.h"

namespace sluice::api {
namespace {

using boost::json::object;

bool is_id_part(std::string_view text) {
  return !text.empty() && text.size() <= 64 && std::all_of(text.begin(), text.end(), [](unsigned char c) {
    return std::isalnum(c) != 0 || c == '.' || c == '_' || c == '-';
  });
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
  // The members of an imported driver's examples go beyond the documented form: their own reader knows them.
  for (const char* further : {"operation", "error", "errors", "output"}) {
    if (json::find(example, further) == nullptr) continue;
    if (auto read = driver::from_api(example, true); !read) faults.push_back({path, read.error().text});
    return;
  }
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

}  // namespace

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

void check_limits(const Context& context, const object& limits, std::vector<FieldFault>& faults) {
  std::vector<driver::LimitFault> found;
  driver::read_limits(limits, context.driver_limits, found);
  for (auto& fault : found)
    faults.push_back({"/limits/" + fault.name, std::move(fault.text)});
}

void read_identity(Fields& fields, bool required) {
  fields.text("name", 1, 64, required);
  fields.text("description", 0, 4096);
  if (const auto* id = fields.text("moduleId", 1, 64, required); id != nullptr && !is_id_part(id->get_string())) {
    fields.fault("moduleId", "must be 1 to 64 of A-Z a-z 0-9 . _ -");
  }
  if (const auto* version = fields.text("version", 1, 64, required);
      version != nullptr && !semver(version->get_string())) {
    fields.fault("version", "must be a semantic version as 1.0.0");
  }
}

std::vector<FieldFault> read_driver(const Context& context, const object& body, object& resource,
                                    const object* before) {
  std::vector<FieldFault> faults;
  Fields fields(body, resource, faults);
  read_identity(fields, true);
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
  fields.flag("useContext");
  fields.flag("trusted");
  if (const auto* limits = fields.object("limits")) check_limits(context, limits->get_object(), faults);
  // What is stored may have come by an import, which takes more forms.
  auto unchanged = [&](const boost::json::value& value, const char* name) {
    const auto* stored = before == nullptr ? nullptr : json::find(*before, name);
    return stored != nullptr && *stored == value;
  };
  if (const auto* examples = fields.array("examples"); examples != nullptr && !unchanged(*examples, "examples")) {
    const auto& list = examples->get_array();
    for (std::size_t i = 0; i < list.size() && !enough(faults); ++i)
      check_example(list[i], "/examples/" + std::to_string(i), faults);
  }
  if (const auto* points = fields.object("pointsSchema"); points != nullptr && !unchanged(*points, "pointsSchema")) {
    for (const auto& point : points->get_object()) {
      if (enough(faults)) break;
      auto text = point_fault(point.key(), point.value());
      if (!text.empty()) faults.push_back({"/pointsSchema/" + std::string(point.key()), text});
    }
  }
  if (!resource.contains("private")) resource["private"] = false;
  return faults;
}

Result<store::Driver> visible_driver(const Call& call, const std::string& id) {
  for (const auto& account : {call.caller.account, std::string()}) {
    auto found = call.context.store.driver(account, id);
    if (!found) return found.error();
    if (*found) return std::move(**found);
  }
  return Error{ErrorKind::permanent, "there is no driver " + id, "com-4004"};
}

bool is_hidden(const Call& call, const store::Driver& driver) {
  return json::bool_or(driver.resource, "private", false) && driver.account != call.caller.account;
}

}  // namespace sluice::api
