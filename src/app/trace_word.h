// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <functional>

namespace CLI {
class App;
}

namespace sluice::app {

// Adds the word `trace`, which tells where the last messages of a device went; when it is given, `run` is set.
void add_trace(CLI::App& app, std::function<int()>& run);

}  // namespace sluice::app
