// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <boost/json/value.hpp>
#include <optional>
#include <string>
#include <vector>

#include "driver/example.h"

namespace sluice::driver {

// How the result of a driver is compared with what an example says (spec drivers.md 13). All values have been through
// JSON, so that `undefined` is absent, a Date is its ISO text and -0 is 0; 1 and 1.0 are the same number. Numbers with
// a fraction may differ in the last of their 16 digits: ECMAScript leaves Math.pow, exp and the like to each engine.

// Where two values differ.
struct Difference {
  std::string path;  // keys and positions joined by dots: "data.values.0.time"; "" for the whole
  std::optional<boost::json::value> expected, got;  // nothing: absent on that side
  std::string note;                                 // what is wrong where the values do not show it; mostly empty

  // {"path", "expected"?, "got"?, "note"?}
  [[nodiscard]] boost::json::object to_json() const;
};

// Brings a result or an expectation to the form of spec drivers.md 6: `bytes` as hex become a list of bytes, a
// decoder's bare object becomes {data}, and the lists of errors and warnings are there, a single text counting as a
// list of one.
boost::json::value in_result_form(boost::json::value value, Example::Kind kind);

// Rules 1 to 4; both sides are brought to the form of 6 first. Where errors are expected, `data` is not looked at: a
// failed call has none.
std::vector<Difference> compare_results(boost::json::value expected, boost::json::value got, Example::Kind kind);

// Rule 5. An expected point without `type` or `standardNaming` leaves these open, since the engine adds them; a bare
// value is compared with the point's record or records. Times of events are compared as instants.
std::vector<Difference> compare_points(const boost::json::object& expected, const boost::json::object& got);

}  // namespace sluice::driver
