// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <chrono>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/clock.h"
#include "base/result.h"

namespace sluice::store {

// Whose context: a device of an account. `dev_eui`: upper case, without dashes.
struct ContextKey {
  std::string account, dev_eui;
  friend bool operator==(const ContextKey&, const ContextKey&) = default;
};

struct DeviceContext {
  ContextKey key;
  std::string text;  // JSON array
  UnixMillis written = 0;
};

// How long a context is kept after its last write (spec drivers.md 10).
inline constexpr std::chrono::hours kContextLife{48};

// What drivers keep of their devices from call to call. Calls block on the disk. Thread-safe. Errors: `transient` for a
// full or failing disk.
class DeviceContexts {
 public:
  virtual ~DeviceContexts() = default;
  // Of those keys that have one, whatever its age; in no promised order.
  virtual Result<std::vector<DeviceContext>> read(const std::vector<ContextKey>& keys) = 0;
  // All or none. What was written survives the end of the process; a power cut may lose the last moments.
  virtual Result<void> write(const std::vector<DeviceContext>& contexts) = 0;
  // Drops those last written before then; gives their number.
  virtual Result<std::size_t> drop_older(UnixMillis than) = 0;
};

// Opens (or makes) contexts.db below `directory`: a file of its own, since it is written with every uplink of such a
// driver and must not wait for the configuration's syncs, nor they for it.
Result<std::unique_ptr<DeviceContexts>> open_device_contexts(const std::string& directory);

}  // namespace sluice::store
