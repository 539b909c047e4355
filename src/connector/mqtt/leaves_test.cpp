// SPDX-License-Identifier: Apache-2.0
#include "connector/mqtt/leaves.h"

#include <gtest/gtest.h>

namespace sluice::connector::mqtt {
namespace {

TEST(MqttLeaves, KeepTheSpellingOfEachScalar) {
  auto leaves = leaves_of(R"({"a":{"b":1.50,"c/+#":true},"d":["x y",null,{"e":-3}],"f":{},"g":"\u00e9"})");
  ASSERT_TRUE(leaves) << leaves.error().text;
  std::vector<std::pair<std::string, std::string>> expected{{"a/b", "1.50"}, {"a/c___", "true"}, {"d/0", "\"x y\""},
                                                            {"d/1", "null"}, {"d/2/e", "-3"},    {"g", "\"\\u00e9\""}};
  EXPECT_EQ(*leaves, expected);
  EXPECT_FALSE(leaves_of("{"));
  EXPECT_FALSE(leaves_of(R"({"a":tru})"));
  std::string deep;
  for (int i = 0; i < 40; ++i)
    deep += "[";
  EXPECT_FALSE(leaves_of(deep + std::string(40, ']')));
}

}  // namespace
}  // namespace sluice::connector::mqtt
