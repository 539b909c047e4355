// SPDX-License-Identifier: Apache-2.0
// Trying a connection before it is saved (spec api.md 5.9).
#include "api/router.h"

namespace sluice::api {

void add_connection_test(std::vector<Route>&) {}

}  // namespace sluice::api
