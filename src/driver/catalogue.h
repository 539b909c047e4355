// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <unordered_map>
#include <vector>

#include "driver/engine.h"
#include "store/store.h"

namespace sluice::driver {

// The drivers of all accounts, indexed for the choice of spec processors.md 2. A snapshot is swapped in on each change;
// reading takes no lock beyond a shared_ptr copy. Thread-safe.
class Catalogue {
 public:
  explicit Catalogue(store::Store& store);
  // Reads the store again; call after any change of a driver. New code takes effect for calls after it returns.
  Result<void> reload();
  // The driver of that id as this account sees it (its own before a system one); null where there is none.
  [[nodiscard]] DriverCodePtr find(const std::string& account, const std::string& id) const;
  // actility:auto:1: by application, else by model (spec processors.md 2); null where none fits.
  [[nodiscard]] DriverCodePtr choose(const std::string& account, const std::optional<message::ModuleRef>& application,
                                     const std::optional<message::ModuleRef>& model) const;
  // Drivers that are known without their code (private ones of a catalogue, spec drivers.md 16.4): whether that id is
  // one; the one that would decode, where none with code does, or "".
  [[nodiscard]] bool is_without_code(const std::string& account, const std::string& id) const;
  [[nodiscard]] std::string choose_without_code(const std::string& account,
                                                const std::optional<message::ModuleRef>& application,
                                                const std::optional<message::ModuleRef>& model) const;

  struct Index;

 private:
  [[nodiscard]] std::shared_ptr<const Index> index() const;
  store::Store& store_;
  mutable std::mutex mutex_;
  std::shared_ptr<const Index> index_;
};

}  // namespace sluice::driver
