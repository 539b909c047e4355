// SPDX-License-Identifier: Apache-2.0
// Events and messages as they happen, by Server-Sent Events.
#include "api/router.h"

namespace sluice::api {

void add_live(std::vector<Route>&) {}

}  // namespace sluice::api
