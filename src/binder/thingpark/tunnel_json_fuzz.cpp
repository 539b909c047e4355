// SPDX-License-Identifier: Apache-2.0
#include <cstdlib>

#include "binder/thingpark/tunnel.h"

// Any body and query through the tunnel, with and without security; what is taken has to survive the log and composing.
extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace sluice;                     // NOLINT
  using namespace sluice::binder::thingpark;  // NOLINT
  std::string_view input(reinterpret_cast<const char*>(data), size);
  auto line = input.find('\n');
  auto query = line == std::string_view::npos ? std::string_view() : input.substr(0, line);
  auto body = line == std::string_view::npos ? input : input.substr(line + 1);
  Settings settings{"b", "a", "as", "f3203a20a2e8dfaf6686b621f56d05e3", true, "", std::chrono::minutes(5)};
  (void)accept(settings, {query, "application/json", body}, 1);
  settings.max_time_deviation.reset();
  (void)accept(settings, {"AS_ID=as&Time=2020&Token=" + std::string(64, '0'), "application/json", body}, 1);
  settings.security = false;
  auto answer = accept(settings, {query, "application/json", body}, 1);
  auto* message = std::get_if<message::Message>(&answer);
  if (!message) return 0;
  auto back = message::decode_record(message::encode_record(*message));
  if (!back || back->body != message->body || back->root_end != message->root_end) std::abort();
  message::Decoded decoded{"a:b:1", R"({"t":1})", R"({"p":{}})", "", ""};
  for (const message::Decoded* d :
       {static_cast<const message::Decoded*>(nullptr), static_cast<const message::Decoded*>(&decoded)}) {
    auto composed = message::compose(*message, d, "https://h/u");
    // What is composed has to be a report of the same kind again.
    auto again = message::parse_report(composed);
    if (!again && composed.size() < (1u << 20)) std::abort();
    if (again && (again->type != message->type || again->dev_eui != message->dev_eui)) std::abort();
    (void)message::format_for({true, false}, *message, d, "u");
    (void)message::format_for({false, true}, *message, d, "u");
  }
  return 0;
}
