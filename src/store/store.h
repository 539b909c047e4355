// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <boost/json/object.hpp>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/clock.h"
#include "base/crypto.h"
#include "base/result.h"
#include "store/access.h"

namespace sluice::store {

struct Connection {
  std::string id;  // decimal digits, given by insert, never used again
  std::string account;
  boost::json::object resource;  // as the API takes it (connectorId, name, active, ...), configuration without secrets
  boost::json::object secrets;   // sealed at rest (AES-256-GCM), JSON Pointer -> value
  std::string downlink_uuid;
  UnixMillis created = 0, updated = 0;
};

struct Flow {
  std::string id, account;
  boost::json::object resource;
  UnixMillis created = 0, updated = 0;
};

struct Driver {
  std::string id;                // "actility:adeunis-field-test:1"
  std::string account;           // "" for system drivers
  boost::json::object resource;  // as the API shows it, without `code`
  std::string code;              // JavaScript text
  std::string extract_points;    // text of an extra file
  UnixMillis created = 0, updated = 0;
};

struct Binder {
  std::string id;  // a random UUID: part of the uplink URL
  std::string account;
  boost::json::object resource;  // type, name, asId, downlinkUrl, security, ...
  std::string as_key;            // sealed at rest
  UnixMillis created = 0, updated = 0;
};

struct Event {
  std::int64_t id = 0;
  std::string account;
  UnixMillis time = 0;
  std::string level;  // debug, info, warn, error
  std::string code;   // "connection-1102"
  std::string message;
  boost::json::object data;  // connectionId, DevEUI, flowId, ... never a secret
};

struct EventQuery {
  std::string account;
  UnixMillis from = 0, to = 0;
  std::string connection_id, text, code, dev_eui,
      flow_id;             // empty: any; `text` in message, code or data, ignoring case
  std::string level;       // this one and what is graver; empty: any
  std::int64_t after = 0;  // only ids above this one
  std::size_t offset = 0, limit = 1000;
};
// Whether the event is one of those that the query asks for; its time and id are not looked at.
bool matches(const EventQuery& query, const Event& event);

// What is worth telling of one call of a driver: what it wrote to its console, its warnings, why it failed.
struct DriverLogEntry {
  std::int64_t id = 0;
  std::string account;  // for whom the driver ran
  std::string driver_id;
  UnixMillis time = 0;
  std::string level;         // log, warn, error
  std::string operation;     // decodeUplink, decodeDownlink, encodeDownlink
  std::string dev_eui;       // empty: none
  boost::json::object data;  // fPort, payload, message, lines, code, line, column, file, stack, warnings, ...
};

struct DriverLogQuery {
  std::string account, driver_id;
  UnixMillis from = 0, to = 0;
  std::string level;               // this one and what is graver; empty: any
  std::string operation, dev_eui;  // empty: any
  std::size_t offset = 0, limit = 1000;
};

// The configuration of the installation. Embedded: SQLite in WAL mode; another engine implements the same class. Calls
// block on the disk: never from an I/O thread. Thread-safe. Errors: `permanent` com-4004 for no such row, com-4009 for
// a double, `transient` com-5003 for a full or failing disk.
class Store {
 public:
  virtual ~Store() = default;

  virtual Result<std::optional<Account>> account(const std::string& id) = 0;
  virtual Result<void> put_account(const Account& account) = 0;

  virtual Result<std::optional<Client>> client(const std::string& client_id) = 0;
  // Adds or replaces. A user with an `account` becomes a member of it in that role, or has its role changed.
  virtual Result<void> put_client(const Client& client) = 0;
  // Members, API keys and what each client may do.
  virtual Accounts& accounts() = 0;

  // `account` empty: of all accounts (for the engine's start). Lists are ordered by id, numeric where ids are.
  virtual Result<std::vector<Connection>> connections(const std::string& account) = 0;
  virtual Result<std::optional<Connection>> connection(const std::string& id) = 0;
  virtual Result<Connection> insert_connection(Connection connection) = 0;  // gives id, downlink_uuid, times
  virtual Result<Connection> update_connection(Connection connection) = 0;
  virtual Result<void> erase_connection(const std::string& id) = 0;
  // Whose downlink URL ends in this UUID; found by its hash and compared in constant time.
  virtual Result<std::optional<Connection>> connection_of_downlink(const std::string& uuid) = 0;

  virtual Result<std::vector<Flow>> flows(const std::string& account) = 0;
  virtual Result<std::optional<Flow>> flow(const std::string& id) = 0;
  virtual Result<Flow> insert_flow(Flow flow) = 0;
  virtual Result<Flow> update_flow(Flow flow) = 0;
  virtual Result<void> erase_flow(const std::string& id) = 0;

  virtual Result<std::vector<Driver>> drivers(const std::string& account) = 0;  // the account's and the system's
  virtual Result<std::vector<Driver>> all_drivers() = 0;
  virtual Result<std::optional<Driver>> driver(const std::string& account,
                                               const std::string& id) = 0;  // exactly that account's
  virtual Result<Driver> insert_driver(Driver driver) = 0;
  virtual Result<Driver> update_driver(Driver driver) = 0;
  virtual Result<void> erase_driver(const std::string& account, const std::string& id) = 0;

  virtual Result<std::vector<Binder>> binders(const std::string& account) = 0;
  virtual Result<std::optional<Binder>> binder(const std::string& id) = 0;
  virtual Result<Binder> insert_binder(Binder binder) = 0;
  virtual Result<Binder> update_binder(Binder binder) = 0;
  virtual Result<void> erase_binder(const std::string& id) = 0;

  // Inserts events without an id, replaces level, message and data of those with one (where they still exist); returns
  // the ids in the same order. Drops what is over the bounds: 30 days, 100,000 an account.
  virtual Result<std::vector<std::int64_t>> put_events(const std::vector<Event>& events) = 0;
  Result<void> add_events(const std::vector<Event>& events) {
    auto ids = put_events(events);
    return ids ? Result<void>() : Result<void>(ids.error());
  }
  virtual Result<std::vector<Event>> events(const EventQuery& query) = 0;  // newest first
  virtual Result<std::size_t> count_events(const EventQuery& query) = 0;

  // The drivers' logs. put drops what is over the bounds: 7 days, and 1,000 entries an account and driver.
  virtual Result<void> put_driver_log(const std::vector<DriverLogEntry>& entries) = 0;
  virtual Result<std::vector<DriverLogEntry>> driver_log(const DriverLogQuery& query) = 0;  // newest first
  virtual Result<std::size_t> count_driver_log(const DriverLogQuery& query) = 0;
  virtual Result<void> clear_driver_log(const std::string& account, const std::string& driver_id) = 0;

  // Small values of the installation (signing key), all sealed at rest.
  virtual Result<std::optional<std::string>> setting(const std::string& name) = 0;
  virtual Result<void> put_setting(const std::string& name, const std::string& value) = 0;
};

// Opens (or makes) the SQLite database below `directory`, brings its schema up to date, and seals secrets with `box`.
Result<std::unique_ptr<Store>> open_sqlite(const std::string& directory, SecretBox box, Clock& clock);

// Whether the secrets of the database below `directory` are sealed with this key; nothing where there is no database
// or none sealed yet. Errors as of the store.
Result<std::optional<bool>> sealed_with(const std::string& directory, const SecretBox& box);
// Seals every secret of the database anew, all of them or (whatever happens meanwhile) none. No other process may use
// the directory. Returns how many. Errors: bad_config for a secret that `from` does not open, else as of the store.
Result<std::size_t> seal_anew(const std::string& directory, const SecretBox& from, const SecretBox& to);

}  // namespace sluice::store
