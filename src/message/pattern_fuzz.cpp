// SPDX-License-Identifier: Apache-2.0
#include <cstdint>
#include <cstdlib>

#include "message/pattern.h"

// Any pattern, and any topic after a line break: parsed, rendered in every place, turned round.
extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace sluice::message;  // NOLINT
  static const auto message = parse_report(
      R"({"DevEUI_uplink":{"DevEUI":"0018B20000000B20","FPort":"1","FCntUp":1174,"LrrRSSI":-65.0,"ADRbit":true,"Nothing":null,)"
      R"("CustomerData":{"tags":["site=Paris","Paris:Nord/1"],"name":"A+B #1/\u00e9","alr":{"pro":"X"}},"a":[[1,2],[3.0,"x"]]}})");
  if (!message) std::abort();
  std::string_view input(reinterpret_cast<const char*>(data), size);
  auto line = input.find('\n');
  auto pattern = Pattern::parse(input.substr(0, line));
  if (!pattern) return 0;
  Document document(*message, message->body);
  for (auto place : {Place::mqtt_topic, Place::amqp_routing_key, Place::header, Place::url, Place::plain}) {
    (void)pattern->render(document, place);
  }
  auto topic = line == std::string_view::npos ? std::string_view("a/b/c") : input.substr(line + 1);
  for (char separator : {'/', '.'}) {
    (void)pattern->subscription(separator, "+");
    (void)pattern->capture(topic, separator);
  }
  return 0;
}
