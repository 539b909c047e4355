// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <spdlog/spdlog.h>
#include <string_view>

namespace sluice::log {

// spdlog with our levels (docs/operations.md): info = an operator's action took effect; warn = unexpected, nothing
// lost; error = data lost or a hand needed. Plain running logs nothing per message. Never pass a secret.
using spdlog::debug;
using spdlog::error;
using spdlog::info;
using spdlog::warn;

// Level by name: debug, info, warn, error, off. False where there is none of that name.
bool set_level(std::string_view name);
// Log to standard error as "2026-01-01T00:00:00.000Z level text".
void start();

}  // namespace sluice::log
