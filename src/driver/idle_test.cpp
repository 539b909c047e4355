// SPDX-License-Identifier: Apache-2.0
#include <chrono>
#include <gtest/gtest.h>

#include "driver/lanes.h"
#include "driver/test_engine.h"

namespace sluice::driver {
namespace {

using std::chrono::milliseconds;

TEST(Idle, AnUnusedDriverIsDroppedAndComesBackAtItsNextCall) {
  Metrics metrics;
  EngineOptions options;
  options.fast_hosts = 1;
  options.idle = milliseconds(20);
  Engine engine(options, metrics);
  ASSERT_TRUE(engine.start());
  const auto counting = driver_of("let n = 0; function decodeUplink() { return { data: { n: ++n } }; }");
  const auto other = driver_of("function decodeUplink() { return { data: {} }; }");
  const auto count = [&] { return engine.run(counting, Operation::decode_uplink, uplink("01")).data; };
  EXPECT_EQ(count(), R"({"n":1})");
  bool dropped = false;
  const auto end = Steady::now() + std::chrono::seconds(20);
  while (!dropped && Steady::now() < end) {
    // Another driver's calls fill the time in which this one is unused.
    const auto long_enough = Steady::now() + 2 * options.idle;
    while (Steady::now() < long_enough)
      engine.run(other, Operation::decode_uplink, uplink("01"));
    dropped = count() == R"({"n":1})";
  }
  EXPECT_TRUE(dropped);
}

}  // namespace
}  // namespace sluice::driver
