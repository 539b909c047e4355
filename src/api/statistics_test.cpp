// SPDX-License-Identifier: Apache-2.0
#include "api/test_api.h"

namespace sluice::api {
namespace {

class StatisticsTest : public ApiTest {
 protected:
  std::string make(const std::string& account) {
    auto made = store_->insert_connection({.account = account, .resource = {{"connectorId", "x"}}});
    EXPECT_TRUE(made);
    return made->id;
  }
};

TEST_F(StatisticsTest, GivesTheSeriesAsAsked) {
  auto path = "/connections/" + make("1") + "/statistics";
  manager_.points = {{1'700'000'000'000, {{"uplinks", 3}, {"latencyP50Ms", nullptr}}}};
  auto response = send("GET", path + "?startTime=2023-11-14T00:00:00Z&endTime=2023-11-14T12:00:00%2B01:00&step=1m");
  ASSERT_EQ(response.status, 200);
  EXPECT_EQ(json::write(body_of(response)),
            R"([{"time":"2023-11-14T22:13:20.000+00:00","uplinks":3,"latencyP50Ms":null}])");
  EXPECT_EQ(manager_.series_asked.from, 1'699'920'000'000);
  EXPECT_EQ(manager_.series_asked.to, 1'699'959'600'000);
  EXPECT_EQ(manager_.series_asked.step, std::chrono::minutes(1));
}

TEST_F(StatisticsTest, WithoutATimeItIsTheLastDayByHour) {
  ASSERT_EQ(send("GET", "/connections/" + make("1") + "/statistics").status, 200);
  EXPECT_EQ(manager_.series_asked.step, std::chrono::hours(1));
  EXPECT_EQ(manager_.series_asked.to, clock_.now() + 1);
  EXPECT_EQ(manager_.series_asked.from, clock_.now() + 1 - 86'400'000);
}

TEST_F(StatisticsTest, ABadParameterIsNamed) {
  auto path = "/connections/" + make("1") + "/statistics?";
  for (auto [query, name] : {std::pair{"step=5m", "step"},
                             {"step=", "step"},
                             {"startTime=yesterday", "startTime"},
                             {"endTime=x", "endTime"},
                             {"startTime=2024-01-02&endTime=2024-01-01", "startTime"},
                             {"startTime=2024-01-02T00:00:00Z&endTime=2024-01-01T00:00:00Z", "startTime"}}) {
    auto response = send("GET", path + query);
    EXPECT_EQ(response.status, 400) << query;
    EXPECT_EQ(code_of(response), "com-4000") << query;
    EXPECT_NE(response.body.find(name), std::string::npos) << query << response.body;
  }
}

TEST_F(StatisticsTest, AnothersConnectionIsNotThere) {
  EXPECT_EQ(send("GET", "/connections/" + make("2") + "/statistics").status, 404);
  EXPECT_EQ(send("GET", "/connections/99/statistics").status, 404);
}

}  // namespace
}  // namespace sluice::api
