// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "store/database.h"
#include "store/store.h"

namespace sluice::store {

// The store on one SQLite file. One connection behind one mutex: configuration is small and rarely written, and the
// engine reads it at start and after changes only. One source file an entity.
class SqliteStore final : public Store, private Accounts {
 public:
  SqliteStore(std::unique_ptr<Database> database, SecretBox box, Clock& clock)
      : database_(std::move(database)), box_(std::move(box)), clock_(clock) {}

  Result<std::optional<Account>> account(const std::string& id) override;
  Result<void> put_account(const Account& account) override;
  Result<std::optional<Client>> client(const std::string& client_id) override;
  Result<void> put_client(const Client& client) override;
  Accounts& accounts() override { return *this; }

  Result<std::vector<Connection>> connections(const std::string& account) override;
  Result<std::optional<Connection>> connection(const std::string& id) override;
  Result<Connection> insert_connection(Connection connection) override;
  Result<Connection> update_connection(Connection connection) override;
  Result<void> erase_connection(const std::string& id) override;
  Result<std::optional<Connection>> connection_of_downlink(const std::string& uuid) override;

  Result<std::vector<Flow>> flows(const std::string& account) override;
  Result<std::optional<Flow>> flow(const std::string& id) override;
  Result<Flow> insert_flow(Flow flow) override;
  Result<Flow> update_flow(Flow flow) override;
  Result<void> erase_flow(const std::string& id) override;

  Result<std::vector<Driver>> drivers(const std::string& account) override;
  Result<std::vector<Driver>> all_drivers() override;
  Result<std::optional<Driver>> driver(const std::string& account, const std::string& id) override;
  Result<Driver> insert_driver(Driver driver) override;
  Result<Driver> update_driver(Driver driver) override;
  Result<void> erase_driver(const std::string& account, const std::string& id) override;

  Result<std::vector<Binder>> binders(const std::string& account) override;
  Result<std::optional<Binder>> binder(const std::string& id) override;
  Result<Binder> insert_binder(Binder binder) override;
  Result<Binder> update_binder(Binder binder) override;
  Result<void> erase_binder(const std::string& id) override;

  Result<std::vector<std::int64_t>> put_events(const std::vector<Event>& events) override;
  Result<std::vector<Event>> events(const EventQuery& query) override;
  Result<std::size_t> count_events(const EventQuery& query) override;

  Result<void> put_driver_log(const std::vector<DriverLogEntry>& entries) override;
  Result<std::vector<DriverLogEntry>> driver_log(const DriverLogQuery& query) override;
  Result<std::size_t> count_driver_log(const DriverLogQuery& query) override;
  Result<void> clear_driver_log(const std::string& account, const std::string& driver_id) override;

  Result<std::optional<std::string>> setting(const std::string& name) override;
  Result<void> put_setting(const std::string& name, const std::string& value) override;

  // Seals what an earlier version kept in clear. Once, before anything else.
  Result<void> seal_downlink_urls();

 private:
  Result<std::vector<Account>> all() override;
  Result<std::vector<Account>> of_user(const std::string& client_id) override;
  Result<Account> insert(Account account, const std::string& owner) override;
  Result<void> erase(const std::string& id) override;
  Result<std::vector<Member>> members(const std::string& account) override;
  Result<std::optional<Member>> member(const std::string& account, const std::string& member_id) override;
  Result<Member> insert_member(const std::string& account, const std::string& client_id, Role role) override;
  Result<Member> set_role(const std::string& account, const std::string& member_id, Role role) override;
  Result<void> erase_member(const std::string& account, const std::string& member_id, const std::string& kept) override;
  Result<std::vector<Client>> keys(const std::string& account) override;
  Result<std::optional<Client>> key(const std::string& account, const std::string& key_id) override;
  Result<void> erase_key(const std::string& account, const std::string& key_id) override;
  Result<std::optional<Standing>> standing(const std::string& client_id, const std::string& account) override;
  Result<void> touch(const std::string& client_id, UnixMillis used) override;
  Result<void> end_token(const std::string& jti, UnixMillis expires) override;
  Result<bool> is_ended(const std::string& jti) override;

  // Called with mutex_ held.
  Result<std::int64_t> count(const char* sql, const std::string& bound);
  Result<std::optional<Account>> find_account(const std::string& id);
  Result<std::optional<Member>> find_member(const std::string& account, const std::string& member_id);
  Result<Member> add_member(const std::string& account, const std::string& client_id, Role role);
  Result<void> check_another_owner(const std::string& account, const std::string& member_id);

  Result<Connection> read_connection(const Statement& row) const;
  Result<Binder> read_binder(const Statement& row) const;
  Result<void> drop_old_events(const std::vector<Event>& added);

  std::mutex mutex_;
  std::unique_ptr<Database> database_;
  SecretBox box_;
  Clock& clock_;
};

// The name of the setting that is sealed once at first opening: tells a wrong key file at start instead of at the first
// secret.
inline constexpr const char* kKeyCheck = "key-check";

// A JSON object as it is stored, and back. A stored text that is no object is damage.
std::string object_text(const boost::json::object& object);
Result<boost::json::object> read_object(const std::string& text);
// The row id of a numeric id; nothing where the text is not one as insert gives them.
std::optional<std::int64_t> row_id(const std::string& id);
Error not_found(const char* what, const std::string& id);

// All rows of a statement, each made by `read` (giving a Result).
template <class T, class Read>
Result<std::vector<T>> read_all(Statement& statement, Read read) {
  std::vector<T> rows;
  for (;;) {
    auto row = statement.step();
    if (!row) return row.error();
    if (!*row) return rows;
    Result<T> item = read(statement);
    if (!item) return item.error();
    rows.push_back(std::move(*item));
  }
}

// The one row of a statement, or nothing.
template <class T, class Read>
Result<std::optional<T>> read_one(Statement& statement, Read read) {
  auto row = statement.step();
  if (!row) return row.error();
  if (!*row) return std::optional<T>();
  Result<T> item = read(statement);
  if (!item) return item.error();
  return std::optional<T>(std::move(*item));
}

}  // namespace sluice::store
