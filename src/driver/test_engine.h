// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <fstream>
#include <iterator>
#include <memory>
#include <string>
#include <utility>

#include "driver/engine.h"

namespace sluice::driver {

// What the tests of the engine share: one engine for a whole program, since a host takes a while to warm up, with
// limits that make hostile drivers end soon.
inline Engine& test_engine() {
  static Metrics metrics;
  static const auto engine = [] {
    EngineOptions options;
    options.fast_hosts = 1;
    options.call_limit = std::chrono::milliseconds(200);
    auto made = std::make_unique<Engine>(options, metrics);
    const auto started = made->start();
    if (!started) throw std::runtime_error(started.error().text);
    return made;
  }();
  return *engine;
}

inline DriverCodePtr driver_of(std::string source, Signature signature = Signature::lora_alliance) {
  static int next = 0;
  auto code = std::make_shared<DriverCode>();
  code->account = "tests";
  code->id = "test:driver:1";
  code->revision = std::to_string(++next);
  code->signature = signature;
  code->source = std::move(source);
  return code;
}

inline std::string read_test_file(const std::string& name) {
  std::ifstream file(std::string(SLUICE_SOURCE_DIR) + "/tests/data/" + name, std::ios::binary);
  return {std::istreambuf_iterator<char>(file), {}};
}

inline Input uplink(std::string hex, std::optional<int> fport = {}) {
  Input input;
  input.payload_hex = std::move(hex);
  input.fport = fport;
  input.time = 1700000000123;
  return input;
}

inline Outcome decode(const std::string& source, std::string hex = "0102", std::optional<int> fport = {},
                      Signature signature = Signature::lora_alliance) {
  return test_engine().run(driver_of(source, signature), Operation::decode_uplink, uplink(std::move(hex), fport));
}

inline Outcome encode(const std::string& source, std::string data, std::optional<int> fport = {},
                      Signature signature = Signature::lora_alliance) {
  Input input;
  input.data = std::move(data);
  input.fport = fport;
  return test_engine().run(driver_of(source, signature), Operation::encode_downlink, input);
}

// The data of `return { data: <expression> }` in a decodeUplink.
inline std::string value_of(const std::string& expression) {
  const auto out = decode("function decodeUplink(input) { return { data: (" + expression + ") }; }");
  return out.ok ? out.data : out.message;
}

}  // namespace sluice::driver
