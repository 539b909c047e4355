// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <functional>

namespace CLI {
class App;
}

namespace sluice::app {

// Adds the word `tap`, which shows the messages of a running server as they go by; when it is given, `run` is set.
void add_tap(CLI::App& app, std::function<int()>& run);

}  // namespace sluice::app
