// SPDX-License-Identifier: Apache-2.0
#include "app/driver_word.h"

#include <CLI/CLI.hpp>

#include "app/driver_import.h"

namespace sluice::app {

void add_driver(CLI::App& app, std::function<int()>& run) {
  auto* word = app.add_subcommand("driver", "Payload drivers: start, test, measure, import");
  word->require_subcommand(1);
  add_driver_new(*word, run);
  add_driver_test(*word, run);
  add_driver_bench(*word, run);
  add_driver_import(*word, run);
}

}  // namespace sluice::app
