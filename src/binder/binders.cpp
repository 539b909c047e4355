// SPDX-License-Identifier: Apache-2.0
#include "binder/binders.h"

#include <unordered_map>

#include "base/crypto.h"
#include "base/json.h"
#include "base/log.h"

namespace sluice::binder {
namespace {

using SettingsPtr = std::shared_ptr<const thingpark::Settings>;

std::optional<thingpark::Settings> settings_of(const store::Binder& binder) {
  const auto& resource = binder.resource;
  if (json::text_or(resource, "type", "thingpark") != "thingpark") return std::nullopt;
  thingpark::Settings settings;
  settings.id = binder.id;
  settings.account = binder.account;
  settings.as_id = json::text_or(resource, "asId");
  settings.as_key = binder.as_key;
  settings.security = json::bool_or(resource, "security", true);
  settings.downlink_url = json::text_or(resource, "downlinkUrl");
  // Zero stands for no limit, as everywhere.
  auto deviation = parse_duration(json::text_or(resource, "maxTimeDeviation"));
  if (deviation && deviation->count() > 0) settings.max_time_deviation = deviation;
  return settings;
}

}  // namespace

struct Binders::Snapshot {
  // By the hash of the id: how long a look-up takes tells nothing about the ids there are.
  std::unordered_map<std::string, SettingsPtr> by_id_hash;
  std::unordered_map<std::string, std::vector<SettingsPtr>> by_account;  // those with a downlink URL
};

Binders::Binders(store::Store& store) : store_(store), snapshot_(std::make_shared<Snapshot>()) {}

Result<void> Binders::reload() {
  auto rows = store_.binders("");
  if (!rows) return rows.error().wrap("reading the binders");
  auto fresh = std::make_shared<Snapshot>();
  for (const auto& row : *rows) {
    auto settings = settings_of(row);
    if (!settings) {
      log::warn("binder {} is of an unknown type and takes no reports", row.id);
      continue;
    }
    auto shared = std::make_shared<const thingpark::Settings>(std::move(*settings));
    fresh->by_id_hash.emplace(sha256(row.id), shared);
    if (!shared->downlink_url.empty()) fresh->by_account[row.account].push_back(shared);
  }
  std::lock_guard lock(mutex_);
  snapshot_ = std::move(fresh);
  return {};
}

SettingsPtr Binders::find(std::string_view id) const {
  std::shared_ptr<const Snapshot> snapshot;
  {
    std::lock_guard lock(mutex_);
    snapshot = snapshot_;
  }
  auto found = snapshot->by_id_hash.find(sha256(id));
  return found == snapshot->by_id_hash.end() ? nullptr : found->second;
}

SettingsPtr Binders::for_downlink(const std::string& account, const std::string& binder) const {
  std::shared_ptr<const Snapshot> snapshot;
  {
    std::lock_guard lock(mutex_);
    snapshot = snapshot_;
  }
  auto found = snapshot->by_account.find(account);
  if (found == snapshot->by_account.end()) return nullptr;
  for (const auto& settings : found->second) {
    if (!binder.empty() && settings->id == binder) return settings;
  }
  return found->second.size() == 1 ? found->second.front() : nullptr;
}

}  // namespace sluice::binder
