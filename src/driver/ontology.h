// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace sluice::driver {

// The ontology of points (spec drivers.md 19): which names a point may have, in which units, and what a unit is. The
// units follow oBIX. All data is constant; thread-safe.

// One step of a value's way to the SI unit (spec api.md 10).
struct UnitStep {
  std::string_view name;  // add, subtract, multiply, divide
  double value = 0;
};

// The exponents of the base units.
struct Dimensions {
  int m = 0, kg = 0, s = 0, A = 0, K = 0, mol = 0, cd = 0;
  friend bool operator==(const Dimensions&, const Dimensions&) = default;
};

struct Unit {
  std::string_view id;         // "Cel", "m/s2", "%"
  std::string_view name;       // "degree Celsius"
  std::string_view symbol;     // as people write it: "°C"
  std::string_view parent_id;  // the ontology's unit of the same quantity that it is measured by; empty: none
  std::string_view type;       // of a value: double, int64, boolean, string, object
  std::vector<std::string_view> domains;  // quantities that it measures
  Dimensions dimensions;
  std::vector<UnitStep> steps;  // in order; none: it is the SI unit, or (levels, scales, indexes) there is no such way
  std::vector<std::string_view> sensors;  // names of points that may have it
};

// A name of points, with its units.
struct Sensor {
  std::string_view id;
  std::vector<const Unit*> units;
};

// Both by id, bytewise.
std::span<const Unit> units();
std::span<const Sensor> sensors();
const Unit* find_unit(std::string_view id);  // older spellings too; null for another word
const Sensor* find_sensor(std::string_view id);

// Today's spelling of an older unit ("hour" is "h"; spec drivers.md 11.3); any other text as it is.
std::string_view current_unit(std::string_view id);

// Whether a point of that name (without ":n") may have that unit.
bool is_standard_point(std::string_view name, std::string_view unit_id);

// Whether a point may be declared of that type (spec drivers.md 11.3).
bool is_point_type(std::string_view type);

// A value brought to the SI unit by the unit's steps.
double to_si(const Unit& unit, double value);

}  // namespace sluice::driver
