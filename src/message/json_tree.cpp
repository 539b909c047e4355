// SPDX-License-Identifier: Apache-2.0
#include "message/json_tree.h"

namespace sluice::message {
namespace {

using scan::Kind;

struct Builder {
  std::vector<JsonTree::Node> nodes;
  std::vector<JsonTree::Index> open_nodes;
  std::string_view name;
  bool name_escaped = false;

  void space(const char*, const char*) {}
  void key(const char* from, const char* to, bool escaped) {
    name = {from + 1, static_cast<std::size_t>(to - from - 2)};
    name_escaped = escaped;
  }
  void scalar(Kind kind, const char* from, const char* to, bool escaped) {
    auto& node = add(kind, escaped);
    node.value = {from, static_cast<std::size_t>(to - from)};
    node.end = static_cast<JsonTree::Index>(nodes.size());
  }
  void open(Kind kind, const char* at) {
    open_nodes.push_back(static_cast<JsonTree::Index>(nodes.size()));
    add(kind, false).value = {at, 1};
  }
  void close(Kind, const char* at) {
    auto& node = nodes[open_nodes.back()];
    open_nodes.pop_back();
    node.value = {node.value.data(), static_cast<std::size_t>(at + 1 - node.value.data())};
    node.end = static_cast<JsonTree::Index>(nodes.size());
  }
  JsonTree::Node& add(Kind kind, bool escaped) {
    auto& node = nodes.emplace_back();
    node.kind = kind;
    node.escaped = escaped;
    node.key = name;
    node.key_escaped = name_escaped;
    // Items of an array that follow have no name.
    name = {};
    name_escaped = false;
    return node;
  }
};

}  // namespace

std::string JsonTree::Node::text() const {
  if (kind != Kind::string) return std::string(value);
  auto raw = value.substr(1, value.size() - 2);
  return escaped ? scan::unescape(raw) : std::string(raw);
}

std::optional<JsonTree> JsonTree::parse(std::string_view json) {
  Builder builder;
  builder.nodes.reserve(json.size() / 12 + 1);
  if (!scan::Walker<Builder>(json, builder).walk()) return std::nullopt;
  return JsonTree{std::move(builder.nodes)};
}

std::size_t JsonTree::count(Index of) const {
  std::size_t n = 0;
  children(of, [&](Index) {
    ++n;
    return true;
  });
  return n;
}

std::optional<JsonTree::Index> JsonTree::member(Index of, std::string_view name) const {
  if (nodes[of].kind != Kind::object) return std::nullopt;
  std::optional<Index> found;
  children(of, [&](Index i) {
    if (nodes[i].named(name)) found = i;
    return true;
  });
  return found;
}

std::optional<JsonTree::Index> JsonTree::item(Index of, std::int64_t index) const {
  if (nodes[of].kind != Kind::array) return std::nullopt;
  if (index < 0) index += static_cast<std::int64_t>(count(of));
  if (index < 0) return std::nullopt;
  std::optional<Index> found;
  children(of, [&](Index i) {
    if (index-- != 0) return true;
    found = i;
    return false;
  });
  return found;
}

}  // namespace sluice::message
