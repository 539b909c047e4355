// SPDX-License-Identifier: Apache-2.0
#include "connection/pump.h"

#include <algorithm>
#include <boost/asio/dispatch.hpp>
#include <boost/asio/post.hpp>
#include <random>

#include "base/log.h"

namespace sluice::connection {
namespace {

constexpr std::size_t kLoad = 4096;  // entries in memory
constexpr std::size_t kReadAtOnce = 1024;
constexpr std::chrono::seconds kFirstRetry{1};
constexpr std::chrono::seconds kLongestRetry{60};

double random_share() {
  thread_local std::minstd_rand generator{std::random_device{}()};
  return std::uniform_real_distribution<double>(0, 1)(generator);
}

std::vector<double> latency_bounds() {
  return {0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 60, 300, 3600};
}

}  // namespace

Pump::Pump(Dependencies dependencies, std::uint64_t connection, std::string account)
    : deps_(dependencies),
      connection_(connection),
      connection_text_(std::to_string(connection)),
      account_(std::move(account)),
      retry_timer_(dependencies.strand) {
  Metrics::Labels labels{{"connection", connection_text_}};
  auto& m = deps_.metrics;
  delivered_total_ = m.counter("sluice_connection_delivered_total", "Messages acknowledged by the peer.", labels);
  failed_total_ = m.counter("sluice_connection_failed_total", "Messages the peer refused for good.", labels);
  lost_total_ =
      m.counter("sluice_connection_lost_total", "Messages filtered, expired or dropped before a try.", labels);
  expired_total_ = m.counter("sluice_connection_expired_total", "Of the lost ones: older than their validity.", labels);
  retries_total_ = m.counter("sluice_connection_retries_total", "Tries that failed and are repeated.", labels);
  in_flight_gauge_ = m.gauge("sluice_connection_in_flight", "Messages sent and not yet acknowledged.", labels);
  latency_ = m.histogram("sluice_connection_latency_seconds", "From arrival to the peer's acknowledgement.",
                         latency_bounds(), labels);
}

void Pump::open(connector::Connector& connector, std::function<void(Error)> trouble) {
  connector_ = &connector;
  trouble_ = std::move(trouble);
  delivered_since_open_ = false;
  ++generation_;
  load();
}

void Pump::drain(std::function<void()> done) {
  connector_ = nullptr;
  drained_ = std::move(done);
  if (in_flight_ == 0) std::exchange(drained_, nullptr)();
}

void Pump::close() {
  connector_ = nullptr;
  trouble_ = nullptr;
  drained_ = nullptr;
  ++generation_;
  flush_settled();
  // All that is loaded stays on the disk and is read again, in order, at the next opening.
  if (!items_.empty()) loaded_to_ = items_.begin()->first - 1;
  items_.clear();
  ready_.clear();
  urgent_.clear();
  devices_.clear();
  retries_.clear();
  retry_timer_.cancel();
  in_flight_ = 0;
  in_flight_gauge_->set(0);
  behind_ = true;
}

std::optional<UnixMillis> Pump::oldest() const {
  if (items_.empty()) return std::nullopt;
  return items_.begin()->second.pending.message->arrived;
}

void Pump::on_pending(std::vector<queue::Pending> entries) {
  boost::asio::post(deps_.strand, [self = shared_from_this(), entries = std::move(entries)]() mutable {
    auto now = self->deps_.clock.now();
    self->windows_.add(Counter::uplinks, now, entries.size());
    for (const auto& entry : entries) {
      if (!entry.message->dev_eui.empty()) self->windows_.seen(entry.message->dev_eui, now);
    }
    self->add(std::move(entries));
  });
}

void Pump::on_dropped(std::uint64_t place, std::uint64_t count, const char* reason) {
  boost::asio::post(deps_.strand, [self = shared_from_this(), place, count, reason] {
    self->lost_total_->add(static_cast<std::int64_t>(count));
    self->windows_.add(Counter::uplinks_lost, self->deps_.clock.now(), count);
    self->deps_.events.add(self->account_, "warn", "connection-1305", "Messages dropped: " + std::string(reason),
                           {{"connectionId", self->connection_text_}, {"count", count}, {"cause", reason}});
    // What is with the connector keeps its place: its verdict finds the entry gone and settles nothing.
    if (self->loaded_to_ < place) self->loaded_to_ = place;
  });
}

void Pump::add(std::vector<queue::Pending> entries) {
  if (!connector_ && settings_->drop_new) {
    std::vector<queue::Settled> dropped;
    for (const auto& entry : entries) {
      note(*entry.message, message::Stage::dropped, "the connection is not active");
      dropped.push_back({entry.place, entry.bytes});
    }
    lost_total_->add(static_cast<std::int64_t>(dropped.size()));
    windows_.add(Counter::uplinks_lost, deps_.clock.now(), dropped.size());
    deps_.events.add(account_, "warn", "connection-1305", "Messages dropped: the connection is not active",
                     {{"connectionId", connection_text_}, {"count", dropped.size()}, {"cause", "not active"}});
    deps_.queue.settle(connection_, std::move(dropped), 0);
    return;
  }
  if (!connector_ || behind_ || items_.size() + entries.size() > kLoad) {
    behind_ = true;
    missed_ = true;
    if (connector_ && items_.size() < kLoad / 2) load();
    return;
  }
  for (auto& entry : entries) {
    if (entry.place <= loaded_to_) continue;
    auto place = loaded_to_ = entry.place;
    items_.emplace(place, Item{std::move(entry)});
    ready_.push_back(place);
  }
  feed();
}

void Pump::load() {
  if (reading_ || !behind_ || !connector_ || items_.size() > kLoad / 2) return feed();
  reading_ = true;
  missed_ = false;
  boost::asio::post(deps_.disk, [self = shared_from_this(), from = loaded_to_, generation = generation_] {
    auto entries = self->deps_.queue.read(self->connection_, from, kReadAtOnce);
    boost::asio::post(self->deps_.strand, [self, generation, entries = std::move(entries)]() mutable {
      self->reading_ = false;
      if (generation != self->generation_) return self->load();
      bool all = entries.size() < kReadAtOnce && !self->missed_;
      for (auto& entry : entries) {
        auto place = self->loaded_to_ = entry.place;
        self->items_.emplace(place, Item{std::move(entry)});
        self->ready_.push_back(place);
      }
      if (all) self->behind_ = false;
      self->load();
    });
  });
}

void Pump::feed() {
  if (feeding_) {
    feed_again_ = true;  // a connector that settles at once must not nest ever deeper
    return;
  }
  feeding_ = true;
  do {
    feed_again_ = false;
    while (connector_ && (!urgent_.empty() || !ready_.empty()) && in_flight_ < connector_->max_in_flight()) {
      if (!urgent_.empty()) {
        auto item = items_.find(urgent_.front());
        urgent_.pop_front();
        start(item);
        continue;
      }
      auto place = ready_.front();
      ready_.pop_front();
      auto item = items_.find(place);
      if (item == items_.end()) continue;
      const auto& device = item->second.pending.message->dev_eui;
      if (!device.empty()) {
        auto [under_way, fresh] = devices_.try_emplace(device);
        if (!fresh) {
          under_way->second.push_back(place);
          continue;
        }
      }
      start(item);
    }
  } while (feed_again_);
  feeding_ = false;
  if (behind_ && !reading_ && connector_ && items_.size() <= kLoad / 2) load();
}

bool Pump::expired(const queue::Pending& pending) const {
  auto limit = settings_->validity_ms;
  if (pending.validity_ms > 0) limit = limit > 0 ? std::min(limit, pending.validity_ms) : pending.validity_ms;
  return limit > 0 && pending.message->time && deps_.clock.now() - *pending.message->time > limit;
}

void Pump::start(Items::iterator item) {
  const auto& pending = item->second.pending;
  const auto& message = *pending.message;
  if (item->second.tries == 0 && expired(pending)) {
    expired_total_->add();
    note(message, message::Stage::expired, "older than its validity");
    deps_.events.add(account_, "warn", "connection-1304", "Message expired",
                     {{"connectionId", connection_text_},
                      {"DevEUI", message.dev_eui},
                      {"age", (deps_.clock.now() - *message.time) / 1000},
                      {"validity", std::max(settings_->validity_ms, pending.validity_ms) / 1000}});
    return lost(item);
  }
  if (!settings_->operations.keeps(message)) {
    note(message, message::Stage::filtered, "an operation of the connection keeps it back");
    return lost(item);
  }
  auto document =
      std::make_shared<const std::string>(message::compose(message, pending.decoded.get(), settings_->downlink_url));
  std::string body;
  if (!settings_->format.send_metadata && !settings_->format.send_raw_decoded_format) {
    body = *document;
  } else {
    auto formatted = message::format_for(settings_->format, message, pending.decoded.get(), settings_->downlink_url);
    if (!formatted) {
      note(message, message::Stage::filtered, "the connection's format does not carry this type of message");
      return lost(item);
    }
    body = std::move(*formatted);
  }
  note(message, message::Stage::sent, {}, body);
  ++in_flight_;
  in_flight_gauge_->set(static_cast<std::int64_t>(in_flight_));
  connector::Delivery delivery(pending.message, std::move(document), std::move(body),
                               [weak = weak_from_this(), strand = deps_.strand, generation = generation_,
                                place = item->first](Result<void> result) {
                                 boost::asio::dispatch(strand,
                                                       [weak, generation, place, result = std::move(result)]() mutable {
                                                         auto self = weak.lock();
                                                         if (self && self->generation_ == generation)
                                                           self->verdict(place, std::move(result));
                                                       });
                               });
  connector_->send(std::move(delivery));
}

void Pump::verdict(std::uint64_t place, Result<void> result) {
  --in_flight_;
  in_flight_gauge_->set(static_cast<std::int64_t>(in_flight_));
  auto item = items_.find(place);
  if (item != items_.end()) {
    if (result) {
      delivered_since_open_ = true;
      delivered_total_->add();
      note(*item->second.pending.message, message::Stage::delivered);
      latency_->observe(static_cast<double>(deps_.clock.now() - item->second.pending.message->arrived) / 1000);
      finish(item, nullptr);
    } else if (result.error().kind == ErrorKind::permanent) {
      refused(item, result.error());
    } else if (result.error().kind == ErrorKind::not_connected || result.error().kind == ErrorKind::bad_config) {
      note(*item->second.pending.message, message::Stage::retried, result.error().text);
      if (trouble_) std::exchange(trouble_, nullptr)(result.error());
    } else if (connector_) {
      retry_later(item, result.error());
    }
  }
  if (in_flight_ == 0 && drained_) std::exchange(drained_, nullptr)();
  feed();
}

void Pump::retry_later(Items::iterator item, const Error& error) {
  retries_total_->add();
  note(*item->second.pending.message, message::Stage::retried, error.text);
  auto tries = item->second.tries++;
  auto wait = std::chrono::milliseconds(
      std::min<std::chrono::seconds>(kFirstRetry * (1 << std::min(tries, 6u)), kLongestRetry));
  wait =
      std::chrono::milliseconds(static_cast<std::int64_t>(static_cast<double>(wait.count()) * (0.5 + random_share())));
  if (error.wait && *error.wait > wait) wait = std::min<std::chrono::milliseconds>(*error.wait, std::chrono::hours(1));
  deps_.events.add(account_, "warn", "connection-1202", "Delivery failed and will be repeated: " + error.text,
                   {{"connectionId", connection_text_}, {"cause", error.text}});
  auto at = deps_.clock.steady() + wait;
  retries_.emplace(at, item->first);
  if (retries_.begin()->second == item->first) run_retries();
}

void Pump::run_retries() {
  auto now = deps_.clock.steady();
  while (connector_ && !retries_.empty() && retries_.begin()->first <= now &&
         in_flight_ < connector_->max_in_flight()) {
    auto place = retries_.begin()->second;
    retries_.erase(retries_.begin());
    auto item = items_.find(place);
    if (item != items_.end()) start(item);
  }
  if (retries_.empty() || !connector_) return;
  // A full window is looked at again soon: the verdicts that empty it feed newer messages first.
  retry_timer_.expires_at(std::max(retries_.begin()->first, now + std::chrono::milliseconds(50)));
  retry_timer_.async_wait([weak = weak_from_this(), generation = generation_](boost::system::error_code ec) {
    auto self = weak.lock();
    if (!ec && self && self->generation_ == generation) self->run_retries();
  });
}

void Pump::lost(Items::iterator item) {
  lost_total_->add();
  auto counter = Counter::uplinks_lost;
  finish(item, &counter);
}

void Pump::refused(Items::iterator item, const Error& error) {
  failed_total_->add();
  const auto& message = *item->second.pending.message;
  note(message, message::Stage::refused, error.text);
  deps_.events.add(account_, "error", "connection-1201", "Delivery refused, message given up: " + error.text,
                   {{"connectionId", connection_text_},
                    {"DevEUI", message.dev_eui},
                    {"FCntUp", message.fcnt_up.value_or(-1)},
                    {"cause", error.text}});
  auto counter = Counter::uplinks_failed;
  finish(item, &counter);
}

void Pump::finish(Items::iterator item, Counter* counter) {
  if (counter) windows_.add(*counter, deps_.clock.now());
  settled_.push_back({item->first, item->second.pending.bytes});
  auto device = item->second.pending.message->dev_eui;
  items_.erase(item);
  if (!flush_posted_) {
    flush_posted_ = true;
    boost::asio::post(deps_.strand, [self = shared_from_this()] {
      self->flush_posted_ = false;
      self->flush_settled();
    });
  }
  if (!device.empty()) next_of_device(device);
}

void Pump::next_of_device(const std::string& device) {
  auto under_way = devices_.find(device);
  if (under_way == devices_.end()) return;
  if (under_way->second.empty()) {
    devices_.erase(under_way);
    return;
  }
  urgent_.push_back(under_way->second.front());
  under_way->second.pop_front();
  if (!feeding_)
    feed();
  else
    feed_again_ = true;
}

void Pump::flush_settled() {
  if (settled_.empty()) return;
  auto low = items_.empty() ? loaded_to_ + 1 : items_.begin()->first;
  deps_.queue.settle(connection_, std::exchange(settled_, {}), low);
}

}  // namespace sluice::connection
