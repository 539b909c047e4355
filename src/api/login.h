// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <chrono>
#include <optional>
#include <string>
#include <string_view>

#include "api/router.h"

namespace sluice::api {

// "<n>hours" or "<n>days", at most 366 days (spec api.md 2); nothing for another text, `infinite` too.
std::optional<std::chrono::seconds> read_validity(std::string_view text);

// How long that login, or the address the request comes from, has to wait after 10 failures in 5 minutes; nothing: it
// may try.
std::optional<std::chrono::milliseconds> login_wait(Call& call, const std::string& login);
void record_failed_login(Call& call, const std::string& login);

}  // namespace sluice::api
