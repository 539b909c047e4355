// SPDX-License-Identifier: Apache-2.0
#include "driver/markup.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace sluice::driver {
namespace {

using testing::HasSubstr;

std::string yaml(std::string_view text, Scalars scalars = Scalars::typed) {
  auto read = parse_yaml(text, scalars);
  return read ? json::write(*read) : read.error().text;
}
std::string toml(std::string_view text) {
  auto read = parse_toml(text);
  return read ? json::write(*read) : read.error().text;
}

TEST(Yaml, ReadsTheCoreSchema) {
  EXPECT_EQ(yaml("a: [1, -2, 0x1F, 0o17, 1.5, 1e3, .5, +7, 007]"), R"({"a":[1,-2,31,15,1.5,1000.0,0.5,7,7]})");
  EXPECT_EQ(yaml("a: [true, null, ~, on, yes, '1', \"true\", 1.2.3, .nan, infinity, 1_000, -]"),
            R"({"a":[true,null,null,"on","yes","1","true","1.2.3",".nan","infinity","1_000","-"]})");
  EXPECT_EQ(yaml("a: &x {b: 1}\nc: *x"), R"({"a":{"b":1},"c":{"b":1}})");
  EXPECT_EQ(yaml(""), "null");
}

TEST(Yaml, ReadsTextAsItStands) {
  EXPECT_EQ(yaml("crc: 00012345 # c\nother: 12345e67\nflag: true\nempty:\nq: ' a '", Scalars::text),
            R"({"crc":"00012345","other":"12345e67","flag":"true","empty":null,"q":"a"})");
}

TEST(Yaml, IsBounded) {
  EXPECT_THAT(yaml("a: [1"), HasSubstr("line 1"));
  std::string bomb = "a0: &a0 [1,1,1,1,1,1,1,1,1,1]\n";
  for (int i = 1; i < 9; ++i) {
    const auto before = "*a" + std::to_string(i - 1);
    bomb += "a" + std::to_string(i) + ": &a" + std::to_string(i) + " [" + before;
    for (int k = 0; k < 9; ++k)
      bomb += "," + before;
    bomb += "]\n";
  }
  EXPECT_EQ(yaml(bomb), "more than 200,000 values");
  EXPECT_EQ(yaml(std::string(100, '[') + std::string(100, ']')), "more than 64 levels");
  EXPECT_EQ(yaml("a: \xff"), "not UTF-8");
  EXPECT_EQ(yaml(std::string((1u << 20) + 1, ' ')), "over 1 MiB");
}

TEST(Toml, ReadsTables) {
  EXPECT_EQ(toml("\xef\xbb\xbf"
                 "# \xc3\xa9\n[device]\nname = \"X \xc3\xa9\"\non = true\nn = 1\nr = 1.5\nd = 1979-05-27\n"
                 "[[device.firmware]]\ncodec = 'x.js'\n[[device.firmware]]\n"),
            "{\"device\":{\"d\":\"1979-05-27\",\"firmware\":[{\"codec\":\"x.js\"},{}],\"n\":1,\"name\":\"X \xc3\xa9\","
            "\"on\":true,\"r\":1.5}}");
}

TEST(Toml, BrokenTextIsAnErrorAndNothingWorse) {
  EXPECT_THAT(toml("a = \n"), HasSubstr("line 1"));
  EXPECT_NE(toml("[[a.]"), "{}");
  EXPECT_EQ(toml("a = 1d02\xd0\xbe"), "characters beyond ASCII outside strings and comments");
  EXPECT_EQ(toml("a = \"x\\\"\" \xd0\xbe"), "characters beyond ASCII outside strings and comments");
  EXPECT_EQ(toml("a = '''\n\xd0\xbe'' \n''' # \xd0\xbe"), "{\"a\":\"\xd0\xbe'' \\n\"}");
  EXPECT_EQ(toml("a = \"\xff\""), "not UTF-8");
}

}  // namespace
}  // namespace sluice::driver
