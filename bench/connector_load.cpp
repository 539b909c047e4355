// SPDX-License-Identifier: Apache-2.0
// The load of bench/connector_bench.py: makes a connection's connector from the body of POST /connections, as the
// server would, gives it prepared uplinks with as many on the way as it takes, and counts what the peer acknowledged.
//
//   connector_load BODY.json [--count N] [--devices N] [--warm-up N] [--limit SECONDS]
//
// One thread for the connector beside the HTTP client's and those of its library; the caller pins them all to one core.
// Prints one JSON object. Exit code 0 where all were acknowledged, 1 where not, 2 where it could not start.
#include <algorithm>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/dispatch.hpp>
#include <boost/asio/executor_work_guard.hpp>
#include <boost/asio/io_context.hpp>
#include <charconv>
#include <cstdio>
#include <fstream>
#include <iterator>
#include <map>
#include <sys/resource.h>

#include "base/json.h"
#include "connector/registry.h"

namespace {

using namespace sluice;
using namespace sluice::connector;
using Steady = std::chrono::steady_clock;

struct Options {
  std::string body;
  std::uint64_t count = 100'000, devices = 1'000, warm_up = 5'000, limit = 120;
};

[[noreturn]] void refuse(const std::string& why) {
  std::fprintf(stderr, "connector_load: %s\n", why.c_str());
  std::exit(2);
}

Options read_options(int argc, char** argv) {
  Options options;
  const std::map<std::string_view, std::uint64_t*> numbers{{"--count", &options.count},
                                                           {"--devices", &options.devices},
                                                           {"--warm-up", &options.warm_up},
                                                           {"--limit", &options.limit}};
  for (int i = 1; i < argc; ++i) {
    std::string_view word = argv[i];
    auto number = numbers.find(word);
    if (number == numbers.end()) {
      options.body = word;
      continue;
    }
    std::string_view text = ++i < argc ? argv[i] : "";
    if (std::from_chars(text.data(), text.data() + text.size(), *number->second).ec != std::errc())
      refuse(std::string(word) + " takes a number");
  }
  if (options.body.empty() || options.devices == 0) refuse("the file of a connection's body is missing");
  return options;
}

double cpu_seconds() {
  rusage used{};
  getrusage(RUSAGE_SELF, &used);
  auto seconds = [](const timeval& time) {
    return static_cast<double>(time.tv_sec) + 1e-6 * static_cast<double>(time.tv_usec);
  };
  return seconds(used.ru_utime) + seconds(used.ru_stime);
}

// Not getrusage's, which counts what the parent held before this program began.
double peak_resident_mb() {
  std::ifstream status("/proc/self/status");
  for (std::string word; status >> word;) {
    double kilobytes = 0;
    if (word == "VmHWM:" && status >> kilobytes) return kilobytes / 1024;
  }
  return 0;
}

// A report of some 1 KB as a network server sends it for a device heard by three base stations. The number in
// "BenchSequence" is written over for each message sent.
constexpr std::string_view kSequence = "000000000000";

std::string report(std::uint64_t device) {
  char eui[17];
  std::snprintf(eui, sizeof eui, "%016llX", 0x70B3D5E75E300000ull + device);
  return R"({"DevEUI_uplink":{"Time":"2024-11-21T10:11:12.333+00:00","DevEUI":")" + std::string(eui) +
         R"(","FPort":2,"FCntUp":7011,"ADRbit":1,"MType":4,"FCntDn":20,"payload_hex":"01081F5A0E10A1B2C3D4","mic_hex":"e7214986",)"
         R"("Lrcid":"00000211","LrrRSSI":-114.0,"LrrSNR":4.5,"LrrESP":-115.2547,"SpFact":9,"SubBand":"G0","Channel":"LC1",)"
         R"("Lrrid":"69606FD0","Late":0,"LrrLAT":46.494873,"LrrLON":7.562864,"Lrrs":{"Lrr":[)"
         R"({"Lrrid":"69606FD0","Chain":0,"LrrRSSI":-114.0,"LrrSNR":4.5,"LrrESP":-115.2547},)"
         R"({"Lrrid":"69606FD1","Chain":0,"LrrRSSI":-116.0,"LrrSNR":1.25,"LrrESP":-118.6},)"
         R"({"Lrrid":"69606FD2","Chain":0,"LrrRSSI":-119.0,"LrrSNR":-2.0,"LrrESP":-123.1}]},"DevLrrCnt":3,)"
         R"("CustomerID":"100002167","CustomerData":{"alr":{"pro":"SMTC/LoRaMote","ver":"1"},"tags":["site=Paris","floor=3"],)"
         R"("name":"Room sensor 1234"},"ModelCfg":"0","DriverCfg":{"mod":{"pId":"sluice","mId":"climate","ver":"1"},)"
         R"("app":{"pId":"sluice","mId":"climate","ver":"1"}},"InstantPER":0.02,"MeanPER":0.017,"DevAddr":"1411C36E",)"
         R"("TxPower":14.0,"NbTrans":1,"Frequency":868.1,"DynamicClass":"A","BenchSequence":")" +
         std::string(kSequence) + R"("}})";
}

struct Prepared {
  message::MessagePtr message;
  std::shared_ptr<const std::string> document;
};

// What the server's connection is to a connector, without its queue and its schedule.
class LoadHost : public Host {
 public:
  explicit LoadHost(const Descriptor& connector) : connector_(connector) {}
  boost::asio::any_io_executor executor() override { return io.get_executor(); }
  Clock& clock() override { return system_clock(); }
  std::string connection_id() override { return "1"; }
  void authenticating() override {}
  HttpClient& http() override { return http_; }
  void lost(Error error) override { losses.push_back(error.text); }
  void received(Received /*command*/) override {}
  void notice(Notice notice) override { notices.push_back(notice.text); }
  std::shared_ptr<void>& kept() override { return kept_; }
  std::string server_setting(std::string_view name) override { return connector_.server_setting(name, {}); }

  // Runs until it holds. False: not within the limit.
  bool run_until(const std::function<bool()>& condition, std::chrono::seconds limit) {
    auto guard = boost::asio::make_work_guard(io);
    io.restart();
    auto until = Steady::now() + limit;
    while (!condition()) {
      if (io.run_one_until(until) == 0) return false;
    }
    return true;
  }

  boost::asio::io_context io{1};
  std::vector<std::string> losses, notices;

 private:
  const Descriptor& connector_;
  std::shared_ptr<void> kept_;
  HttpClient http_;
};

// Keeps as many messages on the way as the connector takes. All on the host's thread.
class Load {
 public:
  Load(const Options& options, LoadHost& host, Connector& connector)
      : options_(options), host_(host), connector_(connector) {
    for (std::uint64_t i = 0; i < options.devices; ++i) {
      auto message = message::parse_report(report(i));
      if (!message) refuse("the report cannot be read: " + message.error().text);
      message->seq = i + 1;
      auto text = std::make_shared<const std::string>(message->body);
      prepared_.push_back({std::make_shared<const message::Message>(std::move(*message)), std::move(text)});
    }
    sequence_at_ = prepared_.front().document->find(kSequence);
  }

  void run() {
    run_up_to(std::min(options_.warm_up, options_.count));
    measured_from_ = acknowledged_;
    auto started = Steady::now();
    auto cpu = cpu_seconds();
    run_up_to(options_.count);
    seconds_ = std::chrono::duration<double>(Steady::now() - started).count();
    cpu_ = cpu_seconds() - cpu;
  }

  [[nodiscard]] bool all_acknowledged() const { return acknowledged_ == options_.count; }

  [[nodiscard]] json::object result() const {
    auto measured = static_cast<double>(acknowledged_ - measured_from_);
    json::object errors;
    for (const auto& [text, count] : errors_)
      errors[text] = count;
    return {{"sent", sent_},
            {"acknowledged", acknowledged_},
            {"errors", errors},
            {"unsettled", in_flight_},
            {"seconds", seconds_},
            {"cpuSeconds", cpu_},
            {"perSecond", seconds_ > 0 ? measured / seconds_ : 0},
            {"perCpuSecond", cpu_ > 0 ? measured / cpu_ : 0},
            {"maxInFlight", connector_.max_in_flight()},
            {"peakInFlight", peak_},
            {"usualRate", connector_.usual_rate()},
            {"bytesPerMessage", prepared_.front().document->size()},
            {"peakResidentMb", peak_resident_mb()}};
  }

 private:
  void run_up_to(std::uint64_t count) {
    target_ = count;
    fill();
    static_cast<void>(
        host_.run_until([&] { return sent_ >= target_ && in_flight_ == 0; }, std::chrono::seconds(options_.limit)));
  }

  void fill() {
    if (filling_) return;
    filling_ = true;
    while (sent_ < target_ && in_flight_ < connector_.max_in_flight() && host_.losses.empty())
      send_one();
    filling_ = false;
  }

  void send_one() {
    const auto& next = prepared_[sent_ % prepared_.size()];
    auto number = std::to_string(++sent_);
    std::string body = *next.document;
    body.replace(sequence_at_ + kSequence.size() - number.size(), number.size(), number);
    peak_ = std::max(peak_, ++in_flight_);
    connector_.send(Delivery(next.message, next.document, std::move(body), [this](Result<void> verdict) {
      boost::asio::dispatch(host_.executor(), [this, verdict = std::move(verdict)] { settled(verdict); });
    }));
  }

  void settled(const Result<void>& verdict) {
    --in_flight_;
    if (verdict) {
      ++acknowledged_;
    } else if (errors_.size() < 20 || errors_.contains(verdict.error().text)) {
      ++errors_[verdict.error().text];
    }
    fill();
  }

  const Options& options_;
  LoadHost& host_;
  Connector& connector_;
  std::vector<Prepared> prepared_;
  std::size_t sequence_at_ = 0;
  std::uint64_t sent_ = 0, acknowledged_ = 0, target_ = 0, measured_from_ = 0;
  std::size_t in_flight_ = 0, peak_ = 0;
  bool filling_ = false;
  std::map<std::string, std::uint64_t> errors_;
  double seconds_ = 0, cpu_ = 0;
};

json::object read_body(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  auto body = json::parse(std::string(std::istreambuf_iterator<char>(file), {}));
  if (!file || !body || !body->is_object()) refuse(path + " holds no body of a connection");
  return std::move(body->get_object());
}

Result<void> open(LoadHost& host, Connector& connector) {
  std::optional<Result<void>> opened;
  boost::asio::co_spawn(host.io, connector.open(), [&](std::exception_ptr failed, Result<void> result) {
    if (failed) std::rethrow_exception(failed);
    opened = std::move(result);
  });
  if (!host.run_until([&] { return opened.has_value(); }, std::chrono::seconds(60))) refuse("opening did not end");
  return *opened;
}

void close(LoadHost& host, Connector& connector) {
  bool closed = false;
  boost::asio::co_spawn(host.io, connector.close(), [&](const std::exception_ptr&) { closed = true; });
  if (!host.run_until([&] { return closed; }, std::chrono::seconds(10))) refuse("closing did not end");
}

}  // namespace

int main(int argc, char** argv) {
  auto options = read_options(argc, argv);
  const Registry registry;
  auto body = read_body(options.body);
  const auto* descriptor = registry.find(json::text_or(body, "connectorId"));
  if (!descriptor) refuse("there is no connector '" + json::text_or(body, "connectorId") + "'");
  const auto* configuration = json::find(body, "configuration");
  if (!configuration || !configuration->is_object()) refuse("the body has no configuration");
  auto brand = json::text_or(body, "brand");
  for (const auto& fault : validate(*descriptor, configuration->get_object(), brand))
    refuse(fault.path + ": " + fault.message);

  LoadHost host(*descriptor);
  auto connector = descriptor->make(Settings(descriptor->schema_for(brand), configuration->get_object()), host);
  if (auto opened = open(host, *connector); !opened) refuse("cannot open: " + opened.error().text);
  Load load(options, host, *connector);
  load.run();
  auto result = load.result();
  close(host, *connector);
  connector.reset();
  host.io.restart();
  host.io.poll();
  result["connector"] = descriptor->id;
  result["losses"] = json::array(host.losses.begin(), host.losses.end());
  result["notices"] = json::array(host.notices.begin(), host.notices.end());
  std::printf("%s\n", json::write(result).c_str());
  return load.all_acknowledged() ? 0 : 1;
}
