// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <charconv>
#include <condition_variable>
#include <deque>
#include <map>
#include <random>
#include <thread>
#include <unordered_map>

#include "base/codec.h"
#include "binder/binders.h"
#include "message/json_scan.h"

namespace sluice::binder {
namespace {

using std::chrono::milliseconds;

constexpr std::size_t kMaxWaiting = 10'000;
constexpr milliseconds kLongest = std::chrono::minutes(5);
constexpr milliseconds kFirstDelay = std::chrono::seconds(1);
constexpr milliseconds kMostDelay = std::chrono::minutes(1);
constexpr std::size_t kMaxAnswer = 500;  // characters of the network server's text that are passed on

struct Entity {
  std::string_view name;
  char c;
};
constexpr Entity kEntities[] = {{"&amp;", '&'},  {"&lt;", '<'},    {"&gt;", '>'},
                                {"&quot;", '"'}, {"&apos;", '\''}, {"&#39;", '\''}};

// The text of an HTML page: tags left out, white space folded, always valid UTF-8.
std::string text_of(std::string_view html) {
  std::string out;
  bool in_tag = false;
  for (std::size_t i = 0; i < html.size() && out.size() < kMaxAnswer; ++i) {
    char c = html[i];
    if (c == '<') in_tag = true;
    bool blank = in_tag || static_cast<unsigned char>(c) <= 0x20 || c == 0x7f;
    if (c == '>') in_tag = false;
    if (blank) {
      if (!out.empty() && out.back() != ' ') out += ' ';
      continue;
    }
    for (const auto& entity : kEntities) {
      if (!html.substr(i).starts_with(entity.name)) continue;
      c = entity.c;
      i += entity.name.size() - 1;
      break;
    }
    out += c;
  }
  // A cut may have halved a character.
  while (!out.empty() && !message::scan::valid_utf8(out)) {
    if ((out.back() & 0x80) == 0) {
      std::replace_if(
          out.begin(), out.end(), [](char c) { return (c & 0x80) != 0; }, '?');
    } else {
      out.pop_back();
    }
  }
  return std::string(trim(out));
}

bool worth_repeating(int status) {
  return status >= 500 || status == 429;
}

milliseconds retry_after(const HttpResponse& response) {
  auto text = response.header("retry-after");
  std::int64_t seconds = 0;
  auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), seconds);
  if (error != std::errc{} || end != text.data() + text.size() || seconds < 0) return {};
  return std::min<milliseconds>(std::chrono::seconds(std::min<std::int64_t>(seconds, 3600)), kLongest);
}

DownlinkTransport transport_of(HttpClient& http) {
  DownlinkTransport transport;
  transport.send = [&http](HttpRequest request, std::function<void(Result<HttpResponse>)> done) {
    http.send(std::move(request), std::move(done));
  };
  transport.jitter = [random = std::make_shared<std::mt19937>(std::random_device{}()),
                      mutex = std::make_shared<std::mutex>()] {
    std::lock_guard lock(*mutex);
    return std::uniform_real_distribution<double>(0, 1)(*random);
  };
  return transport;
}

}  // namespace

// Calls functions later, on a thread of its own. What is not due when it stops is called at once.
class DownlinkSender::Timer {
 public:
  Timer() : thread_([this] { run(); }) {}
  ~Timer() = default;
  Timer(const Timer&) = delete;
  Timer& operator=(const Timer&) = delete;

  void after(milliseconds delay, std::function<void()> call) {
    {
      std::lock_guard lock(mutex_);
      if (ended_) return;
      due_.emplace(std::chrono::steady_clock::now() + delay, std::move(call));
    }
    changed_.notify_one();
  }

  // Not from the timer's own thread. Needed before the last owner lets go, who may be any thread.
  void stop() {
    {
      std::lock_guard lock(mutex_);
      ended_ = true;
    }
    changed_.notify_one();
    thread_.join();
    for (auto& [at, call] : due_)
      call();
    due_.clear();
  }

 private:
  void run() {
    std::unique_lock lock(mutex_);
    while (!ended_) {
      if (due_.empty()) {
        changed_.wait(lock);
        continue;
      }
      auto at = due_.begin()->first;
      if (at > std::chrono::steady_clock::now()) {
        changed_.wait_until(lock, at);
        continue;
      }
      auto call = std::move(due_.extract(due_.begin()).mapped());
      lock.unlock();
      call();
      lock.lock();
    }
  }

  std::mutex mutex_;
  std::condition_variable changed_;
  std::multimap<std::chrono::steady_clock::time_point, std::function<void()>> due_;
  bool ended_ = false;
  std::thread thread_;  // last: it uses the others
};

// Invariants:
// 1. A device has an entry in `lanes` exactly while a job of it is waiting or under way; the front one is under way.
// 2. A job is taken out of its lane before its `done` is called, and nobody else can take it out: `done` is called
// once.
// 3. The mutex is held over no call to the outside.
struct DownlinkSender::Impl : std::enable_shared_from_this<DownlinkSender::Impl> {
  struct Job {
    std::shared_ptr<const thingpark::Settings> binder;
    message::Downlink downlink;
    std::function<void(DownlinkAnswer)> done;
    UnixMillis deadline = 0;
    milliseconds delay = kFirstDelay;
  };
  using JobPtr = std::shared_ptr<Job>;

  Impl(DownlinkTransport outside, Clock& given_clock, Metrics& metrics)
      : transport(std::move(outside)),
        clock(given_clock),
        accepted(counter(metrics, "accepted")),
        refused(counter(metrics, "refused")),
        unanswered(counter(metrics, "no_answer")),
        busy(counter(metrics, "busy")),
        repeats(metrics.counter("sluice_binder_downlink_repeats_total", "Downlink requests sent again")),
        waiting_gauge(metrics.gauge("sluice_binder_downlinks_waiting", "Downlinks without a final verdict")) {}

  static std::shared_ptr<Metrics::Value> counter(Metrics& metrics, const std::string& result) {
    return metrics.counter("sluice_binder_downlinks_total", "Downlinks by what the network server said",
                           {{"result", result}});
  }

  // Devices of different network servers do not wait for each other.
  static std::string lane_of(const Job& job) { return job.binder->id + '/' + job.downlink.dev_eui; }

  void add(JobPtr job) {
    bool first = false;
    bool full = false;
    {
      std::lock_guard lock(mutex);
      full = waiting >= kMaxWaiting;
      if (!full) {
        auto& lane = lanes[lane_of(*job)];
        lane.push_back(job);
        first = lane.size() == 1;
        waiting_gauge->set(static_cast<std::int64_t>(++waiting));
      }
    }
    if (first) later(milliseconds(0), job);
    if (!full) return;
    busy->add();
    transport.after(milliseconds(0), [job] { job->done({false, 503, "too many downlinks are waiting"}); });
  }

  void later(milliseconds delay, const JobPtr& job) {
    transport.after(delay, [weak = weak_from_this(), job] {
      if (auto self = weak.lock()) self->attempt(job);
    });
  }

  void attempt(const JobPtr& job) {
    {
      std::lock_guard lock(mutex);
      if (closed) return;
    }
    auto now = clock.now();
    if (now >= job->deadline)
      return finish(job, {false, 0, "the validity of the downlink has ended before it was sent"});
    const auto& url = job->binder->downlink_url;
    HttpRequest request;
    request.url = url + (url.find('?') == std::string::npos ? '?' : '&') + message::downlink_query(job->downlink, now);
    request.headers = {{"Content-Type", "application/x-www-form-urlencoded"}};
    transport.send(std::move(request), [weak = weak_from_this(), job](Result<HttpResponse> response) {
      if (auto self = weak.lock()) self->answered(job, std::move(response));
    });
  }

  void answered(const JobPtr& job, Result<HttpResponse> response) {
    DownlinkAnswer answer;
    milliseconds wish{0};
    bool again = false;
    if (response) {
      answer.status = response->status;
      answer.text = text_of(response->body);
      answer.accepted = response->status >= 200 && response->status < 300;
      again = worth_repeating(response->status);
      wish = retry_after(*response);
    } else {
      const auto& error = response.error();
      answer.text = error.text;
      again = error.kind == ErrorKind::not_connected || error.kind == ErrorKind::transient;
    }
    auto delay = milliseconds(
        static_cast<std::int64_t>(static_cast<double>(job->delay.count()) * (0.5 + transport.jitter() / 2)));
    delay = std::max(delay, wish);
    if (!again || clock.now() + delay.count() >= job->deadline) return finish(job, std::move(answer));
    job->delay = std::min(job->delay * 2, kMostDelay);
    repeats->add();
    later(delay, job);
  }

  void finish(const JobPtr& job, DownlinkAnswer answer) {
    JobPtr next;
    {
      std::lock_guard lock(mutex);
      auto lane = lanes.find(lane_of(*job));
      // Ended meanwhile.
      if (lane == lanes.end() || lane->second.empty() || lane->second.front() != job) return;
      lane->second.pop_front();
      waiting_gauge->set(static_cast<std::int64_t>(--waiting));
      if (lane->second.empty()) {
        lanes.erase(lane);
      } else {
        next = lane->second.front();
      }
    }
    (answer.accepted ? accepted : answer.status == 0 ? unanswered : refused)->add();
    if (next) later(milliseconds(0), next);
    job->done(std::move(answer));
  }

  void close() {
    decltype(lanes) ended;
    {
      std::lock_guard lock(mutex);
      closed = true;
      ended.swap(lanes);
      waiting = 0;
      waiting_gauge->set(0);
    }
    for (auto& [device, lane] : ended) {
      for (auto& job : lane)
        job->done({false, 0, "the engine is stopping"});
    }
  }

  DownlinkTransport transport;
  Clock& clock;
  std::shared_ptr<Metrics::Value> accepted, refused, unanswered, busy, repeats, waiting_gauge;
  std::mutex mutex;
  std::unordered_map<std::string, std::deque<JobPtr>> lanes;
  std::size_t waiting = 0;
  bool closed = false;
};

DownlinkSender::DownlinkSender(HttpClient& http, Clock& clock, Metrics& metrics) : timer_(std::make_shared<Timer>()) {
  auto transport = transport_of(http);
  transport.after = [weak = std::weak_ptr(timer_)](milliseconds delay, std::function<void()> call) {
    if (auto timer = weak.lock()) timer->after(delay, std::move(call));
  };
  impl_ = std::make_shared<Impl>(std::move(transport), clock, metrics);
}

DownlinkSender::DownlinkSender(DownlinkTransport transport, Clock& clock, Metrics& metrics)
    : impl_(std::make_shared<Impl>(std::move(transport), clock, metrics)) {}

DownlinkSender::~DownlinkSender() {
  impl_->close();
  if (timer_) timer_->stop();
}

void DownlinkSender::send(std::shared_ptr<const thingpark::Settings> binder, message::Downlink downlink,
                          std::function<void(DownlinkAnswer)> done) {
  auto job = std::make_shared<Impl::Job>();
  auto now = impl_->clock.now();
  job->deadline = now + kLongest.count();
  if (downlink.valid_until) job->deadline = std::min(job->deadline, *downlink.valid_until);
  job->binder = std::move(binder);
  job->downlink = std::move(downlink);
  job->done = std::move(done);
  impl_->add(std::move(job));
}

}  // namespace sluice::binder
