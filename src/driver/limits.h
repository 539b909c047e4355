// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <boost/json/object.hpp>
#include <string>
#include <vector>

#include "driver/engine.h"

namespace sluice::driver {

struct LimitFault {
  std::string name, text;  // "callTime", "may be at most 1000ms, the engine's own limit"
};

// `limits` of a driver's resource: {"callTime": "500ms", "memory": "64MiB", "result": "256KiB", "depth": 50}, each
// optional; what is absent is zero, the engine's own setting. `most`: the engine's own settings, over which none is
// allowed (zero: not looked at). Faults are added and their limit left at zero.
Limits read_limits(const boost::json::object& limits, const Limits& most, std::vector<LimitFault>& faults);

}  // namespace sluice::driver
