// SPDX-License-Identifier: Apache-2.0
// Accounts, members and their API keys (spec api.md 13).
#include "api/router.h"

namespace sluice::api {

void add_iot_admin(std::vector<Route>&) {}

}  // namespace sluice::api
