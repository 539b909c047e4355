// SPDX-License-Identifier: Apache-2.0
#include <set>

#include "base/codec.h"
#include "base/json.h"
#include "store/sqlite.h"

namespace sluice::store {
namespace {

constexpr UnixMillis kKeep = 7LL * 24 * 3600 * 1000;
constexpr int kKeepPerDriver = 1000;

#define SLUICE_DRIVER_LOG_FILTER                                                        \
  " FROM driver_log WHERE account = ?1 AND driver_id = ?2 AND time >= ?3 AND time < ?4" \
  " AND (?5 = '' OR operation = ?5) AND (?6 = '' OR dev_eui = ?6)"                      \
  " AND (CASE level WHEN 'error' THEN 2 WHEN 'warn' THEN 1 ELSE 0 END) >= ?7"

// The texts that the filter's bindings point into.
struct Filter {
  explicit Filter(const DriverLogQuery& query) : query(query), dev_eui(to_upper(query.dev_eui)) {}
  void bind(Statement& statement) const {
    statement.bind(query.account).bind(query.driver_id).bind(query.from).bind(query.to).bind(query.operation);
    statement.bind(dev_eui).bind(query.level == "error" ? 2 : query.level == "warn" ? 1 : 0);
  }
  const DriverLogQuery& query;
  std::string dev_eui;
};

Result<DriverLogEntry> read_entry(const Statement& row) {
  auto data = read_object(row.text(7));
  if (!data) return data.error();
  return DriverLogEntry{.id = row.integer(0),
                        .account = row.text(1),
                        .driver_id = row.text(2),
                        .time = row.integer(3),
                        .level = row.text(4),
                        .operation = row.text(5),
                        .dev_eui = row.text(6),
                        .data = std::move(*data)};
}

}  // namespace

Result<void> SqliteStore::put_driver_log(const std::vector<DriverLogEntry>& entries) {
  std::lock_guard lock(mutex_);
  return database_->transact([&]() -> Result<void> {
    std::set<std::pair<std::string_view, std::string_view>> drivers;
    for (const auto& entry : entries) {
      auto data = object_text(entry.data);
      auto dev_eui = to_upper(entry.dev_eui);
      auto inserted = database_
                          ->prepare(
                              "INSERT INTO driver_log (account, driver_id, time, level, operation, dev_eui, data) "
                              "VALUES (?, ?, ?, ?, ?, ?, ?)")
                          .bind(entry.account)
                          .bind(entry.driver_id)
                          .bind(entry.time)
                          .bind(entry.level)
                          .bind(entry.operation)
                          .bind(dev_eui)
                          .bind(data)
                          .run();
      if (!inserted) return inserted;
      drivers.emplace(entry.account, entry.driver_id);
    }
    auto dropped = database_->prepare("DELETE FROM driver_log WHERE time < ?").bind(clock_.now() - kKeep).run();
    if (!dropped) return dropped;
    for (const auto& [account, driver_id] : drivers) {
      auto bounded = database_
                         ->prepare(
                             "DELETE FROM driver_log WHERE id IN (SELECT id FROM driver_log WHERE account = ? AND "
                             "driver_id = ? ORDER BY time DESC, id DESC LIMIT -1 OFFSET ?)")
                         .bind(account)
                         .bind(driver_id)
                         .bind(kKeepPerDriver)
                         .run();
      if (!bounded) return bounded;
    }
    return {};
  });
}

Result<std::vector<DriverLogEntry>> SqliteStore::driver_log(const DriverLogQuery& query) {
  std::lock_guard lock(mutex_);
  Filter filter(query);
  auto statement =
      database_->prepare("SELECT id, account, driver_id, time, level, operation, dev_eui, data" SLUICE_DRIVER_LOG_FILTER
                         " ORDER BY time DESC, id DESC LIMIT ?8 OFFSET ?9");
  filter.bind(statement);
  statement.bind(query.limit).bind(query.offset);
  return read_all<DriverLogEntry>(statement, read_entry);
}

Result<std::size_t> SqliteStore::count_driver_log(const DriverLogQuery& query) {
  std::lock_guard lock(mutex_);
  Filter filter(query);
  auto statement = database_->prepare("SELECT count(*)" SLUICE_DRIVER_LOG_FILTER);
  filter.bind(statement);
  auto row = statement.step();
  if (!row) return row.error();
  return static_cast<std::size_t>(statement.integer(0));
}

Result<void> SqliteStore::clear_driver_log(const std::string& account, const std::string& driver_id) {
  std::lock_guard lock(mutex_);
  return database_->prepare("DELETE FROM driver_log WHERE account = ? AND driver_id = ?")
      .bind(account)
      .bind(driver_id)
      .run();
}

}  // namespace sluice::store
