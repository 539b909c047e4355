// SPDX-License-Identifier: Apache-2.0
// Both directions of the wire, and what the engine makes of a host's texts.
#include <cstddef>
#include <cstdint>
#include <cstring>

#include "driver/outcome.h"
#include "driver/wire.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  namespace wire = sluice::driver::wire;
  static sluice::driver::OutcomeReader outcomes(1u << 20);
  const std::string_view all(reinterpret_cast<const char*>(data), size);
  wire::Reader reader;
  std::memcpy(reader.space(size + 1), all.data(), size);
  reader.filled(size);
  while (const auto frame = reader.next()) {
    wire::read_configure(frame->body);
    wire::read_role(frame->body);
    wire::read_load(frame->body);
    wire::read_unload(frame->body);
    wire::read_inspect(frame->body);
    wire::read_ready(frame->body);
    if (const auto call = wire::read_call(frame->body)) {
      std::string again;
      wire::append(again, *call);
      if (std::string_view(again).substr(5) != frame->body) __builtin_trap();
    }
    if (const auto answer = wire::read_answer(frame->body)) outcomes.read(answer->text);
  }
  outcomes.read(all);
  (void)outcomes.read_inspection(all);
  return 0;
}
