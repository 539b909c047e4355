// SPDX-License-Identifier: Apache-2.0
#include "connection/strategy.h"

#include <gtest/gtest.h>

namespace sluice::connection {
namespace {

using namespace std::chrono_literals;
using Time = ReconnectSchedule::Time;

ReconnectSchedule schedule(const char* name) {
  return {strategy_of(name), [] { return 0.5; }};
}

// Tries that fail at once, from `now` on; `now` is moved to the last one.
void expect(ReconnectSchedule& s, Time& now, std::chrono::milliseconds every, int tries) {
  for (int i = 0; i < tries; ++i) {
    auto next = s.next(now, false);
    ASSERT_TRUE(next);
    ASSERT_EQ(*next - now, every) << "try " << i;
    now = *next;
  }
}

TEST(Strategy, QuickTriesFirst) {
  auto s = schedule("NORMAL");
  Time left{};
  EXPECT_EQ(s.next(left, true), left + 1s);
  EXPECT_EQ(s.next(left + 1s, true), left + 6s);
  EXPECT_EQ(s.next(left + 6s, true), left + 26s);
  EXPECT_EQ(s.next(left + 26s, true), left + 5min);  // judged from when it was left, not from the last quick try
  s.reset();
  EXPECT_EQ(s.next(left + 1h, false), left + 1h + 5min);  // credentials refused: no quick tries
  EXPECT_EQ(s.next(left + 1h, true), left + 1h + 1s);
}

TEST(Strategy, Phases) {
  Time now{};
  auto calm = schedule("CALM");
  expect(calm, now, 10min, 72);
  expect(calm, now, 1h, 24);
  EXPECT_EQ(now, Time{} + 36h);
  EXPECT_FALSE(calm.next(now, false));
  EXPECT_FALSE(calm.next(now, false));
  now = {};
  auto normal = schedule("anything");
  expect(normal, now, 5min, 12);
  expect(normal, now, 1h, 24);
  expect(normal, now, 24h, 1000);
  now = {};
  auto aggressive = schedule("AGGRESSIVE");
  expect(aggressive, now, 3min, 60);
  expect(aggressive, now, 30min, 336);
  expect(aggressive, now, 1h, 1000);
}

TEST(Strategy, SlowTriesAddUpToNothing) {
  auto s = schedule("NORMAL");
  Time left{};
  s.reset(left);
  Time now = left;
  for (int i = 1; i <= 12; ++i) {
    auto next = s.next(now, false);
    ASSERT_EQ(next, left + i * 5min);
    now = *next + 65s;  // each try hangs to its limit
  }
  EXPECT_EQ(s.next(now, false), left + 2h);
  EXPECT_EQ(s.next(left + 5h + 1s, false), left + 6h);  // those that lie behind are left out
}

TEST(Strategy, JitterIsAMinuteEitherWay) {
  Time left{};
  ReconnectSchedule early(Strategy::normal, [] { return 0.0; });
  EXPECT_EQ(early.next(left, true), left + 500ms);
  EXPECT_EQ(early.next(left, false), left + 4min);
  ReconnectSchedule late(Strategy::normal, [] { return 0.999999; });
  auto next = *late.next(left, false);
  EXPECT_LT(next, left + 6min);
  EXPECT_GT(next, left + 6min - 1s);
}

}  // namespace
}  // namespace sluice::connection
