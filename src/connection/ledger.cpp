// SPDX-License-Identifier: Apache-2.0
#include "connection/ledger.h"

#include <algorithm>
#include <utility>

#include "base/log.h"

namespace sluice::connection {
namespace {

constexpr UnixMillis kMinuteMillis = 60'000;
constexpr std::chrono::hours kTidy{24};

// The counters, then the classes of latency.
std::vector<std::uint64_t> numbers(const MinuteCounts& minute) {
  std::vector<std::uint64_t> all(minute.counts.begin(), minute.counts.end());
  all.insert(all.end(), minute.latencies.begin(), minute.latencies.end());
  return all;
}

MinuteCounts counts_of(const store::CounterStep& step) {
  MinuteCounts minute;
  minute.minute = step.time / kMinuteMillis;
  for (std::size_t i = 0; i < step.counts.size(); ++i) {
    if (i < kCounters)
      minute.counts[i] = step.counts[i];
    else if (i - kCounters < minute.latencies.size())
      minute.latencies[i - kCounters] = static_cast<std::uint32_t>(step.counts[i]);
  }
  return minute;
}

void add_to(MinuteCounts& sum, const MinuteCounts& more) {
  for (std::size_t i = 0; i < kCounters; ++i)
    sum.counts[i] += more.counts[i];
  for (std::size_t i = 0; i < sum.latencies.size(); ++i)
    sum.latencies[i] += more.latencies[i];
}

boost::json::value latency(const Latencies& latencies, double share) {
  if (std::all_of(latencies.begin(), latencies.end(), [](auto n) { return n == 0; })) return nullptr;
  return quantile(latencies, share) * 1000;
}

boost::json::object shown(const MinuteCounts& step) {
  auto of = [&](Counter counter) { return step.counts[static_cast<std::size_t>(counter)]; };
  return {{"uplinks", of(Counter::uplinks)},
          {"uplinksDelivered", of(Counter::uplinks_delivered)},
          {"uplinksFailed", of(Counter::uplinks_failed)},
          {"uplinksLost", of(Counter::uplinks_lost)},
          {"uplinksFiltered", of(Counter::uplinks_filtered)},
          {"uplinksExpired", of(Counter::uplinks_expired)},
          {"uplinksDropped", of(Counter::uplinks_dropped)},
          {"downlinks", of(Counter::downlinks)},
          {"downlinksFailed", of(Counter::downlinks_failed)},
          {"downlinksLost", of(Counter::downlinks_lost)},
          {"bytes", of(Counter::uplink_bytes)},
          {"latencyP50Ms", latency(step.latencies, 0.5)},
          {"latencyP99Ms", latency(step.latencies, 0.99)}};
}

}  // namespace

Ledger::~Ledger() {
  stop();
}

void Ledger::start(std::chrono::milliseconds every) {
  if (counters_ == nullptr) return;
  if (auto tidied = tidy(); !tidied) {
    log::warn("old counters of connections could not be dropped: {}", tidied.error().text);
  }
  thread_ = std::thread([this, every] { run(every); });
}

void Ledger::stop() {
  {
    std::lock_guard lock(mutex_);
    if (stopping_) return;
    stopping_ = true;
  }
  wake_.notify_all();
  if (thread_.joinable()) thread_.join();
  if (auto written = flush(); !written) log::warn("counters could not be written: {}", written.error().text);
}

void Ledger::run(std::chrono::milliseconds every) {
  bool failing = false;
  auto tidied = clock_.steady();
  std::unique_lock lock(mutex_);
  while (!wake_.wait_for(lock, every, [this] { return stopping_; })) {
    lock.unlock();
    auto written = flush();
    if (written && clock_.steady() - tidied >= kTidy) {
      tidied = clock_.steady();
      written = tidy();
    }
    if (!written && !failing) log::warn("counters could not be written: {}", written.error().text);
    failing = !written;
    lock.lock();
  }
}

Result<void> Ledger::tidy() {
  std::lock_guard writing(writing_);
  std::vector<std::uint64_t> known;
  {
    std::lock_guard lock(mutex_);
    for (const auto& [connection, windows] : windows_)
      known.push_back(connection);
  }
  return counters_->tidy(known, clock_.now());
}

void Ledger::restore(std::uint64_t connection, Windows& windows) {
  if (counters_ == nullptr) return;
  auto now = clock_.now();
  auto from = now - std::chrono::milliseconds(store::Counters::kept(store::Counters::kMinute)).count();
  auto steps = counters_->steps(connection, store::Counters::kMinute, from, now + kMinuteMillis);
  auto seen = counters_->seen(connection, from / kMinuteMillis + 1);
  if (!steps || !seen) {
    log::warn("counters of connection {} could not be read: {}", connection,
              !steps ? steps.error().text : seen.error().text);
    return;
  }
  std::vector<MinuteCounts> minutes;
  for (const auto& step : *steps)
    minutes.push_back(counts_of(step));
  std::vector<Devices::Seen> devices;
  for (const auto& one : *seen)
    devices.push_back({one.cell, one.key, one.minute});
  windows.restore(minutes, devices);
}

void Ledger::add(std::uint64_t connection, std::shared_ptr<Windows> windows) {
  if (counters_ == nullptr) return;
  windows->keep_changes();
  std::lock_guard lock(mutex_);
  windows_[connection] = std::move(windows);
}

void Ledger::remove(std::uint64_t connection) {
  if (counters_ == nullptr) return;
  {
    std::lock_guard lock(mutex_);
    windows_.erase(connection);
  }
  std::lock_guard lock(writing_);  // a writing under way has it yet
  if (auto gone = counters_->forget(connection); !gone) {
    log::warn("counters of connection {} could not be dropped: {}", connection, gone.error().text);
  }
}

Result<void> Ledger::flush() {
  if (counters_ == nullptr) return {};
  std::lock_guard writing(writing_);
  std::vector<std::pair<std::uint64_t, std::shared_ptr<Windows>>> all;
  {
    std::lock_guard lock(mutex_);
    all.assign(windows_.begin(), windows_.end());
  }
  struct Taken {
    std::shared_ptr<Windows> windows;
    Windows::Changes changes;
  };
  std::vector<Taken> taken;
  std::vector<store::CounterStep> minutes;
  std::vector<store::CounterSeen> seen;
  for (auto& [connection, windows] : all) {
    auto changes = windows->take();
    if (changes.empty()) continue;
    for (const auto& minute : changes.minutes)
      minutes.push_back({connection, minute.minute * kMinuteMillis, numbers(minute)});
    for (const auto& one : changes.seen)
      seen.push_back({connection, one.cell, one.key, one.minute});
    taken.push_back({std::move(windows), std::move(changes)});
  }
  auto written = counters_->add(minutes, seen, clock_.now());
  if (!written) {
    for (auto& one : taken)
      one.windows->put_back(std::move(one.changes));
  }
  return written;
}

Result<std::vector<SeriesPoint>> Ledger::series(std::uint64_t connection, UnixMillis from, UnixMillis to,
                                                std::chrono::minutes step) {
  auto kept = std::chrono::milliseconds(store::Counters::kept(step)).count();
  if (kept == 0) return Error{ErrorKind::permanent, "step must be 1m, 1h or 1d", "com-4000"};
  auto length = std::chrono::milliseconds(step).count();
  auto now = clock_.now();
  from = std::max<UnixMillis>({from, now - kept, 0});
  to = std::min(to, now + 1);
  from -= from % length;
  if (from >= to) return std::vector<SeriesPoint>{};

  std::map<UnixMillis, MinuteCounts> sums;
  std::lock_guard writing(writing_);
  if (counters_ != nullptr) {
    auto stored = counters_->steps(connection, step, from, to);
    if (!stored) return stored.error();
    for (const auto& one : *stored)
      sums[one.time] = counts_of(one);
  }
  std::shared_ptr<Windows> windows;
  {
    std::lock_guard lock(mutex_);
    if (auto found = windows_.find(connection); found != windows_.end()) windows = found->second;
  }
  if (windows) {
    for (const auto& minute : windows->unwritten()) {
      auto time = minute.minute * kMinuteMillis;
      time -= time % length;
      if (time >= from && time < to) add_to(sums[time], minute);
    }
  }
  std::vector<SeriesPoint> points;
  for (auto time = from; time < to; time += length) {
    auto found = sums.find(time);
    points.push_back({time, shown(found == sums.end() ? MinuteCounts{} : found->second)});
  }
  return points;
}

}  // namespace sluice::connection
