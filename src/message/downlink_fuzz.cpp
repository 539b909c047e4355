// SPDX-License-Identifier: Apache-2.0
#include <cstdint>
#include <cstdlib>

#include "message/downlink.h"

// Any command: what has no faults has to make a query, and its rejection has to be a report.
extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace sluice::message;  // NOLINT
  std::string_view input(reinterpret_cast<const char*>(data), size);
  constexpr sluice::UnixMillis kNow = 1'700'000'000'000;
  for (bool bare : {false, true}) {
    auto parsed = parse_downlink(input, {"as", "key", std::nullopt, ""}, bare, kNow);
    if (!parsed.is_downlink || !parsed.faults.empty()) continue;
    const auto& downlink = parsed.downlink;
    if (downlink.dev_eui.size() != 16) std::abort();
    if (!downlink.payload_hex && !downlink.payload && !downlink.flush_queue) std::abort();
    auto query = downlink_query(downlink, kNow);
    if (query.find_first_of(" \r\n#") != std::string::npos) std::abort();
    auto stored = read_downlink(write_downlink(downlink));
    if (!stored || downlink_query(*stored, kNow) != query) std::abort();
    if (!parse_report(rejected_report(downlink, 400, "cause", kNow))) std::abort();
  }
  // A query makes a body, never one that is no JSON.
  if (auto body = downlink_of_query(input)) {
    auto parsed = parse_downlink(*body, {}, false, kNow);
    if (!parsed.is_downlink && body->size() < 1000) {
      for (char c : input) {
        if (static_cast<unsigned char>(c) >= 0x80 || c == '%') return 0;  // not UTF-8 once decoded
      }
      std::abort();
    }
  }
  return 0;
}
