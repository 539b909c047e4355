// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>

#include "api/router.h"

namespace sluice::api {

// The audit (docs/access.md): an event for every change that a request makes, with who, what and from where; never a
// secret. It goes to the account that was changed, and to the log at level info.

// Tells the change that a handler has just answered with success; nothing for reads and for what has no lasting effect.
// `params` are those of the path. Gives the correlation id by which event and answer belong together; empty: nothing
// was told.
std::string audit_change(const Call& call, const Route& route, const std::vector<std::string>& params,
                         const Response& response);

// A secret that was wrong, a client that is unknown or waits. To the client's account, else to the installation's own.
// Many in a minute are one event with a count.
void audit_refused_login(const Call& call, const std::string& login, const char* why);

// A token made to act as somebody else.
void audit_impersonation(const Call& call, const std::string& login, const std::string& account,
                         std::chrono::seconds life);

// A token that its holder has ended.
void audit_ended_token(const Call& call);

// The id that stands in the request's answer, its log lines and its events: the client's own where it is sane.
std::string correlation_id(const Request& request);

// A path as it may stand in a log: the UUID of a downlink URL is a credential.
std::string log_path(const std::string& path);

}  // namespace sluice::api
