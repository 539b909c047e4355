// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <functional>

#include "app/options.h"

namespace CLI {
class App;
}

namespace sluice::app {

// Adds the word `serve`; when it is given, `run` is set to what runs the server until SIGTERM or SIGINT.
void add_serve(CLI::App& app, std::function<int()>& run);

// Runs the server. Exit code: 0 after a clean stop, 1 when it could not start (the reason is logged).
int serve(ServeOptions options);

}  // namespace sluice::app
