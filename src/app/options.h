// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <chrono>
#include <map>
#include <string>

#include "api/auth.h"
#include "base/result.h"
#include "binder/downlink_sender.h"
#include "driver/engine.h"
#include "queue/queue.h"

namespace sluice::app {

// What `sluice serve` runs with: built-in defaults, then the configuration file, then the flags.
struct ServeOptions {
  std::string listen = "127.0.0.1:8080";
  std::string data = "./sluice-data";
  std::string public_url;  // empty: http:// and the listen address
  std::string log_level = "info";
  unsigned io_threads = 0;                                         // 0: one a core, at least 2, at most 8
  std::chrono::milliseconds debug_limit = std::chrono::hours(48);  // of a connection's debug mode
  queue::Options queue;
  driver::EngineOptions drivers;
  binder::DownlinkSettings downlinks;
  std::size_t downlinks_per_second = 20;  // requests to one downlink URL; 0: no limit
  // `connectors:` in the file, "FOLDER.NAME" to value: what connectors declare in their schema.json
  std::map<std::string, std::string> connectors;
  api::AuthSettings auth;  // `access:` in the file (docs/access.md)
};

// Reads a YAML file into the options (docs/operations.md lists the keys). Errors: bad_config with the line, naming the
// key and what it takes; a key nobody knows is one too.
Result<void> read_config(const std::string& path, ServeOptions& options);

// "10GiB", "256 MiB", "1000": bytes. Nothing where it is no size.
std::optional<std::uint64_t> parse_size(std::string_view text);

}  // namespace sluice::app
