// SPDX-License-Identifier: Apache-2.0
#include "connector/aws/greengrass/discovery.h"

#include "base/json.h"
#include "connector/pem.h"

namespace sluice::connector::greengrass {
namespace {

constexpr std::size_t kMaxBundle = 1u << 20;

const json::array* array_of(const json::value& holder, std::string_view name) {
  const auto* found = holder.is_object() ? json::find(holder.get_object(), name) : nullptr;
  return found && found->is_array() ? &found->get_array() : nullptr;
}

}  // namespace

Result<std::string> authorities_of(std::string_view answer) {
  auto refuse = [](std::string text) { return Error{ErrorKind::permanent, std::move(text)}; };
  auto parsed = json::parse(answer);
  if (!parsed) return refuse("its answer is no JSON");
  const auto* groups = array_of(*parsed, "GGGroups");
  if (!groups) return refuse("its answer has no GGGroups");
  std::string bundle;
  for (const auto& group : *groups) {
    const auto* authorities = array_of(group, "CAs");
    if (!authorities) continue;
    for (const auto& authority : *authorities) {
      if (!authority.is_string()) continue;
      auto pem = normalise_pem(std::string_view(authority.get_string()));
      // One that can't be read is no reason to do without the others.
      if (!pem || pem->empty() || !check_certificates(*pem)) continue;
      if (bundle.find(*pem) != std::string::npos) continue;
      if (bundle.size() + pem->size() > kMaxBundle) return refuse("its answer has too many certificates");
      bundle += *pem;
    }
  }
  if (bundle.empty()) return refuse("its answer has no certificate of a core's authority");
  return bundle;
}

}  // namespace sluice::connector::greengrass
