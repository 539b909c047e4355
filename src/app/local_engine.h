// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <memory>

#include "base/metrics.h"
#include "driver/engine.h"

namespace sluice::app {

// An engine for a word of the command line that runs drivers here, without a server. `hosts`: processes; 0: by the
// cores. Its limits are wide, for the words' own scripts: what is tried gets the limits of a server (server_limits).
class LocalEngine {
 public:
  // Errors: as Engine::start.
  static Result<std::unique_ptr<LocalEngine>> start(unsigned hosts = 0);
  driver::Engine& operator*() { return *engine_; }
  driver::Engine* operator->() { return engine_.get(); }

 private:
  LocalEngine() = default;
  Metrics metrics_;
  std::unique_ptr<driver::Engine> engine_;
};

// What a call gets in a server with its settings untouched (spec drivers.md 14).
driver::Limits server_limits();

}  // namespace sluice::app
