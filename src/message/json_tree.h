// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "message/json_scan.h"

namespace sluice::message {

// A parsed JSON text whose nodes are views into it: numbers keep their spelling. Nodes lie in document order, so a
// subtree is the range from a node to its `end`.
struct JsonTree {
  using Index = std::uint32_t;
  struct Node {
    scan::Kind kind = scan::Kind::literal;
    bool escaped = false;
    bool key_escaped = false;
    Index end = 0;           // the first node after this one's subtree
    std::string_view key;    // content without quotes; of members only
    std::string_view value;  // the token with its quotes, or the whole object or array

    [[nodiscard]] bool is_container() const { return kind == scan::Kind::object || kind == scan::Kind::array; }
    [[nodiscard]] bool is_null() const { return kind == scan::Kind::literal && value.front() == 'n'; }
    [[nodiscard]] bool named(std::string_view name) const {
      return key_escaped ? scan::unescape(key) == name : key == name;
    }
    // The content of a string, the spelling of anything else.
    [[nodiscard]] std::string text() const;
  };

  std::vector<Node> nodes;  // nodes[0] is the document

  // Nothing where the text, which must outlive the tree, is not JSON of at most 64 levels.
  static std::optional<JsonTree> parse(std::string_view json);

  // Calls `visit(Index)` for each direct child until it gives false.
  template <class Visit>
  void children(Index of, Visit visit) const {
    if (!nodes[of].is_container()) return;
    for (Index i = of + 1; i < nodes[of].end; i = nodes[i].end) {
      if (!visit(i)) return;
    }
  }
  [[nodiscard]] std::size_t count(Index of) const;
  // The last member of that name of an object.
  [[nodiscard]] std::optional<Index> member(Index of, std::string_view name) const;
  // An array's item, counted from the end where the index is negative.
  [[nodiscard]] std::optional<Index> item(Index of, std::int64_t index) const;
};

}  // namespace sluice::message
