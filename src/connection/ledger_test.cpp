// SPDX-License-Identifier: Apache-2.0
#include "connection/ledger.h"

#include <atomic>
#include <gtest/gtest.h>
#include <map>
#include <tuple>

namespace sluice::connection {
namespace {

constexpr UnixMillis kMinute = 60'000, kHour = 60 * kMinute, kDay = 24 * kHour;

class TestClock final : public Clock {
 public:
  [[nodiscard]] UnixMillis now() const override { return time; }
  [[nodiscard]] std::chrono::steady_clock::time_point steady() const override {
    return std::chrono::steady_clock::time_point(std::chrono::milliseconds(time.load()));
  }
  std::atomic<UnixMillis> time{19'700 * kDay + 10 * kHour + 30'000};
};

// In memory: adds steps as the real one does, fails when told to.
class FakeCounters final : public store::Counters {
 public:
  Result<void> add(const std::vector<store::CounterStep>& minutes, const std::vector<store::CounterSeen>& seen,
                   UnixMillis) override {
    if (failing) return Error{ErrorKind::transient, "the disk is full", "com-5003"};
    if (!minutes.empty() || !seen.empty()) ++writes;
    for (const auto& minute : minutes) {
      for (auto step : {Counters::kMinute, Counters::kHour, Counters::kDay}) {
        auto length = std::chrono::milliseconds(step).count();
        auto& counts = rows[{minute.connection, step.count(), minute.time - minute.time % length}];
        counts.resize(minute.counts.size());
        for (std::size_t i = 0; i < counts.size(); ++i)
          counts[i] += minute.counts[i];
      }
    }
    for (const auto& one : seen)
      devices.push_back(one);
    return {};
  }
  Result<std::vector<store::CounterStep>> steps(std::uint64_t connection, Step step, UnixMillis from,
                                                UnixMillis to) override {
    std::vector<store::CounterStep> found;
    for (const auto& [key, counts] : rows) {
      auto [of, length, time] = key;
      if (of == connection && length == step.count() && time >= from && time < to) found.push_back({of, time, counts});
    }
    return found;
  }
  Result<std::vector<store::CounterSeen>> seen(std::uint64_t connection, std::int64_t minute) override {
    std::vector<store::CounterSeen> found;
    for (const auto& one : devices) {
      if (one.connection == connection && one.minute >= minute) found.push_back(one);
    }
    return found;
  }
  Result<void> forget(std::uint64_t connection) override {
    std::erase_if(rows, [&](const auto& row) { return std::get<0>(row.first) == connection; });
    return {};
  }
  Result<void> tidy(const std::vector<std::uint64_t>& connections, UnixMillis) override {
    tidied = connections;
    return {};
  }

  std::map<std::tuple<std::uint64_t, std::int64_t, UnixMillis>, std::vector<std::uint64_t>> rows;
  std::vector<store::CounterSeen> devices;
  std::vector<std::uint64_t> tidied;
  bool failing = false;
  int writes = 0;
};

class LedgerTest : public testing::Test {
 protected:
  void traffic(Windows& windows) {
    windows.add(Counter::uplinks, clock_.now(), 10);
    windows.add(Counter::uplinks_delivered, clock_.now(), 8);
    windows.add(Counter::uplinks_filtered, clock_.now(), 2);
    windows.add(Counter::uplinks_lost, clock_.now(), 2);
    windows.add(Counter::uplink_bytes, clock_.now(), 800);
    for (int i = 0; i < 8; ++i)
      windows.took(0.007, clock_.now());
    windows.seen("70B3D5E700000001", clock_.now());
  }
  std::vector<SeriesPoint> series(Ledger& ledger, UnixMillis back, std::chrono::minutes step) {
    auto points = ledger.series(7, clock_.now() - back, clock_.now() + 1, step);
    EXPECT_TRUE(points);
    return points ? *points : std::vector<SeriesPoint>();
  }

  TestClock clock_;
  FakeCounters counters_;
};

TEST_F(LedgerTest, CountersSurviveARestart) {
  auto before = std::make_shared<Windows>();
  {
    Ledger ledger(&counters_, clock_);
    ledger.add(7, before);
    traffic(*before);
    clock_.time += kMinute;
    traffic(*before);
    ledger.stop();
  }
  Windows after;
  Ledger ledger(&counters_, clock_);
  ledger.restore(7, after);
  EXPECT_EQ(after.read(clock_.now()).last_1h, before->read(clock_.now()).last_1h);
  EXPECT_EQ(after.read(clock_.now()).last_24h, before->read(clock_.now()).last_24h);
  EXPECT_EQ(after.read(clock_.now()).active_things_1h, 1u);
  Windows other;
  ledger.restore(8, other);
  EXPECT_EQ(other.read(clock_.now()).last_24h[0], 0u);
}

TEST_F(LedgerTest, AllThatChangedIsOneWriting) {
  Ledger ledger(&counters_, clock_);
  std::vector<std::shared_ptr<Windows>> all;
  for (std::uint64_t id = 1; id <= 5; ++id) {
    all.push_back(std::make_shared<Windows>());
    ledger.add(id, all.back());
  }
  traffic(*all[1]);
  traffic(*all[3]);
  ASSERT_TRUE(ledger.flush());
  EXPECT_EQ(counters_.writes, 1);
  EXPECT_EQ(counters_.rows.size(), 6u);  // two connections, three steps
  ASSERT_TRUE(ledger.flush());
  EXPECT_EQ(counters_.writes, 1);
}

TEST_F(LedgerTest, WhatCannotBeWrittenIsWrittenLaterAndOnce) {
  Ledger ledger(&counters_, clock_);
  auto windows = std::make_shared<Windows>();
  ledger.add(7, windows);
  traffic(*windows);
  counters_.failing = true;
  EXPECT_FALSE(ledger.flush());
  EXPECT_FALSE(ledger.flush());
  EXPECT_EQ(series(ledger, 0, std::chrono::minutes(1)).at(0).counters.at("uplinks"), 10u);
  counters_.failing = false;
  traffic(*windows);
  ASSERT_TRUE(ledger.flush());
  EXPECT_EQ(series(ledger, 0, std::chrono::minutes(1)).at(0).counters.at("uplinks"), 20u);
  EXPECT_EQ(counters_.devices.size(), 1u);
}

TEST_F(LedgerTest, TheSeriesHasWrittenAndUnwrittenCounts) {
  Ledger ledger(&counters_, clock_);
  auto windows = std::make_shared<Windows>();
  ledger.add(7, windows);
  traffic(*windows);
  ASSERT_TRUE(ledger.flush());
  traffic(*windows);
  clock_.time += 2 * kMinute;
  traffic(*windows);
  auto points = series(ledger, 3 * kMinute, std::chrono::minutes(1));
  ASSERT_EQ(points.size(), 4u);
  EXPECT_EQ(points[0].counters.at("uplinks"), 0u);
  EXPECT_TRUE(points[0].counters.at("latencyP50Ms").is_null());
  EXPECT_EQ(points[1].counters.at("uplinks"), 20u);
  EXPECT_EQ(points[1].counters.at("uplinksDelivered"), 16u);
  EXPECT_EQ(points[1].counters.at("uplinksLost"), 4u);
  EXPECT_EQ(points[1].counters.at("uplinksFiltered"), 4u);
  EXPECT_EQ(points[1].counters.at("bytes"), 1600u);
  EXPECT_NEAR(points[1].counters.at("latencyP50Ms").as_double(), 7.5, 1e-6);  // of the class of 5 to 10 ms
  EXPECT_EQ(points[3].time, clock_.now() - 30'000);
  EXPECT_EQ(points[3].counters.at("uplinks"), 10u);
  points = series(ledger, kHour, std::chrono::hours(1));
  ASSERT_EQ(points.size(), 2u);
  EXPECT_EQ(points[1].counters.at("uplinks"), 30u);
  EXPECT_EQ(series(ledger, 0, std::chrono::hours(24)).at(0).counters.at("uplinks"), 30u);
}

TEST_F(LedgerTest, TheSeriesIsBoundedByWhatIsKept) {
  Ledger ledger(&counters_, clock_);
  auto all = [&](std::chrono::minutes step) { return ledger.series(7, 0, INT64_MAX, step)->size(); };
  EXPECT_EQ(all(std::chrono::minutes(1)), 1441u);
  EXPECT_EQ(all(std::chrono::hours(1)), 745u);
  EXPECT_EQ(all(std::chrono::hours(24)), 401u);
  EXPECT_TRUE(ledger.series(7, INT64_MIN, 5, std::chrono::minutes(1))->empty());
  EXPECT_TRUE(ledger.series(7, INT64_MAX, INT64_MAX, std::chrono::minutes(1))->empty());
  EXPECT_EQ(ledger.series(7, 0, 1, std::chrono::minutes(5)).error().code, "com-4000");
}

TEST_F(LedgerTest, ADeletedConnectionIsForgotten) {
  Ledger ledger(&counters_, clock_);
  auto windows = std::make_shared<Windows>(), kept = std::make_shared<Windows>();
  ledger.add(7, windows);
  ledger.add(8, kept);
  traffic(*windows);
  traffic(*kept);
  ASSERT_TRUE(ledger.flush());
  traffic(*windows);
  ledger.remove(7);
  ASSERT_TRUE(ledger.flush());
  EXPECT_EQ(series(ledger, 0, std::chrono::minutes(1)).at(0).counters.at("uplinks"), 0u);
  EXPECT_EQ(counters_.rows.size(), 3u);
  ledger.start(std::chrono::hours(1));
  EXPECT_EQ(counters_.tidied, std::vector<std::uint64_t>{8});
}

}  // namespace
}  // namespace sluice::connection
