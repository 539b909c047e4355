// SPDX-License-Identifier: Apache-2.0
// Drivers by hand (spec api.md 8).
#include "base/codec.h"

#include <array>

#include "api/driver_calls.h"
#include "api/driver_resource.h"

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

boost::json::array list_of(const std::vector<std::string>& texts) {
  return boost::json::array(texts.begin(), texts.end());
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

// A driver that is known without its code is another matter than none at all.
Error missing_driver(const Call& call, const object& input) {
  auto id = json::text_or(member(input, "meta"), "driverId");
  if (id.empty()) id = json::text_or(member(input, "driver"), "id");
  const auto& account = call.caller.account;
  if (id.empty() || id == "actility:auto:1") {
    auto thing = member(input, "thing");
    id = call.context.choose_without_code(account, module(thing, "application"), module(thing, "model"));
  } else if (!call.context.is_without_code(account, id)) {
    id.clear();
  }
  return {ErrorKind::permanent,
          id.empty() ? "no driver fits this input" : "no driver code: " + id + " is known, its code is not here",
          "com-4004"};
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

// The parts of `thing` that the answer gives back in a form of its own.
void check_thing(const object& thing, std::vector<FieldFault>& faults) {
  for (const char* name : {"model", "application"}) {
    const auto* part = json::find(thing, name);
    if (part == nullptr) continue;
    const auto path = "/thing/" + std::string(name);
    if (!part->is_object()) {
      faults.push_back({path, "must be an object of producerId, moduleId and version"});
      continue;
    }
    for (const char* field : {"producerId", "moduleId", "version"}) {
      const auto* value = json::find(part->get_object(), field);
      if (value != nullptr && !value->is_string()) faults.push_back({path + "/" + field, "must be a text"});
    }
  }
  const auto* points = json::find(thing, "points");
  if (points != nullptr && !points->is_object()) faults.push_back({"/thing/points", "must be an object"});
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
  check_thing(thing, faults);
  in.thing = json::write(driver_thing(thing));
  if (!thing.empty()) job.output["thing"] = std::move(thing);
  for (auto name : kEchoes) {
    const auto* value = json::find(input, name);
    if (value == nullptr) continue;
    const bool text = name == "DevEUI", whole = name == "ADRbit" || name == "FCntUp";
    if (text ? !value->is_string() : !(value->is_int64() || (!whole && value->is_number()))) {
      faults.push_back({"/" + std::string(name), text    ? "must be a text of 16 hex digits"
                                                 : whole ? "must be a whole number"
                                                         : "must be a number"});
      continue;
    }
    job.output[name] = *value;
    if (text) in.dev_eui = to_upper(value->get_string());
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
    auto data = json::parse(outcome.data, 2 * driver::kMaxDepth);
    if (!data) return Error{ErrorKind::bug, "the driver's result is not JSON", "com-5002"};
    job.output["message"] = std::move(*data);
    if (auto points = json::parse(outcome.points); !outcome.points.empty() && points && !driver_id.empty()) {
      auto thing = member(job.output, "thing");
      thing["points"] = std::move(*points);
      job.output["thing"] = std::move(thing);
    }
  }
  job.output["meta"] = std::move(meta);
  if (!outcome.warnings.empty()) job.output["warnings"] = list_of(outcome.warnings);
  return std::move(job.output);
}

Response refuse(const Error& error, object data) {
  auto response = fail(error);
  // What a driver says is the input's fault as a rule (spec api.md 8).
  if (error.code.starts_with("com-500") && error.code != "com-5003") response.status = 400;
  for (auto& member : data)
    response.problem->data[member.key()] = std::move(member.value());
  return response;
}

// What a failed call's answer carries: for everybody what the driver says; for who may see its code also the place in
// it, and what it was called with.
object fault_data(const Call& call, const driver::DriverCode& code, const Job& job, const driver::Outcome& outcome,
                  bool loose) {
  object data;
  if (!loose) data["driverId"] = code.id;
  if (!outcome.errors.empty()) data["driverErrors"] = list_of(outcome.errors);
  if (!outcome.warnings.empty()) data["warnings"] = list_of(outcome.warnings);
  if (!loose) {
    auto stored = visible_driver(call, code.id);
    if (!stored || is_hidden(call, *stored)) return data;
  }
  if (outcome.where) {
    if (outcome.where->line > 0) data["line"] = outcome.where->line;
    if (outcome.where->column > 0) data["column"] = outcome.where->column;
    if (!outcome.where->stack.empty()) data["stack"] = outcome.where->stack;
  }
  object input;
  if (job.call.input.fport) input["fPort"] = *job.call.input.fport;
  if (job.encode) {
    if (const auto* message = json::find(job.output, "message")) input["data"] = *message;
  } else {
    input["bytes"] = job.call.input.payload_hex;
  }
  data["input"] = std::move(input);
  if (loose && !outcome.log.empty()) data["log"] = list_of(outcome.log);
  return data;
}

Response run(Call& call, bool encode) {
  if (!call.body.is_object()) return fail({{"", "must be an object"}});
  std::vector<FieldFault> faults;
  auto job = read(call, call.body.get_object(), encode, faults);
  if (!faults.empty()) return fail(faults);
  job.call.code = choose(call, call.body.get_object());
  if (!job.call.code) return fail(missing_driver(call, call.body.get_object()));
  auto code = job.call.code;
  auto outcome = run_call(call.context, job.call);
  if (!outcome.ok) {
    auto data = fault_data(call, *code, job, outcome, false);
    return refuse(finish(std::move(job), outcome, code->id).error(), std::move(data));
  }
  auto body = finish(std::move(job), outcome, code->id);
  return body ? answer(*body) : refuse(body.error(), {{"driverId", code->id}});
}

Response run_code(Call& call, bool encode) {
  if (!call.body.is_object()) return fail({{"", "must be an object"}});
  const auto& input = call.body.get_object();
  std::vector<FieldFault> faults;
  auto job = read(call, input, encode, faults);
  auto type = json::text_or(input, "type");
  if (!type.empty() && !driver::signature_of_type(type))
    faults.push_back({"/type", "must be thingpark-x-js, lora-alliance, ttn or chirpstack"});
  store::Driver driver{.resource = {{"type", type}, {"useContext", json::bool_or(input, "useContext", false)}}};
  if (!faults.empty()) return fail(faults);
  auto code = read_code(input);
  if (!code) return fail({{"/code", code.error().text}});
  driver.code = std::move(*code);
  auto inspected = call.context.inspect_driver(inspected_of(driver));
  if (!inspected) return refuse(inspected.error(), {});
  // What a decoder returns under thingpark-x-js, the default, is right under lora-alliance too (spec drivers.md 4.3);
  // an encoder is given the object itself.
  if (type.empty()) {
    const bool either = inspected->signature == driver::Signature::lora_alliance;
    type = either ? "thingpark-x-js" : driver::type_of_signature(inspected->signature);
    if (either && encode) inspected->signature = driver::Signature::actility;
  }
  job.call.code = loose_driver(call.caller.account, driver, inspected->signature);
  auto outcome = run_call(call.context, job.call);
  if (!outcome.ok) {
    auto data = fault_data(call, *job.call.code, job, outcome, true);
    return refuse(finish(std::move(job), outcome, "").error(), std::move(data));
  }
  auto body = finish(std::move(job), outcome, "");
  if (!body) return refuse(body.error(), {});
  body->erase("thing");
  (*body)["type"] = type;
  // Code that is stored nowhere has no log: its console is told here.
  if (!outcome.log.empty()) (*body)["log"] = list_of(outcome.log);
  return answer(*body);
}

object batch_error(const boost::json::value* id, const Error& error, object data = {}) {
  object fault{{"code", error.code}, {"message", error.text}};
  if (!data.empty()) fault["data"] = std::move(data);
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
  std::vector<DriverCall> calls;
  auto id_of = [&](std::size_t i) { return items[i].is_object() ? json::find(items[i].get_object(), "id") : nullptr; };
  for (std::size_t i = 0; i < items.size(); ++i) {
    auto input = items[i].is_object() ? member(items[i].get_object(), "input") : object();
    std::vector<FieldFault> faults;
    auto job = read(call, input, false, faults);
    if (!faults.empty()) {
      auto problem = fail(faults).problem;
      results[i] = batch_error(id_of(i), {ErrorKind::permanent, problem->message, problem->code});
      continue;
    }
    job.call.code = choose(call, input);
    if (!job.call.code) {
      results[i] = batch_error(id_of(i), missing_driver(call, input));
      continue;
    }
    places.push_back(i);
    calls.push_back(job.call);
    jobs.push_back(std::move(job));
  }
  auto outcomes = run_calls(call.context, std::move(calls));
  for (std::size_t n = 0; n < jobs.size(); ++n) {
    auto i = places[n];
    auto code = jobs[n].call.code;
    auto data = outcomes[n].ok ? object() : fault_data(call, *code, jobs[n], outcomes[n], false);
    auto body = finish(std::move(jobs[n]), outcomes[n], code->id);
    if (!body) {
      results[i] = batch_error(id_of(i), body.error(), std::move(data));
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
