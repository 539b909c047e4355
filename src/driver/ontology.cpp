// SPDX-License-Identifier: Apache-2.0
#include "driver/ontology.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <map>

namespace sluice::driver {
namespace {

struct SensorRow {
  std::string_view names, units;  // separated by blanks
};

constexpr SensorRow kSensors[] = {
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

// id, name, symbol, parent, domain, dimensions, steps to the SI unit. A month is a twelfth of a Julian year. Levels (dB
// and the like), pH and indexes have no steps: no arithmetic of these four leads to an SI unit. Of `VAr` and its like
// the SI unit is a name of the watt.
struct UnitRow {
  std::string_view id, name, symbol, parent, domain, dimensions, steps;
};

constexpr UnitRow kUnits[] = {
    {"#/cm3", "number per cubic centimetre", "1/cm³", "", "number density", "m-3", "*1000000"},
    {"%", "percent", "%", "/", "fraction", "", "/100"},
    {"%RH", "percent of relative humidity", "%RH", "/", "relative humidity", "", "/100"},
    {"/", "ratio", "/", "", "ratio", "", ""},
    {"A", "ampere", "A", "", "electric current", "A", ""},
    {"Ah", "ampere hour", "A·h", "C", "electric charge", "s A", "*3600"},
    {"Bq", "becquerel", "Bq", "", "radioactivity", "s-1", ""},
    {"Bspl", "bel of sound pressure level", "B(SPL)", "", "level", "", ""},
    {"C", "coulomb", "C", "", "electric charge", "s A", ""},
    {"Cel", "degree Celsius", "°C", "K", "temperature", "K", "+273.15"},
    {"F", "farad", "F", "", "capacitance", "m-2 kg-1 s4 A2", ""},
    {"Far", "degree Fahrenheit", "°F", "K", "temperature", "K", "-32 *5 /9 +273.15"},
    {"GPS", "position (longitude and latitude in degrees, altitude in metres)", "GPS", "", "position", "", ""},
    {"GW", "gigawatt", "GW", "W", "power", "m2 kg s-3", "*1000000000"},
    {"Gy", "gray", "Gy", "", "absorbed dose", "m2 s-2", ""},
    {"H", "henry", "H", "", "inductance", "m2 kg s-2 A-2", ""},
    {"IEEE-802", "IEEE 802 address", "IEEE-802", "", "address", "", ""},
    {"J", "joule", "J", "", "energy", "m2 kg s-2", ""},
    {"K", "kelvin", "K", "", "temperature", "K", ""},
    {"MW", "megawatt", "MW", "W", "power", "m2 kg s-3", "*1000000"},
    {"MW/m", "megawatt per minute", "MW/min", "W/s", "power rate", "m2 kg s-4", "*1000000 /60"},
    {"MWh", "megawatt hour", "MW·h", "J", "energy", "m2 kg s-2", "*3600000000"},
    {"N", "newton", "N", "", "force", "m kg s-2", ""},
    {"Ohm", "ohm", "Ω", "", "resistance", "m2 kg s-3 A-2", ""},
    {"Pa", "pascal", "Pa", "", "pressure", "m-1 kg s-2", ""},
    {"S", "siemens", "S", "", "conductance", "m-2 kg-1 s3 A2", ""},
    {"S/m", "siemens per metre", "S/m", "", "conductivity", "m-3 kg-1 s3 A2", ""},
    {"Sv", "sievert", "Sv", "", "equivalent dose", "m2 s-2", ""},
    {"T", "tesla", "T", "", "magnetic flux density", "kg s-2 A-1", ""},
    {"V", "volt", "V", "", "electric potential", "m2 kg s-3 A-1", ""},
    {"VA", "volt-ampere", "VA", "", "apparent power", "m2 kg s-3", ""},
    {"VAh", "volt-ampere hour", "VA·h", "J", "apparent energy", "m2 kg s-2", "*3600"},
    {"VAr", "volt-ampere reactive", "var", "", "reactive power", "m2 kg s-3", ""},
    {"VArh", "volt-ampere reactive hour", "var·h", "J", "reactive energy", "m2 kg s-2", "*3600"},
    {"W", "watt", "W", "", "power", "m2 kg s-3", ""},
    {"W/h", "watt per hour", "W/h", "W/s", "power rate", "m2 kg s-4", "/3600"},
    {"W/m2", "watt per square metre", "W/m²", "", "irradiance", "kg s-3", ""},
    {"W/s", "watt per second", "W/s", "", "power rate", "m2 kg s-4", ""},
    {"Wb", "weber", "Wb", "", "magnetic flux", "m2 kg s-2 A-1", ""},
    {"Wh", "watt hour", "W·h", "J", "energy", "m2 kg s-2", "*3600"},
    {"bar", "bar", "bar", "Pa", "pressure", "m-1 kg s-2", "*100000"},
    {"bit", "bit", "bit", "", "data", "", ""},
    {"bit/s", "bit per second", "bit/s", "", "data rate", "s-1", ""},
    {"cd", "candela", "cd", "", "luminous intensity", "cd", ""},
    {"cd/m2", "candela per square metre", "cd/m²", "", "luminance", "m-2 cd", ""},
    {"cm", "centimetre", "cm", "m", "length", "m", "/100"},
    {"count", "count", "count", "", "quantity", "", ""},
    {"count/min", "count per minute", "1/min", "count/s", "rate of events", "s-1", "/60"},
    {"count/s", "count per second", "1/s", "", "rate of events", "s-1", ""},
    {"dB", "decibel", "dB", "", "level", "", ""},
    {"dBW", "decibel of a watt", "dBW", "", "level", "", ""},
    {"dBm", "decibel of a milliwatt", "dBm", "", "level", "", ""},
    {"day", "day", "d", "s", "time", "s", "*86400"},
    {"deg", "degree", "°", "rad", "angle", "", "*3.141592653589793 /180"},
    {"dop", "dilution of precision", "dop", "", "dilution of precision", "", ""},
    {"dps", "degree per second", "°/s", "", "angular velocity", "s-1", "*3.141592653589793 /180"},
    {"euro", "euro", "€", "", "price", "", ""},
    {"euro/Wh", "euro per watt hour", "€/(W·h)", "", "energy price", "m-2 kg-1 s2", "/3600"},
    {"g", "gram", "g", "kg", "mass", "kg", "/1000"},
    {"gravity", "standard gravity", "g", "m/s2", "acceleration", "m s-2", "*9.80665"},
    {"h", "hour", "h", "s", "time", "s", "*3600"},
    {"hPa", "hectopascal", "hPa", "Pa", "pressure", "m-1 kg s-2", "*100"},
    {"hertz", "hertz", "Hz", "", "frequency", "s-1", ""},
    {"index", "index", "index", "", "index", "", ""},
    {"kPa", "kilopascal", "kPa", "Pa", "pressure", "m-1 kg s-2", "*1000"},
    {"kW", "kilowatt", "kW", "W", "power", "m2 kg s-3", "*1000"},
    {"kWh", "kilowatt hour", "kW·h", "J", "energy", "m2 kg s-2", "*3600000"},
    {"kat", "katal", "kat", "", "catalytic activity", "s-1 mol", ""},
    {"kg", "kilogram", "kg", "", "mass", "kg", ""},
    {"km", "kilometre", "km", "m", "length", "m", "*1000"},
    {"km/h", "kilometre per hour", "km/h", "m/s", "speed", "m s-1", "/3.6"},
    {"l", "litre", "l", "m3", "volume", "m3", "/1000"},
    {"l/s", "litre per second", "l/s", "m3/s", "volume flow", "m3 s-1", "/1000"},
    {"lm", "lumen", "lm", "", "luminous flux", "cd", ""},
    {"lx", "lux", "lx", "", "illuminance", "m-2 cd", ""},
    {"m", "metre", "m", "", "length", "m", ""},
    {"m/s", "metre per second", "m/s", "", "speed", "m s-1", ""},
    {"m/s2", "metre per second squared", "m/s²", "", "acceleration", "m s-2", ""},
    {"m2", "square metre", "m²", "", "area", "m2", ""},
    {"m3", "cubic metre", "m³", "", "volume", "m3", ""},
    {"m3/h", "cubic metre per hour", "m³/h", "m3/s", "volume flow", "m3 s-1", "/3600"},
    {"m3/s", "cubic metre per second", "m³/s", "", "volume flow", "m3 s-1", ""},
    {"mA", "milliampere", "mA", "A", "electric current", "A", "/1000"},
    {"mAh", "milliampere hour", "mA·h", "C", "electric charge", "s A", "*3.6"},
    {"mS/cm", "millisiemens per centimetre", "mS/cm", "S/m", "conductivity", "m-3 kg-1 s3 A2", "/10"},
    {"mV", "millivolt", "mV", "V", "electric potential", "m2 kg s-3 A-1", "/1000"},
    {"mbar", "millibar", "mbar", "Pa", "pressure", "m-1 kg s-2", "*100"},
    {"mgravity", "millistandard gravity", "mg", "m/s2", "acceleration", "m s-2", "*9.80665 /1000"},
    {"minute", "minute", "min", "s", "time", "s", "*60"},
    {"ml", "millilitre", "ml", "m3", "volume", "m3", "/1000000"},
    {"mm", "millimetre", "mm", "m", "length", "m", "/1000"},
    {"mm/h", "millimetre per hour", "mm/h", "m/s", "speed", "m s-1", "/3600000"},
    {"mm/s", "millimetre per second", "mm/s", "m/s", "speed", "m s-1", "/1000"},
    {"mol", "mole", "mol", "", "amount of substance", "mol", ""},
    {"month", "month (a twelfth of a Julian year)", "mo", "s", "time", "s", "*2629800"},
    {"ms", "millisecond", "ms", "s", "time", "s", "/1000"},
    {"ntu", "nephelometric turbidity unit", "NTU", "", "turbidity", "", ""},
    {"okta", "okta", "okta", "", "cloud cover", "", "/8"},
    {"pH", "pH", "pH", "", "acidity", "", ""},
    {"ppb", "part per billion", "ppb", "", "fraction", "", "/1000000000"},
    {"ppm", "part per million", "ppm", "", "fraction", "", "/1000000"},
    {"pulse/h", "pulse per hour", "1/h", "hertz", "frequency", "s-1", "/3600"},
    {"rad", "radian", "rad", "", "angle", "", ""},
    {"rpm", "revolution per minute", "rpm", "", "angular velocity", "s-1", "*6.283185307179586 /60"},
    {"s", "second", "s", "", "time", "s", ""},
    {"sr", "steradian", "sr", "", "solid angle", "", ""},
    {"state", "state", "state", "", "state", "", ""},
    {"uS/cm", "microsiemens per centimetre", "µS/cm", "S/m", "conductivity", "m-3 kg-1 s3 A2", "/10000"},
    {"uV", "microvolt", "µV", "V", "electric potential", "m2 kg s-3 A-1", "/1000000"},
    {"ug", "microgram", "µg", "kg", "mass", "kg", "/1000000000"},
    {"ug/m3", "microgram per cubic metre", "µg/m³", "", "mass concentration", "m-3 kg", "/1000000000"},
    {"ugravity", "microstandard gravity", "µg", "m/s2", "acceleration", "m s-2", "*9.80665 /1000000"},
    {"um", "micrometre", "µm", "m", "length", "m", "/1000000"},
    {"umol/m2.s", "micromole per square metre second", "µmol/(m²·s)", "", "photon flux density", "m-2 s-1 mol",
     "/1000000"},
    {"year", "Julian year", "a", "s", "time", "s", "*31557600"},
};

// Older units still met in drivers (spec drivers.md 11.3).
constexpr std::array<std::pair<std::string_view, std::string_view>, 3> kOldUnits = {
    {{"hour", "h"}, {"var", "VAr"}, {"varh", "VArh"}}};

constexpr std::array<std::string_view, 5> kTypes = {"string", "int64", "double", "boolean", "object"};

std::string_view type_of(std::string_view unit) {
  if (unit == "count" || unit == "index" || unit == "okta") return "int64";
  if (unit == "state") return "boolean";
  if (unit == "IEEE-802") return "string";
  return unit == "GPS" ? "object" : "double";
}

std::vector<std::string_view> words(std::string_view text) {
  std::vector<std::string_view> result;
  while (!text.empty()) {
    auto word = text.substr(0, text.find(' '));
    if (!word.empty()) result.push_back(word);
    text.remove_prefix(std::min(text.size(), word.size() + 1));
  }
  return result;
}

// "m2 kg s-3"
Dimensions read_dimensions(std::string_view text) {
  Dimensions result;
  const std::pair<std::string_view, int Dimensions::*> bases[] = {
      {"mol", &Dimensions::mol}, {"cd", &Dimensions::cd}, {"kg", &Dimensions::kg}, {"m", &Dimensions::m},
      {"s", &Dimensions::s},     {"A", &Dimensions::A},   {"K", &Dimensions::K}};
  for (auto word : words(text)) {
    for (const auto& [base, member] : bases) {
      if (!word.starts_with(base)) continue;
      auto exponent = word.substr(base.size());
      result.*member = 1;
      std::from_chars(exponent.data(), exponent.data() + exponent.size(), result.*member);
      break;
    }
  }
  return result;
}

// "-32 *5 /9 +273.15"
std::vector<UnitStep> read_steps(std::string_view text) {
  std::vector<UnitStep> result;
  for (auto word : words(text)) {
    auto sign = word.front();
    UnitStep step{.name = sign == '+' ? "add" : sign == '-' ? "subtract" : sign == '*' ? "multiply" : "divide"};
    std::from_chars(word.data() + 1, word.data() + word.size(), step.value);
    result.push_back(step);
  }
  return result;
}

struct Ontology {
  std::vector<Unit> units;
  std::vector<Sensor> sensors;

  Ontology() {
    for (const auto& row : kUnits) {
      units.push_back({.id = row.id,
                       .name = row.name,
                       .symbol = row.symbol,
                       .parent_id = row.parent,
                       .type = type_of(row.id),
                       .domains = {row.domain},
                       .dimensions = read_dimensions(row.dimensions),
                       .steps = read_steps(row.steps),
                       .sensors = {}});
    }
    std::ranges::sort(units, {}, &Unit::id);
    std::map<std::string_view, std::vector<const Unit*>> by_name;
    for (const auto& row : kSensors) {
      for (auto name : words(row.names)) {
        for (auto id : words(row.units)) {
          auto unit = std::ranges::lower_bound(units, id, {}, &Unit::id);
          by_name[name].push_back(&*unit);
          unit->sensors.push_back(name);
        }
      }
    }
    for (auto& [name, found] : by_name) {
      std::ranges::sort(found, {}, &Unit::id);
      sensors.push_back({name, std::move(found)});
    }
    for (auto& unit : units)
      std::ranges::sort(unit.sensors);
  }
};

const Ontology& ontology() {
  static const Ontology made;
  return made;
}

template <class Item>
const Item* find_in(const std::vector<Item>& all, std::string_view id) {
  auto found = std::ranges::lower_bound(all, id, {}, &Item::id);
  return found != all.end() && found->id == id ? &*found : nullptr;
}

}  // namespace

std::span<const Unit> units() {
  return ontology().units;
}

std::span<const Sensor> sensors() {
  return ontology().sensors;
}

const Unit* find_unit(std::string_view id) {
  return find_in(ontology().units, current_unit(id));
}

const Sensor* find_sensor(std::string_view id) {
  return find_in(ontology().sensors, id);
}

std::string_view current_unit(std::string_view id) {
  for (const auto& [old, now] : kOldUnits) {
    if (id == old) return now;
  }
  return id;
}

bool is_standard_point(std::string_view name, std::string_view unit_id) {
  const auto* sensor = find_sensor(name);
  const auto* unit = find_unit(unit_id);
  return sensor != nullptr && unit != nullptr && std::ranges::find(sensor->units, unit) != sensor->units.end();
}

bool is_point_type(std::string_view type) {
  return std::ranges::find(kTypes, type) != kTypes.end();
}

double to_si(const Unit& unit, double value) {
  for (const auto& step : unit.steps) {
    if (step.name == "add") value += step.value;
    if (step.name == "subtract") value -= step.value;
    if (step.name == "multiply") value *= step.value;
    if (step.name == "divide") value /= step.value;
  }
  return value;
}

}  // namespace sluice::driver
