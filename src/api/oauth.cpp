// SPDX-License-Identifier: Apache-2.0
// Tokens (spec api.md 2).
#include <charconv>

#include "api/address.h"
#include "api/audit.h"
#include "api/login.h"
#include "api/router.h"
#include "base/codec.h"

namespace sluice::api {
namespace {

constexpr std::chrono::seconds kDefaultLife{12 * 3600};
constexpr std::size_t kMostClientId = 512;
constexpr std::int64_t kMaxLifeSeconds = 366LL * 24 * 3600;

using Form = std::vector<std::pair<std::string, std::string>>;

std::optional<std::string> field(const Form& form, std::string_view name) {
  for (const auto& [key, value] : form) {
    if (key == name) return value;
  }
  return {};
}

// Both shapes: OAuth libraries read `error`, clients of the API read `code`.
Response refuse(std::string code, const char* oauth_error, std::string text) {
  auto response = fail(std::move(code), text);
  response.problem->more = {{"error", oauth_error}, {"error_description", text}};
  response.with("Cache-Control", "no-store");
  return response;
}

struct Credentials {
  std::string id, secret;
};

// Nothing where the header is no Basic one or broken.
std::optional<Credentials> basic(std::string_view header) {
  if (!equals_ignoring_case(header.substr(0, 6), "basic ")) return {};
  auto text = from_base64(trim(header.substr(6)));
  auto colon = text ? text->find(':') : std::string::npos;
  if (colon == std::string::npos) return {};
  return Credentials{text->substr(0, colon), text->substr(colon + 1)};
}

}  // namespace

std::optional<std::chrono::seconds> read_validity(std::string_view text) {
  std::int64_t number = 0;
  auto end = std::from_chars(text.data(), text.data() + text.size(), number);
  std::string_view unit = text.substr(static_cast<std::size_t>(end.ptr - text.data()));
  std::int64_t factor = unit == "hours" ? 3600 : unit == "days" ? 24 * 3600 : 0;
  if (end.ec != std::errc() || factor == 0 || number < 1 || number > kMaxLifeSeconds / factor) return {};
  return std::chrono::seconds(number * factor);
}

namespace {

Result<Credentials> credentials(const Call& call, const Form& form) {
  auto id = field(form, "client_id");
  auto secret = field(form, "client_secret");
  auto header = call.request.header("authorization");
  Error bad{ErrorKind::permanent, "", "com-4000"};
  if (header.empty()) return Credentials{id.value_or(""), secret.value_or("")};
  auto sent = basic(header);
  if (!sent) {
    bad.text = "the Authorization header must be Basic base64(client_id:client_secret)";
    return bad;
  }
  if ((id && *id != sent->id) || (secret && *secret != sent->secret)) {
    bad.text = "the form and the Authorization header name different credentials";
    return bad;
  }
  return *sent;
}

Response issue(Call& call, const store::Client& client, const std::string& client_id, const Form& form) {
  Auth::Wish wish{.client_id = client_id, .life = kDefaultLife};
  if (auto text = field(form, "validityPeriod")) {
    auto read = read_validity(*text);
    if (!read)
      return refuse("com-4000", "invalid_request", "validityPeriod must be as 12hours or 7days, at most 366days");
    wish.life = *read;
  }
  wish.account = field(form, "scope").value_or("");
  wish.end_earlier = field(form, "renewToken").value_or("") == "true";
  auto issued = call.state.auth.issue(client, wish);
  if (!issued && issued.error().code == "com-4000") return refuse("com-4000", "invalid_scope", issued.error().text);
  if (!issued) return fail(issued.error()).with("Cache-Control", "no-store");
  auto response = answer(boost::json::object{{"access_token", issued->token},
                                             {"token_type", "bearer"},
                                             {"expires_in", issued->life.count()},
                                             {"scope", issued->account},
                                             {"client_id", client_id}});
  return response.with("Cache-Control", "no-store");
}

Response token(Call& call) {
  auto type = to_lower(call.request.header("content-type"));
  if (!type.empty() && !type.starts_with("application/x-www-form-urlencoded")) {
    return refuse("com-4015", "invalid_request", "the body must be application/x-www-form-urlencoded");
  }
  auto form = parse_form(trim(call.request.body));
  if (!form) return refuse("com-4000", "invalid_request", "the form has a broken escape");
  if (field(*form, "grant_type").value_or("") != "client_credentials") {
    return refuse("com-4000", "unsupported_grant_type", "grant_type must be client_credentials");
  }
  auto sent = credentials(call, *form);
  if (!sent) return refuse(sent.error().code, "invalid_request", sent.error().text);

  // It becomes a part of the token.
  if (sent->id.size() > kMostClientId) return refuse("com-4000", "invalid_request", "client_id is too long");
  auto login = Auth::login_of(sent->id);
  if (auto wait = login_wait(call, login)) {
    return refuse("com-4029", "slow_down", "too many failures; wait a little")
        .with("Retry-After", std::to_string((wait->count() + 999) / 1000));
  }
  auto client = call.state.auth.check_secret(sent->id, sent->secret);
  if (!client && client.error().code != "com-4001") return fail(client.error()).with("Cache-Control", "no-store");
  if (!client) {
    record_failed_login(call, login);
    audit_refused_login(call, login, "unknown client or wrong secret");
    return refuse("com-4001", "invalid_client", client.error().text).with("WWW-Authenticate", "Basic realm=\"sluice\"");
  }
  return issue(call, *client, sent->id, *form);
}

Response tokeninfo(Call& call) {
  auto checked = call.state.auth.check_token(call.request.parameter("access_token").value_or(""));
  if (!checked) return fail(checked.error()).with("Cache-Control", "no-store");
  return answer(boost::json::object{{"client_id", checked->subject},
                                    {"expires_in", checked->left.count()},
                                    {"scope", checked->caller.account}})
      .with("Cache-Control", "no-store");
}

// RFC 7009: ends one token, by whoever holds it. A token that is none is no error.
Response revoke(Call& call) {
  auto type = to_lower(call.request.header("content-type"));
  if (!type.empty() && !type.starts_with("application/x-www-form-urlencoded"))
    return refuse("com-4015", "invalid_request", "the body must be application/x-www-form-urlencoded");
  auto form = parse_form(trim(call.request.body));
  auto token = form ? field(*form, "token") : std::nullopt;
  if (!token || token->empty()) return refuse("com-4000", "invalid_request", "the form must hold the token");
  auto checked = call.state.auth.check_token(*token);
  if (!checked && checked.error().code != "com-4001") return fail(checked.error()).with("Cache-Control", "no-store");
  if (checked) {
    if (auto ended = call.state.auth.end(*checked); !ended)
      return fail(ended.error()).with("Cache-Control", "no-store");
    call.caller = checked->caller;
    audit_ended_token(call);
  }
  return answer(boost::json::object()).with("Cache-Control", "no-store");
}

}  // namespace

std::optional<std::chrono::milliseconds> login_wait(Call& call, const std::string& login) {
  auto now = call.context.clock.now();
  for (const auto& key : {"client:" + login.substr(0, 256), "address:" + limit_key(call.address)}) {
    if (auto wait = call.state.token_failures.wait(key, now)) return wait;
  }
  return {};
}

void record_failed_login(Call& call, const std::string& login) {
  auto now = call.context.clock.now();
  call.state.token_failures.record("client:" + login.substr(0, 256), now);
  call.state.token_failures.record("address:" + limit_key(call.address), now);
}

void add_oauth(std::vector<Route>& routes) {
  routes.push_back({"POST", "/iot-flow/v1/oauth/token", Access::open, token, Body::any});
  routes.push_back({"POST", "/iot-flow/v1/oauth/tokenSwagger", Access::open, token, Body::any});
  routes.push_back({"GET", "/iot-flow/v1/oauth/tokeninfo", Access::open, tokeninfo});
  routes.push_back({"POST", "/iot-flow/v1/oauth/revoke", Access::open, revoke, Body::any});
}

}  // namespace sluice::api
