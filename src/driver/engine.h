// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <chrono>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/clock.h"
#include "base/metrics.h"
#include "base/result.h"
#include "message/message.h"

namespace sluice::store {
class DeviceContexts;
}

namespace sluice::driver {

class Contexts;

// spec drivers.md 4.1
enum class Signature : std::uint8_t { lora_alliance, actility, ttn, chirpstack };
// "lora-alliance", "thingpark-x-js", "ttn", "chirpstack" (spec api.md 7); nothing for another word.
std::optional<Signature> signature_of_type(std::string_view type);
const char* type_of_signature(Signature signature);

// What one call of a driver may use (spec drivers.md 14). Zero: the engine's own setting, which is also the most that a
// driver can be given.
struct Limits {
  std::chrono::milliseconds call{0};  // CPU time
  std::size_t memory = 0;             // bytes that a call may add to its host
  std::size_t result = 0;             // bytes of JSON
  unsigned depth = 0;                 // levels of JSON, at most kMaxDepth

  friend bool operator==(const Limits&, const Limits&) = default;
};
inline constexpr unsigned kMaxDepth = 100;
inline constexpr std::size_t kContextLimit = 64u << 10;  // bytes of JSON

// One driver version of one account, as the engine runs it. Immutable.
struct DriverCode {
  std::string account;  // contexts are never shared between accounts; "" for system drivers run by nobody in particular
  std::string id;       // "actility:adeunis-field-test:1"
  std::string revision;  // differs whenever the code does
  Signature signature = Signature::lora_alliance;
  std::string source;
  std::string extract_points_source;  // of an extra file, may be empty
  std::string points_schema;  // JSON object text: name -> {type, unitId?, standardNaming?} (spec 11.2); may be empty
  bool use_context = false;   // spec 10
  bool trusted = false;       // may require("crypto") (spec 16.5)
  Limits limits;
  std::string version = {};  // SemVer, for the log; may be empty
};
using DriverCodePtr = std::shared_ptr<const DriverCode>;

// `extract_points` alone is for trying a driver: Input::data is the decoded message.
enum class Operation : std::uint8_t { decode_uplink, decode_downlink, encode_downlink, extract_points };

// Everything a call hands to the driver (spec drivers.md 5).
struct Input {
  std::string payload_hex;  // decoding
  std::string data;         // encoding: JSON text
  std::optional<int> fport;
  std::optional<UnixMillis> time;
  std::string dev_eui;
  std::string thing;  // JSON object text {model, application, tags, setup}; empty: {tags: [], setup: {}}
  std::string extra;  // JSON members to echo into the input, "\"ADRbit\":1,..."; may be empty
  // The device context of a driver with use_context, as JSON array text; empty: [].
  std::string context;
};

// A place in a driver's own text, both from 1; 0 where the engine does not tell.
struct Where {
  int line = 0, column = 0;
  std::string stack;  // "f@driver.js:3:9" a line
};

// What a call gave. Exactly one of success (`ok`) and `code`/`message` (spec drivers.md 15) holds.
struct Outcome {
  bool ok = false;
  std::string data;          // decoding: JSON text of `data`
  std::string points;        // JSON object text; empty when there are none
  std::string payload_hex;   // encoding
  std::optional<int> fport;  // encoding
  std::string code, message;
  std::vector<std::string> errors;  // the driver's own list
  std::vector<std::string> warnings;
  std::vector<std::string> log;  // console lines
  std::optional<Where> where;    // of what was thrown
  // What a driver with use_context left in `context`, where that is not what it was given: JSON array text.
  std::optional<std::string> context;
  std::uint32_t time_us = 0;  // what the call took in its host, the border not included
};

struct Job {
  DriverCodePtr code;
  Operation operation = Operation::decode_uplink;
  Input input;
  // Called once, from a thread of the engine's: hand on and return.
  std::function<void(Outcome)> done;
  // A person's own call: it reads its device's context and leaves no trace in it (spec drivers.md 10).
  bool by_hand = false;
};

struct EngineOptions {
  unsigned fast_hosts = 0;  // 0: by the machine's cores
  std::chrono::milliseconds call_limit{
      1000};                              // CPU time of a call (promises.md 4); a hard wall-clock stop is 10 x that
  std::chrono::milliseconds stall{50};    // CPU time after which the jobs behind a call are moved to another host
  std::size_t memory_limit = 128u << 20;  // bytes above what a fresh host uses
  // A driver unused for so long is dropped from memory, and evaluated again at its next call.
  std::chrono::milliseconds idle{300000};
  std::size_t result_limit = 1u << 20;  // bytes of JSON
  std::size_t queue_limit = 16384;      // jobs waiting in all; over it submit() answers com-5004 at once
  std::string host_program;             // run as `host_program driver-host`; empty: /proc/self/exe
};

// Runs drivers in host processes: JavaScriptCore behind seccomp, one socket pair each, jobs in batches. A driver that
// loops, eats memory or crashes its host costs its own message an error: the jobs behind it run again elsewhere, and
// calls that stall are moved to slow hosts so that no other device waits for them. Thread-safe.
class Engine {
 public:
  // `contexts`: where drivers with use_context keep what they know of a device; it outlives the engine. Null: such a
  // call gets Input::context alone, and Outcome::context is all that becomes of it.
  Engine(EngineOptions options, Metrics& metrics, store::DeviceContexts* contexts = nullptr,
         Clock& clock = system_clock());
  ~Engine();  // ends all hosts; jobs not done are answered com-5004
  Engine(const Engine&) = delete;
  Engine& operator=(const Engine&) = delete;

  // Starts the hosts. Errors: bad_config where no host can be started (with the reason).
  Result<void> start();
  // Queues the jobs. Never blocks. Jobs of one device come back in no promised order: the caller keeps it. Those of a
  // driver with use_context that name a device (and bring no context of their own) run one after the other for it.
  void submit(std::vector<Job> jobs);
  // The same for one job, waiting for it; for the API. At most 10 x call_limit plus a second.
  Outcome run(DriverCodePtr code, Operation operation, Input input);
  // What creating a driver checks (spec api.md 7): evaluates the code and says which operations it offers. Errors:
  // permanent com-4000 (no signature), com-5002 (syntax), com-5004. `declared` empty: found by looking.
  struct Inspection {
    Signature signature;
    bool decode_uplink = false, decode_downlink = false, encode_downlink = false, extract_points = false;
  };
  // What is inspected beside the main text, and under which rules.
  struct Inspected {
    std::string source;
    std::optional<Signature> declared;
    std::string extract_points_source;
    bool use_context = false, trusted = false;
  };
  Result<Inspection> inspect(Inspected what);
  Result<Inspection> inspect(const std::string& source, std::optional<Signature> declared) {
    return inspect({.source = source, .declared = declared});
  }

  struct Impl;

 private:
  std::unique_ptr<Impl> impl_;
  std::unique_ptr<Contexts> contexts_;
};

// The host process: never returns to the caller's life but gives the exit code. Reads jobs from file descriptor 3.
int run_host();

}  // namespace sluice::driver
