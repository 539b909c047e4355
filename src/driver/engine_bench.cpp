// SPDX-License-Identifier: Apache-2.0
#include <atomic>
#include <benchmark/benchmark.h>
#include <condition_variable>
#include <mutex>

#include "driver/engine.h"
#include "driver/host_for_tests.h"

namespace sluice::driver {
namespace {

constexpr const char* kSmall = R"js(
function s16(bytes, i) { var v = (bytes[i] << 8) | bytes[i + 1]; return v > 0x7fff ? v - 0x10000 : v; }
function decodeUplink(input) {
  var bytes = input.bytes, data = {}, i = 0;
  while (i < bytes.length) {
    switch (bytes[i]) {
      case 1: data.temperature = s16(bytes, i + 1) / 10; i += 3; break;
      case 2: data.humidity = bytes[i + 1]; i += 2; break;
      case 4: data.light = (bytes[i + 1] << 8) | bytes[i + 2]; i += 3; break;
      case 5: data.motion = bytes[i + 1]; i += 2; break;
      case 7: data.battery = (bytes[i + 1] << 8) | bytes[i + 2]; i += 3; break;
      default: return { errors: ['unknown record'] };
    }
  }
  return { data: data, errors: [], warnings: [] };
})js";

// Decodes through one host process, in batches as a router hands them over, several of them under way. `thing`: with
// the members a report of production brings along.
void decode_small(benchmark::State& state, bool with_thing) {
  Metrics metrics;
  EngineOptions options;
  options.fast_hosts = 1;
  Engine engine(options, metrics);
  if (const auto started = engine.start(); !started) return state.SkipWithError(started.error().text.c_str());
  auto code = std::make_shared<DriverCode>();
  code->account = "a";
  code->id = "bench:small:1";
  code->revision = "1";
  code->source = kSmall;
  constexpr int kBatch = 256, kAhead = 2048;
  std::mutex mutex;
  std::condition_variable changed;
  int open = 0;
  std::atomic<std::int64_t> failed{0};
  for (auto _ : state) {
    std::vector<Job> jobs(kBatch);
    for (auto& job : jobs) {
      job.code = code;
      job.input.payload_hex = "0100e2022904002705060709ff";
      job.input.fport = 2;
      job.input.time = 1700000000123;
      if (with_thing) {
        job.input.dev_eui = "0018B20000000B20";
        job.input.thing =
            R"({"model":{"producerId":"p","moduleId":"m","version":"1"},"tags":["a","b=c"],"setup":{"b":"c"}})";
        job.input.extra = R"("ADRbit":1,"FCntUp":1234)";
      }
      job.done = [&](Outcome outcome) {
        if (!outcome.ok) ++failed;
        const std::lock_guard lock(mutex);
        if (--open % kBatch == 0) changed.notify_one();
      };
    }
    std::unique_lock lock(mutex);
    changed.wait(lock, [&] { return open <= kAhead - kBatch; });
    open += kBatch;
    lock.unlock();
    engine.submit(std::move(jobs));
  }
  std::unique_lock lock(mutex);
  changed.wait(lock, [&] { return open == 0; });
  if (failed != 0) state.SkipWithError("a decode failed");
  state.SetItemsProcessed(state.iterations() * kBatch);
}

BENCHMARK_CAPTURE(decode_small, bare, false)->UseRealTime()->MinTime(3);
BENCHMARK_CAPTURE(decode_small, with_thing, true)->UseRealTime()->MinTime(3);

}  // namespace
}  // namespace sluice::driver
