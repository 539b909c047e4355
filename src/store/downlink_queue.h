// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "base/clock.h"
#include "base/crypto.h"
#include "base/result.h"

namespace sluice::store {

// A downlink that waits for its network server.
struct QueuedDownlinkRow {
  std::uint64_t id = 0;  // ascending: the order of a device's downlinks
  std::string account, connection_id, binder_id;
  UnixMillis queued = 0, expires = 0;
  std::string text;  // message::write_downlink; sealed on the disk, for it holds the key that signs
};

// The downlinks on their way to network servers, kept on the disk. Calls block on it. Thread-safe. Errors: `transient`
// for a full or failing disk.
class DownlinkQueue {
 public:
  virtual ~DownlinkQueue() = default;
  // All of them by id. What can't be opened any more (another key, damage) is dropped and told in the log.
  virtual Result<std::vector<QueuedDownlinkRow>> read() = 0;
  // One synced commit: all or none. Ids of `removed` that are not there are no error.
  virtual Result<void> write(const std::vector<QueuedDownlinkRow>& added,
                             const std::vector<std::uint64_t>& removed) = 0;
};

// Opens (or makes) downlinks.db below `directory`: a file of its own, since a commit of it stands before each answer to
// a caller and must not wait for the configuration's.
Result<std::unique_ptr<DownlinkQueue>> open_downlink_queue(const std::string& directory, SecretBox box);

}  // namespace sluice::store
