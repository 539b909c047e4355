// SPDX-License-Identifier: Apache-2.0
#include "connection/strategy.h"

#include <gtest/gtest.h>

namespace sluice::connection {
namespace {

using namespace std::chrono_literals;

ReconnectSchedule schedule(const char* name) {
  return {strategy_of(name), [] { return 0.5; }};
}

void expect(ReconnectSchedule& s, std::chrono::milliseconds wait, int tries) {
  for (int i = 0; i < tries; ++i) {
    auto next = s.next(false);
    ASSERT_TRUE(next);
    ASSERT_EQ(*next, wait) << "try " << i;
  }
}

TEST(Strategy, QuickTriesFirst) {
  auto s = schedule("NORMAL");
  EXPECT_EQ(s.next(true), 1s);
  EXPECT_EQ(s.next(true), 5s);
  EXPECT_EQ(s.next(true), 20s);
  EXPECT_EQ(s.next(true), 5min);
  s.reset();
  EXPECT_EQ(s.next(false), 5min);  // credentials refused: no quick tries
  EXPECT_EQ(s.next(true), 1s);
}

TEST(Strategy, Phases) {
  auto calm = schedule("CALM");
  expect(calm, 10min, 72);
  expect(calm, 1h, 24);
  EXPECT_FALSE(calm.next(false));
  EXPECT_FALSE(calm.next(false));
  auto normal = schedule("anything");
  expect(normal, 5min, 12);
  expect(normal, 1h, 24);
  expect(normal, 24h, 1000);
  auto aggressive = schedule("AGGRESSIVE");
  expect(aggressive, 3min, 60);
  expect(aggressive, 30min, 336);
  expect(aggressive, 1h, 1000);
}

TEST(Strategy, JitterIsAMinuteEitherWay) {
  ReconnectSchedule early(Strategy::normal, [] { return 0.0; });
  EXPECT_EQ(early.next(true), 500ms);
  EXPECT_EQ(early.next(false), 4min);
  ReconnectSchedule late(Strategy::normal, [] { return 0.999999; });
  EXPECT_LT(*late.next(false), 6min);
  EXPECT_GT(*late.next(false), 6min - 1s);
}

}  // namespace
}  // namespace sluice::connection
