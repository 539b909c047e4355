// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <atomic>
#include <condition_variable>
#include <memory>
#include <mutex>
#include <string>
#include <thread>
#include <unordered_map>
#include <vector>

#include "driver/engine.h"
#include "driver/host_process.h"
#include "driver/lanes.h"
#include "driver/outcome.h"

namespace sluice::driver {

// The engine's inside. One thread owns everything but the intake.
//
//   submit -> intake -> route -> fast queue -> fast host (window of jobs) -> answer -> done
//                          \         ^ |                      | stalled, crashed, ate memory
//                           \        | | moved (host ended)   v
//                            `-> slow queue -> slow host (one job at a time) -> answer -> done
//
// Invariants:
//  1. A task is in exactly one of: intake, rejected, fast queue, slow queue, one host's in_flight. It leaves by
//  `finish` alone,
//     which calls done; so done is called once, also at the end of the engine.
//  2. A host answers in the order of its in_flight. An answer to anything but the front is a broken host: it is killed.
//  3. When a host ends, the job it ran pays (slow lane, then an error); the jobs behind it move unharmed.
//  4. A driver's state outlives its tasks (in_use), and a host has a driver loaded iff its number is in `loaded`.
//  5. Fast hosts are never given a job that is known to be slow; what stalls them is stopped after `stall` of CPU time
//  by
//     the host itself, and by the engine's SIGKILL at twice that where the host cannot (native loops, regular
//     expressions).
struct Engine::Impl {
  Impl(EngineOptions options, Metrics& metrics);
  ~Impl();

  Result<void> start();
  void submit(std::vector<TaskPtr> tasks);
  void stop();

  // engine.cpp: the loop
  void run();
  void turn(int timeout_ms);
  void take_intake();
  void wake();
  [[nodiscard]] int next_timeout() const;
  void finish(TaskPtr task, Outcome outcome);
  void finish_inspection(TaskPtr task, std::string_view text);
  void finish_all();

  // dispatch.cpp: where a task goes, and what an answer means
  void route(TaskPtr task);
  void route_slow(TaskPtr task);
  TaskPtr next_slow(Steady::time_point now);
  DriverState* state_of(const Task& task);
  void dispatch();
  void give(HostProcess& host, TaskPtr task);
  void load_into(HostProcess& host, DriverState& driver);
  HostProcess* choose_fast(const Task& task);
  bool take_answers(HostProcess& host);
  bool take_answer(HostProcess& host, const wire::Answer& answer);
  void take_back(HostProcess& host);
  void evaluation_ended(DriverState& driver);
  void tidy_drivers(Steady::time_point now);

  // supervise.cpp: the life of the hosts
  void maintain(Steady::time_point now);
  void give_role(HostProcess& host, Lane lane);
  void became_ready(HostProcess& host);
  void sample(Steady::time_point now);
  void sample_host(HostProcess& host, Steady::time_point now);
  void watch(HostProcess& host);
  void flush(HostProcess& host);
  void host_ended(HostProcess& host);
  void settle_running(HostProcess& host, Kill why, TaskPtr task);
  void fail_waiting(Steady::time_point now);
  [[nodiscard]] std::size_t count(Lane lane) const;

  EngineOptions options;
  unsigned fast_hosts = 1;
  std::shared_ptr<Metrics::Value> calls_ok, calls_failed, calls_limited, calls_refused, stalls, hosts_ended,
      hosts_killed, waiting;

  // Shared with the callers.
  std::mutex mutex;
  std::vector<TaskPtr> intake, rejected;
  bool running = false, stopping = false;  // under mutex
  std::size_t pending = 0;                 // tasks not finished, under mutex
  std::string start_error;
  bool first_ready = false;
  std::condition_variable started;
  std::atomic<bool> woken{false};
  int event_fd = -1, epoll_fd = -1;
  std::thread thread;

  // The engine's thread only.
  std::vector<std::unique_ptr<HostProcess>> hosts;
  std::unordered_map<std::string, std::unique_ptr<DriverState>> drivers;
  DriverState* last_state = nullptr;  // the same driver mostly comes again
  FairQueue fast_queue;
  SlowQueue slow_queue;
  OutcomeReader reader;
  std::uint64_t next_task = 1, next_serial = 1;
  std::uint32_t next_driver = 1;
  Steady::time_point next_sample{}, next_tidy{}, next_spawn{}, last_ready{};
  std::chrono::milliseconds backoff{0};
  std::size_t finished = 0;  // since the last time `pending` was brought up to date
};

inline constexpr std::uint32_t kEvaluationLimitMs = 1000;

}  // namespace sluice::driver
