// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <vector>

#include "connector/connector.h"

namespace sluice::connector {

// One folder below src/connector, as the build embeds it (tools/embed_connectors.py).
struct Embedded {
  const char* folder;
  const char* schema;  // text of schema.json
  const char* readme;  // text of README.md
  Factory make;
};

extern const char* const kCommonSchema;  // text of common.schema.json: properties common to all connectors
const std::vector<Embedded>& embedded();

}  // namespace sluice::connector
