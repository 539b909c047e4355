// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_set>

#include "driver/engine.h"

namespace sluice::driver {

// Failures that are the engine's to tell (spec drivers.md 15).
Outcome failed(std::string code, std::string message);
Outcome timed_out(std::uint32_t time_us = 0);
Outcome out_of_memory();

// Reads what the prelude made of a call (the form stands at `call` in prelude.js). It comes from a process that a
// driver may have taken over, and goes into documents as it is: so all JSON is checked, its size and its depth too. Not
// thread-safe.
class OutcomeReader {
 public:
  explicit OutcomeReader(std::size_t result_limit);
  ~OutcomeReader();
  OutcomeReader(const OutcomeReader&) = delete;
  OutcomeReader& operator=(const OutcomeReader&) = delete;

  // `limits`: those of the driver where they are less than the engine's. What is wrong with a point (spec 11.3) stands
  // as a line in the outcome's log, unless it is in `told`, where it is put then: a driver's fault is told once.
  Outcome read(std::string_view text, const Limits& limits = {}, std::unordered_set<std::string>* told = nullptr);
  // "I<signature> <four flags>", or a failure.
  Result<Engine::Inspection> read_inspection(std::string_view text);

 private:
  struct Parser;
  Outcome read_failure(std::string_view text);
  bool is_json(std::string_view text, unsigned depth, bool& too_deep);
  // Of the points in the JSON that was read last.
  void check_points(Outcome& outcome, std::unordered_set<std::string>& told);
  // False where it is no context a driver may leave.
  bool read_context(std::string_view text, Outcome& outcome);
  std::size_t result_limit_;
  std::unique_ptr<Parser> parser_;
};

}  // namespace sluice::driver
