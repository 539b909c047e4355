// SPDX-License-Identifier: Apache-2.0
#include "driver/ontology.h"

#include <gtest/gtest.h>
#include <set>
#include <string>

namespace sluice::driver {
namespace {

TEST(OntologyTest, HasAllUnitsOnceAndEachIsUsed) {
  EXPECT_EQ(units().size(), 115u);
  std::set<std::string_view> ids;
  for (const auto& unit : units()) {
    EXPECT_TRUE(ids.insert(unit.id).second) << unit.id;
    EXPECT_FALSE(unit.name.empty() || unit.symbol.empty() || unit.domains.empty()) << unit.id;
    EXPECT_FALSE(unit.sensors.empty()) << unit.id;
    for (const auto& step : unit.steps)
      EXPECT_NE(step.value, 0) << unit.id;
    for (auto name : unit.sensors)
      EXPECT_TRUE(is_standard_point(name, unit.id)) << name << " " << unit.id;
  }
}

TEST(OntologyTest, ParentsMeasureTheSame) {
  for (const auto& unit : units()) {
    if (unit.parent_id.empty()) continue;
    const auto* parent = find_unit(unit.parent_id);
    ASSERT_NE(parent, nullptr) << unit.id;
    EXPECT_EQ(parent->dimensions, unit.dimensions) << unit.id;
    EXPECT_TRUE(parent->parent_id.empty()) << unit.id;
    EXPECT_TRUE(parent->steps.empty()) << unit.id << ": a parent is the SI unit";
    EXPECT_FALSE(unit.steps.empty()) << unit.id;
  }
}

TEST(OntologyTest, EverySensorHasUnits) {
  EXPECT_EQ(sensors().size(), 115u);
  for (const auto& sensor : sensors())
    EXPECT_FALSE(sensor.units.empty()) << sensor.id;
  ASSERT_NE(find_sensor("current"), nullptr);
  ASSERT_EQ(find_sensor("current")->units.size(), 2u);
  EXPECT_EQ(find_sensor("current")->units[0]->id, "A");
  EXPECT_EQ(find_sensor("current")->units[1]->id, "mA");
}

TEST(OntologyTest, TypesAreThoseOfTheUnits) {
  const std::pair<const char*, const char*> known[] = {{"count", "int64"},   {"index", "int64"},     {"okta", "int64"},
                                                       {"state", "boolean"}, {"IEEE-802", "string"}, {"GPS", "object"},
                                                       {"Cel", "double"}};
  for (auto [id, type] : known)
    EXPECT_EQ(find_unit(id)->type, type) << id;
}

TEST(OntologyTest, TransformsKnownValues) {
  struct Known {
    const char* id;
    double value, si;
  };
  const Known known[] = {{"Far", 212, 373.15},
                         {"Far", -40, 233.15},
                         {"Cel", 20, 293.15},
                         {"km/h", 36, 10},
                         {"mm/h", 3600000, 1},
                         {"kWh", 1, 3.6e6},
                         {"mAh", 1000, 3600},
                         {"deg", 180, 3.14159265358979},
                         {"rpm", 60, 6.28318530717959},
                         {"uS/cm", 1500, 0.15},
                         {"mS/cm", 1.5, 0.15},
                         {"mbar", 1013.25, 101325},
                         {"hPa", 1013.25, 101325},
                         {"m3/h", 3.6, 0.001},
                         {"l/s", 1, 0.001},
                         {"ug/m3", 1e9, 1},
                         {"#/cm3", 1, 1e6},
                         {"mgravity", 1000, 9.80665},
                         {"ppm", 400, 0.0004},
                         {"month", 12, 31557600},
                         {"MW/m", 60, 1e6},
                         {"%", 50, 0.5},
                         {"K", 300, 300}};
  for (const auto& [id, value, si] : known) {
    ASSERT_NE(find_unit(id), nullptr) << id;
    EXPECT_NEAR(to_si(*find_unit(id), value), si, 1e-9 * std::max(1.0, si)) << id;
  }
}

TEST(OntologyTest, DimensionsAreReadWithTheirExponents) {
  EXPECT_EQ(find_unit("V")->dimensions, (Dimensions{.m = 2, .kg = 1, .s = -3, .A = -1}));
  EXPECT_EQ(find_unit("F")->dimensions, (Dimensions{.m = -2, .kg = -1, .s = 4, .A = 2}));
  EXPECT_EQ(find_unit("umol/m2.s")->dimensions, (Dimensions{.m = -2, .s = -1, .mol = 1}));
  EXPECT_EQ(find_unit("lx")->dimensions, (Dimensions{.m = -2, .cd = 1}));
  EXPECT_EQ(find_unit("Far")->dimensions, (Dimensions{.K = 1}));
  EXPECT_EQ(find_unit("pH")->dimensions, Dimensions{});
}

TEST(OntologyTest, OlderUnitsStandForTheirNewNames) {
  EXPECT_EQ(find_unit("hour"), find_unit("h"));
  EXPECT_TRUE(is_standard_point("reactivePower", "var"));
  EXPECT_TRUE(is_standard_point("temperature", "Cel"));
  EXPECT_FALSE(is_standard_point("temperature", "bar"));
  EXPECT_FALSE(is_standard_point("Temperature", "Cel"));
  EXPECT_FALSE(is_standard_point("temperature", ""));
  EXPECT_TRUE(is_point_type("int64"));
  EXPECT_FALSE(is_point_type("integer"));
}

}  // namespace
}  // namespace sluice::driver
