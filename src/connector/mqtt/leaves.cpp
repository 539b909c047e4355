// SPDX-License-Identifier: Apache-2.0
#include "connector/mqtt/leaves.h"

#include <simdjson.h>

namespace sluice::connector::mqtt {
namespace {

using Leaves = std::vector<std::pair<std::string, std::string>>;
namespace ondemand = simdjson::ondemand;

constexpr int kMaxDepth = 32;
constexpr std::size_t kMaxLeaves = 10000;

std::string level_of(std::string_view key) {
  std::string level(key);
  for (char& c : level) {
    if (c == '+' || c == '#' || c == '/' || static_cast<unsigned char>(c) < 0x20 || c == 0x7f) c = '_';
  }
  return level;
}

std::string_view without_blanks(std::string_view token) {
  auto end = token.find_last_not_of(" \t\r\n");
  return token.substr(0, end == std::string_view::npos ? 0 : end + 1);
}

// Throws simdjson_error on bad JSON: caught in leaves_of.
void walk(ondemand::value value, const std::string& path, int depth, Leaves& out) {
  if (depth > kMaxDepth) throw simdjson::simdjson_error(simdjson::DEPTH_ERROR);
  auto below = [&](std::string level) { return path.empty() ? std::move(level) : path + "/" + level; };
  switch (value.type()) {
    case ondemand::json_type::object:
      for (auto field : value.get_object()) {
        std::string level = level_of(field.unescaped_key());
        walk(field.value(), below(std::move(level)), depth + 1, out);
      }
      break;
    case ondemand::json_type::array: {
      std::size_t index = 0;
      for (auto item : value.get_array())
        walk(item.value(), below(std::to_string(index++)), depth + 1, out);
      break;
    }
    default:
      if (out.size() >= kMaxLeaves) throw simdjson::simdjson_error(simdjson::CAPACITY);
      std::string_view token = value.raw_json_token();
      out.emplace_back(path, std::string(without_blanks(token)));
      // Consumes the scalar, which also checks it.
      if (token.front() == '"') {
        static_cast<void>(std::string_view(value.get_string()));
      } else if (token.front() == 't' || token.front() == 'f') {
        static_cast<void>(bool(value.get_bool()));
      } else if (token.front() == 'n') {
        if (!value.is_null()) throw simdjson::simdjson_error(simdjson::N_ATOM_ERROR);
      } else {
        static_cast<void>(double(value.get_double()));
      }
  }
}

}  // namespace

Result<Leaves> leaves_of(std::string_view json) {
  try {
    ondemand::parser parser;
    simdjson::padded_string padded(json);
    auto document = parser.iterate(padded);
    Leaves out;
    walk(document.get_value(), "", 0, out);
    return out;
  } catch (const simdjson::simdjson_error& error) {
    return Error{ErrorKind::permanent, std::string("can't be taken apart into topics: ") + error.what()};
  }
}

}  // namespace sluice::connector::mqtt
