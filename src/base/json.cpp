// SPDX-License-Identifier: Apache-2.0
#include "base/json.h"

#include <boost/json/parse.hpp>
#include <boost/json/stream_parser.hpp>
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

}  // namespace

Result<value> parse(std::string_view text, std::size_t max_depth) {
  boost::json::parse_options options;
  options.max_depth = max_depth;
  boost::json::stream_parser parser({}, options);
  boost::system::error_code ec;
  auto used = parser.write_some(text.data(), text.size(), ec);
  if (!ec && used < text.size()) ec = boost::json::error::extra_data;
  if (!ec) parser.finish(ec);
  if (ec) {
    return Error{ErrorKind::permanent, "not valid JSON at byte " + std::to_string(used) + ": " + ec.message(),
                 "com-4000"};
  }
  return parser.release();
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
