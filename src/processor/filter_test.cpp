// SPDX-License-Identifier: Apache-2.0
#include "processor/filter.h"

#include <gtest/gtest.h>

#include "base/json.h"

namespace sluice::processor {
namespace {

message::Message report(const std::string& body) {
  return *message::parse_report(body);
}
Result<Operations> read(const std::string& text) {
  return Operations::read(json::parse(text)->get_array());
}

const std::string kUplink = R"({"DevEUI_uplink":{"DevEUI":"0000000000000001"}})";
const std::string kSent = R"({"DevEUI_downlink_Sent":{"DevEUI":"0000000000000001"}})";
const std::string kReset = R"({"DevEUI_notification":{"DevEUI":"0000000000000001","Type":"Reset"}})";

TEST(Filter, AbsentFlagsKeep) {
  auto operations = read(R"([{"type":"filter","keepDeviceDownlinkSent":false}])");
  ASSERT_TRUE(operations);
  EXPECT_TRUE(operations->keeps(report(kUplink)));
  EXPECT_FALSE(operations->keeps(report(kSent)));
}

TEST(Filter, NotificationTypesIgnoreCase) {
  auto operations = read(R"([{"type":"filter","keepDeviceNotificationSubTypes":["RESET"]}])");
  ASSERT_TRUE(operations);
  EXPECT_TRUE(operations->keeps(report(kReset)));
  operations = read(R"([{"type":"filter","keepDeviceNotificationSubTypes":["join"]}])");
  EXPECT_FALSE(operations->keeps(report(kReset)));
  operations = read(R"([{"type":"filter"},{"type":"filter","keepDeviceNotification":false}])");
  EXPECT_FALSE(operations->keeps(report(kReset)));
}

TEST(Filter, OtherOperationsAreRefusedByPlace) {
  for (const char* bad :
       {R"([{"type":"callProcessor","id":"CONNECT_TRANSFORMATION"}])", R"([{"type":"filter","id":"JSONATA_FILTER"}])",
        R"([{"type":"filter","keepDeviceUplink":"yes"}])", "[1]", R"([{"type":"callProcessor"}])",
        R"([{"type":"callProcessor","id":"MESSAGE_FLATTENER","condition":"true"}])",
        R"([{"type":"callProcessor","id":"MESSAGE_FLATTENER","configuration":{"arrays":"x"}}])",
        R"([{"type":"callProcessor","id":"MESSAGE_SIMPLIFIER","configuration":{"onError":"drop"}}])"}) {
    auto operations = read(bad);
    ASSERT_FALSE(operations) << bad;
    EXPECT_NE(operations.error().text.find("upOperations/0"), std::string::npos);
  }
}

}  // namespace
}  // namespace sluice::processor
