// SPDX-License-Identifier: Apache-2.0
#include "driver/catalogue.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <map>
#include <tuple>
#include <utility>

#include "base/codec.h"
#include "base/crypto.h"
#include "base/json.h"
#include "driver/limits.h"

namespace sluice::driver {
namespace {

// Ids and versions compare without case; a version that is only a major one equals any of that major (spec
// processors.md 1.2).
std::string major_of(std::string_view version) {
  return to_lower(version.substr(0, version.find('.')));
}

bool same_version(std::string_view a, std::string_view b) {
  if (equals_ignoring_case(a, b)) return true;
  const bool plain = a.find('.') == std::string_view::npos || b.find('.') == std::string_view::npos;
  return plain && major_of(a) == major_of(b);
}

struct Module {
  std::string producer, module, version;
};

bool names(const Module& module, const message::ModuleRef& wanted) {
  return equals_ignoring_case(module.producer, wanted.producer) && equals_ignoring_case(module.module, wanted.module) &&
         same_version(module.version, wanted.version);
}

std::string application_key(std::string_view producer, std::string_view module, std::string_view version) {
  return to_lower(producer) + ':' + to_lower(module) + ':' + major_of(version);
}

// A text or a number, as text.
std::string scalar(const json::object& object, std::string_view key) {
  const auto* value = json::find(object, key);
  return value != nullptr && value->is_number() ? json::write(*value) : json::text_or(object, key);
}

Module module_from(const json::object& object) {
  return {scalar(object, "producerId"), scalar(object, "moduleId"), scalar(object, "version")};
}

// SemVer's order, release parts alone and then a pre-release below its release; other text is lowest.
using Version = std::tuple<std::array<std::uint64_t, 3>, bool, std::string>;
Version version_of(std::string_view text) {
  Version version{{0, 0, 0}, false, {}};
  text = text.substr(0, text.find('+'));
  const auto dash = text.find('-');
  std::string_view release = text.substr(0, dash);
  for (auto& part : std::get<0>(version)) {
    std::from_chars(release.data(), release.data() + release.size(), part);
    const auto dot = release.find('.');
    release.remove_prefix(dot == std::string_view::npos ? release.size() : dot + 1);
  }
  std::get<1>(version) = dash == std::string_view::npos;
  if (dash != std::string_view::npos) std::get<2>(version) = text.substr(dash + 1);
  return version;
}

struct Entry {
  std::shared_ptr<const DriverCode> code;
  Module application;
  std::vector<Module> models;
  Version version;
  bool has_code = false;
};
using EntryPtr = std::shared_ptr<const Entry>;

EntryPtr read_entry(const store::Driver& driver) {
  auto entry = std::make_shared<Entry>();
  auto code = std::make_shared<DriverCode>();
  const std::string type = json::text_or(driver.resource, "type", "thingpark-x-js");
  const auto signature = signature_of_type(type);
  code->account = driver.account;
  code->id = driver.id;
  code->signature = signature.value_or(Signature::actility);
  code->source = driver.code;
  code->extract_points_source = driver.extract_points;
  if (const auto* schema = json::find(driver.resource, "pointsSchema"); schema != nullptr && schema->is_object()) {
    code->points_schema = json::write(*schema);
  }
  std::string all = type;
  for (const auto* text : {&code->source, &code->extract_points_source, &code->points_schema}) {
    all += '\0' + std::to_string(text->size()) + '\0' + *text;
  }
  code->use_context = json::bool_or(driver.resource, "useContext", false);
  code->trusted = json::bool_or(driver.resource, "trusted", false);
  code->version = json::text_or(driver.resource, "version");
  all += std::string(1, '\0') + (code->use_context ? 'c' : '-') + (code->trusted ? 't' : '-');
  if (const auto* limits = json::find(driver.resource, "limits"); limits != nullptr && limits->is_object()) {
    // They were checked when they were stored; one that the engine no longer grants falls back to the engine's own.
    std::vector<LimitFault> faults;
    code->limits = read_limits(limits->get_object(), {}, faults);
    const auto& l = code->limits;
    for (auto number : {static_cast<std::size_t>(l.call.count()), l.memory, l.result, std::size_t{l.depth}})
      all += '\0' + std::to_string(number);
  }
  code->revision = to_hex(sha256(all)).substr(0, 32);
  entry->has_code = signature.has_value() && !driver.code.empty();
  entry->code = std::move(code);
  if (const auto* application = json::find(driver.resource, "application");
      application != nullptr && application->is_object()) {
    entry->application = module_from(application->get_object());
  }
  if (const auto* models = json::find(driver.resource, "models"); models != nullptr && models->is_array()) {
    for (const auto& model : models->get_array()) {
      if (model.is_object()) entry->models.push_back(module_from(model.get_object()));
    }
  }
  entry->version = version_of(json::text_or(driver.resource, "version"));
  return entry;
}

}  // namespace

// All of one moment. What is derived from it, a system driver as one account's own, is made at first use and kept: a
// global object, and so a DriverCode, belongs to one account.
struct Catalogue::Index {
  std::map<std::pair<std::string, std::string>, EntryPtr> by_id;          // account, lower-case id
  std::unordered_map<std::string, std::vector<EntryPtr>> by_application;  // application_key
  mutable std::mutex mutex;
  mutable std::map<std::pair<std::string, const Entry*>, DriverCodePtr> own;  // account, system driver

  [[nodiscard]] DriverCodePtr code_for(const std::string& account, const Entry& entry) const {
    if (!entry.has_code) return nullptr;
    if (entry.code->account == account) return entry.code;
    const std::lock_guard lock(mutex);
    auto& code = own[{account, &entry}];
    if (!code) {
      auto copy = std::make_shared<DriverCode>(*entry.code);
      copy->account = account;
      code = std::move(copy);
    }
    return code;
  }

  [[nodiscard]] const Entry* find(const std::string& account, const std::string& lower_id) const {
    const auto own_one = by_id.find({account, lower_id});
    if (own_one != by_id.end()) return own_one->second.get();
    const auto system = by_id.find({std::string(), lower_id});
    return system == by_id.end() ? nullptr : system->second.get();
  }

  [[nodiscard]] const Entry* best(const std::string& account, const message::ModuleRef& wanted,
                                  const std::optional<message::ModuleRef>& model, bool with_code = true) const;
};

const Entry* Catalogue::Index::best(const std::string& account, const message::ModuleRef& wanted,
                                    const std::optional<message::ModuleRef>& model, bool with_code) const {
  const auto found = by_application.find(application_key(wanted.producer, wanted.module, wanted.version));
  if (found == by_application.end()) return nullptr;
  // Own before system, one whose models name this one, the highest version, the smallest id.
  const auto rank = [&](const Entry& entry) {
    const bool fits = model && std::any_of(entry.models.begin(), entry.models.end(),
                                           [&](const Module& m) { return names(m, *model); });
    return std::tuple(!entry.code->account.empty(), fits, entry.version);
  };
  const Entry* best = nullptr;
  for (const auto& entry : found->second) {
    const auto& owner = entry->code->account;
    if ((owner != account && !owner.empty()) || entry->has_code != with_code || !names(entry->application, wanted))
      continue;
    // A system driver that the account has overridden is not there for it.
    if (owner.empty() && !account.empty() && by_id.contains({account, to_lower(entry->code->id)})) continue;
    if (best == nullptr) {
      best = entry.get();
      continue;
    }
    const auto a = rank(*entry), b = rank(*best);
    if (a > b || (a == b && entry->code->id < best->code->id)) best = entry.get();
  }
  return best;
}

Catalogue::Catalogue(store::Store& store) : store_(store), index_(std::make_shared<Index>()) {}

Result<void> Catalogue::reload() {
  auto drivers = store_.all_drivers();
  if (!drivers) return drivers.error().wrap("reading the drivers");
  auto next = std::make_shared<Index>();
  for (const auto& driver : *drivers) {
    const auto entry = read_entry(driver);
    next->by_id[{driver.account, to_lower(driver.id)}] = entry;
    const auto& application = entry->application;
    next->by_application[application_key(application.producer, application.module, application.version)].push_back(
        entry);
  }
  const std::lock_guard lock(mutex_);
  index_ = std::move(next);
  return {};
}

std::shared_ptr<const Catalogue::Index> Catalogue::index() const {
  const std::lock_guard lock(mutex_);
  return index_;
}

DriverCodePtr Catalogue::find(const std::string& account, const std::string& id) const {
  const auto now = index();
  const Entry* const entry = now->find(account, to_lower(id));
  return entry == nullptr ? nullptr : now->code_for(account, *entry);
}

DriverCodePtr Catalogue::choose(const std::string& account, const std::optional<message::ModuleRef>& application,
                                const std::optional<message::ModuleRef>& model) const {
  const auto& wanted = application ? application : model;
  if (!wanted) return nullptr;
  const auto now = index();
  const Entry* const entry = now->best(account, *wanted, model);
  return entry == nullptr ? nullptr : now->code_for(account, *entry);
}

bool Catalogue::is_without_code(const std::string& account, const std::string& id) const {
  const auto now = index();
  const Entry* const entry = now->find(account, to_lower(id));
  return entry != nullptr && !entry->has_code;
}

std::string Catalogue::choose_without_code(const std::string& account,
                                           const std::optional<message::ModuleRef>& application,
                                           const std::optional<message::ModuleRef>& model) const {
  const auto& wanted = application ? application : model;
  if (!wanted) return {};
  const auto now = index();
  if (now->best(account, *wanted, model) != nullptr) return {};
  const Entry* const entry = now->best(account, *wanted, model, false);
  return entry == nullptr ? std::string() : entry->code->id;
}

}  // namespace sluice::driver
