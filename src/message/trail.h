// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "base/clock.h"
#include "message/message.h"

namespace sluice::message {

// What can be told of a message on its way.
enum class Stage : std::uint8_t {
  stored,     // the binder has it synced
  unmatched,  // no flow, or none with connections
  routed,     // one per connection: put on its list
  decoded,    // one per driver; text: the error, where it failed
  filtered,   // an operation or the format keeps it from this connection
  expired,
  sent,       // handed to the connector; one per try
  delivered,  // acknowledged by the peer
  retried,    // a try failed and will be repeated; text: why
  refused,    // given up for good; text: why
  dropped,    // over a bound, purged, or its connection not active
};
const char* to_string(Stage stage);  // "stored", ...

struct TrailNote {
  Stage stage = Stage::stored;
  std::uint64_t connection = 0;   // 0: none
  std::string_view flow, driver;  // where they are known
  std::string_view text;          // a cause, one line, never a secret
  std::string_view document;      // what was sent or decoded, for those who watch live; may be empty
};

// Takes notes of the way of every message: for `sluice trace`, for those who watch live. On the hot path: note() is a
// few stores while nobody watches; ask watched() before making a document for it. Thread-safe.
class Trail {
 public:
  virtual ~Trail() = default;
  virtual void note(const Message& message, const TrailNote& note) = 0;
  // True where somebody watches this account's messages live: then documents are wanted.
  [[nodiscard]] virtual bool watched(const std::string& account) const = 0;
};

// Forgets everything; for tests and for parts that run without a server.
Trail& no_trail();

}  // namespace sluice::message
