// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>
#include <variant>

#include "base/clock.h"
#include "base/result.h"
#include "message/message.h"
#include "store/store.h"

namespace sluice::binder::thingpark {

// Who sends: a network server attached (spec messages.md 8). Read from a store::Binder's resource.
struct Settings {
  std::string id, account;
  std::string as_id, as_key;
  bool security = true;
  std::string downlink_url;  // empty: this binder takes no downlinks
  std::optional<std::chrono::milliseconds> max_time_deviation;
};

// A request of the tunnel as it came.
struct Request {
  std::string_view query;  // still percent-encoded, without '?'
  std::string_view content_type;
  std::string_view body;
};

// What to answer instead of storing: 400, 401, 413.
struct Refusal {
  int status = 400;
  std::string text;
};

// Verifies the token and reads the report; account, binder and arrival time are set. Pure, no I/O, thread-safe.
std::variant<message::Message, Refusal> accept(const Settings& settings, const Request& request, UnixMillis now);

// The token of spec messages.md 8.2 for a body and a query; what the simulator and the HTTP connector sign with.
std::string make_token(std::string_view body_elements, std::string_view decoded_query_without_token,
                       std::string_view as_key);

}  // namespace sluice::binder::thingpark
