// SPDX-License-Identifier: Apache-2.0
// What is pending, what was given up, what is delivered once more.
#include "api/router.h"

namespace sluice::api {

void add_delivery(std::vector<Route>&) {}

}  // namespace sluice::api
