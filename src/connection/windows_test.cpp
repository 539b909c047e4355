// SPDX-License-Identifier: Apache-2.0
#include "connection/windows.h"

#include <gtest/gtest.h>
#include <map>

namespace sluice::connection {
namespace {

constexpr UnixMillis kMinute = 60'000;
constexpr UnixMillis kStart = 1'700'000'040'000;  // a minute's begin

std::uint64_t hour(const Windows& windows, UnixMillis now, Counter counter) {
  return windows.read(now).last_1h[static_cast<std::size_t>(counter)];
}
std::uint64_t day(const Windows& windows, UnixMillis now, Counter counter) {
  return windows.read(now).last_24h[static_cast<std::size_t>(counter)];
}
std::string eui(std::uint64_t n) {
  constexpr const char* kDigits = "0123456789ABCDEF";
  std::string text(16, '0');
  n += 0x70B3D5E700000000;
  for (int i = 15; i >= 0; --i, n >>= 4)
    text[static_cast<std::size_t>(i)] = kDigits[n & 15];
  return text;
}

TEST(WindowsTest, CountsLeaveTheHourAndTheDayByTheMinute) {
  Windows windows;
  windows.add(Counter::uplinks, kStart, 3);
  windows.add(Counter::uplinks, kStart + kMinute, 4);
  EXPECT_EQ(hour(windows, kStart + 59 * kMinute, Counter::uplinks), 7u);
  EXPECT_EQ(hour(windows, kStart + 60 * kMinute, Counter::uplinks), 4u);
  EXPECT_EQ(hour(windows, kStart + 61 * kMinute, Counter::uplinks), 0u);
  EXPECT_EQ(day(windows, kStart + 1439 * kMinute, Counter::uplinks), 7u);
  EXPECT_EQ(day(windows, kStart + 1440 * kMinute, Counter::uplinks), 4u);
  EXPECT_EQ(day(windows, kStart + 1441 * kMinute, Counter::uplinks), 0u);
}

TEST(WindowsTest, EachCounterIsApart) {
  Windows windows;
  for (std::size_t i = 0; i < kCounters; ++i)
    windows.add(static_cast<Counter>(i), kStart, i + 1);
  auto counts = windows.read(kStart);
  for (std::size_t i = 0; i < kCounters; ++i) {
    EXPECT_EQ(counts.last_1h[i], i + 1);
    EXPECT_EQ(counts.last_24h[i], i + 1);
  }
}

TEST(WindowsTest, DaysOfTrafficKeepTheDaysSum) {
  Windows windows;
  for (int minute = 0; minute < 4 * 1440; ++minute)
    windows.add(Counter::uplinks, kStart + minute * kMinute, 2);
  auto last = kStart + (4 * 1440 - 1) * kMinute;
  EXPECT_EQ(day(windows, last, Counter::uplinks), 2u * 1440);
  EXPECT_EQ(hour(windows, last, Counter::uplinks), 2u * 60);
}

TEST(WindowsTest, AClockSetBackStillCounts) {
  Windows windows;
  windows.add(Counter::uplinks, kStart + 5 * kMinute);
  windows.add(Counter::uplinks, kStart);
  windows.add(Counter::uplinks, kStart);
  EXPECT_EQ(hour(windows, kStart + 5 * kMinute, Counter::uplinks), 3u);
  EXPECT_EQ(hour(windows, kStart + 60 * kMinute, Counter::uplinks), 1u);
}

TEST(WindowsTest, ADeviceIsCountedOnceAndByItsLastMinute) {
  Windows windows;
  windows.seen(eui(1), kStart);
  windows.seen(eui(1), kStart + 30 * kMinute);
  windows.seen(eui(2), kStart);
  windows.seen("no DevEUI", kStart);
  EXPECT_EQ(windows.read(kStart + 59 * kMinute).active_things_1h, 3u);
  EXPECT_EQ(windows.read(kStart + 60 * kMinute).active_things_1h, 1u);
  EXPECT_EQ(windows.read(kStart + 90 * kMinute).active_things_1h, 0u);
  EXPECT_EQ(windows.read(kStart + 90 * kMinute).active_things_24h, 3u);
  EXPECT_EQ(windows.read(kStart + 1469 * kMinute).active_things_24h, 1u);
}

TEST(WindowsTest, TenThousandDevicesAreExactAndMoreAreEstimated) {
  Windows windows;
  for (std::uint64_t i = 0; i < 10'000; ++i)
    windows.seen(eui(i), kStart);
  EXPECT_EQ(windows.read(kStart).active_things_24h, 10'000u);
  for (std::uint64_t i = 10'000; i < 60'000; ++i)
    windows.seen(eui(i), kStart + kMinute);
  auto counts = windows.read(kStart + kMinute);
  EXPECT_NEAR(static_cast<double>(counts.active_things_24h), 60'000, 3'000);
  EXPECT_NEAR(static_cast<double>(counts.active_things_1h), 60'000, 3'000);
  // What was seen in the first minute alone leaves the hour.
  EXPECT_NEAR(static_cast<double>(windows.read(kStart + 60 * kMinute).active_things_1h), 50'000, 2'500);
}

TEST(WindowsTest, TheHourStaysExactBesideAnEstimatedDay) {
  Windows windows;
  // 40,000 devices a day, 1,000 of them in any hour.
  std::uint64_t next = 0;
  auto now = kStart;
  for (int hours = 0; hours < 40; ++hours, now += 60 * kMinute) {
    for (int i = 0; i < 1000; ++i)
      windows.seen(eui(next++), now);
  }
  auto counts = windows.read(now - 60 * kMinute);
  EXPECT_EQ(counts.active_things_1h, 1000u);
  EXPECT_NEAR(static_cast<double>(counts.active_things_24h), 24'000, 1'200);
}

TEST(WindowsTest, TheDayIsExactAgainADayAfterTheCrowd) {
  Windows windows;
  for (std::uint64_t i = 0; i < 30'000; ++i)
    windows.seen(eui(i), kStart);
  auto now = kStart;
  for (int hours = 0; hours < 50; ++hours) {
    now += 60 * kMinute;
    windows.add(Counter::uplinks, now);
    for (std::uint64_t i = 0; i < 20; ++i)
      windows.seen(eui(i), now);
  }
  EXPECT_EQ(windows.read(now).active_things_24h, 20u);
}

// What one process takes to be written, another restores.
TEST(WindowsTest, WhatIsTakenRestoresTheWindows) {
  Windows before, after;
  before.keep_changes();
  std::vector<MinuteCounts> minutes;
  std::map<std::pair<bool, std::uint64_t>, Devices::Seen> seen;
  auto write = [&] {
    auto changes = before.take();
    minutes.insert(minutes.end(), changes.minutes.begin(), changes.minutes.end());
    for (const auto& one : changes.seen)
      seen[{one.cell, one.key}] = one;
  };
  for (std::uint64_t i = 0; i < 25'000; ++i) {
    auto now = kStart + static_cast<UnixMillis>(i / 100) * kMinute;
    before.add(Counter::uplinks, now);
    before.add(Counter::uplink_bytes, now, 1000);
    before.seen(eui(i), now);
    if (i % 777 == 0) write();
  }
  write();
  std::vector<Devices::Seen> rows;
  for (const auto& [key, one] : seen)
    rows.push_back(one);
  after.restore(minutes, rows);
  auto now = kStart + 249 * kMinute;
  auto was = before.read(now), is = after.read(now);
  EXPECT_EQ(is.last_24h, was.last_24h);
  EXPECT_EQ(is.last_1h, was.last_1h);
  EXPECT_EQ(is.active_things_24h, was.active_things_24h);
  EXPECT_NEAR(static_cast<double>(is.active_things_1h), 6000, 300);
}

TEST(WindowsTest, WhatCouldNotBeWrittenIsTakenAgain) {
  Windows windows;
  windows.keep_changes();
  windows.add(Counter::uplinks, kStart, 2);
  windows.took(0.015, kStart);
  windows.seen(eui(1), kStart);
  auto changes = windows.take();
  EXPECT_TRUE(windows.take().empty());
  windows.add(Counter::uplinks, kStart, 3);
  windows.put_back(std::move(changes));
  changes = windows.take();
  ASSERT_EQ(changes.minutes.size(), 1u);
  EXPECT_EQ(changes.minutes[0].counts[0], 5u);
  EXPECT_EQ(changes.minutes[0].latencies[4], 1u);
  EXPECT_EQ(changes.seen.size(), 1u);
}

TEST(WindowsTest, ChangesThatNobodyTakesAreBounded) {
  Windows windows;
  windows.keep_changes();
  for (int minute = 0; minute < 5000; ++minute)
    windows.add(Counter::uplinks, kStart + minute * kMinute);
  EXPECT_LE(windows.unwritten().size(), 1440u);
  EXPECT_EQ(windows.unwritten().back().minute, kStart / kMinute + 4999);
}

TEST(WindowsTest, QuantilesAreInterpolated) {
  Latencies latencies{};
  EXPECT_EQ(quantile(latencies, 0.5), 0);
  latencies[3] = 100;  // 5 ms to 10 ms
  EXPECT_NEAR(quantile(latencies, 0.5), 0.0075, 1e-9);
  latencies[9] = 100;  // 0.5 s to 1 s
  EXPECT_NEAR(quantile(latencies, 0.99), 0.99, 1e-9);
  latencies.fill(0);
  latencies.back() = 1;
  EXPECT_EQ(quantile(latencies, 0.5), 3600);
}

}  // namespace
}  // namespace sluice::connection
