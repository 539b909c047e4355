// SPDX-License-Identifier: Apache-2.0
#include "driver/example.h"

#include <algorithm>
#include <array>
#include <map>
#include <set>

#include "base/codec.h"
#include "driver/lenient.h"
#include "message/json_scan.h"

namespace sluice::driver {
namespace {

using boost::json::array;
using boost::json::object;
using boost::json::value;

constexpr std::size_t kFileLimit = 4u << 20;
constexpr std::size_t kEntryLimit = 10'000;
constexpr std::size_t kFaultLimit = 100;  // of one file

// The member even where it is null, which json::find() takes for absent.
const value* member(const object& o, std::string_view key) {
  const auto* found = o.if_contains(key);
  return found;
}

const value* first_of(const object& o, std::initializer_list<std::string_view> keys) {
  for (auto key : keys) {
    if (const auto* found = json::find(o, key)) return found;
  }
  return nullptr;
}

// Bytes as hex text ("0A 0b", "0x0A0B", "0a-0b"), or an array of 0..255: lower-case hex. Nothing for anything else.
std::optional<std::string> bytes_of(const value& v) {
  if (v.is_array()) {
    std::string bytes;
    for (const auto& item : v.get_array()) {
      double number = -1;
      if (item.is_int64()) number = static_cast<double>(item.get_int64());
      if (item.is_double()) number = item.get_double();
      if (number < 0 || number > 255 || number != static_cast<double>(static_cast<int>(number))) return {};
      bytes += static_cast<char>(static_cast<int>(number));
    }
    return to_hex(bytes);
  }
  if (!v.is_string()) return {};
  std::string digits;
  std::string_view text = v.get_string();
  if (text.starts_with("0x") || text.starts_with("0X")) text.remove_prefix(2);
  for (char c : text) {
    if (c != ' ' && c != '\t' && c != '\n' && c != '\r' && c != '-' && c != ':') digits += c;
  }
  const auto read = from_hex(digits);
  return read ? std::optional(to_hex(*read)) : std::nullopt;
}

Error fault(const std::string& text) {
  return {ErrorKind::permanent, text, "com-4000"};
}

// Number, or text that is one ("port": "2" is met).
std::optional<std::int64_t> port_of(const value& v) {
  if (v.is_int64()) return v.get_int64();
  if (v.is_double() && v.get_double() >= 0 && v.get_double() < 65536) return static_cast<std::int64_t>(v.get_double());
  if (!v.is_string() || v.get_string().empty() || v.get_string().size() > 5) return {};
  std::int64_t port = 0;
  for (char c : v.get_string()) {
    if (c < '0' || c > '9') return {};
    port = port * 10 + (c - '0');
  }
  return port;
}

void put_port(object& into, const object& from, std::initializer_list<std::string_view> keys) {
  if (const auto* found = first_of(from, keys)) {
    if (const auto port = port_of(*found)) into["fPort"] = *port;
  }
}

array list_of(const value& v) {
  if (v.is_array()) return v.get_array();
  if (v.is_null()) return {};
  return {v};
}

// What the decoder returns (spec drivers.md 6.1).
value decoded(const value& output, bool enveloped) {
  object result;
  const auto* o = output.if_object();
  const bool has_list = o != nullptr && (o->contains("data") || o->contains("errors") || o->contains("warnings"));
  if (!enveloped || !has_list) {
    result["data"] = output;
    return result;
  }
  if (const auto* data = member(*o, "data")) result["data"] = *data;
  for (const char* list : {"errors", "warnings"}) {
    if (const auto* found = member(*o, list)) result[list] = list_of(*found);
  }
  return result;
}

Result<value> encoded(const value& output) {
  object result;
  if (output.is_array() || output.is_string()) {
    auto bytes = bytes_of(output);
    if (!bytes) return fault("the output is no bytes");
    result["bytes"] = *bytes;
    return value(std::move(result));
  }
  if (!output.is_object()) return fault("the output is no object");
  const auto& o = output.get_object();
  if (const auto* found = json::find(o, "bytes")) {
    auto bytes = bytes_of(*found);
    if (!bytes) return fault("output.bytes is neither an array of 0 to 255 nor hex text");
    result["bytes"] = *bytes;
  }
  put_port(result, o, {"fPort", "fport"});
  for (const char* list : {"errors", "warnings"}) {
    if (const auto* found = member(o, list)) result[list] = list_of(*found);
  }
  // `port` is met in outputs of The Things Network's examples; nothing there or here reads it.
  for (const auto& [key, item] : o) {
    if (!item.is_null() && !result.contains(key) && key != "fPort" && key != "fport" && key != "port")
      result[key] = item;
  }
  return value(std::move(result));
}

// Input of decoding, from an object that has bytes, port, time and more under the names that are met.
Result<object> decode_input(const object& from) {
  object input;
  const auto* found = json::find(from, "bytes");
  if (found == nullptr) return fault("no bytes");
  auto bytes = bytes_of(*found);
  if (!bytes) return fault("bytes is neither an array of 0 to 255 nor hex text");
  input["bytes"] = *bytes;
  put_port(input, from, {"fPort", "fport", "port"});
  if (const auto* time = first_of(from, {"recvTime", "time"})) input["time"] = *time;
  return input;
}

constexpr std::array<std::string_view, 7> kRenamed = {"bytes", "fPort", "fport", "port", "recvTime", "time", "BACnet"};

void put_others(object& into, const object& from) {
  for (const auto& [key, item] : from) {
    if (!item.is_null() && std::find(kRenamed.begin(), kRenamed.end(), key) == kRenamed.end()) into[key] = item;
  }
}

void put_points(Example& example, const object& entry, bool absent_is_none) {
  const auto* points = member(entry, "points");
  if (points != nullptr && points->is_object())
    example.points = points->get_object();
  else if (absent_is_none)
    example.points = object();
}

std::optional<Example::Kind> kind_of(const object& entry, const object& input) {
  const auto type = json::text_or(entry, "type", "uplink");
  if (type == "uplink" || type == "uplink-decode") return Example::Kind::uplink;
  if (type == "downlink-decode") return Example::Kind::downlink_decode;
  if (type == "downlink-encode") return Example::Kind::downlink_encode;
  if (type != "downlink") return {};
  return input.contains("bytes") ? Example::Kind::downlink_decode : Example::Kind::downlink_encode;
}

// {input, output} in which the input is an object of its own: the current form and those of other platforms.
Result<Example> nested(const object& input, const value* output, Example::Kind kind, bool enveloped) {
  Example example{.kind = kind};
  if (kind == Example::Kind::downlink_encode) {
    const auto* data = member(input, "data");
    if (data == nullptr) return fault("no input.data");
    example.input["data"] = *data;
    put_port(example.input, input, {"fPort", "fport", "port"});
    if (const auto* time = first_of(input, {"recvTime", "time"})) example.input["time"] = *time;
  } else {
    auto read = decode_input(input);
    if (!read) return fault("input: " + read.error().text);
    example.input = std::move(*read);
  }
  put_others(example.input, input);
  if (output == nullptr) return fault("no output");
  if (kind != Example::Kind::downlink_encode) {
    example.output = decoded(*output, enveloped);
    return example;
  }
  auto result = encoded(*output);
  if (!result) return result.error();
  example.output = std::move(*result);
  return example;
}

void put_lists(object& output, const object& flat) {
  for (const char* list : {"errors", "warnings"}) {
    if (const auto* found = member(flat, list)) output[list] = list_of(*found);
  }
}

// The members that the flat form has names for, on each side of a call.
using Names = std::vector<std::string_view>;
const Names kDecodeInput = {"bytes", "fPort", "time", "thing", "context", "DevEUI"};
const Names kEncodeInput = {"data", "fPort", "time", "thing", "context", "DevEUI"};
const Names kPointsInput = {"message", "fPort", "time", "thing", "context", "DevEUI"};
const Names kDecodeOutput = {"data", "errors", "warnings"};
const Names kEncodeOutput = {"bytes", "fPort", "errors", "warnings"};

// Further members: those that it has no name for.
void put_extra(object& into, const object& flat, const char* key, const Names& known) {
  const auto* extra = json::find(flat, key);
  if (extra == nullptr || !extra->is_object()) return;
  for (const auto& [name, item] : extra->get_object()) {
    if (std::find(known.begin(), known.end(), std::string_view(name)) == known.end()) into[name] = item;
  }
}

// The flat form's decoding.
Result<Example> flat_decode(const object& flat, Example::Kind kind) {
  Example example{.kind = kind};
  auto input = decode_input(flat);
  if (!input) return input.error();
  example.input = std::move(*input);
  if (const auto* thing = json::find(flat, "thing")) {
    auto with = *thing;
    const auto* model = json::find(flat, "model");
    if (model != nullptr && with.is_object()) with.get_object()["model"] = *model;
    example.input["thing"] = std::move(with);
  }
  for (const char* key : {"context", "DevEUI"}) {
    if (const auto* found = json::find(flat, key)) example.input[key] = *found;
  }
  put_extra(example.input, flat, "input", kDecodeInput);
  object output;
  if (const auto* data = member(flat, "data")) output["data"] = *data;
  put_lists(output, flat);
  put_extra(output, flat, "output", kDecodeOutput);
  example.output = std::move(output);
  example.use_context = json::bool_or(flat, "useContext", false);
  if (kind == Example::Kind::uplink) put_points(example, flat, false);
  return example;
}

Result<Example> flat_encode(const object& flat) {
  Example example{.kind = Example::Kind::downlink_encode};
  const auto* data = member(flat, "data");
  if (data == nullptr) return fault("no data");
  example.input["data"] = *data;
  put_port(example.input, flat, {"fPort", "fport"});
  object output;
  if (const auto* found = json::find(flat, "bytes")) {
    auto bytes = bytes_of(*found);
    if (!bytes) return fault("bytes is neither an array of 0 to 255 nor hex text");
    output["bytes"] = *bytes;
  }
  put_port(output, flat, {"fPort", "fport"});
  if (const auto* request = member(flat, "requestFPort")) {
    if (const auto port = port_of(*request))
      example.input["fPort"] = *port;
    else
      example.input.stable_erase("fPort");
  }
  if (const auto* answer = member(flat, "answerFPort"); answer != nullptr && answer->is_null())
    output.stable_erase("fPort");
  // Of an entry that stands for both ways the time belongs to decoding (spec drivers.md 12.2).
  if (json::find(flat, "operation") != nullptr) {
    for (const char* key : {"time", "thing"}) {
      if (const auto* found = json::find(flat, key)) example.input[key] = *found;
    }
  }
  for (const char* key : {"context", "DevEUI"}) {
    if (const auto* found = json::find(flat, key)) example.input[key] = *found;
  }
  put_extra(example.input, flat, "input", kEncodeInput);
  put_lists(output, flat);
  put_extra(output, flat, "output", kEncodeOutput);
  example.output = std::move(output);
  example.use_context = json::bool_or(flat, "useContext", false);
  return example;
}

Result<Example> flat_points(const object& flat) {
  Example example{.kind = Example::Kind::points};
  const auto* data = member(flat, "data");
  if (data == nullptr) return fault("no data");
  example.input["message"] = *data;
  for (const char* key : {"time", "thing", "context", "DevEUI"}) {
    if (const auto* found = json::find(flat, key)) example.input[key] = *found;
  }
  put_extra(example.input, flat, "input", kPointsInput);
  put_points(example, flat, false);
  return example;
}

// What one entry of the flat form stands for: one example, or a downlink's two ways.
std::vector<Result<Example>> flat_entry(const object& flat) {
  const auto type = json::text_or(flat, "type", "uplink");
  if (type != "uplink" && type != "downlink") return {fault("type is neither uplink nor downlink: " + type)};
  const auto operation = json::text_or(flat, "operation");
  if (operation.empty() && type == "downlink") {
    std::vector<Result<Example>> ways{flat_encode(flat)};
    // Errors tell what becomes of encoding alone.
    const bool with_lists = json::find(flat, "errors") != nullptr || json::find(flat, "warnings") != nullptr;
    if (!with_lists && json::find(flat, "bytes") != nullptr)
      ways.push_back(flat_decode(flat, Example::Kind::downlink_decode));
    for (auto& way : ways) {
      if (way) way->if_offered = true;
    }
    return ways;
  }
  Result<Example> example = fault("operation is none of decode, encode and points: " + operation);
  if (operation.empty() || operation == "decode") {
    example = flat_decode(flat, type == "uplink" ? Example::Kind::uplink : Example::Kind::downlink_decode);
  } else if (operation == "encode" && type == "downlink") {
    example = flat_encode(flat);
  } else if (operation == "points" && type == "uplink") {
    example = flat_points(flat);
  }
  if (!example) return {std::move(example)};
  example->if_offered = json::bool_or(flat, "ifOffered", false);
  if (auto error = json::text_or(flat, "error"); !error.empty()) {
    example->error = std::move(error);
    example->output.reset();
  }
  return {std::move(example)};
}

void put_absent(object& into, const object& from, const Names& known, const char* key) {
  object others;
  for (const auto& [name, item] : from) {
    if (std::find(known.begin(), known.end(), std::string_view(name)) == known.end()) others[name] = item;
  }
  if (!others.empty()) into[key] = std::move(others);
}

void put_if(object& into, const object& from, const char* key) {
  if (const auto* found = member(from, key)) into[key] = *found;
}

void put_encode(object& flat, const object& input, const object& output) {
  put_if(flat, output, "bytes");
  const auto* asked = json::find(input, "fPort");
  const auto* given = json::find(output, "fPort");
  if (given != nullptr || asked != nullptr) flat["fPort"] = given != nullptr ? *given : *asked;
  if (given == nullptr && asked != nullptr) flat["answerFPort"] = nullptr;
  if (given != nullptr && asked == nullptr) flat["requestFPort"] = nullptr;
  if (given != nullptr && asked != nullptr && *given != *asked) flat["requestFPort"] = *asked;
  put_if(flat, input, "data");
}

// Where an entry is read into: its examples get their name and file here.
class Sink {
 public:
  Sink(ExamplesRead& read, const std::string& file) : read_(read), file_(file) {}

  void next(const value& entry) {
    ++number_;
    description_.clear();
    if (const auto* o = entry.if_object()) {
      for (const char* key : {"description", "name"}) {
        if (description_.empty()) description_ = json::text_or(*o, key);
      }
    }
    if (description_.empty()) description_ = "example " + std::to_string(number_);
  }

  void add(Result<Example> example) {
    if (!example) return refuse(example.error().text);
    example->description = description_;
    example->file = file_;
    read_.examples.push_back(std::move(*example));
  }

  void refuse(const std::string& why) {
    if (read_.faults.size() < kFaultLimit) read_.faults.push_back(file_ + " [" + std::to_string(number_) + "]: " + why);
  }

 private:
  ExamplesRead& read_;
  const std::string& file_;
  std::string description_;
  std::size_t number_ = 0;
};

void read_flat(Sink& sink, const object& flat) {
  for (auto& example : flat_entry(flat))
    sink.add(std::move(example));
}

void read_current(Sink& sink, const object& entry, std::optional<Signature> signature, bool samples) {
  const auto* input = json::find(entry, "input");
  if (input == nullptr || !input->is_object()) {
    if (entry.contains("bytes") || entry.contains("data")) return read_flat(sink, entry);
    return sink.refuse("no input");
  }
  const auto kind = kind_of(entry, input->get_object());
  if (!kind) return sink.refuse("unknown type " + json::text_or(entry, "type"));
  const bool enveloped = signature.value_or(Signature::lora_alliance) == Signature::lora_alliance;
  auto example = nested(input->get_object(), json::find(entry, "output"), *kind, enveloped);
  if (!example) return sink.refuse(example.error().text);
  example->use_context = json::bool_or(entry, "useContext", false);
  example->for_tests = samples;
  if (*kind == Example::Kind::uplink) {
    const auto* points = member(entry, "points");
    const bool unknown = samples && points != nullptr && points->is_null();
    if (!unknown) put_points(*example, entry, true);
  }
  sink.add(std::move(*example));
}

void read_error(Sink& sink, const object& flat) {
  const auto error = json::text_or(flat, "error");
  if (error.empty()) return sink.refuse("no error");
  const bool uplink = json::text_or(flat, "type", "uplink") == "uplink";
  Result<Example> example = fault("neither bytes nor data");
  if (json::find(flat, "bytes") != nullptr) {
    example = flat_decode(flat, uplink ? Example::Kind::uplink : Example::Kind::downlink_decode);
  } else if (const auto* data = member(flat, "data"); data != nullptr && !uplink) {
    example = flat_encode(flat);
  } else if (data != nullptr) {
    Example points{.kind = Example::Kind::points};
    points.input["message"] = *data;
    for (const char* key : {"time", "thing"}) {
      if (const auto* found = json::find(flat, key)) points.input[key] = *found;
    }
    example = std::move(points);
  }
  if (example) {
    example->output.reset();
    example->points.reset();
    example->error = error;
    example->for_tests = true;
  }
  sink.add(std::move(example));
}

void read_chirpstack(Sink& sink, const object& entry, Example::Kind kind) {
  const auto* input = json::find(entry, "input");
  const auto* expected = json::find(entry, "expected");
  if (input == nullptr || !input->is_object() || expected == nullptr) return sink.refuse("no input or no expected");
  sink.add(nested(input->get_object(), expected, kind, true));
}

// The hex of a comment: all of "017564 0367F100", or what stands in "Reboot (FF10FF)", "Sample(Hex): 03673401". Blanks
// are of any kind. Nothing where there is none.
struct Heading {
  std::string hex, name;
};
std::optional<Heading> heading_of(std::string_view comment) {
  const auto strip = [](std::string_view text) {
    std::string digits;
    for (unsigned char c : text) {
      if (std::isalnum(c) != 0)
        digits += static_cast<char>(c);
      else if (c != ' ' && c != '\t' && c != '\r' && c < 0x80)
        return std::string();
    }
    return from_hex(digits) ? to_lower(digits) : std::string();
  };
  if (auto all = strip(comment); !all.empty()) return Heading{all, all};
  const auto open = comment.rfind('('), close = comment.rfind(')');
  if (open != std::string_view::npos && close != std::string_view::npos && open < close) {
    if (auto inner = strip(comment.substr(open + 1, close - open - 1)); !inner.empty()) {
      return Heading{inner, std::string(trim(comment.substr(0, open)))};
    }
  }
  const auto colon = comment.rfind(':');
  if (colon == std::string_view::npos) return {};
  auto after = strip(comment.substr(colon + 1));
  return after.empty() ? std::nullopt : std::optional(Heading{after, after});
}

void read_block(ExamplesRead& read, std::string_view block, const std::string& file) {
  std::optional<Heading> heading;
  std::size_t at = 0;
  while (at < block.size()) {
    if (std::isspace(static_cast<unsigned char>(block[at])) != 0) {
      ++at;
    } else if (block.substr(at, 2) == "//") {
      const auto end = std::min(block.find('\n', at), block.size());
      // A comment that has no bytes is a remark on the example that stands above it.
      if (auto found = heading_of(block.substr(at + 2, end - at - 2))) heading = std::move(found);
      at = end;
    } else {
      if (!heading) return;  // no example: a structure explained, a file shown
      auto data = parse_lenient_value(block, at);
      if (!data) {
        read.faults.push_back(file + " " + heading->hex.substr(0, 40) + ": " + data.error().text);
        return;
      }
      // The collection that writes its examples so uses port 85 unless a device is told otherwise.
      Example example{.kind = Example::Kind::uplink, .description = heading->name, .file = file};
      example.input = {{"bytes", heading->hex}, {"fPort", 85}};
      example.output = object{{"data", std::move(*data)}};
      read.examples.push_back(std::move(example));
      heading.reset();
      if (at < block.size() && block[at] == ',') ++at;
    }
    if (read.examples.size() >= kEntryLimit || read.faults.size() >= kFaultLimit) return;
  }
}

ExamplesRead read_readme(std::string_view text, const std::string& file) {
  ExamplesRead read;
  while (true) {
    const auto open = text.find("```");
    if (open == std::string_view::npos) return read;
    const auto line = text.find('\n', open);
    if (line == std::string_view::npos) return read;
    const auto language = to_lower(trim(text.substr(open + 3, line - open - 3)));
    const auto close = text.find("```", line);
    if (language.starts_with("json")) {
      read_block(read, text.substr(line, close == std::string_view::npos ? close : close - line), file);
    }
    if (close == std::string_view::npos) return read;
    text.remove_prefix(close + 3);
  }
}

// Descriptions are unique in a driver (spec drivers.md 12): the second "x" becomes "x (2)".
void make_unique(std::vector<Example>& examples) {
  std::set<std::pair<std::string, bool>> seen;
  std::map<std::pair<std::string, bool>, int> last;
  for (auto& example : examples) {
    const bool encodes = example.kind == Example::Kind::downlink_encode;
    auto name = example.description;
    auto& number = last[{name, encodes}];
    while (!seen.emplace(name, encodes).second)
      name = example.description + " (" + std::to_string(++number + 1) + ")";
    example.description = std::move(name);
  }
}

}  // namespace

ExamplesRead read_examples(std::string_view text, const std::string& file, ExampleForm form,
                           std::optional<Signature> signature) {
  ExamplesRead read;
  if (text.size() > kFileLimit) {
    read.faults.push_back(file + ": over 4 MiB");
    return read;
  }
  if (form == ExampleForm::readme) {
    if (!message::scan::valid_utf8(text)) {
      read.faults.push_back(file + ": not UTF-8");
      return read;
    }
    read = read_readme(text, file);
    make_unique(read.examples);
    return read;
  }
  auto parsed = parse_lenient(text);
  if (!parsed) {
    read.faults.push_back(file + ": " + parsed.error().text);
    return read;
  }
  // One example alone is met, without the list around it.
  const array list = parsed->is_array() ? std::move(parsed->get_array()) : array{std::move(*parsed)};
  Sink sink(read, file);
  for (const auto& entry : list) {
    sink.next(entry);
    if (read.examples.size() >= kEntryLimit) {
      sink.refuse("more than 10,000 examples");
      break;
    }
    if (!entry.is_object()) {
      sink.refuse("no object");
      continue;
    }
    const auto& o = entry.get_object();
    switch (form) {
      case ExampleForm::current:
      case ExampleForm::samples:
        read_current(sink, o, signature, form == ExampleForm::samples);
        break;
      case ExampleForm::legacy:
        read_current(sink, o, signature, false);
        break;
      case ExampleForm::errors:
        read_error(sink, o);
        break;
      case ExampleForm::chirpstack_decode:
        read_chirpstack(sink, o, Example::Kind::uplink);
        break;
      case ExampleForm::chirpstack_encode:
        read_chirpstack(sink, o, Example::Kind::downlink_encode);
        break;
      case ExampleForm::readme:
        break;
    }
  }
  return read;
}

ExamplesRead read_ttn_examples(const value& list, const std::string& file, Example::Kind kind) {
  ExamplesRead read;
  if (!list.is_array()) return read;
  Sink sink(read, file);
  for (const auto& entry : list.get_array()) {
    sink.next(entry);
    if (read.examples.size() >= kEntryLimit) break;
    const auto* o = entry.if_object();
    const auto* input = o != nullptr ? json::find(*o, "input") : nullptr;
    if (input == nullptr || !input->is_object()) {
      sink.refuse("no input");
      continue;
    }
    sink.add(nested(input->get_object(), json::find(*o, "output"), kind, true));
  }
  return read;
}

object to_api(const Example& example) {
  object flat;
  static const object kNone;
  const auto& input = example.input;
  const auto& output = example.output && example.output->is_object() ? example.output->get_object() : kNone;
  const bool up = example.kind == Example::Kind::uplink || example.kind == Example::Kind::points;
  flat["description"] = example.description;
  flat["type"] = up ? "uplink" : "downlink";
  switch (example.kind) {
    case Example::Kind::uplink:
    case Example::Kind::downlink_decode:
      if (!up) flat["operation"] = "decode";
      put_if(flat, input, "bytes");
      put_if(flat, input, "fPort");
      put_if(flat, output, "data");
      break;
    case Example::Kind::downlink_encode:
      flat["operation"] = "encode";
      put_encode(flat, input, output);
      break;
    case Example::Kind::points:
      flat["operation"] = "points";
      put_if(flat, input, "message");
      if (flat.contains("message")) {
        flat["data"] = flat["message"];
        flat.stable_erase("message");
      }
      break;
  }
  for (const char* key : {"time", "thing", "context", "DevEUI"})
    put_if(flat, input, key);
  for (const char* key : {"errors", "warnings"})
    put_if(flat, output, key);
  if (example.points) flat["points"] = *example.points;
  if (example.error) flat["error"] = *example.error;
  if (example.use_context) flat["useContext"] = true;
  if (example.if_offered) flat["ifOffered"] = true;
  const bool encodes = example.kind == Example::Kind::downlink_encode;
  const bool points = example.kind == Example::Kind::points;
  put_absent(flat, input, points ? kPointsInput : encodes ? kEncodeInput : kDecodeInput, "input");
  put_absent(flat, output, encodes ? kEncodeOutput : kDecodeOutput, "output");
  return flat;
}

Result<Example> from_api(const object& flat, bool can_encode) {
  auto ways = flat_entry(flat);
  auto& chosen = ways.size() > 1 && !can_encode ? ways[1] : ways[0];
  if (chosen) chosen->description = json::text_or(flat, "description");
  return std::move(chosen);
}

array examples_to_api(const std::vector<Example>& examples) {
  array list;
  for (std::size_t i = 0; i < examples.size(); ++i) {
    const auto& one = examples[i];
    auto flat = to_api(one);
    if (i + 1 < examples.size() && one.kind == Example::Kind::downlink_encode && one.if_offered &&
        examples[i + 1].description == one.description) {
      auto both = to_api(examples[i + 1]);
      both.stable_erase("operation");
      both.stable_erase("ifOffered");
      const auto ways = flat_entry(both);
      auto same = [&](std::size_t way) {
        if (!ways[way]) return false;
        auto read = *ways[way];
        read.description = one.description;
        read.file = examples[i + way].file;
        return read == examples[i + way];
      };
      if (ways.size() == 2 && same(0) && same(1)) {
        flat = std::move(both);
        ++i;
      }
    }
    list.push_back(std::move(flat));
  }
  return list;
}

ExamplesRead examples_from_api(const array& list) {
  ExamplesRead read;
  const std::string file = "examples";
  Sink sink(read, file);
  for (const auto& entry : list) {
    sink.next(entry);
    if (entry.is_object())
      read_flat(sink, entry.get_object());
    else
      sink.refuse("no object");
  }
  return read;
}

}  // namespace sluice::driver
