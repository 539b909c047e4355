// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <sstream>
#include <stdexcept>

namespace sluice::driver {
// The library asserts what broken text can make untrue ("[[a.]"): a fault of the text, not a reason to end.
constexpr void require_toml(bool holds) {
  if (!holds) throw std::runtime_error("not TOML");
}
}  // namespace sluice::driver
#define TOML_ASSERT(expression) ::sluice::driver::require_toml(static_cast<bool>(expression))
#include <toml++/toml.h>

#include "driver/markup.h"
#include "message/json_scan.h"

namespace sluice::driver {
namespace {

// Beyond ASCII TOML allows strings and comments alone; the library's own check of that (is_unicode_whitespace) runs
// into undefined behaviour with letters up to U+0499.
bool is_ascii_outside_strings(std::string_view text) {
  for (std::size_t i = 0; i < text.size(); ++i) {
    const char c = text[i];
    if (static_cast<unsigned char>(c) >= 0x80) return false;
    if (c == '#') {
      i = std::min(text.find('\n', i), text.size());
    } else if (c == '"' || c == '\'') {
      const bool lines = text.substr(i, 3) == std::string(3, c);
      const std::string end(lines ? 3 : 1, c);
      for (i += end.size(); i < text.size() && text.substr(i, end.size()) != end; ++i) {
        if (c == '"' && text[i] == '\\') ++i;
        if (!lines && i < text.size() && text[i] == '\n') break;
      }
      i += end.size() - 1;
    }
  }
  return true;
}

json::value convert(const toml::node& node) {
  if (const auto* table = node.as_table()) {
    json::object members;
    for (const auto& [key, item] : *table)
      members[std::string_view(key.str())] = convert(item);
    return members;
  }
  if (const auto* list = node.as_array()) {
    json::array items;
    for (const auto& item : *list)
      items.push_back(convert(item));
    return items;
  }
  if (const auto* text = node.as_string()) return json::value(std::string_view(text->get()));
  if (const auto* whole = node.as_integer()) return whole->get();
  if (const auto* real = node.as_floating_point()) return real->get();
  if (const auto* flag = node.as_boolean()) return flag->get();
  std::ostringstream time;
  node.visit([&](const auto& value) {
    if constexpr (toml::is_chronological<decltype(value)>) time << value.get();
  });
  return json::value(time.str());
}

}  // namespace

Result<json::value> parse_toml(std::string_view text) {
  if (text.size() > 1u << 20) return Error{ErrorKind::permanent, "over 1 MiB", "com-4000"};
  if (!message::scan::valid_utf8(text)) return Error{ErrorKind::permanent, "not UTF-8", "com-4000"};
  if (text.starts_with("\xef\xbb\xbf")) text.remove_prefix(3);
  if (!is_ascii_outside_strings(text))
    return Error{ErrorKind::permanent, "characters beyond ASCII outside strings and comments", "com-4000"};
  try {
    return convert(toml::parse(text));
  } catch (const toml::parse_error& e) {
    return Error{ErrorKind::permanent,
                 "line " + std::to_string(e.source().begin.line) + ": " + std::string(e.description()), "com-4000"};
  } catch (const std::exception& e) {
    return Error{ErrorKind::permanent, e.what(), "com-4000"};
  }
}

}  // namespace sluice::driver
