// SPDX-License-Identifier: Apache-2.0
#include "driver/lenient.h"

#include <algorithm>
#include <cctype>
#include <charconv>
#include <cmath>
#include <cstdint>
#include <optional>

#include "message/json_scan.h"

namespace sluice::driver {
namespace {

constexpr int kLevels = 64;

// Bytes of a blank at that place: ASCII, U+00A0, U+2000..U+200B, U+2028, U+2029, U+3000, U+FEFF. 0: none.
std::size_t blank_at(std::string_view text, std::size_t at) {
  const auto byte = [&](std::size_t i) { return at + i < text.size() ? static_cast<unsigned char>(text[at + i]) : 0; };
  const auto first = byte(0);
  if (first == ' ' || (first >= '\t' && first <= '\r')) return 1;
  if (first == 0xc2 && byte(1) == 0xa0) return 2;
  if (first == 0xe2 && byte(1) == 0x80 && ((byte(2) >= 0x80 && byte(2) <= 0x8b) || byte(2) == 0xa8 || byte(2) == 0xa9))
    return 3;
  if (first == 0xe3 && byte(1) == 0x80 && byte(2) == 0x80) return 3;
  if (first == 0xef && byte(1) == 0xbb && byte(2) == 0xbf) return 3;
  return 0;
}

bool starts_name(char c) {
  return std::isalpha(static_cast<unsigned char>(c)) != 0 || c == '_' || c == '$' ||
         static_cast<unsigned char>(c) >= 0x80;
}
bool continues_name(char c) {
  return starts_name(c) || std::isdigit(static_cast<unsigned char>(c)) != 0 || c == '-';
}

void append_utf8(std::string& out, std::uint32_t point) {
  if (point >= 0xd800 && point < 0xe000) point = 0xfffd;  // half of a pair: no character
  if (point < 0x80) {
    out += static_cast<char>(point);
  } else if (point < 0x800) {
    out += static_cast<char>(0xc0 | (point >> 6));
    out += static_cast<char>(0x80 | (point & 0x3f));
  } else if (point < 0x10000) {
    out += static_cast<char>(0xe0 | (point >> 12));
    out += static_cast<char>(0x80 | ((point >> 6) & 0x3f));
    out += static_cast<char>(0x80 | (point & 0x3f));
  } else {
    out += static_cast<char>(0xf0 | (point >> 18));
    out += static_cast<char>(0x80 | ((point >> 12) & 0x3f));
    out += static_cast<char>(0x80 | ((point >> 6) & 0x3f));
    out += static_cast<char>(0x80 | (point & 0x3f));
  }
}

class Reader {
 public:
  Reader(std::string_view text, std::size_t position) : text_(text), at_(position) {}

  [[nodiscard]] std::size_t position() const { return at_; }
  [[nodiscard]] bool at_end() const { return at_ >= text_.size(); }

  // Blanks and comments. An open comment reaches to the end.
  void skip() {
    while (at_ < text_.size()) {
      if (const auto blank = blank_at(text_, at_); blank != 0) {
        at_ += blank;
      } else if (text_.substr(at_, 2) == "//") {
        at_ = std::min(text_.find('\n', at_), text_.size());
      } else if (text_.substr(at_, 2) == "/*") {
        const auto end = text_.find("*/", at_ + 2);
        at_ = end == std::string_view::npos ? text_.size() : end + 2;
      } else {
        return;
      }
    }
  }

  Result<json::value> value(int level) {
    skip();
    if (at_end()) return fault("the text ends where a value was expected");
    if (level > kLevels) return fault("more than 64 levels");
    const char c = text_[at_];
    if (c == '{') return object(level);
    if (c == '[') return array(level);
    if (c == '"' || c == '\'' || c == '`') {
      auto text = string();
      if (!text) return text.error();
      return json::value(*text);
    }
    if (std::isdigit(static_cast<unsigned char>(c)) != 0 || c == '-' || c == '+' || c == '.') return number();
    if (starts_name(c)) return word();
    return fault(std::string("unexpected '") + c + "'");
  }

  Error fault(const std::string& what) const {
    const auto line =
        1 + std::count(text_.begin(), text_.begin() + static_cast<std::ptrdiff_t>(std::min(at_, text_.size())), '\n');
    return {ErrorKind::permanent, "line " + std::to_string(line) + ": " + what, "com-4000"};
  }

 private:
  bool take(char c) {
    skip();
    if (at_end() || text_[at_] != c) return false;
    ++at_;
    return true;
  }

  std::string_view name() {
    const auto from = at_;
    while (at_ < text_.size() && continues_name(text_[at_]))
      ++at_;
    return text_.substr(from, at_ - from);
  }

  Result<json::value> word() {
    const auto found = name();
    if (found == "true") return json::value(true);
    if (found == "false") return json::value(false);
    if (found == "null" || found == "undefined" || found == "NaN" || found == "Infinity") return json::value(nullptr);
    return fault("unexpected '" + std::string(found.substr(0, 40)) + "'");
  }

  Result<json::value> number() {
    const bool negative = text_[at_] == '-';
    if (negative || text_[at_] == '+') ++at_;
    skip();
    if (text_.substr(at_, 8) == "Infinity") {
      at_ += 8;
      return json::value(nullptr);
    }
    if (text_.substr(at_, 2) == "0x" || text_.substr(at_, 2) == "0X") return based(at_ + 2, 16, negative);
    if (text_.substr(at_, 2) == "0b" || text_.substr(at_, 2) == "0B") return based(at_ + 2, 2, negative);
    if (text_.substr(at_, 2) == "0o" || text_.substr(at_, 2) == "0O") return based(at_ + 2, 8, negative);
    const auto from = at_;
    while (at_ < text_.size() && (std::isalnum(static_cast<unsigned char>(text_[at_])) != 0 || text_[at_] == '.' ||
                                  ((text_[at_] == '-' || text_[at_] == '+') && (text_[at_ - 1] | 0x20) == 'e')))
      ++at_;
    const auto digits = text_.substr(from, at_ - from);
    const char* const end = digits.data() + digits.size();
    std::int64_t whole = 0;
    if (auto read = std::from_chars(digits.data(), end, whole); read.ec == std::errc() && read.ptr == end) {
      return json::value(negative ? -whole : whole);
    }
    double real = 0;
    auto read = std::from_chars(digits.data(), end, real);
    // "1." has nothing behind its point.
    const bool all = read.ptr == end || (read.ptr + 1 == end && *read.ptr == '.');
    if (digits.empty() || read.ec != std::errc() || !all || !std::isfinite(real)) {
      return fault("'" + std::string(digits.substr(0, 40)) + "' is no number");
    }
    return json::value(negative ? -real : real);
  }

  Result<json::value> based(std::size_t from, int base, bool negative) {
    std::uint64_t whole = 0;
    const auto read = std::from_chars(text_.data() + from, text_.data() + text_.size(), whole, base);
    if (read.ec != std::errc() ||
        (read.ptr != text_.data() + text_.size() && continues_name(*read.ptr) && *read.ptr != '-')) {
      return fault("'" + std::string(text_.substr(at_, 24)) + "' is no number");
    }
    at_ = static_cast<std::size_t>(read.ptr - text_.data());
    if (whole > static_cast<std::uint64_t>(INT64_MAX)) {
      return json::value(negative ? -static_cast<double>(whole) : static_cast<double>(whole));
    }
    return json::value(negative ? -static_cast<std::int64_t>(whole) : static_cast<std::int64_t>(whole));
  }

  // So many hex digits; nothing where there are others.
  std::optional<std::uint32_t> hex(std::size_t count) {
    std::uint32_t point = 0;
    if (at_ + count > text_.size()) return {};
    const auto read = std::from_chars(text_.data() + at_, text_.data() + at_ + count, point, 16);
    if (read.ec != std::errc() || read.ptr != text_.data() + at_ + count) return {};
    at_ += count;
    return point;
  }

  Result<void> escape(std::string& out) {
    if (at_end()) return fault("the text ends within a string");
    const char c = text_[at_++];
    switch (c) {
      case 'n':
        out += '\n';
        return {};
      case 'r':
        out += '\r';
        return {};
      case 't':
        out += '\t';
        return {};
      case 'b':
        out += '\b';
        return {};
      case 'f':
        out += '\f';
        return {};
      case 'v':
        out += '\v';
        return {};
      case '0':
        out += '\0';
        return {};
      case '\r':
        if (!at_end() && text_[at_] == '\n') ++at_;
        return {};
      case '\n':
        return {};
      case 'x':
      case 'u':
        break;
      default:
        out += c;
        return {};
    }
    auto point = hex(c == 'x' ? 2 : 4);
    if (!point) return fault(std::string("a broken escape \\") + c);
    if (*point >= 0xd800 && *point < 0xdc00 && text_.substr(at_, 2) == "\\u") {
      const auto back = at_;
      at_ += 2;
      const auto low = hex(4);
      if (low && *low >= 0xdc00 && *low < 0xe000)
        point = 0x10000 + ((*point - 0xd800) << 10) + (*low - 0xdc00);
      else
        at_ = back;
    }
    append_utf8(out, *point);
    return {};
  }

  Result<std::string> string() {
    const char quote = text_[at_++];
    std::string out;
    for (;;) {
      if (at_end()) return fault("the text ends within a string");
      const char c = text_[at_++];
      if (c == quote) return out;
      if (c == '\n' && quote != '`') return fault("a string without its end");
      if (c == '$' && quote == '`' && !at_end() && text_[at_] == '{')
        return fault("a template with something to evaluate");
      if (c != '\\') {
        out += c;
      } else if (auto done = escape(out); !done) {
        return done.error();
      }
    }
  }

  Result<json::value> array(int level) {
    ++at_;
    json::array items;
    for (;;) {
      if (take(']')) return json::value(std::move(items));
      auto item = value(level + 1);
      if (!item) return item;
      items.push_back(std::move(*item));
      if (!take(',') && (skip(), at_end() || text_[at_] != ']')) return fault("expected ',' or ']'");
    }
  }

  Result<std::string> key() {
    skip();
    if (at_end()) return fault("the text ends within an object");
    if (text_[at_] == '"' || text_[at_] == '\'') return string();
    auto found = name();
    if (found.empty()) return fault(std::string("unexpected '") + text_[at_] + "' where a key was expected");
    return std::string(found);
  }

  Result<json::value> object(int level) {
    ++at_;
    json::object members;
    for (;;) {
      if (take('}')) return json::value(std::move(members));
      auto named = key();
      if (!named) return named.error();
      if (!take(':')) return fault("expected ':' behind the key " + named->substr(0, 40));
      auto item = value(level + 1);
      if (!item) return item;
      members[*named] = std::move(*item);
      if (!take(',') && (skip(), at_end() || text_[at_] != '}')) return fault("expected ',' or '}'");
    }
  }

  std::string_view text_;
  std::size_t at_;
};

}  // namespace

Result<json::value> parse_lenient_value(std::string_view text, std::size_t& position) {
  Reader reader(text, position);
  auto found = reader.value(0);
  position = reader.position();
  return found;
}

Result<json::value> parse_lenient(std::string_view text) {
  if (!message::scan::valid_utf8(text)) return Error{ErrorKind::permanent, "not UTF-8", "com-4000"};
  Reader reader(text, 0);
  auto found = reader.value(0);
  if (!found) return found;
  reader.skip();
  if (!reader.at_end() && text[reader.position()] != ';') return reader.fault("something behind the end of the value");
  return found;
}

}  // namespace sluice::driver
