// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>
#include <string_view>

namespace sluice::api {

// Text of openapi.yaml, embedded by the build.
extern const char* const kOpenApiYaml;
// The same contract as JSON.
const std::string& openapi_json();

}  // namespace sluice::api
