// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <chrono>
#include <cstdint>
#include <deque>
#include <memory>
#include <string>
#include <sys/types.h>
#include <unordered_set>

#include "base/result.h"
#include "driver/lanes.h"
#include "driver/wire.h"

namespace sluice::driver {

// What a host is there for. A spare is warm and idle, to take the place of one that was ended.
enum class Lane : std::uint8_t { spare, fast, slow };

// Why the engine ended a host; `none`: it ended by itself.
enum class Kill : std::uint8_t { none, stall, wall, memory, protocol, stop };

// One host process as the engine sees it. The engine's thread only.
class HostProcess {
 public:
  // Starts `program driver-host` with the socket and the page. Errors: bad_config.
  static Result<std::unique_ptr<HostProcess>> spawn(const std::string& program);
  ~HostProcess();  // kills and reaps
  HostProcess(const HostProcess&) = delete;
  HostProcess& operator=(const HostProcess&) = delete;

  [[nodiscard]] int socket() const { return socket_; }
  [[nodiscard]] pid_t pid() const { return pid_; }
  [[nodiscard]] const wire::Page& page() const { return *page_; }

  // Reads what is there. False at the end of the stream.
  bool receive();
  // Writes what fits of `out`. False when the host is gone.
  bool send();
  // CPU time of the whole process; nothing when it is gone.
  [[nodiscard]] std::chrono::nanoseconds cpu_time() const;
  [[nodiscard]] std::size_t resident() const;
  void kill(Kill why);
  // Ends and reaps it; gives the wait status.
  int reap();

  // Kept by the engine.
  std::uint64_t serial = 0;
  Lane lane = Lane::spare;
  bool ready = false;
  Kill killed = Kill::none;
  std::uint64_t blamed_job = 0;                           // what ran when it was killed
  std::size_t baseline = 0;                               // resident size when it became ready
  std::size_t resident_at_kill = 0, resident_growth = 0;  // the latter: since the blamed job was first seen
  Steady::time_point started{};
  std::deque<std::unique_ptr<Task>> in_flight;  // in the order they were sent
  std::unordered_set<std::uint32_t> loaded;
  wire::Reader reader;
  std::string out;
  std::size_t out_sent = 0;
  bool wants_write = false;
  std::uint64_t answered = 0;
  bool retiring = false;  // gets no more jobs and is ended when the last one is answered

  // The engine's last look.
  struct Sample {
    std::uint64_t job = 0;
    std::uint32_t phase = 0;
    std::chrono::nanoseconds cpu{0};
    Steady::time_point since{};
    std::size_t resident = 0;
  } sample;

 private:
  HostProcess() = default;
  pid_t pid_ = -1;
  int socket_ = -1, statm_ = -1;
  clockid_t clock_{};
  bool has_clock_ = false;
  wire::Page* page_ = nullptr;
};

}  // namespace sluice::driver
