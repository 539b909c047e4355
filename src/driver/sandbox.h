// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>

namespace sluice::driver::sandbox {

// What a host process ends with when it cannot be made safe; told to the operator as text.
enum class Exit : int {
  fine = 0,
  no_socket = 70,
  no_page = 71,
  protocol = 72,
  no_engine = 73,
  no_filter = 74,
  no_limits = 75
};
const char* to_string(Exit code);

// Before JavaScriptCore: the environment (locale, zone, JavaScriptCore's options), no descriptors but the socket, the
// page and standard error, no core files, first in line when the machine runs out of memory, dead when the parent is.
bool prepare();

// After warm-up, for good: standard error closed, memory bounded relative to what is in use, and a system call filter
// over all threads under which no file, socket or process can be reached.
Exit close(std::uint64_t memory_limit);

}  // namespace sluice::driver::sandbox
