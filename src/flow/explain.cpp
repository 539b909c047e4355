// SPDX-License-Identifier: Apache-2.0
#include "flow/explain.h"

#include <algorithm>

#include "base/codec.h"
#include "base/json.h"

namespace sluice::flow {
namespace {

std::string module_text(const json::object& matcher, std::string_view name) {
  const auto* value = json::find(matcher, name);
  if (value == nullptr || !value->is_object()) return {};
  const auto& o = value->get_object();
  return json::text_or(o, "producerId") + ":" + json::text_or(o, "moduleId") + ":" + json::text_or(o, "version");
}

std::string module_text(const message::ModuleRef& module) {
  return module.producer + ":" + module.module + ":" + module.version;
}

// A flow of this one matcher, or of this one part of a matcher, put to the index.
bool takes(const std::string& account, const json::object& matcher, const Thing& thing) {
  store::Flow flow{.id = "1", .account = account, .resource = {{"matchers", json::array{matcher}}}};
  return !FlowIndex::build({flow})->match(account, thing).empty();
}

std::string quoted(const std::string& text) {
  return "'" + text + "'";
}

std::string list_of(const std::vector<std::string>& texts) {
  std::string all;
  for (const auto& text : texts)
    all += (all.empty() ? "" : ", ") + quoted(text);
  return all;
}

// Why a matcher of tags, model and application does not take the device: every part that is not met.
std::string thing_reason(const std::string& account, const json::object& matcher, const Thing& thing, bool seen) {
  std::vector<std::string> missing;
  std::string reason;
  auto add = [&](const std::string& text) { reason += (reason.empty() ? "" : "; ") + text; };
  if (const auto* tags = json::find(matcher, "tags"); tags != nullptr && tags->is_array()) {
    for (const auto& tag : tags->get_array()) {
      if (!tag.is_string()) continue;
      std::string text(tag.get_string());
      if (std::find(thing.tags.begin(), thing.tags.end(), fold(text)) == thing.tags.end()) missing.push_back(text);
    }
  }
  if (!missing.empty()) {
    add("the device has not the tag" + std::string(missing.size() > 1 ? "s " : " ") + list_of(missing) +
        (thing.tags.empty() ? " (it has none)" : " (it has " + list_of(thing.tags) + ")"));
  }
  auto module = [&](const char* name, const std::optional<message::ModuleRef>& have) {
    auto wanted = module_text(matcher, name);
    if (wanted.empty() || takes(account, {{"type", "thing"}, {name, *json::find(matcher, name)}}, thing)) return;
    add("its " + std::string(name) + " is " + (have ? module_text(*have) : std::string("not known")) + ", not " +
        wanted);
  };
  module("model", thing.model);
  module("application", thing.application);
  if (!seen) add("no message of this device has come yet, so its tags, model and application are not known");
  return reason.empty() ? "it asks for nothing, so it takes nothing" : reason;
}

std::string met_text(const json::object& matcher) {
  std::string text = "the device has";
  std::vector<std::string> tags;
  if (const auto* all = json::find(matcher, "tags"); all != nullptr && all->is_array()) {
    for (const auto& tag : all->get_array()) {
      if (tag.is_string()) tags.emplace_back(tag.get_string());
    }
  }
  if (!tags.empty()) text += " the tag" + std::string(tags.size() > 1 ? "s " : " ") + list_of(tags);
  for (const char* name : {"model", "application"}) {
    auto wanted = module_text(matcher, name);
    if (!wanted.empty()) text += std::string(text.ends_with("has") ? "" : ",") + " the " + name + " " + wanted;
  }
  return text;
}

}  // namespace

Thing thing_of(const std::string& dev_eui, const DeviceFacts* facts) {
  Thing thing;
  thing.dev_eui = dev_eui;
  if (facts == nullptr) return thing;
  for (const auto& tag : facts->tags)
    thing.tags.push_back(fold(tag));
  thing.model = facts->model;
  thing.application = facts->application;
  return thing;
}

boost::json::array explain_matchers(const store::Flow& flow, const Thing& thing, bool seen) {
  json::array out;
  const auto* matchers = json::find(flow.resource, "matchers");
  if (matchers == nullptr || !matchers->is_array()) return out;
  for (const auto& item : matchers->get_array()) {
    if (!item.is_object()) continue;
    const auto& matcher = item.get_object();
    auto type = json::text_or(matcher, "type", "thing");
    bool matches = takes(flow.account, matcher, thing);
    std::string reason;
    if (type == "key") {
      reason = "the key " + json::text_or(matcher, "key") + (matches ? " is this device" : " is another device");
    } else {
      reason = matches ? met_text(matcher) : thing_reason(flow.account, matcher, thing, seen);
    }
    out.push_back(json::object{{"type", type}, {"matches", matches}, {"reason", reason}});
  }
  return out;
}

boost::json::object explain_flow(const store::Flow& flow, const Thing& thing, bool seen,
                                 const std::vector<std::string>& taken) {
  bool active = json::bool_or(flow.resource, "active", true);
  bool matches = std::find(taken.begin(), taken.end(), flow.id) != taken.end();
  auto matchers = explain_matchers(flow, thing, seen);
  auto first_with = [&](bool wanted) {
    for (const auto& matcher : matchers) {
      const auto& o = matcher.get_object();
      if (json::bool_or(o, "matches", false) == wanted) return json::text_or(o, "reason");
    }
    return std::string();
  };
  auto met = first_with(true);
  std::string reason;
  if (!active) {
    reason = "the flow is not active" + (met.empty() ? std::string() : "; if it were: " + met);
  } else if (matchers.empty()) {
    reason = matches ? "it has no matchers and takes what no other flow takes"
                     : "it has no matchers and takes only what no other flow takes";
  } else if (matches) {
    reason = met;
  } else if (!met.empty()) {
    reason = "it matches as it is stored, but that is not in force yet";
  } else {
    reason = first_with(false);
    if (matchers.size() > 1)
      reason = "none of its " + std::to_string(matchers.size()) + " matchers takes it; the first: " + reason;
  }
  return {{"flowId", flow.id}, {"name", json::text_or(flow.resource, "name")},
          {"active", active},  {"matches", matches},
          {"reason", reason},  {"matchers", std::move(matchers)}};
}

}  // namespace sluice::flow
