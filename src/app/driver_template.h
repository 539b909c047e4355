// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>
#include <utility>
#include <vector>

#include "base/result.h"
#include "driver/engine.h"

namespace sluice::app {

struct NewDriver {
  std::string name, producer = "custom";
  driver::Signature signature = driver::Signature::lora_alliance;
};

// What is wrong with the names (spec drivers.md 1); empty where all is well.
std::string fault_of(const NewDriver& wanted);

// The files of a package that decodes and encodes a made-up climate sensor, to start a driver from: {path, text}. Its
// examples pass and reach every line.
std::vector<std::pair<std::string, std::string>> template_files(const NewDriver& wanted);

}  // namespace sluice::app
