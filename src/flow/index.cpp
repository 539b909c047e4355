// SPDX-License-Identifier: Apache-2.0
#include "flow/index.h"

#include <algorithm>
#include <charconv>
#include <clocale>
#include <cwctype>

#include "base/codec.h"
#include "base/json.h"

namespace sluice::flow {
namespace {

locale_t unicode_locale() {
  static locale_t locale = ::newlocale(LC_CTYPE_MASK, "C.UTF-8", nullptr);
  return locale;
}

// Decodes one code point and moves on; a byte that is no UTF-8 stands for itself.
char32_t next_point(std::string_view& text) {
  auto lead = static_cast<unsigned char>(text.front());
  std::size_t length = lead < 0x80 ? 1 : lead >> 5 == 6 ? 2 : lead >> 4 == 14 ? 3 : lead >> 3 == 30 ? 4 : 1;
  if (length > text.size()) length = 1;
  char32_t point = length == 1 ? lead : lead & (0x7f >> length);
  for (std::size_t i = 1; i < length; ++i)
    point = point << 6 | (static_cast<unsigned char>(text[i]) & 63);
  text.remove_prefix(length);
  return point;
}

void append_point(std::string& out, char32_t point) {
  if (point < 0x80) {
    out += static_cast<char>(point);
  } else if (point < 0x800) {
    out += static_cast<char>(0xc0 | point >> 6);
    out += static_cast<char>(0x80 | (point & 63));
  } else if (point < 0x10000) {
    out += static_cast<char>(0xe0 | point >> 12);
    out += static_cast<char>(0x80 | (point >> 6 & 63));
    out += static_cast<char>(0x80 | (point & 63));
  } else {
    out += static_cast<char>(0xf0 | point >> 18);
    out += static_cast<char>(0x80 | (point >> 12 & 63));
    out += static_cast<char>(0x80 | (point >> 6 & 63));
    out += static_cast<char>(0x80 | (point & 63));
  }
}

std::string module_key(char kind, std::string_view producer, std::string_view module) {
  return kind + fold(producer) + '\0' + fold(module);
}

std::optional<message::ModuleRef> read_module(const json::object& matcher, std::string_view name) {
  const auto* value = json::find(matcher, name);
  if (!value || !value->is_object()) return std::nullopt;
  const auto& o = value->get_object();
  return message::ModuleRef{fold(json::text_or(o, "producerId")), fold(json::text_or(o, "moduleId")),
                            json::text_or(o, "version")};
}

bool same_module(const std::optional<message::ModuleRef>& wanted, const std::optional<message::ModuleRef>& have) {
  if (!wanted) return true;
  return have && wanted->producer == fold(have->producer) && wanted->module == fold(have->module) &&
         same_version(wanted->version, have->version);
}

std::uint64_t read_id(std::string_view text) {
  std::uint64_t n = 0;
  std::from_chars(text.data(), text.data() + text.size(), n);
  return n;
}

}  // namespace

std::string fold(std::string_view utf8) {
  if (std::all_of(utf8.begin(), utf8.end(), [](char c) { return static_cast<unsigned char>(c) < 0x80; })) {
    return to_lower(utf8);
  }
  std::string out;
  while (!utf8.empty()) {
    bool plain = static_cast<unsigned char>(utf8.front()) < 0x80;
    auto point = next_point(utf8);
    append_point(out, plain ? static_cast<char32_t>(to_lower(std::string(1, static_cast<char>(point)))[0])
                            : static_cast<char32_t>(::towlower_l(static_cast<wint_t>(point), unicode_locale())));
  }
  return out;
}

bool same_version(std::string_view a, std::string_view b) {
  if (equals_ignoring_case(a, b)) return true;
  auto major = [](std::string_view version) { return version.substr(0, version.find('.')); };
  bool a_is_major = a.find('.') == std::string_view::npos;
  bool b_is_major = b.find('.') == std::string_view::npos;
  return (a_is_major || b_is_major) && !a.empty() && major(a) == major(b);
}

std::shared_ptr<const FlowIndex> FlowIndex::build(const std::vector<store::Flow>& flows) {
  auto index = std::make_shared<FlowIndex>();
  auto sorted = flows;
  std::sort(sorted.begin(), sorted.end(),
            [](const store::Flow& a, const store::Flow& b) { return read_id(a.id) < read_id(b.id); });
  for (const auto& flow : sorted) {
    if (json::bool_or(flow.resource, "active", true)) index->add(flow);
  }
  for (auto& [account, part] : index->accounts_)
    index->index_things(part);
  return index;
}

void FlowIndex::add(const store::Flow& flow) {
  FlowRule rule;
  rule.id = flow.id;
  rule.account = flow.account;
  if (const auto* driver = json::find(flow.resource, "driver"); driver && driver->is_object()) {
    if (!json::bool_or(flow.resource, "skipDecoding", false))
      rule.driver_id = json::text_or(driver->get_object(), "id");
  }
  if (const auto* targets = json::find(flow.resource, "connectors"); targets && targets->is_array()) {
    for (const auto& item : targets->get_array()) {
      if (!item.is_object()) continue;
      const auto& o = item.get_object();
      auto validity = parse_duration(json::text_or(o, "uplinkTimeValidity"));
      rule.targets.push_back({read_id(json::text_or(o, "connectionId")), validity ? validity->count() : 0});
    }
  }
  auto number = static_cast<std::uint32_t>(rules_.size());
  rules_.push_back(std::move(rule));
  auto& index = accounts_[flow.account];
  const auto* matchers = json::find(flow.resource, "matchers");
  if (!matchers || !matchers->is_array() || matchers->get_array().empty()) {
    index.remaining.push_back(number);
    return;
  }
  for (const auto& item : matchers->get_array()) {
    if (!item.is_object()) continue;
    const auto& matcher = item.get_object();
    if (json::text_or(matcher, "type") == "key") {
      auto key = to_upper(json::text_or(matcher, "key"));
      std::erase(key, '-');
      constexpr std::string_view kPrefix = "LORA:";
      if (key.starts_with(kPrefix)) index.by_key[key.substr(kPrefix.size())].push_back(number);
      continue;
    }
    ThingMatcher thing;
    thing.rule = number;
    if (const auto* tags = json::find(matcher, "tags"); tags && tags->is_array()) {
      for (const auto& tag : tags->get_array()) {
        if (tag.is_string()) thing.tags.push_back(fold(tag.get_string()));
      }
    }
    thing.model = read_module(matcher, "model");
    thing.application = read_module(matcher, "application");
    if (thing.tags.empty() && !thing.model && !thing.application)
      continue;  // would match everything: refused when saved
    index.thing_matchers.push_back(std::move(thing));
  }
}

void FlowIndex::index_things(AccountIndex& index) {
  std::unordered_map<std::string, std::size_t> uses;
  for (const auto& matcher : index.thing_matchers) {
    for (const auto& tag : matcher.tags)
      ++uses[tag];
  }
  for (std::uint32_t i = 0; i < index.thing_matchers.size(); ++i) {
    const auto& matcher = index.thing_matchers[i];
    if (!matcher.tags.empty()) {
      auto rarest = std::min_element(matcher.tags.begin(), matcher.tags.end(),
                                     [&](const auto& a, const auto& b) { return uses[a] < uses[b]; });
      index.by_tag[*rarest].push_back(i);
    } else if (matcher.application) {
      index.by_module[module_key('a', matcher.application->producer, matcher.application->module)].push_back(i);
    } else {
      index.by_module[module_key('m', matcher.model->producer, matcher.model->module)].push_back(i);
    }
  }
}

bool FlowIndex::has_thing_matchers(const std::string& account) const {
  auto found = accounts_.find(account);
  return found != accounts_.end() && !found->second.thing_matchers.empty();
}

bool FlowIndex::matches(const ThingMatcher& matcher, const Thing& thing) {
  for (const auto& tag : matcher.tags) {
    if (std::find(thing.tags.begin(), thing.tags.end(), tag) == thing.tags.end()) return false;
  }
  return same_module(matcher.model, thing.model) && same_module(matcher.application, thing.application);
}

std::vector<const FlowRule*> FlowIndex::match(const std::string& account, const Thing& thing) const {
  auto found = accounts_.find(account);
  if (found == accounts_.end()) return {};
  const auto& index = found->second;
  std::vector<std::uint32_t> hits;
  if (!thing.dev_eui.empty()) {
    if (auto key = index.by_key.find(std::string(thing.dev_eui)); key != index.by_key.end()) hits = key->second;
  }
  auto try_all = [&](const auto& map, const std::string& key) {
    auto list = map.find(key);
    if (list == map.end()) return;
    for (auto i : list->second) {
      if (matches(index.thing_matchers[i], thing)) hits.push_back(index.thing_matchers[i].rule);
    }
  };
  if (!index.thing_matchers.empty() && !thing.base_station) {
    for (const auto& tag : thing.tags)
      try_all(index.by_tag, tag);
    if (thing.application) {
      try_all(index.by_module, module_key('a', thing.application->producer, thing.application->module));
    }
    if (thing.model) try_all(index.by_module, module_key('m', thing.model->producer, thing.model->module));
  }
  if (hits.empty()) hits = index.remaining;
  std::sort(hits.begin(), hits.end());
  hits.erase(std::unique(hits.begin(), hits.end()), hits.end());
  std::vector<const FlowRule*> out;
  out.reserve(hits.size());
  for (auto hit : hits)
    out.push_back(&rules_[hit]);
  return out;
}

}  // namespace sluice::flow
