// SPDX-License-Identifier: Apache-2.0
#include "store/driver_log.h"

#include <algorithm>
#include <chrono>
#include <condition_variable>
#include <mutex>
#include <thread>
#include <unordered_map>
#include <vector>

#include "base/json.h"
#include "base/log.h"

namespace sluice::store {
namespace {

constexpr std::size_t kMaxWaiting = 5'000;
constexpr std::size_t kMaxBytes = 8u << 20;
constexpr double kPerSecond = 20;
// Drivers whose rate is known; those that have been silent for a second are forgotten first.
constexpr std::size_t kMaxRates = 10'000;
constexpr auto kGather = std::chrono::milliseconds(200);
constexpr auto kFlushLimit = std::chrono::seconds(5);
constexpr auto kRetryAfter = std::chrono::seconds(1);

std::string rate_key(const std::string& account, const std::string& driver_id, bool by_hand) {
  return account + '\0' + driver_id + '\0' + (by_hand ? 'h' : 'm');
}

}  // namespace

// Everything is guarded by `mutex`, which is not held while the store writes.
struct DriverLog::Impl {
  struct Rate {
    double tokens = kPerSecond;
    std::chrono::steady_clock::time_point at;
    std::int64_t dropped = 0;
  };

  Impl(Store& store, Clock& clock, Metrics& metrics)
      : store(store),
        clock(clock),
        dropped(metrics.counter("sluice_store_driver_log_dropped_total",
                                "Entries of drivers' logs dropped, for their rate or because too many were waiting.")) {
    thread = std::thread([this] { run(); });
  }

  bool admit(const std::string& key) {
    auto now = clock.steady();
    std::lock_guard lock(mutex);
    if (rates.size() >= kMaxRates && !rates.contains(key)) {
      std::erase_if(rates, [&](const auto& entry) {
        return entry.second.dropped == 0 && now - entry.second.at > std::chrono::seconds(1);
      });
      if (rates.size() >= kMaxRates) rates.clear();
    }
    auto [found, made] = rates.try_emplace(key);
    auto& rate = found->second;
    if (!made) {
      auto passed = std::max(std::chrono::duration<double>(now - rate.at).count(), 0.0);
      rate.tokens = std::min(rate.tokens + passed * kPerSecond, kPerSecond);
    }
    rate.at = now;
    if (rate.tokens < 1) {
      ++rate.dropped;
      dropped->add();
      return false;
    }
    rate.tokens -= 1;
    return true;
  }

  void run() {
    for (;;) {
      std::vector<DriverLogEntry> batch;
      std::uint64_t upto = 0;
      {
        std::unique_lock lock(mutex);
        wake.wait(lock, [&] { return stopping || !waiting.empty(); });
        // What comes together costs one sync.
        wake.wait_for(lock, kGather, [&] { return stopping || asked > written || waiting.size() >= kMaxWaiting / 2; });
        if (waiting.empty()) return;
        batch.swap(waiting);
        bytes = 0;
        upto = added;
      }
      bool stop_after = write(batch);
      {
        std::lock_guard lock(mutex);
        written = upto;
      }
      idle.notify_all();
      if (stop_after) return;
    }
  }

  // Repeats while the disk fails. True: given up because of the end.
  bool write(const std::vector<DriverLogEntry>& batch) {
    for (bool told = false;; told = true) {
      auto put = store.put_driver_log(batch);
      if (put) return false;
      if (!told) log::error("drivers' logs cannot be stored for now: {}", put.error().text);
      std::unique_lock lock(mutex);
      if (wake.wait_for(lock, kRetryAfter, [&] { return stopping; })) {
        dropped->add(static_cast<std::int64_t>(batch.size()));
        return true;
      }
    }
  }

  Store& store;
  Clock& clock;
  std::shared_ptr<Metrics::Value> dropped;

  std::mutex mutex;
  std::condition_variable wake, idle;
  std::unordered_map<std::string, Rate> rates;
  std::vector<DriverLogEntry> waiting;
  std::size_t bytes = 0;
  std::uint64_t added = 0, written = 0, asked = 0;
  bool stopping = false;
  std::thread thread;
};

DriverLog::DriverLog(Store& store, Clock& clock, Metrics& metrics)
    : impl_(std::make_unique<Impl>(store, clock, metrics)) {}

DriverLog::~DriverLog() {
  {
    std::lock_guard lock(impl_->mutex);
    impl_->stopping = true;
  }
  impl_->wake.notify_all();
  impl_->thread.join();
}

bool DriverLog::admit(const std::string& account, const std::string& driver_id, bool by_hand) {
  return impl_->admit(rate_key(account, driver_id, by_hand));
}

void DriverLog::add(DriverLogEntry entry, bool by_hand) {
  entry.time = impl_->clock.now();
  {
    std::lock_guard lock(impl_->mutex);
    auto rate = impl_->rates.find(rate_key(entry.account, entry.driver_id, by_hand));
    if (rate != impl_->rates.end() && rate->second.dropped > 0) {
      entry.data["dropped"] = rate->second.dropped;
      rate->second.dropped = 0;
    }
    auto size = json::write(entry.data).size();
    if (impl_->stopping || impl_->waiting.size() >= kMaxWaiting || impl_->bytes + size > kMaxBytes) {
      impl_->dropped->add();
      return;
    }
    impl_->bytes += size;
    impl_->waiting.push_back(std::move(entry));
    ++impl_->added;
    if (impl_->waiting.size() != 1 && impl_->waiting.size() < kMaxWaiting / 2) return;
  }
  impl_->wake.notify_one();
}

void DriverLog::flush() {
  std::unique_lock lock(impl_->mutex);
  auto upto = impl_->added;
  impl_->asked = std::max(impl_->asked, upto);
  impl_->wake.notify_one();
  impl_->idle.wait_for(lock, kFlushLimit, [&] { return impl_->written >= upto; });
}

}  // namespace sluice::store
