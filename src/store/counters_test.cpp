// SPDX-License-Identifier: Apache-2.0
#include "store/counters.h"

#include <filesystem>
#include <gtest/gtest.h>

#include "base/crypto.h"

namespace sluice::store {
namespace {

constexpr UnixMillis kMinute = 60'000, kHour = 60 * kMinute, kDay = 24 * kHour;
constexpr UnixMillis kStart = 19'700 * kDay;

class CountersTest : public testing::Test {
 protected:
  CountersTest() {
    directory_ = std::filesystem::temp_directory_path() / ("sluice-counters-" + random_uuid());
    std::filesystem::create_directories(directory_);
    open();
  }
  ~CountersTest() override {
    counters_.reset();
    std::filesystem::remove_all(directory_);
  }
  void open() {
    counters_.reset();
    auto opened = open_counters(directory_);
    ASSERT_TRUE(opened);
    counters_ = std::move(*opened);
  }
  void add(std::uint64_t connection, UnixMillis time, std::vector<std::uint64_t> counts) {
    ASSERT_TRUE(counters_->add({{connection, time, std::move(counts)}}, {}, time));
  }
  std::vector<CounterStep> all(std::uint64_t connection, Counters::Step step) {
    auto found = counters_->steps(connection, step, 0, INT64_MAX);
    EXPECT_TRUE(found);
    return found ? *found : std::vector<CounterStep>();
  }
  using Numbers = std::vector<std::uint64_t>;

  std::string directory_;
  std::unique_ptr<Counters> counters_;
};

TEST_F(CountersTest, AddsToTheMinuteTheHourAndTheDay) {
  add(1, kStart, {1, 0, 5});
  add(1, kStart, {1, 2});
  add(1, kStart + kMinute, {10});
  add(1, kStart + kHour, {100, 0, 0, 7});
  add(2, kStart, {9});
  open();
  auto minutes = all(1, Counters::kMinute);
  ASSERT_EQ(minutes.size(), 3u);
  EXPECT_EQ(minutes[0].time, kStart);
  EXPECT_EQ(minutes[0].counts, (Numbers{2, 2, 5}));
  EXPECT_EQ(minutes[1].counts, (Numbers{10}));
  auto hours = all(1, Counters::kHour);
  ASSERT_EQ(hours.size(), 2u);
  EXPECT_EQ(hours[0].counts, (Numbers{12, 2, 5}));
  auto days = all(1, Counters::kDay);
  ASSERT_EQ(days.size(), 1u);
  EXPECT_EQ(days[0].counts, (Numbers{112, 2, 5, 7}));
  EXPECT_EQ(all(2, Counters::kDay).at(0).counts, (Numbers{9}));
  EXPECT_EQ(counters_->steps(1, Counters::kMinute, kStart + kMinute, kStart + kHour)->size(), 1u);
}

TEST_F(CountersTest, KeepsADayOfMinutesAMonthOfHoursAYearOfDays) {
  for (int day = 0; day < 450; ++day)
    add(1, kStart + day * kDay, {1});
  EXPECT_EQ(all(1, Counters::kMinute).size(), 2u);  // the one just 24 h old is in the answer yet
  EXPECT_EQ(all(1, Counters::kHour).size(), 32u);
  EXPECT_EQ(all(1, Counters::kDay).size(), 401u);
}

TEST_F(CountersTest, RemembersWhatWasSeenLast) {
  auto most = ~std::uint64_t{0};
  ASSERT_TRUE(counters_->add({}, {{1, false, most, 100}, {1, true, 7, 100}, {2, false, 5, 100}}, kStart));
  ASSERT_TRUE(counters_->add({}, {{1, false, most, 105}, {1, true, 7, 99}}, kStart));
  open();
  auto seen = counters_->seen(1, 100);
  ASSERT_TRUE(seen);
  ASSERT_EQ(seen->size(), 2u);
  EXPECT_EQ(seen->at(0).key, most);
  EXPECT_EQ(seen->at(0).minute, 105);
  EXPECT_TRUE(seen->at(1).cell);
  EXPECT_EQ(seen->at(1).minute, 100);
  EXPECT_EQ(counters_->seen(1, 101)->size(), 1u);
}

TEST_F(CountersTest, ForgetsAConnectionAndThoseThatAreGone) {
  for (std::uint64_t connection : {1, 2, 3}) {
    ASSERT_TRUE(counters_->add({{connection, kStart, {1}}}, {{connection, false, 1, kStart / kMinute}}, kStart));
  }
  ASSERT_TRUE(counters_->forget(1));
  EXPECT_TRUE(all(1, Counters::kDay).empty());
  EXPECT_TRUE(counters_->seen(1, 0)->empty());
  ASSERT_TRUE(counters_->tidy({3}, kStart));
  EXPECT_TRUE(all(2, Counters::kDay).empty());
  EXPECT_TRUE(counters_->seen(2, 0)->empty());
  EXPECT_EQ(all(3, Counters::kDay).size(), 1u);
  EXPECT_EQ(counters_->seen(3, 0)->size(), 1u);
  ASSERT_TRUE(counters_->tidy({3}, kStart + 10 * kDay));
  EXPECT_TRUE(all(3, Counters::kMinute).empty());
  EXPECT_TRUE(counters_->seen(3, 0)->empty());
  EXPECT_EQ(all(3, Counters::kHour).size(), 1u);
}

TEST_F(CountersTest, ThereAreThreeSteps) {
  EXPECT_EQ(Counters::kept(Counters::kMinute), std::chrono::hours(24));
  EXPECT_EQ(Counters::kept(Counters::kHour), std::chrono::hours(744));
  EXPECT_EQ(Counters::kept(Counters::kDay), std::chrono::hours(9600));
  EXPECT_EQ(Counters::kept(std::chrono::minutes(5)), std::chrono::hours(0));
}

}  // namespace
}  // namespace sluice::store
