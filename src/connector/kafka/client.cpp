// SPDX-License-Identifier: Apache-2.0
#include "connector/kafka/client.h"

#include <algorithm>
#include <boost/asio/redirect_error.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <deque>
#include <list>
#include <set>

#include "connector/kafka/group.h"
#include "connector/kafka/verdict.h"

namespace sluice::connector::kafka {
namespace {

namespace asio = boost::asio;
using std::chrono::milliseconds;
using std::chrono::seconds;
using Clock = std::chrono::steady_clock;

constexpr std::size_t kMaxInFlight = 10000;
constexpr std::size_t kMaxBytesInFlight = std::size_t{64} * 1024 * 1024;
// The broker judges what is too large; this is only for what no broker takes (its socket.request.max.bytes is 100 MiB).
constexpr int kLargestMessage = 32 * 1024 * 1024;
// Of several messages together. A topic's limit counts for a batch, too, so it must stay below what topics allow.
constexpr int kBatchBytes = 64 * 1024;
constexpr std::size_t kMostEvents = 32;  // before others on the strand have their turn
constexpr milliseconds kAllDown{1500};   // at opening: time for the brokers' further addresses
constexpr milliseconds kCheck{5000};     // for one broker to answer when all have gone
constexpr milliseconds kGoodbye{4000};
constexpr seconds kTick{20};
// How long messages are sent one by one after a batch was refused, unless its messages are done with before.
constexpr seconds kSingly{60};

struct Pending {
  Delivery delivery;
  Clock::time_point sent;
  std::size_t bytes = 0;
  std::string topic;  // empty: the fixed one
  std::list<Pending>::iterator self = {};
};

std::string in_ms(milliseconds time) {
  return std::to_string(time.count()) + " ms";
}

std::string text_of(std::int64_t number) {
  return std::to_string(number);
}

Options common_options(const Configuration& c) {
  Options out{
      {"bootstrap.servers", c.servers},
      {"allow.auto.create.topics", "false"},
      {"socket.keepalive.enable", "true"},
      {"socket.nagle.disable", "true"},
      {"socket.connection.setup.timeout.ms",
       text_of(std::clamp<std::int64_t>(c.connect_timeout.count() / 2, 1000, 10000))},
      {"reconnect.backoff.ms", "100"},
      {"reconnect.backoff.max.ms", "2000"},
      {"topic.metadata.refresh.interval.ms", "60000"},
      {"message.max.bytes", text_of(kLargestMessage)},
      {"ssl.endpoint.identification.algorithm", "https"},
      {"enable.ssl.certificate.verification", "true"},
  };
  for (const auto* more : {&c.security, &c.more}) {
    for (const auto& [name, value] : *more)
      out[name] = value;
  }
  return out;
}

Options producer_options(const Configuration& c) {
  auto out = common_options(c);
  out["client.id"] = c.producer_id;
  out["enable.idempotence"] = "true";
  out["acks"] = "all";
  // A broker's client in Java puts a device's messages into the same partition.
  out["partitioner"] = "murmur2_random";
  // Gathers what the devices send in this time; one message a device is on the way at most.
  out["linger.ms"] = "5";
  out["batch.size"] = text_of(kBatchBytes);
  out["message.timeout.ms"] = text_of(c.action_timeout.count());
  out.try_emplace("request.timeout.ms", text_of(std::clamp<std::int64_t>(c.action_timeout.count(), 1, 30000)));
  // A topic that has gone is told soon; those we send to are there since the opening.
  out["topic.metadata.propagation.max.ms"] = text_of(std::min<std::int64_t>(3000, c.action_timeout.count() / 2));
  out["queue.buffering.max.messages"] = text_of(kMaxInFlight * 2);
  out["queue.buffering.max.kbytes"] =
      text_of(2 * static_cast<std::int64_t>(kMaxBytesInFlight + kLargestMessage) / 1024);
  return out;
}

Options consumer_options(const Configuration& c) {
  auto out = common_options(c);
  out["client.id"] = c.consumer_id;
  out["group.id"] = c.group;
  out["auto.offset.reset"] = "latest";
  // What is stored is committed, and stored is what was acknowledged.
  out["enable.auto.commit"] = "true";
  out["enable.auto.offset.store"] = "false";
  out["auto.commit.interval.ms"] = "200";
  // How long the group waits for one that was killed.
  out["session.timeout.ms"] = "10000";
  out["heartbeat.interval.ms"] = "3000";
  out["queued.min.messages"] = "500";
  out["queued.max.messages.kbytes"] = "4096";
  out["fetch.wait.max.ms"] = "500";
  out.erase("request.timeout.ms");
  return out;
}

class Client final : public Connector {
 public:
  Client(Result<Configuration> configuration, Host& host)
      : host_(host),
        configuration_(std::move(configuration)),
        outlet_(std::make_shared<Outlet>(host.executor())),
        woken_(host.executor()),
        ended_(host.executor()),
        tick_(host.executor()) {
    if (configuration_ && configuration_->uplink_topic.is_literal()) fixed_topic_ = configuration_->uplink_topic.text();
  }

  ~Client() override {
    *stop_ = true;
    outlet_->shut();
    if (group_) group_->stop(nullptr);
  }
  Client(const Client&) = delete;
  Client& operator=(const Client&) = delete;

  asio::awaitable<Result<void>> open() override {
    if (!configuration_) co_return configuration_.error();
    auto until = Clock::now() + configuration_->connect_timeout;
    auto opened = co_await connect(until);
    if (opened) opened = co_await receive();
    // What came meanwhile counts: a broker that takes the connection and then says no.
    if (opened && fault_) opened = *fault_;
    if (closing_) opened = Error{ErrorKind::cancelled, "opening was given up"};
    if (!opened) {
      fault_.reset();
      co_return opened.error();
    }
    open_ = true;
    if (group_) tick();
    co_return Result<void>();
  }

  void send(Delivery delivery) override {
    if (!open_) return delivery.settle(Error{ErrorKind::not_connected, "the connection has broken"});
    std::string name;
    if (fixed_topic_.empty()) {
      auto topic = topic_of(delivery);
      if (!topic) return delivery.settle(topic.error());
      name = std::move(*topic);
    }
    auto* topic = producer_->topic(name.empty() ? fixed_topic_ : name);
    if (!topic) {
      return delivery.settle(Error{ErrorKind::permanent, "'" + name + "' can't be the name of a topic"});
    }
    std::string body = delivery.take_body();
    std::string key = delivery.message().dev_eui;
    pending_.push_front({std::move(delivery), Clock::now(), body.size(), std::move(name)});
    auto at = pending_.begin();
    at->self = at;
    bytes_ += body.size();
    int taken = rd_kafka_produce(topic, RD_KAFKA_PARTITION_UA, RD_KAFKA_MSG_F_COPY, body.data(), body.size(),
                                 key.empty() ? nullptr : key.data(), key.size(), &*at);
    if (taken == 0) return;
    auto error = rd_kafka_last_error();
    auto refused = take_out(*at);
    auto verdict = message_verdict(error, refused, true);
    refused.delivery.settle(std::move(verdict));
  }

  asio::awaitable<void> close() override {
    bool first = !std::exchange(closing_, true);
    bool was_open = std::exchange(open_, false);
    *stop_ = true;
    woken_.cancel();
    tick_.cancel();
    if (!first) co_return;
    settle_all();
    bool ended = false;
    {
      auto outlet = outlet_;
      std::shared_ptr<void> token(nullptr, [this, outlet, &ended](void*) {
        outlet->post([this, &ended] {
          ended = true;
          ended_.cancel();
        });
      });
      if (group_) group_->stop(token);
      if (producer_) producer_->keep_until_ended(token);
      producer_.reset();
      made_.reset();
    }
    // Else there is nothing to say goodbye to, and the library may be busy with finding that out.
    auto until = Clock::now() + (was_open ? kGoodbye : milliseconds(0));
    while (!ended && Clock::now() < until)
      co_await wait(ended_, until);
    outlet_->shut();
  }

  [[nodiscard]] std::size_t max_in_flight() const override {
    if (Clock::now() < singly_until_) return 1;
    // Full by bytes: no more than what is on the way.
    if (bytes_ >= kMaxBytesInFlight) return std::max<std::size_t>(1, std::min(pending_.size(), kMaxInFlight));
    return kMaxInFlight;
  }

  [[nodiscard]] std::optional<Peer> peer() const override {
    return configuration_ ? configuration_->peer : std::nullopt;
  }
  [[nodiscard]] std::uint64_t usual_rate() const override { return configuration_ ? configuration_->usual_rate : 0; }

 private:
  static asio::awaitable<void> wait(asio::steady_timer& timer, Clock::time_point until) {
    timer.expires_at(until);
    boost::system::error_code ignored;
    co_await timer.async_wait(asio::redirect_error(asio::use_awaitable, ignored));
  }

  // Makes the producer and asks for the topic, which takes a connection and its authentication.
  asio::awaitable<Result<void>> connect(Clock::time_point until) {
    in_background([this, outlet = outlet_, options = producer_options(*configuration_)] {
      auto made = std::make_shared<Result<std::shared_ptr<Handle>>>(Handle::make(Role::producer, options));
      outlet->post([this, made] {
        made_ = *made;
        woken_.cancel();
      });
    });
    while (!made_ && !closing_ && Clock::now() < until)
      co_await wait(woken_, until);
    if (closing_) co_return Error{ErrorKind::cancelled, "opening was given up"};
    if (!made_) co_return Error{ErrorKind::not_connected, "the client did not start in time"};
    if (!*made_) co_return made_->error();
    producer_ = **made_;
    made_.reset();
    producer_->wake_by(outlet_, [this] { drain(); });
    auto limit = std::chrono::duration_cast<milliseconds>(until - Clock::now());
    in_background([this, outlet = outlet_, producer = producer_, topic = fixed_topic_, limit, stop = stop_] {
      auto asked = ask(*producer, topic.empty() ? nullptr : topic.c_str(), limit, *stop);
      outlet->post([this, asked] {
        asked_ = asked;
        woken_.cancel();
      });
    });
    bool authenticated = false;
    while (!closing_ && !asked_ && !fault_) {
      auto now = Clock::now();
      auto last = all_down_at_ ? std::min(until, *all_down_at_ + kAllDown) : until;
      if (now >= last) break;
      co_await wait(woken_, last);
    }
    if (closing_) co_return Error{ErrorKind::cancelled, "opening was given up"};
    // A refusal is the brokers' answer; other errors may be one broker's of several.
    if (fault_ && fault_->kind == ErrorKind::bad_config) authenticated = !asked_;
    if (asked_ && asked_->error == RD_KAFKA_RESP_ERR_NO_ERROR) authenticated = true;
    if (authenticated) host_.authenticating();
    if (fault_) co_return *fault_;
    if (!asked_ || asked_->error != RD_KAFKA_RESP_ERR_NO_ERROR) co_return unreachable("at opening");
    if (asked_->topic_error != RD_KAFKA_RESP_ERR_NO_ERROR) {
      co_return verdict_of(asked_->topic_error, configuration_->uplink_property + " '" + fixed_topic_ + "'");
    }
    co_return Result<void>();
  }

  // Joins the group. A command's topic that is missing, or the rights to it, do not keep messages from being sent.
  asio::awaitable<Result<void>> receive() {
    if (configuration_->downlink_topic.empty()) co_return Result<void>();
    // In a trial a member more would take partitions from the connection that runs.
    if (host_.trial()) co_return Result<void>();
    Group::Settings settings{consumer_options(*configuration_), configuration_->downlink_topic,
                             configuration_->downlink_property, configuration_->concurrency};
    group_ = std::make_unique<Group>(
        outlet_, std::move(settings), [this](Received command) { host_.received(std::move(command)); },
        [this](const std::string& text) {
          host_.notice({Notice::Kind::other, text, ""});
        });
    group_->start([this] {
      joined_ = true;
      woken_.cancel();
    });
    auto until = Clock::now() + kCheck;
    while (!closing_ && !fault_ && !joined_ && Clock::now() < until)
      co_await wait(woken_, until);
    co_return Result<void>();
  }

  Error unreachable(const std::string& when) const {
    Error out{ErrorKind::not_connected, "no broker of " + configuration_->servers + " answers " + when};
    for (const auto& text : troubles_)
      out.text += "; " + text;
    if (!configuration_->hint.empty()) out.text += " (" + configuration_->hint + ")";
    return out;
  }

  Result<std::string> topic_of(const Delivery& delivery) const {
    auto topic = configuration_->uplink_topic.render(delivery.document(), message::Place::plain);
    if (!topic) return topic;
    for (char& c : *topic) {
      bool fits = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '.' || c == '_' ||
                  c == '-';
      if (!fits) c = '_';
    }
    if (topic->empty() || topic->size() > 249 || *topic == "." || *topic == "..") {
      return Error{ErrorKind::permanent, configuration_->uplink_property + " gives '" + topic->substr(0, 260) +
                                             "', which is no topic's name"};
    }
    return topic;
  }

  Pending take_out(Pending& at) {
    bytes_ -= at.bytes;
    Pending out = std::move(at);
    pending_.erase(out.self);
    return out;
  }

  void drain() {
    auto outlet = outlet_;
    auto producer = producer_;
    if (!producer) return;
    for (std::size_t i = 0; i < kMostEvents; ++i) {
      std::unique_ptr<rd_kafka_event_t, void (*)(rd_kafka_event_t*)> event(producer->next(), rd_kafka_event_destroy);
      if (!event) return;
      if (rd_kafka_event_type(event.get()) == RD_KAFKA_EVENT_DR) {
        delivered(event.get(), *outlet);
      } else if (rd_kafka_event_type(event.get()) == RD_KAFKA_EVENT_ERROR) {
        failed(event.get());
      }
      // A verdict may end the connection, and us.
      if (!outlet->is_open() || closing_) return;
    }
    outlet->post([this] { drain(); });
  }

  // One batch: what was sent together.
  void delivered(rd_kafka_event_t* event, const Outlet& outlet) {
    bool alone = rd_kafka_event_message_count(event) == 1;
    while (const auto* message = rd_kafka_event_message_next(event)) {
      auto one = take_out(*static_cast<Pending*>(message->_private));
      if (message->err == RD_KAFKA_RESP_ERR_NO_ERROR) {
        answered_at_ = Clock::now();
        clear(one);
        one.delivery.settle({});
      } else {
        // Positive codes are the broker's.
        if (message->err > 0) {
          answered_at_ = Clock::now();
          one.delivery.answered(0,
                                std::string(rd_kafka_err2name(message->err)) + ": " + rd_kafka_err2str(message->err));
        }
        auto verdict = message_verdict(message->err, one, alone);
        if (verdict.kind == ErrorKind::permanent) clear(one);
        one.delivery.settle(std::move(verdict));
      }
      if (!outlet.is_open() || closing_) return;
    }
  }

  Error message_verdict(rd_kafka_resp_err_t code, const Pending& one, bool alone) {
    std::string doing = "topic " + (one.topic.empty() ? fixed_topic_ : one.topic);
    if (code == RD_KAFKA_RESP_ERR__MSG_TIMED_OUT || code == RD_KAFKA_RESP_ERR__TIMED_OUT) {
      std::string text = doing + ": no acknowledgement within " + in_ms(configuration_->action_timeout);
      // Where others were acknowledged meanwhile it is this partition's trouble, else the connection's.
      if (answered_at_ > one.sent) return {ErrorKind::transient, std::move(text)};
      for (const auto& trouble : troubles_)
        text += "; " + trouble;
      return {ErrorKind::not_connected, std::move(text)};
    }
    if (code == RD_KAFKA_RESP_ERR__QUEUE_FULL) return {ErrorKind::transient, doing + ": too many messages on the way"};
    if (code == RD_KAFKA_RESP_ERR__FATAL) return fatal();
    auto out = verdict_of(code, doing);
    // Positive codes are the broker's, and its word is about a batch.
    if (out.kind == ErrorKind::permanent && code > 0 && !alone) {
      // Any of the batch may be the one that is meant, or only all together: sent one by one it shows.
      out.kind = ErrorKind::transient;
      if (Clock::now() >= singly_until_) suspects_.clear();
      suspects_.insert(one.delivery.message().seq);
      singly_until_ = Clock::now() + kSingly;
    } else if (!one.topic.empty() && out.kind == ErrorKind::bad_config && is_about_topic(code)) {
      out.kind = ErrorKind::permanent;  // the topic is the message's own: others have theirs
    }
    return out;
  }

  // The message is done with. Batches are sent again once those of the refused one are.
  void clear(const Pending& one) {
    if (suspects_.erase(one.delivery.message().seq) > 0 && suspects_.empty()) singly_until_ = {};
  }

  static bool is_about_topic(rd_kafka_resp_err_t code) {
    return code == RD_KAFKA_RESP_ERR_UNKNOWN_TOPIC_OR_PART || code == RD_KAFKA_RESP_ERR__UNKNOWN_TOPIC ||
           code == RD_KAFKA_RESP_ERR__UNKNOWN_PARTITION || code == RD_KAFKA_RESP_ERR_TOPIC_EXCEPTION;
  }

  [[nodiscard]] Error fatal() const {
    std::array<char, 512> text{};
    auto code = rd_kafka_fatal_error(producer_->get(), text.data(), text.size());
    auto out = fault_of(code, text.data(), "");
    // The library gives this client up: with a new one it may go on.
    if (out.kind == ErrorKind::transient || out.kind == ErrorKind::permanent) out.kind = ErrorKind::not_connected;
    return out;
  }

  void failed(rd_kafka_event_t* event) {
    auto code = rd_kafka_event_error(event);
    if (rd_kafka_event_error_is_fatal(event) || code == RD_KAFKA_RESP_ERR__FATAL) return broken(fatal());
    if (code == RD_KAFKA_RESP_ERR__ALL_BROKERS_DOWN) {
      all_down_at_ = Clock::now();
      woken_.cancel();
      check();
      return;
    }
    auto fault = fault_of(code, rd_kafka_event_error_string(event), producer_->certificate_fault());
    // What is about a topic is in the verdicts of its messages.
    bool about_us = code == RD_KAFKA_RESP_ERR__AUTHENTICATION || code == RD_KAFKA_RESP_ERR__SSL ||
                    code == RD_KAFKA_RESP_ERR__TRANSPORT;
    if (fault.kind == ErrorKind::bad_config && about_us) return broken(std::move(fault));
    if (fault.kind != ErrorKind::not_connected) return;
    std::erase(troubles_, fault.text);
    troubles_.push_back(std::move(fault.text));
    if (troubles_.size() > 3) troubles_.pop_front();
  }

  // All brokers have gone: true for good, or because an idle connection was closed, or for the moment of a restart.
  void check() {
    if (!open_ || checking_) return;
    checking_ = true;
    auto limit = std::min(kCheck, configuration_->connect_timeout);
    in_background([this, outlet = outlet_, producer = producer_, limit, stop = stop_] {
      auto asked = ask(*producer, nullptr, limit, *stop);
      outlet->post([this, asked] {
        checking_ = false;
        if (asked.error == RD_KAFKA_RESP_ERR_NO_ERROR) {
          troubles_.clear();
        } else {
          broken(unreachable("any more"));
        }
      });
    });
  }

  // The connection is of no use: told by open() while that runs, else to the host, once.
  void broken(Error error) {
    if (closing_) return;
    if (std::exchange(open_, false)) {
      host_.lost(std::move(error));
    } else if (!fault_) {
      fault_ = std::move(error);
      woken_.cancel();
    }
  }

  void settle_all() {
    auto all = std::move(pending_);
    pending_.clear();
    bytes_ = 0;
    for (auto& one : all)
      one.delivery.settle(Error{ErrorKind::not_connected, "the connection was closed before the broker answered"});
  }

  void tick() {
    tick_.expires_after(kTick);
    tick_.async_wait([this, outlet = outlet_](boost::system::error_code ec) {
      if (ec || !outlet->is_open() || closing_) return;
      group_->tick();
      if (outlet->is_open() && !closing_) tick();
    });
  }

  Host& host_;
  const Result<Configuration> configuration_;
  const std::shared_ptr<Outlet> outlet_;
  const std::shared_ptr<std::atomic<bool>> stop_ = std::make_shared<std::atomic<bool>>(false);
  std::string fixed_topic_;  // where it is the same for every message

  asio::steady_timer woken_, ended_, tick_;  // each waited for in one place
  std::optional<Result<std::shared_ptr<Handle>>> made_;
  std::optional<Asked> asked_;
  std::optional<Error> fault_;  // before it was open
  std::optional<Clock::time_point> all_down_at_;
  bool joined_ = false, open_ = false, closing_ = false, checking_ = false;

  std::shared_ptr<Handle> producer_;
  std::unique_ptr<Group> group_;
  // What the library has; a message's opaque pointer is the element's.
  std::list<Pending> pending_;
  std::size_t bytes_ = 0;
  Clock::time_point answered_at_, singly_until_;
  std::set<std::uint64_t> suspects_;  // by their place in the log: sent in a batch that was refused
  std::deque<std::string> troubles_;  // of brokers, the latest last
};

}  // namespace

std::unique_ptr<Connector> make_client(Result<Configuration> configuration, Host& host) {
  return std::make_unique<Client>(std::move(configuration), host);
}

}  // namespace sluice::connector::kafka
