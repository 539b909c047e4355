// SPDX-License-Identifier: Apache-2.0
#include "base/result.h"

#include <cstdio>
#include <cstdlib>

namespace sluice {

const char* to_string(ErrorKind kind) {
  switch (kind) {
    case ErrorKind::transient:
      return "transient";
    case ErrorKind::permanent:
      return "permanent";
    case ErrorKind::not_connected:
      return "not_connected";
    case ErrorKind::bad_config:
      return "bad_config";
    case ErrorKind::cancelled:
      return "cancelled";
    case ErrorKind::bug:
      return "bug";
  }
  return "bug";
}

void fail_ensure(const char* condition, const char* file, int line) {
  std::fprintf(stderr, "sluice: ensure failed: %s (%s:%d)\n", condition, file, line);
  std::abort();
}

}  // namespace sluice
