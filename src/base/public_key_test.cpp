// SPDX-License-Identifier: Apache-2.0
#include "base/public_key.h"

#include <gtest/gtest.h>

#include "base/codec.h"

namespace sluice {
namespace {

// RFC 7515, appendix A.3.
const boost::json::object kEc = {{"kty", "EC"},
                                 {"crv", "P-256"},
                                 {"x", "f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU"},
                                 {"y", "x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0"}};
constexpr const char* kEcText =
    "eyJhbGciOiJFUzI1NiJ9.eyJpc3MiOiJqb2UiLA0KICJleHAiOjEzMDA4MTkzODAsDQogImh0dHA6Ly9leGFtcGxlLmNvbS9pc19yb290Ijp0cnVl"
    "fQ";
const std::string kEcSignature =
    *from_base64("DtEhU3ljbEg8L38VWAfUAqOyKAM6-Xx-F4GawxaepmXFCgfTjDxw5djxLa8ISlSApmWQxfKTUJqPP3-Kg6NU1Q");

TEST(PublicKeyTest, VerifiesTheExampleOfES256) {
  auto key = PublicKey::from_jwk(kEc);
  ASSERT_TRUE(key);
  EXPECT_TRUE(key->verifies("ES256", kEcText, kEcSignature));
  EXPECT_FALSE(key->verifies("ES256", std::string(kEcText) + "x", kEcSignature));
  EXPECT_FALSE(key->verifies("ES256", kEcText, kEcSignature.substr(1)));
  EXPECT_FALSE(key->verifies("ES256", kEcText, std::string(64, '\0')));
  EXPECT_FALSE(key->verifies("ES256", kEcText, ""));
  // An algorithm of another kind of key, or of none.
  for (const char* other : {"RS256", "PS256", "EdDSA", "HS256", "none", ""})
    EXPECT_FALSE(key->verifies(other, kEcText, kEcSignature)) << other;
}

// RFC 8037, appendix A.4.
TEST(PublicKeyTest, VerifiesTheExampleOfEdDSA) {
  auto key =
      PublicKey::from_jwk({{"kty", "OKP"}, {"crv", "Ed25519"}, {"x", "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}});
  ASSERT_TRUE(key);
  auto signature =
      *from_base64("hgyY0il_MGCjP0JzlnLWG1PPOt7-09PGcvMg3AIbQR6dWbhijcNR4ki4iylGjg5BhVsPt9g7sVvpAr_MuM0KAg");
  EXPECT_TRUE(key->verifies("EdDSA", "eyJhbGciOiJFZERTQSJ9.RXhhbXBsZSBvZiBFZDI1NTE5IHNpZ25pbmc", signature));
  EXPECT_FALSE(key->verifies("EdDSA", "eyJhbGciOiJFZERTQSJ9.RXhhbXBsZSBvZiBFZDI1NTE5IHNpZ25pbmcx", signature));
}

TEST(PublicKeyTest, AKeyThatNamesItsAlgorithmServesNoOther) {
  auto named = kEc;
  named["alg"] = "ES384";
  auto key = PublicKey::from_jwk(named);
  ASSERT_TRUE(key);
  EXPECT_FALSE(key->verifies("ES256", kEcText, kEcSignature));
}

TEST(PublicKeyTest, RefusesKeysThatAreBrokenShortOrOfAnotherKind) {
  auto off_curve = kEc;
  off_curve["y"] = off_curve["x"];
  EXPECT_FALSE(PublicKey::from_jwk(off_curve));
  auto short_modulus = to_base64url(std::string(128, '\xff'));
  EXPECT_FALSE(PublicKey::from_jwk({{"kty", "RSA"}, {"n", short_modulus}, {"e", "AQAB"}}));
  auto padded = to_base64url(std::string(256, '\0') + std::string(128, '\xff'));
  EXPECT_FALSE(PublicKey::from_jwk({{"kty", "RSA"}, {"n", padded}, {"e", "AQAB"}}));
  EXPECT_FALSE(PublicKey::from_jwk({{"kty", "RSA"}, {"n", to_base64url(std::string(4096, '\xff'))}, {"e", "AQAB"}}));
  EXPECT_FALSE(PublicKey::from_jwk({{"kty", "oct"}, {"k", "c2VjcmV0"}}));
  EXPECT_FALSE(PublicKey::from_jwk({{"kty", "OKP"}, {"crv", "Ed25519"}, {"x", "AAAA"}}));
  EXPECT_FALSE(PublicKey::from_jwk({}));
}

}  // namespace
}  // namespace sluice
