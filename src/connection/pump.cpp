// SPDX-License-Identifier: Apache-2.0
#include "connection/pump.h"

#include <algorithm>
#include <boost/asio/dispatch.hpp>
#include <boost/asio/post.hpp>
#include <random>

#include "connection/alarm.h"
#include "connection/cut.h"

namespace sluice::connection {
namespace {

// Its age is looked at again before a try that comes later than this after the last look (spec processors.md 3).
constexpr UnixMillis kLookAgain = 10'000;
constexpr std::size_t kMostOfSent = 64u << 10;  // of what was sent, in a letter
constexpr std::chrono::seconds kMeasure{5};
constexpr std::chrono::seconds kFirstRetry{1};
constexpr std::chrono::seconds kLongestRetry{60};

double random_share() {
  thread_local std::minstd_rand generator{std::random_device{}()};
  return std::uniform_real_distribution<double>(0, 1)(generator);
}

struct Total {
  const char *name, *help;
};
// By Counter.
constexpr std::array<Total, kCounters> kTotals{{
    {"sluice_connection_uplinks_total", "Messages routed to the connection."},
    {"sluice_connection_failed_total", "Messages given up: the peer refused them for good."},
    {"sluice_connection_lost_total", "Messages filtered, expired or dropped before a try."},
    {"sluice_connection_downlinks_total", "Downlinks received for the connection."},
    {"sluice_connection_downlinks_failed_total", "Downlinks refused by validation, encoding or the network server."},
    {"sluice_connection_downlinks_lost_total", "Downlinks expired, filtered or not wanted."},
    {"sluice_connection_delivered_total", "Messages acknowledged by the peer."},
    {"sluice_connection_filtered_total", "Of the lost ones: kept back by an operation or the format."},
    {"sluice_connection_expired_total", "Of the lost ones: older than their validity."},
    {"sluice_connection_dropped_total", "Of the lost ones: purged, over a bound, or the connection was not active."},
    {"sluice_connection_uplink_bytes_total", "Bytes of acknowledged messages, as they were sent."},
}};

}  // namespace

Pump::Pump(Dependencies dependencies, std::uint64_t connection, std::string account)
    : deps_(dependencies),
      connection_(connection),
      connection_text_(std::to_string(connection)),
      account_(std::move(account)),
      label_(dependencies.metrics.bounded("connection", connection_text_)),
      retry_timer_(dependencies.strand),
      token_timer_(dependencies.strand) {
  Metrics::Labels labels{{"connection", label_}};
  auto& m = deps_.metrics;
  for (std::size_t i = 0; i < kCounters; ++i)
    totals_[i] = m.counter(kTotals[i].name, kTotals[i].help, labels);
  retries_total_ = m.counter("sluice_connection_retries_total", "Tries that failed and are repeated.", labels);
  again_total_ = m.counter("sluice_connection_again_total", "Messages resent or replayed by a user's wish.", labels);
  in_flight_gauge_ = m.gauge("sluice_connection_in_flight", "Messages sent and not yet acknowledged.", labels);
  latency_ = m.histogram("sluice_connection_latency_seconds", "From arrival to the peer's acknowledgement.",
                         std::vector<double>(kLatencyBounds.begin(), kLatencyBounds.end()), labels);
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
  for (const auto& [place, item] : items_) {
    ahead_.erase(place);
    leave(item.pending);
  }
  for (const auto& name : skipping_)
    unseen_.note(queue::device_hash(name), loaded_to_);
  loaded_to_ = low() - 1;
  live_.clear();
  live_items_ = 0;
  items_.clear();
  ready_.clear();
  urgent_.clear();
  devices_.clear();
  refused_.clear();
  skipping_.clear();
  refills_.clear();
  retries_.clear();
  retry_timer_.cancel();
  token_timer_.cancel();
  token_waiting_ = false;
  in_flight_ = 0;
  show_in_flight();
  shrinking_ = 0;
  behind_ = true;
  catching_up_ = false;
}

void Pump::set_paused(bool paused) {
  paused_ = paused;
  boost::asio::post(deps_.strand, [self = shared_from_this()] {
    self->run_retries();
    self->feed();
  });
}

// The lowest place that is not settled.
std::uint64_t Pump::low() const {
  auto low = items_.empty() ? loaded_to_ + 1 : std::min(items_.begin()->first, loaded_to_ + 1);
  for (const auto& name : skipping_)
    low = std::min(low, devices_.at(name).skipped_from);
  return low;
}

std::optional<UnixMillis> Pump::oldest() const {
  if (items_.empty()) return std::nullopt;
  return items_.begin()->second.pending.message->arrived;
}

void Pump::on_pending(std::vector<queue::Pending> entries) {
  boost::asio::post(deps_.strand, [self = shared_from_this(), entries = std::move(entries)]() mutable {
    auto now = self->deps_.clock.now();
    self->count(Counter::uplinks, entries.size());
    for (const auto& entry : entries) {
      if (!entry.message->dev_eui.empty()) self->windows_->seen(entry.message->dev_eui, now);
    }
    self->measure(entries.size(), 0);
    self->add(std::move(entries));
  });
}

void Pump::on_dropped(std::uint64_t place, std::uint64_t count, const char* reason) {
  boost::asio::post(deps_.strand, [self = shared_from_this(), place, count, reason] {
    self->count_lost(Counter::uplinks_dropped, count);
    self->deps_.events.add(self->account_, "warn", "connection-1305", "Messages dropped: " + std::string(reason),
                           {{"connectionId", self->connection_text_}, {"count", count}, {"cause", reason}});
    self->forget_before(place + 1);
  });
}

void Pump::on_purged(std::uint64_t end, std::uint64_t count) {
  boost::asio::post(deps_.strand, [self = shared_from_this(), end, count] {
    self->count_lost(Counter::uplinks_dropped, count);
    self->forget_before(end);
  });
}

void Pump::count(Counter counter, std::uint64_t n) {
  totals_[static_cast<std::size_t>(counter)]->add(static_cast<std::int64_t>(n));
  windows_->add(counter, deps_.clock.now(), n);
}

void Pump::count_lost(Counter why, std::uint64_t count) {
  this->count(why, count);
  this->count(Counter::uplinks_lost, count);
}

void Pump::show_in_flight() {
  auto now = static_cast<std::int64_t>(in_flight_);
  in_flight_gauge_->add(now - std::exchange(shown_in_flight_, now));
}

bool Pump::may_start() {
  if (!connector_ || paused_ || in_flight_ >= connector_->max_in_flight()) return false;
  if (rate() == 0) return true;
  auto now = deps_.clock.steady();
  auto limit = static_cast<double>(rate());
  auto most = std::max(1.0, limit / 20);  // what may go out at once
  tokens_ = std::min(most, tokens_ + std::chrono::duration<double>(now - tokens_at_).count() * limit);
  tokens_at_ = now;
  if (tokens_ >= 1) return true;
  wait_for_token();
  return false;
}

void Pump::wait_for_token() {
  if (token_waiting_) return;
  token_waiting_ = true;
  auto wait = std::chrono::duration<double>((1 - tokens_) / static_cast<double>(rate()));
  token_timer_.expires_after(std::chrono::duration_cast<std::chrono::microseconds>(wait) +
                             std::chrono::microseconds(100));
  token_timer_.async_wait([weak = weak_from_this(), generation = generation_](boost::system::error_code ec) {
    auto self = weak.lock();
    if (ec || !self || self->generation_ != generation) return;
    self->token_waiting_ = false;
    self->run_retries();
    self->feed();
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
    while ((!live_.empty() || !urgent_.empty() || !ready_.empty()) && may_start()) {
      bool live = !live_.empty() && !turn_of_backlog();
      bool fresh = !live && urgent_.empty();
      auto& from = live ? live_ : fresh ? ready_ : urgent_;
      auto place = from.front();
      from.pop_front();
      auto item = items_.find(place);
      if (item == items_.end()) continue;
      const auto& device = item->second.pending.message->dev_eui;
      if (fresh && !device.empty()) {
        auto [under_way, first] = devices_.try_emplace(device);
        if (!first) {
          under_way->second.waiting.push_back(place);
          continue;
        }
        under_way->second.head = place;
      }
      start(item);
    }
  } while (feed_again_);
  feeding_ = false;
  if (behind_ && !reading_ && connector_) {
    if (!has_room() && !refused_.empty()) leave_on_disk();
    if (has_room()) load();
  }
}

// Who goes next where live messages wait, too.
bool Pump::turn_of_backlog() {
  if (urgent_.empty() && ready_.empty()) return false;
  share_ += settings_->backlog_share;
  if (share_ < 100) return false;
  share_ -= 100;
  return true;
}

// What it may be old at most; 0: no limit. Nothing that a user asked for once more is too old for them.
std::int64_t Pump::validity_of(const queue::Pending& pending) const {
  if (pending.again) return 0;
  auto limit = settings_->validity_ms;
  if (pending.validity_ms > 0) limit = limit > 0 ? std::min(limit, pending.validity_ms) : pending.validity_ms;
  return limit;
}

bool Pump::expired(Item& item) {
  auto limit = validity_of(item.pending);
  if (limit <= 0 || !item.pending.message->time) return false;
  auto now = deps_.clock.now();
  if (item.tries > 0 && now - item.checked <= kLookAgain) return false;
  item.checked = now;
  return now - *item.pending.message->time > limit;
}

Result<std::optional<std::string>> Pump::body_of(const queue::Pending& pending,
                                                 std::shared_ptr<const std::string>& document) const {
  const auto& message = *pending.message;
  const auto& settings = *settings_;
  document =
      std::make_shared<const std::string>(message::compose(message, pending.decoded.get(), settings.downlink_url));
  std::optional<std::string> body;
  if (settings.format.send_metadata || settings.format.send_raw_decoded_format) {
    body = message::format_for(settings.format, message, pending.decoded.get(), settings.downlink_url);
    if (!body) return body;
  }
  if (settings.operations.transforms()) {
    // What an operation has made is sent as it is: the formats only choose among types then (spec messages.md 7.2).
    auto made = settings.operations.apply(message, *document);
    if (!made) return made.error();
    return std::optional(std::move(*made));
  }
  if (!body) body = *document;
  return body;
}

void Pump::start(Items::iterator item) {
  const auto& pending = item->second.pending;
  const auto& message = *pending.message;
  if (expired(item->second)) {
    note(message, message::Stage::expired, "older than its validity");
    deps_.events.add(account_, "warn", "connection-1304", "Message expired",
                     {{"connectionId", connection_text_},
                      {"DevEUI", message.dev_eui},
                      {"FCntUp", message.fcnt_up.value_or(-1)},
                      {"age", (deps_.clock.now() - *message.time) / 1000},
                      {"validity", validity_of(pending) / 1000}});
    return lost(item, Counter::uplinks_expired, queue::Fate::expired);
  }
  if (!settings_->operations.keeps(message)) {
    note(message, message::Stage::filtered, "an operation of the connection keeps it back");
    return lost(item, Counter::uplinks_filtered, queue::Fate::filtered);
  }
  std::shared_ptr<const std::string> document;
  auto made = body_of(pending, document);
  if (!made) return give_up(item, made.error());
  auto& body = *made;
  if (!body) {
    note(message, message::Stage::filtered, "the connection's format does not carry this type of message");
    return lost(item, Counter::uplinks_filtered, queue::Fate::filtered);
  }
  note(message, message::Stage::sent, pending.again ? "once more: resent or replayed" : "", *body);
  if (rate() > 0) tokens_ -= 1;
  ++in_flight_;
  item->second.in_flight = true;
  item->second.sent = body->size();
  show_in_flight();
  if (pending.again && item->second.tries == 0) again_total_->add();
  item->second.answer = std::make_shared<connector::Delivery::Answer>();
  connector::Delivery delivery(
      pending.message, std::move(document), std::move(*body),
      [weak = weak_from_this(), strand = deps_.strand, generation = generation_,
       place = item->first](Result<void> result) {
        boost::asio::dispatch(strand, [weak, generation, place, result = std::move(result)]() mutable {
          auto self = weak.lock();
          if (self && self->generation_ == generation) self->verdict(place, std::move(result));
        });
      },
      item->second.answer);
  connector_->send(std::move(delivery));
}

void Pump::verdict(std::uint64_t place, Result<void> result) {
  --in_flight_;
  show_in_flight();
  auto item = items_.find(place);
  if (item != items_.end()) {
    item->second.in_flight = false;
    if (result) {
      delivered_since_open_ = true;
      count(Counter::uplinks_delivered);
      count(Counter::uplink_bytes, item->second.sent);
      ++delivered_;
      if (is_alarm_report(*item->second.pending.message)) ++delivered_reports_;
      note(*item->second.pending.message, message::Stage::delivered);
      auto now = deps_.clock.now();
      auto seconds = static_cast<double>(now - item->second.pending.message->arrived) / 1000;
      latency_->observe(seconds);
      windows_->took(seconds, now);
      finish(item, queue::Fate::delivered);
    } else if (result.error().kind == ErrorKind::permanent) {
      give_up(item, result.error());
    } else if (result.error().kind == ErrorKind::not_connected || result.error().kind == ErrorKind::bad_config) {
      note(*item->second.pending.message, message::Stage::retried,
           cut_secrets(result.error().text, settings_->secrets));
      if (trouble_) std::exchange(trouble_, nullptr)(result.error());
    } else if (connector_) {
      retry_later(item, result.error());
    }
  }
  if (in_flight_ == 0 && drained_) std::exchange(drained_, nullptr)();
  feed();
}

void Pump::retry_later(Items::iterator item, const Error& error) {
  if (item->first < purged_to_) return finish(item, queue::Fate::dropped);
  auto tries = ++item->second.tries;
  if (settings_->max_tries > 0 && tries >= settings_->max_tries) {
    auto last = error.wrap("given up after " + std::to_string(tries) + (tries == 1 ? " try" : " tries"));
    return give_up(item, last);
  }
  retries_total_->add();
  note(*item->second.pending.message, message::Stage::retried, cut_secrets(error.text, settings_->secrets));
  const auto& device = item->second.pending.message->dev_eui;
  if (auto under_way = devices_.find(device); under_way != devices_.end()) {
    under_way->second.refused = true;
    refused_.insert(device);
  }
  auto wait = std::chrono::milliseconds(
      std::min<std::chrono::seconds>(kFirstRetry * (1 << std::min(tries - 1, 6u)), kLongestRetry));
  wait =
      std::chrono::milliseconds(static_cast<std::int64_t>(static_cast<double>(wait.count()) * (0.5 + random_share())));
  if (error.wait && *error.wait > wait) wait = std::min<std::chrono::milliseconds>(*error.wait, std::chrono::hours(1));
  auto cause = cut_secrets(error.text, settings_->secrets);
  deps_.events.add(account_, "warn", "connection-1202", "Delivery failed and will be repeated: " + cause,
                   {{"connectionId", connection_text_}, {"cause", cause}});
  auto at = deps_.clock.steady() + wait;
  retries_.emplace(at, item->first);
  if (retries_.begin()->second == item->first) run_retries();
}

void Pump::run_retries() {
  auto now = deps_.clock.steady();
  while (!retries_.empty() && retries_.begin()->first <= now && may_start()) {
    auto place = retries_.begin()->second;
    retries_.erase(retries_.begin());
    auto item = items_.find(place);
    if (item != items_.end() && !item->second.in_flight) start(item);
  }
  if (retries_.empty() || !connector_ || paused_) return;
  // A full window is looked at again soon: the verdicts that empty it feed newer messages first.
  retry_timer_.expires_at(std::max(retries_.begin()->first, now + std::chrono::milliseconds(50)));
  retry_timer_.async_wait([weak = weak_from_this(), generation = generation_](boost::system::error_code ec) {
    auto self = weak.lock();
    if (!ec && self && self->generation_ == generation) self->run_retries();
  });
}

void Pump::lost(Items::iterator item, Counter why, queue::Fate fate) {
  if (item->first >= purged_to_) count_lost(why, 1);
  finish(item, fate);
}

// The peer refused it for good, or its tries are used up.
void Pump::give_up(Items::iterator item, const Error& error) {
  if (item->first < purged_to_) return finish(item, queue::Fate::dropped);
  count(Counter::uplinks_failed);
  const auto& pending = item->second.pending;
  const auto& message = *pending.message;
  auto cause = cut_secrets(error.text, settings_->secrets);
  note(message, message::Stage::refused, cause);
  boost::json::object data{{"connectionId", connection_text_},
                           {"DevEUI", message.dev_eui},
                           {"FCntUp", message.fcnt_up.value_or(-1)},
                           {"cause", cause}};
  const auto& answer = item->second.answer;
  if (answer && answer->status > 0) data["status"] = answer->status;
  if (error.code == processor::kOperationFailed) {
    data["type"] = "callProcessor";  // filters cannot fail
    if (auto index = processor::Operations::failed_index(error)) data["index"] = *index;
    deps_.events.add(account_, "error", processor::kOperationFailed, "Operation failed, message given up: " + cause,
                     std::move(data));
  } else {
    deps_.events.add(account_, "error", "connection-1201", "Delivery refused, message given up: " + cause,
                     std::move(data));
  }
  std::shared_ptr<queue::Letter> letter;
  if (settings_->keep_letters) {
    letter = std::make_shared<queue::Letter>();
    letter->time = deps_.clock.now();
    letter->message = pending.message;
    letter->decoded = pending.decoded;
    letter->validity_ms = pending.validity_ms;
    letter->cause = cause;
    if (answer) letter->answer = cut_secrets(clean_text(answer->text), settings_->secrets);
    std::shared_ptr<const std::string> document;
    if (auto body = body_of(pending, document); body && *body) {
      letter->sent = clean_text((*body)->substr(0, kMostOfSent));
    }
    letter->tries = std::max(1u, item->second.tries);
  }
  finish(item, queue::Fate::dead, std::move(letter));
}

void Pump::finish(Items::iterator item, queue::Fate fate, std::shared_ptr<const queue::Letter> letter) {
  settled_.push_back({item->first, item->second.pending.bytes, fate, std::move(letter)});
  auto device = item->second.pending.message->dev_eui;
  if (item->second.live) --live_items_;
  items_.erase(item);
  measure(0, 1);
  if (!flush_posted_) {
    flush_posted_ = true;
    boost::asio::post(deps_.strand, [self = shared_from_this()] {
      self->flush_posted_ = false;
      self->flush_settled();
    });
  }
  if (!device.empty()) next_of_device(device);
}

void Pump::next_of_device(const std::string& name) {
  auto under_way = devices_.find(name);
  if (under_way == devices_.end()) return;
  auto& device = under_way->second;
  if (device.refused) {
    device.refused = false;
    refused_.erase(name);
  }
  device.head = 0;
  if (device.waiting.empty()) {
    if (device.skipped_from == 0) {
      devices_.erase(under_way);
      return;
    }
    refills_.push_back(name);
    return refill();
  }
  device.head = device.waiting.front();
  auto item = items_.find(device.head);
  auto& next = item != items_.end() && item->second.live ? live_ : urgent_;
  next.push_back(device.head);
  device.waiting.pop_front();
  if (!feeding_)
    feed();
  else
    feed_again_ = true;
}

// How fast the backlog shrinks, for the estimate of its end.
void Pump::measure(std::uint64_t came, std::uint64_t went) {
  came_ += came;
  went_ += went;
  auto now = deps_.clock.steady();
  auto since = now - measured_at_;
  if (since < kMeasure) return;
  auto seconds = std::chrono::duration<double>(since).count();
  auto net = (static_cast<double>(went_) - static_cast<double>(came_)) / seconds;
  // A long silence says nothing.
  shrinking_ = since > 4 * kMeasure ? 0 : std::max(0.0, shrinking_ * 0.5 + net * 0.5);
  measured_at_ = now;
  came_ = went_ = 0;
}

void Pump::flush_settled() {
  if (settled_.empty()) return;
  deps_.queue.settle(connection_, std::exchange(settled_, {}), low());
}

}  // namespace sluice::connection
