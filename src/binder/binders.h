// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <memory>
#include <mutex>
#include <string>
#include <string_view>

#include "binder/thingpark/tunnel.h"
#include "store/store.h"

namespace sluice::binder {

// The network servers attached, by id. A snapshot is swapped in on each change. Thread-safe.
class Binders {
 public:
  explicit Binders(store::Store& store);
  // Reads the store again; call after any change of a binder.
  Result<void> reload();
  // Null where there is no such binder. The id is compared in constant time with what is known.
  [[nodiscard]] std::shared_ptr<const thingpark::Settings> find(std::string_view id) const;
  // The binder to reach a device by: the one named, else the account's only one with a downlink URL; null otherwise.
  [[nodiscard]] std::shared_ptr<const thingpark::Settings> for_downlink(const std::string& account,
                                                                        const std::string& binder) const;

 private:
  struct Snapshot;
  store::Store& store_;
  mutable std::mutex mutex_;
  std::shared_ptr<const Snapshot> snapshot_;
};

}  // namespace sluice::binder
