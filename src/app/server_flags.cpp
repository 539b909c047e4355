// SPDX-License-Identifier: Apache-2.0
#include "app/server_flags.h"

#include <CLI/CLI.hpp>
#include <cstdlib>
#include <fstream>

#include "base/codec.h"

namespace sluice::app {

void ServerFlags::add_to(CLI::App& word) {
  word.add_option("--data", place.data, "The running server's data directory")->capture_default_str();
  word.add_option("--url", place.url, "The running server (default: the one that serves the data directory)");
  word.add_option("--client-id", place.client_id, "Who signs in there")->capture_default_str();
  auto* file = word.add_option("--client-secret-file", secret_file, "Its secret, in a file");
  word.add_option("--client-secret-env", secret_environment, "Its secret, in this environment variable")
      ->excludes(file);
}

Result<ServerPlace> ServerFlags::complete() const {
  auto out = place;
  std::string secret;
  if (!secret_environment.empty()) {
    const char* value = std::getenv(secret_environment.c_str());
    secret = value == nullptr ? "" : value;
  } else if (!secret_file.empty()) {
    std::ifstream file(secret_file);
    std::getline(file, secret);
  } else {
    return out;
  }
  out.secret = std::string(trim(secret));
  if (out.secret.empty()) return Error{ErrorKind::bad_config, "no secret in " + secret_environment + secret_file};
  return out;
}

}  // namespace sluice::app
