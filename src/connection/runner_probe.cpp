// SPDX-License-Identifier: Apache-2.0
#include "connection/probe.h"
#include "connection/runner.h"

namespace sluice::connection {

void Runner::test(store::Connection draft, std::string uplink, std::function<void(TestReport)> done) {
  try_connection(shared_, draft, std::move(uplink), std::move(done));
}

}  // namespace sluice::connection
