// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "base/result.h"

namespace sluice {

// 32 raw bytes.
std::string sha256(std::string_view bytes);
// 32 raw bytes, RFC 2104.
std::string hmac_sha256(std::string_view key, std::string_view bytes);
// Cryptographically random bytes.
std::string random_bytes(std::size_t count);
// A random UUID, version 4, lower case with dashes.
std::string random_uuid();
// A random secret of `count` characters out of [A-Za-z0-9].
std::string random_secret(std::size_t count);
// Compares without telling by its time where the texts differ (the lengths may be told).
bool equal_in_constant_time(std::string_view a, std::string_view b);

// A salted, slow hash of a client secret ("scrypt$..."), and its check.
std::string hash_secret(std::string_view secret);
bool verify_secret(std::string_view secret, std::string_view hash);

// AES-256-GCM with a random nonce. `context` is authenticated along, so a sealed value fits only where it was made for.
// Sealed form: "v1:" base64(nonce 12, ciphertext, tag 16). Thread-safe.
class SecretBox {
 public:
  explicit SecretBox(std::string key32);
  std::string seal(std::string_view plain, std::string_view context) const;
  Result<std::string> open(std::string_view sealed, std::string_view context) const;

 private:
  std::string key_;
};

// Makes a key file of a random key (64 hex digits, mode 600) where there is none, synced to the disk. Errors:
// bad_config.
Result<void> make_key(const std::string& path);
// The 32 bytes of a key file. Errors: bad_config.
Result<std::string> read_key(const std::string& path);
// Puts the key file `fresh` in the place of `path`, at once and synced to the disk. Errors: bad_config.
Result<void> replace_key(const std::string& fresh, const std::string& path);
// Reads the 32-byte key from `path` (64 hex digits), or makes it there with mode 600 when the file does not exist.
Result<std::string> load_or_make_key(const std::string& path);

}  // namespace sluice
