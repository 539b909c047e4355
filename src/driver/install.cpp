// SPDX-License-Identifier: Apache-2.0
#include "driver/install.h"

#include <algorithm>

#include "base/codec.h"
#include "base/json.h"

namespace sluice::driver {
namespace {

constexpr std::size_t kExamplesLimit = 1u << 20;  // bytes of JSON that are kept with a driver
constexpr std::size_t kNameLimit = 64;            // characters, as the API's
constexpr std::size_t kDescriptionLimit = 4096;
constexpr std::size_t kLinkLimit = 2000;

// At most that many characters.
std::string cut(std::string_view text, std::size_t most) {
  std::size_t count = 0, at = 0;
  for (; at < text.size(); ++at) {
    if ((static_cast<unsigned char>(text[at]) & 0xc0) != 0x80 && ++count > most) break;
  }
  return std::string(text.substr(0, at));
}

json::object module_json(const ModuleName& name) {
  return {{"producerId", name.producer}, {"moduleId", name.module}, {"version", name.version}};
}

std::string protocol_of(const json::object& resource) {
  const auto* application = json::find(resource, "application");
  if (application == nullptr || !application->is_object()) return "";
  const auto& a = application->get_object();
  return to_lower(json::text_or(a, "producerId") + ":" + json::text_or(a, "moduleId") + ":" +
                  json::text_or(a, "version"));
}

// The examples that users see; as many as fit.
json::array kept_examples(const Package& package, std::vector<std::string>& warnings) {
  std::vector<Example> shown;
  for (const auto& example : package.examples) {
    if (!example.for_tests) shown.push_back(example);
  }
  auto all = examples_to_api(shown);
  json::array kept;
  std::size_t size = 0;
  for (auto& example : all) {
    size += json::write(example).size();
    if (size > kExamplesLimit) {
      warnings.push_back("only " + std::to_string(kept.size()) + " of " + std::to_string(all.size()) +
                         " examples are kept: 1 MiB");
      break;
    }
    kept.push_back(std::move(example));
  }
  return kept;
}

json::object resource_of(const Package& package, Signature signature, std::vector<std::string>& warnings) {
  json::object resource;
  resource["id"] = package.id();
  resource["name"] = cut(package.label.empty() ? package.name : package.label, kNameLimit);
  if (!package.description.empty()) resource["description"] = cut(package.description, kDescriptionLimit);
  resource["producerId"] = package.producer;
  resource["moduleId"] = package.name;
  resource["version"] = package.version;
  resource["application"] = module_json(*package.application);
  resource["type"] = type_of_signature(signature);
  resource["private"] = package.is_private;
  for (const auto& [key, url] : package.links) {
    if (url.is_string() && url.get_string().size() <= kLinkLimit) resource[key] = url;
  }
  if (auto examples = kept_examples(package, warnings); !examples.empty()) resource["examples"] = std::move(examples);
  const auto put = [&](const char* key, const json::object& schema) {
    if (!schema.empty()) resource[key] = schema;
  };
  put("pointsSchema", package.points_schema);
  put("uplinkJsonSchema", package.uplink_schema);
  put("downlinkJsonSchema", package.downlink_schema);
  if (!package.models.empty()) {
    json::array models;
    for (const auto& model : package.models)
      models.push_back(module_json(model));
    resource["models"] = std::move(models);
  }
  if (package.use_context) resource["useContext"] = true;
  return resource;
}

// A failure of the moment and not of the driver: the engine is full or going.
bool is_of_the_moment(const Error& error) {
  return error.kind == ErrorKind::transient || error.code == "com-5003";
}

}  // namespace

const char* to_text(Installed::Outcome outcome) {
  switch (outcome) {
    case Installed::Outcome::created:
      return "created";
    case Installed::Outcome::replaced:
      return "replaced";
    case Installed::Outcome::unchanged:
      return "unchanged";
    case Installed::Outcome::refused:
      return "refused";
  }
  return "";
}

Result<void> Installer::load() {
  auto drivers = store_.drivers(options_.account);
  if (!drivers) return drivers.error().wrap("reading the drivers");
  own_.clear();
  system_.clear();
  for (auto& driver : *drivers) {
    if (driver.account.empty()) system_[to_lower(driver.id)] = json::text_or(driver.resource, "version");
    if (driver.account == options_.account) own_[to_lower(driver.id)] = std::move(driver);
  }
  return {};
}

Installer::Prepared Installer::prepare(const Package& package) {
  Prepared prepared;
  auto& result = prepared.result;
  result.path = package.path;
  result.warnings = package.warnings;
  result.own_fault = true;
  if (!package.application) {
    result.reason = "it does not say what devices speak: name the application";
    result.own_fault = false;
    return prepared;
  }
  result.id = package.id();
  for (const auto& point : package.points_schema) {
    const auto fault = options_.point_fault ? options_.point_fault(point.key(), point.value()) : std::string();
    if (fault.empty()) continue;
    result.reason = "point " + std::string(point.key()) + ": " + fault;
    return prepared;
  }
  Engine::Inspection found{};
  found.signature = package.signature.value_or(Signature::lora_alliance);
  const bool trusted = options_.trust && package.trusted_crc_matches;
  if (!package.code.empty()) {
    auto inspected = options_.inspect({.source = package.code,
                                       .declared = package.signature,
                                       .extract_points_source = package.extract_points,
                                       .use_context = package.use_context,
                                       .trusted = trusted});
    if (!inspected) {
      result.reason = inspected.error().text;
      result.own_fault = !is_of_the_moment(inspected.error());
      return prepared;
    }
    found = *inspected;
    if (!found.decode_uplink && !found.decode_downlink && !found.encode_downlink) {
      result.reason = "it has none of the functions of type " + std::string(type_of_signature(found.signature));
      return prepared;
    }
  }
  result.own_fault = false;
  prepared.by_protocol = package.by_protocol;
  prepared.crc_matches = package.trusted_crc_matches;
  prepared.driver = {.id = package.id(),
                     .account = options_.account,
                     .resource = resource_of(package, found.signature, result.warnings),
                     .code = package.code,
                     .extract_points = package.extract_points};
  if (trusted) prepared.driver.resource["trusted"] = true;
  return prepared;
}

// The one that this driver is a release of.
const store::Driver* Installer::stored(const store::Driver& driver, bool by_protocol) const {
  const auto by_id = own_.find(to_lower(driver.id));
  const auto* same = by_id == own_.end() ? nullptr : &by_id->second;
  if (!by_protocol) return same;
  const auto protocol = protocol_of(driver.resource);
  const auto producer = json::text_or(driver.resource, "producerId");
  if (same != nullptr && protocol_of(same->resource) == protocol) return same;
  const store::Driver* found = nullptr;
  for (const auto& [id, other] : own_) {
    if (protocol_of(other.resource) != protocol || json::text_or(other.resource, "producerId") != producer) continue;
    if (found == nullptr ||
        older_than(json::text_or(found->resource, "version"), json::text_or(other.resource, "version")))
      found = &other;
  }
  return found;
}

// The id that it gets; false where none is free.
bool Installer::settle_id(store::Driver& driver, bool by_protocol, const store::Driver* old, Installed& result) const {
  auto call = [&](const std::string& id) {
    driver.id = id;
    driver.resource["id"] = id;
    result.id = id;
  };
  if (old != nullptr) {
    if (old->id != driver.id) result.warnings.push_back("it keeps the id " + old->id + " that its protocolId has");
    call(old->id);
    return true;
  }
  const auto taken = own_.find(to_lower(driver.id));
  if (taken == own_.end() || !by_protocol) return true;
  // Another protocol's driver has that id (section 1).
  const auto* application = json::find(driver.resource, "application");
  const auto& a = application->get_object();
  const auto other = json::text_or(driver.resource, "producerId") + ":" + json::text_or(a, "moduleId") + ":" +
                     json::text_or(a, "version");
  if (own_.contains(to_lower(other))) {
    result.reason = "the ids " + driver.id + " and " + other + " are those of drivers for other protocols";
    return false;
  }
  result.warnings.push_back("the id " + driver.id + " is already another's: " + other + " instead");
  call(other);
  return true;
}

Installed Installer::put(Prepared prepared, bool dry) {
  auto result = std::move(prepared.result);
  if (!result.reason.empty()) return result;
  auto driver = std::move(prepared.driver);
  const auto* old = stored(driver, prepared.by_protocol);
  if (!settle_id(driver, prepared.by_protocol, old, result)) return result;
  if (options_.account.empty())
    driver.resource["source"] = "system";
  else
    driver.resource["source"] = system_.contains(to_lower(driver.id)) ? "imported" : "custom";
  if (old != nullptr) {
    if (const auto* limits = json::find(old->resource, "limits")) driver.resource["limits"] = *limits;
    const bool same_code = old->code == driver.code && old->extract_points == driver.extract_points;
    if (json::bool_or(old->resource, "trusted", false) && !driver.resource.contains("trusted")) {
      if (same_code && prepared.crc_matches)
        driver.resource["trusted"] = true;
      else
        result.warnings.emplace_back("it is no longer trusted");
    }
    if (same_code && old->resource == driver.resource) {
      result.outcome = Installed::Outcome::unchanged;
      return result;
    }
    const auto before = json::text_or(old->resource, "version"), now = json::text_or(driver.resource, "version");
    if (!options_.force && older_than(now, before)) {
      result.reason = "version " + now + " is older than the installed " + before;
      return result;
    }
  }
  result.outcome = old != nullptr ? Installed::Outcome::replaced : Installed::Outcome::created;
  if (!dry) {
    if (auto kept = keep(driver, old); !kept) {
      result.outcome = Installed::Outcome::refused;
      result.reason = kept.error().text;
      return result;
    }
  }
  auto key = to_lower(driver.id);
  if (options_.account.empty()) system_[key] = json::text_or(driver.resource, "version");
  own_[std::move(key)] = std::move(driver);
  return result;
}

Result<void> Installer::keep(const store::Driver& driver, const store::Driver* old) {
  auto kept = old != nullptr ? store_.update_driver(driver) : store_.insert_driver(driver);
  return kept ? Result<void>() : Result<void>(kept.error());
}

}  // namespace sluice::driver
