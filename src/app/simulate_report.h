// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "base/clock.h"
#include "base/result.h"

namespace sluice::app {

// Who the simulated devices are and how they sign.
struct ReportSettings {
  std::string host, path;     // of the binder's uplinkUrl, for the request line
  std::string as_id, as_key;  // as_key empty: unsigned
  std::string payload_type = "climate";
  std::string driver = "sluice:climate:1";  // DriverCfg.app as producer:module:version; empty: no DriverCfg
  std::uint64_t first_dev_eui = 0x5A1CE00000000001;
  std::uint64_t seed = 1;
};

// Makes the reports of simulated devices. What a report holds depends on the settings, the device and its counter alone
// (but for its times), so whoever knows those knows what has to arrive. Not thread-safe.
class ReportMaker {
 public:
  // Errors: bad_config for an unknown payload type or a driver that is not producer:module:version.
  static Result<ReportMaker> make(ReportSettings settings);

  // The HTTP request, ready to be written. Valid until the next call.
  std::string_view request(std::uint32_t device, std::uint32_t fcnt_up, UnixMillis now);
  [[nodiscard]] std::string dev_eui(std::uint32_t device) const;
  // Upper-case hex digits of the application payload.
  [[nodiscard]] std::string payload_hex(std::uint32_t device, std::uint32_t fcnt_up) const;
  [[nodiscard]] const ReportSettings& settings() const { return settings_; }

 private:
  explicit ReportMaker(ReportSettings settings) : settings_(std::move(settings)) {}
  void write_body(std::uint32_t device, std::uint32_t fcnt_up, const std::string& time);

  ReportSettings settings_;
  std::string driver_cfg_, as_id_encoded_;
  std::string body_, request_, signed_;
};

// %XX for all but unreserved characters (RFC 3986).
std::string percent_encode(std::string_view text);

}  // namespace sluice::app
