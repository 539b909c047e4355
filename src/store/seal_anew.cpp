// SPDX-License-Identifier: Apache-2.0
#include <array>
#include <unistd.h>

#include "store/sqlite.h"

namespace sluice::store {
namespace {

// Every column that holds sealed values, and what a value is sealed for: `prefix` and its row's name.
struct Column {
  const char* select;
  const char* update;
  const char* prefix;
};
constexpr std::array<Column, 4> kColumns = {{
    {"SELECT id, secrets FROM connections", "UPDATE connections SET secrets = ? WHERE id = ?", "connection:"},
    {"SELECT id, downlink_uuid FROM connections", "UPDATE connections SET downlink_uuid = ? WHERE id = ?", "downlink:"},
    {"SELECT id, as_key FROM binders", "UPDATE binders SET as_key = ? WHERE id = ?", "binder:"},
    {"SELECT name, value FROM settings", "UPDATE settings SET value = ? WHERE name = ?", "setting:"},
}};

std::string path_of(const std::string& directory) {
  return directory + "/sluice.db";
}

struct Sealed {
  std::string name, value;
};

Result<std::vector<Sealed>> rows_of(Database& database, const Column& column) {
  auto statement = database.prepare(column.select);
  return read_all<Sealed>(statement, [](const Statement& row) -> Result<Sealed> {
    return Sealed{.name = row.text(0), .value = row.text(1)};
  });
}

}  // namespace

Result<std::optional<bool>> sealed_with(const std::string& directory, const SecretBox& box) {
  if (::access(path_of(directory).c_str(), F_OK) != 0) return std::optional<bool>();
  auto database = Database::open(path_of(directory));
  if (!database) return database.error();
  auto known = (*database)->prepare("SELECT COUNT(*) FROM sqlite_master WHERE name = 'settings'");
  auto row = known.step();
  if (!row) return row.error();
  if (known.integer(0) == 0) return std::optional<bool>();
  auto statement = (*database)->prepare("SELECT value FROM settings WHERE name = 'key-check'");
  row = statement.step();
  if (!row) return row.error();
  if (!*row) return std::optional<bool>();
  return std::optional<bool>(box.open(statement.text(0), std::string("setting:") + kKeyCheck).has_value());
}

Result<std::size_t> seal_anew(const std::string& directory, const SecretBox& from, const SecretBox& to) {
  auto database = Database::open(path_of(directory));
  if (!database) return database.error();
  auto& db = **database;
  // One transaction: whoever opens the file afterwards finds every secret under one of the two keys.
  auto sealed = db.transact([&]() -> Result<std::size_t> {
    std::size_t count = 0;
    for (const auto& column : kColumns) {
      auto rows = rows_of(db, column);
      if (!rows) return rows.error();
      for (const auto& row : *rows) {
        auto context = column.prefix + row.name;
        auto plain = from.open(row.value, context);
        if (!plain) return plain.error().wrap(context);
        auto fresh = to.seal(*plain, context);
        if (auto put = db.prepare(column.update).bind(fresh).bind(row.name).run(); !put) return put.error();
        ++count;
      }
    }
    return count;
  });
  if (!sealed) return sealed;
  // What the old key opens shall not stay behind in the log of the database.
  if (auto emptied = db.execute("PRAGMA wal_checkpoint(TRUNCATE)"); !emptied) return emptied.error();
  return sealed;
}

}  // namespace sluice::store
