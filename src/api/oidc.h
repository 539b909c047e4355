// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <string_view>
#include <vector>

#include "api/auth.h"
#include "base/clock.h"
#include "base/public_key.h"

namespace sluice::api {

// Checks tokens of foreign issuers (OpenID Connect Core 1.0, RFC 7519): signed by a key of the issuer's JSON Web Key
// Set with RS256, PS256, ES256 or EdDSA, for our audience, in time (60 s of skew). The keys are fetched when they are
// first asked for, kept for an hour, and fetched anew for a key id not among them, at most once in 30 s an issuer; keys
// that cannot be fetched anew stay good. Blocks while it fetches. Thread-safe.
class Oidc {
 public:
  using Fetch = std::function<Result<std::string>(const OidcIssuer&, const std::string& url)>;
  Oidc(std::vector<OidcIssuer> issuers, Clock& clock, Fetch fetch);

  struct Identity {
    std::string login;         // of the issuer's login claim, as it stands there
    std::int64_t expires = 0;  // seconds since 1970
  };
  // Errors: permanent com-4001, with a text that tells no more than the issuer and what was wrong.
  Result<Identity> check(std::string_view token);

  // Over HTTP: 200 and a body of at most 1 MiB, 5 s.
  static Fetch over_http();

 private:
  struct Keys {
    std::map<std::string, PublicKey> by_id;
    std::vector<PublicKey> all;  // tokens need not name the key
  };
  struct Issuer {
    OidcIssuer settings;
    std::mutex fetching;  // held while fetching
    std::mutex mutex;     // guards what follows; never held while fetching
    std::shared_ptr<const Keys> keys;
    UnixMillis fetched = 0, tried = 0;
  };
  std::shared_ptr<const Keys> keys_for(Issuer& issuer, const std::string& key_id);
  Result<std::shared_ptr<const Keys>> fetch_keys(const OidcIssuer& issuer) const;

  std::vector<std::unique_ptr<Issuer>> issuers_;
  Clock& clock_;
  Fetch fetch_;
};

}  // namespace sluice::api
