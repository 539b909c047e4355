// SPDX-License-Identifier: Apache-2.0
#include "connection/runner.h"

#include <boost/asio/executor_work_guard.hpp>
#include <boost/asio/io_context.hpp>
#include <filesystem>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <thread>

#include "base/crypto.h"

namespace sluice::connection {
namespace {

using testing::HasSubstr;
using testing::Not;

// What Prometheus is told of connections that are not active: nothing of it changes by itself.
class RunnerTest : public testing::Test {
 protected:
  RunnerTest() {
    directory_ = std::filesystem::temp_directory_path() / ("sluice-runner-" + random_uuid());
    std::filesystem::create_directories(directory_);
    store_ = std::move(*store::open_sqlite(directory_, SecretBox(random_bytes(32)), system_clock()));
    counters_ = std::move(*store::open_counters(directory_));
    events_ = std::make_unique<store::Events>(*store_, system_clock(), metrics_);
    queue::Options options;
    options.directory = directory_ + "/queue";
    options.maintenance = std::chrono::hours(1);
    queue_ = std::move(*queue::open_rocks(options, system_clock(), metrics_));
    thread_ = std::thread([this] { io_.run(); });
  }
  ~RunnerTest() override {
    end();
    work_.reset();
    thread_.join();
    disk_.join();
    queue_->close();
    events_.reset();
    std::filesystem::remove_all(directory_);
  }
  void start(std::initializer_list<const char*> ids) {
    Shared shared{io_.get_executor(), disk_, *queue_, *events_, system_clock(), metrics_, registry_, http_, {}, ""};
    shared.counters = counters_.get();
    runner_ = std::make_unique<Runner>(std::move(shared));
    std::vector<store::Connection> stored;
    for (const char* id : ids) {
      stored.push_back({.id = id, .account = "1"});
      stored.back().resource = {{"connectorId", "actility-mqtt-iot"}, {"active", false}};
    }
    runner_->start(stored);
  }
  void end() {
    if (!runner_) return;
    EXPECT_TRUE(runner_->stop(std::chrono::seconds(10)));
    runner_.reset();
  }

  std::string directory_;
  Metrics metrics_;
  boost::asio::io_context io_;
  boost::asio::executor_work_guard<boost::asio::io_context::executor_type> work_{io_.get_executor()};
  boost::asio::thread_pool disk_{1};
  HttpClient http_;
  connector::Registry registry_;
  std::unique_ptr<store::Store> store_;
  std::unique_ptr<store::Counters> counters_;
  std::unique_ptr<store::Events> events_;
  std::unique_ptr<queue::Queue> queue_;
  std::thread thread_;
  std::unique_ptr<Runner> runner_;
};

TEST_F(RunnerTest, ConnectionsBeyondTheBoundAreSummed) {
  // One place is left.
  for (std::size_t i = 1; i < Metrics::kMostOfLabel; ++i)
    metrics_.bounded("connection", "earlier " + std::to_string(i));
  start({"1", "2", "3"});
  auto text = metrics_.text();
  EXPECT_THAT(text, HasSubstr("sluice_connection_state{connection=\"1\",state=\"DEACTIVATED\"} 1\n"));
  EXPECT_THAT(text, HasSubstr("sluice_connection_state{connection=\"other\",state=\"DEACTIVATED\"} 2\n"));
  EXPECT_THAT(text, HasSubstr("sluice_connection_pending{connection=\"other\"} 0\n"));
  EXPECT_THAT(text, Not(HasSubstr("connection=\"2\"")));
  for (const char* id : {"1", "2", "3"})
    runner_->count(id, Counter::downlinks);
  text = metrics_.text();
  EXPECT_THAT(text, HasSubstr("sluice_connection_downlinks_total{connection=\"1\"} 1\n"));
  EXPECT_THAT(text, HasSubstr("sluice_connection_downlinks_total{connection=\"other\"} 2\n"));
  end();
  EXPECT_THAT(metrics_.text(), Not(HasSubstr("sluice_connection_state")));
}

TEST_F(RunnerTest, CountsAreThereAfterARestart) {
  start({"1", "2"});
  runner_->count("1", Counter::downlinks);
  runner_->count("1", Counter::downlinks_failed);
  end();
  start({"1", "2"});
  constexpr auto kDownlinks = static_cast<std::size_t>(Counter::downlinks);
  EXPECT_EQ(runner_->windows("1").last_1h[kDownlinks], 1u);
  EXPECT_EQ(runner_->windows("1").last_24h[static_cast<std::size_t>(Counter::downlinks_failed)], 1u);
  EXPECT_EQ(runner_->windows("2").last_24h[kDownlinks], 0u);
  auto now = system_clock().now();
  auto points = runner_->series("1", now - 3'600'000, now + 1, std::chrono::hours(1));
  ASSERT_TRUE(points);
  std::uint64_t sum = 0;
  for (const auto& point : *points)
    sum += point.counters.at("downlinks").to_number<std::uint64_t>();
  EXPECT_EQ(sum, 1u);
  EXPECT_EQ(runner_->series("9", now - 1, now, std::chrono::hours(1)).error().code, "com-4004");
}

}  // namespace
}  // namespace sluice::connection
