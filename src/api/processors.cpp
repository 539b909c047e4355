// SPDX-License-Identifier: Apache-2.0
// Trying operations on a message (spec api.md 9).
#include "api/fields.h"
#include "api/router.h"
#include "message/json_scan.h"
#include "message/message.h"
#include "processor/filter.h"

namespace sluice::api {
namespace {

Response execute(Call& call) {
  if (!call.body.is_object()) return fail({{"", "must be an object"}});
  boost::json::object kept;
  std::vector<FieldFault> faults;
  Fields fields(call.body.get_object(), kept, faults);
  const auto* operations = fields.array("upOperations", true);
  const auto* uplink = fields.object("uplink", true);
  if (operations != nullptr) check_up_operations(operations->get_array(), "/upOperations", faults);
  if (!faults.empty()) return fail(faults);
  auto filters = processor::Operations::read(operations->get_array());
  if (!filters) return fail({{"/upOperations", filters.error().text}});
  // The text as it came: numbers keep their spelling through the standard transformations.
  std::string document = json::write(*uplink);
  for (const auto& member : message::scan::items(call.request.body)) {
    if (member.name() == "uplink") document = message::scan::compact(member.value).value_or(std::move(document));
  }
  auto message = message::parse_report(document);
  if (!message) return fail({{"/uplink", message.error().text}});
  if (!filters->keeps(*message)) return answer(nullptr).with("X-Filtered", "true");
  if (!filters->transforms()) return answer(*uplink);
  auto made = filters->apply(*message, std::move(document));
  if (!made) return fail("com-4000", made.error().text);
  return {.body = std::move(*made)};
}

}  // namespace

void add_processors(std::vector<Route>& routes) {
  routes.push_back({"POST", "/iot-flow/v1/processor/execute", Access::reader, execute, Body::json});
}

}  // namespace sluice::api
