// SPDX-License-Identifier: Apache-2.0
#include "base/json.h"

#include <boost/json/basic_parser_impl.hpp>
#include <boost/json/value_stack.hpp>
#include <charconv>
#include <cmath>

namespace sluice::json {
namespace {

void append_double(std::string& out, double d) {
  if (!std::isfinite(d)) {
    out += "null";
    return;
  }
  char buffer[32];
  auto end = std::to_chars(buffer, buffer + sizeof buffer, d).ptr;
  std::string_view text(buffer, static_cast<std::size_t>(end - buffer));
  out += text;
  if (text.find_first_of(".eE") == std::string_view::npos) out += ".0";
}

void append_int(std::string& out, auto n) {
  char buffer[24];
  out.append(buffer, std::to_chars(buffer, buffer + sizeof buffer, n).ptr);
}

void append_break(std::string& out, int indent, int level) {
  if (indent == 0) return;
  out += '\n';
  out.append(static_cast<std::size_t>(indent * level), ' ');
}

void append(std::string& out, const value& v, int indent, int level) {
  switch (v.kind()) {
    case boost::json::kind::null:
      out += "null";
      break;
    case boost::json::kind::bool_:
      out += v.get_bool() ? "true" : "false";
      break;
    case boost::json::kind::int64:
      append_int(out, v.get_int64());
      break;
    case boost::json::kind::uint64:
      append_int(out, v.get_uint64());
      break;
    case boost::json::kind::double_:
      append_double(out, v.get_double());
      break;
    case boost::json::kind::string:
      append_quoted(out, v.get_string());
      break;
    case boost::json::kind::array: {
      const auto& a = v.get_array();
      out += '[';
      bool first = true;
      for (const auto& item : a) {
        if (!first) out += ',';
        first = false;
        append_break(out, indent, level + 1);
        append(out, item, indent, level + 1);
      }
      if (!a.empty()) append_break(out, indent, level);
      out += ']';
      break;
    }
    case boost::json::kind::object: {
      const auto& o = v.get_object();
      out += '{';
      bool first = true;
      for (const auto& [key, item] : o) {
        if (!first) out += ',';
        first = false;
        append_break(out, indent, level + 1);
        append_quoted(out, key);
        out += indent ? ": " : ":";
        append(out, item, indent, level + 1);
      }
      if (!o.empty()) append_break(out, indent, level);
      out += '}';
      break;
    }
  }
}

// Builds the value as boost::json::parser does, but for doubles: Boost 1.81 reads them up to some units in the last
// place off ("97.67299916075379" as 97.6729991607538), so that what was read and written again would not be what it
// was.
struct Builder {
  using error_code = boost::system::error_code;
  using text_view = boost::json::string_view;
  static constexpr std::size_t max_object_size = object::max_size();
  static constexpr std::size_t max_array_size = array::max_size();
  static constexpr std::size_t max_key_size = boost::json::string::max_size();
  static constexpr std::size_t max_string_size = boost::json::string::max_size();

  boost::json::value_stack stack;
  std::string number;  // its parts, where it came in several

  Builder() { stack.reset(); }

  bool on_document_begin(error_code&) { return true; }
  bool on_document_end(error_code&) { return true; }
  bool on_object_begin(error_code&) { return true; }
  bool on_object_end(std::size_t n, error_code&) { return stack.push_object(n), true; }
  bool on_array_begin(error_code&) { return true; }
  bool on_array_end(std::size_t n, error_code&) { return stack.push_array(n), true; }
  bool on_key_part(text_view s, std::size_t, error_code&) { return stack.push_chars(s), true; }
  bool on_key(text_view s, std::size_t, error_code&) { return stack.push_key(s), true; }
  bool on_string_part(text_view s, std::size_t, error_code&) { return stack.push_chars(s), true; }
  bool on_string(text_view s, std::size_t, error_code&) { return stack.push_string(s), true; }
  bool on_number_part(text_view s, error_code&) { return number.append(s.data(), s.size()), true; }
  bool on_int64(std::int64_t i, text_view, error_code&) { return number.clear(), stack.push_int64(i), true; }
  bool on_uint64(std::uint64_t u, text_view, error_code&) { return number.clear(), stack.push_uint64(u), true; }
  bool on_double(double rough, text_view s, error_code&) {
    double exact = rough;
    if (!number.empty()) s = number.append(s.data(), s.size());
    // Too large or too small for a double: as Boost has it, an infinity or zero.
    const auto read = std::from_chars(s.data(), s.data() + s.size(), exact);
    stack.push_double(read.ec == std::errc() ? exact : rough);
    number.clear();
    return true;
  }
  bool on_bool(bool b, error_code&) { return stack.push_bool(b), true; }
  bool on_null(error_code&) { return stack.push_null(), true; }
  bool on_comment_part(text_view, error_code&) { return true; }
  bool on_comment(text_view, error_code&) { return true; }
};

}  // namespace

Result<value> parse(std::string_view text, std::size_t max_depth) {
  boost::json::parse_options options;
  options.max_depth = max_depth;
  boost::json::basic_parser<Builder> parser(options);
  boost::system::error_code ec;
  auto used = parser.write_some(true, text.data(), text.size(), ec);
  if (!ec && used < text.size()) ec = boost::json::error::extra_data;
  if (!ec) parser.write_some(false, nullptr, 0, ec);
  if (ec) {
    return Error{ErrorKind::permanent, "not valid JSON at byte " + std::to_string(used) + ": " + ec.message(),
                 "com-4000"};
  }
  return parser.handler().stack.release();
}

std::string write(const value& v) {
  std::string out;
  append(out, v, 0, 0);
  return out;
}

std::string write_pretty(const value& v) {
  std::string out;
  append(out, v, 2, 0);
  return out;
}

void append_quoted(std::string& out, std::string_view text) {
  static constexpr char kHex[] = "0123456789abcdef";
  out += '"';
  for (char c : text) {
    switch (c) {
      case '"':
        out += "\\\"";
        break;
      case '\\':
        out += "\\\\";
        break;
      case '\n':
        out += "\\n";
        break;
      case '\r':
        out += "\\r";
        break;
      case '\t':
        out += "\\t";
        break;
      default:
        if (static_cast<unsigned char>(c) < 0x20) {
          out += "\\u00";
          out += kHex[(c >> 4) & 15];
          out += kHex[c & 15];
        } else {
          out += c;
        }
    }
  }
  out += '"';
}

std::string quote(std::string_view text) {
  std::string out;
  append_quoted(out, text);
  return out;
}

const value* find(const object& o, std::string_view key) {
  const value* v = o.if_contains(key);
  return v && !v->is_null() ? v : nullptr;
}

std::string text_or(const object& o, std::string_view key, std::string_view fallback) {
  const value* v = find(o, key);
  return v && v->is_string() ? std::string(v->get_string()) : std::string(fallback);
}

bool bool_or(const object& o, std::string_view key, bool fallback) {
  const value* v = find(o, key);
  return v && v->is_bool() ? v->get_bool() : fallback;
}

std::int64_t int_or(const object& o, std::string_view key, std::int64_t fallback) {
  const value* v = find(o, key);
  if (!v) return fallback;
  if (v->is_int64()) return v->get_int64();
  if (v->is_uint64()) return static_cast<std::int64_t>(v->get_uint64());
  return fallback;
}

void merge_patch(value& target, const value& patch) {
  if (!patch.is_object()) {
    target = patch;
    return;
  }
  if (!target.is_object()) target = object();
  auto& o = target.get_object();
  for (const auto& [key, item] : patch.get_object()) {
    if (item.is_null()) {
      // if_contains first: Boost's erase moves the last member into the gap, so members are rebuilt to keep their
      // order.
      if (!o.contains(key)) continue;
      object kept;
      for (auto& [k, v] : o) {
        if (k != key) kept.emplace(k, std::move(v));
      }
      o = std::move(kept);
    } else {
      merge_patch(o[key], item);
    }
  }
}

}  // namespace sluice::json
