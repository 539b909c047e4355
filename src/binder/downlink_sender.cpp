// SPDX-License-Identifier: Apache-2.0
#include "binder/downlink_sender.h"

#include <algorithm>
#include <charconv>
#include <deque>
#include <map>
#include <random>
#include <unordered_map>

#include "base/codec.h"
#include "base/log.h"
#include "binder/answer_text.h"
#include "binder/later_thread.h"

namespace sluice::binder {
namespace {

using std::chrono::milliseconds;

constexpr milliseconds kFirstDelay = std::chrono::seconds(1);
constexpr milliseconds kMostDelay = std::chrono::minutes(1);
constexpr milliseconds kMostWish = std::chrono::minutes(5);  // of a network server's Retry-After
constexpr milliseconds kSweep = std::chrono::seconds(5);     // how late the end of a validity may be noticed

// Said by whoever stands in front of a network server that is not there, or by one that cannot take any more.
bool says_not_there(int status) {
  return status == 429 || status == 502 || status == 503 || status == 504;
}
bool worth_repeating(int status) {
  return status >= 500 || status == 429;
}

milliseconds retry_after(const HttpResponse& response) {
  auto text = response.header("retry-after");
  std::int64_t seconds = 0;
  auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), seconds);
  if (error != std::errc{} || end != text.data() + text.size() || seconds < 0) return {};
  return std::min<milliseconds>(std::chrono::seconds(std::min<std::int64_t>(seconds, 3600)), kMostWish);
}

DownlinkTransport transport_of(HttpClient& http) {
  DownlinkTransport transport;
  transport.send = [&http](HttpRequest request, std::function<void(Result<HttpResponse>)> done) {
    http.send(std::move(request), std::move(done));
  };
  transport.jitter = [] {
    thread_local std::minstd_rand random{std::random_device{}()};
    return std::uniform_real_distribution<double>(0, 1)(random);
  };
  return transport;
}

}  // namespace

// Invariants:
// 1. A device has a lane exactly while a downlink of it waits or is under way; only the front one is ever sent.
// 2. A front one is in exactly one of these: being stored, in `ready`, in flight, or waiting for a timer of its own.
// 3. A downlink leaves its lane once, under the mutex, by take_out(); whoever took it out tells its verdict.
// 4. The mutex is held over no call to the outside: what has to be called is gathered in Calls and called after it.
struct DownlinkSender::Impl : std::enable_shared_from_this<DownlinkSender::Impl> {
  struct Job {
    std::uint64_t id = 0;
    OutgoingDownlink out;
    UnixMillis queued = 0, expires = 0;
    bool stored = false, in_flight = false, ended = false;
    unsigned tries = 0;
    int last_status = 0;
    std::string last_error;
    milliseconds delay = kFirstDelay;
    std::function<void()> on_stored;
    Done done;  // empty once it was called
  };
  using JobPtr = std::shared_ptr<Job>;
  using Lane = std::deque<JobPtr>;
  using Calls = std::vector<std::function<void()>>;

  // A network server. open: as many as allowed; away: nobody, until the timer; probing: one.
  struct Server {
    enum class State : std::uint8_t { open, away, probing };
    State state = State::open;
    std::string cause;  // of being away
    milliseconds delay = kFirstDelay;
    std::unordered_map<std::string, Lane> lanes;  // by DevEUI
    std::deque<JobPtr> ready;
    std::size_t waiting = 0, in_flight = 0;
  };

  Impl(DownlinkTransport outside, store::DownlinkQueue& stored_queue, Find finder, DownlinkSettings given,
       store::Events& event_log, Clock& given_clock, Metrics& metrics)
      : transport(std::move(outside)),
        queue(stored_queue),
        find(std::move(finder)),
        settings(given),
        events(event_log),
        clock(given_clock) {
    auto by_result = [&](const char* result) {
      return metrics.counter("sluice_binder_downlinks_total", "Downlinks by what became of them at the network server.",
                             {{"result", result}});
    };
    accepted = by_result("accepted");
    refused = by_result("refused");
    unanswered = by_result("unanswered");
    expired = by_result("expired");
    busy = by_result("busy");
    purged = by_result("purged");
    repeats = metrics.counter("sluice_binder_downlink_repeats_total", "Downlinks sent again to a network server.");
    waiting_gauge = metrics.gauge("sluice_binder_downlinks_waiting",
                                  "Downlinks that wait for a network server or are under way to it.");
  }

  static void run(Calls& calls) {
    for (auto& call : calls)
      call();
  }

  void later(milliseconds delay, std::function<void(Impl&)> call) {
    transport.after(delay, [weak = weak_from_this(), call = std::move(call)] {
      if (auto self = weak.lock()) call(*self);
    });
  }

  milliseconds jittered(milliseconds delay) const {
    return milliseconds(static_cast<std::int64_t>(static_cast<double>(delay.count()) * (0.5 + transport.jitter() / 2)));
  }

  // ---- coming in

  Result<void> start(Settled handler) {
    auto rows = queue.read();
    if (!rows) return rows.error().wrap("reading the downlinks that wait");
    Calls calls;
    {
      std::lock_guard lock(mutex);
      settled = std::move(handler);
      for (auto& row : *rows) {
        next_id = std::max(next_id, row.id + 1);
        auto downlink = message::read_downlink(row.text);
        if (!downlink) {
          log::error("downlink {} of connection {} is lost: {}", row.id, row.connection_id, downlink.error().text);
          removed.push_back(row.id);
          continue;
        }
        auto job = std::make_shared<Job>();
        job->id = row.id;
        job->out = {std::move(row.account), std::move(row.connection_id), std::move(row.binder_id),
                    std::move(*downlink), true};
        job->queued = row.queued;
        job->expires = row.expires;
        job->stored = true;
        add(job);
      }
      for (auto& [id, server] : servers) {
        for (auto& [device, lane] : server.lanes)
          server.ready.push_back(lane.front());
        std::sort(server.ready.begin(), server.ready.end(),
                  [](const auto& one, const auto& other) { return one->id < other->id; });
        pump(server, calls);
      }
      if (!removed.empty()) flush_soon(calls);
    }
    run(calls);
    later(kSweep, [](Impl& self) { self.sweep(); });
    return {};
  }

  // Invariant 1; true when it is the front one.
  bool add(const JobPtr& job) {
    auto& server = servers[job->out.binder_id];
    auto& lane = server.lanes[job->out.downlink.dev_eui];
    lane.push_back(job);
    ++server.waiting;
    waiting_gauge->set(static_cast<std::int64_t>(++waiting));
    return lane.size() == 1;
  }

  void send(OutgoingDownlink out, std::function<void()> on_stored, Done done) {
    auto job = std::make_shared<Job>();
    job->out = std::move(out);
    job->on_stored = std::move(on_stored);
    job->done = std::move(done);
    job->queued = clock.now();
    job->expires = job->queued + settings.expiry.count();
    if (const auto& until = job->out.downlink.valid_until) job->expires = *until;
    Calls calls;
    {
      std::lock_guard lock(mutex);
      auto& server = servers[job->out.binder_id];
      if (closed || server.waiting >= settings.max_queued) {
        busy->add();
        auto why = closed ? "the engine is stopping" : "too many downlinks wait for this network server";
        calls.push_back([job, why] { job->done({DownlinkAnswer::Verdict::full, 503, why, 0}); });
      } else {
        job->id = next_id++;
        bool front = add(job);
        if (job->out.keep) {
          added.push_back(job);
          flush_soon(calls);
        } else if (server.state == Server::State::away) {
          end(server, job, {DownlinkAnswer::Verdict::no_answer, 0, server.cause, 0}, calls);
        } else if (front) {
          server.ready.push_back(job);
          pump(server, calls);
        }
      }
    }
    run(calls);
  }

  // ---- the disk

  // Has what is new and what is settled written: one synced commit for all that comes while one is under way.
  void flush_soon(Calls& calls) {
    if (writing) return;
    writing = true;
    calls.push_back([self = shared_from_this()] {
      self->transport.on_disk([weak = self->weak_from_this()] {
        if (auto impl = weak.lock()) impl->flush();
      });
    });
  }

  void flush() {
    for (;;) {
      std::vector<JobPtr> jobs;
      std::vector<std::uint64_t> ids;
      std::vector<store::QueuedDownlinkRow> rows;
      {
        std::lock_guard lock(mutex);
        if (added.empty() && removed.empty()) {
          writing = false;
          changed.notify_all();
          return;
        }
        jobs.swap(added);
        ids.swap(removed);
        for (const auto& job : jobs) {
          rows.push_back({job->id, job->out.account, job->out.connection_id, job->out.binder_id, job->queued,
                          job->expires, message::write_downlink(job->out.downlink)});
        }
      }
      auto written = queue.write(rows, ids);
      Calls calls;
      bool stop_here = false;
      {
        std::lock_guard lock(mutex);
        for (const auto& job : jobs)
          written ? is_stored(job, calls) : not_stored(job, written.error(), calls);
        if (!written) {
          log::error("downlinks cannot be written: {}", written.error().text);
          removed.insert(removed.end(), ids.begin(), ids.end());
          // Nobody waits for the notes of what is settled: they are written with the next, or a moment later.
          stop_here = added.empty();
          if (stop_here) {
            writing = false;
            changed.notify_all();
          }
        }
      }
      run(calls);
      if (!stop_here) continue;
      later(kFirstDelay, [](Impl& self) {
        Calls again;
        {
          std::lock_guard lock(self.mutex);
          if (!self.removed.empty()) self.flush_soon(again);
        }
        run(again);
      });
      return;
    }
  }

  void is_stored(const JobPtr& job, Calls& calls) {
    job->stored = true;
    if (job->on_stored) calls.push_back(std::exchange(job->on_stored, nullptr));
    auto& server = servers[job->out.binder_id];
    auto& lane = server.lanes[job->out.downlink.dev_eui];
    if (lane.front() == job) {
      server.ready.push_back(job);
      pump(server, calls);
    }
    if (server.state == Server::State::away) {
      tell_pending(*job, calls);
    } else if (job->done) {
      calls.push_back([self = shared_from_this(), job] {
        self->later(self->settings.patience, [weak = std::weak_ptr(job)](Impl& impl) {
          Calls told;
          if (auto late = weak.lock()) {
            std::lock_guard lock(impl.mutex);
            if (!late->ended) impl.tell_pending(*late, told);
          }
          run(told);
        });
      });
    }
  }

  void not_stored(const JobPtr& job, const Error& error, Calls& calls) {
    auto& server = servers[job->out.binder_id];
    end(server, job, {DownlinkAnswer::Verdict::full, 503, "it cannot be stored: " + error.text, 0}, calls);
  }

  // ---- going out

  // Starts what may be started.
  void pump(Server& server, Calls& calls) {
    while (!closed && !server.ready.empty()) {
      auto places = server.state == Server::State::open      ? settings.in_flight
                    : server.state == Server::State::probing ? std::size_t{1}
                                                             : std::size_t{0};
      if (server.in_flight >= places) return;
      auto job = std::move(server.ready.front());
      server.ready.pop_front();
      if (job->ended) continue;
      job->in_flight = true;
      // The time of a request is the time of this one, unless its caller has signed another.
      if (job->tries++ > 0 && job->out.downlink.token.empty()) job->out.downlink.time.clear();
      ++server.in_flight;
      ++in_flight;
      calls.push_back([self = shared_from_this(), job] { self->attempt(job); });
    }
  }

  void attempt(const JobPtr& job) {
    auto now = clock.now();
    if (now >= job->expires) return ended_unsent(job, expiry_answer(*job));
    auto binder = find(job->out.binder_id);
    if (!binder || binder->downlink_url.empty()) {
      return ended_unsent(job, {DownlinkAnswer::Verdict::not_there, 404,
                                "the network server is no longer attached, or takes no downlinks any more", 0});
    }
    if (job->tries > 1) repeats->add();
    const auto& url = binder->downlink_url;
    HttpRequest request;
    request.url =
        url + (url.find('?') == std::string::npos ? '?' : '&') + message::downlink_query(job->out.downlink, now);
    request.headers = {{"Content-Type", "application/x-www-form-urlencoded"}};
    transport.send(std::move(request), [weak = weak_from_this(), job](Result<HttpResponse> response) {
      if (auto self = weak.lock()) self->answered(job, response);
    });
  }

  DownlinkAnswer expiry_answer(const Job& job) const {
    auto text = "its validity has ended before a network server took it" +
                (job.last_error.empty() ? std::string() : "; the last answer: " + job.last_error);
    return {DownlinkAnswer::Verdict::expired, job.last_status, std::move(text), 0};
  }

  void ended_unsent(const JobPtr& job, DownlinkAnswer answer) {
    Calls calls;
    {
      std::lock_guard lock(mutex);
      auto& server = servers[job->out.binder_id];
      land(server, *job);
      end(server, job, std::move(answer), calls);
      pump(server, calls);
    }
    run(calls);
  }

  void land(Server& server, Job& job) {
    job.in_flight = false;
    --server.in_flight;
    --in_flight;
    if (in_flight == 0) changed.notify_all();
  }

  void answered(const JobPtr& job, const Result<HttpResponse>& response) {
    DownlinkAnswer answer;
    bool again = false, away = false;
    milliseconds wish{0};
    if (response) {
      answer.status = response->status;
      answer.text = text_of_page(response->body);
      if (answer.text.empty()) answer.text = "HTTP status " + std::to_string(answer.status);
      bool good = response->status >= 200 && response->status < 300;
      answer.verdict = good ? DownlinkAnswer::Verdict::accepted : DownlinkAnswer::Verdict::refused;
      again = worth_repeating(response->status);
      away = says_not_there(response->status);
      wish = retry_after(*response);
    } else {
      const auto& error = response.error();
      answer.text = error.text;
      answer.verdict = DownlinkAnswer::Verdict::no_answer;
      // A wrong certificate or address is put right by a person, while the downlinks wait.
      again = away = error.kind != ErrorKind::permanent;
    }
    Calls calls;
    {
      std::lock_guard lock(mutex);
      if (gone) return;
      ++answering;
      auto& server = servers[job->out.binder_id];
      land(server, *job);
      job->last_error = answer.text;
      job->last_status = answer.status;
      if (again && !closed) {
        if (!job->out.keep) {
          end(server, job, answer, calls);
        } else {
          tell_pending(*job, calls);
        }
        if (away) {
          if (!job->ended) server.ready.push_front(job);
          leave(server, *job, wish, calls);
        } else {
          come_back(server);
          if (!job->ended) wait_alone(job, wish, calls);
        }
      } else if (again) {
        tell_pending(*job, calls);
      } else {
        come_back(server);
        end(server, job, answer, calls);
      }
      pump(server, calls);
    }
    run(calls);
    std::lock_guard lock(mutex);
    --answering;
    changed.notify_all();
  }

  void wait_alone(const JobPtr& job, milliseconds wish, Calls& calls) {
    auto delay = std::max(jittered(job->delay), wish);
    job->delay = std::min(job->delay * 2, kMostDelay);
    calls.push_back([self = shared_from_this(), job, delay] {
      self->later(delay, [job](Impl& impl) {
        Calls started;
        {
          std::lock_guard lock(impl.mutex);
          auto& server = impl.servers[job->out.binder_id];
          if (!job->ended) server.ready.push_back(job);
          impl.pump(server, started);
        }
        run(started);
      });
    });
  }

  static void come_back(Server& server) {
    server.state = Server::State::open;
    server.delay = kFirstDelay;
    server.cause.clear();
  }

  // The network server is not there: all wait, then one tries.
  void leave(Server& server, const Job& job, milliseconds wish, Calls& calls) {
    server.cause = job.last_error;
    if (server.state == Server::State::away) return;
    server.state = Server::State::away;
    auto delay = std::max(jittered(server.delay), wish);
    server.delay = std::min(server.delay * 2, kMostDelay);
    for (auto& [device, lane] : server.lanes) {
      for (auto& other : lane) {
        if (other->stored && !other->in_flight) tell_pending(*other, calls);
      }
    }
    end_unkept(server, calls);
    auto next = clock.now() + delay.count();
    calls.push_back([self = shared_from_this(), account = job.out.account, id = job.out.binder_id, delay, next,
                     cause = job.last_error] {
      self->events.add(account, "error", "binder-5002", "Network server unreachable for downlinks: " + cause,
                       {{"binderId", id}, {"cause", cause}, {"nextRetry", format_time(next)}});
      self->later(delay, [id](Impl& impl) {
        Calls started;
        {
          std::lock_guard lock(impl.mutex);
          auto& back = impl.servers[id];
          if (back.state == Server::State::away) back.state = Server::State::probing;
          impl.pump(back, started);
        }
        run(started);
      });
    });
  }

  // Those that may not wait.
  void end_unkept(Server& server, Calls& calls) {
    std::vector<JobPtr> unkept;
    for (auto& [device, lane] : server.lanes) {
      for (auto& job : lane) {
        if (!job->out.keep && !job->in_flight) unkept.push_back(job);
      }
    }
    for (auto& job : unkept)
      end(server, job, {DownlinkAnswer::Verdict::no_answer, 0, server.cause, 0}, calls);
  }

  // ---- the end of one

  void tell_pending(Job& job, Calls& calls) {
    if (!job.done || !job.stored) return;
    auto done = std::exchange(job.done, nullptr);
    calls.push_back([done = std::move(done), answer = DownlinkAnswer{DownlinkAnswer::Verdict::pending, job.last_status,
                                                                     job.last_error, job.expires}] { done(answer); });
  }

  // Takes it out of its lane; the device's next one comes up.
  void take_out(Server& server, const JobPtr& job) {
    auto lane = server.lanes.find(job->out.downlink.dev_eui);
    auto& jobs = lane->second;
    bool front = jobs.front() == job;
    jobs.erase(std::find(jobs.begin(), jobs.end(), job));
    job->ended = true;
    --server.waiting;
    waiting_gauge->set(static_cast<std::int64_t>(--waiting));
    if (jobs.empty()) {
      server.lanes.erase(lane);
    } else if (const auto& next = jobs.front(); front && (next->stored || !next->out.keep)) {
      server.ready.push_back(next);
    }
  }

  void end(Server& server, const JobPtr& job, DownlinkAnswer answer, Calls& calls) {
    using Verdict = DownlinkAnswer::Verdict;
    take_out(server, job);
    if (job->stored) {
      removed.push_back(job->id);
      flush_soon(calls);
    }
    auto& counter = answer.verdict == Verdict::accepted    ? accepted
                    : answer.verdict == Verdict::no_answer ? unanswered
                    : answer.verdict == Verdict::expired   ? expired
                    : answer.verdict == Verdict::full      ? busy
                    : answer.verdict == Verdict::purged    ? purged
                                                           : refused;
    counter->add();
    if (job->done) {
      calls.push_back([done = std::exchange(job->done, nullptr), answer = std::move(answer)] { done(answer); });
    } else {
      calls.push_back([self = shared_from_this(), job, answer = std::move(answer)] {
        if (self->settled) self->settled(job->out, answer);
      });
    }
  }

  // Ends what has waited too long, also while its network server is away.
  void sweep() {
    Calls calls;
    {
      std::lock_guard lock(mutex);
      if (closed) return;
      auto now = clock.now();
      for (auto& [id, server] : servers) {
        std::vector<JobPtr> over;
        for (auto& [device, lane] : server.lanes) {
          for (auto& job : lane) {
            if (job->expires <= now && !job->in_flight && (job->stored || !job->out.keep)) over.push_back(job);
          }
        }
        for (auto& job : over)
          end(server, job, expiry_answer(*job), calls);
        pump(server, calls);
      }
    }
    run(calls);
    later(kSweep, [](Impl& self) { self.sweep(); });
  }

  std::size_t purge(const std::string& connection_id) {
    std::size_t count = 0;
    Calls calls;
    {
      std::lock_guard lock(mutex);
      for (auto& [id, server] : servers) {
        std::vector<JobPtr> chosen;
        for (auto& [device, lane] : server.lanes) {
          for (auto& job : lane) {
            if (job->out.connection_id == connection_id && !job->in_flight && job->stored) chosen.push_back(job);
          }
        }
        for (auto& job : chosen)
          end(server, job, {DownlinkAnswer::Verdict::purged, 0, "dropped from the queue by its user", 0}, calls);
        count += chosen.size();
        pump(server, calls);
      }
    }
    run(calls);
    return count;
  }

  [[nodiscard]] QueuedDownlinkPage queued(const std::string& connection_id, std::size_t offset,
                                          std::size_t limit) const {
    std::vector<JobPtr> all;
    std::lock_guard lock(mutex);
    for (const auto& [id, server] : servers) {
      for (const auto& [device, lane] : server.lanes) {
        for (const auto& job : lane) {
          if (job->out.connection_id == connection_id) all.push_back(job);
        }
      }
    }
    std::sort(all.begin(), all.end(), [](const auto& a, const auto& b) { return a->id < b->id; });
    QueuedDownlinkPage page{all.size(), {}};
    for (auto i = offset; i < all.size() && page.items.size() < limit; ++i) {
      const auto& job = *all[i];
      page.items.push_back({job.id, job.out.downlink.dev_eui, job.out.downlink.correlation_id, job.out.downlink.fport,
                            job.queued, job.expires, job.tries, job.in_flight, job.last_error});
    }
    return page;
  }

  void stop(milliseconds limit) {
    Calls calls;
    {
      std::unique_lock lock(mutex);
      if (closed) return;
      closed = true;
      changed.wait_for(lock, limit, [&] { return in_flight == 0 && !writing; });
      gone = true;
      for (auto& [id, server] : servers) {
        for (auto& [device, lane] : server.lanes) {
          for (auto& job : lane) {
            tell_pending(*job, calls);
            if (!job->done) continue;
            calls.push_back([done = std::exchange(job->done, nullptr)] {
              done({DownlinkAnswer::Verdict::no_answer, 0, "the engine is stopping", 0});
            });
          }
        }
      }
    }
    run(calls);
    // Short: nothing that an answer calls waits.
    std::unique_lock lock(mutex);
    changed.wait(lock, [&] { return answering == 0; });
  }

  DownlinkTransport transport;
  store::DownlinkQueue& queue;
  Find find;
  const DownlinkSettings settings;
  store::Events& events;
  Clock& clock;
  std::shared_ptr<Metrics::Value> accepted, refused, unanswered, expired, busy, purged, repeats, waiting_gauge;
  Settled settled;  // set before anything is sent
  mutable std::mutex mutex;
  std::condition_variable changed;        // nothing is being written, or nothing is in flight
  std::map<std::string, Server> servers;  // by the binder's id
  std::uint64_t next_id = 1;
  std::size_t waiting = 0, in_flight = 0;
  std::vector<JobPtr> added;           // to be written
  std::vector<std::uint64_t> removed;  // settled, to be taken off the disk
  std::size_t answering = 0;           // answers being worked on
  bool writing = false, closed = false, gone = false;
};

DownlinkSender::DownlinkSender(HttpClient& http, store::DownlinkQueue& queue, Find find, DownlinkSettings settings,
                               store::Events& events, Clock& clock, Metrics& metrics)
    : timer_(std::make_shared<LaterThread>()), disk_(std::make_shared<LaterThread>()) {
  auto transport = transport_of(http);
  transport.after = [weak = std::weak_ptr(timer_)](milliseconds delay, std::function<void()> call) {
    if (auto timer = weak.lock()) timer->after(delay, std::move(call));
  };
  transport.on_disk = [weak = std::weak_ptr(disk_)](std::function<void()> call) {
    if (auto disk = weak.lock()) disk->after(milliseconds(0), std::move(call));
  };
  impl_ = std::make_shared<Impl>(std::move(transport), queue, std::move(find), settings, events, clock, metrics);
}

DownlinkSender::DownlinkSender(DownlinkTransport transport, store::DownlinkQueue& queue, Find find,
                               DownlinkSettings settings, store::Events& events, Clock& clock, Metrics& metrics)
    : impl_(std::make_shared<Impl>(std::move(transport), queue, std::move(find), settings, events, clock, metrics)) {}

DownlinkSender::~DownlinkSender() {
  stop(milliseconds(0));
  if (timer_) timer_->stop();
  if (disk_) disk_->stop();
}

Result<void> DownlinkSender::start(Settled settled) {
  return impl_->start(std::move(settled));
}
void DownlinkSender::stop(milliseconds limit) {
  impl_->stop(limit);
}
void DownlinkSender::send(OutgoingDownlink downlink, std::function<void()> stored, Done done) {
  impl_->send(std::move(downlink), std::move(stored), std::move(done));
}
QueuedDownlinkPage DownlinkSender::queued(const std::string& connection_id, std::size_t offset,
                                          std::size_t limit) const {
  return impl_->queued(connection_id, offset, limit);
}
std::size_t DownlinkSender::purge(const std::string& connection_id) {
  return impl_->purge(connection_id);
}

}  // namespace sluice::binder
