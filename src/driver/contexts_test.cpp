// SPDX-License-Identifier: Apache-2.0
// Contexts of devices: the invariants of contexts.h, on a real engine and a real file.
#include "driver/contexts.h"

#include <atomic>
#include <filesystem>
#include <future>
#include <gtest/gtest.h>
#include <stdlib.h>

#include "base/json.h"
#include "driver/test_engine.h"

namespace sluice::driver {
namespace {

class ManualClock final : public Clock {
 public:
  [[nodiscard]] UnixMillis now() const override { return now_.load(); }
  [[nodiscard]] std::chrono::steady_clock::time_point steady() const override {
    return std::chrono::steady_clock::now();
  }
  void forward(std::chrono::milliseconds by) { now_ += by.count(); }

 private:
  std::atomic<UnixMillis> now_{1'700'000'000'000};
};

// A store whose disk can be taken away.
class Flaky final : public store::DeviceContexts {
 public:
  explicit Flaky(store::DeviceContexts& real) : real_(real) {}
  Result<std::vector<store::DeviceContext>> read(const std::vector<store::ContextKey>& keys) override {
    if (away_) return Error{ErrorKind::transient, "the disk is away"};
    return real_.read(keys);
  }
  Result<void> write(const std::vector<store::DeviceContext>& contexts) override {
    if (away_) return Error{ErrorKind::transient, "the disk is away"};
    return real_.write(contexts);
  }
  Result<std::size_t> drop_older(UnixMillis than) override { return real_.drop_older(than); }
  std::atomic<bool> away_{false};

 private:
  store::DeviceContexts& real_;
};

class DeviceContextsTest : public ::testing::Test {
 protected:
  void SetUp() override {
    char name[] = "/tmp/sluice-contexts-XXXXXX";
    directory_ = ::mkdtemp(name);
    start();
  }
  void TearDown() override {
    engine_.reset();
    flaky_.reset();
    store_.reset();
    std::filesystem::remove_all(directory_);
  }
  void start() {
    engine_.reset();
    auto opened = store::open_device_contexts(directory_);
    ASSERT_TRUE(opened) << opened.error().text;
    store_ = std::move(*opened);
    flaky_ = std::make_unique<Flaky>(*store_);
    EngineOptions options;
    options.fast_hosts = 1;
    options.call_limit = std::chrono::milliseconds(200);
    engine_ = std::make_unique<Engine>(options, metrics_, flaky_.get(), clock_);
    ASSERT_TRUE(engine_->start());
  }

  static DriverCodePtr counter(const std::string& account = "a") {
    auto code = std::make_shared<DriverCode>(*driver_of(
        "function decodeUplink(i) { if (i.fPort === 9) throw new Error('no'); context[0] = (context[0] || 0) + 1;"
        " return { data: context[0] }; }"
        "function encodeDownlink(i) { context.push('down'); return { bytes: [context.length], fPort: 1 }; }"));
    code->account = account;
    code->use_context = true;
    return code;
  }

  std::string call(const DriverCodePtr& code, const std::string& device, int port = 1, bool by_hand = false) {
    Input input = uplink("01", port);
    input.dev_eui = device;
    return run(code, Operation::decode_uplink, std::move(input), by_hand);
  }
  std::string run(const DriverCodePtr& code, Operation operation, Input input, bool by_hand = false) {
    std::promise<Outcome> given;
    auto taken = given.get_future();
    std::vector<Job> jobs(1);
    jobs[0] = {code, operation, std::move(input), [&](Outcome outcome) { given.set_value(std::move(outcome)); },
               by_hand};
    engine_->submit(std::move(jobs));
    const auto out = taken.get();
    return out.ok ? operation == Operation::decode_uplink ? out.data : out.payload_hex : out.message;
  }

  std::string directory_;
  ManualClock clock_;
  Metrics metrics_;
  std::unique_ptr<store::DeviceContexts> store_;
  std::unique_ptr<Flaky> flaky_;
  std::unique_ptr<Engine> engine_;
};

TEST_F(DeviceContextsTest, EveryDeviceHasItsOwnAndEveryAccountToo) {
  const auto code = counter(), other = counter("b");
  EXPECT_EQ(call(code, "00000000000000AA"), "1");
  EXPECT_EQ(call(code, "00000000000000AA"), "2");
  EXPECT_EQ(call(code, "00000000000000BB"), "1");
  EXPECT_EQ(call(other, "00000000000000AA"), "1");
  EXPECT_EQ(call(code, "00-00-00-00-00-00-00-aa"), "3");
  Input input;
  input.data = "{}";
  input.dev_eui = "00000000000000AA";
  EXPECT_EQ(run(code, Operation::encode_downlink, input), "02");
  EXPECT_EQ(run(code, Operation::encode_downlink, input), "03");
  EXPECT_EQ(call(code, "00000000000000AA"), "4");
  EXPECT_EQ(call(code, ""), "1");
  EXPECT_EQ(call(code, ""), "1");
}

TEST_F(DeviceContextsTest, OutlivesTheProcess) {
  const auto code = counter();
  EXPECT_EQ(call(code, "00000000000000AA"), "1");
  EXPECT_EQ(call(code, "00000000000000AA"), "2");
  start();
  EXPECT_EQ(call(code, "00000000000000AA"), "3");
}

TEST_F(DeviceContextsTest, IsGoneTwoDaysAfterItsLastWrite) {
  const auto code = counter();
  EXPECT_EQ(call(code, "00000000000000AA"), "1");
  clock_.forward(std::chrono::hours(47));
  EXPECT_EQ(call(code, "00000000000000AA"), "2");
  clock_.forward(std::chrono::hours(47));
  start();
  EXPECT_EQ(call(code, "00000000000000AA"), "3");
  clock_.forward(std::chrono::hours(48) + std::chrono::milliseconds(1));
  EXPECT_EQ(call(code, "00000000000000AA"), "1");
  // Reading prolongs nothing; a new start drops what is old.
  auto reader =
      std::make_shared<DriverCode>(*driver_of("function decodeUplink() { return { data: context.length }; }"));
  reader->account = "a";
  reader->use_context = true;
  clock_.forward(std::chrono::hours(47));
  EXPECT_EQ(call(reader, "00000000000000AA"), "1");
  clock_.forward(std::chrono::hours(2));
  EXPECT_EQ(call(reader, "00000000000000AA"), "0");
  ASSERT_TRUE(store_->drop_older(clock_.now() - std::chrono::milliseconds(store::kContextLife).count()));
  const auto left = store_->read({{"a", "00000000000000AA"}});
  ASSERT_TRUE(left);
  EXPECT_TRUE(left->empty());
}

TEST_F(DeviceContextsTest, AFailedCallLeavesItAndAPersonsCallReadsIt) {
  const auto code = counter();
  EXPECT_EQ(call(code, "00000000000000AA"), "1");
  EXPECT_EQ(call(code, "00000000000000AA", 9), "driver internal error: Error: no");
  EXPECT_EQ(call(code, "00000000000000AA", 1, true), "2");
  EXPECT_EQ(call(code, "00000000000000AA", 1, true), "2");
  EXPECT_EQ(call(code, "00000000000000AA"), "2");
}

TEST_F(DeviceContextsTest, CallsOfADeviceRunInTheOrderTheyCame) {
  const auto code = counter();
  std::mutex mutex;
  std::vector<std::string> answers[3];
  std::atomic<int> left{600};
  std::promise<void> all;
  std::vector<Job> jobs;
  for (int i = 0; i < 600; ++i) {
    Input input = uplink("01", 1);
    input.dev_eui = "000000000000000" + std::to_string(i % 3);
    jobs.push_back({code, Operation::decode_uplink, input, [&, i](Outcome outcome) {
                      {
                        const std::lock_guard lock(mutex);
                        answers[i % 3].push_back(outcome.ok ? outcome.data : outcome.message);
                      }
                      if (--left == 0) all.set_value();
                    }});
  }
  engine_->submit(std::move(jobs));
  ASSERT_EQ(all.get_future().wait_for(std::chrono::seconds(60)), std::future_status::ready);
  for (const auto& of_device : answers) {
    ASSERT_EQ(of_device.size(), 200u);
    for (std::size_t i = 0; i < of_device.size(); ++i)
      EXPECT_EQ(of_device[i], std::to_string(i + 1));
  }
}

TEST_F(DeviceContextsTest, WhatCouldNotBeReadIsNotOverwritten) {
  const auto code = counter();
  EXPECT_EQ(call(code, "00000000000000AA"), "1");
  EXPECT_EQ(call(code, "00000000000000AA"), "2");
  start();
  flaky_->away_ = true;
  EXPECT_EQ(call(code, "00000000000000AA"), "1");
  flaky_->away_ = false;
  EXPECT_EQ(call(code, "00000000000000AA"), "3");
}

TEST_F(DeviceContextsTest, WhatCouldNotBeWrittenIsWrittenLater) {
  const auto code = counter();
  EXPECT_EQ(call(code, "00000000000000AA"), "1");
  flaky_->away_ = true;
  EXPECT_EQ(call(code, "00000000000000AA"), "2");
  EXPECT_EQ(call(code, "00000000000000AA"), "3");
  flaky_->away_ = false;
  start();
  EXPECT_EQ(call(code, "00000000000000AA"), "4");
}

TEST_F(DeviceContextsTest, EveryCallIsAnsweredAtTheEnd) {
  const auto code = counter();
  std::atomic<int> answered{0};
  std::vector<Job> jobs;
  for (int i = 0; i < 500; ++i) {
    Input input = uplink("01", 1);
    input.dev_eui = "00000000000000AA";
    jobs.push_back({code, Operation::decode_uplink, input, [&](Outcome) { ++answered; }});
  }
  engine_->submit(std::move(jobs));
  engine_.reset();
  EXPECT_EQ(answered.load(), 500);
}

}  // namespace
}  // namespace sluice::driver
