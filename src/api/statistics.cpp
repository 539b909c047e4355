// SPDX-License-Identifier: Apache-2.0
// A connection's counters as a series (spec api.md 5.7).
#include "api/router.h"

namespace sluice::api {

void add_statistics(std::vector<Route>&) {}

}  // namespace sluice::api
