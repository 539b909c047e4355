// SPDX-License-Identifier: Apache-2.0
#include "message/json_scan.h"

#include <simdjson.h>

namespace sluice::message::scan {
namespace {

struct Ignore {
  void space(const char*, const char*) {}
  void key(const char*, const char*, bool) {}
  void scalar(Kind, const char*, const char*, bool) {}
  void open(Kind, const char*) {}
  void close(Kind, const char*) {}
};

struct Compactor : Ignore {
  std::string out;
  const char* run;
  explicit Compactor(std::string_view text) : run(text.data()) { out.reserve(text.size()); }
  void space(const char* from, const char* to) {
    out.append(run, from);
    run = to;
  }
};

struct Collector : Ignore {
  std::vector<Item> found;
  Item current;
  int depth = 0;
  const char* opened = nullptr;

  void key(const char* from, const char* to, bool escaped) {
    if (depth != 1) return;
    current.key = {from + 1, static_cast<std::size_t>(to - from - 2)};
    current.key_escaped = escaped;
  }
  void scalar(Kind kind, const char* from, const char* to, bool escaped) {
    if (depth == 1) add(kind, from, to, escaped);
  }
  void open(Kind, const char* at) {
    if (depth++ == 1) opened = at;
  }
  void close(Kind kind, const char* at) {
    if (--depth == 1) add(kind, opened, at + 1, false);
  }
  void add(Kind kind, const char* from, const char* to, bool escaped) {
    current.kind = kind;
    current.value = {from, static_cast<std::size_t>(to - from)};
    current.escaped = escaped;
    found.push_back(current);
  }
};

unsigned hex4(std::string_view text) {
  unsigned n = 0;
  for (char c : text.substr(0, 4)) {
    unsigned digit = c <= '9' ? static_cast<unsigned>(c - '0') : static_cast<unsigned>((c | 32) - 'a' + 10);
    n = n << 4 | digit;
  }
  return n;
}

void append_utf8(std::string& out, unsigned code) {
  if (code < 0x80) {
    out += static_cast<char>(code);
  } else if (code < 0x800) {
    out += static_cast<char>(0xC0 | code >> 6);
    out += static_cast<char>(0x80 | (code & 63));
  } else if (code < 0x10000) {
    out += static_cast<char>(0xE0 | code >> 12);
    out += static_cast<char>(0x80 | (code >> 6 & 63));
    out += static_cast<char>(0x80 | (code & 63));
  } else {
    out += static_cast<char>(0xF0 | code >> 18);
    out += static_cast<char>(0x80 | (code >> 12 & 63));
    out += static_cast<char>(0x80 | (code >> 6 & 63));
    out += static_cast<char>(0x80 | (code & 63));
  }
}

// Reads the escape's code point at `raw[i]` = 'u' and moves i to its last character.
unsigned code_point(std::string_view raw, std::size_t& i) {
  unsigned high = hex4(raw.substr(i + 1));
  i += 4;
  if (high < 0xD800 || high > 0xDFFF) return high;
  bool pair = high < 0xDC00 && i + 6 < raw.size() && raw[i + 1] == '\\' && raw[i + 2] == 'u';
  if (!pair) return 0xFFFD;
  unsigned low = hex4(raw.substr(i + 3));
  if (low < 0xDC00 || low > 0xDFFF) return 0xFFFD;
  i += 6;
  return 0x10000 + ((high - 0xD800) << 10) + (low - 0xDC00);
}

}  // namespace

bool valid_utf8(std::string_view text) {
  return simdjson::validate_utf8(text.data(), text.size());
}

std::string unescape(std::string_view raw) {
  std::string out;
  out.reserve(raw.size());
  for (std::size_t i = 0; i < raw.size(); ++i) {
    if (raw[i] != '\\' || i + 1 == raw.size()) {
      out += raw[i];
      continue;
    }
    switch (raw[++i]) {
      case 'b':
        out += '\b';
        break;
      case 'f':
        out += '\f';
        break;
      case 'n':
        out += '\n';
        break;
      case 'r':
        out += '\r';
        break;
      case 't':
        out += '\t';
        break;
      case 'u':
        if (i + 4 < raw.size()) append_utf8(out, code_point(raw, i));
        break;
      default:
        out += raw[i];
    }
  }
  return out;
}

bool is_number(std::string_view text) {
  if (text.empty() || !(detail::digit(text.front()) || text.front() == '-')) return false;
  Ignore sink;
  return !detail::digit(text.back()) ? false : Walker<Ignore>(text, sink).walk();
}

std::optional<std::string> compact(std::string_view json) {
  Compactor sink(json);
  if (!valid_utf8(json) || !Walker<Compactor>(json, sink).walk()) return std::nullopt;
  sink.out.append(sink.run, json.data() + json.size());
  return std::move(sink.out);
}

std::vector<Item> items(std::string_view json) {
  Collector sink;
  if (!Walker<Collector>(json, sink).walk()) return {};
  return std::move(sink.found);
}

std::string without(std::string_view text, const std::vector<Item>& members) {
  std::string out;
  out.reserve(text.size());
  std::size_t done = 0;
  for (const auto& member : members) {
    auto from = static_cast<std::size_t>(member.key.data() - 1 - text.data());
    auto to = static_cast<std::size_t>(member.value.data() + member.value.size() - text.data());
    out += text.substr(done, from - done);
    // With the member goes the comma after it, or, for the last one, the comma before it.
    if (to < text.size() && text[to] == ',') {
      ++to;
    } else if (!out.empty() && out.back() == ',') {
      out.pop_back();
    }
    done = to;
  }
  return out += text.substr(done);
}

}  // namespace sluice::message::scan
