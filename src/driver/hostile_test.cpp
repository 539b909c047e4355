// SPDX-License-Identifier: Apache-2.0
// Drivers that stall beside others, and hosts that die: each costs its own message, and nobody else's. The attacks
// themselves are in hostile_limits_test.cpp and hostile_escape_test.cpp.
#include <atomic>
#include <condition_variable>
#include <gtest/gtest.h>
#include <mutex>
#include <signal.h>

#include "driver/hostile_kit.h"

namespace sluice::driver {
namespace {

// Collects outcomes of many jobs.
class Collected {
 public:
  std::function<void(Outcome)> done() {
    ++expected_;
    return [this](Outcome outcome) {
      const std::lock_guard lock(mutex_);
      ++count_;
      if (outcome.ok) ++ok_;
      changed_.notify_all();
    };
  }
  bool wait(std::chrono::seconds most) {
    std::unique_lock lock(mutex_);
    return changed_.wait_for(lock, most, [&] { return count_ >= expected_; });
  }
  int count() {
    const std::lock_guard lock(mutex_);
    return count_;
  }
  int ok() {
    const std::lock_guard lock(mutex_);
    return ok_;
  }

 private:
  std::mutex mutex_;
  std::condition_variable changed_;
  int expected_ = 0, count_ = 0, ok_ = 0;
};

Job job(DriverCodePtr code, const std::string& device, std::function<void(Outcome)> done) {
  Input input = uplink("07", 1);
  input.dev_eui = device;
  return {std::move(code), Operation::decode_uplink, std::move(input), std::move(done)};
}

TEST(Isolation, ALoopDelaysNoOtherDriver) {
  Collected loops, others;
  const auto loop = driver_of("function decodeUplink() { while (true) {} }"), good = driver_of(kGood);
  std::vector<Job> jobs;
  for (int i = 0; i < 200; ++i) {
    if (i % 50 == 0) jobs.push_back(job(loop, "00000000000000" + std::to_string(10 + i / 50), loops.done()));
    jobs.push_back(job(good, "0100000000000000", others.done()));
  }
  const auto begun = std::chrono::steady_clock::now();
  test_engine().submit(std::move(jobs));
  ASSERT_TRUE(others.wait(std::chrono::seconds(30)));
  const auto took = std::chrono::steady_clock::now() - begun;
  EXPECT_EQ(others.ok(), 200);
  // Four stalls of 50 ms CPU; room for a busy machine.
  EXPECT_LT(std::chrono::duration_cast<std::chrono::milliseconds>(took).count(), 3000);
  ASSERT_TRUE(loops.wait(std::chrono::seconds(30)));
  EXPECT_EQ(loops.ok(), 0);
}

TEST(Isolation, OtherDevicesOfALoopingDriverGoOn) {
  Collected bad, good;
  const auto code =
      driver_of("function decodeUplink(input) { while (input.DevEUI === '00000000000000AA') {} return { data: 1 }; }");
  std::vector<Job> jobs;
  for (int i = 0; i < 100; ++i) {
    if (i % 25 == 0) jobs.push_back(job(code, "00000000000000AA", bad.done()));
    jobs.push_back(job(code, "00000000000000BB", good.done()));
  }
  test_engine().submit(std::move(jobs));
  ASSERT_TRUE(good.wait(std::chrono::seconds(30)));
  EXPECT_EQ(good.ok(), 100);
  EXPECT_LT(bad.count(), 4);  // still at it, on the slow host
  ASSERT_TRUE(bad.wait(std::chrono::seconds(30)));
  EXPECT_EQ(bad.ok(), 0);
}

TEST(Isolation, LoopsAlreadyGivenToAHostAreTakenBack) {
  Collected loops, others;
  const auto loop = driver_of("function decodeUplink() { while (true) {} }"), good = driver_of(kGood);
  std::vector<Job> jobs;
  for (int i = 0; i < 100; ++i)
    jobs.push_back(job(loop, "00000000000002" + std::to_string(100 + i), loops.done()));
  for (int i = 0; i < 100; ++i)
    jobs.push_back(job(good, "0100000000000000", others.done()));
  const auto begun = std::chrono::steady_clock::now();
  test_engine().submit(std::move(jobs));
  ASSERT_TRUE(others.wait(std::chrono::seconds(30)));
  const auto took = std::chrono::steady_clock::now() - begun;
  EXPECT_EQ(others.ok(), 100);
  // A hundred stalls would be five seconds of CPU time, a handful and a new host are a fraction of one.
  EXPECT_LT(std::chrono::duration_cast<std::chrono::milliseconds>(took).count(), 3500);
  ASSERT_TRUE(loops.wait(std::chrono::seconds(60)));
  EXPECT_EQ(loops.ok(), 0);
}

TEST(Isolation, ManyLoopingDevicesLeaveTheOthersOfTheirDriverAlone) {
  Collected first, loops, good;
  const auto code = driver_of("function decodeUplink(input) { while (input.bytes[0] === 255) {} return { data: 1 }; }");
  const auto of = [&](const char* payload, const std::string& device, Collected& where) {
    auto made = job(code, device, where.done());
    made.input.payload_hex = payload;
    return made;
  };
  std::vector<Job> jobs;
  jobs.push_back(of("01", "00000000000000BB", first));
  test_engine().submit(std::move(jobs));
  ASSERT_TRUE(first.wait(std::chrono::seconds(30)));
  jobs.clear();
  for (int i = 0; i < 200; ++i)
    jobs.push_back(of("ff", "00000000000001" + std::to_string(10 + i % 20), loops));
  for (int i = 0; i < 100; ++i)
    jobs.push_back(of("01", "00000000000000BB", good));
  test_engine().submit(std::move(jobs));
  ASSERT_TRUE(good.wait(std::chrono::seconds(30)));
  EXPECT_EQ(good.ok(), 100);
  ASSERT_TRUE(loops.wait(std::chrono::seconds(60)));
  EXPECT_EQ(loops.ok(), 0);
}

TEST(Isolation, ManyStallsFillOnlyTheirOwnLine) {
  Collected loops;
  const auto loop = driver_of("function decodeUplink() { while (true) {} }");
  std::vector<Job> jobs;
  for (int i = 0; i < 12; ++i)
    jobs.push_back(job(loop, "00000000000000CC", loops.done()));
  test_engine().submit(std::move(jobs));
  // A driver of another's that is slow, too, is served in turn and not behind the loops.
  Collected slow;
  const auto steady = driver_of(
      "function decodeUplink() { const t = Date.now(); while (Date.now() - t < 120) {} return { data: 1 }; }");
  std::vector<Job> one;
  one.push_back(job(steady, "00000000000000DD", slow.done()));
  test_engine().submit(std::move(one));
  ASSERT_TRUE(slow.wait(std::chrono::seconds(30)));
  EXPECT_EQ(slow.ok(), 1);
  EXPECT_LT(loops.count(), 10);
  // The rest of the loops end with the driver's line; wait, so that they disturb no other test.
  ASSERT_TRUE(loops.wait(std::chrono::seconds(60)));
  EXPECT_EQ(loops.ok(), 0);
}

// Attacks of every kind at once, each from devices of its own, while another account's device is served.
TEST(Isolation, NoMixOfAttacksDelaysAnotherDeviceByMoreThanTheLimit) {
  const auto limit = std::chrono::milliseconds(1000);
  const auto before = children().size();
  {
    Metrics metrics;
    EngineOptions options;
    options.fast_hosts = 1;
    options.call_limit = limit;
    Engine engine(options, metrics);
    ASSERT_TRUE(engine.start());
    Collected attacks;
    std::vector<Job> jobs;
    int device = 10;
    for (const auto* body : {
             "for (;;) {}",
             "/^(a+)+$/.test('a'.repeat(40) + 'b');",
             "const all = []; for (;;) all.push(new Array(100000).fill(1.5));",
             "(function f() { f(); })();",
             "for (let i = 0; i < 9; i++) Promise.resolve().then(() => { for (;;) {} });",
             "return { data: 'x'.repeat(5e6) };",
             "throw 'x'.repeat(1e6);",
             "let n = 3n; for (;;) n *= n;",
         }) {
      const auto code = driver_of(std::string("function decodeUplink() { ") + body + " }");
      for (int i = 0; i < 2; ++i)
        jobs.push_back(job(code, "00000000000030" + std::to_string(device++), attacks.done()));
    }
    engine.submit(std::move(jobs));
    const auto good = std::make_shared<DriverCode>(*driver_of(kGood));
    good->account = "others";
    std::chrono::steady_clock::duration longest{};
    const auto end = std::chrono::steady_clock::now() + std::chrono::seconds(3);
    for (int i = 0; std::chrono::steady_clock::now() < end; ++i) {
      Input input = uplink("07", 1);
      input.dev_eui = "0100000000000000";
      const auto begun = std::chrono::steady_clock::now();
      const auto outcome = engine.run(good, Operation::decode_uplink, std::move(input));
      longest = std::max(longest, std::chrono::steady_clock::now() - begun);
      ASSERT_TRUE(outcome.ok) << outcome.message << " at " << i;
    }
    RecordProperty("longest_ms",
                   static_cast<int>(std::chrono::duration_cast<std::chrono::milliseconds>(longest).count()));
    EXPECT_LT(longest, limit);
    ASSERT_TRUE(attacks.wait(std::chrono::seconds(60)));
    EXPECT_EQ(attacks.ok(), 0);
  }
  EXPECT_EQ(children().size(), before);  // zombies would count
}

// Many calls may share one entry into the machine, at whose end promises are worked off: whoever hides that he makes
// some takes nobody else's time, nor the verdict of anybody else.
TEST(Isolation, HiddenPromisesAreNobodyElsesMatter) {
  Collected bombs, good;
  const auto hidden = driver_of(
      "function decodeUplink() { const P = globalThis['Pro' + 'mise']; for (let i = 0; i < 20; i++) "
      "P.resolve().then(() => { for "
      "(;;) {} }); return { data: 1 }; }");
  const auto written = driver_of(
      "function decodeUplink() { return { data: eval('(as' + 'ync () => { aw' + 'ait 0; for (;;) {} })(); 1') }; }");
  const auto other = std::make_shared<DriverCode>(*driver_of(kGood));
  other->account = "others";
  for (int round = 0; round < 3; ++round) {
    std::vector<Job> jobs;
    for (int i = 0; i < 60; ++i) {
      if (i % 20 == 5) {
        jobs.push_back(job(i % 40 == 5 ? hidden : written, "00000000000040" + std::to_string(10 + i), bombs.done()));
      }
      jobs.push_back(job(other, "0100000000000000", good.done()));
    }
    test_engine().submit(std::move(jobs));
    ASSERT_TRUE(good.wait(std::chrono::seconds(30)));
  }
  EXPECT_EQ(good.ok(), 180);
  ASSERT_TRUE(bombs.wait(std::chrono::seconds(60)));
}

TEST(Hosts, KilledFromOutsideLoseNoJob) {
  Metrics metrics;
  EngineOptions options;
  options.fast_hosts = 1;
  Engine engine(options, metrics);
  ASSERT_TRUE(engine.start());
  const auto code = driver_of(
      "function decodeUplink(input) { let s = 0; for (let i = 0; i < 20000; i++) s += i; return { data: s }; }");
  Collected all;
  std::vector<Job> jobs;
  for (int i = 0; i < 3000; ++i)
    jobs.push_back(job(code, "00000000000000EE", all.done()));
  engine.submit(std::move(jobs));
  while (all.count() < 200)
    ::usleep(500);
  for (const Child& child : children())
    ::kill(child.pid, SIGKILL);
  ASSERT_TRUE(all.wait(std::chrono::seconds(60)));
  EXPECT_EQ(all.ok(), 3000);
}

TEST(Hosts, EndWithTheEngineAndEveryJobIsAnswered) {
  Collected all;
  const auto before = children().size();
  {
    Metrics metrics;
    EngineOptions options;
    options.queue_limit = 500;
    Engine engine(options, metrics);
    ASSERT_TRUE(engine.start());
    std::vector<Job> jobs;
    const auto loop = driver_of("function decodeUplink() { while (true) {} }");
    for (int i = 0; i < 1000; ++i)
      jobs.push_back(job(loop, std::to_string(i), all.done()));
    engine.submit(std::move(jobs));
  }
  EXPECT_EQ(all.count(), 1000);
  EXPECT_EQ(children().size(), before);
}

}  // namespace
}  // namespace sluice::driver
