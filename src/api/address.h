// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "api/http.h"

namespace sluice::api {

// Whether the text is an address ("10.1.2.3", "fd00::1") or a network ("10.0.0.0/8").
bool is_network(std::string_view text);

// Where a request comes from: the peer of the connection, or, where that is one of the proxies (addresses and
// networks), the last address of X-Forwarded-For that is none of them. What others write into that header is not
// believed.
std::string client_address(const Request& request, const std::vector<std::string>& proxies);

// What failures are counted by: an IPv4 address, or the /64 network of an IPv6 address, which is what one customer
// gets.
std::string limit_key(const std::string& address);

}  // namespace sluice::api
