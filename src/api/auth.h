// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <chrono>
#include <functional>
#include <memory>
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
  std::string ca_pem = {};  // who signs its server's certificate; empty: the system's roots
};
struct AuthSettings {
  std::vector<OidcIssuer> issuers;
  std::vector<std::string> administrators;  // logins that see all accounts (spec api.md 13); "admin" always does
  std::vector<std::string> proxies = {};    // "10.0.0.0/8": whose X-Forwarded-For is believed
  bool personal_accounts = true;            // whether users may make one for themselves
  // Gets a document of an issuer; empty: over HTTP, in 5 s at most. Blocks.
  std::function<Result<std::string>(const OidcIssuer&, const std::string& url)> fetch = {};
};

// Who sends a request, as the token says and the store confirms.
struct Caller {
  std::string client_id;  // a user's login, or an API key's client id
  std::string account;    // never empty once a caller is known
  store::Role role = store::Role::reader;
  store::Client::Kind kind = store::Client::Kind::user;
  std::string impersonated_by = {};  // the administrator behind it; empty: nobody
  bool administrator = false;        // of the installation
};

class Oidc;

// Issues and checks tokens (spec api.md 2): JSON Web Tokens signed with a random key of the installation, which lies
// sealed in the store; and those of foreign issuers. Blocks on the store. Thread-safe.
class Auth {
 public:
  Auth(store::Store& store, Clock& clock, AuthSettings settings = {});
  ~Auth();
  // Reads the signing key, or makes it at the first start. Call before anything else.
  Result<void> open();

  // The login of "<profile>/<login>" (only the first '/' separates) or of a plain login: in lower case.
  static std::string login_of(std::string_view client_id);

  // The client of that id and secret. Takes as long for an unknown client as for a wrong secret. Errors: permanent
  // com-4001.
  Result<store::Client> check_secret(const std::string& client_id, const std::string& secret);

  struct Wish {
    std::string client_id;  // as it was sent: the token's `sub`
    std::string account;    // empty: the client's first one
    std::chrono::seconds life{0};
    bool end_earlier = false;          // ends all other tokens of the client
    std::string impersonated_by = {};  // the administrator it is made for
  };
  struct Issued {
    std::string token, account;
    std::chrono::seconds life;  // less than wished where an API key ends earlier
  };
  // Errors: permanent com-4000 where the client has no business in that account, or in any.
  Result<Issued> issue(store::Client client, const Wish& wish);

  struct Token {
    Caller caller;
    std::string subject;  // the client id as it was sent when the token was asked for
    std::chrono::seconds left;
    std::string id;  // jti; empty for tokens of foreign issuers
  };
  // Signature, times (60 s of skew), issuer, that the client is still what it was and the token has not been ended; the
  // role is the one of now. `account`: which one, for tokens of foreign issuers; empty: the user's first. Errors:
  // permanent com-4001.
  Result<Token> check_token(std::string_view token, const std::string& account = "");
  // Ends one token. Errors as of the store.
  Result<void> end(const Token& token);

  [[nodiscard]] bool is_administrator(const std::string& login) const;
  [[nodiscard]] const AuthSettings& settings() const { return settings_; }

 private:
  Result<Token> check_foreign(std::string_view token, const std::string& account);

  store::Store& store_;
  Clock& clock_;
  AuthSettings settings_;
  std::unique_ptr<Oidc> oidc_;
  std::string key_;
};

// Whether the account is the one that the first start makes: the installation's own, which sees to what all accounts
// share.
bool owns_installation(const Caller& caller);
inline constexpr const char* kFirstAccount = "1";
// The client that the first start makes.
inline constexpr const char* kAdmin = "admin";

// The first start: makes account "1" and the client "admin" (owner). Its secret is `secret_from_env` where that is set
// (also later: a changed one takes effect and ends all tokens), else a random one, written to DATA_DIR/admin-secret
// with mode 600. Returns the secret when it was newly made, else "".
Result<std::string> bootstrap(store::Store& store, const std::string& secret_from_env, const std::string& data_dir);

}  // namespace sluice::api
