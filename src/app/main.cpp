// SPDX-License-Identifier: Apache-2.0
#include <CLI/CLI.hpp>
#include <functional>
#include <string_view>

#include "app/codec_word.h"
#include "app/driver_word.h"
#include "app/key.h"
#include "app/serve.h"
#include "app/simulate.h"
#include "app/tap_word.h"
#include "app/trace_word.h"
#include "driver/engine.h"

int main(int argc, char** argv) {
  // How the engine starts its driver hosts: no option parsing, no libraries touched before the sandbox is up.
  if (argc == 2 && std::string_view(argv[1]) == "driver-host") return sluice::driver::run_host();

  CLI::App app("Sluice, an open IoT Flow engine for LoRaWAN", "sluice");
  app.set_version_flag("--version", "sluice " SLUICE_VERSION);
  app.require_subcommand(1);
  app.footer("'sluice WORD --help' tells about each word. Documentation: docs/.");
  std::function<int()> run;
  sluice::app::add_serve(app, run);
  sluice::app::add_simulate(app, run);
  sluice::app::add_driver(app, run);
  sluice::app::add_codec(app, run);
  sluice::app::add_tap(app, run);
  sluice::app::add_trace(app, run);
  sluice::app::add_key(app, run);
  CLI11_PARSE(app, argc, argv);
  return run ? run() : 0;
}
