// SPDX-License-Identifier: Apache-2.0
#include "driver/contexts.h"

#include <algorithm>
#include <condition_variable>
#include <deque>
#include <list>
#include <mutex>
#include <thread>
#include <unordered_map>
#include <utility>

#include "base/codec.h"
#include "base/log.h"
#include "driver/outcome.h"

namespace sluice::driver {
namespace {

constexpr std::size_t kMaxCacheBytes = 64u << 20;
constexpr std::size_t kEntryOverhead = 200;  // bytes of a cached context beside its text
constexpr auto kTidyEvery = std::chrono::minutes(10);
constexpr auto kRetryAfter = std::chrono::seconds(1);
constexpr UnixMillis kLife = std::chrono::duration_cast<std::chrono::milliseconds>(store::kContextLife).count();

// DevEUIs compare without case and dashes (spec drivers.md 10).
std::string plain(std::string_view dev_eui) {
  std::string out = to_upper(dev_eui);
  std::erase_if(out, [](char c) { return c == '-' || c == ':'; });
  return out;
}

std::string text_of(const store::ContextKey& key) {
  return key.account + '\0' + key.dev_eui;
}

Outcome not_running() {
  return failed("com-5004", "driver internal error: Error: The driver engine is not running.");
}

}  // namespace

struct Contexts::Impl {
  struct Answer {
    std::string key;
    Outcome outcome;
  };
  // What the engine's callbacks may touch; they can come after this has gone.
  struct Inbox {
    std::mutex mutex;
    std::condition_variable changed;
    std::vector<Job> jobs;
    std::vector<Answer> answers;
    std::size_t waiting = 0;  // jobs not done
    bool closed = false;      // takes no more
    bool stopping = false;    // ends when nothing is with the engine
  };
  // One device with calls.
  struct Line {
    store::ContextKey key;
    std::deque<Job> waiting;
    std::function<void(Outcome)> done;  // of the call with the engine; none: no call is there
    bool writes = false;                // that call's context is kept
  };
  struct Cached {
    store::DeviceContext context;
    bool dirty = false;  // not in the store yet
    std::list<std::string>::iterator recent;
  };

  Impl(store::DeviceContexts& given, Clock& of, Metrics& metrics, std::size_t limit, Submit to)
      : store(given), clock(of), queue_limit(limit), submit(std::move(to)) {
    writes = metrics.counter("sluice_driver_context_writes_total", "Device contexts written.");
    faults = metrics.counter("sluice_driver_context_faults_total", "Reads and writes of device contexts that failed.");
    thread = std::thread([this] { run(); });
  }

  void run() {
    auto next_tidy = std::chrono::steady_clock::now();
    for (;;) {
      std::vector<Job> jobs;
      std::vector<Answer> answers;
      {
        std::unique_lock lock(inbox->mutex);
        inbox->changed.wait_for(lock, dirty.empty() ? std::chrono::seconds(30) : kRetryAfter,
                                [&] { return !inbox->jobs.empty() || !inbox->answers.empty() || inbox->stopping; });
        if (inbox->stopping && with_engine == 0 && inbox->jobs.empty() && inbox->answers.empty()) break;
        jobs.swap(inbox->jobs);
        answers.swap(inbox->answers);
      }
      std::vector<std::string> ready;
      take_answers(std::move(answers), ready);
      for (auto& job : jobs)
        take_job(std::move(job), ready);
      start(std::move(ready));
      const auto now = std::chrono::steady_clock::now();
      if (now >= next_tidy) {
        next_tidy = now + kTidyEvery;
        tidy();
      }
    }
    for (auto& [key, line] : lines) {
      for (auto& job : line.waiting)
        job.done(not_running());
    }
    write_dirty();
  }

  void take_job(Job job, std::vector<std::string>& ready) {
    store::ContextKey key{job.code->account, plain(job.input.dev_eui)};
    // A person's own call changes nothing, so it waits for nobody.
    std::string name = text_of(key);
    if (job.by_hand) name += '\0' + std::to_string(++by_hand);
    auto& line = lines[name];
    line.key = std::move(key);
    line.waiting.push_back(std::move(job));
    if (!line.done && line.waiting.size() == 1) ready.push_back(std::move(name));
  }

  // Writes what the calls left, in one transaction, and only then tells that they are done.
  void take_answers(std::vector<Answer> answers, std::vector<std::string>& ready) {
    with_engine -= answers.size();
    for (auto& answer : answers) {
      Line& line = lines.at(answer.key);
      if (line.writes && answer.outcome.context) keep({line.key, *answer.outcome.context, clock.now()}, true);
    }
    write_dirty();
    for (auto& answer : answers) {
      const auto found = lines.find(answer.key);
      std::exchange(found->second.done, nullptr)(std::move(answer.outcome));
      if (found->second.waiting.empty()) {
        lines.erase(found);
      } else {
        ready.push_back(std::move(answer.key));
      }
    }
    if (answers.empty()) return;
    const std::lock_guard lock(inbox->mutex);
    inbox->waiting -= answers.size();
  }

  // Sends the first call of each of these lines to the engine.
  void start(std::vector<std::string> ready) {
    std::vector<store::ContextKey> unknown;
    for (const auto& name : ready) {
      const auto& key = lines.at(name).key;
      if (!cache.contains(text_of(key))) unknown.push_back(key);
    }
    bool readable = true;
    if (!unknown.empty()) {
      auto found = store.read(unknown);
      readable = found.has_value();
      if (readable) {
        for (auto& context : *found)
          keep(std::move(context), false);
      } else {
        faults->add();
        log::warn("contexts of devices cannot be read, their drivers start from none: {}", found.error().text);
      }
    }
    std::vector<Job> jobs;
    for (auto& name : ready) {
      Line& line = lines.at(name);
      Job job = std::move(line.waiting.front());
      line.waiting.pop_front();
      const auto cached = cache.find(text_of(line.key));
      const bool known = cached != cache.end();
      line.writes = !job.by_hand && (known || readable);
      if (known && clock.now() - cached->second.context.written <= kLife)
        job.input.context = cached->second.context.text;
      line.done = std::move(job.done);
      job.done = [inbox = inbox, name = std::move(name)](Outcome outcome) {
        const std::lock_guard lock(inbox->mutex);
        inbox->answers.push_back({name, std::move(outcome)});
        inbox->changed.notify_one();
      };
      jobs.push_back(std::move(job));
    }
    with_engine += jobs.size();
    if (!jobs.empty()) submit(std::move(jobs));
  }

  void keep(store::DeviceContext context, bool changed) {
    std::string name = text_of(context.key);
    auto [entry, fresh] = cache.try_emplace(std::move(name));
    Cached& cached = entry->second;
    if (fresh) {
      recent.push_front(entry->first);
      cached.recent = recent.begin();
      cache_bytes += kEntryOverhead;
    } else {
      recent.splice(recent.begin(), recent, cached.recent);
      cache_bytes -= cached.context.text.size();
    }
    cache_bytes += context.text.size();
    cached.context = std::move(context);
    if (changed && !cached.dirty) {
      cached.dirty = true;
      dirty.push_back(entry->first);
    }
    while (cache_bytes > kMaxCacheBytes && recent.size() > 1) {
      const auto oldest = cache.find(recent.back());
      if (oldest->second.dirty) break;  // the store is away: better over the bound than lost
      cache_bytes -= oldest->second.context.text.size() + kEntryOverhead;
      recent.pop_back();
      cache.erase(oldest);
    }
  }

  void write_dirty() {
    if (dirty.empty()) return;
    std::vector<store::DeviceContext> contexts;
    contexts.reserve(dirty.size());
    for (const auto& name : dirty)
      contexts.push_back(cache.at(name).context);
    if (auto written = store.write(contexts); !written) {
      faults->add();
      if (!told) log::error("contexts of devices cannot be written, trying again: {}", written.error().text);
      told = true;
      return;
    }
    told = false;
    writes->add(static_cast<std::int64_t>(contexts.size()));
    for (const auto& name : dirty)
      cache.at(name).dirty = false;
    dirty.clear();
  }

  void tidy() {
    if (auto dropped = store.drop_older(clock.now() - kLife); !dropped) {
      faults->add();
      log::warn("old contexts of devices cannot be dropped: {}", dropped.error().text);
    }
  }

  store::DeviceContexts& store;
  Clock& clock;
  const std::size_t queue_limit;
  Submit submit;
  std::shared_ptr<Metrics::Value> writes, faults;
  std::shared_ptr<Inbox> inbox = std::make_shared<Inbox>();

  // The thread's alone.
  std::unordered_map<std::string, Line> lines;
  std::unordered_map<std::string, Cached> cache;
  std::list<std::string> recent;  // keys of the cache, latest first
  std::size_t cache_bytes = 0;
  std::vector<std::string> dirty;
  std::size_t with_engine = 0;
  std::uint64_t by_hand = 0;
  bool told = false;
  std::thread thread;
};

Contexts::Contexts(store::DeviceContexts& store, Clock& clock, Metrics& metrics, std::size_t queue_limit, Submit submit)
    : impl_(std::make_unique<Impl>(store, clock, metrics, queue_limit, std::move(submit))) {}

Contexts::~Contexts() {
  stop(true);
}

bool Contexts::concerns(const Job& job) {
  return job.code && job.code->use_context && job.input.context.empty() && !job.input.dev_eui.empty();
}

void Contexts::submit(std::vector<Job> jobs) {
  std::vector<Job> refused;
  bool closed = false;
  {
    const std::lock_guard lock(impl_->inbox->mutex);
    auto& inbox = *impl_->inbox;
    closed = inbox.closed;
    for (auto& job : jobs) {
      if (closed || inbox.waiting >= impl_->queue_limit) {
        refused.push_back(std::move(job));
      } else {
        ++inbox.waiting;
        inbox.jobs.push_back(std::move(job));
      }
    }
    inbox.changed.notify_one();
  }
  for (auto& job : refused)
    job.done(closed ? not_running() : timed_out());
}

void Contexts::stop(bool finish) {
  {
    const std::lock_guard lock(impl_->inbox->mutex);
    impl_->inbox->closed = true;
    if (finish) impl_->inbox->stopping = true;
    impl_->inbox->changed.notify_one();
  }
  if (finish && impl_->thread.joinable()) impl_->thread.join();
}

}  // namespace sluice::driver
