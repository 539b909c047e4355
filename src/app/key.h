// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <functional>
#include <string>

#include "base/result.h"

namespace CLI {
class App;
}

namespace sluice::app {

// The key that seals the secrets of the data directory: DIRECTORY/key, made where there is none. A rotation that was
// interrupted is brought to its end, or undone where it had not come far enough; either way nothing is lost. Only under
// the directory's lock. Errors: bad_config, or as of the store.
Result<std::string> installation_key(const std::string& directory);

// Seals all secrets with a fresh key: it is written to DIRECTORY/key.new, the database is sealed anew in one
// transaction, and key.new becomes key. Killed at any moment, installation_key() finds the right one. Takes the
// directory's lock. Returns how many values were sealed.
Result<std::size_t> rotate_key(const std::string& directory);

// Adds the word `key`.
void add_key(CLI::App& app, std::function<int()>& run);

}  // namespace sluice::app
