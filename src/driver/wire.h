// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <atomic>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace sluice::driver::wire {

// The protocol between the engine and a host process, over a stream socket. Little-endian; both ends are the same
// build.
//
//   frame   := length u32 (of what follows, at most kMaxFrame) | type u8 | body
//   string  := length u32 | bytes
//
// The engine writes many frames at once and never waits for an answer; the host answers calls and inspections in the
// order they came, in batches. What comes from a host is not trusted: a driver may have taken it over.
//
//   engine -> host: configure (first, once), role (whenever it changes), load, unload, call, inspect
//   host -> engine: ready (once, after the sandbox is closed), result
inline constexpr std::uint32_t kVersion = 2;
inline constexpr std::size_t kMaxFrame = 8u << 20;

enum class Type : std::uint8_t {
  configure = 1,
  role = 2,
  load = 3,
  unload = 4,
  call = 5,
  inspect = 6,
  ready = 64,
  result = 65
};

struct Configure {
  std::uint32_t version = kVersion;
  std::uint64_t memory_limit = 0;  // bytes above what the host uses after warm-up
  std::uint64_t result_limit = 0;  // bytes of a result's JSON text
  std::uint64_t idle_ms = 0;       // after which a driver's global object is dropped
};

struct Role {
  std::uint32_t call_limit_ms = 0;  // CPU time of a call
  bool measure = false;             // tell each call's CPU time in its result
};

// A driver's code, from then on called by its number.
struct Load {
  std::uint32_t number = 0;
  std::uint8_t signature = 0;  // as driver::Signature; kAnySignature: found by looking
  std::uint32_t evaluation_limit_ms = 0;
  std::uint32_t call_limit_ms = 0;  // CPU time of a call where that is less than the role's; 0: as the role's
  std::uint32_t result_limit = 0;   // bytes where that is less than the configured; 0: as that
  std::uint8_t flags = 0;           // kUsesContext, kTrusted
  std::string_view id, source, points_source, points_schema;
};
inline constexpr std::uint8_t kAnySignature = 255;
inline constexpr std::uint8_t kUsesContext = 1, kTrusted = 2;  // spec drivers.md 10, 16.5

struct Unload {
  std::uint32_t number = 0;
};

struct Call {
  std::uint64_t job = 0;
  std::uint32_t number = 0;
  std::uint8_t operation = 0;        // as driver::Operation
  std::int32_t fport = -1;           // -1: none
  std::optional<std::int64_t> time;  // Unix milliseconds
  std::string_view bytes;            // decoding: raw
  std::string_view data;             // encoding: JSON text
  std::string_view rest;             // JSON object text with the input's further members; may be empty
  std::string_view context;          // JSON array text; empty: []
};

// Evaluates a loaded driver afresh and says what it offers.
struct Inspect {
  std::uint64_t job = 0;
  std::uint32_t number = 0;
};

struct Ready {
  std::uint32_t version = kVersion;
};

enum class Status : std::uint8_t {
  done = 0,       // `text` is what the prelude made (outcome.h)
  timed_out = 1,  // stopped at the call's limit
  evaluation_timed_out = 2,
  too_large = 3,  // the result is over the limit
  unknown_driver = 4,
};

struct Answer {
  std::uint64_t job = 0;
  Status status = Status::done;
  std::uint32_t cpu_us = 0;   // CPU time, where the role asks for it
  std::uint32_t time_us = 0;  // wall-clock time
  std::string_view text;
};

// Appends one frame.
void append(std::string& out, const Configure& frame);
void append(std::string& out, const Role& frame);
void append(std::string& out, const Load& frame);
void append(std::string& out, const Unload& frame);
void append(std::string& out, const Call& frame);
void append(std::string& out, const Inspect& frame);
void append(std::string& out, const Ready& frame);
void append(std::string& out, const Answer& frame);

// Reads one frame's body. Nothing where it is cut, has bytes left over, or holds a value outside its range. The views
// point into the body.
std::optional<Configure> read_configure(std::string_view body);
std::optional<Role> read_role(std::string_view body);
std::optional<Load> read_load(std::string_view body);
std::optional<Unload> read_unload(std::string_view body);
std::optional<Call> read_call(std::string_view body);
std::optional<Inspect> read_inspect(std::string_view body);
std::optional<Ready> read_ready(std::string_view body);
std::optional<Answer> read_answer(std::string_view body);

struct Frame {
  Type type{};
  std::string_view body;
};

// Cuts a stream of bytes into frames.
class Reader {
 public:
  // Where to put what was read: at least `least` writable bytes. Views given out before become invalid.
  char* space(std::size_t least);
  [[nodiscard]] std::size_t capacity() const { return buffer_.size() - end_; }
  void filled(std::size_t count) { end_ += count; }
  // The next whole frame, or nothing. After `broken` nothing comes any more.
  std::optional<Frame> next();
  [[nodiscard]] bool broken() const { return broken_; }

 private:
  std::string buffer_;
  std::size_t begin_ = 0, end_ = 0;
  bool broken_ = false;
};

// A page shared by the engine and one host, in which the host says what it is at. The engine takes it as a hint only.
struct Page {
  enum Phase : std::uint32_t { idle = 0, calling = 1, evaluating = 2 };
  std::atomic<std::uint64_t> job{0};
  std::atomic<std::uint32_t> phase{idle};
};
// What a host may keep of warm drivers beside what a call needs: some 400 of them, at 0.6 MB. Grown beyond it, another
// takes its place.
inline constexpr std::size_t kWarmMemory = 256u << 20;
inline constexpr std::size_t kPageSize = 4096;
inline constexpr int kSocketFd = 3, kPageFd = 4;

}  // namespace sluice::driver::wire
