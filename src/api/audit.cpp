// SPDX-License-Identifier: Apache-2.0
#include "api/audit.h"

#include <algorithm>
#include <array>

#include "api/address.h"
#include "base/codec.h"
#include "base/crypto.h"
#include "base/log.h"

namespace sluice::api {
namespace {

constexpr std::size_t kMostLogin = 128;

// The resources whose changes are told, by their name in the path. The last one in a path is meant:
// /accounts/{id}/apiKeys/{keyId} is about a key.
struct Kind {
  std::string_view segment;
  const char* code;
  const char* text;
  const char* filter;  // the member of `data` that events are filtered by; empty: none
};
constexpr std::array<Kind, 8> kKinds = {{
    {"connections", "audit-6001", "Connection", "connectionId"},
    {"flows", "audit-6002", "Flow", "flowId"},
    {"drivers", "audit-6003", "Driver", "driverId"},
    {"binders", "audit-6004", "Binder", "binderId"},
    {"accounts", "audit-6005", "Account", ""},
    {"members", "audit-6006", "Member", ""},
    {"apiKeys", "audit-6007", "API key", ""},
    {"users", "audit-6010", "User", ""},
}};
constexpr Kind kOther{"", "audit-6012", "Setting", ""};

// A login comes from whoever sends it: what a log or a screen could take for something else is left out.
std::string shown_login(std::string_view login) {
  std::string shown;
  for (char c : login.substr(0, kMostLogin))
    shown += c >= 0x20 && c < 0x7f ? c : '?';
  return shown;
}

std::vector<std::string_view> segments(std::string_view path) {
  std::vector<std::string_view> parts;
  while (!path.empty()) {
    if (path.front() == '/') path.remove_prefix(1);
    parts.push_back(path.substr(0, path.find('/')));
    path.remove_prefix(parts.back().size());
  }
  return parts;
}

struct What {
  const Kind* kind = &kOther;
  std::string action;
  std::string id;
};

What what_of(const Route& route, const std::vector<std::string>& params, const Response& response) {
  What what;
  std::size_t param = 0;
  std::string verb;
  for (auto segment : segments(route.path)) {
    if (segment.front() == '{') {
      // The id of the resource stands right behind its name; what follows is a part of it.
      if (param < params.size() && verb.empty()) what.id = params[param];
      ++param;
      continue;
    }
    const auto* kind =
        std::find_if(kKinds.begin(), kKinds.end(), [&](const Kind& one) { return one.segment == segment; });
    if (kind == kKinds.end()) {
      verb += (verb.empty() ? "" : "/") + std::string(segment);
      continue;
    }
    what.kind = kind;
    what.id.clear();
    verb.clear();
  }
  const bool deletes = route.method == "DELETE", posts = route.method == "POST";
  if (verb.empty()) {
    what.action = deletes ? "deleted" : posts && what.id.empty() ? "created" : "changed";
  } else {
    what.action = (deletes ? "delete " : route.method == "PUT" ? "set " : "") + verb;
  }
  if (what.id.empty()) {
    for (const auto& [name, value] : response.headers) {
      if (name != "Location") continue;
      auto last = value.substr(value.rfind('/') + 1);
      what.id = url_decode(last).value_or(last);
    }
  }
  return what;
}

void put(const Call& call, const std::string& account, const char* level, const char* code, const std::string& message,
         boost::json::object data) {
  log::info("audit: account {}: {} by {} from {}", account, message, json::text_or(data, "user"),
            json::text_or(data, "address"));
  call.context.events.add(account, level, code, message, std::move(data));
}

boost::json::object who(const Call& call) {
  boost::json::object data{{"user", call.caller.client_id}, {"address", call.address}};
  if (!call.caller.impersonated_by.empty()) data["impersonatedBy"] = call.caller.impersonated_by;
  return data;
}

bool has_effect(const Route& route) {
  if (route.method == "GET" || route.access == Access::open) return false;
  // Downlinks are messages, not settings: connection-1501 and 1502 tell of them.
  if (route.path.ends_with("/downlinks")) return false;
  // Trials change nothing.
  if (route.path.ends_with("/connections/test") || route.path.ends_with("/try")) return false;
  // What every member may do below /iot-flow leaves no trace: decode, encode, execute.
  return route.access != Access::reader || route.path.starts_with("/iot-admin");
}

}  // namespace

std::string correlation_id(const Request& request) {
  auto given = request.header("x-correlation-id");
  bool sane = !given.empty() && given.size() <= 128 &&
              std::all_of(given.begin(), given.end(), [](char c) { return c > 0x20 && c < 0x7f && c != '"'; });
  return sane ? std::string(given) : to_hex(random_bytes(8));
}

std::string log_path(const std::string& path) {
  constexpr std::string_view kDownlinks = "/iot-flow/downlinkMessages/";
  return path.starts_with(kDownlinks) ? std::string(kDownlinks) + "..." : path;
}

std::string audit_change(const Call& call, const Route& route, const std::vector<std::string>& params,
                         const Response& response) {
  if (!has_effect(route) || response.status >= 400 || call.audit.told) return {};
  auto what = what_of(route, params, response);
  auto correlation = correlation_id(call.request);
  auto data = who(call);
  data["action"] = what.action;
  data["method"] = route.method;
  data["path"] = log_path(call.request.path);
  if (!what.id.empty()) {
    data["id"] = what.id;
    if (*what.kind->filter != '\0') data[what.kind->filter] = what.id;
  }
  for (const auto& member : call.audit.data)
    data[member.key()] = member.value();
  data["correlationId"] = correlation;
  // Each change is an event of its own, also where the client gives all its requests one correlation id.
  data["auditId"] = to_hex(random_bytes(8));
  const auto& account = call.audit.account.empty() ? call.caller.account : call.audit.account;
  auto message = std::string(what.kind->text) + (what.id.empty() ? "" : " " + what.id) + ": " + what.action;
  put(call, account, "info", what.kind->code, message, std::move(data));
  return correlation;
}

void audit_refused_login(const Call& call, const std::string& login, const char* why) {
  auto client = call.context.store.client(login);
  bool known = client && *client && !(*client)->account.empty();
  auto shown = shown_login(login);
  // Made-up clients are one event a minute: they must not push all others out.
  put(call, known ? (*client)->account : kFirstAccount, "warn", "audit-6008", "Login refused: " + shown,
      {{"user", shown}, {"address", call.address}, {"cause", known ? why + (": " + shown) : "unknown client"}});
}

void audit_impersonation(const Call& call, const std::string& login, const std::string& account,
                         std::chrono::seconds life) {
  auto data = who(call);
  data["login"] = login;
  data["validitySeconds"] = life.count();
  data["auditId"] = to_hex(random_bytes(8));
  put(call, account, "warn", "audit-6009", "Impersonation token for " + login, std::move(data));
}

void audit_ended_token(const Call& call) {
  auto data = who(call);
  data["auditId"] = to_hex(random_bytes(8));
  put(call, call.caller.account, "info", "audit-6011", "Token ended by its holder", std::move(data));
}

}  // namespace sluice::api
