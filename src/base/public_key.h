// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <boost/json/object.hpp>
#include <memory>
#include <string>
#include <string_view>

#include "base/result.h"

namespace sluice {

// The public key of somebody who signs: RSA of at least 2048 bits, EC on P-256, or Ed25519. Copies share it;
// thread-safe.
class PublicKey {
 public:
  // From a JSON Web Key (RFC 7517, RFC 7518 section 6, RFC 8037). Errors: bad_config for another or a broken key.
  static Result<PublicKey> from_jwk(const boost::json::object& jwk);

  // Whether `signature` is this key's over `text` by that algorithm of RFC 7518: RS256, PS256, ES256, EdDSA. False for
  // an algorithm of another kind of key, so that nobody chooses how a key is used.
  [[nodiscard]] bool verifies(std::string_view algorithm, std::string_view text, std::string_view signature) const;

 private:
  struct Key;
  explicit PublicKey(std::shared_ptr<const Key> key) : key_(std::move(key)) {}
  std::shared_ptr<const Key> key_;
};

}  // namespace sluice
