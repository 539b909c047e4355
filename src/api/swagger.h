// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string_view>
#include <vector>

namespace sluice::api {

// A file that the build put into the program. What is compressed keeps the ending .gz.
struct EmbeddedFile {
  std::string_view name, bytes;
};
// Swagger UI and our page around it.
extern const std::vector<EmbeddedFile> kSwaggerFiles;

}  // namespace sluice::api
