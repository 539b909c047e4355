// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <functional>

namespace CLI {
class App;
}

namespace sluice::app {

// Adds the word `simulate` to the command line. When it is given, `run` is set to what does it and gives the exit code:
// 0; 1 when reports were lost, damaged or reordered, or none was answered; 2 for options that make no sense.
void add_simulate(CLI::App& app, std::function<int()>& run);

}  // namespace sluice::app
