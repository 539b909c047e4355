// SPDX-License-Identifier: Apache-2.0
#include "api/test_api.h"

namespace sluice::api {
namespace {

class DeliveryTest : public ApiTest {
 protected:
  DeliveryTest() {
    auto made = send("POST", "/connections",
                     R"({"connectorId":"actility-http-iot","configuration":{"destinationURL":"http://example.org/"}})");
    EXPECT_EQ(made.status, 201) << made.body;
    path_ = "/connections/" + json::text_or(body_of(made).as_object(), "id");
    connection::DeadLetter letter{.id = 7,
                                  .time = clock_.now(),
                                  .arrived = clock_.now() - 1000,
                                  .dev_eui = "0018B20000000B20",
                                  .type = "uplink",
                                  .fcnt_up = 12,
                                  .cause = "the endpoint answered 422",
                                  .answer = "no",
                                  .tries = 1,
                                  .bytes = 99,
                                  .body = "{}",
                                  .sent = "{}"};
    manager_.letters = {1, {letter}};
  }
  std::string path_;
};

TEST_F(DeliveryTest, QueueTellsWhatIsPendingAndWhatBecameOfTheRest) {
  manager_.queue_status = {.pending = 3,
                           .bytes = 300,
                           .oldest = clock_.now(),
                           .paused = true,
                           .dead = 2,
                           .dead_bytes = 20,
                           .catching_up_until = clock_.now() + 60'000,
                           .accepted = 10,
                           .delivered = 5,
                           .given_up = 2,
                           .replay = connection::QueueStatus::Replay{1, 4}};
  auto body = body_of(send("GET", path_ + "/queue")).as_object();
  EXPECT_EQ(body.at("pending").to_number<int>(), 3);
  EXPECT_EQ(body.at("paused"), true);
  EXPECT_EQ(body.at("deadLetters").to_number<int>(), 2);
  EXPECT_TRUE(body.contains("oldest"));
  EXPECT_TRUE(body.contains("estimate"));
  EXPECT_EQ(body.at("totals").at("accepted").to_number<int>(), 10);
  EXPECT_EQ(body.at("replay").at("total").to_number<int>(), 4);
  EXPECT_EQ(send("DELETE", path_ + "/queue").status, 204);
  EXPECT_EQ(manager_.purged.size(), 1u);
  EXPECT_EQ(events("connection-1305").size(), 1u);
}

TEST_F(DeliveryTest, PausedIsShownOnlyWhilePaused) {
  EXPECT_FALSE(body_of(send("GET", path_)).as_object().contains("paused"));
  EXPECT_EQ(send("POST", path_ + "/pause").status, 202);
  EXPECT_EQ(body_of(send("GET", path_)).at("paused"), true);
  EXPECT_EQ(send("POST", path_ + "/resume").status, 202);
  EXPECT_FALSE(body_of(send("GET", path_)).as_object().contains("paused"));
  EXPECT_EQ(events("connection-1308").size(), 2u);
}

TEST_F(DeliveryTest, LettersAreListedWithFiltersAndShownWhole) {
  auto response =
      send("GET", path_ + "/deadLetters?DevEUI=0018b20000000b20&startTime=2023-01-01T00:00:00Z&page=2&perPage=10");
  EXPECT_EQ(response.status, 200);
  EXPECT_EQ(header_of(response, "X-Total"), "1");
  EXPECT_EQ(manager_.letters_asked.filter.dev_eui, "0018B20000000B20");
  EXPECT_TRUE(manager_.letters_asked.filter.from);
  EXPECT_FALSE(manager_.letters_asked.filter.to);
  EXPECT_EQ(manager_.letters_asked.offset, 10u);
  EXPECT_EQ(manager_.letters_asked.limit, 10u);
  auto item = body_of(response).as_array().at(0).as_object();
  EXPECT_EQ(item.at("id"), "7");
  EXPECT_FALSE(item.contains("body"));
  auto whole = body_of(send("GET", path_ + "/deadLetters/7")).as_object();
  EXPECT_EQ(whole.at("body"), "{}");
  EXPECT_EQ(whole.at("sent"), "{}");
  for (const char* id : {"8", "0", "x", "-7", "99999999999999999999"})
    EXPECT_EQ(send("GET", path_ + "/deadLetters/" + id).status, 404) << id;
  EXPECT_EQ(send("GET", path_ + "/deadLetters?startTime=yesterday").status, 400);
  EXPECT_EQ(send("GET", path_ + "/deadLetters?startTime=2024-01-02T00:00:00Z&endTime=2024-01-01T00:00:00Z").status,
            400);
}

TEST_F(DeliveryTest, LettersAreResentAndDeleted) {
  auto count = [&](const Response& response) {
    EXPECT_EQ(response.status, 202) << response.body;
    return body_of(response).at("count").to_number<int>();
  };
  EXPECT_EQ(count(send("POST", path_ + "/deadLetters/7/resend")), 1);
  EXPECT_EQ(count(send("POST", path_ + "/deadLetters/resend")), 1);
  EXPECT_TRUE(manager_.resent.back().empty());
  EXPECT_EQ(count(send("POST", path_ + "/deadLetters/resend", R"({"ids":["7","8",9]})")), 1);
  EXPECT_EQ(manager_.resent.back(), (std::vector<std::uint64_t>{7, 8, 9}));
  for (const char* body : {"[]", R"({"ids":[]})", R"({"ids":["x"]})", R"({"ids":[-1]})", R"({"ids":7})", "{"})
    EXPECT_EQ(send("POST", path_ + "/deadLetters/resend", body).status, 400) << body;
  EXPECT_EQ(send("POST", path_ + "/deadLetters/8/resend").status, 404);
  EXPECT_EQ(send("DELETE", path_ + "/deadLetters/7").status, 204);
  EXPECT_EQ(send("DELETE", path_ + "/deadLetters/8").status, 404);
  EXPECT_EQ(send("DELETE", path_ + "/deadLetters").status, 204);
  EXPECT_TRUE(manager_.discarded.back().empty());
}

TEST_F(DeliveryTest, ReplayIsCountedAndChecked) {
  auto started = send(
      "POST", path_ + "/replay",
      R"({"startTime":"2024-01-01T00:00:00Z","endTime":"2024-01-02T00:00:00Z","DevEUI":"0018b20000000b20","ratePerSecond":5})");
  EXPECT_EQ(started.status, 202) << started.body;
  EXPECT_EQ(body_of(started).at("messages").to_number<int>(), 2);
  EXPECT_EQ(body_of(started).at("started"), true);
  ASSERT_EQ(manager_.replays.size(), 1u);
  EXPECT_EQ(manager_.replays[0].dev_eui, "0018B20000000B20");
  EXPECT_EQ(manager_.replays[0].per_second, 5u);
  EXPECT_EQ(manager_.replays[0].to - manager_.replays[0].from, 86'400'000);
  auto asked = send("POST", path_ + "/replay",
                    R"({"startTime":"2024-01-01T00:00:00Z","endTime":"2024-01-02T00:00:00Z","dryRun":true})");
  EXPECT_EQ(asked.status, 200);
  EXPECT_EQ(body_of(asked).at("started"), false);
  EXPECT_TRUE(manager_.replays[1].count_only);
  const std::string times = R"("startTime":"2024-01-01T00:00:00Z","endTime":"2024-01-02T00:00:00Z")";
  for (const auto& body :
       {std::string("{}"), R"({"startTime":"2024-01-02T00:00:00Z","endTime":"2024-01-01T00:00:00Z"})" + std::string(),
        "{" + times + R"(,"DevEUI":"12"})", "{" + times + R"(,"ratePerSecond":0})",
        "{" + times + R"(,"ratePerSecond":"5"})", "{" + times + R"(,"dryRun":1})", std::string("[]")}) {
    EXPECT_EQ(send("POST", path_ + "/replay", body).status, 400) << body;
  }
  EXPECT_EQ(send("DELETE", path_ + "/replay").status, 404);
  manager_.replay_runs = true;
  EXPECT_EQ(send("DELETE", path_ + "/replay").status, 204);
}

TEST_F(DeliveryTest, EachRoleMayDoItsPart) {
  auto status = [&](store::Role role, const char* method, const std::string& target, const std::string& body = "") {
    auto made = request(method, target, body);
    made.headers[0].second = "Bearer " + token_with(role);
    return send(made).status;
  };
  EXPECT_EQ(status(store::Role::reader, "GET", path_ + "/deadLetters/7"), 200);
  EXPECT_EQ(status(store::Role::reader, "POST", path_ + "/pause"), 403);
  EXPECT_EQ(status(store::Role::reader, "POST", path_ + "/deadLetters/resend"), 403);
  EXPECT_EQ(status(store::Role::writer, "POST", path_ + "/resume"), 202);
  EXPECT_EQ(status(store::Role::writer, "DELETE", path_ + "/deadLetters"), 403);
  EXPECT_EQ(status(store::Role::writer, "DELETE", path_ + "/queue"), 403);
  auto other = request("GET", path_ + "/deadLetters");
  other.headers[0].second = "Bearer " + token_with(store::Role::owner, "2");
  EXPECT_EQ(send(other).status, 404);
}

}  // namespace
}  // namespace sluice::api
