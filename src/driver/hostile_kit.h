// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdio>
#include <cstdlib>
#include <dirent.h>
#include <fstream>
#include <gtest/gtest.h>
#include <memory>
#include <string>
#include <unistd.h>
#include <utility>
#include <vector>

#include "driver/test_engine.h"

namespace sluice::driver {

inline constexpr const char* kTimedOut = "driver internal error: Error: Script execution timed out.";
inline constexpr const char* kOutOfMemory = "driver internal error: Error: Script ran out of memory.";
inline constexpr const char* kOverflow = "driver internal error: RangeError: Maximum call stack size exceeded.";
inline constexpr const char* kGood = "function decodeUplink(input) { return { data: input.bytes[0] }; }";

struct Child {
  pid_t pid = 0;
  char state = 0;  // as in /proc/PID/stat: Z is a zombie
};

inline std::vector<Child> children() {
  std::vector<Child> found;
  DIR* dir = ::opendir("/proc");
  while (const dirent* entry = ::readdir(dir)) {
    const pid_t pid = std::atoi(entry->d_name);
    if (pid <= 0) continue;
    std::ifstream stat("/proc/" + std::to_string(pid) + "/stat");
    std::string line;
    std::getline(stat, line);
    const auto name_end = line.rfind(')');
    if (name_end == std::string::npos) continue;
    int parent = 0;
    char state = 0;
    if (std::sscanf(line.c_str() + name_end + 1, " %c %d", &state, &parent) == 2 && parent == ::getpid())
      found.push_back({pid, state});
  }
  ::closedir(dir);
  return found;
}

// An engine for attacks, with limits so small that each ends soon. Its end is part of the test: no host may outlive it.
class HostileTest : public testing::Test {
 protected:
  static void SetUpTestSuite() {
    before_ = children().size();
    metrics_ = new Metrics;
    EngineOptions options;
    options.fast_hosts = 1;
    options.call_limit = std::chrono::milliseconds(80);
    options.stall = std::chrono::milliseconds(20);
    engine_ = new Engine(options, *metrics_);
    ASSERT_TRUE(engine_->start());
  }
  static void TearDownTestSuite() {
    delete engine_;
    delete metrics_;
    EXPECT_EQ(children().size(), before_) << "a host or a zombie is left";
  }

  static Engine& engine() { return *engine_; }

  static Outcome call(const DriverCodePtr& code, const std::string& hex) {
    return engine().run(code, Operation::decode_uplink, uplink(hex));
  }

  // `body` is run for the payload ff only. Whatever it does, the driver itself works before and afterwards, and so does
  // another driver of another account.
  static Outcome attack(const std::string& body, const std::string& top_level = {},
                        Signature signature = Signature::lora_alliance) {
    const auto code = driver_of(top_level + "\nfunction attack(input) {\n" + body +
                                    "\n}\nfunction decodeUplink(input) {\n"
                                    "  return input.bytes[0] === 255 ? attack(input) : { data: input.bytes[0] };\n}",
                                signature);
    auto outcome = call(code, "ff");
    const auto other = std::make_shared<DriverCode>(*driver_of(kGood));
    other->account = "others";
    const auto good = call(other, "09");
    EXPECT_EQ(good.data, "9") << good.message << " after " << body;
    const auto again = call(code, "07");
    EXPECT_TRUE(again.ok || !top_level.empty()) << again.message << " after " << body;
    return outcome;
  }

  static void expect_time_out(const std::string& body, const std::string& top_level = {}) {
    const auto outcome = attack(body, top_level);
    EXPECT_FALSE(outcome.ok) << body << " gave " << outcome.data.substr(0, 200);
    EXPECT_EQ(outcome.code, "com-5004") << body;
    EXPECT_EQ(outcome.message, kTimedOut) << body;
  }

  // Out of memory, or out of time first; or an error that the language itself makes of it.
  static void expect_bounded(const std::string& body, const std::string& top_level = {}) {
    const auto outcome = attack(body, top_level);
    EXPECT_FALSE(outcome.ok) << body << " gave " << outcome.data.substr(0, 200);
    EXPECT_TRUE(outcome.code == "com-5002" || outcome.code == "com-5004") << body << ": " << outcome.code;
    EXPECT_LT(outcome.message.size(), 8192u) << body;
    EXPECT_EQ(outcome.message.find("crash"), std::string::npos) << body << ": " << outcome.message;
  }

  static void expect_failure(const std::string& body, const std::string& message, const std::string& top_level = {}) {
    const auto outcome = attack(body, top_level);
    EXPECT_FALSE(outcome.ok) << body << " gave " << outcome.data.substr(0, 200);
    EXPECT_EQ(outcome.code, "com-5002") << body;
    EXPECT_EQ(outcome.message, message) << body;
  }

  static void expect_data(const std::string& body, const std::string& data, const std::string& top_level = {}) {
    const auto outcome = attack(body, top_level);
    EXPECT_TRUE(outcome.ok) << body << ": " << outcome.code << " " << outcome.message;
    EXPECT_EQ(outcome.data, data) << body;
  }

 private:
  static inline Engine* engine_ = nullptr;
  static inline Metrics* metrics_ = nullptr;
  static inline std::size_t before_ = 0;
};

}  // namespace sluice::driver
