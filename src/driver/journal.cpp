// SPDX-License-Identifier: Apache-2.0
#include "driver/journal.h"

#include "base/json.h"

namespace sluice::driver {
namespace {

constexpr std::size_t kMaxInput = 512;
constexpr std::size_t kMaxText = 1024;
constexpr std::size_t kMaxLines = 4096;  // bytes of all console lines of an entry
constexpr const char* kResults[] = {"ok", "errors", "exception", "limit"};

std::size_t result_of(const Outcome& outcome) {
  if (outcome.ok) return 0;
  if (outcome.code == "com-5000") return 1;
  return outcome.code == "com-5004" ? 3 : 2;
}

boost::json::array cut_list(const std::vector<std::string>& texts) {
  boost::json::array result;
  std::size_t left = kMaxLines;
  for (const auto& text : texts) {
    if (left == 0) {
      result.emplace_back("...");
      break;
    }
    auto line = cut_text(text, std::min(left, kMaxText));
    left -= std::min(left, line.size() + 1);
    result.emplace_back(std::move(line));
  }
  return result;
}

// A driver may write to its console what is graver than the call's end.
const char* level_of(const Outcome& outcome) {
  if (!outcome.ok) return "error";
  const char* level = outcome.warnings.empty() ? "log" : "warn";
  for (const auto& line : outcome.log) {
    if (line.starts_with("error: ")) return "error";
    if (line.starts_with("warn: ")) level = "warn";
  }
  return level;
}

// "f@driver.js:3:9" gives "driver.js".
std::string file_of(std::string_view stack) {
  auto line = stack.substr(0, stack.find('\n'));
  auto at = line.rfind('@');
  if (at != std::string_view::npos) line.remove_prefix(at + 1);
  auto colon = line.find(':');
  return colon == std::string_view::npos ? "" : std::string(line.substr(0, colon));
}

}  // namespace

Journal::Journal(store::DriverLog& log, store::Events& events, Clock& clock, Metrics& metrics)
    : log_(log), events_(events), statistics_(clock), failures_(clock) {
  for (std::size_t i = 0; i < kOperations; ++i) {
    std::string operation = name_of(static_cast<Operation>(i));
    meters_[i].seconds = metrics.histogram("sluice_driver_call_seconds", "Time of driver calls for messages.",
                                           {0.00001, 0.00003, 0.0001, 0.0003, 0.001, 0.003, 0.01, 0.03, 0.1, 0.3, 1, 3},
                                           {{"operation", operation}});
    for (std::size_t r = 0; r < std::size(kResults); ++r) {
      meters_[i].results[r] =
          metrics.counter("sluice_driver_operations_total", "Driver calls for messages by operation and result.",
                          {{"operation", operation}, {"result", kResults[r]}});
    }
  }
}

void Journal::note(const EndedCall& call) {
  const auto& meter = meters_[static_cast<std::size_t>(call.operation)];
  meter.results[result_of(call.outcome)]->add();
  if (call.outcome.time_us > 0) meter.seconds->observe(call.outcome.time_us * 1e-6);
  statistics_.note(call);
  if (call.outcome.ok) {
    for (auto& notice : failures_.worked(call))
      tell(std::move(notice));
  } else {
    std::uint32_t p99 = 0;
    if (call.outcome.code == "com-5004") {
      if (auto known = statistics_.of(call.code.account, call.code.id)) {
        p99 = known->of(call.operation).times.quantile(0.99);
      }
    }
    tell(failures_.failed(call, p99));
  }
  write(call, false);
}

void Journal::tell(Notice notice) {
  events_.update(std::move(notice.key), std::move(notice.account), std::move(notice.level), std::move(notice.code),
                 std::move(notice.message), std::move(notice.data));
}

void Journal::note_by_hand(const EndedCall& call) {
  write(call, true);
}

void Journal::write(const EndedCall& call, bool by_hand) {
  const auto& outcome = call.outcome;
  if (outcome.ok && outcome.log.empty() && outcome.warnings.empty()) return;
  if (!log_.admit(call.code.account, call.code.id, by_hand)) return;
  store::DriverLogEntry entry{.account = call.code.account,
                              .driver_id = call.code.id,
                              .level = level_of(outcome),
                              .operation = name_of(call.operation),
                              .dev_eui = std::string(call.dev_eui)};
  auto& data = entry.data;
  if (call.fport) data["fPort"] = *call.fport;
  if (!call.input.empty()) data["payload"] = cut_text(call.input, kMaxInput);
  if (!outcome.ok) {
    data["code"] = outcome.code;
    data["message"] = cut_text(outcome.message, kMaxText);
    if (!outcome.errors.empty()) data["errors"] = cut_list(outcome.errors);
  }
  if (outcome.where) {
    if (outcome.where->line > 0) data["line"] = outcome.where->line;
    if (outcome.where->column > 0) data["column"] = outcome.where->column;
    if (auto file = file_of(outcome.where->stack); !file.empty()) data["file"] = std::move(file);
    if (!outcome.where->stack.empty()) data["stack"] = cut_text(outcome.where->stack, 2 * kMaxText);
  }
  if (!outcome.log.empty()) data["lines"] = cut_list(outcome.log);
  if (!outcome.warnings.empty()) data["warnings"] = cut_list(outcome.warnings);
  if (!call.code.version.empty()) data["version"] = call.code.version;
  if (by_hand) data["byHand"] = true;
  log_.add(std::move(entry), by_hand);
}

void Journal::forget(const std::string& account, const std::string& driver_id) {
  statistics_.forget(account, driver_id);
  failures_.forget(account, driver_id);
}

}  // namespace sluice::driver
