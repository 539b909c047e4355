// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <boost/json/object.hpp>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "driver/engine.h"
#include "driver/example.h"

namespace sluice::driver {

class Files;

struct ModuleName {
  std::string producer, module, version;                                                      // version: the major one
  [[nodiscard]] std::string text() const { return producer + ":" + module + ":" + version; }  // a protocolId

  friend bool operator==(const ModuleName&, const ModuleName&) = default;
};

// A driver as its author packs it (spec drivers.md 2): an npm package, a catalogue folder, a bare script, or what other
// collections have in their place. Nothing of it has been run.
struct Package {
  std::string path;      // where it was found, for a report
  std::string name;      // without scope
  std::string version;   // SemVer
  std::string producer;  // who wrote it
  std::string label;     // a short name for people; may be empty
  std::string description;
  std::optional<ModuleName> application;
  std::vector<ModuleName> models;
  std::optional<Signature> signature;  // nothing: to be found by looking
  bool use_context = false, is_private = false;
  bool trusted_crc_matches = false;  // `trusted_crc` is the CRC-32 of the entry file's bytes (spec drivers.md 16.5)
  std::string trusted_crc;
  bool by_protocol = false;    // of a catalogue, where the protocolId is what a driver is found again by (section 1)
  std::string entry;           // the file that `code` came from; of a bundle (bundle.h) its first part
  std::string code;            // "" for a private driver without code
  std::string extract_points;  // of extractPoints.js
  boost::json::object points_schema, uplink_schema, downlink_schema;
  boost::json::object links;      // specification, deviceImageUrl, manufacturerLogoUrl, providerLogoUrl
  std::vector<Example> examples;  // errors/ and samples from production included (Example::for_tests)
  std::vector<std::string> warnings;

  // "{producer}:{name}:{major}" (spec drivers.md 1).
  [[nodiscard]] std::string id() const;
};

// Reads one driver: a .tgz, a folder, a .js file, or one of The Things Network's codec files. Nothing is run. Errors:
// permanent, naming the file and what is wrong or missing. Bounded: 1 MiB of source, 16 MiB unpacked, 4,096 files. What
// a form does not say is guessed for a script alone: `custom`, the file's name and 1.0.0.
Result<Package> read_package(const std::string& path);

// The same from what has been opened; `path` is for the report, its last part a name where none is given.
Result<Package> read_package(const Files& files, const std::string& path);

// A script alone. Examples are looked for beside it, where they are named as ChirpStack names them.
Result<Package> read_script(const Files& files, const std::string& file, const std::string& path);

// One codec of The Things Network's layout: a YAML file that names scripts of the same folder. `vendor` writes it.
Result<Package> read_ttn_codec(const Files& files, const std::string& file, const std::string& vendor,
                               const std::string& path);

// Whether the YAML text, read as JSON, is such a codec.
bool is_ttn_codec(const boost::json::value& yaml);

// "x-decoder.js" and, where it is there, "x-encoder.js" of a folder, each for one direction.
Result<Package> read_coder_pair(const Files& files, const std::string& decoder, const std::string& path);

// The decoder of a folder that has such a pair: the only one, or the one that is called as the folder; "" for none.
std::string find_coder(const Files& files, const std::string& folder_name);

// The text with all but [A-Za-z0-9._-] as '-', at most 64 characters: what an id's part may be (spec api.md 7).
std::string id_part(std::string_view text);

// "producer:module:version". Nothing where there are not three parts of 1 to 64 such characters.
std::optional<ModuleName> parse_module(std::string_view text);

// major.minor.patch with what may follow; shorter ones are filled up ("2" is "2.0.0"). Nothing where it is no version.
std::optional<std::string> plain_version(std::string_view text);

// Whether the first version comes before the second, as SemVer orders them.
bool older_than(std::string_view a, std::string_view b);

// A package as JSON and back, for the API: `code` and `extractPoints` in base64, examples in the API's form, those for
// tests left out. Errors: permanent, naming the member.
boost::json::object to_json(const Package& package);
Result<Package> package_from_json(const boost::json::object& json);

}  // namespace sluice::driver
