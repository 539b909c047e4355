// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>

#include "app/rest_client.h"
#include "base/result.h"

namespace CLI {
class App;
}

namespace sluice::app {

// The options by which a word of the command line finds the running server and its secret: --data, --url, --client-id,
// --client-secret-file, --client-secret-env. The secret itself is never one: everybody on the machine could read it.
struct ServerFlags {
  ServerPlace place;
  std::string secret_file, secret_environment;
  // Adds them to the word; this must outlive its parsing.
  void add_to(CLI::App& word);
  // The place with the secret read. Errors: bad_config where the file or the variable has none.
  [[nodiscard]] Result<ServerPlace> complete() const;
};

}  // namespace sluice::app
