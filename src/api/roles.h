// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <array>
#include <optional>
#include <string_view>

#include "base/codec.h"
#include "store/access.h"

namespace sluice::api {

// The four roles as the API writes them, in the order of their rights (spec api.md 3).
inline constexpr std::array<std::string_view, 4> kRoleNames = {"Reader", "Writer", "Controller", "Owner"};

inline std::string_view role_name(store::Role role) {
  return kRoleNames.at(static_cast<std::size_t>(role));
}
// Ignoring ASCII case; nothing for another text.
inline std::optional<store::Role> read_role(std::string_view text) {
  for (std::size_t i = 0; i < kRoleNames.size(); ++i) {
    if (equals_ignoring_case(kRoleNames[i], text)) return static_cast<store::Role>(i);
  }
  return {};
}

}  // namespace sluice::api
