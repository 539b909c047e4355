// SPDX-License-Identifier: Apache-2.0
#include "driver/trial.h"

#include <algorithm>
#include <array>
#include <atomic>
#include <boost/json/array.hpp>
#include <boost/json/object.hpp>
#include <condition_variable>
#include <memory>
#include <mutex>
#include <utility>

#include "base/codec.h"
#include "base/crypto.h"
#include "base/json.h"
#include "driver/date_text.h"

namespace sluice::driver {
namespace {

using boost::json::array;
using boost::json::object;
using boost::json::value;

// A result may have 100 levels (spec drivers.md 14); what is around it adds a few.
constexpr std::size_t kLevels = kMaxDepth + 8;

Operation operation_of(Example::Kind kind) {
  switch (kind) {
    case Example::Kind::uplink:
      return Operation::decode_uplink;
    case Example::Kind::downlink_decode:
      return Operation::decode_downlink;
    case Example::Kind::downlink_encode:
      return Operation::encode_downlink;
    case Example::Kind::points:
      return Operation::extract_points;
  }
  return Operation::decode_uplink;
}

const value* either(const object& o, const char* first, const char* second) {
  const auto* found = json::find(o, first);
  return found != nullptr ? found : json::find(o, second);
}

// Hex digits of hex text or of a list of bytes.
std::optional<std::string> payload_of(const value* bytes) {
  if (bytes == nullptr) return {};
  if (bytes->is_string()) {
    auto raw = from_hex(bytes->get_string());
    return raw ? std::optional(to_hex(*raw)) : std::nullopt;
  }
  if (!bytes->is_array()) return {};
  std::string raw;
  for (const auto& item : bytes->get_array()) {
    if (!item.is_int64() || item.get_int64() < 0 || item.get_int64() > 255) return {};
    raw += static_cast<char>(item.get_int64());
  }
  return to_hex(raw);
}

std::optional<UnixMillis> time_of(const value* time) {
  if (time == nullptr) return {};
  if (time->is_string()) return read_date(time->get_string());
  if (time->is_int64()) return time->get_int64();
  return {};
}

// As a message's thing (spec drivers.md 5): tags and setup are always there, and a tag "key=value" is a setting.
std::string thing_of(const object& given) {
  object thing = given;
  const auto* tags = thing.if_contains("tags");
  if (tags == nullptr || !tags->is_array()) tags = &(thing["tags"] = array());
  const auto* declared = thing.if_contains("setup");
  object setup = declared != nullptr && declared->is_object() ? declared->get_object() : object();
  for (const auto& tag : tags->get_array()) {
    if (!tag.is_string()) continue;
    const std::string_view text = tag.get_string();
    const auto equals = text.find('=');
    if (equals != std::string_view::npos && equals > 0 && !setup.contains(text.substr(0, equals)))
      setup[text.substr(0, equals)] = text.substr(equals + 1);
  }
  thing["setup"] = std::move(setup);
  return json::write(thing);
}

// The members that reach the driver as they are.
std::string extra_of(const object& input) {
  static constexpr std::array<std::string_view, 9> kKnown = {"bytes", "fPort", "fport",   "recvTime",  "time",
                                                             "thing", "data",  "context", "useContext"};
  std::string out;
  for (const auto& member : input) {
    if (std::find(kKnown.begin(), kKnown.end(), member.key()) != kKnown.end()) continue;
    out += (out.empty() ? "" : ",") + json::quote(member.key()) + ":" + json::write(member.value());
  }
  return out;
}

Error lacking(const std::string& what) {
  return {ErrorKind::permanent, "the example is wrong: " + what};
}

array own_warnings(const std::vector<std::string>& warnings) {
  array out;
  for (const auto& warning : warnings) {
    if (!is_engines_own(warning)) out.emplace_back(warning);
  }
  return out;
}

value output_of(const Example& example, const Outcome& outcome) {
  object output;
  if (outcome.ok) {
    if (example.kind == Example::Kind::downlink_encode) {
      output["bytes"] = outcome.payload_hex;
      if (outcome.fport) output["fPort"] = *outcome.fport;
    } else if (auto data = json::parse(outcome.data, kLevels)) {
      output["data"] = std::move(*data);
    }
  }
  output["errors"] = array(outcome.errors.begin(), outcome.errors.end());
  output["warnings"] = own_warnings(outcome.warnings);
  return in_result_form(std::move(output), example.kind);
}

// What was thrown, without the words that the code's table puts in front (spec drivers.md 15).
std::string_view thrown(std::string_view message) {
  for (const std::string_view prefix : {"driver internal error: ", "driver internal errors: "}) {
    if (message.starts_with(prefix)) return message.substr(prefix.size());
  }
  return message;
}

bool expects_errors(const Example& example) {
  if (!example.output || !example.output->is_object()) return false;
  const auto* errors = json::find(example.output->get_object(), "errors");
  return errors != nullptr && !(errors->is_array() && errors->get_array().empty());
}

// Which port a driver would have got without naming one: then an expectation that names none leaves it open.
bool is_given_port(const Example& example, int port) {
  const auto* given = either(example.input, "fPort", "fport");
  return port == (given != nullptr && given->is_int64() ? given->get_int64() : 1);
}

void judge_error(const Example& example, const Outcome& outcome, Tried& tried) {
  if (outcome.ok) {
    tried.verdict = Tried::Verdict::failed;
    tried.differences.push_back({"", value(*example.error), tried.output, "the driver was expected to throw"});
    return;
  }
  const auto text = thrown(outcome.message);
  if (text.find(*example.error) != std::string_view::npos) return;
  tried.verdict = Tried::Verdict::failed;
  tried.differences.push_back({"error", value(*example.error), value(text), {}});
}

void judge_points(const Example& example, Tried& tried) {
  if (!example.points) return;
  auto found = compare_points(*example.points, tried.points ? *tried.points : object());
  for (auto& difference : found) {
    difference.path = "points." + difference.path;
    tried.differences.push_back(std::move(difference));
  }
}

bool is_offered(Operation operation, const Engine::Inspection& offers) {
  switch (operation) {
    case Operation::decode_uplink:
      return offers.decode_uplink;
    case Operation::decode_downlink:
      return offers.decode_downlink;
    case Operation::encode_downlink:
      return offers.encode_downlink;
    case Operation::extract_points:
      return offers.extract_points;
  }
  return false;
}

const char* name_of(Operation operation) {
  switch (operation) {
    case Operation::decode_uplink:
      return "uplink decoder";
    case Operation::decode_downlink:
      return "downlink decoder";
    case Operation::encode_downlink:
      return "downlink encoder";
    case Operation::extract_points:
      return "extractPoints";
  }
  return "";
}

}  // namespace

RunCalls calls_of(Engine& engine) {
  return [&engine](std::vector<Call> calls) {
    struct Waiting {
      std::mutex mutex;
      std::condition_variable done;
      std::vector<Outcome> outcomes;
      std::size_t left = 0;
    } waiting;
    waiting.outcomes.resize(calls.size());
    waiting.left = calls.size();
    std::vector<Job> jobs;
    for (std::size_t i = 0; i < calls.size(); ++i) {
      jobs.push_back({.code = std::move(calls[i].code),
                      .operation = calls[i].operation,
                      .input = std::move(calls[i].input),
                      .done = [&waiting, i](Outcome outcome) {
                        std::lock_guard lock(waiting.mutex);
                        waiting.outcomes[i] = std::move(outcome);
                        if (--waiting.left == 0) waiting.done.notify_all();
                      }});
    }
    engine.submit(std::move(jobs));
    // Without a deadline: the engine answers every job, at its end at the latest.
    std::unique_lock lock(waiting.mutex);
    waiting.done.wait(lock, [&] { return waiting.left == 0; });
    return std::move(waiting.outcomes);
  };
}

bool is_engines_own(std::string_view warning) {
  return warning.ends_with(" and became null") || warning.starts_with("extractPoints failed: ") ||
         (warning.starts_with("point ") && warning.ends_with(" is not declared and was left out"));
}

const char* to_string(Example::Kind kind) {
  switch (kind) {
    case Example::Kind::uplink:
      return "uplink";
    case Example::Kind::downlink_decode:
      return "downlink-decode";
    case Example::Kind::downlink_encode:
      return "downlink-encode";
    case Example::Kind::points:
      return "points";
  }
  return "";
}

DriverCode code_of(const Package& package, Signature found) {
  DriverCode code;
  code.account = "local";
  code.id = package.producer + ":" + package.name + ":" + package.version.substr(0, package.version.find('.'));
  code.signature = package.signature.value_or(found);
  code.source = package.code;
  code.extract_points_source = package.extract_points;
  if (!package.points_schema.empty()) code.points_schema = json::write(package.points_schema);
  code.use_context = package.use_context;
  code.trusted = package.trusted_crc_matches;
  code.revision = to_hex(sha256(code.source + '\0' + code.extract_points_source + '\0' + code.points_schema));
  return code;
}

Result<Call> call_of(const DriverCode& code, const Example& example) {
  static std::atomic<std::uint64_t> next{0};
  auto own = std::make_shared<DriverCode>(code);
  own->revision += "/example " + std::to_string(next.fetch_add(1));
  own->use_context = code.use_context || example.use_context;

  Call call{.operation = operation_of(example.kind)};
  const object& given = example.input;
  Input& input = call.input;
  if (const auto* port = either(given, "fPort", "fport"); port != nullptr) {
    const auto number = port->is_number() ? port->to_number<double>() : -1;
    if (number < 0 || number > 255 || number != static_cast<int>(number))
      return lacking("fPort must be a whole number from 0 to 255, not " + json::write(*port));
    input.fport = static_cast<int>(number);
  }
  if (const auto* time = either(given, "recvTime", "time"); time != nullptr) {
    input.time = time_of(time);
    if (!input.time) return lacking("the time " + json::write(*time) + " cannot be read");
  }
  if (const auto* thing = json::find(given, "thing"); thing != nullptr && thing->is_object())
    input.thing = thing_of(thing->get_object());
  if (const auto* context = json::find(given, "context"); own->use_context && context != nullptr && context->is_array())
    input.context = json::write(*context);
  input.dev_eui = to_upper(json::text_or(given, "DevEUI"));
  input.extra = extra_of(given);
  if (example.kind == Example::Kind::points) {
    const auto* message = either(given, "message", "data");
    input.data = json::write(message != nullptr ? *message : value(given));
  } else if (example.kind == Example::Kind::downlink_encode) {
    const auto* data = json::find(given, "data");
    if (data == nullptr) return lacking("its input has no data to encode");
    input.data = json::write(*data);
    // An expectation without a port is one of a driver that leaves the port to the request.
    const auto* output = example.output ? example.output->if_object() : nullptr;
    if (!input.fport && (output == nullptr || json::find(*output, "fPort") == nullptr)) input.fport = 1;
  } else {
    const auto* bytes = json::find(given, "bytes");
    if (bytes == nullptr) return lacking("its input has no bytes");
    auto payload = payload_of(bytes);
    if (!payload) return lacking("its bytes are neither hex digits nor a list of numbers from 0 to 255");
    input.payload_hex = std::move(*payload);
  }
  call.code = std::move(own);
  return call;
}

Tried judge(const Example& example, const Outcome& outcome) {
  Tried tried;
  tried.operation = operation_of(example.kind);
  tried.where = outcome.where;
  tried.warnings = outcome.warnings;
  tried.log = outcome.log;
  tried.time_us = outcome.time_us;
  if (!outcome.points.empty()) {
    if (auto points = json::parse(outcome.points, kLevels); points && points->is_object())
      tried.points = std::move(points->get_object());
  }
  if (example.kind != Example::Kind::points) tried.output = output_of(example, outcome);
  if (example.error) {
    judge_error(example, outcome, tried);
    return tried;
  }
  if (!outcome.ok && !(expects_errors(example) && !outcome.errors.empty())) {
    tried.verdict = Tried::Verdict::error;
    tried.problem = thrown(outcome.message);
    if (!outcome.errors.empty()) tried.problem = "the driver returned errors: " + tried.problem;
    return tried;
  }
  if (example.output && tried.output) {
    auto got = *tried.output;
    if (example.kind == Example::Kind::downlink_encode && outcome.fport && is_given_port(example, *outcome.fport)) {
      const auto* expected = example.output->if_object();
      if (expected == nullptr || json::find(*expected, "fPort") == nullptr) got.get_object().erase("fPort");
    }
    tried.differences = compare_results(*example.output, std::move(got), example.kind);
  }
  if (outcome.ok) judge_points(example, tried);
  if (!tried.differences.empty()) tried.verdict = Tried::Verdict::failed;
  return tried;
}

std::vector<Tried> try_examples(const RunCalls& run, const DriverCode& code, const Engine::Inspection& offers,
                                const std::vector<Example>& examples) {
  std::vector<Tried> results(examples.size());
  std::vector<Call> calls;
  std::vector<std::size_t> places;
  for (std::size_t i = 0; i < examples.size(); ++i) {
    results[i].operation = operation_of(examples[i].kind);
    if (!is_offered(results[i].operation, offers)) {
      results[i].verdict = examples[i].if_offered ? Tried::Verdict::skipped : Tried::Verdict::error;
      results[i].problem = std::string("the driver has no ") + name_of(results[i].operation);
      continue;
    }
    auto call = call_of(code, examples[i]);
    if (!call) {
      results[i].verdict = Tried::Verdict::error;
      results[i].problem = call.error().text;
      continue;
    }
    calls.push_back(std::move(*call));
    places.push_back(i);
  }
  if (calls.empty()) return results;
  const auto outcomes = run(std::move(calls));
  for (std::size_t n = 0; n < places.size(); ++n)
    results[places[n]] = judge(examples[places[n]], outcomes[n]);
  return results;
}

}  // namespace sluice::driver
