// SPDX-License-Identifier: Apache-2.0
#include "app/options.h"

#include <filesystem>
#include <fstream>
#include <gtest/gtest.h>

#include "base/crypto.h"

namespace sluice::app {
namespace {

Result<void> read(const std::string& yaml, ServeOptions& options) {
  auto path = std::filesystem::temp_directory_path() / ("sluice-config-" + random_uuid());
  std::ofstream(path) << yaml;
  auto result = read_config(path, options);
  std::filesystem::remove(path);
  return result;
}

TEST(Options, ReadsNestedKeys) {
  ServeOptions options;
  auto result =
      read("listen: 0.0.0.0:9000\nqueue:\n  maxBytes: 2GiB\n  listMaxAge: 2d\ndrivers:\n  hosts: 3\n", options);
  ASSERT_TRUE(result) << result.error().text;
  EXPECT_EQ(options.listen, "0.0.0.0:9000");
  EXPECT_EQ(options.queue.max_bytes, 2ull << 30);
  EXPECT_EQ(options.queue.list_max_age, std::chrono::hours(48));
  EXPECT_EQ(options.drivers.fast_hosts, 3u);
  ASSERT_TRUE(read("drivers: {callLimit: 250ms}\n", options));
  EXPECT_EQ(options.drivers.call_limit, std::chrono::milliseconds(250));
  ASSERT_TRUE(read("drivers: {callLimit: 2s}\n", options));
  EXPECT_EQ(options.drivers.call_limit, std::chrono::seconds(2));
  EXPECT_FALSE(read("drivers: {callLimit: 0ms}\n", options));
  EXPECT_FALSE(read("drivers: {callLimit: ms}\n", options));
  EXPECT_TRUE(read("", options));
}

TEST(Options, SaysWhereAndWhatIsWrong) {
  ServeOptions options;
  auto unknown = read("listen: x\nqueue:\n  maxbytes: 1\n", options);
  ASSERT_FALSE(unknown);
  EXPECT_NE(unknown.error().text.find("line 3: queue.maxbytes: there is no such setting"), std::string::npos);
  auto wrong = read("queue: {maxBytes: lots}\n", options);
  ASSERT_FALSE(wrong);
  EXPECT_NE(wrong.error().text.find("takes a size"), std::string::npos);
  EXPECT_FALSE(read("[1]\n", options));
  EXPECT_FALSE(read("a: [", options));
  EXPECT_FALSE(read_config("/nonexistent", options));
}

TEST(Options, SettingsOfConnectors) {
  ServeOptions options;
  ASSERT_TRUE(read("connectors:\n  one: {profile: plant}\nlisten: 0.0.0.0:9000\n", options));
  EXPECT_EQ(options.connectors, (std::map<std::string, std::string>{{"one.profile", "plant"}}));
  EXPECT_EQ(options.listen, "0.0.0.0:9000");
  auto wrong = read("connectors:\n  one: plant\n", options);
  ASSERT_FALSE(wrong);
  EXPECT_NE(wrong.error().text.find("line 2: connectors.one: takes a map"), std::string::npos) << wrong.error().text;
  EXPECT_FALSE(read("connectors: {one: {profile: [1]}}\n", options));
}

TEST(Options, Sizes) {
  EXPECT_EQ(parse_size("1000"), 1000u);
  EXPECT_EQ(parse_size("256 MiB"), 256u << 20);
  EXPECT_FALSE(parse_size("1.5GiB"));
  EXPECT_FALSE(parse_size("-1"));
  EXPECT_FALSE(parse_size("99999999999TiB"));
}

}  // namespace
}  // namespace sluice::app
