// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include <boost/json/object.hpp>

#include "connector/connector.h"

namespace sluice::connector {

// One fault of a configuration: JSON Pointer below the connection ("/configuration/hostName"), what was wrong and what would
// be right; never a secret's value.
struct Fault {
  std::string path, message;
};

// What is known of a connector: all of it comes from its folder.
struct Descriptor {
  std::string id;                       // "actility-mqtt-iot"
  std::string folder;                   // "mqtt"
  boost::json::object resource;         // as GET /connectors shows it (spec api.md 4)
  std::shared_ptr<const boost::json::object> schema;  // draft-04 schema of `configuration`, shared fragments merged in
  std::string readme;
  Factory make = nullptr;
};

class Registry {
 public:
  // Reads the embedded folders. A folder whose schema.json is not sound ends the process with a clear text (a test runs it).
  Registry();
  [[nodiscard]] const std::vector<Descriptor>& all() const { return descriptors_; }  // by id
  [[nodiscard]] const Descriptor* find(std::string_view id) const;

 private:
  std::vector<Descriptor> descriptors_;
};

// All faults of a configuration at once: schema, host names, URLs, durations, patterns, PEM pairs and contradictions
// (spec api.md 5.3). Unknown keys are no fault.
std::vector<Fault> validate(const Descriptor& connector, const boost::json::object& configuration);
// Keys the schema does not know, each with the nearest known one ("hostname" -> "hostName") or "".
std::vector<std::pair<std::string, std::string>> unknown_keys(const Descriptor& connector,
                                                              const boost::json::object& configuration);

// Secrets (spec api.md 5.5): what the schema marks x-secret, and header values by their header's name.
// The configuration with every secret that is set replaced by "*****".
boost::json::object mask(const Descriptor& connector, boost::json::object configuration);
// Takes the secrets out: what is left may be stored in clear; the second is an object of JSON Pointer -> value to be sealed.
std::pair<boost::json::object, boost::json::object> split_secrets(const Descriptor& connector,
                                                                  boost::json::object configuration);
// Puts split secrets back.
boost::json::object join_secrets(boost::json::object configuration, const boost::json::object& secrets);
// For PUT and PATCH: "*****" for a secret takes the stored value. Faults: "*****" where nothing is stored.
std::vector<Fault> keep_masked(const Descriptor& connector, boost::json::object& updated,
                               const boost::json::object& stored);
// Puts the defaults that the schema marks "x-default-shown" into an answer.
void show_defaults(const Descriptor& connector, boost::json::object& configuration);

}  // namespace sluice::connector
