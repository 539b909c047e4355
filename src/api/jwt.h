// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <boost/json/object.hpp>
#include <string>
#include <string_view>

#include "base/result.h"

namespace sluice::api {

// A JSON Web Token (RFC 7519) signed with HS256: the one algorithm we write and the one we accept, whatever a token's
// own header says.
std::string sign_jwt(const boost::json::object& claims, std::string_view key);
// The claims of a token with a good signature; times are the caller's to judge. Errors: permanent com-4001.
Result<boost::json::object> open_jwt(std::string_view token, std::string_view key);

}  // namespace sluice::api
