// SPDX-License-Identifier: Apache-2.0
// require("crypto") of trusted drivers (spec drivers.md 16.5), against published vectors and what Node.js 20 gives.
#include <gtest/gtest.h>

#include "driver/test_engine.h"

namespace sluice::driver {
namespace {

// The data of `expression` in a trusted driver. `h`: bytes of hexadecimal text.
std::string trusted(const std::string& expression) {
  const auto code = std::make_shared<DriverCode>(
      *driver_of("const crypto = require('crypto'), h = (text) => Buffer.from(text, 'hex');\n"
                 "function decodeUplink(input) { return { data: (" +
                 expression + ") }; }"));
  code->trusted = true;
  const auto out = test_engine().run(code, Operation::decode_uplink, uplink("00"));
  return out.ok ? out.data : out.message;
}

std::string quoted(const std::string& text) {
  return '"' + text + '"';
}

TEST(Crypto, IsThereForTrustedDriversOnly) {
  EXPECT_EQ(value_of("require('crypto')"), "driver internal error: Error: Cannot find module 'crypto'");
  EXPECT_EQ(value_of("require('node:crypto')"), "driver internal error: Error: Cannot find module 'node:crypto'");
  EXPECT_EQ(trusted("[typeof crypto.createCipheriv, crypto === require('node:crypto'), typeof globalThis.crypto]"),
            R"(["function",true,"undefined"])");
  EXPECT_EQ(trusted("require('fs')"), "driver internal error: Error: Cannot find module 'fs'");
}

TEST(Crypto, EncryptsOneBlockAsTheStandardSays) {
  // FIPS 197, appendix C.1.
  EXPECT_EQ(
      trusted("(() => { const c = crypto.createCipheriv('aes-128-ecb', h('000102030405060708090a0b0c0d0e0f'), null); "
              "c.setAutoPadding(false); const x = Buffer.concat([c.update(h('00112233445566778899aabbccddeeff')), "
              "c.final()]); const d = crypto.createDecipheriv('aes-128-ecb', h('000102030405060708090a0b0c0d0e0f'), "
              "null); d.setAutoPadding(false); return [x.toString('hex'), d.update(x, undefined, 'hex') + "
              "d.final('hex')]; })()"),
      R"(["69c4e0d86a7b0430d8cdb78070b4c55a","00112233445566778899aabbccddeeff"])");
}

TEST(Crypto, PadsInEcbMode) {
  const struct {
    const char *key, *plain, *text;
  } cases[] = {
      {"7ddf2317fb0f93622006f44a8464c43f", "", "201be5486cee8c17f2b1c2b3600ee85f"},
      {"0377db6f7327cb9fe3d756cee61ef6ee", "2173f935c1", "62dbdb0de29ca299e2fe3c571dc66a47"},
      {"5dc9c5116d9955fcb2cc0c4c8ccc0c4c", "8c670bdf23b2faa22a12da2af9355c5c",
       "eb75fb30d462316464951d742c3aff7d9f2c6f50d36f36a3d3346fa499071b86"},
      {"5c5c5c5c5c5c5cf75beff3a74b1f6357", "3b4fd3a22aadd995a1bda925f143ed504070e09080b0206bbf1ef6ee863e96a925",
       "786395f3df06d431ba128fca9bf3c08195fda6544dc21e3dfebe148c4d01333c629e8a69cefcd163ae02d4de0dcfc793"},
  };
  for (const auto& it : cases) {
    const auto key = "h('" + std::string(it.key) + "')";
    EXPECT_EQ(trusted("(() => { const c = crypto.createCipheriv('aes-128-ecb', " + key + ", null); return c.update('" +
                      it.plain + "', 'hex', 'hex') + c.final('hex'); })()"),
              quoted(it.text));
    // Byte by byte, into a Buffer.
    EXPECT_EQ(trusted("(() => { const d = crypto.createDecipheriv('aes-128-ecb', " + key +
                      ", ''), out = []; for (const b of h('" + it.text +
                      "')) out.push(d.update(new Uint8Array([b]))); out.push(d.final()); return "
                      "Buffer.concat(out).toString('hex'); })()"),
              quoted(it.plain));
  }
}

constexpr const char* kCcm = R"js((() => {
  const [key, nonce, aad, plain, tagLength] = ARGUMENTS;
  const c = crypto.createCipheriv('aes-128-ccm', key, nonce, { authTagLength: tagLength });
  if (aad.length > 0) c.setAAD(aad, { plaintextLength: plain.length });
  const text = Buffer.concat([c.update(plain), c.final()]), tag = c.getAuthTag();
  const open = (text, tag, aad) => {
    const d = crypto.createDecipheriv('aes-128-ccm', key, nonce, { authTagLength: tagLength });
    d.setAuthTag(tag);
    if (aad.length > 0) d.setAAD(aad, { plaintextLength: text.length });
    try { const out = d.update(text, null, 'hex'); return out + d.final('hex'); } catch (e) { return e.message; }
  };
  const wrong = Buffer.from(text), wrongTag = Buffer.from(tag);
  wrong[0] ^= 1;
  wrongTag[tagLength - 1] ^= 128;
  return [text.toString('hex'), tag.toString('hex'), open(text, tag, aad) === plain.toString('hex'), open(wrong, tag, aad),
    open(text, wrongTag, aad), aad.length === 0 ? open(text, tag, h('00')) : open(text, tag, aad.subarray(1))];
})())js";
constexpr const char* kRefused = "Unsupported state or unable to authenticate data";

void expect_ccm(const std::string& arguments, const std::string& text, const std::string& tag) {
  std::string expression = kCcm;
  expression.replace(expression.find("ARGUMENTS"), 9, arguments);
  EXPECT_EQ(trusted(expression), "[" + quoted(text) + "," + quoted(tag) + ",true," + quoted(kRefused) + "," +
                                     quoted(kRefused) + "," + quoted(kRefused) + "]");
}

TEST(Crypto, OpensAndClosesCcmAsTheStandardSays) {
  // NIST SP 800-38C, appendix C.
  const std::string key = "[h('404142434445464748494a4b4c4d4e4f'), ";
  expect_ccm(key + "h('10111213141516'), h('0001020304050607'), h('20212223'), 4]", "7162015b", "4dac255d");
  expect_ccm(
      key + "h('1011121314151617'), h('000102030405060708090a0b0c0d0e0f'), h('202122232425262728292a2b2c2d2e2f'), 6]",
      "d2a1f0e051ea5f62081a7792073d593d", "1fc64fbfaccd");
  expect_ccm(key +
                 "h('101112131415161718191a1b'), h('000102030405060708090a0b0c0d0e0f10111213'), "
                 "h('202122232425262728292a2b2c2d2e2f3031323334353637'), 8]",
             "e3b201a9f5b71a7a9b1ceaeccd97e70b6176aad9a4428aa5", "484392fbc1b09951");
  expect_ccm(key +
                 "h('101112131415161718191a1b1c'), Buffer.alloc(65536).map((_, i) => i), "
                 "h('202122232425262728292a2b2c2d2e2f303132333435363738393a3b3c3d3e3f'), 14]",
             "69915dad1e84c6376a68c2967e4dab615ae0fd1faec44cc484828529463ccf72", "b4ac6bec93e8598e7f0dadbcea5b");
}

TEST(Crypto, OpensAndClosesCcmAsNodeDoes) {
  const struct {
    const char *key, *nonce, *aad, *plain, *text, *tag;
  } cases[] = {
      {"554fd3072cecac6c2cec48d8c36e0659", "154913476bbf83", "", "92", "de", "5d075986"},
      {"5a8225f16878e39ac2ca327a22aa2d59", "b020d0c0f0601000", "cb9fe3d7bb", "cf5387abffc3373664c4",
       "eca3f4236f7a727b8134", "8ce71f615cc9"},
      {"a404e444bf83929080b020d0c0f06010", "00cbd64edc12da020a", "72ba62ead29ac265310d",
       "b99080b0bbcf53872173f8c858a8b888186878", "9c2894e65d1881c05963c9d8bcdc52a6335422", "101455b4e2c21365"},
      {"e3d7bbcf5387abffc3379b2f33e78b5f", "a3327a2245c858a85387", "ab9ac2ca327a22aa2d5915213dc4a4",
       "04e444248464c4a49fe3d756cee61e91ed19d5e1fd8464c43f39476b",
       "0aeba6500a76d103f8f7970a3398f589f536c6e078dd6cde17cdc1eb", "41df9170cbc05a593de9"},
      {"bf831f63573bea086a521a424a4df9d0", "c08b5f3e960e26f96b6c2c", "ec48d828d33d5fda020a72bafde965310d54f414",
       "4f093b213d29a5714df9355c5c5c5c5c5c5c5c5c5c5c5c5c5c5c5c5cf75b8af2d5e125f1cd",
       "136ae9ded77d4b994f99e9d4cd370017e59ce5f32175f4ef7ecd1d53a4bbb56db1d0b0967b", "31a2810f1e703337bbc1c5da"},
      {"14b46f73c2cacd79b541dd494591edb4", "d4742f330f93c7eb4070e090",
       "80b020d0c08b95d8283830a0504070e0901be61ef6ee86d995",
       "c9c5110898e8f8c8f3dd1bafb3687848d828380898e8f8c858a8b82318687848d8c3379c9c9c379b2fcee6b92bb6",
       "cc7e9380c8166157160a25269370654d6048f9b315287d1745e64c40ab53714dc30d09575a3215859f349c49136f",
       "37ee4c66bad50285c8048b116ff8"},
      {"ae469955617d04e444bf83f7f6248464", "c4a4047f43521a424a4d2f69b7",
       "1bafb3020a725598e893c7eb3f031210d29a383e96a9258ccca74bba62ea",
       "faa22aad100030a0504070e09080b0bbd0c0f060abffc3379b2f33e78b5fa3327a22aa2d5915213d29a5714df93537d29ac2ca327a4ab2",
       "0d760dbc41668064cd032d0a33f88d808e6044e82092a6a07b6ebfa594aba1c9ad5db3eab6e25c5a304296a60ee14dba19084f23822ef9",
       "6319309c606458e7b4adfceafbade315"},
      {"22aa2d90804b56ce811c1c1c1c1c1c1c", "1c1c1c44f1f935",
       "c15dc9c5116d99f060100030a0504070e0901bafb38f13476bbf1ef6ee213dc4a404e4",
       "44bfb9c7eb3f0377db0a72ba6212da02a5714df9d0c0f060100030a050dba6deb6ae6e06be168ea6deb6ae46fe56cee61ef6ee2173f935c"
       "15dc9c5116d995561",
       "5eba21c1a606d5258b36902c79c9839b45aace845fe223cee92bcd02a73444e4cd0ad8a8a59688182da6fdf9ef7f210481d4363a205891d"
       "79e4da2f860ee5dba",
       "893f921c"},
  };
  for (const auto& it : cases) {
    std::string arguments = "[";
    for (const auto* part : {it.key, it.nonce, it.aad, it.plain})
      arguments += "h('" + std::string(part) + "'), ";
    expect_ccm(arguments + std::to_string(std::string_view(it.tag).size() / 2) + "]", it.text, it.tag);
  }
}

TEST(Crypto, RefusesWhatNodeRefuses) {
  const struct {
    const char *call, *error;
  } cases[] = {
      {"crypto.createCipheriv('aes-256-ecb', h('00'), null)", "Error ERR_CRYPTO_UNKNOWN_CIPHER Unknown cipher"},
      {"crypto.createCipheriv('aes-128-ecb', h('00'), null)",
       "RangeError ERR_CRYPTO_INVALID_KEYLEN Invalid key length"},
      {"crypto.createCipheriv('aes-128-ecb', Buffer.alloc(16), Buffer.alloc(16))",
       "TypeError ERR_CRYPTO_INVALID_IV Invalid initialization vector"},
      {"crypto.createDecipheriv('aes-128-ccm', Buffer.alloc(16), Buffer.alloc(14), { authTagLength: 8 })",
       "TypeError ERR_CRYPTO_INVALID_IV Invalid initialization vector"},
      {"crypto.createDecipheriv('aes-128-ccm', Buffer.alloc(16), Buffer.alloc(13))",
       "TypeError ERR_CRYPTO_INVALID_AUTH_TAG authTagLength required for aes-128-ccm"},
      {"crypto.createDecipheriv('aes-128-ccm', Buffer.alloc(16), Buffer.alloc(13), { authTagLength: 5 })",
       "TypeError ERR_CRYPTO_INVALID_AUTH_TAG Invalid authentication tag length: 5"},
      {"crypto.createDecipheriv('aes-128-ecb', 'k'.repeat(16), null).final()",
       "Error ERR_OSSL_WRONG_FINAL_BLOCK_LENGTH error:1C80006B:Provider routines::wrong final block length"},
      {"(() => { const d = crypto.createDecipheriv('aes-128-ecb', 'k'.repeat(16), null); d.update(Buffer.alloc(16)); "
       "d.final(); })()",
       "Error ERR_OSSL_BAD_DECRYPT error:1C800064:Provider routines::bad decrypt"},
      {"(() => { const c = crypto.createCipheriv('aes-128-ecb', 'k'.repeat(16), null); c.final(); c.final(); })()",
       "Error ERR_CRYPTO_INVALID_STATE Invalid state for operation final"},
      {"(() => { const c = crypto.createCipheriv('aes-128-ecb', 'k'.repeat(16), null); c.final(); c.update('x'); })()",
       "Error undefined Trying to add data in unsupported state"},
      // No text at all is authenticated as well, which Node leaves out.
      {"(() => { const d = crypto.createDecipheriv('aes-128-ccm', Buffer.alloc(16), Buffer.alloc(13), { authTagLength: "
       "8 }); "
       "d.setAuthTag(Buffer.alloc(8)); d.final(); })()",
       "Error undefined Unsupported state or unable to authenticate data"},
  };
  for (const auto& it : cases) {
    EXPECT_EQ(trusted(std::string("(() => { try { ") + it.call +
                      "; } catch (e) { return e.name + ' ' + e.code + ' ' + e.message; } })()"),
              quoted(it.error))
        << it.call;
  }
}

}  // namespace
}  // namespace sluice::driver
