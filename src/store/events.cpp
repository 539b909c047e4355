// SPDX-License-Identifier: Apache-2.0
#include "store/events.h"

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

constexpr std::size_t kMaxWaiting = 10'000;
// Kinds of events folded at a time; over it they are written one by one.
constexpr std::size_t kMaxFolds = 10'000;
constexpr UnixMillis kFoldFor = 60'000;
constexpr UnixMillis kUpdateFor = 24LL * 3600 * 1000;
constexpr auto kGather = std::chrono::milliseconds(200);
constexpr auto kFlushLimit = std::chrono::seconds(5);
constexpr auto kRetryAfter = std::chrono::seconds(1);

// What makes two events alike. One without a cause is told apart by its text, one of the audit by its own id.
std::string fold_key(const Event& event) {
  std::string key;
  auto cause = json::text_or(event.data, "cause");
  for (const auto& part : {event.account, event.code, json::text_or(event.data, "connectionId"),
                           json::text_or(event.data, "flowId"), json::text_or(event.data, "driverId"),
                           json::text_or(event.data, "auditId"), cause.empty() ? event.message : cause}) {
    key += part;
    key += '\0';
  }
  return key;
}

}  // namespace

// Invariant: the writer's thread alone touches `folds` and `updates`; everything else below is guarded by `mutex`. No
// lock is held while the store writes.
struct Events::Impl {
  struct Fold {
    Event event;  // with the row's id once it is written
    std::int64_t count = 0;
    bool dirty = false;  // not in the store as it is here
  };
  // An event that changes. `at`: when it last did.
  struct Update {
    Event event;
    UnixMillis at = 0;
    bool dirty = false;
  };

  Impl(Store& store, Clock& clock, Metrics& metrics)
      : store(store),
        clock(clock),
        dropped(metrics.counter("sluice_store_events_dropped_total", "Events dropped because too many were waiting")) {
    thread = std::thread([this] { run(); });
  }

  void run() {
    for (;;) {
      std::vector<Event> batch;
      std::unordered_map<std::string, Event> changes;
      std::uint64_t upto = 0;
      {
        std::unique_lock lock(mutex);
        wake.wait(lock, [&] { return stopping || !waiting.empty() || !changed.empty(); });
        // A driver that fails with each message changes its event thousands of times a second: one write for all.
        if (waiting.empty() && !changed.empty()) {
          wake.wait_for(lock, kGather, [&] { return stopping || !waiting.empty() || asked > written; });
        }
        if (waiting.empty() && changed.empty()) return;
        batch.swap(waiting);
        changes.swap(changed);
        upto = added;
      }
      fold(std::move(batch));
      take(std::move(changes));
      bool stop_after = write();
      {
        std::lock_guard lock(mutex);
        written = upto;
      }
      idle.notify_all();
      if (stop_after) return;
    }
  }

  void fold(std::vector<Event> batch) {
    auto now = clock.now();
    std::erase_if(folds, [&](const auto& entry) {
      // A clock set back would keep a fold for ever; its age is then negative.
      auto age = now - entry.second.event.time;
      return !entry.second.dirty && (age >= kFoldFor || age < 0);
    });
    for (auto& event : batch) {
      auto key = fold_key(event);
      auto weight = json::int_or(event.data, "count", 1);
      auto found = folds.find(key);
      if (found != folds.end() && event.time - found->second.event.time < kFoldFor) {
        auto& fold = found->second;
        fold.count += weight;
        fold.event.level = std::move(event.level);
        fold.event.message = std::move(event.message);
        fold.event.data = std::move(event.data);
        fold.event.data["count"] = fold.count;
        fold.dirty = true;
        continue;
      }
      if (found != folds.end() || folds.size() >= kMaxFolds) key += "#" + std::to_string(++unfolded);
      folds.emplace(std::move(key), Fold{.event = std::move(event), .count = weight, .dirty = true});
    }
  }

  void take(std::unordered_map<std::string, Event> changes) {
    auto now = clock.now();
    std::erase_if(updates, [&](const auto& entry) {
      auto age = now - entry.second.at;
      return !entry.second.dirty && (age >= kUpdateFor || age < 0);
    });
    for (auto& [key, event] : changes) {
      auto found = updates.find(key);
      if (found == updates.end()) {
        if (updates.size() >= kMaxFolds) {
          // Forgetting one costs no more than a further event.
          auto any = std::find_if(updates.begin(), updates.end(), [](const auto& e) { return !e.second.dirty; });
          if (any != updates.end()) updates.erase(any);
        }
        updates.emplace(key, Update{.event = std::move(event), .at = now, .dirty = true});
        continue;
      }
      auto& kept = found->second;
      kept.event.level = std::move(event.level);
      kept.event.message = std::move(event.message);
      kept.event.data = std::move(event.data);
      kept.at = now;
      kept.dirty = true;
    }
  }

  // Writes what is dirty; repeats while the disk fails. True: given up because of the end.
  bool write() {
    std::vector<Event> events;
    std::vector<std::pair<Event*, bool*>> sources;
    auto collect = [&](auto& all) {
      for (auto& [key, item] : all) {
        if (!item.dirty) continue;
        events.push_back(item.event);
        sources.emplace_back(&item.event, &item.dirty);
      }
    };
    collect(folds);
    collect(updates);
    for (bool told = false;; told = true) {
      auto ids = store.put_events(events);
      if (ids) {
        for (std::size_t i = 0; i < sources.size(); ++i) {
          sources[i].first->id = (*ids)[i];
          *sources[i].second = false;
        }
        tell(events, *ids);
        return false;
      }
      if (!told) log::error("events cannot be stored for now: {}", ids.error().text);
      std::unique_lock lock(mutex);
      if (wake.wait_for(lock, kRetryAfter, [&] { return stopping; })) {
        dropped->add(static_cast<std::int64_t>(events.size()));
        return true;
      }
    }
  }

  // No lock is held while those who watch are called.
  void tell(std::vector<Event>& written, const std::vector<std::int64_t>& ids) {
    std::vector<std::shared_ptr<Look>> looks;
    {
      std::lock_guard lock(watch_mutex);
      std::erase_if(watchers, [](const auto& weak) { return weak.expired(); });
      for (const auto& weak : watchers) {
        if (auto look = weak.lock()) looks.push_back(std::move(look));
      }
    }
    if (looks.empty()) return;
    // Rows of one writing come out of hash tables: in order of their ids the stream is in order of time.
    std::vector<std::size_t> order(written.size());
    for (std::size_t i = 0; i < order.size(); ++i)
      order[i] = i;
    std::sort(order.begin(), order.end(), [&](std::size_t a, std::size_t b) { return ids[a] < ids[b]; });
    for (auto i : order) {
      bool again = written[i].id != 0;
      written[i].id = ids[i];
      for (const auto& look : looks)
        (*look)(written[i], again);
    }
  }

  Store& store;
  Clock& clock;
  std::shared_ptr<Metrics::Value> dropped;
  std::mutex watch_mutex;
  std::vector<std::weak_ptr<Look>> watchers;

  std::mutex mutex;
  std::condition_variable wake, idle;
  std::vector<Event> waiting;
  std::unordered_map<std::string, Event> changed;  // by key: the newest form alone
  std::uint64_t added = 0, written = 0, asked = 0;
  bool stopping = false;

  std::unordered_map<std::string, Fold> folds;
  std::unordered_map<std::string, Update> updates;
  std::uint64_t unfolded = 0;
  std::thread thread;
};

Events::Events(Store& store, Clock& clock, Metrics& metrics) : impl_(std::make_unique<Impl>(store, clock, metrics)) {}

Events::~Events() {
  {
    std::lock_guard lock(impl_->mutex);
    impl_->stopping = true;
  }
  impl_->wake.notify_all();
  impl_->thread.join();
}

void Events::add(std::string account, std::string level, std::string code, std::string message,
                 boost::json::object data) {
  {
    std::lock_guard lock(impl_->mutex);
    if (impl_->stopping || impl_->waiting.size() >= kMaxWaiting) {
      impl_->dropped->add();
      return;
    }
    impl_->waiting.push_back(Event{.account = std::move(account),
                                   .time = impl_->clock.now(),
                                   .level = std::move(level),
                                   .code = std::move(code),
                                   .message = std::move(message),
                                   .data = std::move(data)});
    ++impl_->added;
  }
  impl_->wake.notify_one();
}

void Events::update(std::string key, std::string account, std::string level, std::string code, std::string message,
                    boost::json::object data) {
  Event event{.account = std::move(account),
              .time = impl_->clock.now(),
              .level = std::move(level),
              .code = std::move(code),
              .message = std::move(message),
              .data = std::move(data)};
  bool first = false;
  {
    std::lock_guard lock(impl_->mutex);
    if (impl_->stopping || (impl_->changed.size() >= kMaxWaiting && !impl_->changed.contains(key))) {
      impl_->dropped->add();
      return;
    }
    first = impl_->changed.empty();
    auto [place, made] = impl_->changed.try_emplace(std::move(key), event);
    if (!made) {
      event.time = place->second.time;
      place->second = std::move(event);
    }
    ++impl_->added;
  }
  if (first) impl_->wake.notify_one();
}

std::shared_ptr<void> Events::watch(Look look) {
  auto made = std::make_shared<Look>(std::move(look));
  std::lock_guard lock(impl_->watch_mutex);
  impl_->watchers.push_back(made);
  return made;
}

void Events::flush() {
  std::unique_lock lock(impl_->mutex);
  auto upto = impl_->added;
  impl_->asked = std::max(impl_->asked, upto);
  impl_->wake.notify_one();
  impl_->idle.wait_for(lock, kFlushLimit, [&] { return impl_->written >= upto; });
}

}  // namespace sluice::store
