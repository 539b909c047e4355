// SPDX-License-Identifier: Apache-2.0
// What the journal costs the router with each message.
#include <benchmark/benchmark.h>
#include <filesystem>

#include "base/crypto.h"
#include "driver/journal.h"

namespace sluice::driver {
namespace {

struct Parts {
  ~Parts() { std::filesystem::remove_all(directory); }
  std::string directory = std::filesystem::temp_directory_path() / ("sluice-journal-bench-" + random_uuid());
  Metrics metrics;
  std::unique_ptr<store::Store> store =
      std::move(*store::open_sqlite(directory, SecretBox(std::string(32, 'k')), system_clock()));
  store::Events events{*store, system_clock(), metrics};
  store::DriverLog log{*store, system_clock(), metrics};
  Journal journal{log, events, system_clock(), metrics};
};

void note(benchmark::State& state, const Outcome& outcome) {
  Parts parts;
  DriverCode code{.account = "1", .id = "acme:climate:1", .revision = "r", .version = "1.0.0"};
  for (auto _ : state) {
    parts.journal.note(
        {.code = code, .dev_eui = "70B3D5E75E000001", .fport = 2, .input = "01081F5A0E10", .outcome = outcome});
  }
}

void note_success(benchmark::State& state) {
  Outcome outcome;
  outcome.ok = true;
  outcome.time_us = 12;
  note(state, outcome);
}
BENCHMARK(note_success);

// The driver's rate of log entries is used up at once: this is what a driver that fails with each message costs.
void note_failure(benchmark::State& state) {
  Outcome outcome;
  outcome.code = "com-5002";
  outcome.message = "driver internal error: Error: Invalid fPort!";
  outcome.log = {"a line"};
  outcome.time_us = 12;
  note(state, outcome);
}
BENCHMARK(note_failure);

}  // namespace
}  // namespace sluice::driver
