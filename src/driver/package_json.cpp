// SPDX-License-Identifier: Apache-2.0
#include "base/codec.h"
#include "base/json.h"
#include "driver/files.h"
#include "driver/package.h"
#include "message/json_scan.h"

namespace sluice::driver {
namespace {

Error fault(const std::string& text) {
  return {ErrorKind::permanent, text, "com-4000"};
}

json::object module_json(const ModuleName& name) {
  return {{"producerId", name.producer}, {"moduleId", name.module}, {"version", name.version}};
}

Result<ModuleName> module_from(const json::value& v, const std::string& where) {
  const auto* o = v.if_object();
  if (o == nullptr) return fault(where + " must be an object");
  auto name = parse_module(json::text_or(*o, "producerId") + ":" + json::text_or(*o, "moduleId") + ":" +
                           json::text_or(*o, "version"));
  if (!name) return fault(where + " must be producerId, moduleId and version, each of 1 to 64 of A-Z a-z 0-9 . _ -");
  return *name;
}

Result<std::string> source_from(const json::object& o, const char* key) {
  const auto bytes = from_base64(json::text_or(o, key));
  if (!bytes) return fault(std::string(key) + " is no base64");
  if (bytes->size() > kSourceLimit) return fault(std::string(key) + " is over 1 MiB");
  if (!message::scan::valid_utf8(*bytes)) return fault(std::string(key) + " is not UTF-8");
  return *bytes;
}

void take_object(const json::object& from, const char* key, json::object& into) {
  if (const auto* found = json::find(from, key); found != nullptr && found->is_object()) into = found->get_object();
}

}  // namespace

json::object to_json(const Package& package) {
  json::object o{{"path", package.path},           {"name", package.name},   {"version", package.version},
                 {"producerId", package.producer}, {"label", package.label}, {"description", package.description}};
  if (package.application) o["application"] = module_json(*package.application);
  json::array models;
  for (const auto& model : package.models)
    models.push_back(module_json(model));
  o["models"] = std::move(models);
  if (package.signature) o["type"] = type_of_signature(*package.signature);
  o["useContext"] = package.use_context;
  o["private"] = package.is_private;
  o["trustedCRC"] = package.trusted_crc;
  o["byProtocol"] = package.by_protocol;
  o["entry"] = package.entry;
  o["code"] = to_base64(package.code);
  o["extractPoints"] = to_base64(package.extract_points);
  o["pointsSchema"] = package.points_schema;
  o["uplinkJsonSchema"] = package.uplink_schema;
  o["downlinkJsonSchema"] = package.downlink_schema;
  o["links"] = package.links;
  std::vector<Example> kept;
  for (const auto& example : package.examples) {
    if (!example.for_tests) kept.push_back(example);
  }
  o["examples"] = examples_to_api(kept);
  o["warnings"] = json::array(package.warnings.begin(), package.warnings.end());
  return o;
}

Result<Package> package_from_json(const json::object& o) {
  Package package{.path = json::text_or(o, "path"),
                  .name = json::text_or(o, "name"),
                  .producer = json::text_or(o, "producerId"),
                  .label = json::text_or(o, "label"),
                  .description = json::text_or(o, "description"),
                  .use_context = json::bool_or(o, "useContext", false),
                  .is_private = json::bool_or(o, "private", false),
                  .trusted_crc = json::text_or(o, "trustedCRC"),
                  .by_protocol = json::bool_or(o, "byProtocol", false),
                  .entry = json::text_or(o, "entry")};
  if (package.name.empty() || id_part(package.name) != package.name)
    return fault("name must be 1 to 64 of A-Z a-z 0-9 . _ -");
  if (package.producer.empty() || id_part(package.producer) != package.producer)
    return fault("producerId must be 1 to 64 of A-Z a-z 0-9 . _ -");
  auto version = plain_version(json::text_or(o, "version"));
  if (!version) return fault("version must be a semantic version as 1.0.0");
  package.version = *version;
  const auto* application = json::find(o, "application");
  if (application == nullptr) return fault("application is required");
  auto name = module_from(*application, "application");
  if (!name) return name.error();
  package.application = *name;
  if (const auto* models = json::find(o, "models"); models != nullptr && models->is_array()) {
    for (const auto& model : models->get_array()) {
      auto read = module_from(model, "models");
      if (!read) return read.error();
      package.models.push_back(std::move(*read));
    }
  }
  if (auto type = json::text_or(o, "type"); !type.empty()) {
    package.signature = signature_of_type(type);
    if (!package.signature) return fault("type must be thingpark-x-js, lora-alliance, ttn or chirpstack");
  }
  auto code = source_from(o, "code");
  if (!code) return code.error();
  package.code = std::move(*code);
  auto extra = source_from(o, "extractPoints");
  if (!extra) return extra.error();
  package.extract_points = std::move(*extra);
  if (package.code.empty() && !package.is_private) return fault("code is required of a driver that is not private");
  package.trusted_crc_matches =
      !package.trusted_crc.empty() && !package.code.empty() && crc32(package.code) == package.trusted_crc;
  take_object(o, "pointsSchema", package.points_schema);
  take_object(o, "uplinkJsonSchema", package.uplink_schema);
  take_object(o, "downlinkJsonSchema", package.downlink_schema);
  take_object(o, "links", package.links);
  if (const auto* examples = json::find(o, "examples"); examples != nullptr && examples->is_array()) {
    auto read = examples_from_api(examples->get_array());
    package.examples = std::move(read.examples);
    package.warnings = std::move(read.faults);
  }
  return package;
}

}  // namespace sluice::driver
