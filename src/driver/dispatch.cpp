// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <utility>

#include "base/codec.h"
#include "base/json.h"
#include "driver/engine_impl.h"

namespace sluice::driver {
namespace {

constexpr std::size_t kWindowJobs = 128, kWindowBytes = 256u << 10;
// The messages behind a call of the same device wait for it in the router, whose window is everybody's: so what waits
// for the slow host is little, and not for long.
constexpr std::size_t kSlowPerDriver = 16, kSlowInAll = 256;
constexpr auto kSlowWait = std::chrono::seconds(10);
// Slow jobs in a fast host's window that make it worth ending: with a host at hand to take its place, or without.
constexpr std::ptrdiff_t kTakeBack = 4, kTakeBackWithoutSpare = 16;
constexpr std::size_t kMaxPart = 2u << 20;  // of a driver's source or an input: several fit a frame
constexpr std::size_t kMaxSources = 64u << 20;
constexpr auto kForgetAfter = std::chrono::minutes(5);

// The input's members beside bytes, port and time, as one JSON object.
std::string rest_of(const Input& input) {
  if (input.thing.empty() && input.dev_eui.empty() && input.extra.empty()) return {};
  std::string out = "{";
  if (!input.thing.empty()) out.append("\"thing\":").append(input.thing);
  if (!input.dev_eui.empty()) {
    out.append(out.size() > 1 ? ",\"DevEUI\":" : "\"DevEUI\":");
    json::append_quoted(out, input.dev_eui);
  }
  if (!input.extra.empty()) out.append(out.size() > 1 ? "," : "").append(input.extra);
  out += '}';
  return out;
}

Outcome too_large(const char* what) {
  return failed("com-5002", std::string("driver internal error: Error: The ") + what + " is too large.");
}

}  // namespace

DriverState* Engine::Impl::state_of(const Task& task) {
  const auto& code = task.job.code;
  if (!task.inspect && last_state != nullptr && last_state->code == code) return last_state;
  std::string key = code->account + '\0' + code->id + '\0' + code->revision;
  if (task.inspect) key += '\0' + std::to_string(task.id);
  auto& state = drivers[key];
  if (!state) {
    state = std::make_unique<DriverState>();
    state->number = next_driver++;
    state->key = std::move(key);
    state->any_signature = task.inspect && code->revision == "any";
  }
  state->code = code;
  return last_state = state.get();
}

void Engine::Impl::route(TaskPtr task) {
  const auto& job = task->job;
  if (!job.code)
    return finish(std::move(task), failed("com-5002", "driver internal error: Error: There is no driver."));
  if (job.code->source.size() > kMaxPart || job.code->extract_points_source.size() > kMaxPart ||
      job.code->points_schema.size() > kMaxPart) {
    return finish(std::move(task), too_large("driver"));
  }
  const auto& input = job.input;
  if (input.payload_hex.size() > kMaxPart || input.data.size() > kMaxPart ||
      input.thing.size() + input.extra.size() > kMaxPart) {
    return finish(std::move(task), too_large("input"));
  }
  task->driver = state_of(*task);
  ++task->driver->in_use;
  if (task->driver->is_slow(input.dev_eui, task->queued)) return route_slow(std::move(task));
  const std::string& account = task->job.code->account;
  fast_queue.push(account, std::move(task));
}

// Over the bounds a call counts as one that ran out of time at once: what is queued would hardly be quicker. It is a
// call of the device that has the most waiting, so that those that stall pay and not who comes last.
void Engine::Impl::route_slow(TaskPtr task) {
  const std::string& device = task->job.input.dev_eui;
  task->slow_since = Steady::now();
  if (slow_queue.size_of(task->driver->key) >= kSlowPerDriver) {
    auto displaced = slow_queue.make_room(task->driver->key, device);
    if (!displaced) return finish(std::move(task), timed_out());
    finish(std::move(displaced), timed_out());
  }
  if (slow_queue.size() >= kSlowInAll) return finish(std::move(task), timed_out());
  const bool suspect = task->driver->suspects(device, task->slow_since);
  slow_queue.push(suspect, std::move(task));
}

// Where many wait, those that have waited too long are answered unrun: every device's order hangs on them.
TaskPtr Engine::Impl::next_slow(Steady::time_point now) {
  while (auto task = slow_queue.pop()) {
    if (now - task->slow_since <= kSlowWait) return task;
    finish(std::move(task), timed_out());
  }
  return nullptr;
}

// The host that has this driver warm, as long as there is room; else the one with the least to do.
HostProcess* Engine::Impl::choose_fast(const Task& task) {
  const auto has_room = [](const HostProcess& host) {
    return host.ready && host.lane == Lane::fast && !host.retiring && host.killed == Kill::none &&
           host.in_flight.size() < kWindowJobs && host.out.size() - host.out_sent < kWindowBytes;
  };
  HostProcess* best = nullptr;
  unsigned place = 0;
  for (const auto& host : hosts) {
    if (host->lane != Lane::fast) continue;
    const bool preferred = place++ == task.driver->number % fast_hosts;
    if (!has_room(*host)) continue;
    if (preferred) return host.get();
    if (best == nullptr || host->in_flight.size() < best->in_flight.size()) best = host.get();
  }
  return best;
}

void Engine::Impl::dispatch() {
  while (!fast_queue.empty()) {
    // Any host with room will do to go on; which one is decided by the task.
    const bool room = std::any_of(hosts.begin(), hosts.end(), [](const auto& host) {
      return host->ready && host->lane == Lane::fast && !host->retiring && host->killed == Kill::none &&
             host->in_flight.size() < kWindowJobs && host->out.size() - host->out_sent < kWindowBytes;
    });
    if (!room) break;
    auto task = fast_queue.pop();
    HostProcess* const host = choose_fast(*task);
    if (task->driver->is_slow(task->job.input.dev_eui, task->queued)) {  // has become slow while it waited
      route_slow(std::move(task));
    } else {
      give(*host, std::move(task));
    }
  }
  for (auto& host : hosts) {
    const bool free = host->ready && host->lane == Lane::slow && !host->retiring && host->killed == Kill::none &&
                      host->in_flight.empty();
    if (!free || slow_queue.empty()) continue;
    if (auto task = next_slow(Steady::now())) give(*host, std::move(task));
  }
}

void Engine::Impl::load_into(HostProcess& host, DriverState& driver) {
  if (!host.loaded.insert(driver.number).second) return;
  wire::Load load;
  load.number = driver.number;
  load.signature = driver.any_signature ? wire::kAnySignature : static_cast<std::uint8_t>(driver.code->signature);
  const auto quick = static_cast<std::uint32_t>(std::max<std::int64_t>(100, options.stall.count() * 2));
  load.evaluation_limit_ms = host.lane == Lane::slow || driver.evaluation_proven ? kEvaluationLimitMs : quick;
  const Limits& limits = driver.code->limits;
  load.call_limit_ms = static_cast<std::uint32_t>(std::clamp<std::int64_t>(limits.call.count(), 0, 3'600'000));
  load.result_limit = static_cast<std::uint32_t>(std::min(limits.result, options.result_limit));
  load.flags = static_cast<std::uint8_t>((driver.code->use_context ? wire::kUsesContext : 0) |
                                         (driver.code->trusted ? wire::kTrusted : 0));
  load.id = driver.code->id;
  load.source = driver.code->source;
  load.points_source = driver.code->extract_points_source;
  load.points_schema = driver.code->points_schema;
  wire::append(host.out, load);
}

void Engine::Impl::give(HostProcess& host, TaskPtr task) {
  const Job& job = task->job;
  if (task->inspect) {
    load_into(host, *task->driver);
    wire::append(host.out, wire::Inspect{task->id, task->driver->number});
    host.in_flight.push_back(std::move(task));
    return;
  }
  wire::Call call;
  call.job = task->id;
  call.number = task->driver->number;
  call.operation = static_cast<std::uint8_t>(job.operation);
  call.fport = job.input.fport.value_or(-1);
  call.time = job.input.time;
  std::optional<std::string> bytes;
  if (job.operation == Operation::encode_downlink || job.operation == Operation::extract_points) {
    call.data = job.input.data;
    if (call.data.empty())
      return finish(std::move(task), failed("com-5002", "driver internal error: Error: There is nothing to encode."));
  } else {
    bytes = from_hex(job.input.payload_hex);
    if (!bytes)
      return finish(std::move(task),
                    failed("com-5002", "driver internal error: Error: The payload is no hexadecimal text."));
    call.bytes = *bytes;
  }
  const std::string rest = rest_of(job.input);
  call.rest = rest;
  if (task->driver->code->use_context) call.context = job.input.context;
  load_into(host, *task->driver);
  wire::append(host.out, call);
  host.in_flight.push_back(std::move(task));
}

// False where the host broke the protocol.
bool Engine::Impl::take_answers(HostProcess& host) {
  while (const auto frame = host.reader.next()) {
    if (frame->type == wire::Type::ready) {
      const auto ready = wire::read_ready(frame->body);
      if (!ready || ready->version != wire::kVersion || host.ready) return false;
      became_ready(host);
      continue;
    }
    const auto answer = frame->type == wire::Type::result ? wire::read_answer(frame->body) : std::nullopt;
    if (!answer || !take_answer(host, *answer)) return false;
  }
  return !host.reader.broken();
}

bool Engine::Impl::take_answer(HostProcess& host, const wire::Answer& answer) {
  if (host.in_flight.empty() || host.in_flight.front()->id != answer.job) return false;
  TaskPtr task = std::move(host.in_flight.front());
  host.in_flight.pop_front();
  ++host.answered;
  DriverState& driver = *task->driver;
  const bool slow = host.lane == Lane::slow;
  const auto& device = task->job.input.dev_eui;
  switch (answer.status) {
    case wire::Status::done:
      if (slow) {
        evaluation_ended(driver);
        if (answer.cpu_us < std::chrono::microseconds(options.stall).count()) driver.was_quick(device);
      } else {
        driver.was_fast(device);
      }
      if (task->inspect) {
        finish_inspection(std::move(task), answer.text);
      } else {
        auto outcome = reader.read(answer.text, task->job.code->limits, &driver.told_points);
        outcome.time_us = answer.time_us;
        finish(std::move(task), std::move(outcome));
      }
      return true;
    case wire::Status::timed_out:
      if (slow) evaluation_ended(driver);
      driver.stalled(device, Steady::now());
      // The driver's own limit may be one that a fast host has already kept.
      if (const auto own = driver.code->limits.call; own.count() > 0 && own <= options.stall) {
        finish(std::move(task), timed_out(answer.time_us));
        return true;
      }
      [[fallthrough]];
    case wire::Status::evaluation_timed_out:
      if (slow) {
        finish(std::move(task), timed_out(answer.time_us));
      } else {
        stalls->add();
        driver.evaluation_stalled = driver.evaluation_stalled || answer.status == wire::Status::evaluation_timed_out;
        route_slow(std::move(task));
        take_back(host);
      }
      return true;
    case wire::Status::too_large:
      finish(std::move(task), too_large("result"));
      return true;
    case wire::Status::unknown_driver:
      return false;
  }
  return false;
}

// A stall can show that more of what a fast host was given is slow, each job a stall by itself to all behind it. Ending
// the host gives them all back, and dispatch sends each where it now belongs.
void Engine::Impl::take_back(HostProcess& host) {
  const auto now = Steady::now();
  const auto slow = std::count_if(host.in_flight.begin(), host.in_flight.end(), [&](const auto& task) {
    return task->driver->is_slow(task->job.input.dev_eui, now);
  });
  if (slow >= (count(Lane::spare) > 0 ? kTakeBack : kTakeBackWithoutSpare)) host.kill(Kill::stop);
}

// The driver's evaluation has come to its end within the full limit: from now on the fast hosts give it that much too.
void Engine::Impl::evaluation_ended(DriverState& driver) {
  if (!driver.evaluation_stalled || driver.evaluation_proven) return;
  driver.evaluation_proven = true;
  for (auto& host : hosts) {
    if (host->lane != Lane::slow) host->loaded.erase(driver.number);  // loading again replaces
  }
}

// Forgets drivers that nobody has used for long, or at all where their texts have become too much.
void Engine::Impl::tidy_drivers(Steady::time_point now) {
  std::size_t bytes = 0;
  for (const auto& [key, state] : drivers)
    bytes += state->code->source.size();
  for (auto entry = drivers.begin(); entry != drivers.end();) {
    DriverState& state = *entry->second;
    const bool crowded = bytes > kMaxSources && now - state.last_used > std::chrono::seconds(1);
    const bool single = state.code->id.empty() && now - state.last_used > std::chrono::seconds(10);
    if (state.in_use != 0 || (!crowded && !single && now - state.last_used < kForgetAfter)) {
      ++entry;
      continue;
    }
    for (auto& host : hosts) {
      if (host->loaded.erase(state.number) != 0) wire::append(host->out, wire::Unload{state.number});
    }
    if (last_state == &state) last_state = nullptr;
    entry = drivers.erase(entry);
  }
}

}  // namespace sluice::driver
