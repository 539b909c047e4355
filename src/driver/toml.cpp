// SPDX-License-Identifier: Apache-2.0
#include <sstream>
#include <toml++/toml.h>

#include "driver/markup.h"

namespace sluice::driver {
namespace {

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
