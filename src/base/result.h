// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <chrono>
#include <optional>
#include <string>
#include <utility>
#include <variant>

namespace sluice {

// What a caller has to do about a failure. The connection layer acts on the kind alone.
enum class ErrorKind {
  transient,      // try the same thing again later
  permanent,      // this message (or request) is at fault: trying again gives the same answer
  not_connected,  // reconnect first, then try again
  bad_config,     // a person has to change the configuration or the rights
  cancelled,      // given up because the caller asked for it
  bug,            // an assumption of ours does not hold
};

[[nodiscard]] const char* to_string(ErrorKind kind);

// A failure as a value. `text` names what was being done and what was wrong, never a secret.
struct Error {
  ErrorKind kind = ErrorKind::transient;
  std::string text;
  std::string code = {};                               // of the API's table, as "com-4000", where one applies
  std::optional<std::chrono::milliseconds> wait = {};  // the peer's own wish, as Retry-After

  // The same error with what was being done in front: wrap("publishing to x") gives "publishing to x: ...".
  [[nodiscard]] Error wrap(const std::string& doing) const {
    Error copy = *this;
    copy.text = doing + ": " + text;
    return copy;
  }
};

// A value or an Error, with the member names of std::expected (absent in GCC 12's C++20), to become an alias one day.
template <class T>
class [[nodiscard]] Result {
 public:
  Result(T value) : state_(std::in_place_index<0>, std::move(value)) {}      // NOLINT: implicit like std::expected
  Result(Error error) : state_(std::in_place_index<1>, std::move(error)) {}  // NOLINT

  [[nodiscard]] bool has_value() const { return state_.index() == 0; }
  explicit operator bool() const { return has_value(); }
  T& value() & { return std::get<0>(state_); }
  const T& value() const& { return std::get<0>(state_); }
  T&& value() && { return std::get<0>(std::move(state_)); }
  T& operator*() & { return value(); }
  const T& operator*() const& { return value(); }
  T&& operator*() && { return std::move(*this).value(); }
  T* operator->() { return &value(); }
  const T* operator->() const { return &value(); }
  Error& error() { return std::get<1>(state_); }
  const Error& error() const { return std::get<1>(state_); }

 private:
  std::variant<T, Error> state_;
};

template <>
class [[nodiscard]] Result<void> {
 public:
  Result() = default;
  Result(Error error) : error_(std::move(error)) {}  // NOLINT: implicit like std::expected

  [[nodiscard]] bool has_value() const { return !error_; }
  explicit operator bool() const { return has_value(); }
  Error& error() { return *error_; }
  const Error& error() const { return *error_; }

 private:
  std::optional<Error> error_;
};

}  // namespace sluice

// Ends the process where going on could corrupt the queue or a verdict; stays on in release. Not reachable by input.
#define ENSURE(condition)                                                    \
  do {                                                                       \
    if (!(condition)) ::sluice::fail_ensure(#condition, __FILE__, __LINE__); \
  } while (false)

namespace sluice {
[[noreturn]] void fail_ensure(const char* condition, const char* file, int line);
}
