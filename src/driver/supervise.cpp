// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <cstring>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>
#include <utility>

#include "base/log.h"
#include "driver/engine_impl.h"
#include "driver/sandbox.h"

namespace sluice::driver {
namespace {

constexpr std::chrono::milliseconds kFirstBackoff{100}, kMaxBackoff{10000};
constexpr auto kStartLimit = std::chrono::seconds(30);
constexpr auto kHostless = std::chrono::seconds(60);
constexpr unsigned kMaxMoves = 8;
constexpr unsigned kMaxCrashes = 2;

// The program that this one is, or in builds whose sanitizer JavaScriptCore does not stand, the bare host beside it.
std::string default_program() {
#ifdef SLUICE_DRIVER_HOST
  std::string path(4096, '\0');
  const auto size = ::readlink("/proc/self/exe", path.data(), path.size());
  path.resize(size > 0 ? static_cast<std::size_t>(size) : 0);
  return path.substr(0, path.rfind('/') + 1) + SLUICE_DRIVER_HOST;
#else
  return "/proc/self/exe";
#endif
}

std::string describe(int status) {
  if (WIFEXITED(status)) {
    const int code = WEXITSTATUS(status);
    if (code >= 70 && code <= 75) return sandbox::to_string(static_cast<sandbox::Exit>(code));
    return "it ended with code " + std::to_string(code);
  }
  if (WIFSIGNALED(status)) return std::string("it was ended by signal ") + ::strsignal(WTERMSIG(status));
  return "it ended";
}

}  // namespace

std::size_t Engine::Impl::count(Lane lane) const {
  return static_cast<std::size_t>(
      std::count_if(hosts.begin(), hosts.end(), [&](const auto& host) { return host->ready && host->lane == lane; }));
}

// Keeps the hosts at their number, and the lanes served from the spare.
void Engine::Impl::maintain(Steady::time_point now) {
  for (auto& host : hosts) {
    if (!host->ready && now - host->started > kStartLimit) host->kill(Kill::wall);
    if (host->retiring && host->in_flight.empty()) host->kill(Kill::stop);
    if (!host->ready || host->lane != Lane::spare || host->killed != Kill::none) continue;
    if (count(Lane::fast) < fast_hosts) {
      give_role(*host, Lane::fast);
    } else if (count(Lane::slow) < 1) {
      give_role(*host, Lane::slow);
    }
  }
  while (hosts.size() < fast_hosts + 2 && now >= next_spawn) {
    auto spawned = HostProcess::spawn(options.host_program.empty() ? default_program() : options.host_program);
    if (!spawned) {
      backoff = std::clamp(backoff * 2, kFirstBackoff, kMaxBackoff);
      next_spawn = now + backoff;
      log::warn("driver host not started, trying again in {} ms: {}", backoff.count(), spawned.error().text);
      const std::lock_guard lock(mutex);
      start_error = spawned.error().text;
      started.notify_all();
      return;
    }
    auto host = std::move(*spawned);
    host->serial = next_serial++;
    wire::Configure configure;
    configure.memory_limit = options.memory_limit;
    configure.result_limit = options.result_limit;
    configure.idle_ms = static_cast<std::uint64_t>(options.idle.count());
    wire::append(host->out, configure);
    watch(*host);
    hosts.push_back(std::move(host));
  }
}

void Engine::Impl::watch(HostProcess& host) {
  epoll_event event{};
  event.events = EPOLLIN;
  event.data.u64 = host.serial;
  ::epoll_ctl(epoll_fd, EPOLL_CTL_ADD, host.socket(), &event);
}

void Engine::Impl::flush(HostProcess& host) {
  host.send();  // a host that is gone is noticed by reading
  const bool wants = !host.out.empty();
  if (wants == host.wants_write) return;
  host.wants_write = wants;
  epoll_event event{};
  event.events = EPOLLIN | (wants ? EPOLLOUT : 0u);
  event.data.u64 = host.serial;
  ::epoll_ctl(epoll_fd, EPOLL_CTL_MOD, host.socket(), &event);
}

void Engine::Impl::give_role(HostProcess& host, Lane lane) {
  host.lane = lane;
  wire::Role role;
  role.call_limit_ms = static_cast<std::uint32_t>((lane == Lane::slow ? options.call_limit : options.stall).count());
  role.measure = lane == Lane::slow;
  wire::append(host.out, role);
  // Only its main thread, which is the one that runs drivers.
  if (lane == Lane::slow) ::setpriority(PRIO_PROCESS, static_cast<id_t>(host.pid()), 10);
}

void Engine::Impl::became_ready(HostProcess& host) {
  host.ready = true;
  host.baseline = host.resident();
  last_ready = Steady::now();
  backoff = std::chrono::milliseconds(0);
  const std::lock_guard lock(mutex);
  first_ready = true;
  started.notify_all();
}

void Engine::Impl::sample(Steady::time_point now) {
  for (auto& host : hosts) {
    if (host->ready && host->killed == Kill::none && host->lane != Lane::spare) sample_host(*host, now);
  }
}

// Ends a host whose job has used too much. The page is a hint by a process that may lie: a lie costs it its own job.
void Engine::Impl::sample_host(HostProcess& host, Steady::time_point now) {
  if (host.in_flight.empty()) {
    host.sample = {};
    return;
  }
  std::uint64_t job = host.page().job.load(std::memory_order_acquire);
  const std::uint32_t phase = host.page().phase.load(std::memory_order_acquire);
  const auto running =
      std::find_if(host.in_flight.begin(), host.in_flight.end(), [&](const auto& task) { return task->id == job; });
  if (running == host.in_flight.end()) job = 0;
  const Limits own = job == 0 ? Limits{} : (*running)->driver->code->limits;
  const std::size_t resident = host.resident();
  if (job != host.sample.job || phase != host.sample.phase || host.sample.since == Steady::time_point{}) {
    host.sample = {job, phase, host.cpu_time(), now, resident};
  }
  using std::chrono::milliseconds;
  const bool slow = host.lane == Lane::slow, evaluating = phase == wire::Page::evaluating;
  // The host stops a call at its limit by itself; this is for what it cannot stop.
  milliseconds limit = slow ? options.call_limit + options.call_limit / 4 : options.stall * 2;
  if (own.call.count() > 0) limit = std::min(limit, std::max(own.call * 2, milliseconds(20)));
  if (evaluating) limit = milliseconds(kEvaluationLimitMs) * 5 / 4;
  const milliseconds wall = (evaluating ? milliseconds(kEvaluationLimitMs) : options.call_limit) * 10;
  // What the host keeps of warm drivers is not this call's.
  const bool heavy = resident > std::max(host.baseline, host.sample.resident) + options.memory_limit ||
                     (own.memory > 0 && resident > host.sample.resident + own.memory);
  if (heavy) {
    host.blamed_job = job;
    host.resident_at_kill = resident;
    host.kill(Kill::memory);
  } else if (job != 0 && host.cpu_time() - host.sample.cpu > limit) {
    host.blamed_job = job;
    host.kill(Kill::stall);
  } else if (now - host.sample.since > wall) {
    host.blamed_job = job != 0 ? job : host.in_flight.front()->id;
    host.kill(Kill::wall);
  } else if (resident > host.baseline + wire::kWarmMemory && count(Lane::spare) > 0) {
    host.retiring = true;  // grown over many jobs: a fresh one takes its place
  }
}

// The job that a host ran when it ended.
void Engine::Impl::settle_running(HostProcess& host, Kill why, TaskPtr task) {
  DriverState& driver = *task->driver;
  const bool slow = host.lane == Lane::slow;
  const auto now = Steady::now();
  const std::size_t limit = driver.code->limits.memory;
  const bool own_memory = why == Kill::memory && (host.resident_growth >= options.memory_limit / 2 ||
                                                  (limit > 0 && host.resident_growth >= limit));
  if (why == Kill::memory && (own_memory || slow)) return finish(std::move(task), out_of_memory());
  if (why == Kill::stall || why == Kill::wall) {
    const auto own = driver.code->limits.call;
    if (slow || (own.count() > 0 && own <= options.stall)) return finish(std::move(task), timed_out());
    stalls->add();
    if (host.sample.phase == wire::Page::evaluating) {
      driver.evaluation_stalled = true;
    } else {
      driver.stalled(task->job.input.dev_eui, now);
    }
    return route_slow(std::move(task));
  }
  if (++task->crashes >= kMaxCrashes) {
    return finish(std::move(task),
                  failed("com-5002", "driver internal error: Error: The driver made its host process crash."));
  }
  // Not held against its device yet: a host can die of what comes from outside.
  route_slow(std::move(task));
}

void Engine::Impl::host_ended(HostProcess& ended) {
  const auto found = std::find_if(hosts.begin(), hosts.end(), [&](const auto& host) { return host.get() == &ended; });
  const std::unique_ptr<HostProcess> host = std::move(*found);
  hosts.erase(found);
  const Kill why = host->killed;
  const std::size_t resident = host->sample.resident;
  host->resident_growth = host->resident_at_kill > resident ? host->resident_at_kill - resident : 0;
  const std::uint64_t running =
      why == Kill::none || why == Kill::protocol ? host->page().job.load(std::memory_order_acquire) : host->blamed_job;
  ::epoll_ctl(epoll_fd, EPOLL_CTL_DEL, host->socket(), nullptr);
  const int status = host->reap();
  (why == Kill::none ? hosts_ended : hosts_killed)->add();
  const auto now = Steady::now();
  if (!host->ready) {
    backoff = std::clamp(backoff * 2, kFirstBackoff, kMaxBackoff);
    next_spawn = now + backoff;
    const std::string text = "starting a driver host: " + describe(status);
    log::warn("{}; trying again in {} ms", text, backoff.count());
    const std::lock_guard lock(mutex);
    start_error = text;
    started.notify_all();
  } else if (why == Kill::none) {
    log::warn("a driver host ended: {}; its jobs are run again", describe(status));
  }
  // From the back, so that those that move keep their order at the front of the queue.
  while (!host->in_flight.empty()) {
    TaskPtr task = std::move(host->in_flight.back());
    host->in_flight.pop_back();
    if (task->id == running) {
      settle_running(*host, why, std::move(task));
    } else if (++task->moves > kMaxMoves) {
      finish(std::move(task), failed("com-5002", "driver internal error: Error: No driver host lived long enough."));
    } else if (host->lane == Lane::slow) {
      const bool suspect = task->driver->suspects(task->job.input.dev_eui, now);
      slow_queue.push_front(suspect, std::move(task));
    } else {
      const std::string& account = task->job.code->account;
      fast_queue.push_front(account, std::move(task));
    }
  }
  maintain(now);
}

// Every wait is bounded: without any host for a minute, what waits is answered.
void Engine::Impl::fail_waiting(Steady::time_point now) {
  const bool served = std::any_of(hosts.begin(), hosts.end(), [](const auto& host) { return host->ready; });
  if (served || now - last_ready < kHostless) return;
  const auto gone = [] { return failed("com-5004", "driver internal error: Error: No driver host can be started."); };
  while (auto task = fast_queue.pop())
    finish(std::move(task), gone());
  while (auto task = slow_queue.pop())
    finish(std::move(task), gone());
}

}  // namespace sluice::driver
