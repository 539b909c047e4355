// SPDX-License-Identifier: Apache-2.0
// For whoever watches the process: no token. The metrics are open to the machine itself only.
#include "api/router.h"

namespace sluice::api {
namespace {

bool is_loopback(std::string_view peer) {
  return peer == "::1" || peer.starts_with("127.") || peer.starts_with("::ffff:127.");
}

Response healthz(Call&) {
  return answer(boost::json::object{{"status", "UP"}, {"version", SLUICE_VERSION}});
}

Response readyz(Call& call) {
  bool ready = call.context.ready && call.context.ready();
  if (!ready) return fail("com-5003", "not ready to take messages");
  return answer(boost::json::object{{"status", "UP"}});
}

Response metrics(Call& call) {
  // Through a proxy every client looks local: then a token is needed.
  bool forwarded = !call.request.header("x-forwarded-for").empty() || !call.request.header("forwarded").empty();
  if (!is_loopback(call.request.peer) || forwarded) {
    auto caller = authenticate(call);
    if (!caller) return fail(caller.error()).with("WWW-Authenticate", "Bearer");
    // They are of all accounts.
    if (!owns_installation(*caller) && !caller->administrator)
      return fail("com-4003", "metrics of the whole installation are for its own account");
  }
  return {.body = call.context.metrics.text(), .content_type = "text/plain; version=0.0.4; charset=utf-8"};
}

}  // namespace

void add_health(std::vector<Route>& routes) {
  routes.push_back({"GET", "/healthz", Access::open, healthz});
  routes.push_back({"GET", "/readyz", Access::open, readyz});
  routes.push_back({"GET", "/metrics", Access::open, metrics, Body::none, "*"});
}

}  // namespace sluice::api
