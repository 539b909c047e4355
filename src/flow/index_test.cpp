// SPDX-License-Identifier: Apache-2.0
#include "flow/index.h"

#include <gtest/gtest.h>

#include "base/json.h"

namespace sluice::flow {
namespace {

store::Flow flow(const std::string& id, const std::string& resource, const std::string& account = "1") {
  store::Flow out;
  out.id = id;
  out.account = account;
  out.resource = json::parse(resource)->get_object();
  return out;
}

std::vector<std::string> ids(const std::vector<const FlowRule*>& rules) {
  std::vector<std::string> out;
  for (const auto* rule : rules)
    out.push_back(rule->id);
  return out;
}

using Ids = std::vector<std::string>;

TEST(FlowIndex, TheSpecsExample) {  // processors.md 1.3
  auto index = FlowIndex::build({flow("1", R"({"matchers":[
      {"type":"thing","tags":["TemperatureService","MyBestCustomer"]},{"type":"key","key":"lora:0018b20000000b20"}]})")});
  EXPECT_EQ(ids(index->match("1", {.dev_eui = "0018B20000000B20"})), Ids{"1"});
  EXPECT_EQ(ids(index->match(
                "1", {.dev_eui = "0018B20000009999", .tags = {"temperatureservice", "mybestcustomer", "other"}})),
            Ids{"1"});
  EXPECT_EQ(ids(index->match("1", {.dev_eui = "0018B20000009999", .tags = {"temperatureservice"}})), Ids{});
}

TEST(FlowIndex, ModelAndApplicationIgnoreCaseAndMinorVersions) {
  auto index = FlowIndex::build({flow("7", R"({"matchers":[{"type":"thing",
      "model":{"producerId":"Elsys","moduleId":"ERS","version":"1"},
      "application":{"producerId":"elsys","moduleId":"generic","version":"1.0.0"}}]})")});
  Thing thing{.dev_eui = "00",
              .model = message::ModuleRef{"elsys", "ers", "1.2.0"},
              .application = message::ModuleRef{"ELSYS", "Generic", "1"}};
  EXPECT_EQ(ids(index->match("1", thing)), Ids{"7"});
  thing.model->version = "2";
  EXPECT_EQ(ids(index->match("1", thing)), Ids{});
}

TEST(FlowIndex, RemainingTakesWhatNobodyElseDoes) {
  auto index =
      FlowIndex::build({flow("3", R"({"matchers":[]})"), flow("2", R"({"matchers":[{"type":"key","key":"lora:A1"}]})"),
                        flow("4", R"({"matchers":[{"type":"key","key":"lora:A1"}],"active":false})"),
                        flow("10", R"({"matchers":[{"type":"thing","tags":["x"]}]})")});
  EXPECT_EQ(ids(index->match("1", {.dev_eui = "A1"})), Ids{"2"});
  EXPECT_EQ(ids(index->match("1", {.dev_eui = "B2"})), Ids{"3"});
  EXPECT_EQ(ids(index->match("1", {.dev_eui = "A1", .tags = {"x"}})), (Ids{"2", "10"}));  // by number, not as text
  EXPECT_EQ(ids(index->match("1", {.base_station = true})), Ids{"3"});
}

TEST(FlowIndex, AccountsAreApart) {
  auto index = FlowIndex::build({flow("1", R"({"matchers":[]})", "1"), flow("2", R"({"matchers":[]})", "2")});
  EXPECT_EQ(ids(index->match("2", {.dev_eui = "A1"})), Ids{"2"});
  EXPECT_EQ(ids(index->match("3", {.dev_eui = "A1"})), Ids{});
}

TEST(FlowIndex, FoldsUnicode) {
  EXPECT_EQ(fold("ÄRGER-Ωmega"), "ärger-ωmega");
  EXPECT_EQ(fold("\xff\xc3"), fold("\xff\xc3"));
}

TEST(FlowIndex, ReadsDriverAndTargets) {
  auto index = FlowIndex::build({flow("1", R"({"matchers":[],"driver":{"id":"actility:auto:1"},
      "connectors":[{"id":"actility-mqtt-iot","connectionId":"12","uplinkTimeValidity":"1h"}]})"),
                                 flow("2", R"({"matchers":[],"driver":{"id":"a:b:1"},"skipDecoding":true})")});
  auto rules = index->match("1", {});
  ASSERT_EQ(rules.size(), 2u);
  EXPECT_EQ(rules[0]->driver_id, "actility:auto:1");
  EXPECT_EQ(rules[0]->targets[0].connection, 12u);
  EXPECT_EQ(rules[0]->targets[0].validity_ms, 3'600'000);
  EXPECT_EQ(rules[1]->driver_id, "");
}

}  // namespace
}  // namespace sluice::flow
