// SPDX-License-Identifier: Apache-2.0
#include "app/codec_word.h"

#include <CLI/CLI.hpp>
#include <boost/json/array.hpp>
#include <boost/json/object.hpp>
#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <iostream>
#include <iterator>
#include <memory>

#include "app/driver_report.h"
#include "app/local_engine.h"
#include "app/rest_client.h"
#include "app/terminal.h"
#include "base/codec.h"
#include "base/json.h"
#include "driver/date_text.h"
#include "driver/package.h"
#include "driver/trial.h"

namespace sluice::app {
namespace {

using boost::json::object;
using boost::json::value;
using driver::Operation;
using Ink = Terminal::Ink;

struct Given {
  std::string driver, driver_id, signature, payload, time, dev_eui;
  std::vector<std::string> setup;
  int fport = -1;
  bool encode = false, downlink = false;
  ServerPlace server;
  std::string secret_file, secret_environment;
};

// What there is to say about the call goes to standard error, the result alone to standard output.
class Voice {
 public:
  void line(Ink ink, std::string_view label, const std::string& text) const {
    std::fprintf(stderr, "%s %s\n", terminal_.paint(ink, label).c_str(), printable(text).c_str());
  }
  [[nodiscard]] int fail(const std::string& text) const {
    line(Ink::red, "error:", text);
    return 1;
  }
  void raw(const std::string& text) const { std::fputs(text.c_str(), stderr); }
  [[nodiscard]] const Terminal& terminal() const { return terminal_; }

 private:
  Terminal terminal_{stderr};
};

void print(const value& result) {
  std::printf("%s\n", json::write_pretty(result).c_str());
}

std::string from_standard_input() {
  return {std::istreambuf_iterator<char>(std::cin), {}};
}

// Hex digits, with what people put between them left out.
std::optional<std::string> hex_of(std::string_view text) {
  std::string digits;
  if (text.starts_with("0x") || text.starts_with("0X")) text.remove_prefix(2);
  for (const char c : text) {
    if (c != ' ' && c != '\t' && c != '\n' && c != '\r' && c != ':' && c != '-') digits += c;
  }
  const auto raw = from_hex(digits);
  return raw ? std::optional(to_hex(*raw)) : std::nullopt;
}

// The call as an example without an expectation, so that it reaches the driver as an example does.
Result<driver::Example> example_of(const Given& given) {
  const auto wrong = [](const std::string& text) { return Error{ErrorKind::permanent, text}; };
  driver::Example example;
  example.kind = given.encode     ? driver::Example::Kind::downlink_encode
                 : given.downlink ? driver::Example::Kind::downlink_decode
                                  : driver::Example::Kind::uplink;
  const auto text = given.payload == "-" ? from_standard_input() : given.payload;
  if (given.encode) {
    auto data = json::parse(text);
    if (!data) return wrong("the object to encode is not JSON: " + data.error().text);
    example.input["data"] = std::move(*data);
  } else {
    auto hex = hex_of(text);
    if (!hex) return wrong("the payload must be an even number of hex digits");
    example.input["bytes"] = *hex;
  }
  if (given.fport >= 0) example.input["fPort"] = given.fport;
  if (!given.time.empty()) {
    if (!driver::read_date(given.time)) return wrong("--time cannot be read: as 2024-11-21T10:00:00Z");
    example.input["time"] = given.time;
  }
  if (!given.dev_eui.empty()) example.input["DevEUI"] = given.dev_eui;
  object setup;
  for (const auto& one : given.setup) {
    const auto equals = one.find('=');
    if (equals == std::string::npos || equals == 0) return wrong("--setup takes key=value, not " + one);
    setup[one.substr(0, equals)] = one.substr(equals + 1);
  }
  if (!setup.empty()) example.input["thing"] = object{{"setup", std::move(setup)}};
  return example;
}

int run_local(const Given& given, const driver::Example& example, const Voice& voice) {
  auto package = driver::read_package(given.driver);
  if (!package) return voice.fail(package.error().text);
  if (!given.signature.empty()) {
    package->signature =
        given.signature == "actility" ? driver::Signature::actility : driver::signature_of_type(given.signature);
  }
  auto engine = LocalEngine::start(1);
  if (!engine) return voice.fail(engine.error().text);
  auto code = driver::code_of(*package);
  code.limits = server_limits();
  const auto offers = (**engine)->inspect({.source = package->code,
                                           .declared = package->signature,
                                           .extract_points_source = package->extract_points,
                                           .use_context = package->use_context,
                                           .trusted = package->trusted_crc_matches});
  // Code that cannot be evaluated fails in the call again, which tells where.
  if (offers) code.signature = package->signature.value_or(offers->signature);
  if (!offers && offers.error().code == "com-4000") return voice.fail(offers.error().text);
  auto call = driver::call_of(code, example);
  if (!call) return voice.fail(call.error().text);
  const bool no_port = given.encode && given.fport < 0;
  if (no_port) call->input.fport.reset();
  std::vector<driver::Call> calls;
  calls.push_back(std::move(*call));
  auto outcomes = driver::calls_of(***engine)(std::move(calls));
  const auto& outcome = outcomes.front();
  for (const auto& line : outcome.log) {
    if (outcome.ok || !outcome.where || !line.starts_with("error: ")) voice.line(Ink::dim, "console:", line);
  }
  for (const auto& warning : outcome.warnings)
    voice.line(Ink::yellow, "warning:", warning);
  if (!outcome.ok) {
    voice.line(Ink::red, "error:", outcome.message);
    if (outcome.where) voice.raw(place_text(voice.terminal(), *package, *outcome.where, 2));
    return 1;
  }
  if (given.encode) {
    object result{{"bytes", outcome.payload_hex}};
    if (outcome.fport) result["fPort"] = *outcome.fport;
    print(result);
    return 0;
  }
  object result;
  constexpr std::size_t kLevels = driver::kMaxDepth + 8;
  if (auto data = json::parse(outcome.data, kLevels)) result["data"] = std::move(*data);
  if (auto points = json::parse(outcome.points, kLevels); !outcome.points.empty() && points)
    result["points"] = std::move(*points);
  print(result);
  return 0;
}

object request_of(const Given& given, const driver::Example& example) {
  object meta{{"driverId", given.driver_id}};
  if (given.fport >= 0) meta["lorawan"] = object{{"fPort", given.fport}};
  object body{{"direction", given.encode || given.downlink ? "downlink" : "uplink"}, {"meta", std::move(meta)}};
  if (given.encode)
    body["message"] = example.input.at("data");
  else
    body["raw"] = object{{"binary", example.input.at("bytes")}};
  if (const auto time = driver::read_date(given.time)) body["sourceTime"] = format_time(*time);
  if (!given.dev_eui.empty()) body["DevEUI"] = given.dev_eui;
  if (const auto* thing = json::find(example.input, "thing")) body["thing"] = *thing;
  return body;
}

void say_list(const object& from, const char* name, Ink ink, const char* label, const Voice& voice) {
  const auto* list = json::find(from, name);
  if (list == nullptr || !list->is_array()) return;
  for (const auto& item : list->get_array())
    voice.line(ink, label, item.is_string() ? std::string(item.get_string()) : json::write(item));
}

// Never on the command line itself, which everybody on the machine can read; empty: the data directory's.
Result<std::string> secret_of(const Given& given) {
  std::string secret;
  if (!given.secret_environment.empty()) {
    const char* value = std::getenv(given.secret_environment.c_str());
    secret = value == nullptr ? "" : value;
  } else if (!given.secret_file.empty()) {
    std::ifstream file(given.secret_file);
    std::getline(file, secret);
  } else {
    return secret;
  }
  secret = std::string(trim(secret));
  if (!secret.empty()) return secret;
  return Error{ErrorKind::bad_config, "no secret in " + given.secret_environment + given.secret_file};
}

int run_remote(const Given& given, const driver::Example& example, const Voice& voice) {
  auto secret = secret_of(given);
  if (!secret) return voice.fail(secret.error().text);
  auto place = given.server;
  place.secret = *secret;
  auto client = RestClient::open(place);
  if (!client) return voice.fail(client.error().text);
  auto answer = (*client)->call("POST", given.encode ? "/encode" : "/decode", request_of(given, example));
  if (!answer) return voice.fail(answer.error().text);
  if (!answer->body.is_object()) return voice.fail("the server answers status " + std::to_string(answer->status));
  const auto& body = answer->body.get_object();
  const auto part = [](const object& o, const char* name) {
    const auto* found = json::find(o, name);
    return found != nullptr && found->is_object() ? found->get_object() : object();
  };
  if (answer->status >= 300) {
    say_list(part(body, "data"), "warnings", Ink::yellow, "warning:", voice);
    return voice.fail(json::text_or(body, "message", "status " + std::to_string(answer->status)));
  }
  say_list(body, "warnings", Ink::yellow, "warning:", voice);
  object result;
  if (given.encode) {
    result["bytes"] = json::text_or(part(body, "raw"), "binary");
    const auto lorawan = part(part(body, "meta"), "lorawan");
    if (const auto* port = json::find(lorawan, "fPort")) result["fPort"] = *port;
  } else {
    if (const auto* data = body.if_contains("message")) result["data"] = *data;
    const auto thing = part(body, "thing");
    if (const auto* points = json::find(thing, "points")) result["points"] = *points;
  }
  print(result);
  return 0;
}

int run_codec(const Given& given) {
  const Voice voice;
  if (given.driver.empty() == given.driver_id.empty()) {
    voice.line(Ink::red, "error:", "give either --driver PATH or --driver-id ID");
    return 2;
  }
  auto example = example_of(given);
  if (!example) return voice.fail(example.error().text);
  return given.driver.empty() ? run_remote(given, *example, voice) : run_local(given, *example, voice);
}

void add_word(CLI::App& codec, std::function<int()>& run, bool encode) {
  auto given = std::make_shared<Given>();
  given->encode = encode;
  auto* word = encode ? codec.add_subcommand("encode", "A JSON object to the bytes of a downlink")
                      : codec.add_subcommand("decode", "The bytes of a message to JSON");
  word->add_option(encode ? "JSON" : "HEX", given->payload,
                   encode ? "the object to encode; - for standard input" : "the payload; - for standard input")
      ->required();
  word->add_option("--driver", given->driver, "the driver here: folder, .tgz or .js");
  word->add_option("--driver-id", given->driver_id, "a driver of the running server, as producer:name:1");
  word->add_option("--fport", given->fport, "FPort of the message")->check(CLI::Range(0, 255));
  word->add_option("--time", given->time, "when the message was received; default: now");
  word->add_option("--dev-eui", given->dev_eui, "DevEUI of the device");
  word->add_option("--setup", given->setup, "a setting of the device, key=value; may be repeated");
  word->add_option("--signature", given->signature, "of a bare script; default: found by looking")
      ->check(CLI::IsMember({"lora-alliance", "actility", "ttn", "chirpstack"}));
  if (!encode) word->add_flag("--downlink", given->downlink, "the payload is a downlink's");
  word->add_option("--data", given->server.data, "the running server's data directory")->capture_default_str();
  word->add_option("--url", given->server.url, "the running server; default: the one on the data directory");
  word->add_option("--client-id", given->server.client_id, "who signs in there")->capture_default_str();
  auto* file = word->add_option("--client-secret-file", given->secret_file, "its secret, in a file");
  word->add_option("--client-secret-env", given->secret_environment, "its secret, in this environment variable")
      ->excludes(file);
  word->callback([given, &run] { run = [given] { return run_codec(*given); }; });
}

}  // namespace

void add_codec(CLI::App& app, std::function<int()>& run) {
  auto* word = app.add_subcommand("codec", "Decode or encode one payload by a driver");
  word->require_subcommand(1);
  add_word(*word, run, false);
  add_word(*word, run, true);
}

}  // namespace sluice::app
