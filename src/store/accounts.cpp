// SPDX-License-Identifier: Apache-2.0
#include "store/sqlite.h"

namespace sluice::store {

Result<std::optional<Account>> SqliteStore::account(const std::string& id) {
  std::lock_guard lock(mutex_);
  auto statement = database_->prepare("SELECT id, name FROM accounts WHERE id = ?");
  statement.bind(id);
  return read_one<Account>(statement, [](const Statement& row) -> Result<Account> {
    return Account{.id = row.text(0), .name = row.text(1)};
  });
}

Result<void> SqliteStore::put_account(const Account& account) {
  std::lock_guard lock(mutex_);
  return database_
      ->prepare("INSERT INTO accounts (id, name) VALUES (?, ?) ON CONFLICT (id) DO UPDATE SET name = excluded.name")
      .bind(account.id)
      .bind(account.name)
      .run();
}

Result<std::optional<Client>> SqliteStore::client(const std::string& client_id) {
  std::lock_guard lock(mutex_);
  auto statement =
      database_->prepare("SELECT client_id, account, role, secret_hash, token_epoch FROM clients WHERE client_id = ?");
  statement.bind(client_id);
  return read_one<Client>(statement, [](const Statement& row) -> Result<Client> {
    auto role = row.integer(2);
    // A role that a later version may have made gives the least rights here.
    bool known = role >= 0 && role <= static_cast<int>(Role::owner);
    return Client{.client_id = row.text(0),
                  .account = row.text(1),
                  .role = known ? static_cast<Role>(role) : Role::reader,
                  .secret_hash = row.text(3),
                  .token_epoch = row.text(4)};
  });
}

Result<void> SqliteStore::put_client(const Client& client) {
  std::lock_guard lock(mutex_);
  return database_
      ->prepare(
          "INSERT INTO clients (client_id, account, role, secret_hash, token_epoch) VALUES (?, ?, ?, ?, ?) "
          "ON CONFLICT (client_id) DO UPDATE SET account = excluded.account, role = excluded.role, "
          "secret_hash = excluded.secret_hash, token_epoch = excluded.token_epoch")
      .bind(client.client_id)
      .bind(client.account)
      .bind(static_cast<int>(client.role))
      .bind(client.secret_hash)
      .bind(client.token_epoch)
      .run();
}

}  // namespace sluice::store
