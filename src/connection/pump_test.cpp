// SPDX-License-Identifier: Apache-2.0
#include "connection/pump.h"

#include <boost/asio/io_context.hpp>
#include <filesystem>
#include <future>
#include <gtest/gtest.h>
#include <map>
#include <random>

#include "base/crypto.h"
#include "base/json.h"

namespace sluice::connection {
namespace {

namespace asio = boost::asio;

class TestClock final : public Clock {
 public:
  [[nodiscard]] UnixMillis now() const override { return system_clock().now() + offset; }
  [[nodiscard]] std::chrono::steady_clock::time_point steady() const override {
    return frozen ? *frozen : system_clock().steady();
  }
  UnixMillis offset = 0;
  std::optional<std::chrono::steady_clock::time_point> frozen;
};

// Takes deliveries and holds them until the test gives a verdict, or asks it at once.
class HeldConnector final : public connector::Connector {
 public:
  asio::awaitable<Result<void>> open() override { co_return Result<void>(); }
  void send(connector::Delivery delivery) override {
    bodies.push_back(delivery.body());
    if (judge) {
      auto verdict = judge(delivery);
      return delivery.settle(std::move(verdict));
    }
    held.push_back(std::move(delivery));
  }
  asio::awaitable<void> close() override { co_return; }
  [[nodiscard]] std::size_t max_in_flight() const override { return window; }

  std::size_t window = 100;
  std::function<Result<void>(connector::Delivery&)> judge;
  std::vector<connector::Delivery> held;
  std::vector<std::string> bodies;
};

class PumpTest : public testing::Test {
 protected:
  PumpTest() {
    directory_ = std::filesystem::temp_directory_path() / ("sluice-pump-" + random_uuid());
    queue::Options options;
    options.directory = directory_ + "/queue";
    options.maintenance = std::chrono::hours(1);
    std::filesystem::create_directories(directory_);
    store_ = std::move(*store::open_sqlite(directory_, SecretBox(random_bytes(32)), system_clock()));
    events_ = std::make_unique<store::Events>(*store_, system_clock(), metrics_);
    queue_ = std::move(*queue::open_rocks(options, system_clock(), metrics_));
    settings_ = std::make_shared<DeliverySettings>();
    pump_ = std::make_shared<Pump>(Pump::Dependencies{io_.get_executor(), disk_, *queue_, *events_, clock_, metrics_},
                                   kConnection, "1");
    pump_->configure(settings_);
    subscriber_.pump = pump_.get();
    queue_->subscribe(&subscriber_);
  }
  ~PumpTest() override {
    queue_->subscribe(nullptr);
    pump_->close();
    queue_->close();
    disk_.join();
    io_.restart();
    io_.poll();
    std::filesystem::remove_all(directory_);
  }

  void add(int device, int counter, UnixMillis age_ms = 0, const std::string& more = "") {
    char eui[17];
    std::snprintf(eui, sizeof eui, "%016X", device);
    auto message = *message::parse_report(R"({"DevEUI_uplink":{"Time":")" + format_time(system_clock().now() - age_ms) +
                                          R"(","DevEUI":")" + std::string(eui) + R"(","FCntUp":)" +
                                          std::to_string(counter) + more + "}}");
    message.account = "1";
    message.arrived = system_clock().now();
    std::promise<void> stored;
    queue_->append(std::move(message), [&](Result<queue::Appended> result) {
      EXPECT_TRUE(result);
      stored.set_value();
    });
    stored.get_future().wait();
    auto got = queue_->next(last_, 1, std::chrono::milliseconds(1000));
    ASSERT_EQ(got.size(), 1u);
    last_ = got[0]->seq;
    queue_->put({{got[0], {{kConnection, nullptr, 0}}}}, {last_, {}});
  }

  // Many at once, in that order.
  void add_many(const std::vector<std::pair<int, int>>& reports) {
    std::atomic<std::size_t> stored{0};
    for (auto [device, counter] : reports) {
      char eui[17];
      std::snprintf(eui, sizeof eui, "%016X", device);
      auto message = *message::parse_report(R"({"DevEUI_uplink":{"DevEUI":")" + std::string(eui) + R"(","FCntUp":)" +
                                            std::to_string(counter) + "}}");
      message.account = "1";
      message.arrived = system_clock().now();
      queue_->append(std::move(message), [&](Result<queue::Appended> result) {
        EXPECT_TRUE(result);
        ++stored;
      });
    }
    run_until([&] { return stored == reports.size(); });
    for (auto end = last_ + reports.size(); last_ < end;) {
      auto got = queue_->next(last_, 1000, std::chrono::milliseconds(1000));
      ASSERT_FALSE(got.empty());
      std::vector<queue::Routed> routed;
      for (auto& message : got)
        routed.push_back({message, {{kConnection, nullptr, 0}}});
      last_ = got.back()->seq;
      queue_->put(std::move(routed), {last_, {}});
    }
  }
  void poll() {
    io_.restart();
    io_.poll();
  }
  [[nodiscard]] queue::Totals totals() { return queue_->state(kConnection).totals; }
  [[nodiscard]] std::uint64_t fate(queue::Fate which) { return totals().fates[static_cast<std::size_t>(which)]; }

  void run_until(const std::function<bool()>& condition) {
    auto guard = asio::make_work_guard(io_);
    auto deadline = std::chrono::steady_clock::now() + std::chrono::seconds(10);
    while (!condition() && std::chrono::steady_clock::now() < deadline) {
      io_.restart();
      io_.run_one_for(std::chrono::milliseconds(20));
    }
    EXPECT_TRUE(condition());
  }
  void wait_held(std::size_t count) {
    run_until([&] { return connector_.held.size() >= count; });
  }
  static int counter_of(const std::string& body) {
    auto at = body.find("\"FCntUp\":");
    return std::atoi(body.c_str() + at + 9);
  }
  std::vector<int> counters() const {
    std::vector<int> out;
    for (const auto& body : connector_.bodies)
      out.push_back(counter_of(body));
    return out;
  }
  void open() {
    pump_->open(connector_, [this](Error error) { trouble_.push_back(std::move(error)); });
  }
  [[nodiscard]] std::uint64_t counted(Counter counter) {
    return pump_->windows().read(system_clock().now()).last_1h[static_cast<std::size_t>(counter)];
  }
  void settle(std::size_t held, Result<void> result) { connector_.held[held].settle(std::move(result)); }
  void expect_empty_list() {
    run_until([&] { return queue_->count(kConnection) == 0; });
  }

  static constexpr std::uint64_t kConnection = 5;
  struct Forward final : queue::Subscriber {
    Pump* pump = nullptr;
    void on_pending(std::uint64_t, std::vector<queue::Pending> entries) override {
      pump->on_pending(std::move(entries));
    }
    void on_dropped(std::uint64_t, std::uint64_t place, std::uint64_t count, const char* reason) override {
      pump->on_dropped(place, count, reason);
    }
  };
  std::string directory_;
  TestClock clock_;
  Metrics metrics_;
  asio::io_context io_;
  asio::thread_pool disk_{1};
  std::unique_ptr<store::Store> store_;
  std::unique_ptr<store::Events> events_;
  std::unique_ptr<queue::Queue> queue_;
  std::shared_ptr<DeliverySettings> settings_;
  HeldConnector connector_;
  std::shared_ptr<Pump> pump_;
  Forward subscriber_;
  std::vector<Error> trouble_;
  std::uint64_t last_ = 0;
};

const Error kTransient{ErrorKind::transient, "busy"};

TEST_F(PumpTest, OneInFlightPerDeviceOthersBeside) {
  open();
  for (auto [device, counter] : {std::pair{1, 1}, {1, 2}, {2, 3}, {1, 4}, {3, 5}})
    add(device, counter);
  wait_held(3);
  EXPECT_EQ(counters(), (std::vector{1, 3, 5}));
  settle(0, {});
  wait_held(4);
  settle(3, {});
  wait_held(5);
  EXPECT_EQ(counters(), (std::vector{1, 3, 5, 2, 4}));
  for (std::size_t i : {1u, 2u, 4u})
    settle(i, {});
  expect_empty_list();
}

TEST_F(PumpTest, RetryKeepsTheDevicesOrder) {
  open();
  add(1, 1);
  add(1, 2);
  add(2, 3);
  wait_held(2);
  settle(0, kTransient);
  settle(1, {});
  wait_held(3);  // after its back-off the same message, not the next of the device
  EXPECT_EQ(counters(), (std::vector{1, 3, 1}));
  settle(2, {});
  wait_held(4);
  EXPECT_EQ(counter_of(connector_.bodies[3]), 2);
  settle(3, {});
  expect_empty_list();
}

TEST_F(PumpTest, RefusedForGoodIsSettledAndTheNextGoesOut) {
  open();
  add(1, 1);
  add(1, 2);
  wait_held(1);
  settle(0, Error{ErrorKind::permanent, "too large"});
  wait_held(2);
  settle(1, {});
  expect_empty_list();
  EXPECT_EQ(counted(Counter::uplinks), 2u);
  EXPECT_EQ(counted(Counter::uplinks_failed), 1u);
  EXPECT_EQ(counted(Counter::uplinks_delivered), 1u);
  EXPECT_EQ(counted(Counter::uplink_bytes), connector_.bodies[1].size());
  EXPECT_NE(metrics_.text().find("sluice_connection_delivered_total{connection=\"5\"} 1\n"), std::string::npos);
}

TEST_F(PumpTest, WhatWasInFlightComesAgainInOrderAfterReopening) {
  open();
  for (int i = 1; i <= 6; ++i)
    add(i % 3, i);
  wait_held(3);
  settle(1, {});  // number 2 of device 2: its follower 5 goes out
  wait_held(4);
  settle(0, Error{ErrorKind::not_connected, "reset by peer"});
  run_until([&] { return !trouble_.empty(); });
  pump_->close();
  auto stale = std::move(connector_.held);
  connector_.held.clear();
  connector_.bodies.clear();
  open();
  wait_held(3);
  EXPECT_EQ(counters(), (std::vector{1, 3, 5}));
  for (auto& delivery : stale)
    delivery.settle({});  // of the earlier connector: counts for nothing
  for (std::size_t i = 0; i < 5; ++i) {
    wait_held(i + 1);
    settle(i, {});
  }
  expect_empty_list();
  auto all = counters();
  EXPECT_LT(std::find(all.begin(), all.end(), 1), std::find(all.begin(), all.end(), 4));
  EXPECT_LT(std::find(all.begin(), all.end(), 3), std::find(all.begin(), all.end(), 6));
}

TEST_F(PumpTest, DroppedWithoutAVerdictIsTriedAgain) {
  open();
  add(1, 1);
  wait_held(1);
  { auto dropped = std::move(connector_.held[0]); }
  wait_held(2);
  settle(1, {});
  expect_empty_list();
}

TEST_F(PumpTest, WindowBoundsWhatIsInFlightAndTheDiskHoldsTheRest) {
  connector_.window = 10;
  open();
  for (int i = 1; i <= 60; ++i)
    add(i, i);
  wait_held(10);
  io_.restart();
  io_.poll();
  EXPECT_EQ(connector_.held.size(), 10u);
  for (std::size_t i = 0; i < 60; ++i) {
    wait_held(i + 1);
    settle(i, {});
  }
  expect_empty_list();
  std::vector<int> expected(60);
  for (int i = 0; i < 60; ++i)
    expected[static_cast<std::size_t>(i)] = i + 1;
  EXPECT_EQ(counters(), expected);
}

TEST_F(PumpTest, ExpiredAndFilteredAreCountedLost) {
  settings_->validity_ms = 60'000;
  settings_->format.send_metadata = true;
  open();
  add(1, 1, 120'000);
  add(1, 2, 1000);
  wait_held(1);
  EXPECT_EQ(counters(), std::vector{2});
  settle(0, {});
  expect_empty_list();
  EXPECT_EQ(counted(Counter::uplinks_lost), 1u);
  EXPECT_EQ(counted(Counter::uplinks_expired), 1u);
  EXPECT_EQ(counted(Counter::uplinks_filtered) + counted(Counter::uplinks_dropped), 0u);
  settings_->operations =
      *processor::Operations::read(json::parse(R"([{"type":"filter","keepDeviceUplink":false}])")->get_array());
  add(1, 3);
  run_until([&] { return counted(Counter::uplinks_lost) == 2; });
  EXPECT_EQ(counted(Counter::uplinks_lost), 2u);
  EXPECT_EQ(counted(Counter::uplinks_filtered), 1u);
}

TEST_F(PumpTest, AnOperationThatFailsGivesUpItsMessageAlone) {
  auto operations =
      processor::Operations::read(json::parse(R"([{"type":"callProcessor","id":"MESSAGE_FLATTENER"}])")->get_array());
  ASSERT_TRUE(operations);
  settings_->operations = *operations;
  // 6 KB, and flat over 1 MiB: a long name above many values.
  std::string values = "0";
  for (int i = 0; i < 200; ++i)
    values += ",0";
  add(1, 1, 0, ",\"" + std::string(6000, 'n') + "\":[" + values + "]");
  add(1, 2, 0, R"(,"a":{"b":1.50})");
  open();
  wait_held(1);
  EXPECT_NE(connector_.bodies[0].find(R"("FCntUp":2,"a.b":1.50)"), std::string::npos) << connector_.bodies[0];
  EXPECT_EQ(connector_.bodies[0].find("DevEUI_uplink"), std::string::npos);
  settle(0, {});
  expect_empty_list();
  events_->flush();
  auto told = *store_->events({.account = "1", .from = 0, .to = system_clock().now() + 1000, .code = "processor-3001"});
  ASSERT_EQ(told.size(), 1u);
  EXPECT_EQ(told[0].data.at("index"), 0);
  EXPECT_EQ(told[0].data.at("DevEUI"), "0000000000000001");
}

TEST_F(PumpTest, InactiveWithoutQueueingDropsAndCounts) {
  settings_->drop_new = true;
  add(1, 1);
  run_until([&] { return counted(Counter::uplinks_lost) == 1; });
  EXPECT_EQ(counted(Counter::uplinks_dropped), 1u);
  expect_empty_list();
  settings_->drop_new = false;
  add(1, 2);
  open();
  wait_held(1);
  EXPECT_EQ(counters(), std::vector{2});
}

TEST_F(PumpTest, DrainWaitsForWhatIsInFlight) {
  open();
  add(1, 1);
  add(1, 2);
  wait_held(1);
  bool drained = false;
  pump_->drain([&] { drained = true; });
  EXPECT_FALSE(drained);
  settle(0, {});
  run_until([&] { return drained; });
  EXPECT_EQ(connector_.bodies.size(), 1u);  // nothing new was handed out
  pump_->close();
  open();
  wait_held(2);
  EXPECT_EQ(counter_of(connector_.bodies[1]), 2);
}

TEST_F(PumpTest, AgeIsLookedAtAgainBeforeALaterTry) {
  settings_->validity_ms = 60'000;
  open();
  add(1, 1);
  add(1, 2);
  wait_held(1);
  clock_.offset = 120'000;  // an outage of two minutes
  settle(0, kTransient);
  expect_empty_list();  // both have expired, without another try
  EXPECT_EQ(connector_.bodies.size(), 1u);
  EXPECT_EQ(fate(queue::Fate::expired), 2u);
}

TEST_F(PumpTest, TheShorterValidityCounts) {
  settings_->validity_ms = 600'000;
  open();
  auto message = *message::parse_report(R"({"DevEUI_uplink":{"Time":")" + format_time(clock_.now() - 90'000) +
                                        R"(","DevEUI":"0000000000000001","FCntUp":7}})");
  message.account = "1";
  message.arrived = clock_.now();
  std::promise<void> stored;
  queue_->append(std::move(message), [&](Result<queue::Appended>) { stored.set_value(); });
  stored.get_future().wait();
  auto got = queue_->next(last_, 1, std::chrono::milliseconds(1000));
  ASSERT_EQ(got.size(), 1u);
  queue_->put({{got[0], {{kConnection, nullptr, 60'000}}}}, {got[0]->seq, {}});
  run_until([&] { return fate(queue::Fate::expired) == 1; });
  events_->flush();
  auto events = *store_->events({.account = "1", .from = 0, .to = clock_.now() + 1, .code = "connection-1304"});
  ASSERT_EQ(events.size(), 1u);
  EXPECT_EQ(events[0].data.at("validity").as_int64(), 60);
  EXPECT_EQ(events[0].data.at("DevEUI").as_string(), "0000000000000001");
  EXPECT_EQ(events[0].data.at("FCntUp").as_int64(), 7);
  EXPECT_GE(events[0].data.at("age").as_int64(), 90);
}

TEST_F(PumpTest, WhatIsGivenUpBecomesALetterWithoutSecrets) {
  settings_->secrets = {"s3cr3t"};
  open();
  add(1, 1);
  wait_held(1);
  connector_.held[0].answered(422, "{\"error\":\"token s3cr3t may not\\u0000\"}");
  settle(0, Error{ErrorKind::permanent, "the endpoint answered 422 to s3cr3t"});
  expect_empty_list();
  auto page = queue_->letters(kConnection, {});
  ASSERT_EQ(page.letters.size(), 1u);
  const auto& letter = page.letters[0];
  EXPECT_EQ(letter.cause, "the endpoint answered 422 to *****");
  EXPECT_EQ(letter.answer, "{\"error\":\"token ***** may not\\u0000\"}");
  EXPECT_EQ(letter.sent, connector_.bodies[0]);
  EXPECT_EQ(letter.tries, 1u);
  EXPECT_EQ(fate(queue::Fate::dead), 1u);
  events_->flush();
  auto events = *store_->events({.account = "1", .from = 0, .to = clock_.now() + 1, .code = "connection-1201"});
  ASSERT_EQ(events.size(), 1u);
  EXPECT_EQ(events[0].data.at("status").as_int64(), 422);
  EXPECT_EQ(events[0].message.find("s3cr3t"), std::string::npos);
}

TEST_F(PumpTest, WithoutLettersItIsOnlyCounted) {
  settings_->keep_letters = false;
  open();
  add(1, 1);
  wait_held(1);
  settle(0, Error{ErrorKind::permanent, "no"});
  expect_empty_list();
  EXPECT_EQ(queue_->letters(kConnection, {}).total, 0u);
  EXPECT_EQ(fate(queue::Fate::dead), 1u);
}

TEST_F(PumpTest, ALimitOfTriesEndsInALetter) {
  settings_->max_tries = 2;
  open();
  add(1, 1);
  add(1, 2);
  wait_held(1);
  settle(0, kTransient);
  wait_held(2);
  settle(1, kTransient);
  wait_held(3);
  EXPECT_EQ(counters(), (std::vector{1, 1, 2}));
  settle(2, {});
  expect_empty_list();
  auto page = queue_->letters(kConnection, {});
  ASSERT_EQ(page.letters.size(), 1u);
  EXPECT_EQ(page.letters[0].cause, "given up after 2 tries: busy");
  EXPECT_EQ(page.letters[0].tries, 2u);
}

TEST_F(PumpTest, ResentLettersDoNotExpire) {
  settings_->validity_ms = 60'000;
  open();
  add(1, 1);
  wait_held(1);
  settle(0, Error{ErrorKind::permanent, "no"});
  expect_empty_list();
  clock_.offset = 3'600'000;
  EXPECT_EQ(queue_->resend(kConnection, {}), 1u);
  wait_held(2);
  EXPECT_EQ(connector_.bodies[1], connector_.bodies[0]);
  settle(1, {});
  expect_empty_list();
}

TEST_F(PumpTest, PausedNothingGoesOutAndNothingIsLost) {
  open();
  add(1, 1);
  add(1, 2);
  wait_held(1);
  pump_->set_paused(true);
  settle(0, {});
  run_until([&] { return queue_->count(kConnection) == 1; });
  add(2, 3);
  poll();
  pump_->close();
  open();
  run_until([&] { return queue_->count(kConnection) == 2; });
  poll();
  EXPECT_EQ(connector_.bodies.size(), 1u);
  pump_->set_paused(false);
  wait_held(3);
  settle(1, {});
  settle(2, {});
  expect_empty_list();
  EXPECT_EQ(counters(), (std::vector{1, 2, 3}));
}

TEST_F(PumpTest, TheRateBoundsWhatGoesOut) {
  clock_.frozen = system_clock().steady();
  settings_->rate = 20;
  open();
  for (int i = 1; i <= 4; ++i)
    add(i, i);
  wait_held(1);
  poll();
  EXPECT_EQ(connector_.bodies.size(), 1u);  // time stands still: no more is due
  for (std::size_t sent = 2; sent <= 4; ++sent) {
    *clock_.frozen += std::chrono::milliseconds(50);
    wait_held(sent);
    poll();
    EXPECT_EQ(connector_.bodies.size(), sent);
  }
  for (auto& delivery : connector_.held)
    delivery.settle({});
  expect_empty_list();
}

TEST_F(PumpTest, ADeviceRefusedForEverKeepsNobodyBack) {
  constexpr int kMany = 9000;  // more than are kept in memory
  std::vector<std::pair<int, int>> reports;
  for (int i = 1; i <= kMany; ++i)
    reports.emplace_back(1, i);
  for (int i = 1; i <= 300; ++i)
    reports.emplace_back(2 + i % 3, i);
  bool healed = false;
  std::vector<int> of_device_1, of_others;
  connector_.judge = [&](connector::Delivery& delivery) -> Result<void> {
    bool first = delivery.message().dev_eui == "0000000000000001";
    if (first && !healed) return kTransient;
    (first ? of_device_1 : of_others).push_back(counter_of(delivery.body()));
    return {};
  };
  add_many(reports);
  open();
  run_until([&] { return of_others.size() == 300; });
  // What comes now comes behind what it left on the disk.
  add_many({{1, kMany + 1}, {2, 301}, {1, kMany + 2}});
  run_until([&] { return of_others.size() == 301; });
  EXPECT_TRUE(of_device_1.empty());
  healed = true;
  expect_empty_list();
  std::vector<int> expected(kMany + 2);
  for (int i = 0; i < kMany + 2; ++i)
    expected[static_cast<std::size_t>(i)] = i + 1;
  EXPECT_EQ(of_device_1, expected);
  EXPECT_EQ(totals().accepted, static_cast<std::uint64_t>(kMany + 303));
  EXPECT_EQ(fate(queue::Fate::delivered), static_cast<std::uint64_t>(kMany + 303));
}

TEST_F(PumpTest, WhatIsNewGoesOutBesideTheBacklog) {
  connector_.window = 10;
  std::vector<std::pair<int, int>> backlog;
  for (int i = 1; i <= 6000; ++i)
    backlog.emplace_back(1 + i % 100, i);
  add_many(backlog);
  open();
  run_until([&] { return pump_->catching_up(); });
  wait_held(10);
  add_many({{500, 7001}, {501, 7002}, {500, 7003}, {7, 7004}});
  run_until([&] { return counted(Counter::uplinks) == 6004; });
  ASSERT_EQ(connector_.held.size(), 10u);
  for (std::size_t i = 0; i < 6; ++i) {
    settle(i, {});
    wait_held(11 + i);
  }
  // Half of what goes out is for the backlog; a device that has a part in that waits behind it.
  auto sent = counters();
  std::vector<int> live;
  std::copy_if(sent.begin() + 10, sent.end(), std::back_inserter(live), [](int counter) { return counter > 7000; });
  EXPECT_EQ(live, (std::vector{7001, 7002}));
  EXPECT_EQ(sent[10], 7001);
  EXPECT_EQ(sent[12], 7002);
  connector_.judge = [](connector::Delivery&) -> Result<void> { return {}; };
  for (auto& delivery : connector_.held)
    delivery.settle({});
  expect_empty_list();
  sent = counters();
  EXPECT_EQ(sent.size(), 6004u);
  EXPECT_LT(std::find(sent.begin(), sent.end(), 7001), std::find(sent.begin(), sent.end(), 7003));
  EXPECT_LT(std::find(sent.begin(), sent.end(), 5906), std::find(sent.begin(), sent.end(), 7004));
  EXPECT_LT(std::find(sent.begin(), sent.end(), 7003), std::find(sent.begin(), sent.end(), 5000));
}

TEST_F(PumpTest, InAnyOrderOfEventsADevicesOrderHoldsAndNothingIsSentTwice) {
  std::mt19937 random(20261125);
  auto upto = [&](int most) { return std::uniform_int_distribution<int>(0, most)(random); };
  connector_.window = 30;
  std::map<std::string, std::vector<int>> delivered;
  std::map<int, int> sent;
  int counter = 0;
  std::size_t dead = 0;
  connector_.judge = nullptr;
  auto add_some = [&](int count) {
    std::vector<std::pair<int, int>> reports;
    for (int i = 0; i < count; ++i)
      reports.emplace_back(1 + (upto(3) == 0 ? upto(5) : upto(400)), ++counter);
    add_many(reports);
  };
  auto settle_some = [&](int count) {
    for (int i = 0; i < count && !connector_.held.empty(); ++i) {
      auto at = connector_.held.begin() + upto(static_cast<int>(connector_.held.size()) - 1);
      auto delivery = std::move(*at);
      connector_.held.erase(at);
      auto number = counter_of(delivery.body());
      if (upto(400) == 0) {
        delivery.settle(kTransient);
        continue;
      }
      EXPECT_EQ(++sent[number], 1) << number;
      delivered[delivery.message().dev_eui].push_back(number);
      if (upto(20) == 0) {
        ++dead;
        delivery.settle(Error{ErrorKind::permanent, "no"});
      } else {
        delivery.settle({});
      }
    }
  };
  add_some(5000);
  open();
  for (int round = 0; round < 25; ++round) {
    add_some(upto(400));
    for (int i = 0; i < 20; ++i) {
      settle_some(upto(30));
      run_until([&] { return true; });
      poll();
    }
    if (upto(9) == 0) {
      poll();
      pump_->close();
      connector_.held.clear();  // nobody has seen them
      add_some(upto(3000));
      open();
    }
  }
  auto until = std::chrono::steady_clock::now() + std::chrono::seconds(60);
  while (queue_->count(kConnection) > 0 && std::chrono::steady_clock::now() < until) {
    settle_some(30);
    io_.restart();
    io_.run_one_for(std::chrono::milliseconds(5));
    poll();
  }
  EXPECT_EQ(queue_->count(kConnection), 0u);
  EXPECT_EQ(sent.size(), static_cast<std::size_t>(counter));
  for (const auto& [device, numbers] : delivered)
    EXPECT_TRUE(std::is_sorted(numbers.begin(), numbers.end())) << device;
  EXPECT_EQ(fate(queue::Fate::dead), dead);
  EXPECT_EQ(fate(queue::Fate::delivered), static_cast<std::uint64_t>(counter) - dead);
}

TEST_F(PumpTest, WhatIsPurgedIsNeitherSentNorTriedAgain) {
  open();
  add(1, 1);
  add(1, 2);
  add(2, 3);
  wait_held(2);
  settle(1, kTransient);  // waits for another try
  std::uint64_t end = 0;
  EXPECT_EQ(queue_->purge(kConnection, &end), 3u);
  pump_->on_purged(end, 3);
  poll();
  settle(0, kTransient);  // was with the connector
  add(1, 4);
  add(2, 5);
  wait_held(4);
  EXPECT_EQ(counters(), (std::vector{1, 3, 4, 5}));
  settle(2, {});
  settle(3, {});
  expect_empty_list();
  auto sums = totals();
  EXPECT_EQ(sums.accepted, 5u);
  EXPECT_EQ(sums.fates, (std::array<std::uint64_t, queue::kFates>{2, 0, 0, 0, 3}));
}

}  // namespace
}  // namespace sluice::connection
