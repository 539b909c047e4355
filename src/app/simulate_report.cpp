// SPDX-License-Identifier: Apache-2.0
#include "app/simulate_report.h"

#include <array>
#include <cmath>
#include <cstdio>
#include <vector>

#include "binder/thingpark/tunnel.h"

namespace sluice::app {
namespace {

constexpr char kCustomer[] = "100000001";
constexpr int kPort = 2;
constexpr int kGateways = 40;

// splitmix64: a well-mixed number out of a key, so that a report needs no state.
std::uint64_t mix(std::uint64_t x) {
  x += 0x9E3779B97F4A7C15ULL;
  x = (x ^ (x >> 30)) * 0xBF58476D1CE4E5B9ULL;
  x = (x ^ (x >> 27)) * 0x94D049BB133111EBULL;
  return x ^ (x >> 31);
}

// Random numbers of one report.
class Dice {
 public:
  Dice(std::uint64_t seed, std::uint32_t device, std::uint32_t counter)
      : state_(mix(seed ^ mix((static_cast<std::uint64_t>(device) << 32) | counter))) {}
  std::uint64_t next() { return state_ = mix(state_); }
  int between(int low, int high) { return low + static_cast<int>(next() % static_cast<std::uint64_t>(high - low + 1)); }
  double between(double low, double high) { return low + (high - low) * static_cast<double>(next() >> 11) * 0x1p-53; }

 private:
  std::uint64_t state_;
};

template <class... Arguments>
void print(std::string& out, const char* format, Arguments... arguments) {
  std::array<char, 512> buffer;
  const int length = std::snprintf(buffer.data(), buffer.size(), format, arguments...);
  out.append(buffer.data(), static_cast<std::size_t>(length));
}

std::string hex(const std::vector<std::uint8_t>& bytes) {
  static constexpr char kDigits[] = "0123456789ABCDEF";
  std::string out;
  for (const std::uint8_t byte : bytes) {
    out += kDigits[byte >> 4];
    out += kDigits[byte & 15];
  }
  return out;
}

bool plain_module_text(std::string_view text) {
  return !text.empty() && text.find_first_not_of("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-") ==
                              std::string_view::npos;
}

Result<std::string> driver_cfg(const std::string& driver) {
  if (driver.empty()) return std::string();
  const std::size_t first = driver.find(':');
  const std::size_t second = first == std::string::npos ? first : driver.find(':', first + 1);
  if (second == std::string::npos) return Error{ErrorKind::bad_config, "a driver is named producer:module:version"};
  const std::string producer = driver.substr(0, first), module = driver.substr(first + 1, second - first - 1),
                    version = driver.substr(second + 1);
  if (!plain_module_text(producer) || !plain_module_text(module) || !plain_module_text(version)) {
    return Error{ErrorKind::bad_config, "the parts of a driver's name are letters, digits and ._-"};
  }
  const std::string reference = R"({"pId":")" + producer + R"(","mId":")" + module + R"(","ver":")" + version + R"("})";
  return R"("DriverCfg":{"mod":)" + reference + R"(,"app":)" + reference + "},";
}

// Signal of one report as one gateway received it; ESP by the formula of the network server's interface.
void write_signal(std::string& out, double rssi, double snr) {
  const double esp = rssi - 10.0 * std::log10(1.0 + std::pow(10.0, -snr / 10.0));
  print(out, R"("LrrRSSI":%.1f,"LrrSNR":%.2f,"LrrESP":%.6f)", rssi, snr, esp);
}

}  // namespace

std::string percent_encode(std::string_view text) {
  std::string out;
  for (const char c : text) {
    const bool plain = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-' ||
                       c == '.' || c == '_' || c == '~';
    if (plain) {
      out += c;
    } else {
      print(out, "%%%02X", static_cast<unsigned>(static_cast<unsigned char>(c)));
    }
  }
  return out;
}

Result<ReportMaker> ReportMaker::make(ReportSettings settings) {
  if (settings.payload_type != "climate" && settings.payload_type != "random") {
    return Error{ErrorKind::bad_config, "payload type '" + settings.payload_type + "' is unknown: climate or random"};
  }
  auto driver = driver_cfg(settings.driver);
  if (!driver) return driver.error();
  ReportMaker maker(std::move(settings));
  maker.driver_cfg_ = std::move(*driver);
  maker.as_id_encoded_ = percent_encode(maker.settings_.as_id);
  return maker;
}

std::string ReportMaker::dev_eui(std::uint32_t device) const {
  std::string out;
  print(out, "%016llX", static_cast<unsigned long long>(settings_.first_dev_eui + device));
  return out;
}

std::string ReportMaker::payload_hex(std::uint32_t device, std::uint32_t fcnt_up) const {
  Dice dice(settings_.seed, device, fcnt_up);
  if (settings_.payload_type == "random") {
    std::vector<std::uint8_t> bytes(12);
    for (auto& byte : bytes)
      byte = static_cast<std::uint8_t>(dice.next());
    return hex(bytes);
  }
  // examples/drivers/climate: version, temperature in 0.01 degrees (signed), humidity in 0.5 %, battery in mV.
  const double wave = std::sin(fcnt_up / 50.0 + device);
  const int temperature = static_cast<int>(2000 + 800 * wave) + dice.between(-30, 30);
  const int humidity = static_cast<int>(100 - 30 * wave) + dice.between(-4, 4);
  const int battery = 3600 - static_cast<int>(fcnt_up % 6000) / 10 + dice.between(-5, 5);
  return hex({1, static_cast<std::uint8_t>(temperature >> 8), static_cast<std::uint8_t>(temperature),
              static_cast<std::uint8_t>(humidity), static_cast<std::uint8_t>(battery >> 8),
              static_cast<std::uint8_t>(battery)});
}

void ReportMaker::write_body(std::uint32_t device, std::uint32_t fcnt_up, const std::string& time) {
  // Other numbers than the payload's, so that a change here leaves the payloads as they are.
  Dice dice(settings_.seed + 1, device, fcnt_up);
  const int spreading = dice.between(7, 12);
  const int gateways = dice.between(1, 3);
  const int channel = dice.between(0, 7);
  const double rssi = dice.between(-118.0, -62.0), snr = dice.between(-8.0, 11.0);
  const int home = static_cast<int>(mix(device) % kGateways);
  const std::string eui = dev_eui(device);
  body_.clear();
  print(body_,
        R"({"DevEUI_uplink":{"Time":"%s","DevEUI":"%s","FPort":%d,"FCntUp":%u,"ADRbit":1,"MType":2,"FCntDn":%u,)",
        time.c_str(), eui.c_str(), kPort, fcnt_up, fcnt_up / 20);
  print(body_, R"("payload_hex":"%s","mic_hex":"%08x","Lrcid":"00000201",)", payload_hex(device, fcnt_up).c_str(),
        static_cast<unsigned>(dice.next()));
  write_signal(body_, rssi, snr);
  print(body_, R"(,"SpFact":%d,"SubBand":"G1","Channel":"LC%d","Frequency":%.1f,"DevLrrCnt":%d,"Lrrid":"1000%04X",)",
        spreading, channel, 867.1 + 0.2 * channel, gateways, home);
  print(body_, R"("Late":0,"LrrLAT":%.6f,"LrrLON":%.6f,"Lrrs":{"Lrr":[)", 48.0 + home * 0.013, 2.0 + home * 0.017);
  for (int i = 0; i < gateways; ++i) {
    print(body_, R"(%s{"Lrrid":"1000%04X","Chain":%d,)", i ? "," : "", (home + i) % kGateways, i % 2);
    write_signal(body_, rssi - 4.0 * i, snr - 1.5 * i);
    body_ += '}';
  }
  print(body_, R"(]},"CustomerID":"%s","CustomerData":{"alr":{"pro":"SLUICE/CLIM","ver":"1"},"tags":["site=%u"],)",
        kCustomer, device % 10);
  print(body_, R"("name":"climate %u"},"ModelCfg":"0",)", device);
  body_ += driver_cfg_;
  print(body_, R"("BaseStationData":{"doms":[],"name":"gateway %d"},"InstantPER":0.0,"MeanPER":%.6f,)", home,
        dice.between(0.0, 0.05));
  print(body_, R"("DevAddr":"04%06X","AckRequested":0,"TxPower":14.0,"NbTrans":1,"DynamicClass":"A"}})",
        device & 0xFFFFFF);
}

std::string_view ReportMaker::request(std::uint32_t device, std::uint32_t fcnt_up, UnixMillis now) {
  const std::string time = format_time(now), eui = dev_eui(device);
  write_body(device, fcnt_up, time);
  request_.clear();
  print(request_, "POST %s?LrnDevEui=%s&LrnFPort=%d&LrnInfos=SIMULATOR_%u", settings_.path.c_str(), eui.c_str(), kPort,
        device);
  if (!settings_.as_key.empty()) {
    signed_.clear();
    print(signed_, "LrnDevEui=%s&LrnFPort=%d&LrnInfos=SIMULATOR_%u&AS_ID=", eui.c_str(), kPort, device);
    signed_ += settings_.as_id + "&Time=" + time;
    std::string elements;
    print(elements, "%s%s%d%u", kCustomer, eui.c_str(), kPort, fcnt_up);
    elements += payload_hex(device, fcnt_up);
    request_ += "&AS_ID=" + as_id_encoded_ + "&Time=" + percent_encode(time) +
                "&Token=" + binder::thingpark::make_token(elements, signed_, settings_.as_key);
  }
  request_ += " HTTP/1.1\r\nHost: " + settings_.host;
  print(request_, "\r\nUser-Agent: sluice-simulate\r\nContent-Type: application/json\r\nContent-Length: %zu\r\n\r\n",
        body_.size());
  request_ += body_;
  return request_;
}

}  // namespace sluice::app
