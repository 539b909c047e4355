// SPDX-License-Identifier: Apache-2.0
#include "binder/binders.h"

#include <cstdlib>
#include <filesystem>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/json.h"

namespace sluice::binder {
namespace {

class FakeClock final : public Clock {
 public:
  [[nodiscard]] UnixMillis now() const override { return time; }
  [[nodiscard]] std::chrono::steady_clock::time_point steady() const override {
    return std::chrono::steady_clock::time_point(std::chrono::milliseconds(time));
  }
  UnixMillis time = 1'700'000'000'000;
};

// ---- binders

// The store below a directory of its own, gone with the test.
class BindersTest : public testing::Test {
 protected:
  BindersTest() {
    auto opened = store::open_sqlite(directory_, SecretBox(std::string(32, 'k')), clock_);
    EXPECT_TRUE(opened) << (opened ? "" : opened.error().text);
    if (opened) store_ = std::move(*opened);
    for (const char* account : {"acme", "two", "other"}) {
      EXPECT_TRUE(store_->put_account({account, account}));
    }
  }
  ~BindersTest() override {
    store_.reset();
    std::filesystem::remove_all(directory_);
  }
  static std::string fresh_directory() {
    auto path = (std::filesystem::temp_directory_path() / "sluice-binders-XXXXXX").string();
    EXPECT_NE(mkdtemp(path.data()), nullptr);
    return path;
  }
  void add(store::Binder row) {
    auto inserted = store_->insert_binder(std::move(row));
    EXPECT_TRUE(inserted) << (inserted ? "" : inserted.error().text);
  }

  FakeClock clock_;
  std::string directory_ = fresh_directory();
  std::unique_ptr<store::Store> store_;
};

store::Binder binder(std::string id, std::string account, std::string_view resource) {
  store::Binder row;
  row.id = std::move(id);
  row.account = std::move(account);
  row.resource = json::parse(resource)->as_object();
  row.as_key = "k";
  return row;
}

TEST_F(BindersTest, ReadsTheStoreAnew) {
  Binders binders(*store_);
  EXPECT_EQ(binders.find("b1"), nullptr);
  add(binder("b1", "acme",
             R"({"type":"thingpark","asId":"as.1","downlinkUrl":"https://ns/d","maxTimeDeviation":"5m"})"));
  add(binder("b2", "acme", R"({"type":"thingpark","security":false})"));
  add(binder("b3", "other", R"({"type":"unknown"})"));
  ASSERT_TRUE(binders.reload());
  auto first = binders.find("b1");
  ASSERT_TRUE(first);
  EXPECT_EQ(first->as_id, "as.1");
  EXPECT_EQ(first->as_key, "k");
  EXPECT_EQ(first->account, "acme");
  EXPECT_TRUE(first->security);
  EXPECT_EQ(first->max_time_deviation, std::chrono::minutes(5));
  auto second = binders.find("b2");
  ASSERT_TRUE(second);
  EXPECT_FALSE(second->security);
  EXPECT_FALSE(second->max_time_deviation);
  EXPECT_EQ(binders.find("b3"), nullptr);
  EXPECT_EQ(binders.find(""), nullptr);
  ASSERT_TRUE(store_->erase_binder("b1"));
  ASSERT_TRUE(binders.reload());
  EXPECT_EQ(binders.find("b1"), nullptr);
  EXPECT_EQ(first->as_id, "as.1") << "who holds the old settings may use them up";
}

TEST_F(BindersTest, FindsTheWayBackToADevice) {
  add(binder("b1", "acme", R"({"downlinkUrl":"https://ns/1"})"));
  add(binder("b2", "acme", "{}"));
  add(binder("b3", "two", R"({"downlinkUrl":"https://ns/3"})"));
  add(binder("b4", "two", R"({"downlinkUrl":"https://ns/4"})"));
  Binders binders(*store_);
  ASSERT_TRUE(binders.reload());
  auto id = [&](const std::string& account, const std::string& name) {
    auto found = binders.for_downlink(account, name);
    return found ? found->id : "";
  };
  EXPECT_EQ(id("acme", "b1"), "b1");
  EXPECT_EQ(id("acme", "b2"), "b1");
  EXPECT_EQ(id("acme", ""), "b1");
  EXPECT_EQ(id("acme", "b3"), "b1") << "another account's binder is no way";
  EXPECT_EQ(id("two", "b4"), "b4");
  EXPECT_EQ(id("two", ""), "");
  EXPECT_EQ(id("none", ""), "");
}

}  // namespace
}  // namespace sluice::binder
