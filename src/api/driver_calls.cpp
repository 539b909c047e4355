// SPDX-License-Identifier: Apache-2.0
#include "api/driver_calls.h"

#include <condition_variable>

#include "base/codec.h"
#include "base/crypto.h"
#include "driver/limits.h"

namespace sluice::api {
namespace {

// 10 times the CPU limit of a call is the engine's own hard stop; a batch may queue behind others.
constexpr std::chrono::seconds kWait{30};
constexpr std::size_t kMaxCode = 1 << 20;
constexpr std::string_view kLoose = "code";  // the id of code that is stored nowhere

bool is_utf8(std::string_view text) {
  // The JSON parser checks it, and a quoted text is JSON.
  return json::parse(json::quote(text)).has_value();
}

// Hex text, or a list of bytes.
std::optional<std::string> bytes_of(const boost::json::value* value) {
  if (value == nullptr) return {};
  if (value->is_string()) {
    std::string text = to_lower(value->get_string());
    return text.size() % 2 == 0 && (text.empty() || is_hex(text)) ? std::optional(text) : std::nullopt;
  }
  if (!value->is_array()) return {};
  std::string bytes;
  for (const auto& item : value->get_array()) {
    if (!item.is_int64() || item.get_int64() < 0 || item.get_int64() > 255) return {};
    bytes += static_cast<char>(item.get_int64());
  }
  return to_hex(bytes);
}

std::optional<int> port_of(const boost::json::object& example) {
  for (const char* name : {"fPort", "fport"}) {
    const auto* value = json::find(example, name);
    if (value != nullptr && value->is_int64()) return static_cast<int>(value->get_int64());
  }
  return {};
}

}  // namespace

std::vector<driver::Outcome> run_calls(const Context& context, std::vector<DriverCall> calls) {
  struct Waiting {
    std::mutex mutex;
    std::condition_variable done;
    std::vector<std::optional<driver::Outcome>> outcomes;
    std::size_t left = 0;
  };
  // Shared: an outcome that comes too late still finds its place.
  auto waiting = std::make_shared<Waiting>();
  waiting->outcomes.resize(calls.size());
  waiting->left = calls.size();
  std::vector<driver::Job> jobs;
  for (std::size_t i = 0; i < calls.size(); ++i) {
    // The input stays: the log tells what was called.
    jobs.push_back({.code = calls[i].code,
                    .operation = calls[i].operation,
                    .input = calls[i].input,
                    .done = [waiting, i](driver::Outcome outcome) {
                      std::lock_guard lock(waiting->mutex);
                      waiting->outcomes[i] = std::move(outcome);
                      if (--waiting->left == 0) waiting->done.notify_all();
                    },
                    .by_hand = true});
  }
  context.run_drivers(std::move(jobs));
  std::unique_lock lock(waiting->mutex);
  waiting->done.wait_for(lock, kWait, [&] { return waiting->left == 0; });
  std::vector<driver::Outcome> outcomes;
  for (auto& outcome : waiting->outcomes) {
    if (!outcome) {
      outcome =
          driver::Outcome{.code = "com-5004", .message = "driver internal error: Error: Script execution timed out."};
    }
    outcomes.push_back(std::move(*outcome));
  }
  lock.unlock();
  for (std::size_t i = 0; i < calls.size(); ++i) {
    const auto& call = calls[i];
    if (!call.log || call.code->id == kLoose) continue;
    const auto& input = call.input;
    context.journal.note_by_hand({.code = *call.code,
                                  .operation = call.operation,
                                  .dev_eui = input.dev_eui,
                                  .fport = input.fport,
                                  .input = input.payload_hex.empty() ? input.data : input.payload_hex,
                                  .outcome = outcomes[i]});
  }
  return outcomes;
}

driver::Outcome run_call(const Context& context, DriverCall call) {
  std::vector<DriverCall> calls;
  calls.push_back(std::move(call));
  return std::move(run_calls(context, std::move(calls)).front());
}

Result<std::string> read_code(const boost::json::object& body, const char* name, bool required) {
  Error error{ErrorKind::permanent, "is required: the JavaScript text in base64", "com-4000"};
  const auto* value = json::find(body, name);
  if (value == nullptr && !required) return std::string();
  if (value == nullptr || !value->is_string()) return error;
  auto code = from_base64(value->get_string());
  if (!code || (required && code->empty()) || !is_utf8(*code)) {
    error.text = "must be base64 of UTF-8 text";
    return error;
  }
  if (code->size() > kMaxCode) {
    error.text = "may have at most 1 MiB (1048576 bytes); it has " + std::to_string(code->size()) + " bytes";
    return error;
  }
  return std::move(*code);
}

driver::Engine::Inspected inspected_of(const store::Driver& driver) {
  auto type = json::text_or(driver.resource, "type");
  return {.source = driver.code,
          .declared = type == "thingpark-x-js" ? std::nullopt : driver::signature_of_type(type),
          .extract_points_source = driver.extract_points,
          .use_context = json::bool_or(driver.resource, "useContext", false),
          .trusted = json::bool_or(driver.resource, "trusted", false)};
}

driver::DriverCodePtr loose_driver(const std::string& account, const store::Driver& driver,
                                   driver::Signature signature) {
  auto code = std::make_shared<driver::DriverCode>();
  code->account = account;
  code->id = kLoose;
  code->signature = signature;
  code->source = driver.code;
  code->extract_points_source = driver.extract_points;
  code->use_context = json::bool_or(driver.resource, "useContext", false);
  code->trusted = json::bool_or(driver.resource, "trusted", false);
  if (const auto* schema = json::find(driver.resource, "pointsSchema")) code->points_schema = json::write(*schema);
  std::string limits;
  if (const auto* found = json::find(driver.resource, "limits"); found != nullptr && found->is_object()) {
    std::vector<driver::LimitFault> faults;
    code->limits = driver::read_limits(found->get_object(), {}, faults);
    limits = json::write(*found);
  }
  std::string all(driver::type_of_signature(signature));
  all += code->use_context ? 'c' : '-';
  all += code->trusted ? 't' : '-';
  for (const auto* text : {&code->source, &code->extract_points_source, &code->points_schema, &limits})
    all += '\0' + std::to_string(text->size()) + '\0' + *text;
  code->revision = to_hex(sha256(all));
  return code;
}

bool same_json(const boost::json::value& a, const boost::json::value& b) {
  if (a.is_number() && b.is_number()) {
    return a == b || a.to_number<double>() == b.to_number<double>();
  }
  if (a.kind() != b.kind()) return false;
  if (a.is_array()) {
    const auto &x = a.get_array(), &y = b.get_array();
    return x.size() == y.size() && std::equal(x.begin(), x.end(), y.begin(), same_json);
  }
  if (a.is_object()) {
    const auto &x = a.get_object(), &y = b.get_object();
    if (x.size() != y.size()) return false;
    for (const auto& member : x) {
      const auto* other = y.if_contains(member.key());
      if (other == nullptr || !same_json(member.value(), *other)) return false;
    }
    return true;
  }
  return a == b;
}

boost::json::object run_example(const Context& context, const driver::DriverCodePtr& code,
                                const boost::json::object& example, bool can_encode) {
  auto failed = [](std::string text) { return boost::json::object{{"ok", false}, {"error", std::move(text)}}; };
  auto bytes = bytes_of(json::find(example, "bytes"));
  const auto* data = json::find(example, "data");
  if (!bytes || data == nullptr) return failed("an example needs bytes (hex) and data");
  bool down = json::text_or(example, "type") == "downlink";
  DriverCall call{.code = code};
  call.operation = down ? (can_encode ? driver::Operation::encode_downlink : driver::Operation::decode_downlink)
                        : driver::Operation::decode_uplink;
  call.input.fport = port_of(example);
  call.input.time = parse_time(json::text_or(example, "time"));
  if (const auto* thing = json::find(example, "thing")) call.input.thing = json::write(*thing);
  bool encode = call.operation == driver::Operation::encode_downlink;
  (encode ? call.input.data : call.input.payload_hex) = encode ? json::write(*data) : *bytes;
  auto outcome = run_call(context, std::move(call));
  if (!outcome.ok) return failed(outcome.message);
  if (encode) {
    bool same = to_lower(outcome.payload_hex) == *bytes;
    boost::json::object result{{"ok", same}, {"output", outcome.payload_hex}};
    if (!same) result["expected"] = *bytes;
    return result;
  }
  auto output = json::parse(outcome.data);
  if (!output) return failed(output.error().text);
  bool same = same_json(*output, *data);
  boost::json::object result{{"ok", same}, {"output", std::move(*output)}};
  if (!same) result["expected"] = *data;
  return result;
}

}  // namespace sluice::api
