// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>
#include <vector>

#include "api/router.h"
#include "driver/engine.h"

namespace sluice::api {

// What a driver says to one call, waited for.
struct DriverCall {
  driver::DriverCodePtr code;
  driver::Operation operation = driver::Operation::decode_uplink;
  driver::Input input;
  bool log = true;  // into the driver's log, where it is a stored driver
};
// Runs the calls side by side; the outcomes in the same order. A call whose outcome does not come in time (10 times the
// limit of a call and some) counts as com-5004.
std::vector<driver::Outcome> run_calls(const Context& context, std::vector<DriverCall> calls);
driver::Outcome run_call(const Context& context, DriverCall call);

// `code` (or another member) of a request: base64 of UTF-8 text of at most 1 MiB; one that is not required may be
// absent or null, which gives "". Errors: com-4000; its text belongs to the member's path.
Result<std::string> read_code(const boost::json::object& body, const char* name = "code", bool required = true);

// How a driver is to be inspected: by its type; without one its signature is found by looking.
driver::Engine::Inspected inspected_of(const store::Driver& driver);

// Code that is not (or not yet) stored, as a driver of this account: of `driver`, what it runs and under which rules.
driver::DriverCodePtr loose_driver(const std::string& account, const store::Driver& driver,
                                   driver::Signature signature);

// An example of a driver (spec api.md 7) run on it as `sluice driver test` does: {"ok": bool, "output"?, "error"?,
// "expected"?, "differences"?}; the differences are [{"path", "expected"?, "got"?, "note"?}].
boost::json::object run_example(const Context& context, const driver::DriverCodePtr& code,
                                const driver::Engine::Inspection& offers, const boost::json::object& example);

// Where a point may not be called what it is called (spec drivers.md 11.3, 19); "" where all is well.
std::string point_fault(std::string_view name, const boost::json::value& declaration);

}  // namespace sluice::api
