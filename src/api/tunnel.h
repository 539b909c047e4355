// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>
#include <string_view>
#include <variant>

#include "api/server.h"

namespace sluice::api {

// The hot path: what is done for one report between reading it and appending it. No locks beyond the binders' snapshot,
// no I/O.

// The binder's id where this is a request of the tunnel ("/iot-flow/tunnel/<id>"), else empty.
std::string_view tunnel_binder(std::string_view method, std::string_view path);

// A report to append, or the status and text of the refusal (400, 401, 404, 413). Refusals are counted in an event
// binder-5001.
struct TunnelRefusal {
  int status;
  std::string text;
};
std::variant<message::Message, TunnelRefusal> read_report(const Context& context, std::string_view binder,
                                                          const binder::thingpark::Request& request,
                                                          const std::string& peer);

}  // namespace sluice::api
