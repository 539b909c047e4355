// SPDX-License-Identifier: Apache-2.0
// Drivers by hand (spec api.md 8).
#include "base/codec.h"

#include <array>

#include "api/driver_calls.h"
#include "api/fields.h"

namespace sluice::api {
namespace {

using boost::json::object;

constexpr std::size_t kMaxBatch = 1000;
constexpr std::array<std::string_view, 4> kEchoes = {"DevEUI", "ADRbit", "Frequency", "FCntUp"};

// A request read: what to run, and what its answer begins with.
struct Job {
  DriverCall call;
  object output;  // direction, sourceTime, meta, raw or message, thing, echoes
  bool encode = false;
};

Error missing_driver() {
  return {ErrorKind::permanent, "no driver fits this input", "com-4004"};
}

std::optional<message::ModuleRef> module(const object& thing, const char* name) {
  const auto* value = json::find(thing, name);
  if (value == nullptr || !value->is_object()) return {};
  const auto& o = value->get_object();
  return message::ModuleRef{json::text_or(o, "producerId"), json::text_or(o, "moduleId"), json::text_or(o, "version")};
}

object member(const object& o, std::string_view name) {
  const auto* value = json::find(o, name);
  return value != nullptr && value->is_object() ? value->get_object() : object();
}

// spec api.md 8: meta.driverId, driver.id, else by the thing.
driver::DriverCodePtr choose(const Call& call, const object& input) {
  auto id = json::text_or(member(input, "meta"), "driverId");
  if (id.empty()) id = json::text_or(member(input, "driver"), "id");
  const auto& account = call.caller.account;
  if (!id.empty() && id != "actility:auto:1") return call.context.find_driver(account, id);
  auto thing = member(input, "thing");
  return call.context.choose_driver(account, module(thing, "application"), module(thing, "model"));
}

// What a driver sees as input.thing (spec drivers.md 5): "key=value" tags become settings.
object driver_thing(const object& thing) {
  object result;
  for (const char* name : {"model", "application"}) {
    if (auto part = member(thing, name); !part.empty()) result[name] = std::move(part);
  }
  boost::json::array tags;
  auto setup = member(thing, "setup");
  if (const auto* list = json::find(thing, "tags"); list != nullptr && list->is_array()) {
    tags = list->get_array();
    for (const auto& tag : tags) {
      if (!tag.is_string()) continue;
      std::string_view text = tag.get_string();
      auto equals = text.find('=');
      if (equals != std::string_view::npos && equals > 0) setup[text.substr(0, equals)] = text.substr(equals + 1);
    }
  }
  result["tags"] = std::move(tags);
  result["setup"] = std::move(setup);
  return result;
}

// Hex digits of raw.binary, or of raw.text's bytes; nothing where there is a fault.
std::optional<std::string> payload(const object& input, std::vector<FieldFault>& faults) {
  auto raw = member(input, "raw");
  if (const auto* binary = json::find(raw, "binary"); binary != nullptr && binary->is_string()) {
    std::string text(binary->get_string());
    if (text.size() % 2 == 0 && (text.empty() || is_hex(text))) return text;
    faults.push_back({"/raw/binary", "must be an even number of hex digits"});
    return {};
  }
  if (const auto* text = json::find(raw, "text"); text != nullptr && text->is_string())
    return to_hex(text->get_string());
  faults.push_back({"/raw", "must have binary (hex digits) or text"});
  return {};
}

void read_fport(const object& input, driver::Input& into, std::vector<FieldFault>& faults) {
  const auto lorawan = member(member(input, "meta"), "lorawan");
  const auto* port = json::find(lorawan, "fPort");
  if (port == nullptr) return;
  if (!port->is_int64() || port->get_int64() < 0 || port->get_int64() > 255) {
    faults.push_back({"/meta/lorawan/fPort", "must be a whole number from 0 to 255"});
    return;
  }
  into.fport = static_cast<int>(port->get_int64());
}

// Everything but the choice of the driver. Errors: com-4000 with all faults in its text.
Job read(const Call& call, const object& input, bool encode, std::vector<FieldFault>& faults) {
  Job job{.encode = encode};
  auto direction = json::text_or(input, "direction", encode ? "downlink" : "");
  if (direction != "uplink" && direction != "downlink") faults.push_back({"/direction", "must be uplink or downlink"});
  if (encode && direction == "uplink") faults.push_back({"/direction", "only downlinks are encoded"});
  auto& in = job.call.input;
  job.call.operation = encode                    ? driver::Operation::encode_downlink
                       : direction == "downlink" ? driver::Operation::decode_downlink
                                                 : driver::Operation::decode_uplink;
  job.output["direction"] = direction;
  auto time = json::text_or(input, "sourceTime");
  in.time = time.empty() ? call.context.clock.now() : parse_time(time).value_or(-1);
  if (*in.time < 0) faults.push_back({"/sourceTime", "must be a time as 2021-01-01T10:00:00+01:00"});
  job.output["sourceTime"] = time.empty() ? format_time(*in.time) : time;
  job.output["meta"] = member(input, "meta");
  read_fport(input, in, faults);
  if (encode) {
    const auto* data = json::find(input, "message");
    if (data == nullptr || !data->is_object()) {
      faults.push_back({"/message", "is required: the object to encode"});
    } else {
      in.data = json::write(*data);
      job.output["message"] = *data;
    }
  } else {
    if (auto hex = payload(input, faults)) in.payload_hex = to_lower(*hex);
    job.output["raw"] = member(input, "raw");
  }
  auto thing = member(input, "thing");
  in.thing = json::write(driver_thing(thing));
  if (!thing.empty()) job.output["thing"] = std::move(thing);
  for (auto name : kEchoes) {
    const auto* value = json::find(input, name);
    if (value == nullptr) continue;
    job.output[name] = *value;
    if (name == "DevEUI") in.dev_eui = value->is_string() ? to_upper(value->get_string()) : "";
    in.extra += (in.extra.empty() ? "" : ",") + json::quote(name) + ":" + json::write(*value);
  }
  return job;
}

// The answer's body, or what went wrong.
Result<object> finish(Job job, const driver::Outcome& outcome, const std::string& driver_id) {
  if (!outcome.ok)
    return Error{ErrorKind::permanent, outcome.message, outcome.code.empty() ? "com-5000" : outcome.code};
  auto meta = member(job.output, "meta");
  if (!driver_id.empty()) meta["driverId"] = driver_id;
  if (job.encode) {
    job.output["raw"] = object{{"binary", outcome.payload_hex}};
    if (outcome.fport) {
      auto lorawan = member(meta, "lorawan");
      lorawan["fPort"] = *outcome.fport;
      meta["lorawan"] = std::move(lorawan);
    }
  } else {
    auto data = json::parse(outcome.data);
    if (!data) return Error{ErrorKind::bug, "the driver's result is not JSON", "com-5002"};
    job.output["message"] = std::move(*data);
    if (auto points = json::parse(outcome.points); !outcome.points.empty() && points && !driver_id.empty()) {
      auto thing = member(job.output, "thing");
      thing["points"] = std::move(*points);
      job.output["thing"] = std::move(thing);
    }
  }
  job.output["meta"] = std::move(meta);
  if (!outcome.warnings.empty())
    job.output["warnings"] = boost::json::array(outcome.warnings.begin(), outcome.warnings.end());
  return std::move(job.output);
}

Response refuse(const Error& error, const std::string& driver_id) {
  auto response = fail(error);
  // What a driver says is the input's fault as a rule (spec api.md 8).
  if (error.code.starts_with("com-500") && error.code != "com-5003") response.status = 400;
  if (!driver_id.empty()) response.problem->data["driverId"] = driver_id;
  return response;
}

Response run(Call& call, bool encode) {
  if (!call.body.is_object()) return fail({{"", "must be an object"}});
  std::vector<FieldFault> faults;
  auto job = read(call, call.body.get_object(), encode, faults);
  if (!faults.empty()) return fail(faults);
  job.call.code = choose(call, call.body.get_object());
  if (!job.call.code) return fail(missing_driver());
  auto id = job.call.code->id;
  auto outcome = run_call(call.context, std::move(job.call));
  auto body = finish(std::move(job), outcome, id);
  return body ? answer(*body) : refuse(body.error(), id);
}

Response run_code(Call& call, bool encode) {
  if (!call.body.is_object()) return fail({{"", "must be an object"}});
  const auto& input = call.body.get_object();
  std::vector<FieldFault> faults;
  auto job = read(call, input, encode, faults);
  auto type = json::text_or(input, "type", "thingpark-x-js");
  auto signature = driver::signature_of_type(type);
  if (!signature) faults.push_back({"/type", "must be thingpark-x-js, lora-alliance, ttn or chirpstack"});
  if (!faults.empty()) return fail(faults);
  auto code = read_code(input);
  if (!code) return fail({{"/code", code.error().text}});
  auto inspected = call.context.inspect_driver(*code, type == "thingpark-x-js" ? std::nullopt : signature);
  if (!inspected) return refuse(inspected.error(), "");
  job.call.code = loose_driver(call.caller.account, std::move(*code), inspected->signature);
  auto outcome = run_call(call.context, std::move(job.call));
  auto body = finish(std::move(job), outcome, "");
  if (!body) return refuse(body.error(), "");
  body->erase("thing");
  (*body)["type"] = type;
  return answer(*body);
}

object batch_error(const boost::json::value* id, const Error& error, const std::string& driver_id) {
  object fault{{"code", error.code}, {"message", error.text}};
  if (!driver_id.empty()) fault["data"] = object{{"driverId", driver_id}};
  object item;
  if (id != nullptr) item["id"] = *id;
  item["error"] = std::move(fault);
  return item;
}

Response decode_batch(Call& call) {
  if (!call.body.is_array()) return fail({{"", "must be an array"}});
  const auto& items = call.body.get_array();
  if (items.size() > kMaxBatch) return fail({{"", "may have at most " + std::to_string(kMaxBatch) + " items"}});
  boost::json::array results(items.size());
  std::vector<Job> jobs;
  std::vector<std::size_t> places;
  std::vector<std::string> drivers;
  std::vector<DriverCall> calls;
  auto id_of = [&](std::size_t i) { return items[i].is_object() ? json::find(items[i].get_object(), "id") : nullptr; };
  for (std::size_t i = 0; i < items.size(); ++i) {
    auto input = items[i].is_object() ? member(items[i].get_object(), "input") : object();
    std::vector<FieldFault> faults;
    auto job = read(call, input, false, faults);
    if (!faults.empty()) {
      auto problem = fail(faults).problem;
      results[i] = batch_error(id_of(i), {ErrorKind::permanent, problem->message, problem->code}, "");
      continue;
    }
    job.call.code = choose(call, input);
    if (!job.call.code) {
      results[i] = batch_error(id_of(i), missing_driver(), "");
      continue;
    }
    places.push_back(i);
    drivers.push_back(job.call.code->id);
    calls.push_back(std::move(job.call));
    jobs.push_back(std::move(job));
  }
  auto outcomes = run_calls(call.context, std::move(calls));
  for (std::size_t n = 0; n < jobs.size(); ++n) {
    auto i = places[n];
    auto body = finish(std::move(jobs[n]), outcomes[n], drivers[n]);
    if (!body) {
      results[i] = batch_error(id_of(i), body.error(), drivers[n]);
      continue;
    }
    object item;
    if (const auto* id = id_of(i)) item["id"] = *id;
    item["output"] = std::move(*body);
    results[i] = std::move(item);
  }
  return answer(results);
}

Response decode(Call& call) {
  return run(call, false);
}
Response encode(Call& call) {
  return run(call, true);
}
Response decode_code(Call& call) {
  return run_code(call, false);
}
Response encode_code(Call& call) {
  return run_code(call, true);
}

}  // namespace

void add_codec(std::vector<Route>& routes) {
  routes.push_back({"POST", "/iot-flow/v1/decode", Access::reader, decode, Body::json});
  routes.push_back({"POST", "/iot-flow/v1/decode/batch", Access::reader, decode_batch, Body::json});
  routes.push_back({"POST", "/iot-flow/v1/decode/code", Access::reader, decode_code, Body::json});
  routes.push_back({"POST", "/iot-flow/v1/encode", Access::reader, encode, Body::json});
  routes.push_back({"POST", "/iot-flow/v1/encode/code", Access::reader, encode_code, Body::json});
  routes.push_back({"POST", "/iot-flow/v1/codec/decode", Access::reader, decode, Body::json});
  routes.push_back({"POST", "/iot-flow/v1/codec/decode/batch", Access::reader, decode_batch, Body::json});
  routes.push_back({"POST", "/iot-flow/v1/codec/decode/code", Access::reader, decode_code, Body::json});
  routes.push_back({"POST", "/iot-flow/v1/codec/encode", Access::reader, encode, Body::json});
  routes.push_back({"POST", "/iot-flow/v1/codec/encode/code", Access::reader, encode_code, Body::json});
}

}  // namespace sluice::api
