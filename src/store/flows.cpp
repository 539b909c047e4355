// SPDX-License-Identifier: Apache-2.0
#include <algorithm>

#include "store/sqlite.h"

namespace sluice::store {
namespace {

Result<Flow> read_flow(const Statement& row) {
  auto resource = read_object(row.text(2));
  if (!resource) return resource.error();
  return Flow{.id = std::to_string(row.integer(0)),
              .account = row.text(1),
              .resource = std::move(*resource),
              .created = row.integer(3),
              .updated = row.integer(4)};
}

}  // namespace

Result<std::vector<Flow>> SqliteStore::flows(const std::string& account) {
  std::lock_guard lock(mutex_);
  auto statement = database_->prepare(
      "SELECT id, account, resource, created, updated FROM flows WHERE ?1 = '' OR account = ?1 ORDER BY id");
  statement.bind(account);
  return read_all<Flow>(statement, read_flow);
}

Result<std::optional<Flow>> SqliteStore::flow(const std::string& id) {
  auto number = row_id(id);
  if (!number) return std::optional<Flow>();
  std::lock_guard lock(mutex_);
  auto statement = database_->prepare("SELECT id, account, resource, created, updated FROM flows WHERE id = ?");
  statement.bind(*number);
  return read_one<Flow>(statement, read_flow);
}

Result<Flow> SqliteStore::insert_flow(Flow flow) {
  std::lock_guard lock(mutex_);
  flow.created = flow.updated = clock_.now();
  auto resource = object_text(flow.resource);
  auto inserted = database_->prepare("INSERT INTO flows (account, resource, created, updated) VALUES (?, ?, ?, ?)")
                      .bind(flow.account)
                      .bind(resource)
                      .bind(flow.created)
                      .bind(flow.updated)
                      .run();
  if (!inserted) return inserted.error();
  flow.id = std::to_string(database_->last_id());
  return flow;
}

Result<Flow> SqliteStore::update_flow(Flow flow) {
  auto number = row_id(flow.id);
  if (!number) return not_found("flow", flow.id);
  std::lock_guard lock(mutex_);
  // Two changes within a millisecond are two versions (ETag).
  flow.updated = std::max(clock_.now(), flow.updated + 1);
  auto resource = object_text(flow.resource);
  auto updated = database_->prepare("UPDATE flows SET resource = ?, updated = ? WHERE id = ?")
                     .bind(resource)
                     .bind(flow.updated)
                     .bind(*number)
                     .run();
  if (!updated) return updated.error();
  if (database_->changes() == 0) return not_found("flow", flow.id);
  return flow;
}

Result<void> SqliteStore::erase_flow(const std::string& id) {
  auto number = row_id(id);
  if (!number) return not_found("flow", id);
  std::lock_guard lock(mutex_);
  auto erased = database_->prepare("DELETE FROM flows WHERE id = ?").bind(*number).run();
  if (!erased) return erased;
  if (database_->changes() == 0) return not_found("flow", id);
  return {};
}

}  // namespace sluice::store
