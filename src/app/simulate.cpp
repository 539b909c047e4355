// SPDX-License-Identifier: Apache-2.0
#include "app/simulate.h"

#include <CLI/CLI.hpp>
#include <csignal>
#include <cstdio>
#include <cstdlib>

#include "app/simulate_load.h"

namespace sluice::app {
namespace {

volatile std::sig_atomic_t signals_seen = 0;

void on_signal(int) {
  signals_seen = signals_seen + 1;
}

// Splits http://host[:port]/path. Empty text: fine; otherwise what is wrong.
std::string split_url(const std::string& url, LoadSettings& settings, ReportSettings& reports) {
  static constexpr std::string_view kScheme = "http://";
  if (!url.starts_with(kScheme)) return "--url must be the uplinkUrl of a binder, starting with http://";
  const std::size_t slash = url.find('/', kScheme.size());
  if (slash == std::string::npos) return "--url lacks the path of the binder";
  reports.host = url.substr(kScheme.size(), slash - kScheme.size());
  reports.path = url.substr(slash);
  settings.host = reports.host;
  settings.port = "80";
  if (const std::size_t colon = reports.host.rfind(':'); colon != std::string::npos && reports.host.back() != ']') {
    settings.host = reports.host.substr(0, colon);
    settings.port = reports.host.substr(colon + 1);
  }
  if (settings.host.size() > 2 && settings.host.front() == '[')
    settings.host = settings.host.substr(1, settings.host.size() - 2);
  return "";
}

struct Given {
  std::string url, expect, duration, drain = "30s", first_dev_eui = "5A1CE00000000001";
  bool json = false;
  LoadSettings load;
  ReportSettings reports;
};

// Reads what the texts say. Empty: fine; otherwise what is wrong.
std::string complete(Given& given) {
  if (auto wrong = split_url(given.url, given.load, given.reports); !wrong.empty()) return wrong;
  const auto duration = parse_duration(given.duration);
  const auto drain = parse_duration(given.drain);
  if (!duration || !drain) return "--duration and --drain are times such as 90s or 1h30m";
  given.load.duration = *duration;
  given.load.drain = *drain;
  if (given.first_dev_eui.size() != 16 ||
      given.first_dev_eui.find_first_not_of("0123456789abcdefABCDEF") != std::string::npos) {
    return "--first-deveui must be 16 hex digits";
  }
  given.reports.first_dev_eui = std::strtoull(given.first_dev_eui.c_str(), nullptr, 16);
  if (!given.expect.empty()) {
    auto place = parse_mqtt_place(given.expect);
    if (!place) return "--expect: " + place.error().text;
    given.load.expect = std::move(*place);
  }
  return "";
}

int simulate(Given given) {
  if (const std::string wrong = complete(given); !wrong.empty()) {
    std::fprintf(stderr, "sluice simulate: %s\n", wrong.c_str());
    return 2;
  }
  auto maker = ReportMaker::make(given.reports);
  if (!maker) {
    std::fprintf(stderr, "sluice simulate: %s\n", maker.error().text.c_str());
    return 2;
  }
  std::signal(SIGPIPE, SIG_IGN);
  std::signal(SIGINT, on_signal);
  std::signal(SIGTERM, on_signal);
  // The first signal ends the sending, a second one the waiting for what was answered.
  Load load(given.load, *maker, [] { return static_cast<int>(signals_seen); });
  if (auto started = load.start(); !started) {
    std::fprintf(stderr, "sluice simulate: %s\n", started.error().text.c_str());
    return 1;
  }
  auto done = load.run();
  if (!done) std::fprintf(stderr, "sluice simulate: %s\n", done.error().text.c_str());
  const std::string summary = given.json ? load.summary_json() : load.summary_text();
  std::fputs(summary.c_str(), stdout);
  return done && load.good() ? 0 : 1;
}

}  // namespace

void add_simulate(CLI::App& app, std::function<int()>& run) {
  auto given = std::make_shared<Given>();
  CLI::App* word =
      app.add_subcommand("simulate", "Devices that send reports through a binder: a try-out and a load generator");
  word->add_option("--url", given->url, "uplinkUrl of the binder (http)")->required();
  word->add_option("--as-id", given->reports.as_id, "AS_ID of the binder");
  word->add_option("--as-key", given->reports.as_key,
                   "AS key of the binder: reports are signed with it; without it they are not");
  word->add_option("--devices", given->load.devices, "number of devices")
      ->capture_default_str()
      ->check(CLI::Range(1, 10000000));
  word->add_option("--rate", given->load.rate, "reports a second over all devices; 0: as fast as they are answered")
      ->capture_default_str()
      ->check(CLI::NonNegativeNumber);
  word->add_option("--duration", given->duration, "send that long, as 90s or 1h; default: until stopped");
  word->add_option("--count", given->load.count, "send that many reports; default: no bound");
  word->add_option("--connections", given->load.connections, "kept-alive HTTP connections at most")
      ->capture_default_str()
      ->check(CLI::Range(1, 10000));
  word->add_option("--payload-type", given->reports.payload_type, "climate (examples/drivers/climate) or random")
      ->capture_default_str();
  word->add_option("--drivercfg", given->reports.driver,
                   "DriverCfg of the reports, producer:module:version; empty: none")
      ->capture_default_str();
  word->add_option("--seed", given->reports.seed, "other payloads, signals and gateways")->capture_default_str();
  word->add_option("--first-deveui", given->first_dev_eui, "DevEUI of the first device; the others follow")
      ->capture_default_str();
  word->add_option("--first-fcnt", given->load.first_fcnt, "FCntUp of each device's first report")
      ->capture_default_str();
  word->add_option(
      "--expect", given->expect,
      "mqtt://[user:password@]host:port/topic/filter where the reports come out: latency from due to arrived, "
      "losses, duplicates, damage, order");
  word->add_option("--expect-qos", given->load.expect_qos, "QoS of that subscription")
      ->capture_default_str()
      ->check(CLI::Range(0, 1));
  word->add_option("--drain", given->drain, "wait that long for the last ones to arrive")->capture_default_str();
  word->add_option("--ledger", given->load.ledger,
                   "write each report sent ('S DevEUI FCntUp payload_hex') and answered 2xx ('A DevEUI FCntUp')");
  word->add_flag("--resend", given->load.resend,
                 "repeat a report until it is answered 2xx, as some network servers do");
  word->add_flag("--quiet", given->load.quiet, "no progress lines");
  word->add_flag("--json", given->json, "the summary as JSON");
  word->callback([given, &run] { run = [given] { return simulate(*given); }; });
}

}  // namespace sluice::app
