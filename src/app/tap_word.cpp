// SPDX-License-Identifier: Apache-2.0
#include "app/tap_word.h"

#include <CLI/CLI.hpp>
#include <algorithm>
#include <boost/json/object.hpp>
#include <chrono>
#include <cstdio>
#include <map>
#include <thread>

#include "app/event_stream.h"
#include "app/server_flags.h"
#include "app/terminal.h"
#include "base/codec.h"
#include "base/json.h"
#include "base/log.h"

namespace sluice::app {
namespace {

using boost::json::object;
using Ink = Terminal::Ink;

constexpr std::chrono::seconds kFirstWait{1}, kLongestWait{30};

struct Flags {
  ServerFlags server;
  std::string device, flow, connection;
  std::vector<std::string> stages;
  unsigned rate = 20;
  bool as_json = false, full = false;
};

std::string query_of(const Flags& flags) {
  std::string query = "?rate=" + std::to_string(flags.rate);
  auto add = [&](const char* name, const std::string& value) {
    if (!value.empty()) query += std::string("&") + name + "=" + url_encode(value);
  };
  add("deviceEui", flags.device);
  add("flowId", flags.flow);
  add("connectionId", flags.connection);
  std::string stages;
  for (const auto& stage : flags.stages)
    stages += (stages.empty() ? "" : ",") + stage;
  add("stages", stages);
  return query;
}

Ink ink_of(const std::string& stage, bool failed) {
  if (failed || stage == "refused" || stage == "dropped" || stage == "expired") return Ink::red;
  if (stage == "delivered") return Ink::green;
  if (stage == "unmatched" || stage == "retried" || stage == "filtered") return Ink::yellow;
  return stage == "raw" ? Ink::bold : Ink::cyan;
}

// Prints the messages, one a line.
class Printer {
 public:
  Printer(const Flags& flags, std::map<std::string, std::string> names) : flags_(flags), names_(std::move(names)) {}

  void event(const std::string& name, const std::string& data) const {
    if (flags_.as_json) {
      if (name == "message") std::printf("%s\n", data.c_str());
      if (name != "message") note(name, data);
    } else if (name == "message") {
      auto parsed = json::parse(data, 128);
      if (parsed && parsed->is_object()) std::printf("%s\n", line(parsed->get_object()).c_str());
    } else {
      note(name, data);
    }
    std::fflush(stdout);
  }
  void say(Ink ink, const std::string& text) const {
    std::fprintf(stderr, "%s\n", errors_.paint(ink, printable(text)).c_str());
  }

 private:
  void note(const std::string& name, const std::string& data) const {
    auto parsed = json::parse(data);
    auto o = parsed && parsed->is_object() ? parsed->get_object() : object();
    auto count = static_cast<std::uint64_t>(json::int_or(o, "count", 0));
    if (name == "skipped") say(Ink::yellow, "… " + counted(count, "line") + " left out: over --rate");
    if (name == "dropped") say(Ink::yellow, "… " + counted(count, "line") + " lost: read too slowly");
    if (name == "end") say(Ink::yellow, "… " + json::text_or(o, "reason"));
  }

  [[nodiscard]] std::string line(const object& o) const {
    auto stage = json::text_or(o, "stage"), text = json::text_or(o, "text");
    bool failed = stage == "decoded" && !text.empty();
    auto time = json::text_or(o, "time");
    auto clock = time.size() >= 23 ? time.substr(11, 12) : time;
    auto frame = json::find(o, "FCntUp") ? "#" + std::to_string(json::int_or(o, "FCntUp", 0)) : std::string("-");
    if (const auto* port = json::find(o, "FPort")) frame += " port " + json::write(*port);
    auto type = json::text_or(o, "type");
    if (type != "deviceUplink") frame = type + (frame == "-" ? "" : " " + frame);
    std::string who;
    if (auto id = json::text_or(o, "connectionId"); !id.empty()) {
      auto name = names_.find(id);
      who = name == names_.end() ? "connection " + id : name->second + " (" + id + ")";
    }
    if (auto flow = json::text_or(o, "flowId"); !flow.empty()) who = "flow " + flow + (who.empty() ? "" : " → " + who);
    if (auto driver = json::text_or(o, "driverId"); !driver.empty()) who += (who.empty() ? "" : ", ") + driver;
    std::string rest = text;
    if (const auto* document = json::find(o, "document")) {
      rest += (rest.empty() ? "" : "  ") +
              (document->is_string() ? std::string(document->get_string()) : json::write(*document));
    } else if (json::find(o, "documentBytes")) {
      rest += (rest.empty() ? "" : "  ") + std::string("(") +
              with_commas(static_cast<std::uint64_t>(json::int_or(o, "documentBytes", 0))) + " bytes)";
    }
    auto head = clock + "  " + padded(json::text_or(o, "DevEUI", "(no device)"), 16) + "  " +
                padded(printable(frame), 12) + " ";
    auto mark = padded(stage, 11);
    auto tail = printable(who) + (who.empty() || rest.empty() ? "" : "  ") + printable(rest);
    if (!flags_.full && output_.is_terminal()) {
      auto used = columns(head) + columns(mark) + 1;
      tail = shortened(tail, output_.width() > used + 20 ? output_.width() - used : 20);
    }
    auto out = output_.paint(Ink::dim, head) + output_.paint(ink_of(stage, failed), mark) + " " +
               (failed ? output_.paint(Ink::red, tail) : tail);
    return out;
  }

  const Flags& flags_;
  const std::map<std::string, std::string> names_;
  Terminal output_{stdout}, errors_{stderr};
};

std::map<std::string, std::string> connection_names(RestClient& client) {
  std::map<std::string, std::string> names;
  auto answer = client.call("GET", "/connections", nullptr);
  if (!answer || !answer->body.is_array()) return names;
  for (const auto& item : answer->body.get_array()) {
    if (item.is_object()) names[json::text_or(item.get_object(), "id")] = json::text_or(item.get_object(), "name");
  }
  return names;
}

int run_tap(const Flags& flags) {
  log::start();
  (void)log::set_level("warn");
  auto place = flags.server.complete();
  if (!place) {
    std::fprintf(stderr, "sluice: %s\n", printable(place.error().text).c_str());
    return 1;
  }
  auto wait = kFirstWait;
  for (bool first = true;; first = false) {
    auto client = RestClient::open(*place);
    Error ended{ErrorKind::permanent, ""};
    std::map<std::string, std::string> names;
    if (client) names = connection_names(**client);
    const Printer printer(flags, std::move(names));
    if (client) {
      auto began = std::chrono::steady_clock::now();
      ended = read_events((*client)->base() + "/tap" + query_of(flags), (*client)->token(),
                          [&](const std::string& name, const std::string& data) {
                            if (name == "open")
                              printer.say(Ink::dim, "watching " + (*client)->base() + ", Ctrl-C ends it");
                            else
                              printer.event(name, data);
                          })
                  .error();
      if (std::chrono::steady_clock::now() - began > kLongestWait) wait = kFirstWait;
    } else {
      ended = client.error();
    }
    // What would fail again the same way ends it, and so does a server that is not there to begin with.
    bool again = ended.kind == ErrorKind::not_connected || ended.kind == ErrorKind::transient;
    if (!again || (first && !client)) {
      printer.say(Ink::red, "sluice: " + ended.text);
      return 1;
    }
    printer.say(Ink::yellow, "… " + ended.text + "; trying again in " + std::to_string(wait.count()) + " s");
    std::this_thread::sleep_for(wait);
    wait = std::min(wait * 2, kLongestWait);
  }
}

}  // namespace

void add_tap(CLI::App& app, std::function<int()>& run) {
  auto flags = std::make_shared<Flags>();
  auto* word = app.add_subcommand("tap", "Watch messages live, at every stage of their way");
  word->add_option("--device", flags->device, "Only of this DevEUI");
  word->add_option("--flow", flags->flow, "Only what this flow takes (its id)");
  word->add_option("--connection", flags->connection, "Only what goes to this connection (its id)");
  word->add_option("--stage", flags->stages,
                   "Only these stages: raw, unmatched, routed, decoded, filtered, expired, transformed, delivered, "
                   "retried, refused, dropped")
      ->delimiter(',');
  word->add_option("--rate", flags->rate, "At most so many lines a second; what is left out is counted")
      ->check(CLI::Range(1, 200))
      ->capture_default_str();
  word->add_flag("--json", flags->as_json, "One JSON object a line, with the whole documents");
  word->add_flag("--full", flags->full, "Whole documents instead of what fits the terminal's line");
  flags->server.add_to(*word);
  word->footer(
      "raw is the report as it came, decoded what the driver made of it, transformed the bytes handed to the\n"
      "connection. Times are UTC. See also 'sluice trace DEVEUI', for what has gone by already.");
  word->callback([flags, &run] { run = [flags] { return run_tap(*flags); }; });
}

}  // namespace sluice::app
