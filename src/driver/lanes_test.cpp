// SPDX-License-Identifier: Apache-2.0
#include "driver/lanes.h"

#include <gtest/gtest.h>

#include "driver/outcome.h"

namespace sluice::driver {
namespace {

using namespace std::chrono_literals;

TaskPtr task(std::uint64_t id) {
  auto made = std::make_unique<Task>();
  made->id = id;
  return made;
}

TEST(FairQueue, ServesItsLinesInTurn) {
  FairQueue queue;
  for (std::uint64_t id = 1; id <= 4; ++id)
    queue.push("long", task(id));
  queue.push("short", task(10));
  queue.push_front("long", task(0));
  EXPECT_EQ(queue.size_of("long"), 5u);
  std::vector<std::uint64_t> order;
  while (auto next = queue.pop())
    order.push_back(next->id);
  EXPECT_EQ(order, (std::vector<std::uint64_t>{0, 10, 1, 2, 3, 4}));
  EXPECT_TRUE(queue.empty());
  EXPECT_EQ(queue.size_of("long"), 0u);
}

TEST(FairQueue, GivesUpTheNewestOfItsLongestLine) {
  FairQueue queue;
  EXPECT_EQ(queue.take_from_longest(), nullptr);
  for (std::uint64_t id = 1; id <= 3; ++id)
    queue.push("long", task(id));
  queue.push("short", task(10));
  EXPECT_EQ(queue.longest(), 3u);
  EXPECT_EQ(queue.take_from_longest()->id, 3u);
  EXPECT_EQ(queue.take_from_longest()->id, 2u);
  queue.take_from_longest();
  queue.take_from_longest();
  EXPECT_TRUE(queue.empty());
  EXPECT_EQ(queue.pop(), nullptr);
}

class SlowQueueTest : public ::testing::Test {
 protected:
  TaskPtr task_of(DriverState& driver, const std::string& device, std::uint64_t id) {
    auto made = task(id);
    made->driver = &driver;
    made->job.input.dev_eui = device;
    return made;
  }
  std::vector<std::uint64_t> drained() {
    std::vector<std::uint64_t> order;
    while (auto next = queue_.pop())
      order.push_back(next->id);
    return order;
  }
  static DriverState named(const char* key) {
    DriverState made;
    made.key = key;
    return made;
  }
  SlowQueue queue_;
  DriverState d_ = named("d"), e_ = named("e");
};

TEST_F(SlowQueueTest, ServesDriversThenDevicesInTurn) {
  for (std::uint64_t id = 1; id <= 3; ++id)
    queue_.push(true, task_of(d_, "A", id));
  queue_.push(true, task_of(d_, "B", 10));
  queue_.push(true, task_of(e_, "C", 20));
  queue_.push_front(true, task_of(d_, "A", 0));
  EXPECT_EQ(queue_.size_of("d"), 5u);
  EXPECT_EQ(drained(), (std::vector<std::uint64_t>{0, 20, 10, 1, 2, 3}));
  EXPECT_EQ(queue_.size_of("d"), 0u);
}

TEST_F(SlowQueueTest, ADeviceNothingIsHeldAgainstTakesEverySecondTurn) {
  for (std::uint64_t id = 1; id <= 4; ++id)
    queue_.push(true, task_of(d_, "A" + std::to_string(id), id));
  queue_.push(false, task_of(d_, "B", 10));
  queue_.push(false, task_of(d_, "B", 11));
  EXPECT_EQ(drained(), (std::vector<std::uint64_t>{10, 1, 11, 2, 3, 4}));
}

TEST_F(SlowQueueTest, MakesRoomAtTheCostOfWhoHasMostWaiting) {
  for (std::uint64_t id = 1; id <= 3; ++id)
    queue_.push(true, task_of(d_, "A", id));
  queue_.push(true, task_of(d_, "B", 10));
  EXPECT_EQ(queue_.make_room("d", "A"), nullptr);
  EXPECT_EQ(queue_.make_room("e", "A"), nullptr);
  EXPECT_EQ(queue_.make_room("d", "C")->id, 3u);
  EXPECT_EQ(queue_.make_room("d", "B")->id, 2u);
  EXPECT_EQ(queue_.make_room("d", "B"), nullptr);
  EXPECT_EQ(drained(), (std::vector<std::uint64_t>{1, 10}));
}

TEST(DriverState, ASlowDriverStaysFastForTheDevicesItIsQuickFor) {
  DriverState driver;
  const Steady::time_point t0{1h};
  driver.was_fast("good");
  driver.was_fast("turns bad");
  for (const auto* device : {"A", "B", "C"})
    driver.stalled(device, t0);
  EXPECT_FALSE(driver.is_slow("good", t0));
  EXPECT_TRUE(driver.is_slow("unknown", t0));
  EXPECT_FALSE(driver.suspects("unknown", t0));
  EXPECT_TRUE(driver.suspects("A", t0));
  driver.stalled("turns bad", t0);
  EXPECT_TRUE(driver.is_slow("turns bad", t0));
  driver.was_quick("unknown");
  EXPECT_FALSE(driver.is_slow("unknown", t0));
  driver.was_quick("A");
  EXPECT_TRUE(driver.is_slow("A", t0));
}

TEST(DriverState, ADeviceThatStalledTwiceIsSlowForAWhile) {
  DriverState driver;
  const Steady::time_point t0{1h};
  driver.stalled("A", t0);
  EXPECT_FALSE(driver.is_slow("A", t0));
  driver.stalled("A", t0 + 1s);
  EXPECT_TRUE(driver.is_slow("A", t0 + 1s));
  EXPECT_FALSE(driver.is_slow("B", t0 + 1s));
  EXPECT_TRUE(driver.is_slow("A", t0 + 60s));
  EXPECT_FALSE(driver.is_slow("A", t0 + 62s));
}

TEST(DriverState, TwentyQuickCallsBringADeviceBack) {
  DriverState driver;
  const Steady::time_point t0{1h};
  driver.stalled("A", t0);
  driver.stalled("A", t0);
  for (int i = 0; i < 19; ++i)
    driver.was_quick("A");
  EXPECT_TRUE(driver.is_slow("A", t0));
  driver.was_quick("A");
  EXPECT_FALSE(driver.is_slow("A", t0));
}

TEST(DriverState, ThreeDevicesWithinAMinuteMakeTheDriverSlow) {
  DriverState driver;
  const Steady::time_point t0{1h};
  driver.stalled("A", t0);
  driver.stalled("B", t0 + 50s);
  driver.stalled("C", t0 + 61s);  // A is out of the minute
  EXPECT_FALSE(driver.is_slow("D", t0 + 61s));
  driver.stalled("A", t0 + 62s);
  EXPECT_TRUE(driver.is_slow("D", t0 + 62s));
  for (int i = 0; i < 20; ++i)
    driver.was_quick("D");
  EXPECT_FALSE(driver.is_slow("E", t0 + 62s));
}

TEST(DriverState, AnEvaluationThatStalledIsSlowUntilItIsProven) {
  DriverState driver;
  driver.evaluation_stalled = true;
  EXPECT_TRUE(driver.is_slow("A", Steady::time_point{1h}));
  driver.evaluation_proven = true;
  EXPECT_FALSE(driver.is_slow("A", Steady::time_point{1h}));
}

TEST(OutcomeReader, TrustsNothingOfAHost) {
  OutcomeReader reader(1000);
  EXPECT_EQ(reader.read("D{\"a\":1}\n\n\n").data, "{\"a\":1}");
  EXPECT_EQ(reader.read("D\n\n\n").data, "");
  EXPECT_EQ(reader.read("E0aff\n7\n[\"w\"]\n").payload_hex, "0aff");
  for (const auto* wrong :
       {"", "X", "D{\"a\":1", "D1}\n\n\n", "D1,\"x\":2\n\n\n", "D1\n[1]\n\n", "E0a\n0\n\n", "Exy\n1\n\n", "E0a\n1x\n\n",
        "E0\n1\n\n", "Fcom-5002\nnot json\n\n\n", "Fxxx\n\"m\"\n\n\n", "I0 1111"}) {
    const auto out = reader.read(wrong);
    EXPECT_FALSE(out.ok) << wrong;
    EXPECT_EQ(out.code, "com-5002") << wrong;
  }
  EXPECT_EQ(reader.read("D\"" + std::string(2000, 'x') + "\"\n\n\n").code, "com-5002");
  EXPECT_TRUE(reader.read("D" + std::string(99, '[') + std::string(99, ']') + "\n\n\n").ok);
  EXPECT_FALSE(reader.read("D" + std::string(101, '[') + std::string(101, ']') + "\n\n\n").ok);
  EXPECT_TRUE(reader.read_inspection("I3 1010"));
  EXPECT_FALSE(reader.read_inspection("I4 1010"));
}

}  // namespace
}  // namespace sluice::driver
