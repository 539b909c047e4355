// SPDX-License-Identifier: Apache-2.0
// Trying a connection before it is saved (spec api.md 5.9). The manager does it in the background; no worker waits.
#include "api/router.h"
#include "base/json.h"
#include "base/log.h"

namespace sluice::api {
namespace {

// Each costs sockets to places that the caller names.
constexpr int kMostAtOnce = 8;
constexpr std::chrono::milliseconds kLimit{20000};

boost::json::object shown(const connection::TestReport& report) {
  boost::json::array steps;
  for (const auto& step : report.steps)
    steps.push_back({{"name", step.name}, {"ok", step.ok}, {"ms", step.ms}, {"message", step.message}});
  return {{"ok", report.ok}, {"state", connection::to_string(report.state)}, {"steps", std::move(steps)}};
}

Response test(Call& call) {
  auto read = read_trial(call);
  if (auto* refused = std::get_if<Response>(&read)) return std::move(*refused);
  std::string uplink;
  if (const auto* given = json::find(call.body.get_object(), "uplink"); given != nullptr && !given->is_null()) {
    if (!given->is_object()) return fail({{"/uplink", "must be an object: a report as the network server sends it"}});
    uplink = json::write(*given);
    if (auto report = message::parse_report(uplink); !report) return fail({{"/uplink", report.error().text}});
  }
  auto trials = call.state.trials;
  if (++*trials > kMostAtOnce) {
    --*trials;
    return fail("com-4029", "too many connections are being tried at once").with("Retry-After", "5");
  }
  log::info("a connection is tried by {}", call.caller.client_id);
  Response response;
  response.later =
      Later{[&connections = call.context.connections, trials, draft = std::get<store::Connection>(std::move(read)),
             uplink = std::move(uplink)](std::function<void(Response)> done) mutable {
              connections.test(std::move(draft), std::move(uplink),
                               [trials, done = std::move(done)](const connection::TestReport& report) {
                                 --*trials;
                                 done(answer(shown(report)));
                               });
            },
            kLimit, [] { return fail("com-5000", "the trial has not ended in time"); }};
  return response;
}

}  // namespace

void add_connection_test(std::vector<Route>& routes) {
  routes.push_back({"POST", "/iot-flow/v1/connections/test", Access::writer, test, Body::json});
}

}  // namespace sluice::api
