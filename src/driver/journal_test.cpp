// SPDX-License-Identifier: Apache-2.0
#include "driver/journal.h"

#include <atomic>
#include <filesystem>
#include <gtest/gtest.h>
#include <thread>

#include "base/crypto.h"
#include "base/json.h"

namespace sluice::driver {
namespace {

struct ManualClock final : Clock {
  std::atomic<UnixMillis> time{1'700'000'000'000};
  [[nodiscard]] UnixMillis now() const override { return time; }
  [[nodiscard]] std::chrono::steady_clock::time_point steady() const override {
    return std::chrono::steady_clock::time_point(std::chrono::milliseconds(time));
  }
};

constexpr UnixMillis kMinute = 60'000, kHour = 60 * kMinute;

DriverCode code_of(const std::string& revision = "r1", const std::string& id = "acme:a:1") {
  return {.account = "1", .id = id, .revision = revision, .version = "1.2.3"};
}
Outcome failure(const std::string& message = "driver internal error: Error: x", const std::string& code = "com-5002") {
  Outcome outcome;
  outcome.code = code;
  outcome.message = message;
  outcome.time_us = 1000;
  return outcome;
}
Outcome success(std::uint32_t time_us = 1000) {
  Outcome outcome;
  outcome.ok = true;
  outcome.time_us = time_us;
  return outcome;
}

TEST(TimeSketchTest, QuantilesAreRightToAFifth) {
  TimeSketch sketch;
  EXPECT_EQ(sketch.quantile(0.5), 0u);
  for (std::uint32_t i = 1; i <= 10'000; ++i)
    sketch.add(i);
  EXPECT_NEAR(sketch.quantile(0.5), 5000, 1000);
  EXPECT_NEAR(sketch.quantile(0.99), 9900, 2000);
  TimeSketch extremes;
  extremes.add(0);
  extremes.add(0xffffffffu);
  EXPECT_EQ(extremes.quantile(0.1), 0u);
  EXPECT_GT(extremes.quantile(1), 10'000'000u);
}

TEST(StatisticsTest, CountsSequencesAndRemembersTheLastError) {
  ManualClock clock;
  Statistics statistics(clock);
  auto code = code_of();
  EXPECT_FALSE(statistics.of("1", code.id));
  auto good = success();
  for (int i = 0; i < 5; ++i)
    statistics.note({.code = code, .input = "00", .outcome = good});
  statistics.note({.code = code, .operation = Operation::encode_downlink, .input = "{}", .outcome = good});
  EXPECT_EQ(statistics.sequences("1", code.id), (std::array<std::uint64_t, 3>{5, 0, 1}));
  auto bad = failure();
  bad.where = Where{.line = 3, .column = 7};
  auto input = std::string(4000, 'a');
  statistics.note({.code = code, .dev_eui = "AA", .fport = 2, .input = input, .outcome = bad});
  EXPECT_EQ(statistics.sequences("1", code.id), (std::array<std::uint64_t, 3>{0, 0, 1}));
  auto known = *statistics.of("1", code.id);
  EXPECT_EQ(known.of(Operation::decode_uplink).calls, 6u);
  EXPECT_EQ(known.of(Operation::decode_uplink).failures, 1u);
  EXPECT_EQ(known.failures.at("com-5002"), 1u);
  ASSERT_TRUE(known.last_error);
  EXPECT_EQ(known.last_error->where->line, 3);
  EXPECT_EQ(known.last_error->dev_eui, "AA");
  EXPECT_LT(known.last_error->input.size(), 600u);
  EXPECT_FALSE(statistics.of("2", code.id));
  statistics.forget("1", code.id);
  EXPECT_FALSE(statistics.of("1", code.id));
}

TEST(StatisticsTest, DropsWhatWasIdleForADayAndIsBounded) {
  ManualClock clock;
  Statistics statistics(clock);
  auto good = success();
  auto old = code_of("r", "acme:old:1");
  statistics.note({.code = old, .outcome = good});
  clock.time += 24 * kHour;
  for (int i = 0; i < 10'050; ++i) {
    auto code = code_of("r", "acme:" + std::to_string(i) + ":1");
    clock.time += 1;
    statistics.note({.code = code, .outcome = good});
  }
  EXPECT_FALSE(statistics.of("1", old.id));
  EXPECT_FALSE(statistics.of("1", "acme:0:1"));
  EXPECT_TRUE(statistics.of("1", "acme:100:1"));
  EXPECT_TRUE(statistics.of("1", "acme:10049:1"));
}

TEST(FailuresTest, OneEventWhileTheTroubleLasts) {
  ManualClock clock;
  Failures failures(clock);
  auto code = code_of();
  std::set<std::string> keys;
  boost::json::object last;
  for (int i = 1; i <= 1000; ++i) {
    auto device = "device " + std::to_string(i % 300);
    auto bad = failure("text " + std::to_string(i));
    auto notice = failures.failed({.code = code, .dev_eui = device, .outcome = bad}, 0);
    keys.insert(notice.key);
    last = notice.data;
    EXPECT_TRUE(failures.worked({.code = code, .outcome = success()}).empty()) << "one that works is no end yet";
    clock.time += kMinute;
  }
  EXPECT_EQ(keys.size(), 1u);
  EXPECT_EQ(last.at("count"), 1000);
  EXPECT_EQ(last.at("firstCause"), "text 1");
  EXPECT_EQ(last.at("cause"), "text 1000");
  EXPECT_EQ(last.at("devices"), 100);
  EXPECT_EQ(last.at("moreDevices"), true);
}

TEST(FailuresTest, ANewEventOnlyAfterItHasBeenFineForAWhile) {
  ManualClock clock;
  Failures failures(clock);
  auto code = code_of();
  auto bad = failure();
  auto good = success();
  auto first = failures.failed({.code = code, .outcome = bad}, 0).key;
  clock.time += kHour - 1;
  EXPECT_TRUE(failures.worked({.code = code, .outcome = good}).empty());
  EXPECT_EQ(failures.failed({.code = code, .outcome = bad}, 0).key, first);
  clock.time += 2 * kHour;
  // Silence is not being fine.
  EXPECT_EQ(failures.failed({.code = code, .outcome = bad}, 0).key, first);
  clock.time += kHour;
  auto again = failures.worked({.code = code, .outcome = good});
  ASSERT_EQ(again.size(), 1u);
  EXPECT_EQ(again[0].code, "driver-2004");
  EXPECT_EQ(again[0].level, "info");
  EXPECT_EQ(again[0].data.at("driverId"), code.id.c_str());
  EXPECT_TRUE(failures.worked({.code = code, .outcome = good}).empty());
  auto next = failures.failed({.code = code, .outcome = bad}, 0);
  EXPECT_NE(next.key, first);
  EXPECT_EQ(next.data.at("count"), 1);
}

TEST(FailuresTest, NewCodeThatWorksEndsItAtOnce) {
  ManualClock clock;
  Failures failures(clock);
  auto bad = failure();
  auto limit = failure("time", "com-5004");
  failures.failed({.code = code_of("r1"), .outcome = bad}, 0);
  auto slow = failures.failed({.code = code_of("r1"), .outcome = limit}, 250'000);
  EXPECT_EQ(slow.code, "driver-2002");
  EXPECT_EQ(slow.data.at("p99Ms"), 250.0);
  EXPECT_TRUE(failures.worked({.code = code_of("r1"), .outcome = success()}).empty());
  EXPECT_EQ(failures.worked({.code = code_of("r2"), .outcome = success()}).size(), 2u);
}

TEST(FailuresTest, TroubleThatLastsIsToldOnceADay) {
  ManualClock clock;
  Failures failures(clock);
  auto code = code_of();
  auto bad = failure();
  std::set<std::string> keys;
  for (int i = 0; i < 72; ++i) {
    keys.insert(failures.failed({.code = code, .outcome = bad}, 0).key);
    clock.time += kHour;
  }
  EXPECT_EQ(keys.size(), 3u);
}

class JournalTest : public testing::Test {
 protected:
  ~JournalTest() override {
    store_.reset();
    std::filesystem::remove_all(directory_);
  }
  std::vector<store::Event> events(const std::string& code) {
    events_.flush();
    return *store_->events({.account = "1", .from = 0, .to = clock_.time + 1, .code = code});
  }
  std::vector<store::DriverLogEntry> log() {
    journal_.flush_log();
    return *store_->driver_log({.account = "1", .driver_id = "acme:a:1", .from = 0, .to = clock_.time + 1});
  }

  ManualClock clock_;
  Metrics metrics_;
  std::string directory_ = std::filesystem::temp_directory_path() / ("sluice-journal-" + random_uuid());
  std::unique_ptr<store::Store> store_ =
      std::move(*store::open_sqlite(directory_, SecretBox(std::string(32, 'k')), clock_));
  store::Events events_{*store_, clock_, metrics_};
  store::DriverLog driver_log_{*store_, clock_, metrics_};
  Journal journal_{driver_log_, events_, clock_, metrics_};
};

TEST_F(JournalTest, TenThousandFailuresAreOneEvent) {
  auto code = code_of();
  for (int i = 0; i < 10'000; ++i) {
    auto device = std::to_string(i % 3);
    auto bad = failure("driver internal error: Error: " + std::to_string(i));
    journal_.note({.code = code, .dev_eui = device, .fport = 2, .input = "0102", .outcome = bad});
    if (i % 1000 == 0) clock_.time += kMinute;
  }
  auto told = events("driver-2001");
  ASSERT_EQ(told.size(), 1u);
  EXPECT_EQ(told[0].data.at("count"), 10'000);
  EXPECT_EQ(told[0].data.at("devices"), 3);
  EXPECT_EQ(told[0].data.at("firstCause"), "driver internal error: Error: 0");
  EXPECT_LE(log().size(), 220u);  // its rate is limited
  clock_.time += kHour;
  auto good = success();
  journal_.note({.code = code, .outcome = good});
  EXPECT_EQ(events("driver-2004").size(), 1u);
  EXPECT_NE(
      metrics_.text().find(R"(sluice_driver_operations_total{operation="decodeUplink",result="exception"} 10000)"),
      std::string::npos);
}

TEST_F(JournalTest, TakesCallsFromSeveralThreads) {
  constexpr int kThreads = 4, kCalls = 1000;
  std::vector<std::thread> threads;
  for (int t = 0; t < kThreads; ++t) {
    threads.emplace_back([this] {
      auto code = code_of();
      auto good = success();
      auto bad = failure();
      bad.log = {"line"};
      for (int i = 0; i < kCalls; ++i) {
        journal_.note({.code = code, .dev_eui = "AA", .input = "00", .outcome = i % 2 ? good : bad});
        if (i % 100 == 0) {
          EXPECT_TRUE(journal_.statistics().of("1", code.id));
        }
      }
    });
  }
  for (auto& thread : threads)
    thread.join();
  auto told = events("driver-2001");
  ASSERT_EQ(told.size(), 1u);
  EXPECT_EQ(told[0].data.at("count"), kThreads * kCalls / 2);
  EXPECT_EQ(journal_.statistics().of("1", "acme:a:1")->of(Operation::decode_uplink).calls,
            std::uint64_t{kThreads * kCalls});
  EXPECT_FALSE(log().empty());
}

TEST_F(JournalTest, KeepsWhatAnAuthorNeeds) {
  auto code = code_of();
  auto good = success();
  journal_.note({.code = code, .input = "00", .outcome = good});
  EXPECT_TRUE(log().empty()) << "nothing to tell";
  good.log = {"one", "warn: two"};
  journal_.note({.code = code, .dev_eui = "AA", .fport = 3, .input = "0102", .outcome = good});
  clock_.time += 1;
  auto bad = failure();
  bad.errors = {"a", "b"};
  bad.where = Where{.line = 3, .column = 9, .stack = "f@driver.js:3:9\nglobal code@driver.js:9:1"};
  auto input = std::string(5000, '0');
  journal_.note_by_hand({.code = code, .operation = Operation::encode_downlink, .input = input, .outcome = bad});
  auto entries = log();
  ASSERT_EQ(entries.size(), 2u);
  EXPECT_EQ(entries[1].level, "warn");
  EXPECT_EQ(json::write(entries[1].data),
            R"({"fPort":3,"payload":"0102","lines":["one","warn: two"],"version":"1.2.3"})");
  const auto& data = entries[0].data;
  EXPECT_EQ(entries[0].level, "error");
  EXPECT_EQ(entries[0].operation, "encodeDownlink");
  EXPECT_EQ(data.at("line"), 3);
  EXPECT_EQ(data.at("column"), 9);
  EXPECT_EQ(data.at("file"), "driver.js");
  EXPECT_EQ(data.at("byHand"), true);
  EXPECT_LT(data.at("payload").as_string().size(), 600u);
  EXPECT_FALSE(journal_.statistics().of("1", code.id)->last_error) << "calls by hand are not counted";
  EXPECT_TRUE(events("driver-2001").empty());
}

}  // namespace
}  // namespace sluice::driver
