// SPDX-License-Identifier: Apache-2.0
#include "app/local_engine.h"

namespace sluice::app {

Result<std::unique_ptr<LocalEngine>> LocalEngine::start(unsigned hosts) {
  std::unique_ptr<LocalEngine> made(new LocalEngine);
  driver::EngineOptions options;
  options.fast_hosts = hosts;
  // Rewriting a source of 1 MiB for line coverage takes its time and gives more than 1 MiB.
  options.call_limit = std::chrono::seconds(10);
  options.result_limit = 6u << 20;
  options.memory_limit = 512u << 20;
  made->engine_ = std::make_unique<driver::Engine>(options, made->metrics_);
  if (auto started = made->engine_->start(); !started) return started.error();
  return made;
}

driver::Limits server_limits() {
  const driver::EngineOptions options;
  return {.call = options.call_limit,
          .memory = options.memory_limit,
          .result = options.result_limit,
          .depth = driver::kMaxDepth};
}

}  // namespace sluice::app
