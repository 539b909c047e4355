// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "base/clock.h"
#include "base/result.h"

namespace sluice::store {

// In the order of their rights (spec api.md 3).
enum class Role : std::uint8_t { reader, writer, controller, owner };

enum class AccountType : std::uint8_t { organization, personal };

struct Account {
  std::string id, name;
  AccountType type = AccountType::organization;
  std::string realm = "default";
  UnixMillis created = 0, updated = 0;  // given by the store where 0
};

// Who may get a token: a user, whose rights are those of its memberships, or an API key, which belongs to one account.
struct Client {
  enum class Kind : std::uint8_t { user, key };

  std::string client_id;         // of a user: the login, in lower case
  std::string account;           // of a user, when read: its first account by id; empty where it has none
  Role role = Role::owner;       // in that account
  std::string secret_hash;       // empty: no secret opens it (its users come from a foreign issuer)
  std::string token_epoch = {};  // changes when all tokens of the client end
  Kind kind = Kind::user;
  std::string name = {};
  std::string key_id = {};        // of API keys: the id below .../apiKeys
  UnixMillis created = 0;         // given by the store where 0
  UnixMillis expires = 0;         // of an API key, or of a one-time password; 0: never
  UnixMillis last_used = 0;       // 0: never
  std::string earlier_hash = {};  // the secret before the last rotation ...
  UnixMillis earlier_until = 0;   // ... which holds till then
};

// A user's place in an account.
struct Member {
  std::string id;  // random; another one when the same user is added again
  std::string account, client_id, name;
  Role role = Role::reader;
  UnixMillis since = 0;
};

// What a client may do in an account at this moment.
struct Standing {
  Client::Kind kind = Client::Kind::user;
  Role role = Role::reader;
  std::string token_epoch;
  std::string member_id;  // of a user: of its membership; of an API key: the key's id
  std::string realm;
  UnixMillis expires = 0;  // of an API key; 0: never
};

// Accounts, their members and API keys: the part of the store that access is decided by. Blocks on the disk;
// thread-safe. Errors as of Store; com-4009 where a rule of spec api.md 13 forbids the change.
class Accounts {
 public:
  virtual ~Accounts() = default;

  // All accounts, by id (numeric).
  virtual Result<std::vector<Account>> all() = 0;
  // Those a user is a member of.
  virtual Result<std::vector<Account>> of_user(const std::string& client_id) = 0;
  // Gives the account an id (decimal digits, ordered by time, unique across machines) and its Owner. com-4009: a second
  // personal account of that user.
  virtual Result<Account> insert(Account account, const std::string& owner) = 0;
  // With its members, API keys, flows, drivers, binders, events and drivers' logs. com-4009 where it has connections.
  virtual Result<void> erase(const std::string& id) = 0;

  virtual Result<std::vector<Member>> members(const std::string& account) = 0;  // by login
  virtual Result<std::optional<Member>> member(const std::string& account, const std::string& member_id) = 0;
  // com-4009: a member already; the account is a personal one.
  virtual Result<Member> insert_member(const std::string& account, const std::string& client_id, Role role) = 0;
  // com-4009: the last Owner would be one no more.
  virtual Result<Member> set_role(const std::string& account, const std::string& member_id, Role role) = 0;
  // Ends the user's tokens for the account. A user that is left without an account is forgotten, `kept` never.
  // com-4009: the last Owner.
  virtual Result<void> erase_member(const std::string& account, const std::string& member_id,
                                    const std::string& kept) = 0;

  virtual Result<std::vector<Client>> keys(const std::string& account) = 0;  // by id
  virtual Result<std::optional<Client>> key(const std::string& account, const std::string& key_id) = 0;
  virtual Result<void> erase_key(const std::string& account, const std::string& key_id) = 0;

  // Nothing where the client is unknown or has no business in the account.
  virtual Result<std::optional<Standing>> standing(const std::string& client_id, const std::string& account) = 0;
  virtual Result<void> touch(const std::string& client_id, UnixMillis used) = 0;

  // Tokens ended one by one, remembered until they would have ended by themselves.
  virtual Result<void> end_token(const std::string& jti, UnixMillis expires) = 0;
  virtual Result<bool> is_ended(const std::string& jti) = 0;
};

}  // namespace sluice::store
