// SPDX-License-Identifier: Apache-2.0
#include <cstdint>
#include <cstdlib>

#include "driver/example.h"

// The first byte chooses the form. What is read goes into the API's form and comes back as it was.
extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace sluice::driver;  // NOLINT
  if (size == 0) return 0;
  const std::string_view text(reinterpret_cast<const char*>(data) + 1, size - 1);
  const auto form = static_cast<ExampleForm>(data[0] % 7);
  auto read = read_examples(text, "x", form, data[0] & 0x80 ? std::optional(Signature::ttn) : std::nullopt);
  for (auto& example : read.examples) {
    auto back = from_api(to_api(example), true);
    if (!back) std::abort();
    back->file = example.file;
    back->for_tests = example.for_tests;
    if (*back != example) std::abort();
  }
  (void)examples_from_api(examples_to_api(read.examples));
  return 0;
}
