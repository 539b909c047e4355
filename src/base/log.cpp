// SPDX-License-Identifier: Apache-2.0
#include "base/log.h"

#include <spdlog/sinks/stdout_color_sinks.h>

namespace sluice::log {

bool set_level(std::string_view name) {
  std::string text(name);
  if (text != "debug" && text != "info" && text != "warn" && text != "error" && text != "off") return false;
  spdlog::set_level(text == "error" ? spdlog::level::err : spdlog::level::from_str(text));
  return true;
}

void start() {
  auto logger = spdlog::stderr_color_mt("sluice");
  logger->set_pattern("%Y-%m-%dT%H:%M:%S.%eZ %^%l%$ %v", spdlog::pattern_time_type::utc);
  logger->flush_on(spdlog::level::info);
  spdlog::set_default_logger(logger);
}

}  // namespace sluice::log
