// SPDX-License-Identifier: Apache-2.0
#include <cstdlib>

#include "connector/aws/greengrass/discovery.h"
#include "connector/pem.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  auto bundle = sluice::connector::greengrass::authorities_of({reinterpret_cast<const char*>(data), size});
  // What is taken for a bundle can be used as one.
  if (bundle && !sluice::connector::check_certificates(*bundle)) std::abort();
  return 0;
}
