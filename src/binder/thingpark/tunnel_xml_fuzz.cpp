// SPDX-License-Identifier: Apache-2.0
#include <cstdlib>

#include "binder/thingpark/tunnel.h"
#include "message/json_scan.h"

// Any XML through the tunnel, with and without security; what comes out has to be JSON where it came as UTF-8.
extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace sluice;                     // NOLINT
  using namespace sluice::binder::thingpark;  // NOLINT
  std::string_view body(reinterpret_cast<const char*>(data), size);
  Settings settings{"b", "a", "as", "f3203a20a2e8dfaf6686b621f56d05e3", true, "", std::nullopt};
  (void)accept(settings, {"AS_ID=as&Time=2020&Token=" + std::string(64, '0'), "application/xml", body}, 1);
  settings.security = false;
  (void)accept(settings, {"", "", body}, 1);
  (void)accept(settings, {"", "application/xml", body}, 1);
  auto json = message::xml_to_json(body);
  if (json && message::scan::valid_utf8(*json) && !message::scan::compact(*json)) std::abort();
  return 0;
}
