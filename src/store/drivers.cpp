// SPDX-License-Identifier: Apache-2.0
#include <algorithm>

#include "store/sqlite.h"

namespace sluice::store {
namespace {

Result<Driver> read_driver(const Statement& row) {
  auto resource = read_object(row.text(2));
  if (!resource) return resource.error();
  return Driver{.id = row.text(1),
                .account = row.text(0),
                .resource = std::move(*resource),
                .code = row.text(3),
                .extract_points = row.text(4),
                .created = row.integer(5),
                .updated = row.integer(6)};
}

}  // namespace

Result<std::vector<Driver>> SqliteStore::drivers(const std::string& account) {
  std::lock_guard lock(mutex_);
  auto statement = database_->prepare(
      "SELECT account, id, resource, code, extract_points, created, updated FROM drivers WHERE account IN (?, '') "
      "ORDER BY id, account");
  statement.bind(account);
  return read_all<Driver>(statement, read_driver);
}

Result<std::vector<Driver>> SqliteStore::all_drivers() {
  std::lock_guard lock(mutex_);
  auto statement = database_->prepare(
      "SELECT account, id, resource, code, extract_points, created, updated FROM drivers ORDER BY id, account");
  return read_all<Driver>(statement, read_driver);
}

Result<std::optional<Driver>> SqliteStore::driver(const std::string& account, const std::string& id) {
  std::lock_guard lock(mutex_);
  auto statement = database_->prepare(
      "SELECT account, id, resource, code, extract_points, created, updated FROM drivers WHERE account = ? AND id = ?");
  statement.bind(account).bind(id);
  return read_one<Driver>(statement, read_driver);
}

Result<Driver> SqliteStore::insert_driver(Driver driver) {
  std::lock_guard lock(mutex_);
  driver.created = driver.updated = clock_.now();
  auto resource = object_text(driver.resource);
  auto inserted = database_
                      ->prepare(
                          "INSERT INTO drivers (account, id, resource, code, extract_points, created, updated) VALUES "
                          "(?, ?, ?, ?, ?, ?, ?)")
                      .bind(driver.account)
                      .bind(driver.id)
                      .bind(resource)
                      .bind(driver.code)
                      .bind(driver.extract_points)
                      .bind(driver.created)
                      .bind(driver.updated)
                      .run();
  if (!inserted) return inserted.error().wrap("driver " + driver.id);
  return driver;
}

Result<Driver> SqliteStore::update_driver(Driver driver) {
  std::lock_guard lock(mutex_);
  // Two changes within a millisecond are two versions (ETag).
  driver.updated = std::max(clock_.now(), driver.updated + 1);
  auto resource = object_text(driver.resource);
  auto updated =
      database_
          ->prepare(
              "UPDATE drivers SET resource = ?, code = ?, extract_points = ?, updated = ? WHERE account = ? AND id = ?")
          .bind(resource)
          .bind(driver.code)
          .bind(driver.extract_points)
          .bind(driver.updated)
          .bind(driver.account)
          .bind(driver.id)
          .run();
  if (!updated) return updated.error();
  if (database_->changes() == 0) return not_found("driver", driver.id);
  return driver;
}

Result<void> SqliteStore::erase_driver(const std::string& account, const std::string& id) {
  std::lock_guard lock(mutex_);
  auto erased = database_->prepare("DELETE FROM drivers WHERE account = ? AND id = ?").bind(account).bind(id).run();
  if (!erased) return erased;
  if (database_->changes() == 0) return not_found("driver", id);
  return {};
}

}  // namespace sluice::store
