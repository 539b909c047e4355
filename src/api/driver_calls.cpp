// SPDX-License-Identifier: Apache-2.0
#include "api/driver_calls.h"

#include <condition_variable>

#include "base/codec.h"
#include "base/crypto.h"
#include "driver/limits.h"
#include "driver/trial.h"

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
                    .done =
                        [waiting, i](driver::Outcome outcome) {
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
  // A declared signature always holds (spec drivers.md 4.3); without a type it is found by looking.
  return {.source = driver.code,
          .declared = driver::signature_of_type(json::text_or(driver.resource, "type")),
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

boost::json::object run_example(const Context& context, const driver::DriverCodePtr& code,
                                const driver::Engine::Inspection& offers, const boost::json::object& example) {
  auto failed = [](std::string text) { return boost::json::object{{"ok", false}, {"error", std::move(text)}}; };
  const auto read = driver::examples_from_api({example});
  if (read.examples.empty()) return failed(read.faults.empty() ? "this is no example" : read.faults.front());
  const auto run = [&](std::vector<driver::Call> calls) {
    std::vector<DriverCall> own;
    for (auto& call : calls)
      own.push_back({.code = std::move(call.code), .operation = call.operation, .input = std::move(call.input)});
    return run_calls(context, std::move(own));
  };
  // A downlink's entry stands for both ways: it is good where each way that the driver has is.
  const auto all = driver::try_examples(run, *code, offers, read.examples);
  const driver::Tried* told = nullptr;
  std::size_t place = 0;
  for (std::size_t i = 0; i < all.size(); ++i) {
    if (all[i].verdict == driver::Tried::Verdict::skipped || (told != nullptr && (!told->good() || all[i].good())))
      continue;
    told = &all[i];
    place = i;
  }
  if (told == nullptr) return {{"ok", true}};
  if (told->verdict == driver::Tried::Verdict::error) return failed(told->problem);
  const char* member = told->operation == driver::Operation::encode_downlink ? "bytes" : "data";
  const auto part = [&](const std::optional<boost::json::value>& whole) -> const boost::json::value* {
    return whole && whole->is_object() ? json::find(whole->get_object(), member) : nullptr;
  };
  boost::json::object result{{"ok", told->good()}};
  if (const auto* output = part(told->output)) {
    // Bytes as the example has them: hex digits.
    result["output"] = *output;
    if (output->is_array() && told->operation == driver::Operation::encode_downlink) {
      std::string bytes;
      for (const auto& byte : output->get_array())
        bytes += static_cast<char>(byte.to_number<int>());
      result["output"] = to_hex(bytes);
    }
  }
  if (told->good()) return result;
  if (const auto* expected = part(read.examples[place].output)) result["expected"] = *expected;
  boost::json::array differences;
  for (const auto& difference : told->differences)
    differences.emplace_back(difference.to_json());
  result["differences"] = std::move(differences);
  return result;
}

}  // namespace sluice::api
