// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>
#include <string_view>

#include "base/result.h"

namespace sluice::connector::greengrass {

// The authorities of all groups in an answer of the discovery service (spec connectors.md 5.4), as one bundle of
// normalised PEM without repeats. Errors: permanent: no such answer, or none in it.
Result<std::string> authorities_of(std::string_view answer);

}  // namespace sluice::connector::greengrass
