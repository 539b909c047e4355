// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <boost/json/value.hpp>
#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "driver/compare.h"
#include "driver/engine.h"
#include "driver/example.h"
#include "driver/package.h"

namespace sluice::driver {

// Examples run on a driver and judged (spec drivers.md 12, 13): for `sluice driver test`, for an upload with
// checkExamples and for /drivers/{id}/examples?run=true.

// One call of a driver.
struct Call {
  DriverCodePtr code;
  Operation operation = Operation::decode_uplink;
  Input input;
};
// Runs the calls, waits for them, gives the outcomes in the same order.
using RunCalls = std::function<std::vector<Outcome>(std::vector<Call>)>;
RunCalls calls_of(Engine& engine);

// What became of one example.
struct Tried {
  // `failed`: the result differs. `error`: there is no result to compare. `skipped`: not for this driver.
  enum class Verdict : std::uint8_t { passed, failed, error, skipped };
  Verdict verdict = Verdict::passed;
  Operation operation = Operation::decode_uplink;
  std::vector<Difference> differences;
  std::string problem;  // of `error` and `skipped`: what was thrown, or why the example cannot be run
  std::optional<Where> where;
  std::optional<boost::json::value> output;  // what came, {data, errors, warnings} or {bytes, fPort, errors, warnings}
  std::optional<boost::json::object> points;
  std::vector<std::string> warnings, log;
  std::uint32_t time_us = 0;

  // Neither failed nor in error.
  [[nodiscard]] bool good() const { return verdict == Verdict::passed || verdict == Verdict::skipped; }
};

// The code of a package as the engine runs it, under an account of its own. Where the package does not tell its
// signature, `found` is taken: what Engine::inspect says.
DriverCode code_of(const Package& package, Signature found = Signature::lora_alliance);

// Runs each example in a sandbox of its own and judges it. `offers` is what Engine::inspect said of the code: a
// downlink is decoded only where the driver has decodeDownlink, and encoded unless it can only decode.
std::vector<Tried> try_examples(const RunCalls& run, const DriverCode& code, const Engine::Inspection& offers,
                                const std::vector<Example>& examples);

// The parts of it. The call that an example stands for, its sandbox fresh. Errors: permanent: what the example lacks.
Result<Call> call_of(const DriverCode& code, const Example& example);
Tried judge(const Example& example, const Outcome& outcome);

// Whether the engine has added this warning to the driver's own (spec drivers.md 6.2, 11.2): it is none of the
// result's.
bool is_engines_own(std::string_view warning);

// "uplink", "downlink-decode", "downlink-encode", "points".
const char* to_string(Example::Kind kind);

}  // namespace sluice::driver
