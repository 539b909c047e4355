// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <array>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "api/fields.h"
#include "api/router.h"

namespace sluice::api {

// major, minor, patch; nothing where the text is no SemVer. What follows '-' or '+' does not count here.
std::optional<std::array<int, 3>> semver(std::string_view text);

// name, description, moduleId, version.
void read_identity(Fields& fields, bool required);

// `limits` of a driver (driver/limits.h).
void check_limits(const Context& context, const boost::json::object& limits, std::vector<FieldFault>& faults);

// What a client may say of a driver, checked and copied into the resource to be stored (without `code` and
// `extractPoints`, which are stored beside it); all faults at once.
// `before`: what is stored; its examples and points are not checked again.
std::vector<FieldFault> read_driver(const Context& context, const boost::json::object& body,
                                    boost::json::object& resource, const boost::json::object* before = nullptr);

// The driver as this account sees it: its own before the system's. Errors: com-4004.
Result<store::Driver> visible_driver(const Call& call, const std::string& id);

// True for a private driver of another owner: its code, and what shows its code, is shown to nobody (spec drivers.md
// 16.4).
bool is_hidden(const Call& call, const store::Driver& driver);

}  // namespace sluice::api
