// SPDX-License-Identifier: Apache-2.0
#include "connection/replays.h"

#include <algorithm>

#include "base/json.h"
#include "base/log.h"

namespace sluice::connection {
namespace {

constexpr std::size_t kLook = 256;  // messages looked at in one step
// More than so many pending: the replay waits.
constexpr std::uint64_t kMostPending = 1000;
constexpr std::chrono::milliseconds kWait{200};
constexpr std::chrono::seconds kCountFor{8};
// Clocks of the machine may have gone back a little while the log was written.
constexpr UnixMillis kSlack = 60'000;

std::string replay_fact(std::uint64_t connection) {
  return "replay/" + std::to_string(connection);
}

std::uint64_t number_or_zero(const boost::json::object& object, std::string_view name) {
  const auto* value = json::find(object, name);
  if (value && value->is_int64()) return static_cast<std::uint64_t>(value->get_int64());
  return value && value->is_uint64() ? value->get_uint64() : 0;
}

}  // namespace

std::string paused_fact(const std::string& connection) {
  return "paused/" + connection;
}

Replays::Replays(queue::Queue& queue, store::Events& events, Clock& clock, RouteAgain route)
    : queue_(queue), events_(events), clock_(clock), route_(std::move(route)) {}

bool Replays::wanted(const Job& job, const message::Message& message) const {
  return message.account == job.account && message.arrived >= job.request.from && message.arrived < job.request.to &&
         (job.request.dev_eui.empty() || message.dev_eui == job.request.dev_eui);
}

ReplayReport Replays::count(const Job& job, std::uint64_t connection) const {
  ReplayReport report;
  auto until = clock_.steady() + kCountFor;
  auto oldest = queue_.stored_after(0, 1);
  if (!oldest.empty()) report.oldest_kept = oldest.front()->arrived;
  for (auto after = job.after; after < job.up_to;) {
    auto messages = queue_.stored_after(after, kLook);
    if (messages.empty()) break;
    after = messages.back()->seq;
    if (messages.front()->arrived > job.request.to + kSlack) break;
    std::erase_if(messages, [&](const auto& message) { return message->seq > job.up_to || !wanted(job, *message); });
    for (const auto& one : route_(job.account, connection, std::move(messages), false)) {
      ++report.messages;
      report.bytes += one.message->body.size();
    }
    if (clock_.steady() >= until) {
      report.complete = false;
      break;
    }
  }
  return report;
}

Result<ReplayReport> Replays::start(std::uint64_t connection, const std::string& account,
                                    const ReplayRequest& request) {
  const Error running{ErrorKind::permanent, "a replay runs for this connection already", "com-4009"};
  Job job;
  job.account = account;
  job.request = request;
  job.after = queue_.seq_before(request.from - kSlack);
  job.up_to = queue_.newest();
  if (!request.count_only && progress(connection)) return running;
  auto report = count(job, connection);
  if (request.count_only || report.messages == 0) return report;
  job.total = report.messages;
  auto told = job;
  if (!add(connection, std::move(job))) return running;
  tell(connection, told, "Replay started");
  return report;
}

bool Replays::add(std::uint64_t connection, Job job) {
  std::lock_guard lock(mutex_);
  if (stopping_ || jobs_.contains(connection)) return false;
  keep(connection, job);
  jobs_.emplace(connection, std::move(job));
  if (!thread_.joinable()) thread_ = std::thread([this] { run(); });
  changed_.notify_all();
  return true;
}

void Replays::go_on(std::uint64_t connection, const std::string& account) {
  auto fact = queue_.fact(replay_fact(connection));
  if (!fact || fact->empty()) return;
  auto parsed = json::parse(*fact);
  if (!parsed || !parsed->is_object()) return;
  const auto& object = parsed->get_object();
  Job job;
  job.account = account;
  job.request.from = static_cast<UnixMillis>(number_or_zero(object, "from"));
  job.request.to = static_cast<UnixMillis>(number_or_zero(object, "to"));
  job.request.dev_eui = json::text_or(object, "DevEUI");
  job.request.per_second = number_or_zero(object, "perSecond");
  job.request.user = json::text_or(object, "user");
  job.after = number_or_zero(object, "after");
  job.up_to = number_or_zero(object, "upTo");
  job.done = number_or_zero(object, "done");
  job.total = number_or_zero(object, "total");
  add(connection, std::move(job));
}

void Replays::keep(std::uint64_t connection, const Job& job) {
  queue_.put_fact(replay_fact(connection), json::write(boost::json::object{{"from", job.request.from},
                                                                           {"to", job.request.to},
                                                                           {"DevEUI", job.request.dev_eui},
                                                                           {"perSecond", job.request.per_second},
                                                                           {"user", job.request.user},
                                                                           {"after", job.after},
                                                                           {"upTo", job.up_to},
                                                                           {"done", job.done},
                                                                           {"total", job.total}}));
}

bool Replays::end(std::uint64_t connection) {
  std::optional<Job> ended;
  {
    std::lock_guard lock(mutex_);
    auto found = jobs_.find(connection);
    if (found == jobs_.end()) return false;
    ended = std::move(found->second);
    jobs_.erase(found);
    queue_.put_fact(replay_fact(connection), "");
  }
  tell(connection, *ended, "Replay ended early");
  return true;
}

std::optional<QueueStatus::Replay> Replays::progress(std::uint64_t connection) const {
  std::lock_guard lock(mutex_);
  auto found = jobs_.find(connection);
  if (found == jobs_.end()) return std::nullopt;
  return QueueStatus::Replay{found->second.done, found->second.total};
}

void Replays::stop() {
  {
    std::lock_guard lock(mutex_);
    stopping_ = true;
  }
  changed_.notify_all();
  if (thread_.joinable()) thread_.join();
}

void Replays::run() {
  std::unique_lock lock(mutex_);
  while (!stopping_) {
    if (jobs_.empty()) {
      changed_.wait(lock);
      continue;
    }
    auto next = std::min_element(jobs_.begin(), jobs_.end(),
                                 [](const auto& a, const auto& b) { return a.second.due < b.second.due; });
    if (auto now = clock_.steady(); next->second.due > now) {
      changed_.wait_for(lock, std::min<std::chrono::steady_clock::duration>(next->second.due - now, kWait));
      continue;
    }
    // Worked on as a copy: no lock is held over the disk and the drivers. end() may take it away meanwhile.
    auto connection = next->first;
    auto job = next->second;
    lock.unlock();
    bool more = step(connection, job);
    lock.lock();
    auto found = jobs_.find(connection);
    if (found == jobs_.end()) continue;
    found->second = job;
    if (more) {
      keep(connection, job);
      continue;
    }
    jobs_.erase(found);
    queue_.put_fact(replay_fact(connection), "");
    lock.unlock();
    tell(connection, job, "Replay done");
    lock.lock();
  }
}

// False when it is through.
bool Replays::step(std::uint64_t connection, Job& job) {
  auto now = clock_.steady();
  if (queue_.count(connection) >= kMostPending) {
    job.due = now + kWait;
    return true;
  }
  auto messages = queue_.stored_after(job.after, kLook);
  if (messages.empty() || messages.front()->seq > job.up_to || messages.front()->arrived > job.request.to + kSlack) {
    return false;
  }
  auto looked = messages.back()->seq;
  std::erase_if(messages, [&](const auto& message) { return message->seq > job.up_to || !wanted(job, *message); });
  auto per_second = job.request.per_second;
  auto most = per_second == 0 ? kLook : std::clamp<std::size_t>(per_second / 5, 1, kLook);
  if (messages.size() > most) {
    messages.resize(most);
    looked = messages.back()->seq;
  }
  auto again = route_(job.account, connection, std::move(messages), true);
  auto count = again.size();
  if (count > 0 && !queue_.put_again(connection, std::move(again))) return true;  // closing: goes on after the start
  job.after = looked;
  job.done += count;
  job.due = now;
  if (per_second > 0) job.due += std::chrono::microseconds(1'000'000 * count / per_second);
  return looked < job.up_to;
}

void Replays::tell(std::uint64_t connection, const Job& job, const char* what) {
  events_.add(job.account, "info", "connection-1307", what,
              {{"connectionId", std::to_string(connection)},
               {"count", job.done},
               {"total", job.total},
               {"from", format_time(job.request.from)},
               {"to", format_time(job.request.to)},
               {"user", job.request.user}});
}

}  // namespace sluice::connection
