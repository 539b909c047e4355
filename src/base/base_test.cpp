// SPDX-License-Identifier: Apache-2.0
#include <cstdio>
#include <filesystem>
#include <gtest/gtest.h>

#include "base/clock.h"
#include "base/codec.h"
#include "base/crypto.h"
#include "base/json.h"
#include "base/metrics.h"

namespace sluice {
namespace {

TEST(Codec, HexRoundTrip) {
  EXPECT_EQ(to_hex(std::string("\x00\xff\x10", 3)), "00ff10");
  EXPECT_EQ(from_hex("00FF10"), std::string("\x00\xff\x10", 3));
  EXPECT_FALSE(from_hex("0"));
  EXPECT_FALSE(from_hex("0g"));
}

TEST(Codec, Base64) {
  for (std::string text : {"", "f", "fo", "foo", "foob", "fooba", "foobar"}) {
    EXPECT_EQ(from_base64(to_base64(text)), text);
    EXPECT_EQ(from_base64(to_base64url(text)), text);
  }
  EXPECT_EQ(to_base64("fo"), "Zm8=");
  EXPECT_FALSE(from_base64("Z"));
  EXPECT_FALSE(from_base64("Zm=8"));
}

TEST(Codec, Url) {
  EXPECT_EQ(url_encode("2016-01-11T14:28:00.333+02:00"), "2016-01-11T14%3A28%3A00.333%2B02%3A00");
  EXPECT_EQ(url_decode("a%20b+c", true), "a b c");
  EXPECT_EQ(url_decode("a+c"), "a+c");
  EXPECT_FALSE(url_decode("a%2"));
  EXPECT_FALSE(url_decode("a%zz"));
}

TEST(Clock, TimesOfTheSpec) {
  EXPECT_EQ(parse_time("1970-01-01T00:00:00Z"), 0);
  EXPECT_EQ(parse_time("2020-07-09T16:06:38.49+02:00"), parse_time("2020-07-09T14:06:38.490Z"));
  EXPECT_EQ(parse_time("2022-04-20T16:37:42.288000+00:00"), parse_time("2022-04-20T16:37:42.288"));
  EXPECT_FALSE(parse_time("2015-01-27T10:00.123:46+01:00"));
  EXPECT_FALSE(parse_time("2015-02-30T10:00:00Z"));
  EXPECT_FALSE(parse_time(""));
  EXPECT_EQ(format_time(*parse_time("2019-09-27T10:08:08.309+02:00")), "2019-09-27T08:08:08.309+00:00");
  EXPECT_EQ(format_time(-1), "1969-12-31T23:59:59.999+00:00");
}

TEST(Clock, Durations) {
  using std::chrono::hours;
  EXPECT_EQ(parse_duration("3d12h60m"), hours(85));
  EXPECT_EQ(parse_duration("72h"), hours(72));
  EXPECT_EQ(parse_duration(""), hours(0));
  EXPECT_EQ(parse_duration("0s"), hours(0));
  for (const char* bad : {"1", "h", "1.5h", "1 h", "-1h", "1w", "99999999999999d"})
    EXPECT_FALSE(parse_duration(bad)) << bad;
}

TEST(Json, WritesPlainNumbersAndKeepsOrder) {
  auto v = json::parse(R"({"z":1.5,"a":1.0,"m":-0.25,"big":18446744073709551615,"t":"a\u0001\"","e":1e300})");
  ASSERT_TRUE(v);
  EXPECT_EQ(json::write(*v), R"({"z":1.5,"a":1.0,"m":-0.25,"big":18446744073709551615,"t":"a\u0001\"","e":1e+300})");
  auto bad = json::parse("{\"a\":}");
  ASSERT_FALSE(bad);
  EXPECT_NE(bad.error().text.find("byte 5"), std::string::npos);
  EXPECT_FALSE(json::parse("{} x"));
}

// Boost's own reading of doubles is off in the last place with some of these.
TEST(Json, ReadsNumbersExactly) {
  for (const char* text :
       {"97.67299916075379", "1713.0065082323433", "1.0259018697121183", "3.8627450980392157", "47.536430914778364",
        "1.401298464324817e-45", "5e-324", "1.7976931348623157e+308", "0.1", "-0.3", "1e+23", "9007199254740993.0",
        "-9223372036854775808", "18446744073709551615", "0", "[1.5,-2.25e-07,123456789.12345679]"}) {
    auto read = json::parse(text);
    ASSERT_TRUE(read) << text;
    const std::string written = json::write(*read);
    EXPECT_EQ(written, std::string(text) == "9007199254740993.0" ? "9007199254740992.0" : text);
  }
  // A number alone may come to the parser in parts: it cannot know that no digit follows.
  EXPECT_EQ(json::parse(" 12.5 ")->as_double(), 12.5);
  EXPECT_FALSE(json::parse("12.5 x"));
  EXPECT_FALSE(json::parse("-"));
  EXPECT_FALSE(json::parse(""));
  EXPECT_EQ(json::write(*json::parse("1e999")), "null");
  EXPECT_EQ(json::parse("1e-999")->as_double(), 0);
}

TEST(Json, ReadsNumbersToTheLastDigit) {
  for (const char* text : {"3.8627450980392157", "3.862745098039216", "0.1", "1713.0065082323433", "97.6729991607538",
                           "47.536430914778364", "1e-7", "123456789012345680000.0", "-0.30000000000000004", "5e-324"}) {
    auto parsed = json::parse(text);
    ASSERT_TRUE(parsed) << text;
    ASSERT_TRUE(parsed->is_double()) << text;
    EXPECT_EQ(parsed->get_double(), std::strtod(text, nullptr)) << text;
    auto inside = json::parse("[1, {\"a\": " + std::string(text) + " } ] \n");
    ASSERT_TRUE(inside) << text;
    EXPECT_EQ(inside->at(1).at("a").get_double(), std::strtod(text, nullptr)) << text;
  }
  EXPECT_EQ(json::write(*json::parse("3.8627450980392157")), "3.8627450980392157");
  EXPECT_EQ(json::write(*json::parse("1e999")), "null");
  EXPECT_EQ(json::parse("18446744073709551615")->get_uint64(), 18446744073709551615u);
  for (const char* text : {"", " ", "1.", "01", "[1,]", "{\"a\"}", "1 2", "[1]]", "nul", "\"\xff\"", "-"})
    EXPECT_FALSE(json::parse(text)) << text;
  EXPECT_FALSE(json::parse("[[[1]]]", 2));
  EXPECT_TRUE(json::parse("[[1]]", 2));
}

TEST(Json, MergePatchKeepsOrder) {
  auto v = *json::parse(R"({"a":1,"b":{"c":2,"d":3},"e":4})");
  json::merge_patch(v, *json::parse(R"({"a":null,"b":{"c":null,"x":5}})"));
  EXPECT_EQ(json::write(v), R"({"b":{"d":3,"x":5},"e":4})");
}

TEST(Crypto, KnownDigests) {
  EXPECT_EQ(to_hex(sha256("abc")), "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
  EXPECT_EQ(to_hex(hmac_sha256("key", "The quick brown fox jumps over the lazy dog")),
            "f7bc83f430538424b13298e6aa6fb143ef4d59a14946175997479dbc2d1a3cd8");
}

TEST(Crypto, SecretBoxOpensOnlyWhatItSealedForThatPlace) {
  SecretBox box(random_bytes(32));
  auto sealed = box.seal("hunter2", "connection/1/password");
  EXPECT_EQ(*box.open(sealed, "connection/1/password"), "hunter2");
  EXPECT_FALSE(box.open(sealed, "connection/2/password"));
  auto damaged = sealed;
  damaged[10] = damaged[10] == 'A' ? 'B' : 'A';
  EXPECT_FALSE(box.open(damaged, "connection/1/password"));
  EXPECT_FALSE(SecretBox(random_bytes(32)).open(sealed, "connection/1/password"));
  EXPECT_EQ(sealed.find("hunter2"), std::string::npos);
}

TEST(Crypto, HashedSecrets) {
  auto hash = hash_secret("open sesame");
  EXPECT_TRUE(verify_secret("open sesame", hash));
  EXPECT_FALSE(verify_secret("open sesam", hash));
  EXPECT_FALSE(verify_secret("x", "nonsense"));
  EXPECT_EQ(random_secret(40).size(), 40u);
  EXPECT_NE(random_uuid(), random_uuid());
}

TEST(Crypto, KeyFileIsMadeOnceAndPrivate) {
  auto path = std::filesystem::temp_directory_path() / ("sluice-key-" + random_uuid());
  auto first = load_or_make_key(path);
  ASSERT_TRUE(first);
  EXPECT_EQ(*load_or_make_key(path), *first);
  EXPECT_EQ(std::filesystem::status(path).permissions(),
            std::filesystem::perms::owner_read | std::filesystem::perms::owner_write);
  std::filesystem::remove(path);
}

TEST(Metrics, TextForm) {
  Metrics metrics;
  metrics.counter("sluice_x_total", "Xs.", {{"kind", "a\"b"}})->add(3);
  auto h = metrics.histogram("sluice_y_seconds", "Ys.", {0.1, 1});
  h->observe(0.05);
  h->observe(5);
  EXPECT_EQ(metrics.text(),
            "# HELP sluice_x_total Xs.\n# TYPE sluice_x_total counter\nsluice_x_total{kind=\"a\\\"b\"} 3\n"
            "# HELP sluice_y_seconds Ys.\n# TYPE sluice_y_seconds histogram\nsluice_y_seconds_bucket{le=\"0.1\"} 1\n"
            "sluice_y_seconds_bucket{le=\"1\"} 1\nsluice_y_seconds_bucket{le=\"+Inf\"} 2\n"
            "sluice_y_seconds_sum 5.05\nsluice_y_seconds_count 2\n");
  metrics.remove("kind", "a\"b");
  EXPECT_EQ(metrics.text().find("sluice_x_total"), std::string::npos);
}

}  // namespace
}  // namespace sluice
