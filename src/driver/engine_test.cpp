// SPDX-License-Identifier: Apache-2.0
#include "driver/engine.h"

#include <gtest/gtest.h>

#include "driver/host_for_tests.h"

namespace sluice::driver {
namespace {

DriverCodePtr code_of(const std::string& source, Signature signature = Signature::lora_alliance) {
  static int next = 0;
  auto code = std::make_shared<DriverCode>();
  code->account = "a";
  code->id = "test:driver:1";
  code->revision = std::to_string(++next);
  code->signature = signature;
  code->source = source;
  return code;
}

TEST(Engine, DecodesABasicUplink) {
  Metrics metrics;
  EngineOptions options;
  Engine engine(options, metrics);
  const auto started = engine.start();
  ASSERT_TRUE(started) << started.error().text;
  Input input;
  input.payload_hex = "01ff";
  input.fport = 2;
  auto out = engine.run(code_of("function decodeUplink(input) { return { data: { a: input.bytes[1], p: input.fPort, l: Intl.DateTimeFormat().resolvedOptions().locale, z: new Date(0).toLocaleString(), t: input.recvTime instanceof Date } }; }"),
                        Operation::decode_uplink, input);
  EXPECT_TRUE(out.ok) << out.code << out.message;
  EXPECT_EQ(out.data, "");
}

}  // namespace
}  // namespace sluice::driver
