// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"

namespace sluice::connector {

// host, host:port, [v6], [v6]:port, each with an optional /path.
struct Address {
  std::string host;        // without brackets
  std::uint16_t port = 0;  // 0: none given
  std::string path;        // with its '/', empty where there is none
};

// Errors are bad_config and say what a host name looks like: a scheme in front is the usual mistake.
Result<Address> parse_address(std::string_view text);

// One or more of them without a path, separated by commas, blanks around each allowed. Errors are bad_config and name
// the one that is wrong.
Result<std::vector<Address>> parse_addresses(std::string_view text);

// A token of RFC 9110, as header names are.
bool is_header_name(std::string_view name);

}  // namespace sluice::connector
