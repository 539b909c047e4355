// SPDX-License-Identifier: Apache-2.0
#include "processor/standard.h"

#include <fstream>
#include <gtest/gtest.h>
#include <sstream>

#include "base/json.h"
#include "message/json_scan.h"
#include "processor/filter.h"

namespace sluice::processor {
namespace {

std::string file(const std::string& name) {
  std::ifstream stream(std::string(SLUICE_SOURCE_DIR) + "/tests/data/processors/" + name);
  EXPECT_TRUE(stream) << name;
  std::ostringstream text;
  text << stream.rdbuf();
  return *message::scan::compact(text.str());
}

std::string flat(const std::string& document, const std::string& configuration = "{}", const std::string& root = "") {
  auto flattener = Flattener::read(json::parse(configuration)->get_object());
  auto made = flattener->apply(root, document);
  return made ? *made : made.error().text;
}

// The documented pairs, to the letter: order of the fields and spelling of the numbers included.
TEST(Standard, DocumentedPairs) {
  const std::string root = "DevEUI_uplink";
  EXPECT_EQ(flat(file("message-flattener/input.json"), "{}", root), file("message-flattener/output.json"));
  EXPECT_EQ(*simplify(message::MessageType::uplink, root, file("message-simplifier/input.json")),
            file("message-simplifier/output.json"));
}

TEST(Standard, FlattenerNamesEveryPlaceOnce) {
  EXPECT_EQ(flat(R"({"a":{},"b":[],"c":{"d":[[1,2.50],{"e":null}]}})"),
            R"({"a":{},"b":[],"c.d[0][0]":1,"c.d[0][1]":2.50,"c.d[1].e":null})");
  EXPECT_EQ(flat(R"({"a":{"b.c":1,"":2,"x[0]":3,"é \" d":4},"a.b":5})"),
            R"({"a[\"b.c\"]":1,"a[\"\"]":2,"a[\"x[0]\"]":3,"a.é \" d":4,"[\"a.b\"]":5})");
  EXPECT_EQ(flat(R"({"a":[{"b_c":1}]})", R"({"separator":"_","arrays":"dots"})"), R"({"a_0[\"b_c\"]":1})");
  EXPECT_EQ(flat("{}"), "{}");
  EXPECT_EQ(flat("[1]"), "the document is no JSON object");
}

TEST(Standard, FlattenerRemovesItsRootAlone) {
  EXPECT_EQ(flat(R"({"R":{"a":{"b":1}}})", "{}", "R"), R"({"a.b":1})");
  EXPECT_EQ(flat(R"({"R":{"a":1},"x":2})", "{}", "R"), R"({"R.a":1,"x":2})");
  EXPECT_EQ(flat(R"({"coordinates":[1,2]})"), R"({"coordinates[0]":1,"coordinates[1]":2})");
}

TEST(Standard, FlattenerIsBounded) {
  // 60 levels of 2,000 letters above 200 values: 24 MB of names.
  std::string document, name(2000, 'n');
  for (int i = 0; i < 60; ++i)
    document += "{\"" + name + "\":";
  document += "[";
  for (int i = 0; i < 200; ++i)
    document += i == 0 ? "0" : ",0";
  document += "]" + std::string(60, '}');
  EXPECT_EQ(flat(document), "the flat document is over 1 MiB");
}

TEST(Standard, SimplifierOverwritesNothing) {
  auto made = simplify(message::MessageType::uplink, "R",
                       R"({"R":{"DevEUI":"1","Late":0,"payload":{"DevEUI":"2","Time":3,"t":21.0},)"
                       R"("payloadDecodedError":{"code":"com-5000"}}})");
  EXPECT_EQ(
      *made,
      R"({"DevEUI":"1","payload_DevEUI":"2","payload_Time":3,"t":21.0,"payloadDecodedError":{"code":"com-5000"}})");
  EXPECT_EQ(*simplify(message::MessageType::uplink, "R", R"({"R":{"DevEUI":"1","payload":[1]}})"),
            R"({"DevEUI":"1","payload":[1]})");
  EXPECT_EQ(*simplify(message::MessageType::uplink, "R", R"({"R":{"x":1}})"), "{}");
}

TEST(Standard, SimplifierOfOtherTypes) {
  EXPECT_EQ(*simplify(message::MessageType::notification, "R",
                      R"({"R":{"CustomerID":"1","Time":"t","Type":"reset","DevEUI":"1","ModelCfg":"0"}})"),
            R"({"DevEUI":"1","Time":"t","Type":"reset"})");
}

TEST(Standard, OperationsRunInOrder) {
  auto read = [](const std::string& text) { return Operations::read(json::parse(text)->get_array()); };
  auto message = *message::parse_report(R"({"DevEUI_uplink":{"DevEUI":"0000000000000001","payload":{"a":{"b":1}}}})");
  auto both = read(R"([{"type":"callProcessor","id":"MESSAGE_SIMPLIFIER"},{"type":"filter"},
                       {"type":"callProcessor","id":"MESSAGE_FLATTENER"}])");
  ASSERT_TRUE(both);
  EXPECT_TRUE(both->transforms());
  EXPECT_EQ(*both->apply(message, message.body), R"({"DevEUI":"0000000000000001","a.b":1})");
  auto failed = both->apply(message, "[1]");
  ASSERT_FALSE(failed);
  EXPECT_EQ(failed.error().code, kOperationFailed);
  EXPECT_EQ(Operations::failed_index(failed.error()), 0u);
  EXPECT_FALSE(Operations::failed_index({ErrorKind::permanent, "refused"}));
  auto passes = read(R"([{"type":"callProcessor","id":"MESSAGE_FLATTENER","configuration":{"onError":"pass"}}])");
  EXPECT_EQ(*passes->apply(message, "[1]"), "[1]");
  EXPECT_FALSE(read(R"([{"type":"filter"}])")->transforms());
}

}  // namespace
}  // namespace sluice::processor
