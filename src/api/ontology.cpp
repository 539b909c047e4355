// SPDX-License-Identifier: Apache-2.0
// The ontology of points (spec api.md 10): the same for everybody, so no token is asked for.
#include "driver/ontology.h"

#include "api/driver_calls.h"
#include "api/router.h"

namespace sluice::api {
namespace {

using boost::json::array;
using boost::json::object;

// A whole number as one: 32, not 32.0.
boost::json::value number(double value) {
  auto whole = static_cast<std::int64_t>(value);
  return static_cast<double>(whole) == value ? boost::json::value(whole) : boost::json::value(value);
}

object resource_of(const driver::Unit& unit) {
  object resource{
      {"id", unit.id}, {"name", unit.name}, {"type", unit.type}, {"symbol", unit.symbol}, {"set", "scalar-si"}};
  if (!unit.parent_id.empty()) resource["parentId"] = unit.parent_id;
  resource["domains"] = array(unit.domains.begin(), unit.domains.end());
  object dimensions;
  const auto& d = unit.dimensions;
  const std::pair<const char*, int> exponents[] = {{"m", d.m}, {"kg", d.kg},   {"s", d.s},  {"A", d.A},
                                                   {"K", d.K}, {"mol", d.mol}, {"cd", d.cd}};
  for (const auto& [name, exponent] : exponents) {
    if (exponent != 0) dimensions[name] = exponent;
  }
  resource["dimensions"] = std::move(dimensions);
  array steps;
  for (const auto& step : unit.steps)
    steps.push_back(object{{"name", step.name}, {"value", number(step.value)}});
  resource["transformations"] = std::move(steps);
  resource["sensors"] = array(unit.sensors.begin(), unit.sensors.end());
  return resource;
}

object resource_of(const driver::Sensor& sensor) {
  array units;
  for (const auto* unit : sensor.units)
    units.push_back(object{{"unitId", unit->id}, {"type", unit->type}});
  return {{"id", sensor.id}, {"units", std::move(units)}};
}

template <class Items>
Response list(Call& call, const Items& items) {
  array all;
  for (const auto& item : items)
    all.push_back(resource_of(item));
  return answer_list(call, std::move(all), true);
}

Response list_units(Call& call) {
  return list(call, driver::units());
}
Response list_sensors(Call& call) {
  return list(call, driver::sensors());
}

Response get_unit(Call& call) {
  const auto* unit = driver::find_unit(call.params[0]);
  return unit != nullptr ? answer(resource_of(*unit)) : fail("com-4004", "there is no unit " + call.params[0]);
}

Response get_sensor(Call& call) {
  const auto* sensor = driver::find_sensor(call.params[0]);
  return sensor != nullptr ? answer(resource_of(*sensor)) : fail("com-4004", "there is no sensor " + call.params[0]);
}

}  // namespace

std::string point_fault(std::string_view name, const boost::json::value& declaration) {
  if (!declaration.is_object()) return "must be an object";
  const auto& point = declaration.get_object();
  auto type = json::text_or(point, "type");
  if (!type.empty() && !driver::is_point_type(type)) return "type must be string, int64, double, boolean or object";
  auto unit = json::text_or(point, "unitId");
  if (unit.empty() || json::text_or(point, "standardNaming") == "unsupported") return {};
  if (driver::is_standard_point(name, unit)) return {};
  return "no point of the ontology has this name and the unit " + unit +
         "; declare \"standardNaming\": \"unsupported\" to keep it";
}

void add_ontology(std::vector<Route>& routes) {
  routes.push_back({"GET", "/iot-flow/v1/ontology/units", Access::open, list_units});
  routes.push_back({"GET", "/iot-flow/v1/ontology/units/{unitId}", Access::open, get_unit});
  // The deprecated name of sensors goes on.
  for (std::string_view name : {"/iot-flow/v1/ontology/sensors", "/iot-flow/v1/ontology/fields"})
    routes.push_back({"GET", name, Access::open, list_sensors});
  for (std::string_view name : {"/iot-flow/v1/ontology/sensors/{sensorId}", "/iot-flow/v1/ontology/fields/{sensorId}"})
    routes.push_back({"GET", name, Access::open, get_sensor});
}

}  // namespace sluice::api
