// SPDX-License-Identifier: Apache-2.0
// `sluice driver bench`: how fast a driver is in the engine that serves.
#include <CLI/CLI.hpp>
#include <algorithm>
#include <chrono>
#include <condition_variable>
#include <cstdio>
#include <filesystem>
#include <fstream>
#include <memory>
#include <mutex>
#include <unistd.h>

#include "app/driver_word.h"
#include "app/local_engine.h"
#include "app/terminal.h"
#include "driver/package.h"
#include "driver/trial.h"

namespace sluice::app {
namespace {

using Ink = Terminal::Ink;
using Clock = std::chrono::steady_clock;

constexpr std::size_t kWindow = 4096, kBatch = 256;  // jobs under way, jobs handed over at once

struct Given {
  std::string path;
  double seconds = 5;
  unsigned hosts = 0;
};

int refuse(const std::string& why) {
  std::fprintf(stderr, "sluice driver bench: %s\n", printable(why).c_str());
  return 1;
}

// What this process's children, which are the engine's hosts, hold in memory; pages they share are counted once over
// all.
struct Memory {
  std::size_t bytes = 0, processes = 0;
};
Memory memory_of_hosts() {
  Memory out;
  std::error_code error;
  const std::string parent = "PPid:\t" + std::to_string(::getpid());
  for (auto it = std::filesystem::directory_iterator("/proc", error); !error && it != std::filesystem::end(it);
       it.increment(error)) {
    const auto name = it->path().filename().string();
    if (name.find_first_not_of("0123456789") != std::string::npos) continue;
    const auto value = [&](const char* file, std::string_view key) -> std::string {
      std::ifstream text(it->path() / file);
      for (std::string line; std::getline(text, line);) {
        if (line.starts_with(key)) return line;
      }
      return {};
    };
    if (value("status", "PPid:") != parent) continue;
    const auto pss = value("smaps_rollup", "Pss:");
    if (pss.empty()) continue;
    ++out.processes;
    out.bytes += std::strtoull(pss.c_str() + 4, nullptr, 10) * 1024;
  }
  return out;
}

// Keeps the hosts busy with the same inputs, over and over, until the time is up.
class Load {
 public:
  Load(driver::Engine& engine, std::vector<driver::Call> calls) : engine_(engine), calls_(std::move(calls)) {}

  void run(Clock::duration span) {
    const auto begun = Clock::now(), end = begun + span;
    while (Clock::now() < end) {
      std::unique_lock lock(mutex_);
      room_.wait(lock, [&] { return under_way_ + kBatch <= kWindow; });
      under_way_ += kBatch;
      lock.unlock();
      engine_.submit(batch());
    }
    std::unique_lock lock(mutex_);
    room_.wait(lock, [&] { return under_way_ == 0; });
    seconds_ = std::chrono::duration<double>(Clock::now() - begun).count();
  }

  void forget() {
    std::lock_guard lock(mutex_);
    std::fill(times_.begin(), times_.end(), 0);
    count_ = failed_ = 0;
    slowest_ = 0;
    first_failure_.clear();
  }

  // After run() alone.
  [[nodiscard]] double rate() const { return static_cast<double>(count_) / seconds_; }
  [[nodiscard]] std::size_t count() const { return count_; }
  [[nodiscard]] std::size_t failed() const { return failed_; }
  [[nodiscard]] const std::string& first_failure() const { return first_failure_; }
  [[nodiscard]] std::uint32_t slowest() const { return slowest_; }
  // Microseconds that this part of the calls took at most.
  [[nodiscard]] std::uint32_t quantile(double q) const {
    auto left = static_cast<std::uint64_t>(q * static_cast<double>(count_));
    for (std::size_t us = 0; us < times_.size(); ++us) {
      if (times_[us] > left) return static_cast<std::uint32_t>(us);
      left -= times_[us];
    }
    return slowest_;
  }

 private:
  std::vector<driver::Job> batch() {
    std::vector<driver::Job> jobs;
    jobs.reserve(kBatch);
    for (std::size_t i = 0; i < kBatch; ++i) {
      const auto& call = calls_[next_++ % calls_.size()];
      jobs.push_back({.code = call.code,
                      .operation = call.operation,
                      .input = call.input,
                      .done = [this](const driver::Outcome& outcome) { ended(outcome); },
                      .by_hand = true});
    }
    return jobs;
  }

  void ended(const driver::Outcome& outcome) {
    std::lock_guard lock(mutex_);
    ++times_[std::min<std::size_t>(outcome.time_us, times_.size() - 1)];
    ++count_;
    slowest_ = std::max(slowest_, outcome.time_us);
    if (!outcome.ok && failed_++ == 0) first_failure_ = outcome.message;
    if (--under_way_ + kBatch == kWindow || under_way_ == 0) room_.notify_one();
  }

  driver::Engine& engine_;
  const std::vector<driver::Call> calls_;
  std::size_t next_ = 0;
  std::mutex mutex_;
  std::condition_variable room_;
  std::size_t under_way_ = 0, failed_ = 0;
  std::string first_failure_;
  std::vector<std::uint64_t> times_ = std::vector<std::uint64_t>(1u << 20);  // calls by microseconds, the last: or more
  std::size_t count_ = 0;
  std::uint32_t slowest_ = 0;
  double seconds_ = 0;
};

std::string time_text(double us) {
  char text[32];
  if (us < 1000)
    std::snprintf(text, sizeof(text), "%.0f us", us);
  else
    std::snprintf(text, sizeof(text), "%.1f ms", us / 1000);
  return text;
}

std::string size_text(double bytes) {
  char text[32];
  std::snprintf(text, sizeof(text), "%.1f MB", bytes / 1e6);
  return text;
}

void row(const Terminal& terminal, const char* what, const std::string& value, const std::string& note = "") {
  std::printf("  %s %16s", terminal.paint(Ink::dim, padded(what, 22)).c_str(), value.c_str());
  if (!note.empty()) std::printf("  %s", terminal.paint(Ink::dim, note).c_str());
  std::printf("\n");
}

// Microseconds that evaluating the code in a fresh sandbox takes, the least of some.
Result<double> evaluation(driver::Engine& engine, const driver::Engine::Inspected& what) {
  double least = 0;
  for (int i = 0; i < 5; ++i) {
    const auto begun = Clock::now();
    auto offers = engine.inspect(what);
    const double us = std::chrono::duration<double, std::micro>(Clock::now() - begun).count();
    if (!offers) return offers.error();
    least = i == 0 ? us : std::min(least, us);
  }
  return least;
}

int bench(const Given& given) {
  auto package = driver::read_package(given.path);
  if (!package) return refuse(package.error().text);
  auto started = LocalEngine::start(given.hosts);
  if (!started) return refuse(started.error().text);
  auto& engine = ***started;
  const driver::Engine::Inspected what{.source = package->code,
                                       .declared = package->signature,
                                       .extract_points_source = package->extract_points,
                                       .use_context = package->use_context,
                                       .trusted = package->trusted_crc_matches};
  const auto offers = engine.inspect(what);
  if (!offers) return refuse(offers.error().text);
  auto code = std::make_shared<driver::DriverCode>(driver::code_of(*package, offers->signature));
  code->limits = server_limits();
  std::vector<driver::Call> calls;
  for (const auto& example : package->examples) {
    if (example.kind != driver::Example::Kind::uplink || example.error) continue;
    auto call = driver::call_of(*code, example);
    if (!call) continue;
    call->code = code;  // one sandbox for all, as in a server
    calls.push_back(std::move(*call));
  }
  if (calls.empty()) return refuse(given.path + " has no uplink example to decode");
  const auto examples = calls.size();
  const auto evaluated = evaluation(engine, what);
  if (!evaluated) return refuse(evaluated.error().text);

  const Terminal terminal(stdout);
  const auto before = memory_of_hosts();
  Load load(engine, std::move(calls));
  // The compiler's tiers need some calls; they are not counted.
  load.run(std::chrono::milliseconds(300));
  load.forget();
  std::printf("%s %s  %s\n", terminal.paint(Ink::bold, printable(package->name)).c_str(),
              printable(package->version).c_str(), terminal.paint(Ink::dim, printable(package->path)).c_str());
  std::fflush(stdout);
  load.run(std::chrono::duration_cast<Clock::duration>(std::chrono::duration<double>(given.seconds)));
  const auto after = memory_of_hosts();

  row(terminal, "decodes a second", with_commas(static_cast<std::uint64_t>(load.rate())),
      "over " + counted(examples, "uplink example"));
  row(terminal, "a call, p50", time_text(load.quantile(0.5)), "in the sandbox");
  row(terminal, "a call, p99", time_text(load.quantile(0.99)));
  row(terminal, "a call, the longest", time_text(load.slowest()));
  row(terminal, "evaluation", time_text(*evaluated), "from text to a sandbox that is ready");
  row(terminal, "memory, idle", size_text(static_cast<double>(before.bytes)),
      "of " + std::to_string(before.processes) + " host processes" + " together");
  row(terminal, "memory, grown by",
      size_text(std::max(0.0, static_cast<double>(after.bytes) - static_cast<double>(before.bytes))));
  if (load.failed() > 0) {
    row(terminal, "failed", with_commas(load.failed()), printable(load.first_failure()));
  }
  return load.count() > 0 && load.failed() < load.count() ? 0 : 1;
}

}  // namespace

void add_driver_bench(CLI::App& driver, std::function<int()>& run) {
  auto given = std::make_shared<Given>();
  auto* word = driver.add_subcommand("bench", "Measure a driver on its uplink examples");
  word->add_option("PATH", given->path, "the driver: folder, .tgz or .js")->required();
  word->add_option("--seconds", given->seconds, "how long")->capture_default_str()->check(CLI::Range(0.1, 3600.0));
  word->add_option("--hosts", given->hosts, "host processes that decode; 0: by the machine's cores")
      ->capture_default_str()
      ->check(CLI::Range(0, 64));
  word->callback([given, &run] { run = [given] { return bench(*given); }; });
}

}  // namespace sluice::app
