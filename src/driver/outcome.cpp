// SPDX-License-Identifier: Apache-2.0
#include "driver/outcome.h"

#include <algorithm>
#include <charconv>
#include <memory>
#include <simdjson.h>
#include <utility>
#include <vector>

#include "base/codec.h"
#include "base/json.h"
#include "driver/ontology.h"

namespace sluice::driver {
namespace {

std::string_view next_field(std::string_view& text) {
  const auto end = text.find('\n');
  const auto field = text.substr(0, end);
  text.remove_prefix(end == std::string_view::npos ? text.size() : end + 1);
  return field;
}

std::vector<std::string> read_texts(std::string_view json) {
  std::vector<std::string> out;
  if (json.empty()) return out;
  const auto parsed = json::parse(json);
  if (!parsed || !parsed->is_array()) return out;
  for (const auto& item : parsed->get_array()) {
    if (item.is_string()) out.emplace_back(item.get_string());
  }
  return out;
}

// [line, column, stack]; nothing where it is none.
std::optional<Where> read_where(std::string_view json) {
  if (json.empty()) return {};
  const auto parsed = json::parse(json);
  if (!parsed || !parsed->is_array() || parsed->get_array().size() != 3) return {};
  const auto& parts = parsed->get_array();
  if (!parts[0].is_int64() || !parts[1].is_int64() || !parts[2].is_string()) return {};
  return Where{static_cast<int>(parts[0].get_int64()), static_cast<int>(parts[1].get_int64()),
               std::string(parts[2].get_string())};
}

// Levels of arrays and objects in valid JSON.
unsigned levels(std::string_view json) {
  unsigned now = 0, most = 0;
  bool quoted = false;
  for (std::size_t i = 0; i < json.size(); ++i) {
    const char c = json[i];
    if (quoted) {
      if (c == '\\')
        ++i;
      else if (c == '"')
        quoted = false;
    } else if (c == '"') {
      quoted = true;
    } else if (c == '[' || c == '{') {
      most = std::max(most, ++now);
    } else if (c == ']' || c == '}') {
      --now;
    }
  }
  return most;
}

Outcome nonsense() {
  return failed("com-5002", "driver internal error: Error: The driver's host gave no usable answer.");
}

}  // namespace

namespace {

constexpr std::size_t kMaxTold = 100;

// What is wrong with a value of that type; null where it fits.
const char* value_fault(std::string_view type, simdjson::dom::element value) {
  if (value.is_array()) return nullptr;
  if (value.is_object())
    return type == "object" ? nullptr : "is an object; a value is a number, text, boolean or array";
  if (type == "double") return value.is_number() ? nullptr : "is no number, as its type double says";
  if (type == "int64")
    return value.is_int64() || value.is_uint64() ? nullptr : "is no whole number, as its type int64 says";
  if (type == "boolean") return value.is_bool() ? nullptr : "is no boolean, as its type says";
  if (type == "string") return value.is_string() ? nullptr : "is no text, as its type string says";
  return nullptr;
}

std::string_view text_of(simdjson::dom::object object, std::string_view key) {
  std::string_view text;
  return object[key].get(text) == simdjson::SUCCESS ? text : std::string_view();
}

// What is wrong with a point; "" where all is well.
std::string point_fault(std::string_view name, simdjson::dom::element value) {
  simdjson::dom::object point;
  if (value.get(point) != simdjson::SUCCESS) return "is no object";
  const auto unit = text_of(point, "unitId"), type = text_of(point, "type");
  if (!type.empty() && !is_point_type(type)) {
    return "has the type " + std::string(type) + "; there are string, int64, double, boolean and object";
  }
  if (!unit.empty() && text_of(point, "standardNaming") != "unsupported" &&
      !is_standard_point(name.substr(0, name.find(':')), unit)) {
    return "is not in the ontology with the unit " + std::string(unit);
  }
  simdjson::dom::element record;
  simdjson::dom::array records;
  const bool one = point["record"].get(record) == simdjson::SUCCESS;
  const bool several = point["records"].get(records) == simdjson::SUCCESS;
  if (one == several) return one ? "has both record and records" : "has neither record nor records";
  if (one) {
    const char* const fault = value_fault(type, record);
    return fault == nullptr ? std::string() : fault;
  }
  for (const auto entry : records) {
    simdjson::dom::object of;
    std::string_view time;
    if (entry.get(of) != simdjson::SUCCESS || of["eventTime"].get(time) != simdjson::SUCCESS ||
        of["value"].get(record) != simdjson::SUCCESS) {
      return "has a record without eventTime or value";
    }
    if (const char* const fault = value_fault(type, record)) return fault;
  }
  return {};
}

}  // namespace

struct OutcomeReader::Parser {
  simdjson::dom::parser dom;
  simdjson::dom::element last;
};

void OutcomeReader::check_points(Outcome& outcome, std::unordered_set<std::string>& told) {
  simdjson::dom::object points;
  if (parser_->last.get(points) != simdjson::SUCCESS) return;
  for (const auto& [name, value] : points) {
    if (told.size() >= kMaxTold) return;
    auto fault = point_fault(name, value);
    if (fault.empty()) continue;
    fault = "warn: point " + std::string(name.substr(0, 64)) + " " + fault;
    if (told.insert(fault).second) outcome.log.push_back(std::move(fault));
  }
}

OutcomeReader::OutcomeReader(std::size_t result_limit)
    : result_limit_(result_limit), parser_(std::make_unique<Parser>()) {
  // Levels below the root value.
  if (parser_->dom.allocate(64u << 10, kMaxDepth) != simdjson::SUCCESS) parser_->dom = simdjson::dom::parser();
}

OutcomeReader::~OutcomeReader() = default;

Outcome failed(std::string code, std::string message) {
  Outcome outcome;
  outcome.code = std::move(code);
  outcome.message = std::move(message);
  return outcome;
}

Outcome timed_out(std::uint32_t time_us) {
  auto outcome = failed("com-5004", "driver internal error: Error: Script execution timed out.");
  outcome.time_us = time_us;
  return outcome;
}

Outcome out_of_memory() {
  return failed("com-5004", "driver internal error: Error: Script ran out of memory.");
}

bool OutcomeReader::is_json(std::string_view text, unsigned depth, bool& too_deep) {
  if (text.size() > parser_->dom.capacity() && parser_->dom.allocate(text.size(), kMaxDepth) != simdjson::SUCCESS)
    return false;
  const auto error = parser_->dom.parse(text.data(), text.size()).get(parser_->last);
  too_deep =
      error == simdjson::DEPTH_ERROR || (depth < kMaxDepth && error == simdjson::SUCCESS && levels(text) > depth);
  return error == simdjson::SUCCESS && !too_deep;
}

bool OutcomeReader::read_context(std::string_view text, Outcome& outcome) {
  if (text.empty()) return true;
  bool too_deep = false;
  if (text.front() != '[' || text.size() > kContextLimit || !is_json(text, kMaxDepth, too_deep)) {
    outcome = failed("com-5002", text.size() > kContextLimit
                                     ? "driver internal error: Error: The driver left a context of over " +
                                           std::to_string(kContextLimit) + " bytes."
                                 : too_deep ? "driver internal error: Error: The driver left a context of more than " +
                                                  std::to_string(kMaxDepth) + " levels."
                                            : nonsense().message);
    return false;
  }
  outcome.context = text;
  return true;
}

Outcome OutcomeReader::read_failure(std::string_view text) {
  Outcome outcome;
  outcome.code = next_field(text);
  const auto message = json::parse(next_field(text));
  if (!outcome.code.starts_with("com-") || outcome.code.size() != 8 || !message || !message->is_string())
    return nonsense();
  outcome.message = message->get_string();
  outcome.errors = read_texts(next_field(text));
  outcome.warnings = read_texts(next_field(text));
  outcome.log = read_texts(next_field(text));
  outcome.where = read_where(next_field(text));
  read_context(next_field(text), outcome);
  return outcome;
}

Outcome OutcomeReader::read(std::string_view text, const Limits& limits, std::unordered_set<std::string>* told) {
  if (text.empty()) return nonsense();
  const char kind = text.front();
  text.remove_prefix(1);
  if (kind == 'F' || kind == 'S') return read_failure(text);
  if (kind != 'D' && kind != 'E') return nonsense();
  Outcome outcome;
  const auto first = next_field(text), second = next_field(text);
  outcome.warnings = read_texts(next_field(text));
  outcome.log = read_texts(next_field(text));
  if (!read_context(next_field(text), outcome)) return outcome;
  if (kind == 'E') {
    int port = 0;
    const auto [end, error] = std::from_chars(second.data(), second.data() + second.size(), port);
    if (error != std::errc{} || end != second.data() + second.size() || port < 1 || port > 224 ||
        first.size() % 2 != 0 || (!first.empty() && !is_hex(first))) {
      return nonsense();
    }
    outcome.payload_hex = first;
    outcome.fport = port;
    outcome.ok = true;
    return outcome;
  }
  const std::size_t most = limits.result == 0 ? result_limit_ : std::min(limits.result, result_limit_);
  const unsigned depth = limits.depth == 0 ? kMaxDepth : std::min(limits.depth, kMaxDepth);
  if (first.size() + second.size() > most) {
    return failed("com-5002",
                  "driver internal error: Error: The result is over the limit of " + std::to_string(most) + " bytes.");
  }
  for (const auto json : {first, second}) {
    bool too_deep = false;
    if (json.empty() || is_json(json, depth, too_deep)) continue;
    if (!too_deep) return nonsense();
    return failed("com-5002",
                  "driver internal error: Error: The result has more than " + std::to_string(depth) + " levels.");
  }
  if (!second.empty() && second.front() != '{') return nonsense();
  if (!second.empty() && told != nullptr) check_points(outcome, *told);
  outcome.data = first;
  outcome.points = second;
  outcome.ok = true;
  return outcome;
}

Result<Engine::Inspection> OutcomeReader::read_inspection(std::string_view text) {
  if (text.size() == 7 && text[0] == 'I' && text[1] >= '0' && text[1] <= '3' && text[2] == ' ') {
    Engine::Inspection found{};
    found.signature = static_cast<Signature>(text[1] - '0');
    found.decode_uplink = text[3] == '1';
    found.decode_downlink = text[4] == '1';
    found.encode_downlink = text[5] == '1';
    found.extract_points = text[6] == '1';
    return found;
  }
  const auto outcome = read(text);
  return Error{ErrorKind::permanent, outcome.ok ? nonsense().message : outcome.message,
               outcome.ok ? "com-5002" : outcome.code};
}

}  // namespace sluice::driver
