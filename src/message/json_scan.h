// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace sluice::message::scan {

// A strict reader of JSON text that says where each token lies and converts nothing: reports are spliced, so what
// counts are offsets and spellings. The grammar is RFC 8259's; UTF-8 is checked apart (valid_utf8), depth is bounded
// here.

enum class Kind : std::uint8_t { object, array, string, number, literal };

inline constexpr int kMaxDepth = 64;
inline constexpr std::size_t kMaxSize = 1u << 20;

bool valid_utf8(std::string_view text);

// The content of a string token (without its quotes) with the escapes resolved; a lone surrogate becomes U+FFFD.
std::string unescape(std::string_view raw);

namespace detail {
// 0: plain, 1: quote, 2: backslash, 3: control character, which JSON forbids in strings.
inline constexpr auto kStringClass = [] {
  std::array<std::uint8_t, 256> table{};
  for (std::size_t i = 0; i < 0x20; ++i)
    table[i] = 3;
  table[static_cast<unsigned char>('"')] = 1;
  table[static_cast<unsigned char>('\\')] = 2;
  return table;
}();
inline bool digit(char c) {
  return c >= '0' && c <= '9';
}
inline bool hex_digit(char c) {
  return digit(c) || (c >= 'a' && c <= 'f') || (c >= 'A' && c <= 'F');
}
}  // namespace detail

// Walks one JSON text and tells a sink of each token:
//   void space(const char* from, const char* to)          white space between tokens
//   void key(const char* from, const char* to, bool esc)  with quotes; esc: holds escapes
//   void scalar(Kind, const char* from, const char* to, bool esc)
//   void open(Kind, const char* at), void close(Kind, const char* at)
template <class Sink>
class Walker {
 public:
  Walker(std::string_view text, Sink& sink)
      : begin_(text.data()), p_(text.data()), end_(text.data() + text.size()), sink_(sink) {}

  // True when the whole text is one JSON value; otherwise at() and what() tell the fault.
  bool walk() {
    space();
    if (!value(0)) return false;
    space();
    return p_ == end_ || fail("unexpected text after the document");
  }
  [[nodiscard]] std::size_t at() const { return static_cast<std::size_t>(p_ - begin_); }
  [[nodiscard]] const char* what() const { return what_; }

 private:
  bool fail(const char* what) {
    what_ = what;
    return false;
  }
  void space() {
    if (p_ == end_ || static_cast<unsigned char>(*p_) > 0x20) return;
    const char* from = p_;
    while (p_ != end_ && (*p_ == ' ' || *p_ == '\n' || *p_ == '\r' || *p_ == '\t'))
      ++p_;
    if (p_ != from) sink_.space(from, p_);
  }
  bool value(int depth) {
    if (p_ == end_) return fail("the text ends where a value is expected");
    switch (*p_) {
      case '{':
        return object(depth);
      case '[':
        return array(depth);
      case '"': {
        const char* from = p_;
        bool escaped = false;
        if (!string(escaped)) return false;
        sink_.scalar(Kind::string, from, p_, escaped);
        return true;
      }
      case 't':
        return literal("true");
      case 'f':
        return literal("false");
      case 'n':
        return literal("null");
      default:
        return number();
    }
  }
  bool object(int depth) {
    if (depth >= kMaxDepth) return fail("nested deeper than 64 levels");
    sink_.open(Kind::object, p_++);
    space();
    if (p_ != end_ && *p_ == '}') {
      sink_.close(Kind::object, p_++);
      return true;
    }
    for (;;) {
      if (p_ == end_ || *p_ != '"') return fail("expected a name in double quotes");
      const char* from = p_;
      bool escaped = false;
      if (!string(escaped)) return false;
      sink_.key(from, p_, escaped);
      space();
      if (p_ == end_ || *p_ != ':') return fail("expected ':'");
      ++p_;
      space();
      if (!value(depth + 1)) return false;
      space();
      if (p_ == end_) return fail("the text ends inside an object");
      if (*p_ == '}') break;
      if (*p_ != ',') return fail("expected ',' or '}'");
      ++p_;
      space();
    }
    sink_.close(Kind::object, p_++);
    return true;
  }
  bool array(int depth) {
    if (depth >= kMaxDepth) return fail("nested deeper than 64 levels");
    sink_.open(Kind::array, p_++);
    space();
    if (p_ != end_ && *p_ == ']') {
      sink_.close(Kind::array, p_++);
      return true;
    }
    for (;;) {
      if (!value(depth + 1)) return false;
      space();
      if (p_ == end_) return fail("the text ends inside an array");
      if (*p_ == ']') break;
      if (*p_ != ',') return fail("expected ',' or ']'");
      ++p_;
      space();
    }
    sink_.close(Kind::array, p_++);
    return true;
  }
  bool string(bool& escaped) {
    ++p_;
    for (;;) {
      while (p_ != end_ && detail::kStringClass[static_cast<unsigned char>(*p_)] == 0)
        ++p_;
      if (p_ == end_) return fail("the text ends inside a string");
      if (*p_ == '"') {
        ++p_;
        return true;
      }
      if (*p_ != '\\') return fail("a control character inside a string");
      escaped = true;
      if (!escape()) return false;
    }
  }
  bool escape() {
    if (end_ - p_ < 2) return fail("the text ends inside a string");
    switch (p_[1]) {
      case '"':
      case '\\':
      case '/':
      case 'b':
      case 'f':
      case 'n':
      case 'r':
      case 't':
        p_ += 2;
        return true;
      case 'u':
        if (end_ - p_ < 6) return fail("a broken \\u escape");
        for (int i = 2; i < 6; ++i) {
          if (!detail::hex_digit(p_[i])) return fail("a broken \\u escape");
        }
        p_ += 6;
        return true;
      default:
        return fail("an unknown escape");
    }
  }
  bool digits() {
    if (p_ == end_ || !detail::digit(*p_)) return false;
    while (p_ != end_ && detail::digit(*p_))
      ++p_;
    return true;
  }
  bool number() {
    const char* from = p_;
    if (*p_ == '-') ++p_;
    if (p_ != end_ && *p_ == '0') {
      ++p_;
    } else if (!digits()) {
      return fail("expected a value");
    }
    if (p_ != end_ && *p_ == '.') {
      ++p_;
      if (!digits()) return fail("a broken number");
    }
    if (p_ != end_ && (*p_ == 'e' || *p_ == 'E')) {
      ++p_;
      if (p_ != end_ && (*p_ == '+' || *p_ == '-')) ++p_;
      if (!digits()) return fail("a broken number");
    }
    sink_.scalar(Kind::number, from, p_, false);
    return true;
  }
  bool literal(std::string_view word) {
    if (static_cast<std::size_t>(end_ - p_) < word.size() || std::string_view(p_, word.size()) != word) {
      return fail("expected a value");
    }
    sink_.scalar(Kind::literal, p_, p_ + word.size(), false);
    p_ += word.size();
    return true;
  }

  const char* begin_;
  const char* p_;
  const char* end_;
  Sink& sink_;
  const char* what_ = "";
};

// Whether the text is one JSON number in JSON's own spelling.
bool is_number(std::string_view text);

// The text without white space between tokens; nothing where it is not one JSON value.
std::optional<std::string> compact(std::string_view json);

// One member of an object or item of an array, as views into the text.
struct Item {
  std::string_view key;  // content without quotes, escapes unresolved; empty in arrays
  bool key_escaped = false;
  Kind kind = Kind::literal;
  std::string_view value;  // the token with its quotes, or the whole object or array
  bool escaped = false;

  [[nodiscard]] bool is_null() const { return kind == Kind::literal && value.front() == 'n'; }
  [[nodiscard]] std::string name() const { return key_escaped ? unescape(key) : std::string(key); }
  // The content of a string, the spelling of anything else.
  [[nodiscard]] std::string text() const {
    if (kind != Kind::string) return std::string(value);
    auto raw = value.substr(1, value.size() - 2);
    return escaped ? unescape(raw) : std::string(raw);
  }
};

// The direct members or items of an object or array; empty where the text is neither or is not JSON.
std::vector<Item> items(std::string_view json);

// The object without these members (views of it as `items` gives them, in order).
std::string without(std::string_view text, const std::vector<Item>& members);

}  // namespace sluice::message::scan
