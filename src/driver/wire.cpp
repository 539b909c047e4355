// SPDX-License-Identifier: Apache-2.0
#include "driver/wire.h"

#include <cstring>
#include <type_traits>

namespace sluice::driver::wire {
namespace {

static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__);

// Writes one frame; its length is filled in at the end.
class Writer {
 public:
  Writer(std::string& out, Type type) : out_(out), start_(out.size()) {
    out_.append(4, '\0');
    number(static_cast<std::uint8_t>(type));
  }
  ~Writer() {
    const auto length = static_cast<std::uint32_t>(out_.size() - start_ - 4);
    std::memcpy(out_.data() + start_, &length, 4);
  }
  Writer(const Writer&) = delete;
  Writer& operator=(const Writer&) = delete;

  template <class T>
  Writer& number(T value) {
    static_assert(std::is_integral_v<T>);
    char bytes[sizeof(T)];
    std::memcpy(bytes, &value, sizeof(T));
    out_.append(bytes, sizeof(T));
    return *this;
  }
  Writer& text(std::string_view value) {
    number(static_cast<std::uint32_t>(value.size()));
    out_.append(value);
    return *this;
  }

 private:
  std::string& out_;
  std::size_t start_;
};

class Cursor {
 public:
  explicit Cursor(std::string_view body) : rest_(body) {}
  template <class T>
  T number() {
    T value{};
    if (rest_.size() < sizeof(T)) {
      ok_ = false;
      return value;
    }
    std::memcpy(&value, rest_.data(), sizeof(T));
    rest_.remove_prefix(sizeof(T));
    return value;
  }
  bool flag() {
    const auto value = number<std::uint8_t>();
    if (value > 1) ok_ = false;
    return value == 1;
  }
  std::string_view text() {
    const auto length = number<std::uint32_t>();
    if (!ok_ || length > rest_.size()) {
      ok_ = false;
      return {};
    }
    const auto value = rest_.substr(0, length);
    rest_.remove_prefix(length);
    return value;
  }
  // All read, nothing missing, nothing left.
  [[nodiscard]] bool complete() const { return ok_ && rest_.empty(); }

 private:
  std::string_view rest_;
  bool ok_ = true;
};

}  // namespace

void append(std::string& out, const Configure& frame) {
  Writer(out, Type::configure)
      .number(frame.version)
      .number(frame.memory_limit)
      .number(frame.result_limit)
      .number(frame.idle_ms);
}

void append(std::string& out, const Role& frame) {
  Writer(out, Type::role).number(frame.call_limit_ms).number(static_cast<std::uint8_t>(frame.measure));
}

void append(std::string& out, const Load& frame) {
  Writer(out, Type::load)
      .number(frame.number)
      .number(frame.signature)
      .number(frame.evaluation_limit_ms)
      .number(frame.call_limit_ms)
      .number(frame.result_limit)
      .number(frame.flags)
      .text(frame.id)
      .text(frame.source)
      .text(frame.points_source)
      .text(frame.points_schema);
}

void append(std::string& out, const Unload& frame) {
  Writer(out, Type::unload).number(frame.number);
}

void append(std::string& out, const Call& frame) {
  Writer(out, Type::call)
      .number(frame.job)
      .number(frame.number)
      .number(frame.operation)
      .number(frame.fport)
      .number(static_cast<std::uint8_t>(frame.time.has_value()))
      .number(frame.time.value_or(0))
      .text(frame.bytes)
      .text(frame.data)
      .text(frame.rest)
      .text(frame.context);
}

void append(std::string& out, const Inspect& frame) {
  Writer(out, Type::inspect).number(frame.job).number(frame.number);
}

void append(std::string& out, const Ready& frame) {
  Writer(out, Type::ready).number(frame.version);
}

void append(std::string& out, const Answer& frame) {
  Writer(out, Type::result)
      .number(frame.job)
      .number(static_cast<std::uint8_t>(frame.status))
      .number(frame.cpu_us)
      .number(frame.time_us)
      .text(frame.text);
}

std::optional<Configure> read_configure(std::string_view body) {
  Cursor in(body);
  Configure frame;
  frame.version = in.number<std::uint32_t>();
  frame.memory_limit = in.number<std::uint64_t>();
  frame.result_limit = in.number<std::uint64_t>();
  frame.idle_ms = in.number<std::uint64_t>();
  if (!in.complete()) return {};
  return frame;
}

std::optional<Role> read_role(std::string_view body) {
  Cursor in(body);
  Role frame;
  frame.call_limit_ms = in.number<std::uint32_t>();
  frame.measure = in.flag();
  if (!in.complete()) return {};
  return frame;
}

std::optional<Load> read_load(std::string_view body) {
  Cursor in(body);
  Load frame;
  frame.number = in.number<std::uint32_t>();
  frame.signature = in.number<std::uint8_t>();
  frame.evaluation_limit_ms = in.number<std::uint32_t>();
  frame.call_limit_ms = in.number<std::uint32_t>();
  frame.result_limit = in.number<std::uint32_t>();
  frame.flags = in.number<std::uint8_t>();
  frame.id = in.text();
  frame.source = in.text();
  frame.points_source = in.text();
  frame.points_schema = in.text();
  if (!in.complete() || (frame.signature > 3 && frame.signature != kAnySignature) ||
      frame.flags > (kUsesContext | kTrusted)) {
    return {};
  }
  return frame;
}

std::optional<Unload> read_unload(std::string_view body) {
  Cursor in(body);
  Unload frame;
  frame.number = in.number<std::uint32_t>();
  if (!in.complete()) return {};
  return frame;
}

std::optional<Call> read_call(std::string_view body) {
  Cursor in(body);
  Call frame;
  frame.job = in.number<std::uint64_t>();
  frame.number = in.number<std::uint32_t>();
  frame.operation = in.number<std::uint8_t>();
  frame.fport = in.number<std::int32_t>();
  const bool has_time = in.flag();
  const auto time = in.number<std::int64_t>();
  if (has_time) frame.time = time;
  frame.bytes = in.text();
  frame.data = in.text();
  frame.rest = in.text();
  frame.context = in.text();
  if (!in.complete() || frame.operation > 3 || (!has_time && time != 0)) return {};
  return frame;
}

std::optional<Inspect> read_inspect(std::string_view body) {
  Cursor in(body);
  Inspect frame;
  frame.job = in.number<std::uint64_t>();
  frame.number = in.number<std::uint32_t>();
  if (!in.complete()) return {};
  return frame;
}

std::optional<Ready> read_ready(std::string_view body) {
  Cursor in(body);
  Ready frame;
  frame.version = in.number<std::uint32_t>();
  if (!in.complete()) return {};
  return frame;
}

std::optional<Answer> read_answer(std::string_view body) {
  Cursor in(body);
  Answer frame;
  frame.job = in.number<std::uint64_t>();
  const auto status = in.number<std::uint8_t>();
  frame.cpu_us = in.number<std::uint32_t>();
  frame.time_us = in.number<std::uint32_t>();
  frame.text = in.text();
  if (!in.complete() || status > static_cast<std::uint8_t>(Status::unknown_driver)) return {};
  frame.status = static_cast<Status>(status);
  return frame;
}

char* Reader::space(std::size_t least) {
  if (begin_ > 0) {
    std::memmove(buffer_.data(), buffer_.data() + begin_, end_ - begin_);
    end_ -= begin_;
    begin_ = 0;
  }
  if (buffer_.size() - end_ < least) buffer_.resize(end_ + least);
  return buffer_.data() + end_;
}

std::optional<Frame> Reader::next() {
  if (broken_ || end_ - begin_ < 5) return {};
  std::uint32_t length = 0;
  std::memcpy(&length, buffer_.data() + begin_, 4);
  if (length < 1 || length > kMaxFrame) {
    broken_ = true;
    return {};
  }
  if (end_ - begin_ < 4 + std::size_t{length}) return {};
  const Frame frame{static_cast<Type>(buffer_[begin_ + 4]), std::string_view(buffer_).substr(begin_ + 5, length - 1)};
  begin_ += 4 + std::size_t{length};
  return frame;
}

}  // namespace sluice::driver::wire
