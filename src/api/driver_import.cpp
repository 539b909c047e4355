// SPDX-License-Identifier: Apache-2.0
// Many drivers at once, as `sluice driver import` sends them (spec drivers.md 16).
#include <algorithm>

#include "api/driver_calls.h"
#include "api/fields.h"
#include "base/log.h"
#include "driver/install.h"

namespace sluice::api {
namespace {

using boost::json::object;

constexpr std::size_t kMostDrivers = 200;

object answer_of(const driver::Installed& installed) {
  object one{{"path", installed.path}, {"id", installed.id}, {"outcome", driver::to_text(installed.outcome)}};
  if (!installed.reason.empty()) one["reason"] = installed.reason;
  if (installed.own_fault) one["ownFault"] = true;
  if (!installed.warnings.empty())
    one["warnings"] = boost::json::array(installed.warnings.begin(), installed.warnings.end());
  return one;
}

driver::Installer::Prepared read_and_prepare(driver::Installer& installer, const boost::json::value& value) {
  driver::Installer::Prepared prepared;
  auto& refused = prepared.result;
  refused.own_fault = true;
  if (!value.is_object()) {
    refused.reason = "must be an object";
    return prepared;
  }
  refused.path = json::text_or(value.get_object(), "path");
  auto package = driver::package_from_json(value.get_object());
  if (!package) {
    refused.reason = package.error().text;
    return prepared;
  }
  return installer.prepare(*package);
}

Response import_drivers(Call& call) {
  if (!call.body.is_object()) return fail({{"", "must be an object"}});
  const auto& body = call.body.get_object();
  const auto* drivers = json::find(body, "drivers");
  if (drivers == nullptr || !drivers->is_array()) return fail({{"/drivers", "must be an array"}});
  if (drivers->get_array().size() > kMostDrivers) return fail({{"/drivers", "may have at most 200 elements"}});
  const bool system = json::bool_or(body, "system", false), dry = json::bool_or(body, "dryRun", false);
  if (system && !owns_installation(call.caller))
    return fail("com-4003", "only the installation's own account may import system drivers");
  driver::Installer installer(call.context.store, {.account = system ? std::string() : call.caller.account,
                                                   .force = json::bool_or(body, "force", false),
                                                   .trust = json::bool_or(body, "trust", false),
                                                   .inspect = call.context.inspect_driver,
                                                   .point_fault = point_fault});
  std::vector<driver::Installer::Prepared> prepared;
  prepared.reserve(drivers->get_array().size());
  for (const auto& value : drivers->get_array())
    prepared.push_back(read_and_prepare(installer, value));

  boost::json::array results;
  std::size_t changed = 0;
  std::lock_guard lock(call.state.configuration);
  if (auto loaded = installer.load(); !loaded) return fail(loaded.error());
  for (auto& one : prepared) {
    const auto installed = installer.put(std::move(one), dry);
    changed += installed.outcome == driver::Installed::Outcome::created ||
               installed.outcome == driver::Installed::Outcome::replaced;
    results.push_back(answer_of(installed));
  }
  if (changed > 0 && !dry) {
    if (auto reloaded = call.context.reload_drivers(); !reloaded) return fail(reloaded.error());
    log::info("{} of {} drivers imported by {}{}", changed, prepared.size(), call.caller.client_id,
              system ? " for all accounts" : "");
  }
  return answer(results);
}

}  // namespace

void add_driver_import(std::vector<Route>& routes) {
  routes.push_back({"POST", "/iot-flow/v1/drivers/import", Access::owner, import_drivers, Body::json});
}

}  // namespace sluice::api
