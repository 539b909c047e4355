// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <chrono>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "base/http_client.h"
#include "base/result.h"

// What all of AWS's services have in common: where they are, and what their answers mean.
namespace sluice::connector::aws {

// Where a service answers over TLS.
struct Endpoint {
  std::string host;  // without brackets
  std::uint16_t port = 443;
  // As it stands in URLs and Host headers: the port is left out where it is 443 (RFC 9110 4.2.2), by libcurl and by our
  // WebSocket alike; the signature covers it.
  [[nodiscard]] std::string authority() const;
};

// "amazonaws.com"; "amazonaws.com.cn" for the regions in China. GovCloud has the common one.
std::string_view domain_of(std::string_view region);
// "iot.eu-central-1.amazonaws.com"
std::string registry_host(std::string_view region);
// "<prefix>.iot.eu-central-1.amazonaws.com"
std::string data_host(std::string_view prefix, std::string_view region);
// "greengrass-ats.iot.eu-central-1.amazonaws.com", in China "greengrass.ats.iot..."
std::string discovery_host(std::string_view region);

// "ResourceNotFoundException": x-amzn-ErrorType, or the body's __type; letters only, empty where there is none.
std::string error_type(const HttpResponse& response);
// The request came too fast, or AWS has a fault of its own: the same request may succeed later.
bool is_passing(const HttpResponse& response);
// The access key, its session or its signature is not accepted, whatever it is used for.
bool is_credential_fault(const HttpResponse& response);
// "AWS answered 403 (ForbiddenException)"
std::string answer_text(const HttpResponse& response);
// Retry-After in its form of seconds, at most an hour.
std::optional<std::chrono::milliseconds> retry_after(const HttpResponse& response);

// What an answer to a published message means for it (spec connectors.md 6.1, promises.md 1.3).
Result<void> verdict_of(const HttpResponse& response);
// The same for an exchange that has failed: an endpoint that does not answer is as unreachable as one that does not
// take the connection.
Error verdict_of(const Error& error);

}  // namespace sluice::connector::aws
