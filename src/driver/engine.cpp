// SPDX-License-Identifier: Apache-2.0
#include "driver/engine.h"

#include <algorithm>
#include <array>
#include <cerrno>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <unistd.h>
#include <utility>

#include "base/log.h"
#include "driver/contexts.h"
#include "driver/engine_impl.h"

namespace sluice::driver {
namespace {

constexpr std::array<const char*, 4> kTypes = {"lora-alliance", "thingpark-x-js", "ttn", "chirpstack"};

Outcome stopping_outcome() {
  return failed("com-5004", "driver internal error: Error: The driver engine is not running.");
}

std::vector<TaskPtr> tasks_of(std::vector<Job> jobs) {
  std::vector<TaskPtr> tasks;
  tasks.reserve(jobs.size());
  for (auto& job : jobs) {
    tasks.push_back(std::make_unique<Task>());
    tasks.back()->job = std::move(job);
  }
  return tasks;
}

// For a caller that waits for one task.
template <class T>
struct Waiting {
  std::mutex mutex;
  std::condition_variable changed;
  std::optional<T> value;
  void give(T given) {
    const std::lock_guard lock(mutex);
    value = std::move(given);
    changed.notify_all();
  }
  std::optional<T> wait(std::chrono::milliseconds most) {
    std::unique_lock lock(mutex);
    changed.wait_for(lock, most, [&] { return value.has_value(); });
    return std::move(value);
  }
};

}  // namespace

std::optional<Signature> signature_of_type(std::string_view type) {
  for (std::size_t i = 0; i < kTypes.size(); ++i) {
    if (type == kTypes[i]) return static_cast<Signature>(i);
  }
  return {};
}

const char* type_of_signature(Signature signature) {
  return kTypes[static_cast<std::size_t>(signature)];
}

Engine::Engine(EngineOptions options, Metrics& metrics, store::DeviceContexts* contexts, Clock& clock)
    : impl_(std::make_unique<Impl>(std::move(options), metrics)) {
  if (contexts == nullptr) return;
  contexts_ = std::make_unique<Contexts>(
      *contexts, clock, metrics, impl_->options.queue_limit,
      [impl = impl_.get()](std::vector<Job> jobs) { impl->submit(tasks_of(std::move(jobs))); });
}

Engine::~Engine() {
  if (contexts_) contexts_->stop(false);
  impl_->stop();
  contexts_.reset();  // writes what the last calls left
}

Result<void> Engine::start() {
  return impl_->start();
}

void Engine::submit(std::vector<Job> jobs) {
  if (contexts_) {
    const auto first =
        std::stable_partition(jobs.begin(), jobs.end(), [](const Job& job) { return !Contexts::concerns(job); });
    if (first != jobs.end()) {
      contexts_->submit({std::make_move_iterator(first), std::make_move_iterator(jobs.end())});
      jobs.erase(first, jobs.end());
      if (jobs.empty()) return;
    }
  }
  impl_->submit(tasks_of(std::move(jobs)));
}

Outcome Engine::run(DriverCodePtr code, Operation operation, Input input) {
  const auto waiting = std::make_shared<Waiting<Outcome>>();
  std::vector<Job> jobs(1);
  jobs[0] = {std::move(code), operation, std::move(input),
             [waiting](Outcome outcome) { waiting->give(std::move(outcome)); }};
  submit(std::move(jobs));
  return waiting->wait(impl_->options.call_limit * 10 + std::chrono::seconds(1)).value_or(timed_out());
}

Result<Engine::Inspection> Engine::inspect(Inspected what) {
  const auto waiting = std::make_shared<Waiting<Result<Inspection>>>();
  auto code = std::make_shared<DriverCode>();
  code->source = std::move(what.source);
  code->extract_points_source = std::move(what.extract_points_source);
  code->use_context = what.use_context;
  code->trusted = what.trusted;
  if (what.declared) code->signature = *what.declared;
  std::vector<TaskPtr> tasks(1);
  tasks[0] = std::make_unique<Task>();
  tasks[0]->inspect = true;
  // The revision says whether the signature is to be found; a state is never shared between inspections.
  code->revision = what.declared ? "declared" : "any";
  tasks[0]->job.code = std::move(code);
  tasks[0]->inspected = [waiting](Result<Inspection> found) { waiting->give(std::move(found)); };
  impl_->submit(std::move(tasks));
  auto found = waiting->wait(impl_->options.call_limit * 10 + std::chrono::seconds(1));
  if (!found) return Error{ErrorKind::permanent, timed_out().message, "com-5004"};
  if (*found && !(*found)->decode_uplink) {
    return Error{ErrorKind::permanent,
                 "unable to wrap driver, driver code must have one type of signatures (tpx, ttn, chirpstack)",
                 "com-4000"};
  }
  return std::move(*found);
}

Engine::Impl::Impl(EngineOptions given, Metrics& metrics) : options(std::move(given)), reader(options.result_limit) {
  const unsigned cores = std::max(1u, std::thread::hardware_concurrency());
  fast_hosts = options.fast_hosts != 0 ? options.fast_hosts : std::clamp(cores - 1, 1u, 4u);
  const auto calls = [&](const char* result) {
    return metrics.counter("sluice_driver_calls_total", "Driver calls by result.", {{"result", result}});
  };
  calls_ok = calls("ok");
  calls_failed = calls("failed");
  calls_limited = calls("limit");
  calls_refused = calls("refused");
  stalls =
      metrics.counter("sluice_driver_stalls_total", "Driver calls stopped on a fast host and moved to a slow one.");
  hosts_ended = metrics.counter("sluice_driver_hosts_total", "Driver hosts that ended.", {{"reason", "crashed"}});
  hosts_killed = metrics.counter("sluice_driver_hosts_total", "Driver hosts that ended.", {{"reason", "killed"}});
  waiting = metrics.gauge("sluice_driver_pending_jobs", "Driver jobs not yet answered.");
}

Engine::Impl::~Impl() {
  if (event_fd >= 0) ::close(event_fd);
  if (epoll_fd >= 0) ::close(epoll_fd);
}

Result<void> Engine::Impl::start() {
  event_fd = ::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
  epoll_fd = ::epoll_create1(EPOLL_CLOEXEC);
  if (event_fd < 0 || epoll_fd < 0)
    return Error{ErrorKind::bad_config, "starting the driver engine: no descriptors left"};
  epoll_event event{};
  event.events = EPOLLIN;
  event.data.u64 = 0;
  ::epoll_ctl(epoll_fd, EPOLL_CTL_ADD, event_fd, &event);
  std::unique_lock lock(mutex);
  running = true;
  thread = std::thread([this] { run(); });
  started.wait_for(lock, std::chrono::seconds(30), [&] { return first_ready || !start_error.empty(); });
  if (first_ready) return {};
  const std::string why = start_error.empty() ? "no driver host was ready within 30 s" : start_error;
  lock.unlock();
  stop();
  return Error{ErrorKind::bad_config, why};
}

void Engine::Impl::stop() {
  {
    const std::lock_guard lock(mutex);
    stopping = true;
  }
  if (!thread.joinable()) return;
  woken.store(false);
  wake();
  thread.join();
}

void Engine::Impl::submit(std::vector<TaskPtr> tasks) {
  std::vector<TaskPtr> late;
  {
    const std::lock_guard lock(mutex);
    if (!running || stopping) {
      late = std::move(tasks);
    } else {
      for (auto& task : tasks) {
        ++pending;
        (pending > options.queue_limit ? rejected : intake).push_back(std::move(task));
      }
    }
  }
  if (late.empty()) return wake();
  for (auto& task : late) {
    if (task->inspect) {
      task->inspected(Error{ErrorKind::permanent, stopping_outcome().message, "com-5004"});
    } else if (task->job.done) {
      task->job.done(stopping_outcome());
    }
  }
}

void Engine::Impl::wake() {
  if (woken.exchange(true)) return;
  const std::uint64_t one = 1;
  [[maybe_unused]] const auto count = ::write(event_fd, &one, sizeof(one));
}

void Engine::Impl::run() {
  last_ready = next_tidy = Steady::now();
  while (true) {
    turn(next_timeout());
    const std::lock_guard lock(mutex);
    if (stopping) break;
  }
  finish_all();
}

int Engine::Impl::next_timeout() const {
  const bool busy = std::any_of(hosts.begin(), hosts.end(), [](const auto& host) { return !host->in_flight.empty(); });
  if (busy) return 10;
  const bool growing = hosts.size() < fast_hosts + 2;
  return growing ? 50 : 1000;
}

void Engine::Impl::turn(int timeout_ms) {
  std::array<epoll_event, 16> events{};
  const int count = ::epoll_wait(epoll_fd, events.data(), events.size(), timeout_ms);
  for (int i = 0; i < count; ++i) {
    const auto& event = events[static_cast<std::size_t>(i)];
    if (event.data.u64 == 0) {
      std::uint64_t wakes = 0;
      [[maybe_unused]] const auto size = ::read(event_fd, &wakes, sizeof(wakes));
      continue;
    }
    const auto found =
        std::find_if(hosts.begin(), hosts.end(), [&](const auto& host) { return host->serial == event.data.u64; });
    if (found == hosts.end()) continue;
    HostProcess& host = **found;
    const bool open = host.receive();
    if (!take_answers(host)) host.kill(Kill::protocol);
    if (open) {
      flush(host);
    } else {
      host_ended(host);
    }
  }
  take_intake();
  const auto now = Steady::now();
  if (now >= next_sample) {
    next_sample = now + std::chrono::milliseconds(10);
    sample(now);
  }
  maintain(now);
  dispatch();
  for (auto& host : hosts)
    flush(*host);
  if (now >= next_tidy) {
    next_tidy = now + std::chrono::seconds(1);
    tidy_drivers(now);
    fail_waiting(now);
  }
}

void Engine::Impl::take_intake() {
  woken.store(false);
  std::vector<TaskPtr> come, over;
  {
    const std::lock_guard lock(mutex);
    come.swap(intake);
    over.swap(rejected);
    pending -= std::exchange(finished, 0);
    waiting->set(static_cast<std::int64_t>(pending));
  }
  const auto now = Steady::now();
  for (auto& task : over) {
    calls_refused->add();
    finish(std::move(task), timed_out());
  }
  for (auto& task : come) {
    task->id = next_task++;
    task->queued = now;
    route(std::move(task));
  }
}

void Engine::Impl::finish(TaskPtr task, Outcome outcome) {
  ++finished;
  if (task->driver != nullptr) {
    --task->driver->in_use;
    task->driver->last_used = Steady::now();
  }
  (outcome.ok ? calls_ok : outcome.code == "com-5004" ? calls_limited : calls_failed)->add();
  if (task->inspect) {
    task->inspected(Error{ErrorKind::permanent, outcome.message, outcome.code});
  } else if (task->job.done) {
    task->job.done(std::move(outcome));
  }
}

void Engine::Impl::finish_inspection(TaskPtr task, std::string_view text) {
  ++finished;
  --task->driver->in_use;
  task->inspected(reader.read_inspection(text));
}

void Engine::Impl::finish_all() {
  for (auto& host : hosts) {
    host->kill(Kill::stop);
    while (!host->in_flight.empty()) {
      auto task = std::move(host->in_flight.front());
      host->in_flight.pop_front();
      finish(std::move(task), stopping_outcome());
    }
  }
  hosts.clear();
  while (auto task = fast_queue.pop())
    finish(std::move(task), stopping_outcome());
  while (auto task = slow_queue.pop())
    finish(std::move(task), stopping_outcome());
  std::vector<TaskPtr> rest;
  {
    const std::lock_guard lock(mutex);
    rest.swap(intake);
    for (auto& task : rejected)
      rest.push_back(std::move(task));
    rejected.clear();
  }
  for (auto& task : rest)
    finish(std::move(task), stopping_outcome());
}

}  // namespace sluice::driver
