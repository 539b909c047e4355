// SPDX-License-Identifier: Apache-2.0
// Names of points and the units they may have (spec drivers.md 19; the units follow oBIX).
#include <algorithm>
#include <array>

#include "api/driver_calls.h"

namespace sluice::api {
namespace {

struct Row {
  std::string_view names, units;  // separated by blanks
};

constexpr Row kOntology[] = {
    {"acceleration vibration", "gravity m/s2 mgravity ugravity"},
    {"accuracy altitude distance height range", "cm km m mm um"},
    {"acidity", "pH"},
    {"activePower power", "GW kW MW W"},
    {"age duration interval period time", "day h minute month ms s year"},
    {"amount quantity", "count mol ppb ppm"},
    {"angle", "deg rad"},
    {"angularVelocity", "dps rpm"},
    {"apparentEnergy", "VAh"},
    {"apparentPower", "VA"},
    {"area", "m2"},
    {"batteryLevel currentUnbalance fillLevel leakLevel luminosityLevel occupancyLevel per percentage pressureLevel",
     "%"},
    {"batteryVoltage rmsVoltage voltage", "mV uV V"},
    {"benzene c2h4 ch2o ch4 co concentration h2s nh3 no2 o3 tvoc", "ppb ppm ug/m3"},
    {"brightness", "cd/m2"},
    {"capacitance", "F"},
    {"capacity", "l ml"},
    {"catalyticActivity", "kat"},
    {"charge", "Ah mAh"},
    {"cloudCover cover", "okta"},
    {"co2Level", "ppb ppm"},
    {"conductance", "S"},
    {"conductivity", "mS/cm S/m uS/cm"},
    {"count eventRate", "count/min count/s"},
    {"counter", "count"},
    {"current", "A mA"},
    {"data storage", "bit"},
    {"dataSpeed", "bit/s"},
    {"density", "#/cm3"},
    {"electricCharge", "C"},
    {"energy", "J kWh MWh Wh"},
    {"energyPrice", "euro/Wh"},
    {"flowRate", "l/s m3/h m3/s"},
    {"flux light", "lm lx"},
    {"fluxDensity", "umol/m2.s"},
    {"force", "N"},
    {"frequency", "hertz pulse/h"},
    {"humidity", "%RH"},
    {"illuminance", "lx"},
    {"inductance", "H"},
    {"intensity", "Bspl cd dB umol/m2.s"},
    {"irradiance solarRadiation", "W/m2"},
    {"leak presence status", "state"},
    {"location", "GPS"},
    {"mac", "IEEE-802"},
    {"magneticDensity", "T"},
    {"magneticFlux", "Wb"},
    {"mass weight", "g kg ug"},
    {"navigation", "dop"},
    {"nephelometricTurbidity turbidity", "ntu"},
    {"pm1 pm10 pm2_5 pm4", "ug/m3"},
    {"powerFactor rate", "/"},
    {"powerLevel", "dBW"},
    {"powerRate", "MW/m W/h W/s"},
    {"pressure", "bar hPa kPa mbar Pa"},
    {"price", "euro"},
    {"radiation", "Gy"},
    {"radiationEffect", "Sv"},
    {"radioactivity", "Bq"},
    {"reactiveEnergy", "VArh"},
    {"reactivePower", "VAr"},
    {"resistance", "Ohm"},
    {"rssi", "dBm"},
    {"snr", "Bspl dB"},
    {"solidAngle", "sr"},
    {"sound", "Bspl dB hertz pulse/h"},
    {"speed velocity", "km/h m/s mm/h mm/s"},
    {"temperature", "Cel Far K"},
    {"uv", "index"},
    {"volume", "l m3 ml"},
};

// Older units still met in drivers (spec drivers.md 11.3).
constexpr std::array<std::pair<std::string_view, std::string_view>, 3> kOldUnits = {
    {{"hour", "h"}, {"var", "VAr"}, {"varh", "VArh"}}};
constexpr std::array<std::string_view, 5> kTypes = {"string", "int64", "double", "boolean", "object"};

bool has_word(std::string_view words, std::string_view word) {
  while (!words.empty()) {
    auto first = words.substr(0, words.find(' '));
    if (first == word) return true;
    words.remove_prefix(std::min(words.size(), first.size() + 1));
  }
  return false;
}

}  // namespace

std::string point_fault(std::string_view name, const boost::json::value& declaration) {
  if (!declaration.is_object()) return "must be an object";
  const auto& point = declaration.get_object();
  auto type = json::text_or(point, "type");
  if (!type.empty() && std::find(kTypes.begin(), kTypes.end(), type) == kTypes.end()) {
    return "type must be string, int64, double, boolean or object";
  }
  auto unit = json::text_or(point, "unitId");
  if (unit.empty() || json::text_or(point, "standardNaming") == "unsupported") return {};
  for (const auto& [old, now] : kOldUnits) {
    if (unit == old) unit = now;
  }
  for (const auto& row : kOntology) {
    if (has_word(row.names, name) && has_word(row.units, unit)) return {};
  }
  return "no point of the ontology has this name and the unit " + unit +
         "; declare \"standardNaming\": \"unsupported\" to keep it";
}

}  // namespace sluice::api
