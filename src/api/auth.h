// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <chrono>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/clock.h"
#include "base/result.h"
#include "store/store.h"

namespace sluice::api {

// A foreign issuer of tokens (OpenID Connect) whose users are let in.
struct OidcIssuer {
  std::string issuer, audience;
  std::string jwks_url;  // empty: found by the issuer's /.well-known/openid-configuration
  std::string login_claim = "email";
};
struct AuthSettings {
  std::vector<OidcIssuer> issuers;
  std::vector<std::string> administrators;  // client ids that see all accounts (spec api.md 13); "admin" always does
};

// Who sends a request, as the token says and the store confirms.
struct Caller {
  std::string client_id, account;
  store::Role role = store::Role::reader;
};

// Issues and checks tokens (spec api.md 2): JSON Web Tokens signed with a random key of the installation, which lies
// sealed in the store. Blocks on the store. Thread-safe.
class Auth {
 public:
  Auth(store::Store& store, Clock& clock) : store_(store), clock_(clock) {}
  // Reads the signing key, or makes it at the first start. Call before anything else.
  Result<void> open();

  // The client of that id and secret. Takes as long for an unknown client as for a wrong secret. Errors: permanent
  // com-4001.
  Result<store::Client> check_secret(const std::string& client_id, const std::string& secret);
  // A token of that life; `end_earlier` ends all others of the client.
  Result<std::string> issue(store::Client client, std::chrono::seconds life, bool end_earlier);

  struct Token {
    Caller caller;
    std::chrono::seconds left;
  };
  // Signature, times (60 s of skew), issuer, and that the client is still there; the role is the client's of now.
  // Errors: permanent com-4001.
  Result<Token> check_token(std::string_view token);

 private:
  store::Store& store_;
  Clock& clock_;
  std::string key_;
};

// Whether the account is the one that the first start makes: the installation's own, which sees to what all accounts
// share.
bool owns_installation(const Caller& caller);

// The first start: makes account "1" and the client "admin" (owner). Its secret is `secret_from_env` where that is set
// (also later: a changed one takes effect and ends all tokens), else a random one, written to DATA_DIR/admin-secret
// with mode 600. Returns the secret when it was newly made, else "".
Result<std::string> bootstrap(store::Store& store, const std::string& secret_from_env, const std::string& data_dir);

}  // namespace sluice::api
