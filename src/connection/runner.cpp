// SPDX-License-Identifier: Apache-2.0
#include "connection/runner.h"

#include <boost/asio/post.hpp>
#include <charconv>
#include <condition_variable>
#include <thread>

#include "base/json.h"
#include "base/log.h"

namespace sluice::connection {
namespace {

std::uint64_t number(const std::string& id) {
  std::uint64_t n = 0;
  std::from_chars(id.data(), id.data() + id.size(), n);
  return n;
}

// What a killed process may forget of what it counted.
constexpr std::chrono::seconds kWriteCounters{10};

}  // namespace

Runner::Runner(Shared shared)
    : shared_(std::move(shared)),
      replays_(shared_.queue, shared_.events, shared_.clock, shared_.route_again),
      ledger_(shared_.counters, shared_.clock) {
  shared_.metrics.on_samples([this](std::vector<Metrics::Sample>& out) { sample(out); });
}

Runner::~Runner() {
  shared_.metrics.end_samples();
}

std::shared_ptr<Connection> Runner::find(std::uint64_t id) const {
  std::shared_lock lock(mutex_);
  auto found = connections_.find(id);
  return found == connections_.end() ? nullptr : found->second;
}

std::shared_ptr<Connection> Runner::find(const std::string& id) const {
  return find(number(id));
}

void Runner::start(const std::vector<store::Connection>& stored) {
  {
    std::unique_lock lock(mutex_);
    for (const auto& one : stored)
      connections_.emplace(number(one.id), std::make_shared<Connection>(shared_, one));
  }
  for (const auto& one : stored) {
    auto& pump = find(one.id)->pump();
    ledger_.restore(number(one.id), pump.windows());
    ledger_.add(number(one.id), pump.shared_windows());
  }
  ledger_.start(kWriteCounters);
  for (auto id : shared_.queue.lists()) {
    if (!find(id)) shared_.queue.forget(id);  // deleted while its list was being emptied
  }
  for (const auto& one : stored) {
    if (shared_.queue.fact(paused_fact(one.id))) find(one.id)->pump().set_paused(true);
    replays_.go_on(number(one.id), one.account);
  }
  shared_.queue.subscribe(this);
  std::shared_lock lock(mutex_);
  for (auto& [id, connection] : connections_)
    connection->start();
}

bool Runner::stop(std::chrono::milliseconds limit) {
  replays_.stop();
  shared_.queue.subscribe(nullptr);
  struct Waiting {
    std::mutex mutex;
    std::condition_variable changed;
    std::size_t left = 0;
  };
  auto waiting = std::make_shared<Waiting>();
  std::vector<std::shared_ptr<Connection>> all;
  {
    std::unique_lock lock(mutex_);
    for (auto& [id, connection] : connections_)
      all.push_back(connection);
    connections_.clear();
  }
  waiting->left = all.size();
  for (auto& connection : all) {
    connection->shut_down([waiting] {
      std::lock_guard lock(waiting->mutex);
      --waiting->left;
      waiting->changed.notify_all();
    });
  }
  shared_.trials->stopping = true;
  auto until = std::chrono::steady_clock::now() + limit;
  std::unique_lock lock(waiting->mutex);
  if (!waiting->changed.wait_for(lock, limit, [&] { return waiting->left == 0; })) {
    log::warn("{} connections did not close in time; what they had in flight is delivered again", waiting->left);
    lock.unlock();
    ledger_.stop();
    return false;
  }
  lock.unlock();
  ledger_.stop();
  while (shared_.trials->running > 0) {
    if (std::chrono::steady_clock::now() >= until) return false;
    std::this_thread::sleep_for(std::chrono::milliseconds(10));
  }
  return true;
}

void Runner::apply(const store::Connection& stored) {
  auto id = number(stored.id);
  if (auto known = find(id)) return known->apply(stored);
  auto made = std::make_shared<Connection>(shared_, stored);
  {
    std::unique_lock lock(mutex_);
    connections_.emplace(id, made);
  }
  ledger_.add(id, made->pump().shared_windows());
  made->start();
}

void Runner::remove(const std::string& id) {
  std::shared_ptr<Connection> connection;
  {
    std::unique_lock lock(mutex_);
    auto found = connections_.find(number(id));
    if (found == connections_.end()) return;
    connection = std::move(found->second);
    connections_.erase(found);
  }
  connection->shut_down([this, id, connection] {
    boost::asio::post(shared_.disk, [this, id] {
      replays_.end(number(id));
      shared_.queue.forget(number(id));
      ledger_.remove(number(id));
      for (const auto& fact : {paused_fact(id), alarms_fact(id)}) {
        if (auto removed = shared_.queue.keep_fact(fact, ""); !removed) log::warn("{}", removed.error().text);
      }
    });
    shared_.metrics.remove("connection", id);
  });
}

Result<void> Runner::restart(const std::string& id) {
  auto connection = find(id);
  if (!connection) return Error{ErrorKind::permanent, "there is no connection " + id, "com-4004"};
  if (connection->status().state == State::deactivated) {
    return Error{ErrorKind::permanent, "connection " + id + " is not active: start it instead", "com-4009"};
  }
  connection->restart();
  return {};
}

Status Runner::status(const std::string& id) const {
  auto connection = find(id);
  if (!connection) return {};
  auto status = connection->status();
  status.pending = shared_.queue.count(number(id));
  status.paused = connection->pump().paused();
  return status;
}

WindowCounts Runner::windows(const std::string& id) const {
  auto connection = find(id);
  return connection ? connection->pump().windows().read(shared_.clock.now()) : WindowCounts{};
}

void Runner::count(const std::string& id, Counter counter) {
  if (auto connection = find(id)) connection->pump().count(counter);
}

std::uint64_t Runner::purge(const std::string& id) {
  std::uint64_t end = 0;
  auto dropped = shared_.queue.purge(number(id), &end);
  if (auto connection = find(id); connection && end > 0) connection->pump().on_purged(end, dropped);
  return dropped;
}

void Runner::on_pending(std::uint64_t id, std::vector<queue::Pending> entries) {
  if (auto connection = find(id)) return connection->on_pending(std::move(entries));
  // Routed to a connection that is being deleted: nobody will ask for these again.
  std::vector<queue::Settled> gone;
  for (const auto& entry : entries)
    gone.push_back({entry.place, entry.bytes, queue::Fate::dropped});
  if (!gone.empty()) shared_.queue.settle(id, std::move(gone), 0);
}

void Runner::on_dropped(std::uint64_t id, std::uint64_t place, std::uint64_t count, const char* reason) {
  if (auto connection = find(id)) connection->pump().on_dropped(place, count, reason);
}

}  // namespace sluice::connection
