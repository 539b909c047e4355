// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <boost/json/value.hpp>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "driver/engine.h"

namespace sluice::driver {

// One example of a driver, whatever form it was written in (spec drivers.md 12), brought to the current form.
struct Example {
  enum class Kind : std::uint8_t { uplink, downlink_decode, downlink_encode, points };
  Kind kind = Kind::uplink;
  std::string description;
  std::string file;  // where it stands, for a report: "examples.json", "README.md"
  // As in 12.1: bytes (hex text), fPort, time, thing, context, DevEUI; encoding: data, fPort; points: the message.
  boost::json::object input;
  // What the function returns, brought to {data, errors, warnings} or {bytes, fPort, errors, warnings} (6.1). Absent
  // for an error example.
  std::optional<boost::json::value> output;
  std::optional<boost::json::object> points;  // uplinks: expected ones; nothing: not looked at (12.4)
  std::optional<std::string> error;           // 12.3: text that the thrown message contains
  bool use_context = false;
};

}  // namespace sluice::driver
