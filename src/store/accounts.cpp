// SPDX-License-Identifier: Apache-2.0
#include <cstring>

#include "store/sqlite.h"

namespace sluice::store {
namespace {

// A role that a later version may have made gives the least rights here.
Role role_of(std::int64_t number) {
  bool known = number >= 0 && number <= static_cast<int>(Role::owner);
  return known ? static_cast<Role>(number) : Role::reader;
}

Result<Account> read_account(const Statement& row) {
  return Account{.id = row.text(0),
                 .name = row.text(1),
                 .type = row.integer(2) == 1 ? AccountType::personal : AccountType::organization,
                 .realm = row.text(3),
                 .created = row.integer(4),
                 .updated = row.integer(5)};
}

Result<Client> read_client(const Statement& row) {
  return Client{.client_id = row.text(0),
                .account = row.text(1),
                .role = role_of(row.integer(2)),
                .secret_hash = row.text(3),
                .token_epoch = row.text(4),
                .kind = row.integer(5) == 1 ? Client::Kind::key : Client::Kind::user,
                .name = row.text(6),
                .key_id = row.text(7),
                .created = row.integer(8),
                .expires = row.integer(9),
                .last_used = row.integer(10),
                .earlier_hash = row.text(11),
                .earlier_until = row.integer(12)};
}

Result<Member> read_member(const Statement& row) {
  return Member{.id = row.text(0),
                .account = row.text(1),
                .client_id = row.text(2),
                .name = row.text(3),
                .role = role_of(row.integer(4)),
                .since = row.integer(5)};
}

// Milliseconds since 2020 and 22 random bits: ordered by time, 63 bits, and no two machines need to agree.
std::string fresh_account_id(UnixMillis now) {
  constexpr UnixMillis k2020 = 1'577'836'800'000;
  std::uint32_t chance = 0;
  auto bytes = random_bytes(sizeof chance);
  std::memcpy(&chance, bytes.data(), sizeof chance);
  auto since = static_cast<std::uint64_t>(std::max<UnixMillis>(now - k2020, 1));
  return std::to_string((since << 22 | (chance & 0x3fffff)) & 0x7fffffffffffffff);
}

Error forbidden(const char* text) {
  return {ErrorKind::permanent, text, "com-4009"};
}

}  // namespace

Result<std::optional<Account>> SqliteStore::find_account(const std::string& id) {
  auto statement = database_->prepare("SELECT id, name, type, realm, created, updated FROM accounts WHERE id = ?");
  statement.bind(id);
  return read_one<Account>(statement, read_account);
}

Result<std::optional<Account>> SqliteStore::account(const std::string& id) {
  std::lock_guard lock(mutex_);
  return find_account(id);
}

Result<void> SqliteStore::put_account(const Account& account) {
  std::lock_guard lock(mutex_);
  auto now = clock_.now();
  return database_
      ->prepare(
          "INSERT INTO accounts (id, name, type, realm, created, updated) VALUES (?, ?, ?, ?, ?, ?) "
          "ON CONFLICT (id) DO UPDATE SET name = excluded.name, updated = excluded.updated")
      .bind(account.id)
      .bind(account.name)
      .bind(static_cast<int>(account.type))
      .bind(account.realm)
      .bind(account.created != 0 ? account.created : now)
      .bind(now)
      .run();
}

Result<std::optional<Client>> SqliteStore::client(const std::string& client_id) {
  std::lock_guard lock(mutex_);
  // Of a user: where it is a member, the first account by its number.
  auto statement = database_->prepare(
      "SELECT c.client_id, COALESCE(m.account, c.account), COALESCE(m.role, c.role), c.secret_hash, c.token_epoch, "
      "c.kind, c.name, c.key_id, c.created, c.expires, c.last_used, c.earlier_hash, c.earlier_until FROM clients c "
      "LEFT JOIN members m ON m.client_id = c.client_id WHERE c.client_id = ? "
      "ORDER BY length(m.account), m.account LIMIT 1");
  statement.bind(client_id);
  return read_one<Client>(statement, read_client);
}

Result<void> SqliteStore::put_client(const Client& client) {
  std::lock_guard lock(mutex_);
  return database_->transact([&]() -> Result<void> {
    const bool user = client.kind == Client::Kind::user;
    const std::string account = user ? "" : client.account;
    auto put = database_
                   ->prepare(
                       "INSERT INTO clients (client_id, account, role, secret_hash, token_epoch, kind, name, key_id, "
                       "created, expires, last_used, earlier_hash, earlier_until) "
                       "VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT (client_id) DO UPDATE SET "
                       "account = excluded.account, role = excluded.role, secret_hash = excluded.secret_hash, "
                       "token_epoch = excluded.token_epoch, name = excluded.name, expires = excluded.expires, "
                       "last_used = excluded.last_used, earlier_hash = excluded.earlier_hash, "
                       "earlier_until = excluded.earlier_until")
                   .bind(client.client_id)
                   .bind(account)
                   .bind(static_cast<int>(client.role))
                   .bind(client.secret_hash)
                   .bind(client.token_epoch)
                   .bind(static_cast<int>(client.kind))
                   .bind(client.name)
                   .bind(client.key_id)
                   .bind(client.created != 0 ? client.created : clock_.now())
                   .bind(client.expires)
                   .bind(client.last_used)
                   .bind(client.earlier_hash)
                   .bind(client.earlier_until)
                   .run();
    if (!put || !user || client.account.empty()) return put;
    auto changed = database_->prepare("UPDATE members SET role = ? WHERE account = ? AND client_id = ?")
                       .bind(static_cast<int>(client.role))
                       .bind(client.account)
                       .bind(client.client_id)
                       .run();
    if (!changed || database_->changes() > 0) return changed;
    auto added = add_member(client.account, client.client_id, client.role);
    return added ? Result<void>() : Result<void>(added.error());
  });
}

Result<std::vector<Account>> SqliteStore::all() {
  std::lock_guard lock(mutex_);
  auto statement =
      database_->prepare("SELECT id, name, type, realm, created, updated FROM accounts ORDER BY length(id), id");
  return read_all<Account>(statement, read_account);
}

Result<std::vector<Account>> SqliteStore::of_user(const std::string& client_id) {
  std::lock_guard lock(mutex_);
  auto statement = database_->prepare(
      "SELECT id, name, type, realm, created, updated FROM accounts WHERE id IN "
      "(SELECT account FROM members WHERE client_id = ?) ORDER BY length(id), id");
  statement.bind(client_id);
  return read_all<Account>(statement, read_account);
}

Result<Account> SqliteStore::insert(Account account, const std::string& owner) {
  std::lock_guard lock(mutex_);
  account.created = account.updated = clock_.now();
  return database_->transact([&]() -> Result<Account> {
    if (account.type == AccountType::personal) {
      auto others = count(
          "SELECT COUNT(*) FROM members JOIN accounts ON accounts.id = members.account "
          "WHERE client_id = ? AND type = 1",
          owner);
      if (!others) return others.error();
      if (*others > 0) return forbidden("a user has at most one personal account");
    }
    account.id = fresh_account_id(account.created);
    auto inserted =
        database_->prepare("INSERT INTO accounts (id, name, type, realm, created, updated) VALUES (?, ?, ?, ?, ?, ?)")
            .bind(account.id)
            .bind(account.name)
            .bind(static_cast<int>(account.type))
            .bind(account.realm)
            .bind(account.created)
            .bind(account.updated)
            .run();
    if (!inserted) return inserted.error();
    if (auto added = add_member(account.id, owner, Role::owner); !added) return added.error();
    return account;
  });
}

Result<void> SqliteStore::erase(const std::string& id) {
  std::lock_guard lock(mutex_);
  return database_->transact([&]() -> Result<void> {
    auto connections = count("SELECT COUNT(*) FROM connections WHERE account = ?", id);
    if (!connections) return connections.error();
    if (*connections > 0) return forbidden("the account has connections: delete them first");
    for (const char* sql :
         {"DELETE FROM clients WHERE kind = 1 AND account = ?1",
          // Users that belong to this account alone are forgotten with it.
          "DELETE FROM clients WHERE kind = 0 AND client_id IN (SELECT client_id FROM members WHERE account = ?1) AND "
          "client_id <> 'admin' AND NOT EXISTS (SELECT 1 FROM members m WHERE m.client_id = clients.client_id AND "
          "m.account <> ?1)",
          "DELETE FROM members WHERE account = ?1", "DELETE FROM flows WHERE account = ?1",
          "DELETE FROM drivers WHERE account = ?1", "DELETE FROM binders WHERE account = ?1",
          "DELETE FROM events WHERE account = ?1", "DELETE FROM driver_log WHERE account = ?1",
          "DELETE FROM accounts WHERE id = ?1"}) {
      if (auto erased = database_->prepare(sql).bind(id).run(); !erased) return erased;
    }
    return database_->changes() == 0 ? Result<void>(not_found("account", id)) : Result<void>();
  });
}

Result<std::vector<Member>> SqliteStore::members(const std::string& account) {
  std::lock_guard lock(mutex_);
  auto statement = database_->prepare(
      "SELECT m.id, m.account, m.client_id, c.name, m.role, m.since FROM members m JOIN clients c "
      "ON c.client_id = m.client_id WHERE m.account = ? ORDER BY m.client_id");
  statement.bind(account);
  return read_all<Member>(statement, read_member);
}

Result<std::optional<Member>> SqliteStore::find_member(const std::string& account, const std::string& member_id) {
  auto statement = database_->prepare(
      "SELECT m.id, m.account, m.client_id, c.name, m.role, m.since FROM members m JOIN clients c "
      "ON c.client_id = m.client_id WHERE m.account = ? AND m.id = ?");
  statement.bind(account).bind(member_id);
  return read_one<Member>(statement, read_member);
}

Result<std::optional<Member>> SqliteStore::member(const std::string& account, const std::string& member_id) {
  std::lock_guard lock(mutex_);
  return find_member(account, member_id);
}

Result<Member> SqliteStore::add_member(const std::string& account, const std::string& client_id, Role role) {
  Member member{.id = random_uuid(), .account = account, .client_id = client_id, .role = role, .since = clock_.now()};
  auto inserted = database_->prepare("INSERT INTO members (id, account, client_id, role, since) VALUES (?, ?, ?, ?, ?)")
                      .bind(member.id)
                      .bind(account)
                      .bind(client_id)
                      .bind(static_cast<int>(role))
                      .bind(member.since)
                      .run();
  if (!inserted) return inserted.error();
  return member;
}

Result<Member> SqliteStore::insert_member(const std::string& account, const std::string& client_id, Role role) {
  std::lock_guard lock(mutex_);
  return database_->transact([&]() -> Result<Member> {
    auto found = find_account(account);
    if (!found) return found.error();
    if (!*found) return not_found("account", account);
    if ((*found)->type == AccountType::personal) return forbidden("a personal account has no other members");
    auto added = add_member(account, client_id, role);
    if (!added) return added.error().code == "com-4009" ? forbidden("that user is a member already") : added.error();
    auto whole = find_member(account, added->id);
    if (!whole) return whole.error();
    if (!*whole) return not_found("user", client_id);
    return **whole;
  });
}

Result<void> SqliteStore::check_another_owner(const std::string& account, const std::string& member_id) {
  auto statement = database_->prepare("SELECT COUNT(*) FROM members WHERE account = ? AND role = 3 AND id <> ?");
  statement.bind(account).bind(member_id);
  auto row = statement.step();
  if (!row) return row.error();
  if (statement.integer(0) == 0) return forbidden("an account keeps at least one Owner");
  return {};
}

Result<Member> SqliteStore::set_role(const std::string& account, const std::string& member_id, Role role) {
  std::lock_guard lock(mutex_);
  return database_->transact([&]() -> Result<Member> {
    auto found = find_member(account, member_id);
    if (!found) return found.error();
    if (!*found) return not_found("member", member_id);
    if ((*found)->role == Role::owner && role != Role::owner) {
      if (auto left = check_another_owner(account, member_id); !left) return left.error();
    }
    auto changed = database_->prepare("UPDATE members SET role = ? WHERE id = ?")
                       .bind(static_cast<int>(role))
                       .bind(member_id)
                       .run();
    if (!changed) return changed.error();
    (*found)->role = role;
    return **found;
  });
}

Result<void> SqliteStore::erase_member(const std::string& account, const std::string& member_id,
                                       const std::string& kept) {
  std::lock_guard lock(mutex_);
  return database_->transact([&]() -> Result<void> {
    auto found = find_member(account, member_id);
    if (!found) return found.error();
    if (!*found) return not_found("member", member_id);
    if ((*found)->role == Role::owner) {
      if (auto left = check_another_owner(account, member_id); !left) return left;
    }
    if (auto erased = database_->prepare("DELETE FROM members WHERE id = ?").bind(member_id).run(); !erased)
      return erased;
    return database_
        ->prepare(
            "DELETE FROM clients WHERE client_id = ?1 AND client_id <> ?2 AND kind = 0 AND NOT EXISTS "
            "(SELECT 1 FROM members WHERE members.client_id = ?1)")
        .bind((*found)->client_id)
        .bind(kept)
        .run();
  });
}

Result<std::vector<Client>> SqliteStore::keys(const std::string& account) {
  std::lock_guard lock(mutex_);
  auto statement = database_->prepare(
      "SELECT client_id, account, role, secret_hash, token_epoch, kind, name, key_id, created, expires, last_used, "
      "earlier_hash, earlier_until FROM clients WHERE kind = 1 AND account = ? ORDER BY key_id");
  statement.bind(account);
  return read_all<Client>(statement, read_client);
}

Result<std::optional<Client>> SqliteStore::key(const std::string& account, const std::string& key_id) {
  std::lock_guard lock(mutex_);
  auto statement = database_->prepare(
      "SELECT client_id, account, role, secret_hash, token_epoch, kind, name, key_id, created, expires, last_used, "
      "earlier_hash, earlier_until FROM clients WHERE kind = 1 AND account = ? AND key_id = ?");
  statement.bind(account).bind(key_id);
  return read_one<Client>(statement, read_client);
}

Result<void> SqliteStore::erase_key(const std::string& account, const std::string& key_id) {
  std::lock_guard lock(mutex_);
  auto erased = database_->prepare("DELETE FROM clients WHERE kind = 1 AND account = ? AND key_id = ?")
                    .bind(account)
                    .bind(key_id)
                    .run();
  if (!erased) return erased;
  return database_->changes() == 0 ? Result<void>(not_found("API key", key_id)) : Result<void>();
}

Result<std::optional<Standing>> SqliteStore::standing(const std::string& client_id, const std::string& account) {
  std::lock_guard lock(mutex_);
  auto statement = database_->prepare(
      "SELECT c.kind, CASE c.kind WHEN 1 THEN c.role ELSE m.role END, c.token_epoch, "
      "CASE c.kind WHEN 1 THEN c.key_id ELSE m.id END, a.realm, CASE c.kind WHEN 1 THEN c.expires ELSE 0 END "
      "FROM clients c JOIN accounts a ON a.id = ?2 LEFT JOIN members m ON m.client_id = c.client_id AND m.account = ?2 "
      "WHERE c.client_id = ?1 AND ((c.kind = 1 AND c.account = ?2) OR (c.kind = 0 AND m.id IS NOT NULL))");
  statement.bind(client_id).bind(account);
  return read_one<Standing>(statement, [](const Statement& row) -> Result<Standing> {
    return Standing{.kind = row.integer(0) == 1 ? Client::Kind::key : Client::Kind::user,
                    .role = role_of(row.integer(1)),
                    .token_epoch = row.text(2),
                    .member_id = row.text(3),
                    .realm = row.text(4),
                    .expires = row.integer(5)};
  });
}

Result<void> SqliteStore::touch(const std::string& client_id, UnixMillis used) {
  std::lock_guard lock(mutex_);
  return database_->prepare("UPDATE clients SET last_used = ? WHERE client_id = ?").bind(used).bind(client_id).run();
}

Result<void> SqliteStore::end_token(const std::string& jti, UnixMillis expires) {
  std::lock_guard lock(mutex_);
  return database_->transact([&]() -> Result<void> {
    auto dropped = database_->prepare("DELETE FROM ended_tokens WHERE expires < ?").bind(clock_.now()).run();
    if (!dropped) return dropped;
    return database_->prepare("INSERT OR IGNORE INTO ended_tokens (jti, expires) VALUES (?, ?)")
        .bind(jti)
        .bind(expires)
        .run();
  });
}

Result<bool> SqliteStore::is_ended(const std::string& jti) {
  std::lock_guard lock(mutex_);
  auto found = count("SELECT COUNT(*) FROM ended_tokens WHERE jti = ?", jti);
  if (!found) return found.error();
  return *found > 0;
}

Result<std::int64_t> SqliteStore::count(const char* sql, const std::string& bound) {
  auto statement = database_->prepare(sql);
  statement.bind(bound);
  auto row = statement.step();
  if (!row) return row.error();
  return statement.integer(0);
}

}  // namespace sluice::store
