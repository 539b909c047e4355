// SPDX-License-Identifier: Apache-2.0
#include "connection/runner.h"

namespace sluice::connection {

Result<std::vector<SeriesPoint>> Runner::series(const std::string&, UnixMillis, UnixMillis, std::chrono::minutes) {
  return std::vector<SeriesPoint>{};
}

}  // namespace sluice::connection
