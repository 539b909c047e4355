// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <boost/json/object.hpp>
#include <string>
#include <string_view>

#include "base/result.h"
#include "message/message.h"

namespace sluice::processor {

// Code of the errors of operations that fail on a message, and of the event that tells of one.
inline constexpr const char* kOperationFailed = "processor-3001";
// What one operation may give (spec processors.md 4.2), in bytes.
inline constexpr std::size_t kMaxResult = 1u << 20;

// The standard transformation MESSAGE_FLATTENER (spec processors.md 11): one level, the root removed, the document's
// order and its numbers' spelling kept. A name that could be mistaken for a path ('.', the separator, '[', or empty)
// stands as ["name"]. Immutable, thread-safe.
class Flattener {
 public:
  // Reads `configuration`: `separator` (1 to 16 printable characters), `arrays` ("brackets" or "dots"). Errors:
  // bad_config, naming the key.
  static Result<Flattener> read(const boost::json::object& configuration);
  // Of a document whose root key is `root` (empty: it has none). Errors: permanent, for a document that is no object or
  // a result over kMaxResult.
  [[nodiscard]] Result<std::string> apply(std::string_view root, std::string_view document) const;

 private:
  std::string separator_ = ".";
  bool dots_ = false;
};

// The standard transformation MESSAGE_SIMPLIFIER (spec processors.md 12): of an uplink a few radio fields and the
// members of `payload`; of other types DevEUI, Time and their own fields. A member of `payload` that is named like a
// radio field becomes payload_<name>, whether that field is there or not, so that a name never changes its meaning.
// Errors: permanent, for a document that is no object.
Result<std::string> simplify(message::MessageType type, std::string_view root, std::string_view document);

}  // namespace sluice::processor
