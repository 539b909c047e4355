// SPDX-License-Identifier: Apache-2.0
#include "api/oidc.h"

#include <algorithm>
#include <future>

#include "base/codec.h"
#include "base/http_client.h"
#include "base/json.h"
#include "base/log.h"

namespace sluice::api {
namespace {

constexpr UnixMillis kKeepKeys = 3'600'000;
constexpr UnixMillis kBetweenFetches = 30'000;
constexpr std::int64_t kSkewSeconds = 60;
constexpr std::size_t kMostKeys = 100;
constexpr std::chrono::milliseconds kFetchLimit{5000};

Error refused(const std::string& why) {
  return {ErrorKind::permanent, "the token is not valid: " + why, "com-4001"};
}

Result<boost::json::object> part(std::string_view encoded) {
  auto text = from_base64(encoded);
  if (!text) return refused("not a JSON Web Token");
  auto parsed = json::parse(*text, 32);
  if (!parsed || !parsed->is_object()) return refused("not a JSON Web Token");
  return std::move(parsed->get_object());
}

// `aud` is a text or a list of texts.
bool is_for(const boost::json::object& claims, const std::string& audience) {
  const auto* value = claims.if_contains("aud");
  if (value == nullptr) return false;
  if (const auto* text = value->if_string()) return *text == audience;
  const auto* list = value->if_array();
  return list != nullptr && std::any_of(list->begin(), list->end(), [&](const auto& one) {
           return one.is_string() && one.get_string() == audience;
         });
}

// Seconds since 1970; whole or not (RFC 7519 section 2 allows both).
std::optional<std::int64_t> time_claim(const boost::json::object& claims, const char* name) {
  const auto* value = claims.if_contains(name);
  if (value == nullptr || !value->is_number()) return {};
  auto seconds = value->to_number<double>();
  if (!(seconds >= 0 && seconds < 1e12)) return {};
  return static_cast<std::int64_t>(seconds);
}

}  // namespace

Oidc::Oidc(std::vector<OidcIssuer> issuers, Clock& clock, Fetch fetch) : clock_(clock), fetch_(std::move(fetch)) {
  for (auto& settings : issuers) {
    issuers_.push_back(std::make_unique<Issuer>());
    issuers_.back()->settings = std::move(settings);
  }
}

Result<Oidc::Identity> Oidc::check(std::string_view token) {
  auto first = token.find('.');
  auto second = token.find('.', first == std::string_view::npos ? first : first + 1);
  if (second == std::string_view::npos || token.find('.', second + 1) != std::string_view::npos)
    return refused("not a JSON Web Token");
  auto header = part(token.substr(0, first));
  if (!header) return header.error();
  auto claims = part(token.substr(first + 1, second - first - 1));
  if (!claims) return claims.error();
  // Which key to look for; nothing of this is believed before the signature is checked.
  auto name = json::text_or(*claims, "iss");
  auto found =
      std::find_if(issuers_.begin(), issuers_.end(), [&](const auto& i) { return i->settings.issuer == name; });
  if (found == issuers_.end()) return refused("an unknown issuer");
  auto& issuer = **found;
  auto signature = from_base64(token.substr(second + 1));
  if (!signature || signature->empty()) return refused("no signature");
  // An extension we do not know must not be ignored (RFC 7515 section 4.1.11).
  if (header->contains("crit")) return refused("an unknown extension");
  auto algorithm = json::text_or(*header, "alg"), key_id = json::text_or(*header, "kid");
  if (algorithm != "RS256" && algorithm != "PS256" && algorithm != "ES256" && algorithm != "EdDSA")
    return refused("an algorithm that is not accepted");
  auto keys = keys_for(issuer, key_id);
  if (!keys) return refused("the issuer's keys cannot be had");
  auto signed_text = token.substr(0, second);
  auto by_id = keys->by_id.find(key_id);
  bool good = key_id.empty()
                  ? std::any_of(keys->all.begin(), keys->all.end(),
                                [&](const PublicKey& key) { return key.verifies(algorithm, signed_text, *signature); })
                  : by_id != keys->by_id.end() && by_id->second.verifies(algorithm, signed_text, *signature);
  if (!good) return refused("the signature is not the issuer's");

  auto now = clock_.now() / 1000;
  auto expires = time_claim(*claims, "exp");
  if (!expires || *expires + kSkewSeconds <= now) return refused("it is over");
  for (const char* since : {"nbf", "iat"}) {
    if (claims->contains(since) && time_claim(*claims, since).value_or(now + 2 * kSkewSeconds) > now + kSkewSeconds)
      return refused("it is not valid yet");
  }
  if (!is_for(*claims, issuer.settings.audience)) return refused("it is for another audience");
  // An address that the issuer has not verified could be anybody's.
  const auto* verified = claims->if_contains("email_verified");
  if (issuer.settings.login_claim == "email" && verified != nullptr &&
      (*verified == false || (verified->is_string() && verified->get_string() == "false"))) {
    return refused("the issuer has not verified the address");
  }
  auto login = json::text_or(*claims, issuer.settings.login_claim);
  if (login.empty()) return refused("it lacks the claim " + issuer.settings.login_claim);
  return Identity{.login = login, .expires = *expires};
}

std::shared_ptr<const Oidc::Keys> Oidc::keys_for(Issuer& issuer, const std::string& key_id) {
  auto look = [&]() -> std::pair<std::shared_ptr<const Keys>, bool> {
    std::lock_guard lock(issuer.mutex);
    auto now = clock_.now();
    bool known = issuer.keys && (key_id.empty() || issuer.keys->by_id.contains(key_id));
    bool fresh = known && now - issuer.fetched < kKeepKeys && now >= issuer.fetched;
    // A clock set back must not keep us from fetching.
    bool may = now - issuer.tried >= kBetweenFetches || now < issuer.tried || issuer.tried == 0;
    return {issuer.keys, !fresh && may};
  };
  auto [keys, needed] = look();
  if (!needed && keys) return keys;
  // With keys at hand nobody waits for another's fetch: a flood of made-up key ids holds up one worker at most.
  std::unique_lock one(issuer.fetching, std::defer_lock);
  if (keys) {
    if (!one.try_lock()) return keys;
  } else {
    one.lock();
  }
  std::tie(keys, needed) = look();
  if (!needed) return keys;
  {
    std::lock_guard lock(issuer.mutex);
    issuer.tried = clock_.now();
  }
  auto fetched = fetch_keys(issuer.settings);
  std::lock_guard lock(issuer.mutex);
  if (fetched) {
    issuer.keys = *fetched;
    issuer.fetched = clock_.now();
  } else {
    log::warn("the keys of {} cannot be fetched: {}", issuer.settings.issuer, fetched.error().text);
  }
  return issuer.keys;
}

Result<std::shared_ptr<const Oidc::Keys>> Oidc::fetch_keys(const OidcIssuer& issuer) const {
  auto document = [&](const std::string& url) -> Result<boost::json::object> {
    auto text = fetch_(issuer, url);
    if (!text) return text.error().wrap(url);
    auto parsed = json::parse(*text, 32);
    if (!parsed || !parsed->is_object()) return Error{ErrorKind::transient, url + " gives no JSON object"};
    return std::move(parsed->get_object());
  };
  auto url = issuer.jwks_url;
  if (url.empty()) {
    auto base = issuer.issuer;
    while (base.ends_with('/'))
      base.pop_back();
    auto configuration = document(base + "/.well-known/openid-configuration");
    if (!configuration) return configuration.error();
    // OpenID Connect Discovery 1.0, section 4.3: it must be the document of this issuer.
    if (json::text_or(*configuration, "issuer") != issuer.issuer)
      return Error{ErrorKind::bad_config, "the configuration found is of another issuer"};
    url = json::text_or(*configuration, "jwks_uri");
    if (url.empty()) return Error{ErrorKind::bad_config, "the configuration found names no jwks_uri"};
  }
  auto set = document(url);
  if (!set) return set.error();
  auto keys = std::make_shared<Keys>();
  const auto* list = set->if_contains("keys");
  if (list == nullptr || !list->is_array()) return Error{ErrorKind::transient, url + " gives no keys"};
  for (const auto& one : list->get_array()) {
    if (!one.is_object() || keys->all.size() >= kMostKeys) continue;
    const auto& jwk = one.get_object();
    if (auto use = json::text_or(jwk, "use"); !use.empty() && use != "sig") continue;
    auto key = PublicKey::from_jwk(jwk);
    if (!key) continue;  // a set may hold keys for others
    keys->all.push_back(*key);
    if (auto id = json::text_or(jwk, "kid"); !id.empty()) keys->by_id.emplace(id, *key);
  }
  if (keys->all.empty()) return Error{ErrorKind::transient, url + " gives no key that we can use"};
  return std::shared_ptr<const Keys>(std::move(keys));
}

Oidc::Fetch Oidc::over_http() {
  auto client = std::make_shared<HttpClient>(2);
  return [client](const OidcIssuer& issuer, const std::string& url) -> Result<std::string> {
    // Keys that came unprotected over a network would let whoever sits on it in.
    bool local =
        url.starts_with("http://127.0.0.1") || url.starts_with("http://localhost") || url.starts_with("http://[::1]");
    if (!url.starts_with("https://") && !local) return Error{ErrorKind::bad_config, "must be an https URL"};
    HttpRequest request;
    request.method = "GET";
    request.url = url;
    request.headers = {{"Accept", "application/json"}};
    request.ca_pem = issuer.ca_pem;
    request.connect_timeout = kFetchLimit / 2;
    request.timeout = kFetchLimit;
    auto promise = std::make_shared<std::promise<Result<HttpResponse>>>();
    auto future = promise->get_future();
    client->send(std::move(request), [promise](Result<HttpResponse> got) { promise->set_value(std::move(got)); });
    if (future.wait_for(2 * kFetchLimit) != std::future_status::ready)
      return Error{ErrorKind::transient, "no answer in time"};
    auto got = future.get();
    if (!got) return got.error();
    if (got->status != 200) return Error{ErrorKind::transient, "answered " + std::to_string(got->status)};
    return std::move(got->body);
  };
}

}  // namespace sluice::api
