// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <functional>
#include <map>
#include <string>
#include <vector>

#include "driver/engine.h"
#include "driver/package.h"
#include "store/store.h"

namespace sluice::driver {

struct InstallOptions {
  std::string account;  // "": a system driver, there for all accounts (spec drivers.md 16.2)
  bool force = false;   // an older version may replace a newer one
  bool trust = false;   // a matching trustedCRC opens what trusted drivers may use (16.5)
  // Evaluates code, as Engine::inspect. Never called with the store being changed.
  std::function<Result<Engine::Inspection>(Engine::Inspected)> inspect;
  // What is wrong with a declared point (11.3), "" where nothing is; may be empty: not looked at.
  std::function<std::string(std::string_view name, const boost::json::value& declaration)> point_fault;
};

struct Installed {
  enum class Outcome : std::uint8_t { created, replaced, unchanged, refused };
  Outcome outcome = Outcome::refused;
  std::string path, id;
  std::string reason;      // of a refusal
  bool own_fault = false;  // refused for what the driver itself is, and not for what is stored or the moment
  std::vector<std::string> warnings;
};
const char* to_text(Installed::Outcome outcome);

// Puts packages into a store, each by itself: one that is refused stops nothing. What is found again is found by its
// id, a catalogue's driver by its protocolId first (section 1), and keeps the id and the limits it had. What is gone
// from the catalogue stays. Not thread-safe. The caller reloads the Catalogue afterwards.
class Installer {
 public:
  Installer(store::Store& store, InstallOptions options) : store_(store), options_(std::move(options)) {}

  // What is to be put into the store, once everything that takes long has been done: the code is evaluated.
  struct Prepared {
    Installed result;  // refused already, or not yet decided
    store::Driver driver;
    bool by_protocol = false, crc_matches = false;
  };
  // Reads the store's drivers. Call again before put() where they may have changed since. Errors: the store's.
  Result<void> load();
  Prepared prepare(const Package& package);
  // `dry`: says what would be done.
  Installed put(Prepared prepared, bool dry = false);

 private:
  [[nodiscard]] const store::Driver* stored(const store::Driver& driver, bool by_protocol) const;
  [[nodiscard]] bool settle_id(store::Driver& driver, bool by_protocol, const store::Driver* old,
                               Installed& result) const;
  Result<void> keep(const store::Driver& driver, const store::Driver* old);

  store::Store& store_;
  InstallOptions options_;
  std::map<std::string, store::Driver> own_;   // the account's, by lower-case id
  std::map<std::string, std::string> system_;  // the system's: lower-case id -> version
};

}  // namespace sluice::driver
