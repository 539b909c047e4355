// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <functional>

namespace CLI {
class App;
}

namespace sluice::app {

// Adds `import` to the word `driver`. Exit code: 0 where every driver that was found is in place, or stays out for what
// is already there; 1 where one was refused for a fault of its own, or nothing could be imported at all.
void add_driver_import(CLI::App& word, std::function<int()>& run);

}  // namespace sluice::app
