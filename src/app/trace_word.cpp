// SPDX-License-Identifier: Apache-2.0
#include "app/trace_word.h"

#include <CLI/CLI.hpp>
#include <boost/json/array.hpp>
#include <boost/json/object.hpp>
#include <cstdio>
#include <optional>

#include "app/server_flags.h"
#include "app/terminal.h"
#include "base/clock.h"
#include "base/codec.h"
#include "base/json.h"
#include "base/log.h"

namespace sluice::app {
namespace {

using boost::json::array;
using boost::json::object;
using Ink = Terminal::Ink;

constexpr std::size_t kFlowsShown = 5;
constexpr std::size_t kTriesShown = 3;

struct Flags {
  ServerFlags server;
  std::string device;
  unsigned last = 5;
  bool as_json = false;
};

array list_in(const object& o, const char* name) {
  const auto* found = json::find(o, name);
  return found != nullptr && found->is_array() ? found->get_array() : array();
}

std::string day_and_clock(const std::string& time) {
  return time.size() < 19 ? time : time.substr(0, 10) + " " + time.substr(11, 8);
}

std::string clock_of(const std::string& time) {
  return time.size() < 23 ? time : time.substr(11, 12);
}

// "350 ms", "12 s", "3 min", "2 h", "4 days"
std::string span(UnixMillis ms) {
  if (ms < 0) ms = 0;
  if (ms < 1000) return std::to_string(ms) + " ms";
  if (ms < 120'000) return std::to_string(ms / 1000) + " s";
  if (ms < 7'200'000) return std::to_string(ms / 60'000) + " min";
  if (ms < 172'800'000) return std::to_string(ms / 3'600'000) + " h";
  return std::to_string(ms / 86'400'000) + " days";
}

std::optional<UnixMillis> time_in(const object& o, const char* name) {
  return parse_time(json::text_or(o, name));
}

// What the server is asked, and what it says.
class Server {
 public:
  explicit Server(std::unique_ptr<RestClient> client) : client_(std::move(client)) {}
  Result<array> list(const std::string& path) {
    auto answer = client_->call("GET", path, nullptr);
    if (!answer) return answer.error();
    if (answer->status == 200 && answer->body.is_array()) return answer->body.get_array();
    auto text = answer->body.is_object() ? json::text_or(answer->body.get_object(), "message") : std::string();
    return Error{ErrorKind::permanent,
                 text.empty() ? "the server answers HTTP status " + std::to_string(answer->status) : text};
  }
  [[nodiscard]] const std::string& base() const { return client_->base(); }

 private:
  std::unique_ptr<RestClient> client_;
};

// The report on standard output.
class Report {
 public:
  explicit Report(UnixMillis now) : now_(now) {}

  void line(const std::string& text = {}) const { std::printf("%s\n", text.c_str()); }
  void advice(const std::string& text) const { line(paint(Ink::dim, "      → " + printable(text))); }
  [[nodiscard]] std::string paint(Ink ink, const std::string& text) const { return terminal_.paint(ink, text); }

  void message(const object& m) const {
    auto received = json::text_or(m, "receivedTime");
    auto at = parse_time(received).value_or(now_);
    auto what = json::text_or(m, "type");
    if (what == "deviceUplink") what = "uplink";
    if (const auto* count = json::find(m, "FCntUp")) what += " #" + json::write(*count);
    if (const auto* port = json::find(m, "FPort")) what += ", port " + json::write(*port);
    line();
    line(paint(Ink::bold, printable(what)) + "  " + day_and_clock(received) + "Z, " + span(now_ - at) + " ago" +
         paint(Ink::dim, "  (message " + json::text_or(m, "id") + ")"));
    auto way = list_in(m, "way");
    bool unmatched = false;
    for (const auto& item : way) {
      if (!item.is_object()) continue;
      const auto& step = item.get_object();
      auto stage = json::text_or(step, "stage");
      if (stage == "unmatched") {
        unmatched = true;
        line("  " + paint(Ink::red, "✗ no flow took it") + ": " + printable(json::text_or(step, "text")));
      }
      if (stage == "decoded") decoded(step);
    }
    auto outcomes = list_in(m, "outcomes");
    for (const auto& item : outcomes) {
      if (item.is_object()) outcome(item.get_object(), at, way);
    }
    auto note = json::text_or(m, "note");
    if (!note.empty()) line("  " + paint(Ink::yellow, "· " + note));
    if (outcomes.empty() && !unmatched && note.empty()) line("  " + paint(Ink::yellow, "· on its way to the flows"));
  }

 private:
  void decoded(const object& step) const {
    auto driver = json::text_or(step, "driverId"), text = json::text_or(step, "text");
    if (text.empty()) {
      line("  " + paint(Ink::green, "✓") + " decoded by " + printable(driver));
      return;
    }
    line("  " + paint(Ink::red, "✗ driver " + printable(driver) + " failed") + ": " + printable(text));
    advice("it goes out undecoded, with payloadDecodedError; GET /drivers/" + driver +
           "/log shows what the driver wrote, 'sluice codec decode' runs it by hand");
  }

  void outcome(const object& o, UnixMillis arrived, const array& way) const {
    auto id = json::text_or(o, "connectionId"), name = json::text_or(o, "connectionName");
    auto what = json::text_or(o, "outcome"), cause = json::text_or(o, "cause"), flow = json::text_or(o, "flowId");
    auto since = time_in(o, "time").value_or(arrived);
    auto attempts = json::int_or(o, "attempts", 0);
    auto where = printable(name.empty() ? "connection " + id : name + " (connection " + id + ")") +
                 (flow.empty() ? "" : ", by flow " + flow);
    auto tries = attempts > 1 ? ", at try " + std::to_string(attempts) : std::string();
    auto reason = cause.empty() ? std::string() : ": " + printable(cause);
    auto at = clock_of(json::text_or(o, "time"));
    if (what == "delivered") {
      line("  " + paint(Ink::green, "✓ delivered") + " to " + where + " at " + at + ", " + span(since - arrived) +
           " after it came" + tries);
    } else if (what == "pending" || what == "decoding") {
      line("  " + paint(Ink::yellow, what == "pending" ? "… waiting" : "… being decoded") + " for " + where + ", for " +
           span(now_ - since) + (attempts > 0 ? ", tried " + counted(attempts_of(attempts), "time") : "") +
           (cause.empty() ? "" : ", last: " + printable(cause)));
      pending_advice(o, id);
    } else {
      line("  " + paint(what == "filtered" ? Ink::yellow : Ink::red, (what == "filtered" ? "– " : "✗ ") + what) +
           (what == "filtered" ? " on the way to " : " for ") + where + " at " + at + tries + reason);
      final_advice(what, id);
    }
    attempts_before(way, id, what);
  }

  static std::uint64_t attempts_of(std::int64_t attempts) { return static_cast<std::uint64_t>(attempts); }

  // Tries that failed before it ended as it did.
  void attempts_before(const array& way, const std::string& id, const std::string& what) const {
    std::vector<std::string> failed;
    for (const auto& item : way) {
      if (!item.is_object()) continue;
      const auto& step = item.get_object();
      if (json::text_or(step, "stage") != "retried" || json::text_or(step, "connectionId") != id) continue;
      failed.push_back(clock_of(json::text_or(step, "time")) + " " + json::text_or(step, "text"));
    }
    if (failed.empty() || (what == "pending" && failed.size() == 1)) return;
    auto from = failed.size() > kTriesShown ? failed.size() - kTriesShown : 0;
    if (from > 0)
      line(paint(Ink::dim,
                 "      " + std::to_string(from) + (from == 1 ? " earlier try failed" : " earlier tries failed")));
    for (auto i = from; i < failed.size(); ++i)
      line(paint(Ink::dim, "      failed " + printable(failed[i])));
  }

  void pending_advice(const object& o, const std::string& id) const {
    auto state = json::text_or(o, "connectionState"), reason = json::text_or(o, "connectionReason");
    auto pending = static_cast<std::uint64_t>(json::int_or(o, "pendingMessages", 0));
    auto behind = pending > 1 ? ", " + counted(pending, "message") + " in all wait there" : std::string();
    if (state.empty()) return;
    if (json::bool_or(o, "paused", false))
      return advice("its delivery is paused" + behind + ": POST /connections/" + id + "/resume");
    if (state == "OPENED") return advice("the connection is OPENED" + behind + ": it is on its way");
    std::string todo = state == "DEACTIVATED" ? "activate it: PATCH /connections/" + id + " {\"active\": true}"
                       : state == "AUTHENTICATION_FAILED" ? "check its credentials and rights at the peer"
                       : state == "UNREACHABLE"           ? "check that host and port are right and reachable from here"
                                                          : "wait, or restart it";
    auto next = time_in(o, "nextRetry");
    advice("the connection is " + state + (reason.empty() ? "" : " (" + reason + ")") + behind + "; " + todo +
           (next ? "; next try in " + span(*next - now_) : "") + ". Nothing is lost meanwhile");
  }

  void final_advice(const std::string& what, const std::string& id) const {
    if (what == "refused")
      advice("the peer will not take this message. Once the cause is gone it can be sent again: GET /connections/" +
             id + "/deadLetters");
    if (what == "filtered") advice("see operations, format and sending rules of connection " + id);
    if (what == "expired") advice("see uplinkTimeValidity of connection " + id + " and of the flow");
    if (what == "dropped" || what == "gone") advice("see the events of connection " + id + ", code connection-1305");
  }

  const UnixMillis now_;
  Terminal terminal_{stdout};
};

void show_flows(const Report& report, const array& flows) {
  std::size_t shown = 0;
  // First those that take it, then those that do not.
  for (bool wanted : {true, false}) {
    for (const auto& item : flows) {
      if (!item.is_object()) continue;
      const auto& flow = item.get_object();
      if (json::bool_or(flow, "matches", false) != wanted) continue;
      if (++shown > kFlowsShown && !wanted) continue;
      report.line("  " +
                  (wanted ? report.paint(Ink::green, "✓ takes it   ") : report.paint(Ink::red, "✗ does not   ")) +
                  "flow " + json::text_or(flow, "flowId") + " " +
                  printable("'" + json::text_or(flow, "name") + "': " + json::text_or(flow, "reason")));
      if (!wanted) continue;
      const auto* driver = json::find(flow, "driver");
      if (driver != nullptr && driver->is_object()) {
        auto id = json::text_or(driver->get_object(), "id");
        report.line("      driver " +
                    printable((id.empty() ? "none" : id) + ": " + json::text_or(driver->get_object(), "reason")));
      }
      auto connections = list_in(flow, "connections");
      for (const auto& one : connections) {
        const auto& connection = one.as_object();
        auto state = json::text_or(connection, "state"), reason = json::text_or(connection, "reason");
        report.line("      to " +
                    printable(json::text_or(connection, "name", "connection") + " (" +
                              json::text_or(connection, "connectionId") + ")") +
                    (state.empty() ? "" : ", " + report.paint(state == "OPENED" ? Ink::green : Ink::yellow, state)) +
                    (reason.empty() ? "" : ": " + printable(reason)));
      }
      if (connections.empty()) report.line("      " + report.paint(Ink::red, "to no connection: add one to the flow"));
    }
  }
  if (shown > kFlowsShown)
    report.line(report.paint(
        Ink::dim, "  … " + counted(flows.size() - kFlowsShown, "further flow") + ": GET /devices/{devEUI}/explain"));
  if (flows.empty()) report.line("  " + report.paint(Ink::red, "there is no flow: make one, or nothing is delivered"));
}

// Nothing is kept of the device: what could keep its uplinks away.
Result<void> show_nothing(Server& server, const Report& report, const std::string& device) {
  report.line();
  report.line(report.paint(Ink::yellow, "No message of this device is kept.") + " What to check:");
  report.line();
  report.line(report.paint(Ink::bold, "Network server"));
  auto binders = server.list("/binders");
  if (!binders) return binders.error();
  if (binders->empty()) {
    report.line("  " + report.paint(Ink::red, "✗ none is attached") +
                ": POST /binders, then give its uplinkUrl to the network server");
  }
  for (const auto& item : *binders) {
    if (item.is_object())
      report.line("  " + printable("'" + json::text_or(item.get_object(), "name") + "' sends to " +
                                   json::text_or(item.get_object(), "uplinkUrl")));
  }
  auto refused = server.list("/events?code=binder-5001&perPage=20");
  if (!refused) return refused.error();
  for (std::size_t i = 0; i < refused->size() && i < kTriesShown; ++i) {
    const auto& event = refused->at(i).as_object();
    std::string count;
    if (const auto* data = json::find(event, "data"); data != nullptr && data->is_object()) {
      auto n = json::int_or(data->get_object(), "count", 1);
      if (n > 1) count = " (" + counted(static_cast<std::uint64_t>(n), "time") + ")";
    }
    report.line("  " + report.paint(Ink::red, "✗ report refused") + " " +
                day_and_clock(json::text_or(event, "eventTime")) + "Z" + count + ": " +
                printable(json::text_or(event, "message")));
  }
  if (refused->empty() && !binders->empty())
    report.line("  " + report.paint(Ink::green, "✓") +
                " no report was refused in the last 24 h: look at the network server, whether it sends this device's");
  report.line();
  report.line(report.paint(Ink::bold, "Flows") + ", if it came");
  auto flows = server.list("/devices/" + device + "/explain");
  if (!flows) return flows.error();
  show_flows(report, *flows);
  return {};
}

Result<void> show(Server& server, const Flags& flags, const std::string& device) {
  auto messages = server.list("/messages?deviceEui=" + device + "&limit=" + std::to_string(flags.last));
  if (!messages) return messages.error();
  if (flags.as_json) {
    auto flows = server.list("/devices/" + device + "/explain");
    if (!flows) return flows.error();
    std::printf("%s\n",
                json::write_pretty(object{{"DevEUI", device}, {"messages", *messages}, {"flows", *flows}}).c_str());
    return {};
  }
  const Report report(system_clock().now());
  report.line(report.paint(Ink::bold, "Device " + device));
  if (messages->empty()) return show_nothing(server, report, device);
  bool unmatched = false;
  for (const auto& item : *messages) {
    if (!item.is_object()) continue;
    report.message(item.get_object());
    for (const auto& step : list_in(item.get_object(), "way"))
      unmatched = unmatched || (step.is_object() && json::text_or(step.get_object(), "stage") == "unmatched");
  }
  if (!unmatched) return {};
  report.line();
  report.line(report.paint(Ink::bold, "Flows") + ", as they are now");
  auto flows = server.list("/devices/" + device + "/explain");
  if (!flows) return flows.error();
  show_flows(report, *flows);
  return {};
}

int run_trace(const Flags& flags) {
  log::start();
  (void)log::set_level("warn");
  auto fail = [](const std::string& text) {
    std::fprintf(stderr, "%s\n", Terminal(stderr).paint(Ink::red, "sluice: " + printable(text)).c_str());
    return 1;
  };
  auto device = to_upper(flags.device);
  std::erase(device, '-');
  if (device.size() != 16 || !is_hex(device)) return fail("a DevEUI is 16 hex digits, not '" + flags.device + "'");
  auto place = flags.server.complete();
  if (!place) return fail(place.error().text);
  auto client = RestClient::open(*place);
  if (!client) return fail(client.error().text);
  Server server(std::move(*client));
  auto shown = show(server, flags, device);
  return shown ? 0 : fail(shown.error().text);
}

}  // namespace

void add_trace(CLI::App& app, std::function<int()>& run) {
  auto flags = std::make_shared<Flags>();
  auto* word = app.add_subcommand("trace", "Where did my uplink go? The last messages of a device and their way");
  word->add_option("DEVEUI", flags->device, "The device: 16 hex digits")->required();
  word->add_option("--last", flags->last, "How many messages")->check(CLI::Range(1, 100))->capture_default_str();
  word->add_flag("--json", flags->as_json,
                 "As JSON: the messages with every step, and what each flow is to the device");
  flags->server.add_to(*word);
  word->footer(
      "For each message: which driver decoded it or why not, and for each connection delivered when, waiting since\n"
      "when and for what, or refused why, with what to do about it. Times are UTC. See also 'sluice tap'.");
  word->callback([flags, &run] { run = [flags] { return run_trace(*flags); }; });
}

}  // namespace sluice::app
