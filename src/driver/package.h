// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <boost/json/object.hpp>
#include <optional>
#include <string>
#include <vector>

#include "base/result.h"
#include "driver/engine.h"
#include "driver/example.h"

namespace sluice::driver {

struct ModuleName {
  std::string producer, module, version;                                                      // version: the major one
  [[nodiscard]] std::string text() const { return producer + ":" + module + ":" + version; }  // a protocolId
};

// A driver as its author packs it (spec drivers.md 2): an npm package, a catalogue folder, a bare script, or what other
// collections have in their place. Nothing of it has been run.
struct Package {
  std::string path;      // where it was found, for a report
  std::string name;      // without scope
  std::string version;   // SemVer
  std::string producer;  // who wrote it
  std::string description;
  std::optional<ModuleName> application;
  std::vector<ModuleName> models;
  std::optional<Signature> signature;  // nothing: to be found by looking
  bool use_context = false, is_private = false, trusted_crc_matches = false;
  std::string entry;           // the file that `code` came from
  std::string code;            // "" for a private driver without code
  std::string extract_points;  // of extractPoints.js
  boost::json::object points_schema, uplink_schema, downlink_schema;
  boost::json::object links;      // specification, deviceImageUrl, manufacturerLogoUrl, providerLogoUrl
  std::vector<Example> examples;  // errors/ included
  std::vector<std::string> warnings;

  // "{producer}:{name}:{major}" (spec drivers.md 1).
  [[nodiscard]] std::string id() const;
};

// Reads one driver: a .tgz, a folder or a .js file. Nothing is run. Errors: permanent, naming the file and what is
// wrong or missing. Bounded: 1 MiB of source, 16 MiB unpacked, 4,096 files.
Result<Package> read_package(const std::string& path);

}  // namespace sluice::driver
