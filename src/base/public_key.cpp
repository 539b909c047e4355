// SPDX-License-Identifier: Apache-2.0
#include "base/public_key.h"

#include <openssl/bn.h>
#include <openssl/core_names.h>
#include <openssl/ecdsa.h>
#include <openssl/evp.h>
#include <openssl/param_build.h>
#include <openssl/rsa.h>
#include <optional>

#include "base/codec.h"
#include "base/json.h"

namespace sluice {
namespace {

constexpr std::size_t kLeastModulus = 2048 / 8;
constexpr std::size_t kMostModulus = 8192 / 8;  // checking costs grow with the square
constexpr std::size_t kCoordinate = 32;         // of P-256, and a key of Ed25519

template <class T, void (*Free)(T*)>
struct Deleter {
  void operator()(T* object) const { Free(object); }
};
template <class T, void (*Free)(T*)>
using Owned = std::unique_ptr<T, Deleter<T, Free>>;
using PKey = Owned<EVP_PKEY, EVP_PKEY_free>;
using Number = Owned<BIGNUM, BN_free>;

const unsigned char* data(std::string_view text) {
  return reinterpret_cast<const unsigned char*>(text.data());
}

Number number(std::string_view bytes) {
  return Number(BN_bin2bn(data(bytes), static_cast<int>(bytes.size()), nullptr));
}

PKey from_parameters(const char* type, OSSL_PARAM_BLD* builder) {
  Owned<OSSL_PARAM, OSSL_PARAM_free> parameters(OSSL_PARAM_BLD_to_param(builder));
  Owned<EVP_PKEY_CTX, EVP_PKEY_CTX_free> context(EVP_PKEY_CTX_new_from_name(nullptr, type, nullptr));
  EVP_PKEY* made = nullptr;
  if (!parameters || !context || EVP_PKEY_fromdata_init(context.get()) != 1 ||
      EVP_PKEY_fromdata(context.get(), &made, EVP_PKEY_PUBLIC_KEY, parameters.get()) != 1) {
    return {};
  }
  return PKey(made);
}

PKey rsa(std::string_view modulus, std::string_view exponent) {
  while (!modulus.empty() && modulus.front() == '\0')
    modulus.remove_prefix(1);
  if (modulus.size() < kLeastModulus || modulus.size() > kMostModulus || exponent.empty() || exponent.size() > 8)
    return {};
  auto n = number(modulus), e = number(exponent);
  Owned<OSSL_PARAM_BLD, OSSL_PARAM_BLD_free> builder(OSSL_PARAM_BLD_new());
  if (!n || !e || !builder || OSSL_PARAM_BLD_push_BN(builder.get(), OSSL_PKEY_PARAM_RSA_N, n.get()) != 1 ||
      OSSL_PARAM_BLD_push_BN(builder.get(), OSSL_PKEY_PARAM_RSA_E, e.get()) != 1) {
    return {};
  }
  return from_parameters("RSA", builder.get());
}

PKey p256(std::string_view x, std::string_view y) {
  if (x.size() != kCoordinate || y.size() != kCoordinate) return {};
  auto point = "\x04" + std::string(x) + std::string(y);
  Owned<OSSL_PARAM_BLD, OSSL_PARAM_BLD_free> builder(OSSL_PARAM_BLD_new());
  if (!builder || OSSL_PARAM_BLD_push_utf8_string(builder.get(), OSSL_PKEY_PARAM_GROUP_NAME, "prime256v1", 0) != 1 ||
      OSSL_PARAM_BLD_push_octet_string(builder.get(), OSSL_PKEY_PARAM_PUB_KEY, point.data(), point.size()) != 1) {
    return {};
  }
  return from_parameters("EC", builder.get());
}

// The two numbers side by side (RFC 7518 section 3.4) as OpenSSL wants them; empty: not of that form.
std::string to_der(std::string_view signature) {
  if (signature.size() != 2 * kCoordinate) return {};
  Owned<ECDSA_SIG, ECDSA_SIG_free> pair(ECDSA_SIG_new());
  auto r = number(signature.substr(0, kCoordinate)), s = number(signature.substr(kCoordinate));
  if (!pair || !r || !s || ECDSA_SIG_set0(pair.get(), r.get(), s.get()) != 1) return {};
  // The pair owns them now.
  static_cast<void>(r.release());
  static_cast<void>(s.release());
  unsigned char* bytes = nullptr;
  int size = i2d_ECDSA_SIG(pair.get(), &bytes);
  if (size <= 0) return {};
  std::string der(reinterpret_cast<char*>(bytes), static_cast<std::size_t>(size));
  OPENSSL_free(bytes);
  return der;
}

}  // namespace

struct PublicKey::Key {
  enum class Kind : std::uint8_t { rsa, ec, ed } kind = Kind::rsa;
  PKey key;
  std::string only;  // the one algorithm the key names; empty: any of its kind
};

Result<PublicKey> PublicKey::from_jwk(const boost::json::object& jwk) {
  Error broken{ErrorKind::bad_config, "the key is of a kind not supported, too short or broken"};
  auto bytes = [&](const char* name) { return from_base64(json::text_or(jwk, name)).value_or(""); };
  auto key = std::make_shared<Key>();
  key->only = json::text_or(jwk, "alg");
  auto type = json::text_or(jwk, "kty"), curve = json::text_or(jwk, "crv");
  if (type == "RSA") {
    key->kind = Key::Kind::rsa;
    key->key = rsa(bytes("n"), bytes("e"));
  } else if (type == "EC" && curve == "P-256") {
    key->kind = Key::Kind::ec;
    key->key = p256(bytes("x"), bytes("y"));
  } else if (type == "OKP" && curve == "Ed25519") {
    key->kind = Key::Kind::ed;
    auto x = bytes("x");
    if (x.size() == kCoordinate)
      key->key.reset(EVP_PKEY_new_raw_public_key(EVP_PKEY_ED25519, nullptr, data(std::string_view(x)), x.size()));
  }
  if (!key->key) return broken;
  return PublicKey(std::move(key));
}

bool PublicKey::verifies(std::string_view algorithm, std::string_view text, std::string_view signature) const {
  if (!key_->only.empty() && key_->only != algorithm) return false;
  const auto kind = key_->kind;
  const bool fits = kind == Key::Kind::rsa  ? algorithm == "RS256" || algorithm == "PS256"
                    : kind == Key::Kind::ec ? algorithm == "ES256"
                                            : algorithm == "EdDSA";
  if (!fits) return false;
  std::string der;
  if (kind == Key::Kind::ec) {
    der = to_der(signature);
    if (der.empty()) return false;
    signature = der;
  }
  Owned<EVP_MD_CTX, EVP_MD_CTX_free> context(EVP_MD_CTX_new());
  EVP_PKEY_CTX* options = nullptr;  // the context's own
  const EVP_MD* digest = kind == Key::Kind::ed ? nullptr : EVP_sha256();
  if (!context || EVP_DigestVerifyInit(context.get(), &options, digest, nullptr, key_->key.get()) != 1) return false;
  if (algorithm == "PS256" && (EVP_PKEY_CTX_set_rsa_padding(options, RSA_PKCS1_PSS_PADDING) != 1 ||
                               EVP_PKEY_CTX_set_rsa_pss_saltlen(options, RSA_PSS_SALTLEN_DIGEST) != 1)) {
    return false;
  }
  return EVP_DigestVerify(context.get(), data(signature), signature.size(), data(text), text.size()) == 1;
}

}  // namespace sluice
