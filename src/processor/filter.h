// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <boost/json/array.hpp>
#include <optional>
#include <string>
#include <vector>

#include "base/result.h"
#include "message/message.h"
#include "processor/standard.h"

namespace sluice::processor {

// The filter by message type (spec processors.md 5.1): a flag that is absent keeps. Immutable, thread-safe.
class TypeFilter {
 public:
  // Reads one operation {"type": "filter", ...}. Errors: bad_config, naming the flag.
  static Result<TypeFilter> read(const boost::json::object& operation);
  [[nodiscard]] bool keeps(const message::Message& message) const;

 private:
  bool uplink_ = true, downlink_sent_ = true, location_ = true, notification_ = true;
  std::optional<std::vector<std::string>> notification_types_;  // lower case
};

// A connection's upOperations, in order. This version runs filters by message type and the standard transformations of
// processor/standard.h; other operations are refused when the connection is saved, so that nothing is delivered
// untransformed by mistake. Immutable, thread-safe.
class Operations {
 public:
  // Errors: bad_config; the text starts with the place ("upOperations/1/configuration/arrays").
  static Result<Operations> read(const boost::json::array& operations);
  // Whether all filters keep the message. They look at its type, which no transformation changes: they can go first.
  [[nodiscard]] bool keeps(const message::Message& message) const;
  // Whether apply() changes anything: without it the formats of spec messages.md 7.2 hold.
  [[nodiscard]] bool transforms() const { return !steps_.empty(); }
  // What to send in place of `document` (the message as compose() gives it). Errors: permanent, code processor-3001;
  // the text starts with the operation's place. An operation with "onError": "pass" gives its input instead.
  [[nodiscard]] Result<std::string> apply(const message::Message& message, std::string document) const;
  // The place in upOperations of the operation that gave an error of apply(); nothing for another error.
  static std::optional<std::size_t> failed_index(const Error& error);

 private:
  struct Step {
    std::size_t index = 0;               // in upOperations
    std::optional<Flattener> flattener;  // nothing: the simplifier
    bool pass_on_error = false;
  };
  static Result<Step> read_step(const boost::json::object& operation);

  std::vector<TypeFilter> filters_;
  std::vector<Step> steps_;
};

}  // namespace sluice::processor
