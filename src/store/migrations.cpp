// SPDX-License-Identifier: Apache-2.0
#include "store/migrations.h"

#include <array>

namespace sluice::store {
namespace {

// AUTOINCREMENT keeps an id from being used again after its row is gone.
constexpr const char* kFirst = R"sql(
CREATE TABLE accounts (id TEXT PRIMARY KEY, name TEXT NOT NULL) STRICT;
CREATE TABLE clients (
  client_id TEXT PRIMARY KEY, account TEXT NOT NULL, role INTEGER NOT NULL, secret_hash TEXT NOT NULL,
  token_epoch TEXT NOT NULL) STRICT;
CREATE TABLE connections (
  id INTEGER PRIMARY KEY AUTOINCREMENT, account TEXT NOT NULL, resource TEXT NOT NULL, secrets TEXT NOT NULL,
  downlink_uuid TEXT NOT NULL, downlink_hash TEXT NOT NULL UNIQUE,
  created INTEGER NOT NULL, updated INTEGER NOT NULL) STRICT;
CREATE INDEX connections_by_account ON connections (account, id);
CREATE TABLE flows (
  id INTEGER PRIMARY KEY AUTOINCREMENT, account TEXT NOT NULL, resource TEXT NOT NULL,
  created INTEGER NOT NULL, updated INTEGER NOT NULL) STRICT;
CREATE INDEX flows_by_account ON flows (account, id);
CREATE TABLE drivers (
  account TEXT NOT NULL, id TEXT NOT NULL, resource TEXT NOT NULL, code TEXT NOT NULL, extract_points TEXT NOT NULL,
  created INTEGER NOT NULL, updated INTEGER NOT NULL, PRIMARY KEY (account, id)) STRICT;
CREATE TABLE binders (
  id TEXT PRIMARY KEY, account TEXT NOT NULL, resource TEXT NOT NULL, as_key TEXT NOT NULL,
  created INTEGER NOT NULL, updated INTEGER NOT NULL) STRICT;
CREATE TABLE events (
  id INTEGER PRIMARY KEY AUTOINCREMENT, account TEXT NOT NULL, time INTEGER NOT NULL, level TEXT NOT NULL,
  code TEXT NOT NULL, message TEXT NOT NULL, data TEXT NOT NULL,
  connection_id TEXT NOT NULL, flow_id TEXT NOT NULL, dev_eui TEXT NOT NULL) STRICT;
CREATE INDEX events_by_account ON events (account, time, id);
CREATE TABLE settings (name TEXT PRIMARY KEY, value TEXT NOT NULL) STRICT;
)sql";

constexpr const char* kSecond = R"sql(
CREATE INDEX events_by_connection ON events (account, connection_id, time, id);
CREATE INDEX events_by_time ON events (time);
)sql";

constexpr const char* kThird = R"sql(
CREATE TABLE driver_log (
  id INTEGER PRIMARY KEY AUTOINCREMENT, account TEXT NOT NULL, driver_id TEXT NOT NULL, time INTEGER NOT NULL,
  level TEXT NOT NULL, operation TEXT NOT NULL, dev_eui TEXT NOT NULL, data TEXT NOT NULL) STRICT;
CREATE INDEX driver_log_by_driver ON driver_log (account, driver_id, time, id);
CREATE INDEX driver_log_by_time ON driver_log (time);
)sql";

// Who could get a token before was an API client of one account: it becomes a member there, in the role it had.
constexpr const char* kFourth = R"sql(
ALTER TABLE accounts ADD COLUMN type INTEGER NOT NULL DEFAULT 0;
ALTER TABLE accounts ADD COLUMN realm TEXT NOT NULL DEFAULT 'default';
ALTER TABLE accounts ADD COLUMN created INTEGER NOT NULL DEFAULT 0;
ALTER TABLE accounts ADD COLUMN updated INTEGER NOT NULL DEFAULT 0;
UPDATE accounts SET created = CAST(strftime('%s', 'now') AS INTEGER) * 1000;
UPDATE accounts SET updated = created;
ALTER TABLE clients ADD COLUMN kind INTEGER NOT NULL DEFAULT 0;
ALTER TABLE clients ADD COLUMN name TEXT NOT NULL DEFAULT '';
ALTER TABLE clients ADD COLUMN key_id TEXT NOT NULL DEFAULT '';
ALTER TABLE clients ADD COLUMN created INTEGER NOT NULL DEFAULT 0;
ALTER TABLE clients ADD COLUMN expires INTEGER NOT NULL DEFAULT 0;
ALTER TABLE clients ADD COLUMN last_used INTEGER NOT NULL DEFAULT 0;
ALTER TABLE clients ADD COLUMN earlier_hash TEXT NOT NULL DEFAULT '';
ALTER TABLE clients ADD COLUMN earlier_until INTEGER NOT NULL DEFAULT 0;
CREATE TABLE members (
  id TEXT PRIMARY KEY, account TEXT NOT NULL, client_id TEXT NOT NULL, role INTEGER NOT NULL, since INTEGER NOT NULL,
  UNIQUE (account, client_id)) STRICT;
INSERT INTO members SELECT lower(hex(randomblob(16))), account, client_id, role,
  CAST(strftime('%s', 'now') AS INTEGER) * 1000 FROM clients;
UPDATE clients SET account = '', created = CAST(strftime('%s', 'now') AS INTEGER) * 1000;
CREATE INDEX members_by_client ON members (client_id);
CREATE INDEX keys_by_account ON clients (account, key_id) WHERE kind = 1;
CREATE TABLE ended_tokens (jti TEXT PRIMARY KEY, expires INTEGER NOT NULL) STRICT;
CREATE INDEX ended_tokens_by_time ON ended_tokens (expires);
)sql";

constexpr std::array<const char*, 4> kMigrations = {kFirst, kSecond, kThird, kFourth};

Result<int> version(Database& database) {
  auto statement = database.prepare("PRAGMA user_version");
  auto row = statement.step();
  if (!row) return row.error();
  return static_cast<int>(statement.integer(0));
}

}  // namespace

std::span<const char* const> migrations() {
  return kMigrations;
}

Result<void> migrate(Database& database, int target) {
  if (target == 0) target = static_cast<int>(kMigrations.size());
  auto found = version(database);
  if (!found) return found.error();
  if (*found > static_cast<int>(kMigrations.size())) {
    return Error{ErrorKind::bad_config,
                 "the configuration store was written by a newer version of the program (schema " +
                     std::to_string(*found) + ", known here: " + std::to_string(kMigrations.size()) + ")"};
  }
  for (int step = *found + 1; step <= target; ++step) {
    auto done = database.transact([&]() -> Result<void> {
      if (auto made = database.execute(kMigrations[static_cast<std::size_t>(step - 1)]); !made) return made;
      return database.execute(("PRAGMA user_version = " + std::to_string(step)).c_str());
    });
    if (!done) return done.error().wrap("bringing the configuration store to schema " + std::to_string(step));
  }
  return {};
}

}  // namespace sluice::store
