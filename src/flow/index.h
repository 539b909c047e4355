// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "message/message.h"
#include "store/store.h"

namespace sluice::flow {

// Case folding of ids and tags: Unicode's simple lower case (spec processors.md 1.2).
std::string fold(std::string_view utf8);

// `1` and `1.0.0` are the same version; two that are no majors must be equal (spec processors.md 1.2).
bool same_version(std::string_view a, std::string_view b);

// A flow as the router needs it, read from its resource.
struct FlowRule {
  struct Target {
    std::uint64_t connection = 0;
    std::int64_t validity_ms = 0;  // 0: no limit
  };
  std::string id, account;
  std::string driver_id;  // empty: no decoding
  std::vector<Target> targets;
};

// What is known of the thing that sent a message (spec processors.md 1.1).
struct Thing {
  std::string_view dev_eui;       // upper case, may be empty
  std::vector<std::string> tags;  // folded
  std::optional<message::ModuleRef> model, application;
  bool base_station = false;  // an alarm without a device: only flows without matchers take it
};

// Finds the flows that take a message. Cost does not grow with the number of flows: keys are hashed by DevEUI, thing
// matchers by their rarest tag or else their application or model, flows without matchers lie in a list of their own.
// Immutable, shared between threads.
class FlowIndex {
 public:
  static std::shared_ptr<const FlowIndex> build(const std::vector<store::Flow>& flows);
  // The flows of the account that match, by ascending id.
  [[nodiscard]] std::vector<const FlowRule*> match(const std::string& account, const Thing& thing) const;
  // Whether tags, models and applications matter in this account at all.
  [[nodiscard]] bool has_thing_matchers(const std::string& account) const;
  [[nodiscard]] std::size_t size() const { return rules_.size(); }

 private:
  struct ThingMatcher {
    std::uint32_t rule = 0;
    std::vector<std::string> tags;                         // folded
    std::optional<message::ModuleRef> model, application;  // folded
  };
  struct AccountIndex {
    std::unordered_map<std::string, std::vector<std::uint32_t>> by_key;             // DevEUI -> rules
    std::unordered_map<std::string, std::vector<std::uint32_t>> by_tag, by_module;  // -> thing_matchers
    std::vector<ThingMatcher> thing_matchers;
    std::vector<std::uint32_t> remaining;  // rules without matchers
  };
  static bool matches(const ThingMatcher& matcher, const Thing& thing);
  void add(const store::Flow& flow);
  void index_things(AccountIndex& index);

  std::vector<FlowRule> rules_;  // by ascending id
  std::unordered_map<std::string, AccountIndex> accounts_;
};

}  // namespace sluice::flow
