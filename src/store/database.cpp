// SPDX-License-Identifier: Apache-2.0
#include "store/database.h"

namespace sluice::store {
namespace {

// Another process (a backup, a curious operator) may hold the file for a moment.
constexpr int kBusyMilliseconds = 5000;

}  // namespace

Error database_error(sqlite3* database, int code) {
  std::string text = database != nullptr ? sqlite3_errmsg(database) : sqlite3_errstr(code);
  switch (code & 0xff) {
    case SQLITE_CONSTRAINT:
      return {ErrorKind::permanent, "it exists already", "com-4009"};
    case SQLITE_FULL:
    case SQLITE_IOERR:
    case SQLITE_BUSY:
    case SQLITE_LOCKED:
    case SQLITE_NOMEM:
    case SQLITE_READONLY:
    case SQLITE_CANTOPEN:
      return {ErrorKind::transient, "the configuration store cannot be used: " + text, "com-5003"};
    case SQLITE_CORRUPT:
    case SQLITE_NOTADB:
      return {ErrorKind::bad_config, "the configuration store is damaged: " + text, "com-5000"};
    default:
      return {ErrorKind::bug, "the configuration store refused a statement: " + text, "com-5000"};
  }
}

Statement::Statement(sqlite3* database, sqlite3_stmt* statement, int prepared)
    : database_(database), statement_(statement), result_(prepared) {}

Statement::~Statement() {
  if (statement_ == nullptr) return;
  sqlite3_reset(statement_);
  sqlite3_clear_bindings(statement_);
}

Statement& Statement::bind(std::string_view text) {
  if (result_ == SQLITE_OK) {
    // A null pointer would bind NULL; an empty view may carry one.
    const char* data = text.empty() ? "" : text.data();
    result_ = sqlite3_bind_text64(statement_, ++bound_, data, text.size(), SQLITE_STATIC, SQLITE_UTF8);
  }
  return *this;
}

Statement& Statement::bind_integer(std::int64_t number) {
  if (result_ == SQLITE_OK) result_ = sqlite3_bind_int64(statement_, ++bound_, number);
  return *this;
}

Result<bool> Statement::step() {
  if (result_ != SQLITE_OK) return database_error(database_, result_);
  int code = sqlite3_step(statement_);
  if (code == SQLITE_ROW) return true;
  if (code == SQLITE_DONE) return false;
  return database_error(database_, code);
}

Result<void> Statement::run() {
  auto stepped = step();
  return stepped ? Result<void>() : Result<void>(stepped.error());
}

std::string Statement::text(int column) const {
  const auto* data = reinterpret_cast<const char*>(sqlite3_column_text(statement_, column));
  if (data == nullptr) return {};
  return {data, static_cast<std::size_t>(sqlite3_column_bytes(statement_, column))};
}

std::int64_t Statement::integer(int column) const {
  return sqlite3_column_int64(statement_, column);
}

Result<std::unique_ptr<Database>> Database::open(const std::string& path) {
  sqlite3* raw = nullptr;
  int code = sqlite3_open_v2(path.c_str(), &raw,
                             SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE | SQLITE_OPEN_NOMUTEX | SQLITE_OPEN_EXRESCODE,
                             nullptr);
  std::unique_ptr<Database> database(new Database(raw));
  if (code != SQLITE_OK) return database_error(raw, code).wrap("opening " + path);
  sqlite3_busy_timeout(raw, kBusyMilliseconds);
  auto set = database->execute(
      "PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL; PRAGMA foreign_keys = ON; PRAGMA secure_delete = ON;"
      "PRAGMA journal_size_limit = 67108864;");
  if (!set) return set.error().wrap("opening " + path);
  return database;
}

Database::~Database() {
  for (auto& [sql, statement] : statements_)
    sqlite3_finalize(statement);
  sqlite3_close(database_);
}

Statement Database::prepare(const char* sql) {
  auto& statement = statements_[sql];
  int code = SQLITE_OK;
  if (statement == nullptr)
    code = sqlite3_prepare_v3(database_, sql, -1, SQLITE_PREPARE_PERSISTENT, &statement, nullptr);
  return {database_, statement, code};
}

Result<void> Database::execute(const char* sql) {
  int code = sqlite3_exec(database_, sql, nullptr, nullptr, nullptr);
  if (code != SQLITE_OK) return database_error(database_, code);
  return {};
}

std::int64_t Database::last_id() const {
  return sqlite3_last_insert_rowid(database_);
}
int Database::changes() const {
  return sqlite3_changes(database_);
}

void Database::roll_back() {
  // SQLite has rolled back by itself after some failures; then there is nothing left to end.
  if (sqlite3_get_autocommit(database_) == 0) sqlite3_exec(database_, "ROLLBACK", nullptr, nullptr, nullptr);
}

}  // namespace sluice::store
