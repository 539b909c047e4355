// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "message/message.h"

namespace sluice::message {

// A message and its composed document (after decoding, before operations), read by patterns. The document is parsed at
// the first expression that needs it; {DevEUI} and the like are answered from the message. Not thread-safe; cheap to
// make.
class Document {
 public:
  Document(const Message& message, std::string_view composed);
  ~Document();
  Document(const Document&) = delete;
  Document& operator=(const Document&) = delete;

  [[nodiscard]] const Message& message() const { return message_; }
  [[nodiscard]] std::string_view text() const { return composed_; }

  struct Parsed;
  // The parsed document; nullptr when it is not JSON. Numbers keep their spelling.
  const Parsed* parsed() const;

 private:
  const Message& message_;
  std::string_view composed_;
  mutable std::unique_ptr<Parsed> parsed_;
};

// Where a rendered value is put: what in it must not break out (spec messages.md 9, promises.md 6).
enum class Place { mqtt_topic, amqp_routing_key, header, url, plain };

// A text with {expressions} (spec messages.md 9): field names, paths, JSONPath in Jayway's dialect, alternatives
// {a|b|'None'}, literal braces doubled. Immutable after parse, safe to share between threads.
class Pattern {
 public:
  // Errors are `bad_config` and name the position and what was expected.
  static Result<Pattern> parse(std::string_view text);

  // The text with every expression replaced. An expression that yields nothing gives empty text in a header and an
  // error of kind `permanent` ("unable to solve the ... pattern: {x} has no value") elsewhere.
  Result<std::string> render(const Document& document, Place place) const;

  [[nodiscard]] bool is_literal() const;
  [[nodiscard]] const std::string& text() const { return text_; }

  // Reverse use for downlinks: every level that holds an expression becomes `wildcard` ("+" in MQTT, "*" in AMQP).
  [[nodiscard]] std::string subscription(char separator, std::string_view wildcard) const;
  // The values of the simple names picked out of a received topic; nothing when it does not fit the pattern.
  [[nodiscard]] std::optional<std::map<std::string, std::string>> capture(std::string_view topic, char separator) const;

 private:
  struct Impl;
  std::string text_;
  std::shared_ptr<const Impl> impl_;
};

}  // namespace sluice::message
