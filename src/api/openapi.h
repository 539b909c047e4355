// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>
#include <string_view>

namespace sluice::api {

// Text of openapi.yaml, embedded by the build.
extern const std::string_view kOpenApiYaml;
// The contract as it is served, as JSON: that text, and what each operation may answer because of its route's kind (401
// without a token, 413, 415, paging headers and the like). Made at the first call; thread-safe.
const std::string& openapi_json();

}  // namespace sluice::api
