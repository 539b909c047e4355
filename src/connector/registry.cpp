// SPDX-License-Identifier: Apache-2.0
#include "connector/registry.h"

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <set>

#include "base/json.h"
#include "connector/embedded.h"

namespace sluice::connector {
namespace {

using boost::json::array;
using boost::json::object;
using boost::json::value;

Error unsound(std::string_view folder, const std::string& what) {
  return {ErrorKind::bad_config, "connector folder '" + std::string(folder) + "': " + what};
}

bool good_folder_name(std::string_view name) {
  return !name.empty() && name.front() >= 'a' && name.front() <= 'z' &&
         std::all_of(name.begin(), name.end(),
                     [](char c) { return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '_'; });
}

// A property without a title or a description would be a riddle in the console's form: it does not build.
Result<void> check_properties(std::string_view folder, const object& properties, const std::string& path) {
  for (const auto& [name, property] : properties) {
    std::string full = path + std::string(name);
    if (!property.is_object()) return unsound(folder, "property '" + full + "' is no object");
    const auto& o = property.get_object();
    for (const char* needed : {"title", "description"}) {
      if (json::text_or(o, needed).empty()) return unsound(folder, "property '" + full + "' has no " + needed);
    }
    if (!o.contains("type") && !o.contains("anyOf")) return unsound(folder, "property '" + full + "' has no type");
    if (const auto* nested = o.if_contains("properties"); nested && nested->is_object()) {
      auto checked = check_properties(folder, nested->get_object(), full + ".");
      if (!checked) return checked;
    }
  }
  return {};
}

Result<object> merged_properties(std::string_view folder, const object& file, const object& common) {
  object properties;
  if (const auto* own = json::find(file, "properties")) {
    if (!own->is_object()) return unsound(folder, "'properties' is no object");
    properties = own->get_object();
  }
  if (const auto* names = json::find(file, "$common")) {
    if (!names->is_array()) return unsound(folder, "'$common' is no array");
    for (const auto& name : names->get_array()) {
      if (!name.is_string()) return unsound(folder, "'$common' holds something else than names");
      const auto* property = common.if_contains(name.get_string());
      if (!property) return unsound(folder, "there is no common property '" + std::string(name.get_string()) + "'");
      // The connector's own description of a property wins over the common one.
      properties.insert(boost::json::key_value_pair(name.get_string(), *property));
    }
  }
  return properties;
}

Result<void> check_required(std::string_view folder, const object& schema) {
  const auto* required = json::find(schema, "required");
  if (!required) return {};
  if (!required->is_array()) return unsound(folder, "'required' is no array");
  for (const auto& name : required->get_array()) {
    if (!name.is_string() || !schema.at("properties").get_object().contains(name.get_string())) {
      return unsound(folder, "'required' names something that is no property: " + json::write(name));
    }
  }
  return {};
}

// Draft 4 wants at least one name in `required`.
void set_required(object& schema, const value* required) {
  schema.erase("required");
  if (required && required->is_array() && !required->get_array().empty()) schema["required"] = *required;
}

Result<object> brand_schema(std::string_view folder, const object& base, const std::string& name, const value& brand) {
  if (!brand.is_object()) return unsound(folder, "brand '" + name + "' is no object");
  value schema = base;
  auto& properties = schema.get_object().at("properties").get_object();
  if (const auto* overrides = json::find(brand.get_object(), "properties")) {
    if (!overrides->is_object()) return unsound(folder, "brand '" + name + "': 'properties' is no object");
    for (const auto& [key, patch] : overrides->get_object()) {
      if (!properties.contains(key)) {
        return unsound(folder, "brand '" + name + "' changes '" + std::string(key) + "', which is no property");
      }
      json::merge_patch(properties[key], patch);
    }
  }
  if (const auto* required = json::find(brand.get_object(), "required")) set_required(schema.get_object(), required);
  auto checked = check_required(folder, schema.get_object());
  if (!checked) return checked.error();
  return std::move(schema.get_object());
}

object resource_of(const object& file, const object& schema) {
  object resource;
  for (const char* name : {"id", "producerId", "moduleId", "version", "description"})
    resource[name] = file.at(name);
  resource["beta"] = json::bool_or(file, "beta", false);
  object connection;
  connection["configurationSchema"] = schema;
  if (const auto* brands = json::find(file, "brands")) connection["brands"] = *brands;
  resource["connection"] = std::move(connection);
  resource["flow"] = json::find(file, "flow") ? file.at("flow") : value(object());
  return resource;
}

}  // namespace

const std::shared_ptr<const object>& Descriptor::schema_for(std::string_view brand) const {
  auto found = brand_schemas.find(brand);
  return found == brand_schemas.end() ? schema : found->second;
}

Result<Descriptor> describe(std::string_view folder, std::string_view schema_text, std::string_view common_text,
                            std::string_view readme, Factory make) {
  if (!good_folder_name(folder)) return unsound(folder, "use lower-case letters, digits and underscores");
  auto parsed = json::parse(schema_text);
  if (!parsed) return unsound(folder, "schema.json: " + parsed.error().text);
  auto common = json::parse(common_text);
  if (!common || !common->is_object()) return unsound(folder, "common.schema.json is no JSON object");
  if (!parsed->is_object()) return unsound(folder, "schema.json is no object");
  const auto& file = parsed->get_object();
  for (const char* needed : {"id", "producerId", "moduleId", "version", "description", "configurationId"}) {
    if (json::text_or(file, needed).empty()) return unsound(folder, std::string("schema.json has no ") + needed);
  }
  Descriptor out;
  out.id = json::text_or(file, "id");
  if (out.id != json::text_or(file, "producerId") + "-" + json::text_or(file, "moduleId")) {
    return unsound(folder, "id '" + out.id + "' is not <producerId>-<moduleId>");
  }
  auto properties = merged_properties(folder, file, common->get_object());
  if (!properties) return properties.error();
  if (auto checked = check_properties(folder, *properties, ""); !checked) return checked.error();
  object schema;
  schema["id"] = json::text_or(file, "configurationId");
  schema["type"] = "object";
  schema["properties"] = std::move(*properties);
  set_required(schema, json::find(file, "required"));
  if (auto checked = check_required(folder, schema); !checked) return checked.error();
  if (const auto* brands = json::find(file, "brands")) {
    if (!brands->is_object()) return unsound(folder, "'brands' is no object");
    for (const auto& [name, brand] : brands->get_object()) {
      auto branded = brand_schema(folder, schema, std::string(name), brand);
      if (!branded) return branded.error();
      out.brand_schemas.emplace(std::string(name), std::make_shared<const object>(std::move(*branded)));
    }
  }
  if (const auto* settings = json::find(file, "serverSettings")) {
    if (!settings->is_object()) return unsound(folder, "'serverSettings' is no object");
    for (const auto& [name, setting] : settings->get_object()) {
      if (!setting.is_object() || json::text_or(setting.get_object(), "description").empty())
        return unsound(folder, "server setting '" + std::string(name) + "' has no description");
      out.server_settings.emplace(name, json::text_or(setting.get_object(), "default"));
    }
  }
  out.folder = folder;
  out.resource = resource_of(file, schema);
  out.schema = std::make_shared<const object>(std::move(schema));
  out.readme = readme;
  out.make = make;
  return out;
}

Registry::Registry() {
  for (const auto& part : embedded()) {
    auto described = describe(part.folder, part.schema, kCommonSchema, part.readme, part.make);
    if (!described) {
      std::fprintf(stderr, "sluice: %s\n", described.error().text.c_str());
      std::abort();
    }
    descriptors_.push_back(std::move(*described));
  }
  std::sort(descriptors_.begin(), descriptors_.end(), [](const auto& a, const auto& b) { return a.id < b.id; });
  for (std::size_t i = 1; i < descriptors_.size(); ++i)
    ENSURE(descriptors_[i - 1].id != descriptors_[i].id);
}

const Descriptor* Registry::find(std::string_view id) const {
  for (const auto& descriptor : descriptors_) {
    if (descriptor.id == id) return &descriptor;
  }
  return nullptr;
}

Result<void> Registry::check_server_settings(const std::map<std::string, std::string>& given) const {
  std::string names;
  std::set<std::string> known;
  for (const auto& descriptor : descriptors_) {
    for (const auto& [name, fallback] : descriptor.server_settings) {
      auto full = descriptor.folder + "." + name;
      names += (names.empty() ? "connectors." : ", connectors.") + full;
      known.insert(std::move(full));
    }
  }
  for (const auto& [name, content] : given) {
    if (!known.contains(name))
      return Error{ErrorKind::bad_config, "connectors." + name + ": there is no such setting; there is " +
                                              (names.empty() ? "none for connectors" : names)};
  }
  return {};
}

std::string Descriptor::server_setting(std::string_view name, const std::map<std::string, std::string>& given) const {
  auto fallback = server_settings.find(name);
  if (fallback == server_settings.end()) return "";
  auto found = given.find(folder + "." + std::string(name));
  return found == given.end() ? fallback->second : found->second;
}

void show_defaults(const Descriptor& connector, object& configuration) {
  for (const auto& [name, property] : connector.schema->at("properties").get_object()) {
    const auto& o = property.get_object();
    if (!json::bool_or(o, "x-default-shown", false) || json::find(configuration, name)) continue;
    if (const auto* fallback = json::find(o, "x-default")) configuration[name] = *fallback;
  }
}

}  // namespace sluice::connector
