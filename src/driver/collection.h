// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <functional>
#include <string>
#include <vector>

#include "driver/package.h"

namespace sluice::driver {

// What a path was found to be.
enum class Layout : std::uint8_t {
  none,
  single,           // one driver
  catalogue,        // vendors/<vendor>/{vendor.yaml, models/, drivers/} (spec drivers.md 16.6)
  older_catalogue,  // <producer>/<module>/package.json
  ttn,              // vendor/<vendor>/*.yaml, some of them codecs
  chirpstack,       // vendors/<vendor>/{vendor.toml, devices/*.toml, codecs/*.js}
  coder_pairs,      // <series>/<device>/<device>-decoder.js
  loose,            // a folder of .tgz and .js files
};
const char* to_text(Layout layout);

struct Refusal {
  std::string path, reason;
};

struct Collection {
  std::vector<Layout> layouts;  // of the paths, in their order
  std::vector<Package> packages;
  std::vector<Refusal> refused;      // drivers that cannot be read
  std::vector<Refusal> passed_over;  // what is no driver, and why it was looked at
};

// Finds out what each path is, one driver or a whole checkout, and reads all drivers there. Nothing is run. Ids of
// collections that have none: the vendor's folder, the device, version 1. Two that come to one id in a catalogue: the
// one later in name order is called by its protocolId (section 1). `progress` is called with each driver's path before
// it is read; it may be empty.
Collection scan(const std::vector<std::string>& paths, const std::function<void(const std::string&)>& progress = {});

}  // namespace sluice::driver
