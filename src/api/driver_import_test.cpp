// SPDX-License-Identifier: Apache-2.0
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "api/test_api.h"

namespace sluice::api {
namespace {

using testing::ElementsAre;

class DriverImport : public ApiTest {
 protected:
  static std::string package(const std::string& name, const std::string& code = "1;", const std::string& more = "") {
    return R"({"path":"/x/)" + name + R"(","name":")" + name +
           R"(","version":"1.0.0","producerId":"lab","application":{"producerId":"m","moduleId":"g","version":"1"},)" +
           R"("type":"lora-alliance","code":")" + to_base64(code) + "\"" + more + "}";
  }
  Response import(const std::string& drivers, const std::string& more = "") {
    return send("POST", "/drivers/import", R"({"drivers":[)" + drivers + "]" + more + "}");
  }
  // "outcome id" of each, with the reason of those refused.
  static std::vector<std::string> outcomes(const Response& response) {
    std::vector<std::string> list;
    EXPECT_EQ(response.status, 200) << response.body;
    const auto body = body_of(response);  // a range of a temporary would dangle
    for (const auto& value : body.as_array()) {
      const auto& o = value.as_object();
      auto reason = json::text_or(o, "reason");
      list.push_back(json::text_or(o, "outcome") + " " + json::text_or(o, "id") +
                     (reason.empty() ? "" : ": " + reason));
    }
    return list;
  }
};

TEST_F(DriverImport, EachByItselfAndOneReload) {
  EXPECT_THAT(outcomes(import(package("a") + "," + package("b", "syntax error") + ",7," + package("c d") + "," +
                              package("e", "1;", R"(,"pointsSchema":{"x":{"type":"wrong"}})"))),
              ElementsAre("created lab:a:1", "refused lab:b:1: driver internal error: SyntaxError: x",
                          "refused : must be an object", "refused : name must be 1 to 64 of A-Z a-z 0-9 . _ -",
                          testing::StartsWith("refused lab:e:1: point x: ")));
  EXPECT_EQ(reloads_["drivers"], 1);
  auto stored = store_->driver("1", "lab:a:1");
  ASSERT_TRUE(stored && *stored);
  EXPECT_EQ((*stored)->code, "1;");
  EXPECT_EQ(json::text_or((*stored)->resource, "source"), "custom");
  EXPECT_THAT(outcomes(import(package("a"))), ElementsAre("unchanged lab:a:1"));
  EXPECT_EQ(reloads_["drivers"], 1);
  EXPECT_THAT(outcomes(import(package("a", "2;"), R"(,"dryRun":true)")), ElementsAre("replaced lab:a:1"));
  EXPECT_EQ(reloads_["drivers"], 1);
  EXPECT_EQ((*store_->driver("1", "lab:a:1"))->code, "1;");
}

TEST_F(DriverImport, SystemDriversAreTheInstallationsOwn) {
  EXPECT_THAT(outcomes(import(package("a"), R"(,"system":true)")), ElementsAre("created lab:a:1"));
  EXPECT_TRUE(*store_->driver("", "lab:a:1"));
  EXPECT_EQ(send("DELETE", "/drivers/lab:a:1").status, 403);
  token_ = token_with(store::Role::owner, "2");
  EXPECT_EQ(import(package("b"), R"(,"system":true)").status, 403);
  EXPECT_THAT(outcomes(import(package("a"))), ElementsAre("created lab:a:1"));
  EXPECT_EQ(json::text_or((*store_->driver("2", "lab:a:1"))->resource, "source"), "imported");
  token_ = token_with(store::Role::writer);
  EXPECT_EQ(import(package("c")).status, 403);
}

TEST_F(DriverImport, Faults) {
  EXPECT_EQ(send("POST", "/drivers/import", "[]").status, 400);
  EXPECT_EQ(send("POST", "/drivers/import", "{}").status, 400);
  std::string many = "1";
  for (int i = 0; i < 200; ++i)
    many += ",1";
  EXPECT_EQ(import(many).status, 400);
  EXPECT_THAT(outcomes(import("")), testing::IsEmpty());
}

}  // namespace
}  // namespace sluice::api
