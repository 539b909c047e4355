// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <boost/json/object.hpp>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "connector/connector.h"

namespace sluice::connector {

// One fault of a configuration: JSON Pointer below the connection ("/configuration/hostName"), what was wrong and what
// would be right; never a secret's value.
struct Fault {
  std::string path, message;
};

// What is known of a connector: all of it comes from its folder.
struct Descriptor {
  std::string id;                                     // "actility-mqtt-iot"
  std::string folder;                                 // "mqtt"
  boost::json::object resource;                       // as GET /connectors shows it (spec api.md 4)
  std::shared_ptr<const boost::json::object> schema;  // draft-04 schema of `configuration`, shared fragments merged in
  // Brands of a generic transport (spec api.md 4) are data: the same schema with a brand's own defaults and limits.
  std::map<std::string, std::shared_ptr<const boost::json::object>, std::less<>> brand_schemas;
  std::string readme;
  // What the server's operator may set for all connections of this connector: name to default.
  std::map<std::string, std::string, std::less<>> server_settings;
  Factory make = nullptr;

  // The value of a declared setting out of all connectors' "FOLDER.NAME" -> value, else its default; "" where it is not
  // declared.
  [[nodiscard]] std::string server_setting(std::string_view name,
                                           const std::map<std::string, std::string>& given) const;
  // The schema for connections of that brand; the connector's own where the brand is empty or unknown. Settings are
  // made with this one, so that a brand's defaults take effect.
  [[nodiscard]] const std::shared_ptr<const boost::json::object>& schema_for(std::string_view brand) const;
};

// Reads one folder. Errors: bad_config, naming the folder, the property and what is missing.
Result<Descriptor> describe(std::string_view folder, std::string_view schema_text, std::string_view common_text,
                            std::string_view readme, Factory make);

class Registry {
 public:
  // Reads the embedded folders. A folder whose schema.json is not sound ends the process with a clear text (a test runs
  // it).
  Registry();
  [[nodiscard]] const std::vector<Descriptor>& all() const { return descriptors_; }  // by id
  [[nodiscard]] const Descriptor* find(std::string_view id) const;
  // Settings of the server for connectors that none has declared. Errors: bad_config, naming the setting and what there
  // is.
  [[nodiscard]] Result<void> check_server_settings(const std::map<std::string, std::string>& given) const;

 private:
  std::vector<Descriptor> descriptors_;
};

// All faults of a configuration at once: schema, host names, URLs, durations, patterns, PEM pairs and contradictions
// (spec api.md 5.3). Unknown keys are no fault.
std::vector<Fault> validate(const Descriptor& connector, const boost::json::object& configuration,
                            std::string_view brand = {});
// Keys the schema does not know, each with the nearest known one ("hostname" -> "hostName") or "".
std::vector<std::pair<std::string, std::string>> unknown_keys(const Descriptor& connector,
                                                              const boost::json::object& configuration);

// Secrets (spec api.md 5.5): what the schema marks x-secret, and header values by their header's name.
// The configuration with every secret that is set replaced by "*****".
boost::json::object mask(const Descriptor& connector, boost::json::object configuration);
// Takes the secrets out: what is left, "*****" in their places, may be stored in clear and shown; the second is an
// object of JSON Pointer -> value to be sealed.
std::pair<boost::json::object, boost::json::object> split_secrets(const Descriptor& connector,
                                                                  boost::json::object configuration);
// Puts split secrets back.
boost::json::object join_secrets(boost::json::object configuration, const boost::json::object& secrets);
// For PUT and PATCH: "*****" for a secret takes the value out of `stored`, the configuration with its secrets joined
// (empty for POST). Faults: "*****" where nothing is stored.
std::vector<Fault> keep_masked(const Descriptor& connector, boost::json::object& updated,
                               const boost::json::object& stored);
// Puts the defaults that the schema marks "x-default-shown" into an answer.
void show_defaults(const Descriptor& connector, boost::json::object& configuration);

}  // namespace sluice::connector
