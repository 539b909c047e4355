// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/clock.h"
#include "base/http_client.h"
#include "base/result.h"
#include "connector/connector.h"

namespace sluice::connector::http {

// A connection's settings, read once: what every request has in common, and what of it comes out of the message.
struct Plan {
  HttpRequest base;  // without URL, headers of the configuration and body
  message::Pattern url;
  std::vector<std::pair<std::string, message::Pattern>> headers;
  bool strict = false, tunnel = false;
  std::string as_id, tunnel_key, infos;  // infos: LrnInfos

  // Errors: bad_config, naming the property.
  static Result<Plan> read(const Settings& settings, const std::string& connection_id);
};

// The request for one message. Errors: permanent (no such message in the tunnel, the URL can't be solved).
Result<HttpRequest> make_request(const Plan& plan, const Delivery& delivery, UnixMillis now);

// Where to knock before the first message: scheme and authority, as far as they are the same for every message; else
// empty.
std::string fixed_origin(const message::Pattern& url);

// What an answer means for its message (spec connectors.md 3.1, promises.md 1.3).
Result<void> verdict_of(const HttpResponse& response, bool strict);
// The same for an exchange that has failed.
Error verdict_of(const Error& error);

// The tunnel's query (spec messages.md 8.6), percent-encoded; `key` empty: unsigned. Errors: permanent, for messages
// that the tunnel does not know.
Result<std::string> tunnel_query(const message::Message& message, const std::string& infos, const std::string& as_id,
                                 const std::string& key, UnixMillis now);
// The token over the values that go into it: lower-case hex of SHA-256(elements + query + key).
std::string tunnel_token(std::string_view elements, std::string_view query, std::string_view key);

}  // namespace sluice::connector::http
