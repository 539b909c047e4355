// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <functional>

namespace CLI {
class App;
}

namespace sluice::app {

// Adds the word `driver` with all that follows it; when one of those is given, `run` is set to what does it and gives
// the exit code.
void add_driver(CLI::App& app, std::function<int()>& run);

// Its parts, one file each: add a word below `driver`.
void add_driver_new(CLI::App& driver, std::function<int()>& run);
void add_driver_test(CLI::App& driver, std::function<int()>& run);
void add_driver_bench(CLI::App& driver, std::function<int()>& run);

}  // namespace sluice::app
