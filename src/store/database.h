// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <concepts>
#include <cstdint>
#include <memory>
#include <sqlite3.h>
#include <string>
#include <string_view>
#include <unordered_map>

#include "base/result.h"

namespace sluice::store {

// One prepared statement in use: bound, stepped, and put back (reset, bindings cleared) at the end of its life.
// Text bound must outlive the stepping.
class Statement {
 public:
  Statement(sqlite3* database, sqlite3_stmt* statement, int prepared);
  ~Statement();
  Statement(const Statement&) = delete;
  Statement& operator=(const Statement&) = delete;

  Statement& bind(std::string_view text);
  Statement& bind(std::integral auto number) { return bind_integer(static_cast<std::int64_t>(number)); }

  // True: a row is there; false: done.
  Result<bool> step();
  // For statements that give no rows.
  Result<void> run();

  [[nodiscard]] std::string text(int column) const;
  [[nodiscard]] std::int64_t integer(int column) const;

 private:
  Statement& bind_integer(std::int64_t number);

  sqlite3* database_;
  sqlite3_stmt* statement_;
  int result_;  // SQLITE_OK, or the first failure of preparing or binding, told by the next step()
  int bound_ = 0;
};

// A SQLite database file in WAL mode, every commit synced. One thread at a time: the owner holds the lock.
class Database {
 public:
  static Result<std::unique_ptr<Database>> open(const std::string& path);
  ~Database();
  Database(const Database&) = delete;
  Database& operator=(const Database&) = delete;

  // The statement of that text, prepared once. At most one Statement of a text may live at a time.
  Statement prepare(const char* sql);
  // Several statements without values: migrations, BEGIN, COMMIT.
  Result<void> execute(const char* sql);
  [[nodiscard]] std::int64_t last_id() const;
  [[nodiscard]] int changes() const;

  // Runs `work` (giving some Result) inside one transaction: committed when it succeeds, else rolled back.
  template <class Work>
  auto transact(Work work) -> decltype(work()) {
    if (auto begun = execute("BEGIN IMMEDIATE"); !begun) return begun.error();
    auto result = work();
    if (!result) {
      roll_back();
      return result;
    }
    if (auto committed = execute("COMMIT"); !committed) {
      roll_back();
      return committed.error();
    }
    return result;
  }

 private:
  explicit Database(sqlite3* database) : database_(database) {}
  void roll_back();

  sqlite3* database_;
  std::unordered_map<std::string_view, sqlite3_stmt*> statements_;  // keys: literals given to prepare()
};

// The Error for a SQLite result code: com-4009 for a double, com-5003 for a full or failing disk or a locked file,
// bad_config for a damaged file, else com-5000.
Error database_error(sqlite3* database, int code);

}  // namespace sluice::store
