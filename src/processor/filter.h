// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <boost/json/array.hpp>
#include <optional>
#include <string>
#include <vector>

#include "base/result.h"
#include "message/message.h"

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

// A connection's upOperations, in order. This version runs filters by message type; other operations are refused when
// the connection is saved, so that nothing is delivered untransformed by mistake.
class Operations {
 public:
  static Result<Operations> read(const boost::json::array& operations);
  [[nodiscard]] bool keeps(const message::Message& message) const;

 private:
  std::vector<TypeFilter> filters_;
};

}  // namespace sluice::processor
