// SPDX-License-Identifier: Apache-2.0
#include "app/key.h"

#include <filesystem>
#include <fstream>
#include <gtest/gtest.h>
#include <sys/stat.h>

#include "app/data_directory.h"
#include "base/clock.h"
#include "base/crypto.h"
#include "store/store.h"

namespace sluice::app {
namespace {

class KeyTest : public testing::Test {
 protected:
  KeyTest() : directory_(std::filesystem::temp_directory_path() / ("sluice-key-" + random_uuid())) {
    EXPECT_TRUE(make_directory(directory_));
    auto store = open();
    EXPECT_TRUE((*store)->insert_connection({.account = "1", .secrets = {{"/configuration/password", "kept"}}}));
    first_ = *read_key(directory_ + "/key");
  }
  ~KeyTest() override { std::filesystem::remove_all(directory_); }

  Result<std::unique_ptr<store::Store>> open() {
    auto key = installation_key(directory_);
    if (!key) return key.error();
    return store::open_sqlite(directory_, SecretBox(*key), system_clock());
  }
  // As after a start: the secret is there, and one key only.
  void expect_whole() {
    auto store = open();
    ASSERT_TRUE(store) << store.error().text;
    EXPECT_EQ((*(*store)->connection("1"))->secrets.at("/configuration/password"), "kept");
    EXPECT_FALSE(std::filesystem::exists(directory_ + "/key.new"));
  }

  std::string directory_, first_;
};

TEST_F(KeyTest, ARotationSealsWithAFreshKey) {
  auto count = rotate_key(directory_);
  ASSERT_TRUE(count) << count.error().text;
  EXPECT_EQ(*count, 3u);
  EXPECT_NE(*read_key(directory_ + "/key"), first_);
  struct stat info {};
  ASSERT_EQ(::stat((directory_ + "/key").c_str(), &info), 0);
  EXPECT_EQ(info.st_mode & 0777, 0600u);
  expect_whole();
  EXPECT_TRUE(rotate_key(directory_));
  expect_whole();
}

// Where a killed rotation may have left the directory.
TEST_F(KeyTest, AnInterruptedRotationIsEndedOrUndone) {
  std::ofstream(directory_ + "/key.new") << "";  // not ours, whatever it is: the database is under the old key
  expect_whole();
  ASSERT_TRUE(make_key(directory_ + "/key.new"));
  expect_whole();
  EXPECT_EQ(*read_key(directory_ + "/key"), first_);
  ASSERT_TRUE(make_key(directory_ + "/key.new"));
  auto fresh = *read_key(directory_ + "/key.new");
  ASSERT_TRUE(store::seal_anew(directory_, SecretBox(first_), SecretBox(fresh)));
  expect_whole();
  EXPECT_EQ(*read_key(directory_ + "/key"), fresh);
  // And a second rotation goes on from any of them.
  ASSERT_TRUE(make_key(directory_ + "/key.new"));
  EXPECT_TRUE(rotate_key(directory_));
  expect_whole();
}

TEST_F(KeyTest, AKeyThatFitsNothingIsNeverThrownAway) {
  ASSERT_TRUE(make_key(directory_ + "/key.new"));
  auto other = *read_key(directory_ + "/key.new");
  ASSERT_TRUE(make_key(directory_ + "/third"));
  ASSERT_TRUE(store::seal_anew(directory_, SecretBox(first_), SecretBox(*read_key(directory_ + "/third"))));
  EXPECT_FALSE(installation_key(directory_));
  EXPECT_EQ(*read_key(directory_ + "/key"), first_);
  EXPECT_EQ(*read_key(directory_ + "/key.new"), other);
}

TEST_F(KeyTest, ADirectoryInUseOrWithoutAKeyIsRefused) {
  auto lock = DirectoryLock::take(directory_);
  ASSERT_TRUE(lock);
  EXPECT_EQ(rotate_key(directory_).error().code, kInUse);
  EXPECT_FALSE(rotate_key(directory_ + "/nothing"));
  EXPECT_FALSE(std::filesystem::exists(directory_ + "/nothing"));
}

}  // namespace
}  // namespace sluice::app
