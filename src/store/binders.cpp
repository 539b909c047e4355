// SPDX-License-Identifier: Apache-2.0
#include <algorithm>

#include "store/sqlite.h"

namespace sluice::store {
namespace {

std::string context(const std::string& id) {
  return "binder:" + id;
}

}  // namespace

Result<Binder> SqliteStore::read_binder(const Statement& row) const {
  auto resource = read_object(row.text(2));
  if (!resource) return resource.error();
  auto key = box_.open(row.text(3), context(row.text(0)));
  if (!key) return key.error().wrap("binder " + row.text(0));
  return Binder{.id = row.text(0),
                .account = row.text(1),
                .resource = std::move(*resource),
                .as_key = std::move(*key),
                .created = row.integer(4),
                .updated = row.integer(5)};
}

Result<std::vector<Binder>> SqliteStore::binders(const std::string& account) {
  std::lock_guard lock(mutex_);
  auto statement = database_->prepare(
      "SELECT id, account, resource, as_key, created, updated FROM binders WHERE ?1 = '' OR account = ?1 ORDER BY id");
  statement.bind(account);
  return read_all<Binder>(statement, [&](const Statement& row) { return read_binder(row); });
}

Result<std::optional<Binder>> SqliteStore::binder(const std::string& id) {
  std::lock_guard lock(mutex_);
  auto statement =
      database_->prepare("SELECT id, account, resource, as_key, created, updated FROM binders WHERE id = ?");
  statement.bind(id);
  return read_one<Binder>(statement, [&](const Statement& row) { return read_binder(row); });
}

Result<Binder> SqliteStore::insert_binder(Binder binder) {
  std::lock_guard lock(mutex_);
  if (binder.id.empty()) binder.id = random_uuid();
  binder.created = binder.updated = clock_.now();
  auto resource = object_text(binder.resource);
  auto sealed = box_.seal(binder.as_key, context(binder.id));
  auto inserted =
      database_
          ->prepare("INSERT INTO binders (id, account, resource, as_key, created, updated) VALUES (?, ?, ?, ?, ?, ?)")
          .bind(binder.id)
          .bind(binder.account)
          .bind(resource)
          .bind(sealed)
          .bind(binder.created)
          .bind(binder.updated)
          .run();
  if (!inserted) return inserted.error().wrap("binder " + binder.id);
  return binder;
}

Result<Binder> SqliteStore::update_binder(Binder binder) {
  std::lock_guard lock(mutex_);
  // Two changes within a millisecond are two versions (ETag).
  binder.updated = std::max(clock_.now(), binder.updated + 1);
  auto resource = object_text(binder.resource);
  auto sealed = box_.seal(binder.as_key, context(binder.id));
  auto updated = database_->prepare("UPDATE binders SET resource = ?, as_key = ?, updated = ? WHERE id = ?")
                     .bind(resource)
                     .bind(sealed)
                     .bind(binder.updated)
                     .bind(binder.id)
                     .run();
  if (!updated) return updated.error();
  if (database_->changes() == 0) return not_found("binder", binder.id);
  return binder;
}

Result<void> SqliteStore::erase_binder(const std::string& id) {
  std::lock_guard lock(mutex_);
  auto erased = database_->prepare("DELETE FROM binders WHERE id = ?").bind(id).run();
  if (!erased) return erased;
  if (database_->changes() == 0) return not_found("binder", id);
  return {};
}

}  // namespace sluice::store
