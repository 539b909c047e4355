// SPDX-License-Identifier: Apache-2.0
// The way of a connection through its states, on a clock that the test turns.
#include "connection/connection.h"

#include <algorithm>
#include <boost/asio/io_context.hpp>
#include <boost/asio/redirect_error.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <filesystem>
#include <future>
#include <gtest/gtest.h>
#include <limits>
#include <thread>

#include "base/crypto.h"
#include "base/json.h"

namespace sluice::connection {
namespace {

namespace asio = boost::asio;
using namespace std::chrono_literals;
using Time = std::chrono::steady_clock::time_point;

class ManualClock final : public Clock {
 public:
  [[nodiscard]] UnixMillis now() const override { return 1'700'000'000'000 + at.load(); }
  [[nodiscard]] Time steady() const override { return Time(std::chrono::milliseconds(at.load())); }
  std::atomic<std::int64_t> at{1'000'000};
};

// What the peer does; the connectors are made and dropped by the connection.
struct Script {
  std::optional<Error> refuse;  // what open() ends with
  bool hang_open = false;       // until close()
  bool hang_close = false;      // for ever
  bool swallow = false;         // takes messages, gives no verdict
  int openings = 0, closings = 0;
  std::vector<Time> opened_at;
  connector::Host* host = nullptr;
  std::vector<connector::Delivery> held;
} script;

class ScriptedConnector final : public connector::Connector {
 public:
  explicit ScriptedConnector(connector::Host& host) : host_(host), woken_(host.executor(), Time::max()) {
    script.host = &host;
  }
  asio::awaitable<Result<void>> open() override {
    ++script.openings;
    script.opened_at.push_back(host_.clock().steady());
    host_.authenticating();
    if (script.hang_open) {
      boost::system::error_code ignored;
      co_await woken_.async_wait(asio::redirect_error(asio::use_awaitable, ignored));
      co_return Error{ErrorKind::cancelled, "given up"};
    }
    if (script.refuse) co_return *script.refuse;
    co_return Result<void>();
  }
  void send(connector::Delivery delivery) override {
    if (script.swallow)
      script.held.push_back(std::move(delivery));
    else
      delivery.settle({});
  }
  asio::awaitable<void> close() override {
    ++script.closings;
    woken_.cancel();
    if (script.hang_close) {
      asio::steady_timer never(host_.executor(), Time::max());
      boost::system::error_code ignored;
      co_await never.async_wait(asio::redirect_error(asio::use_awaitable, ignored));
    }
    script.held.clear();
  }
  [[nodiscard]] std::size_t max_in_flight() const override { return 10; }

 private:
  connector::Host& host_;
  asio::steady_timer woken_;
};

const Error kRefused{ErrorKind::bad_config, "wrong password"};
const Error kGone{ErrorKind::not_connected, "connection refused"};

class ConnectionTest : public testing::Test {
 protected:
  ConnectionTest() {
    script = {};
    directory_ = std::filesystem::temp_directory_path() / ("sluice-connection-" + random_uuid());
    std::filesystem::create_directories(directory_);
    store_ = std::move(*store::open_sqlite(directory_, SecretBox(random_bytes(32)), clock_));
    events_ = std::make_unique<store::Events>(*store_, clock_, metrics_);
    queue::Options options;
    options.directory = directory_ + "/queue";
    options.maintenance = std::chrono::hours(1);
    queue_ = std::move(*queue::open_rocks(options, system_clock(), metrics_));
    shared_ = std::make_unique<Shared>(
        Shared{io_.get_executor(), disk_, *queue_, *events_, clock_, metrics_, registry_, http_, {}, "http://sluice"});
    shared_->wait_until = [this](asio::steady_timer& timer, Time until) {
      timer.expires_at(Time::max());
      timer_ = &timer;
      due_ = until;
    };
    shared_->random = [] { return 0.5; };
    shared_->make_connector = [](connector::Host& host) { return std::make_unique<ScriptedConnector>(host); };
  }
  ~ConnectionTest() override {
    queue_->subscribe(nullptr);
    if (connection_) {
      bool done = false;
      connection_->shut_down([&] { done = true; });
      for (int i = 0; i < 100 && !done; ++i)
        step();
      EXPECT_TRUE(done);
    }
    connection_.reset();
    queue_->close();
    disk_.join();
    events_.reset();
    std::filesystem::remove_all(directory_);
  }

  void make(boost::json::object configuration = {}, bool active = true, boost::json::object more = {}) {
    stored_.id = "5";
    stored_.account = "1";
    configuration["hostName"] = "h";
    stored_.resource = std::move(more);
    stored_.resource["connectorId"] = "actility-mqtt-iot";
    stored_.resource["name"] = "plant";
    stored_.resource["active"] = active;
    stored_.resource["configuration"] = std::move(configuration);
    connection_ = std::make_shared<Connection>(*shared_, stored_);
    subscriber_.connection = connection_.get();
    queue_->subscribe(&subscriber_);
    connection_->start();
    settle();
  }
  // Runs what can run without time passing.
  void settle() {
    io_.restart();
    while (io_.poll() > 0)
      io_.restart();
  }
  // Lets the time pass to the next thing that is waited for.
  void step() {
    if (due_ != Time::max() && due_ > clock_.steady())
      clock_.at = std::chrono::duration_cast<std::chrono::milliseconds>(due_.time_since_epoch()).count();
    if (timer_) timer_->cancel();
    settle();
  }
  void pass(std::chrono::milliseconds time) {
    auto end = clock_.at + time.count();
    for (int steps = 0; due_ <= Time(std::chrono::milliseconds(end)) && steps < 100000; ++steps)
      step();
    clock_.at = end;
    settle();
  }
  // The waits between the next `count` openings.
  std::vector<std::chrono::milliseconds> waits(int count) {
    std::vector<std::chrono::milliseconds> out;
    for (int i = 0; i < count; ++i) {
      auto before = script.openings;
      for (int steps = 0; script.openings == before && steps < 10; ++steps)
        step();
      if (script.openings == before) break;
      auto n = script.opened_at.size();
      out.push_back(std::chrono::duration_cast<std::chrono::milliseconds>(script.opened_at[n - 1] - left_));
      left_ = script.opened_at[n - 1];
    }
    return out;
  }
  State state() { return connection_->status().state; }
  std::vector<std::string> codes() {
    events_->flush();
    store::EventQuery query;
    query.account = "1";
    query.to = std::numeric_limits<UnixMillis>::max();
    auto found = store_->events(query);
    std::vector<std::string> out;
    for (auto& one : *found)
      out.insert(out.begin(), one.code);
    return out;
  }
  long count(const char* code) {
    auto all = codes();
    return std::count(all.begin(), all.end(), code);
  }
  void send_uplink() {
    auto message = *message::parse_report(R"({"DevEUI_uplink":{"DevEUI":"0000000000000001","FCntUp":)" +
                                          std::to_string(++fcnt_) + "}}");
    message.account = "1";
    std::promise<void> stored;
    queue_->append(std::move(message), [&](Result<queue::Appended>) { stored.set_value(); });
    stored.get_future().wait();
    auto got = queue_->next(last_, 1, std::chrono::milliseconds(1000));
    ASSERT_EQ(got.size(), 1u);
    last_ = got[0]->seq;
    queue_->put({{got[0], {{5, nullptr, 0}}}}, {last_, {}});
    for (int i = 0; i < 50; ++i) {
      settle();
      std::this_thread::sleep_for(std::chrono::milliseconds(1));  // the disk's thread reads the list
    }
  }

  struct Forward final : queue::Subscriber {
    Connection* connection = nullptr;
    void on_pending(std::uint64_t, std::vector<queue::Pending> entries) override {
      connection->on_pending(std::move(entries));
    }
    void on_dropped(std::uint64_t, std::uint64_t, std::uint64_t, const char*) override {}
  };
  std::string directory_;
  Forward subscriber_;
  ManualClock clock_;
  Metrics metrics_;
  asio::io_context io_;
  asio::thread_pool disk_{1};
  connector::Registry registry_;
  HttpClient http_;
  std::unique_ptr<store::Store> store_;
  std::unique_ptr<store::Events> events_;
  std::unique_ptr<queue::Queue> queue_;
  std::unique_ptr<Shared> shared_;
  asio::steady_timer* timer_ = nullptr;
  Time due_ = Time::max(), left_;
  store::Connection stored_;
  std::shared_ptr<Connection> connection_;
  std::uint64_t last_ = 0;
  int fcnt_ = 0;  // the log takes no report twice
};

TEST_F(ConnectionTest, CalmIsWalkedToItsEndAndStartsAgainByHand) {
  script.refuse = kRefused;
  make({{"reconnectStrategy", "CALM"}});
  EXPECT_EQ(state(), State::authentication_failed);
  EXPECT_EQ(connection_->status().reason_code, "connection-1102");
  EXPECT_EQ(*connection_->status().next_retry, clock_.now() + 600'000);
  left_ = clock_.steady();
  auto tries = waits(96);
  ASSERT_EQ(tries.size(), 96u);
  for (std::size_t i = 0; i < tries.size(); ++i)
    EXPECT_EQ(tries[i], i < 72 ? 10min : std::chrono::minutes(60)) << i;
  EXPECT_EQ(state(), State::closed);
  EXPECT_EQ(connection_->status().reason_code, "connection-1104");
  EXPECT_FALSE(connection_->status().next_retry);
  EXPECT_EQ(count("connection-1104"), 1);
  EXPECT_TRUE(waits(1).empty());
  send_uplink();
  EXPECT_EQ(queue_->count(5), 1u);  // in place
  script.refuse.reset();
  connection_->restart();
  pass(1s);
  EXPECT_EQ(state(), State::opened);
}

TEST_F(ConnectionTest, NormalMakesQuickTriesAndNeverGivesUp) {
  script.refuse = kGone;
  make();
  EXPECT_EQ(state(), State::unreachable);
  left_ = clock_.steady();
  auto first = left_;
  EXPECT_EQ(waits(3), (std::vector<std::chrono::milliseconds>{1s, 5s, 20s}));
  waits(1);
  EXPECT_EQ(left_ - first, 5min);
  for (auto wait : waits(11))
    EXPECT_EQ(wait, 5min);
  for (auto wait : waits(24))
    EXPECT_EQ(wait, 1h);
  for (auto wait : waits(400))
    EXPECT_EQ(wait, 24h);
}

TEST_F(ConnectionTest, AggressiveSchedule) {
  script.refuse = kRefused;
  make({{"reconnectStrategy", "AGGRESSIVE"}});
  left_ = clock_.steady();
  for (auto wait : waits(60))
    EXPECT_EQ(wait, 3min);
  for (auto wait : waits(336))
    EXPECT_EQ(wait, 30min);
  for (auto wait : waits(300))
    EXPECT_EQ(wait, 1h);
}

TEST_F(ConnectionTest, AMessageDoesNotMoveTheNextTry) {
  script.refuse = kRefused;
  make();
  auto retry = connection_->status().next_retry;
  pass(4min);
  send_uplink();
  EXPECT_EQ(connection_->status().next_retry, retry);
  EXPECT_EQ(script.openings, 1);
  pass(61s);
  EXPECT_EQ(script.openings, 2);
}

TEST_F(ConnectionTest, OnlyWhatOpeningReadsRestarts) {
  make();
  ASSERT_EQ(state(), State::opened);
  stored_.resource["name"] = "other";
  stored_.resource["debug"] = true;
  connection_->apply(stored_);
  settle();
  EXPECT_EQ(script.openings, 1);
  stored_.resource["configuration"] = boost::json::object{{"hostName", "elsewhere"}};
  connection_->apply(stored_);
  for (int i = 0; i < 5 && script.openings < 2; ++i)
    step();
  EXPECT_EQ(script.openings, 2);
  EXPECT_EQ(state(), State::opened);
}

TEST_F(ConnectionTest, DeactivatedAndBack) {
  make();
  stored_.resource["active"] = false;
  connection_->apply(stored_);
  settle();
  EXPECT_EQ(state(), State::deactivated);
  auto all = codes();  // all of one moment: their order tells nothing
  std::sort(all.begin(), all.end());
  EXPECT_EQ(all, (std::vector<std::string>{"connection-1001", "connection-1002", "connection-1003", "connection-1004",
                                           "connection-1004"}));
  stored_.resource["active"] = true;
  connection_->apply(stored_);
  pass(1s);
  EXPECT_EQ(state(), State::opened);
}

TEST_F(ConnectionTest, RestartWhileOpeningStartsOverOnce) {
  script.hang_open = true;
  make();
  EXPECT_EQ(state(), State::authenticating);
  script.hang_open = false;
  connection_->restart();
  connection_->restart();
  connection_->restart();
  pass(1s);
  EXPECT_EQ(state(), State::opened);
  EXPECT_EQ(script.openings, 2);
}

TEST_F(ConnectionTest, NoPhaseIsWithoutEnd) {
  script.hang_open = true;
  make();
  pass(64500ms);
  EXPECT_EQ(state(), State::authenticating);
  pass(1s);
  EXPECT_EQ(state(), State::unreachable);
  script.hang_open = false;
  script.hang_close = true;
  pass(2s);
  ASSERT_EQ(state(), State::opened);
  stored_.resource["active"] = false;
  connection_->apply(stored_);
  settle();
  EXPECT_EQ(state(), State::closing);
  pass(11s);
  EXPECT_EQ(state(), State::deactivated);
}

TEST_F(ConnectionTest, APeerThatSwallowsEverythingIsNotOpenedForLong) {
  script.swallow = true;
  make();
  ASSERT_EQ(state(), State::opened);
  pass(10min);
  EXPECT_EQ(state(), State::opened);  // nothing was sent: nothing is missing
  send_uplink();
  ASSERT_EQ(script.held.size(), 1u);
  script.refuse = kGone;
  pass(80s);
  EXPECT_EQ(state(), State::unreachable);
  EXPECT_EQ(queue_->count(5), 1u);
}

TEST_F(ConnectionTest, AggressiveRestartsWithoutUplinks) {
  make({{"reconnectStrategy", "AGGRESSIVE"}});
  pass(3h);
  EXPECT_EQ(script.openings, 1);  // it never had one
  send_uplink();
  pass(59min);
  EXPECT_EQ(script.openings, 1);
  pass(2min);
  EXPECT_EQ(script.openings, 2);
  EXPECT_EQ(state(), State::opened);
  pass(24h * 8);
  auto after_a_week = script.openings;
  EXPECT_GT(after_a_week, 100);
  pass(24h);
  EXPECT_EQ(script.openings, after_a_week);
}

TEST_F(ConnectionTest, DebugModeSwitchesItselfOff) {
  make({}, true, {{"debug", true}});
  EXPECT_GT(count("connection-1010"), 0);
  pass(47h);
  EXPECT_EQ(count("connection-1007"), 0);
  pass(2h);
  EXPECT_EQ(count("connection-1007"), 1);
  EXPECT_EQ(state(), State::opened);
}

// It is 22:30.
const auto kAlarms = *json::parse(R"([{"startTime":"2023-11-14T23:00:00Z","endTime":"2023-11-15T02:00:00Z",
    "uplinkRateMinPerHour":2,"message":"Too few","deliverTo":"6"}])");

TEST_F(ConnectionTest, AlarmIsRaisedAndCleared) {
  make({}, true, {{"alarms", kAlarms}});
  pass(29min);
  send_uplink();  // outside
  pass(62min);    // 00:01
  EXPECT_EQ(count("connection-1401"), 1);
  // It went to the other connection, through the log.
  auto report = [&]() -> message::MessagePtr {
    auto got = queue_->next(last_, 1, std::chrono::milliseconds(5000));
    if (got.empty()) return nullptr;
    last_ = got[0]->seq;
    return got[0];
  };
  auto low = report();
  ASSERT_TRUE(low);
  EXPECT_TRUE(is_alarm_report(*low));
  EXPECT_EQ(message::connection_of_binder(low->binder), "6");
  EXPECT_NE(low->body.find(R"("ConnectionID":"5","ConnectionName":"plant","ID":1401,"State":3)"), std::string::npos);
  send_uplink();
  send_uplink();
  pass(60min);  // 01:01
  EXPECT_EQ(count("connection-1401"), 1);
  EXPECT_EQ(count("connection-1402"), 1);
  auto fine = report();
  ASSERT_TRUE(fine);
  EXPECT_NE(fine->body.find(R"("ID":1402,"State":1)"), std::string::npos);
}

TEST_F(ConnectionTest, AlarmIsJudgedWhateverTheState) {
  script.refuse = kGone;
  make({{"reconnectStrategy", "CALM"}}, true, {{"alarms", kAlarms}});
  pass(91min);
  EXPECT_EQ(count("connection-1401"), 1);  // nothing is delivered: that is what it is there for
  stored_.resource["active"] = false;
  connection_->apply(stored_);
  pass(60min);
  EXPECT_EQ(state(), State::deactivated);
  EXPECT_EQ(count("connection-1401"), 1);
}

TEST_F(ConnectionTest, AlarmCountsOnOverARestart) {
  make({}, true, {{"alarms", kAlarms}});
  send_uplink();  // before it is of interest
  pass(40min);
  send_uplink();
  EXPECT_EQ(queue_->count(5), 0u);
  bool done = false;
  connection_->shut_down([&] { done = true; });
  for (int i = 0; i < 100 && !done; ++i)
    step();
  ASSERT_TRUE(done);
  // What is settled, and how the alarm stands, is written by the queue's thread.
  for (int i = 0; i < 500 && (queue_->count(5) > 0 || !queue_->fact(alarms_fact("5"))); ++i)
    std::this_thread::sleep_for(std::chrono::milliseconds(10));
  make({}, true, {{"alarms", kAlarms}});
  pass(5min);
  send_uplink();
  pass(60min);                             // 00:15
  EXPECT_EQ(count("connection-1401"), 0);  // one before, one after
  pass(60min);
  EXPECT_EQ(count("connection-1401"), 1);
}

TEST_F(ConnectionTest, OpeningsAreSpread) {
  Pace pace;
  Time now{};
  for (int i = 0; i < 1000; ++i)
    EXPECT_EQ(pace.take(now), now + i * 5ms);
  EXPECT_EQ(pace.take(now + 1min), now + 1min);
}

}  // namespace
}  // namespace sluice::connection
