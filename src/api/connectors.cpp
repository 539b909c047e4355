// SPDX-License-Identifier: Apache-2.0
// What can be connected to (spec api.md 4).
#include "api/router.h"

namespace sluice::api {
namespace {

Response list(Call& call) {
  boost::json::array all;
  for (const auto& connector : call.context.registry.all())
    all.push_back(connector.resource);
  return answer_list(call, std::move(all), false);
}

Response get(Call& call) {
  const auto* connector = call.context.registry.find(call.params[0]);
  if (connector == nullptr) return fail("com-4004", "there is no connector " + call.params[0]);
  return answer(connector->resource);
}

}  // namespace

void add_connectors(std::vector<Route>& routes) {
  routes.push_back({"GET", "/iot-flow/v1/connectors", Access::reader, list});
  routes.push_back({"GET", "/iot-flow/v1/connectors/{connectorId}", Access::reader, get});
}

}  // namespace sluice::api
