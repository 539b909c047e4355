// SPDX-License-Identifier: Apache-2.0
// The engine's side of bench/drivers.py: keeps one Engine and does what it is told, one JSON object a line on the
// standard input, one a line back. Never run by hand.
//
//   {"do":"engine","fastHosts":n,"idleMs":n}                 starts it
//   {"do":"driver","name":s,"file":s}                        reads and inspects a driver
//   {"do":"decode","driver":s,"hex":s,"fPort":n}             one call: {ok, data or message, ms}
//   {"do":"rate","calls":[[driver, hex, fPort],...],"milliseconds":n,"rounds":n}  the calls over and over, many under
//   way, in batches as the
//                                                            router hands them over: {calls, failed, seconds}
#include <condition_variable>
#include <fstream>
#include <iostream>
#include <iterator>
#include <limits>
#include <mutex>
#include <unordered_map>

#include "base/json.h"
#include "driver/engine.h"
#include "driver/host_for_tests.h"

namespace {

using namespace sluice;
using namespace sluice::driver;
using Clock = std::chrono::steady_clock;

constexpr int kBatch = 256, kAhead = 2048;
constexpr UnixMillis kTime = 1700000000123;

double seconds_since(Clock::time_point start) {
  return std::chrono::duration<double>(Clock::now() - start).count();
}

struct Call {
  DriverCodePtr code;
  Input input;
};

class Load {
 public:
  json::value answer(const json::object& order) {
    const std::string what = json::text_or(order, "do");
    if (what == "engine") return start(order);
    if (what == "driver") return add_driver(order);
    if (what == "decode") return decode(order);
    if (what == "rate") return rate(order);
    return json::object{{"error", "unknown order " + what}};
  }

 private:
  static json::value refused(const Error& error) { return json::object{{"error", error.text}}; }

  json::value start(const json::object& order) {
    engine_.reset();
    EngineOptions options;
    options.fast_hosts = static_cast<unsigned>(json::int_or(order, "fastHosts", 1));
    options.idle = std::chrono::milliseconds(json::int_or(order, "idleMs", options.idle.count()));
    engine_ = std::make_unique<Engine>(options, metrics_);
    if (const auto started = engine_->start(); !started) return refused(started.error());
    return json::object{};
  }

  json::value add_driver(const json::object& order) {
    auto code = std::make_shared<DriverCode>();
    code->account = "bench";
    code->id = json::text_or(order, "name");
    code->revision = std::to_string(++revisions_);
    std::ifstream file(json::text_or(order, "file"), std::ios::binary);
    code->source.assign(std::istreambuf_iterator<char>(file), {});
    const auto found = engine_->inspect(code->source, {});
    if (!found) return refused(found.error());
    code->signature = found->signature;
    drivers_[code->id] = code;
    return json::object{{"signature", type_of_signature(code->signature)}, {"bytes", code->source.size()}};
  }

  static Input input_of(std::string_view hex, std::int64_t fport) {
    Input input;
    input.payload_hex = hex;
    input.fport = static_cast<int>(fport);
    input.time = kTime;
    return input;
  }

  json::value decode(const json::object& order) {
    const auto& code = drivers_.at(json::text_or(order, "driver"));
    Input input = input_of(json::text_or(order, "hex"), json::int_or(order, "fPort", 1));
    const auto before = Clock::now();
    const auto outcome = engine_->run(code, Operation::decode_uplink, std::move(input));
    const double took = seconds_since(before) * 1000;
    return json::object{{"ok", outcome.ok}, {"text", outcome.ok ? outcome.data : outcome.message}, {"ms", took}};
  }

  json::value rate(const json::object& order) {
    std::vector<Call> calls;
    for (const auto& entry : order.at("calls").as_array()) {
      const auto& call = entry.as_array();
      calls.push_back(
          {drivers_.at(std::string(call.at(0).as_string())), input_of(call.at(1).as_string(), call.at(2).as_int64())});
    }
    // Zero: as many as the time allows.
    const std::int64_t rounds = json::int_or(order, "rounds", 0);
    const std::int64_t most =
        rounds == 0 ? std::numeric_limits<std::int64_t>::max() : rounds * static_cast<std::int64_t>(calls.size());
    std::int64_t given = 0;
    const double seconds = static_cast<double>(json::int_or(order, "milliseconds", 1000)) / 1000;
    std::mutex mutex;
    std::condition_variable changed;
    int open = 0;
    std::int64_t done = 0, failed = 0;
    std::size_t next = 0;
    const auto start = Clock::now();
    while (seconds_since(start) < seconds && given < most) {
      std::vector<Job> jobs(kBatch);
      for (auto& job : jobs) {
        const Call& call = calls[next];
        next = next + 1 == calls.size() ? 0 : next + 1;
        job.code = call.code;
        job.input = call.input;
        job.done = [&](const Outcome& outcome) {
          const std::lock_guard lock(mutex);
          ++done;
          if (!outcome.ok) ++failed;
          if (--open % kBatch == 0) changed.notify_one();
        };
      }
      std::unique_lock lock(mutex);
      changed.wait(lock, [&] { return open <= kAhead - kBatch; });
      open += kBatch;
      given += kBatch;
      lock.unlock();
      engine_->submit(std::move(jobs));
    }
    std::unique_lock lock(mutex);
    changed.wait(lock, [&] { return open == 0; });
    return json::object{{"calls", done}, {"failed", failed}, {"seconds", seconds_since(start)}};
  }

  Metrics metrics_;
  std::unique_ptr<Engine> engine_;
  std::unordered_map<std::string, DriverCodePtr> drivers_;
  int revisions_ = 0;
};

}  // namespace

int main() {
  Load load;
  for (std::string line; std::getline(std::cin, line);) {
    const auto order = json::parse(line, 32);
    if (!order || !order->is_object()) return 2;
    std::cout << json::write(load.answer(order->get_object())) << std::endl;
  }
}
