// SPDX-License-Identifier: Apache-2.0
#include <algorithm>

#include "base/codec.h"
#include "store/sqlite.h"

namespace sluice::store {
namespace {

std::string context(const std::string& id) {
  return "connection:" + id;
}
// The UUID of the downlink URL is a credential as well.
std::string downlink_context(const std::string& id) {
  return "downlink:" + id;
}
// Searched by its hash: how long the search takes tells nothing of the UUID itself.
std::string hash(const std::string& uuid) {
  return to_hex(sha256(uuid));
}

}  // namespace

Result<Connection> SqliteStore::read_connection(const Statement& row) const {
  Connection connection;
  connection.id = std::to_string(row.integer(0));
  connection.account = row.text(1);
  auto resource = read_object(row.text(2));
  if (!resource) return resource.error();
  connection.resource = std::move(*resource);
  auto opened = box_.open(row.text(3), context(connection.id));
  if (!opened) return opened.error().wrap("connection " + connection.id);
  auto secrets = read_object(*opened);
  if (!secrets) return secrets.error();
  connection.secrets = std::move(*secrets);
  auto uuid = box_.open(row.text(4), downlink_context(connection.id));
  if (!uuid) return uuid.error().wrap("connection " + connection.id);
  connection.downlink_uuid = std::move(*uuid);
  connection.created = row.integer(5);
  connection.updated = row.integer(6);
  return connection;
}

Result<void> SqliteStore::seal_downlink_urls() {
  std::lock_guard lock(mutex_);
  return database_->transact([&]() -> Result<void> {
    struct Row {
      std::int64_t id = 0;
      std::string uuid;
    };
    std::vector<Row> rows;
    {
      // A UUID has 36 characters; a sealed one is longer.
      auto statement = database_->prepare("SELECT id, downlink_uuid FROM connections WHERE length(downlink_uuid) = 36");
      auto read = read_all<Row>(statement, [](const Statement& row) -> Result<Row> {
        return Row{.id = row.integer(0), .uuid = row.text(1)};
      });
      if (!read) return read.error();
      rows = std::move(*read);
    }
    for (const auto& row : rows) {
      auto sealed = box_.seal(row.uuid, downlink_context(std::to_string(row.id)));
      auto kept =
          database_->prepare("UPDATE connections SET downlink_uuid = ? WHERE id = ?").bind(sealed).bind(row.id).run();
      if (!kept) return kept;
    }
    return {};
  });
}

Result<std::vector<Connection>> SqliteStore::connections(const std::string& account) {
  std::lock_guard lock(mutex_);
  auto statement = database_->prepare(
      "SELECT id, account, resource, secrets, downlink_uuid, created, updated FROM connections "
      "WHERE ?1 = '' OR account = ?1 ORDER BY id");
  statement.bind(account);
  return read_all<Connection>(statement, [&](const Statement& row) { return read_connection(row); });
}

Result<std::optional<Connection>> SqliteStore::connection(const std::string& id) {
  auto number = row_id(id);
  if (!number) return std::optional<Connection>();
  std::lock_guard lock(mutex_);
  auto statement = database_->prepare(
      "SELECT id, account, resource, secrets, downlink_uuid, created, updated FROM connections WHERE id = ?");
  statement.bind(*number);
  return read_one<Connection>(statement, [&](const Statement& row) { return read_connection(row); });
}

Result<std::optional<Connection>> SqliteStore::connection_of_downlink(const std::string& uuid) {
  std::lock_guard lock(mutex_);
  auto key = hash(uuid);
  auto statement = database_->prepare(
      "SELECT id, account, resource, secrets, downlink_uuid, created, updated FROM connections WHERE downlink_hash = "
      "?");
  statement.bind(key);
  auto found = read_one<Connection>(statement, [&](const Statement& row) { return read_connection(row); });
  if (found && *found && !equal_in_constant_time((*found)->downlink_uuid, uuid)) return std::optional<Connection>();
  return found;
}

Result<Connection> SqliteStore::insert_connection(Connection connection) {
  std::lock_guard lock(mutex_);
  connection.downlink_uuid = random_uuid();
  connection.created = connection.updated = clock_.now();
  return database_->transact([&]() -> Result<Connection> {
    auto resource = object_text(connection.resource);
    auto key = hash(connection.downlink_uuid);
    // The secrets are sealed for the row's id, which is known only once the row is there.
    auto inserted =
        database_
            ->prepare(
                "INSERT INTO connections (account, resource, secrets, downlink_uuid, downlink_hash, created, "
                "updated) VALUES (?, ?, '', '', ?, ?, ?)")
            .bind(connection.account)
            .bind(resource)
            .bind(key)
            .bind(connection.created)
            .bind(connection.updated)
            .run();
    if (!inserted) return inserted.error();
    connection.id = std::to_string(database_->last_id());
    auto sealed = box_.seal(object_text(connection.secrets), context(connection.id));
    auto uuid = box_.seal(connection.downlink_uuid, downlink_context(connection.id));
    auto kept = database_->prepare("UPDATE connections SET secrets = ?, downlink_uuid = ? WHERE id = ?")
                    .bind(sealed)
                    .bind(uuid)
                    .bind(database_->last_id())
                    .run();
    if (!kept) return kept.error();
    return connection;
  });
}

Result<Connection> SqliteStore::update_connection(Connection connection) {
  auto number = row_id(connection.id);
  if (!number) return not_found("connection", connection.id);
  std::lock_guard lock(mutex_);
  // Two changes within a millisecond are two versions (ETag).
  connection.updated = std::max(clock_.now(), connection.updated + 1);
  auto resource = object_text(connection.resource);
  auto sealed = box_.seal(object_text(connection.secrets), context(connection.id));
  auto uuid = box_.seal(connection.downlink_uuid, downlink_context(connection.id));
  auto key = hash(connection.downlink_uuid);
  auto updated = database_
                     ->prepare(
                         "UPDATE connections SET resource = ?, secrets = ?, downlink_uuid = ?, downlink_hash = ?, "
                         "updated = ? WHERE id = ?")
                     .bind(resource)
                     .bind(sealed)
                     .bind(uuid)
                     .bind(key)
                     .bind(connection.updated)
                     .bind(*number)
                     .run();
  if (!updated) return updated.error();
  if (database_->changes() == 0) return not_found("connection", connection.id);
  return connection;
}

Result<void> SqliteStore::erase_connection(const std::string& id) {
  auto number = row_id(id);
  if (!number) return not_found("connection", id);
  std::lock_guard lock(mutex_);
  auto erased = database_->prepare("DELETE FROM connections WHERE id = ?").bind(*number).run();
  if (!erased) return erased;
  if (database_->changes() == 0) return not_found("connection", id);
  return {};
}

}  // namespace sluice::store
