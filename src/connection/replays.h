// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <condition_variable>
#include <map>
#include <mutex>
#include <optional>
#include <string>
#include <thread>

#include "connection/connection.h"
#include "connection/manager.h"

namespace sluice::connection {

// Replays: stored messages put on a connection's list once more, over time. One thread for all, started with the first
// replay; a replay waits while much is pending for its connection, so that it never fills the queue. Where it stands is
// kept as a fact of the queue: it goes on after a restart, and after a crash repeats at most the last step.
// Thread-safe.
class Replays {
 public:
  Replays(queue::Queue& queue, store::Events& events, Clock& clock, RouteAgain route);
  ~Replays() { stop(); }
  Replays(const Replays&) = delete;
  Replays& operator=(const Replays&) = delete;

  // Counts, and starts unless the request only asks. Blocks on the disk, for about 10 s at most. Errors: com-4009 where
  // one runs for that connection already.
  Result<ReplayReport> start(std::uint64_t connection, const std::string& account, const ReplayRequest& request);
  // Takes up what the last run of the process left.
  void go_on(std::uint64_t connection, const std::string& account);
  // False where none runs.
  bool end(std::uint64_t connection);
  [[nodiscard]] std::optional<QueueStatus::Replay> progress(std::uint64_t connection) const;
  void stop();

 private:
  struct Job {
    std::string account;
    ReplayRequest request;
    std::uint64_t after = 0, up_to = 0;  // seq: looked at up to and including, and where it ends
    std::uint64_t done = 0, total = 0;
    std::chrono::steady_clock::time_point due;
  };

  [[nodiscard]] bool wanted(const Job& job, const message::Message& message) const;
  [[nodiscard]] ReplayReport count(const Job& job, std::uint64_t connection) const;
  // False where one runs already, or when stopping.
  bool add(std::uint64_t connection, Job job);
  void run();
  bool step(std::uint64_t connection, Job& job);
  void keep(std::uint64_t connection, const Job& job);
  void tell(std::uint64_t connection, const Job& job, const char* what);

  queue::Queue& queue_;
  store::Events& events_;
  Clock& clock_;
  RouteAgain route_;
  mutable std::mutex mutex_;
  std::condition_variable changed_;
  std::map<std::uint64_t, Job> jobs_;
  bool stopping_ = false;
  std::thread thread_;
};

// The fact that says that a connection is paused.
std::string paused_fact(const std::string& connection);

}  // namespace sluice::connection
