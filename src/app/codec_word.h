// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <functional>

namespace CLI {
class App;
}

namespace sluice::app {

// Adds the word `codec` (decode, encode): one payload by a driver here, or by one of a running server. When it is
// given, `run` is set to what does it; exit code 1 where the driver fails or cannot be had.
void add_codec(CLI::App& app, std::function<int()>& run);

}  // namespace sluice::app
