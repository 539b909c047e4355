// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "driver/install.h"
#include "driver/package.h"

namespace sluice::app {

struct ImportTarget {
  std::string data = "./sluice-data";
  std::string url;  // of a running server; empty: whatever serves `data`, or `data` itself
  std::string client_id = "admin", client_secret;  // empty: the data directory's admin
  std::string account;                             // empty: system drivers
  bool force = false, trust = false, dry_run = false;
};

// Where drivers are imported into: the store of a data directory that nobody serves, or a running server.
class Importer {
 public:
  virtual ~Importer() = default;
  // "the data directory ./sluice-data", "the server http://127.0.0.1:8080"
  [[nodiscard]] virtual std::string name() const = 0;
  // Each by itself, the results in the same order; `done` is called with each. Errors: what stops all of it: the server
  // does not answer, the store cannot be written. What had been imported before stays.
  virtual Result<void> install(std::vector<driver::Package> packages,
                               const std::function<void(const driver::Installed&)>& done) = 0;
};

// Errors: bad_config, saying what is wrong and what would be right.
Result<std::unique_ptr<Importer>> open_importer(const ImportTarget& target);

}  // namespace sluice::app
