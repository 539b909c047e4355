// SPDX-License-Identifier: Apache-2.0
#include <algorithm>

#include "api/test_api.h"

namespace sluice::api {
namespace {

constexpr const char* kMqtt = R"({
  "connectorId": "actility-mqtt-iot", "name": "Test MQTT Connection", "active": true,
  "alarms": [{"startTime": "2019-01-31T09:00:00+01:00", "endTime": "2019-01-31T18:00:00+01:00", "timezone": "Europe/Paris",
    "recurrence": [{"frequency": "weekly", "byDays": ["monday", "friday"]}], "uplinkRateMinPerHour": 10, "message": "Low"}],
  "configuration": {"description": "Broker", "createDevices": true, "hostName": "broker.example.com:8883", "protocol": "SSL",
    "username": "mycompany", "password": "bar-secret", "uplinkTopicPattern": "mqtt/things/{DevEUI}/uplink",
    "downlinkTopicPattern": "mqtt/things/{DevEUI}/downlink", "downlinkAsKey": "9311e33d7d44fc52215b0dc789aa1d22",
    "downlinkPort": "5"}})";

class ConnectionsTest : public ApiTest {
 protected:
  boost::json::object make(const std::string& body = kMqtt) {
    auto response = send("POST", "/connections", body);
    EXPECT_EQ(response.status, 201) << response.body;
    return body_of(response).as_object();
  }
  static boost::json::object minimal(std::string name = "m") {
    return {{"connectorId", "actility-mqtt-iot"},
            {"name", name},
            {"configuration", {{"hostName", "h"}, {"protocol", "TCP"}, {"uplinkTopicPattern", "a/{DevEUI}"}}}};
  }
  // The paths of data.errors.
  static std::set<std::string> faults(const Response& response) {
    EXPECT_EQ(response.status, 400) << response.body;
    std::set<std::string> paths;
    auto body = body_of(response).as_object();
    if (!body.contains("data")) return paths;
    for (const auto& error : body.at("data").at("errors").as_array())
      paths.insert(std::string(error.at("path").as_string()));
    return paths;
  }
};

TEST_F(ConnectionsTest, TheThreeCallsOfTheGuide) {
  auto connectors = body_of(send("GET", "/connectors")).as_array();
  bool found = false;
  for (const auto& connector : connectors) {
    if (connector.at("id") != "actility-mqtt-iot") continue;
    found = true;
    EXPECT_TRUE(connector.at("connection").at("configurationSchema").is_object());
  }
  ASSERT_TRUE(found);
  EXPECT_EQ(send("GET", "/connectors/actility-mqtt-iot").status, 200);
  EXPECT_EQ(send("GET", "/connectors/none").status, 404);

  manager_.state.state = connection::State::opening;
  auto response = send("POST", "/connections", kMqtt);
  ASSERT_EQ(response.status, 201) << response.body;
  EXPECT_EQ(header_of(response, "Location"), "/connections/1");
  auto made = body_of(response).as_object();
  EXPECT_EQ(made.at("id"), "1");
  EXPECT_EQ(made.at("state"), "OPENING");
  EXPECT_EQ(made.at("configuration").at("password"), "*****");
  EXPECT_EQ(made.at("configuration").at("downlinkAsKey"), "*****");
  EXPECT_EQ(made.at("configuration").at("username"), "mycompany");
  EXPECT_EQ(made.at("configuration").at("downlinkPort"), "5");
  EXPECT_EQ(made.at("alarms").as_array().size(), 1u);
  EXPECT_FALSE(made.contains("upOperations"));
  EXPECT_FALSE(made.contains("debug"));
  EXPECT_TRUE(made.at("downlinkUrl").as_string().starts_with("http://sluice.test/iot-flow/downlinkMessages/"));
  EXPECT_EQ(response.body.find("bar-secret"), std::string::npos);

  manager_.state = {.state = connection::State::opened, .startup_time = 1569571688309};
  auto list = body_of(send("GET", "/connections")).as_array();
  ASSERT_EQ(list.size(), 1u);
  EXPECT_EQ(list[0].at("state"), "OPENED");
  EXPECT_EQ(list[0].at("startupTime"), "2019-09-27T08:08:08.309+00:00");
  ASSERT_EQ(manager_.applied.size(), 1u);
  EXPECT_EQ(json::write(manager_.applied[0].resource).find("bar-secret"), std::string::npos);
  EXPECT_NE(json::write(manager_.applied[0].secrets).find("bar-secret"), std::string::npos);
}

TEST_F(ConnectionsTest, WhatWasReadCanBeWrittenBack) {
  make();
  auto before = **store_->connection("1");
  auto read = send("GET", "/connections/1");
  ASSERT_EQ(read.status, 200);
  clock_.time += 5000;
  auto response = send("PUT", "/connections/1", read.body);
  ASSERT_EQ(response.status, 200) << response.body;
  EXPECT_EQ(body_of(response), body_of(read));
  auto after = **store_->connection("1");
  EXPECT_EQ(after.resource, before.resource);
  EXPECT_EQ(after.secrets, before.secrets);
  EXPECT_EQ(after.updated, before.updated);  // nothing changed: not even stored
  EXPECT_EQ(manager_.applied.size(), 1u);
}

TEST_F(ConnectionsTest, SecretsAreKeptReplacedAndRemoved) {
  make();
  auto body = json::parse(kMqtt)->as_object();
  auto& configuration = body.at("configuration").as_object();
  configuration["password"] = "*****";
  configuration["downlinkAsKey"] = "00000000000000000000000000000000";
  configuration["hostName"] = "elsewhere.example.com";
  ASSERT_EQ(send("PUT", "/connections/1", json::write(body)).status, 200);
  auto secrets = json::write((*store_->connection("1"))->secrets);
  EXPECT_NE(secrets.find("bar-secret"), std::string::npos);
  EXPECT_NE(secrets.find("0000000000"), std::string::npos);
  EXPECT_EQ(events("connection-1006").size(), 1u);

  ASSERT_EQ(send("PATCH", "/connections/1", R"({"configuration":{"downlinkAsKey":null}})").status, 200);
  secrets = json::write((*store_->connection("1"))->secrets);
  EXPECT_EQ(secrets.find("0000000000"), std::string::npos);
  EXPECT_NE(secrets.find("bar-secret"), std::string::npos);

  configuration.erase("password");
  configuration.erase("downlinkAsKey");
  ASSERT_EQ(send("PUT", "/connections/1", json::write(body)).status, 200);
  EXPECT_TRUE((*store_->connection("1"))->secrets.empty());
}

TEST_F(ConnectionsTest, AMaskForNothingStoredIsRefused) {
  auto body = minimal();
  body.at("configuration").as_object()["password"] = "*****";
  EXPECT_EQ(faults(send("POST", "/connections", json::write(body))), std::set<std::string>{"/configuration/password"});
}

TEST_F(ConnectionsTest, ReadOnlyUnknownAndNullMembersAreIgnored) {
  auto body = minimal();
  body["id"] = "77";
  body["state"] = "OPENED";
  body["stateReason"] = nullptr;
  body["brand"] = nullptr;
  body["somethingNew"] = 1;
  body.at("configuration").as_object()["password"] = nullptr;
  auto made = make(json::write(body));
  EXPECT_EQ(made.at("id"), "1");
  EXPECT_FALSE(made.contains("brand"));
  EXPECT_FALSE(made.contains("somethingNew"));
  EXPECT_FALSE(made.at("configuration").as_object().contains("password"));
  EXPECT_EQ(made.at("active"), true);
}

TEST_F(ConnectionsTest, ANameIsMadeWhereNoneIsGiven) {
  auto body = minimal();
  body.erase("name");
  EXPECT_EQ(make(json::write(body)).at("name"), "actility-mqtt-iot 1");
}

TEST_F(ConnectionsTest, AllFaultsAreToldAtOnce) {
  auto paths =
      faults(send("POST", "/connections", R"({"connectorId":"actility-mqtt-iot","name":"","active":"yes","alarms":[
    {"startTime":"x","endTime":"2019-01-31T18:00:00Z","timezone":"Mars/One","uplinkRateMinPerHour":-1,
     "recurrence":[{"frequency":"often","count":1,"until":"2020-01-01T00:00:00Z","byDays":["+2monday"]}]}],
    "configuration":{"hostName":"http://x","protocol":"TCP"}})"));
  for (const char* path :
       {"/name", "/active", "/alarms/0/startTime", "/alarms/0/timezone", "/alarms/0/uplinkRateMinPerHour",
        "/alarms/0/recurrence/0/frequency", "/alarms/0/recurrence/0/until", "/alarms/0/recurrence/0/byDays",
        "/configuration/hostName"}) {
    EXPECT_TRUE(paths.contains(path)) << path;
  }
  EXPECT_EQ(manager_.applied.size(), 0u);
  EXPECT_EQ(send("POST", "/connections", R"({"connectorId":"none","configuration":{}})").status, 404);
  EXPECT_EQ(faults(send("POST", "/connections", "{}")), (std::set<std::string>{"/connectorId", "/configuration"}));
}

TEST_F(ConnectionsTest, AlarmsAreJudgedWhole) {
  auto other = make();
  auto with = [&](const std::string& alarm) {
    auto body = minimal();
    body["alarms"] = boost::json::array{*json::parse(alarm)};
    return json::write(body);
  };
  auto alarm = [](const std::string& more, const std::string& recurrence = "") {
    return R"({"startTime":"2024-01-01T22:00:00+01:00","endTime":"2024-01-02T06:00:00+01:00","uplinkRateMinPerHour":10)" +
           more + (recurrence.empty() ? "" : R"(,"recurrence":[)" + recurrence + "]") + "}";
  };
  auto id = json::text_or(other, "id");
  for (const auto& good :
       {alarm(""), alarm(R"(,"timezone":null,"message":null,"deliverTo":null)"),
        alarm(R"(,"timezone":"Australia/Lord_Howe","message":"low","deliverTo":")" + id + "\""),
        alarm("", R"({"frequency":"monthly","byDays":["+2tuesday","-1friday","Monday"],"interval":2,"count":5},
                    {"frequency":"secondly","until":"2024-01-01T22:00:00+01:00"})"),
        alarm("", R"({"frequency":"yearly","byDays":["+53monday"]})")}) {
    auto made = make(with(good));
    EXPECT_EQ(json::write(made.at("alarms").as_array()[0]), json::write(*json::parse(good)));
  }
  auto expect = [&](const std::string& bad, const std::set<std::string>& fields) {
    std::set<std::string> paths;
    for (const auto& field : fields)
      paths.insert("/alarms/0" + field);
    EXPECT_EQ(faults(send("POST", "/connections", with(bad))), paths) << bad;
  };
  expect("{}", {"/startTime", "/endTime", "/uplinkRateMinPerHour"});
  expect(R"({"startTime":"2024-01-01T22:00:00Z","endTime":"2024-01-01T22:00:00Z","uplinkRateMinPerHour":2147483648})",
         {"/endTime", "/uplinkRateMinPerHour"});
  expect(alarm(R"(,"timezone":"","message":")" + std::string(1001, 'x') + R"(","deliverTo":"4711")"),
         {"/timezone", "/message", "/deliverTo"});
  expect(alarm(R"(,"timezone":"../../../etc/passwd","deliverTo":7)"), {"/timezone", "/deliverTo"});
  const std::string first = "/recurrence/0", second = "/recurrence/1";
  expect(alarm("", R"({"interval":0,"count":0},{"frequency":"daily","until":"2023-12-31T22:00:00Z","count":1.5})"),
         {first + "/frequency", first + "/interval", first + "/count", second + "/until", second + "/count"});
  expect(alarm("", R"({"frequency":"Daily"},7)"), {first + "/frequency", second});
  for (const char* day : {"+2tuesday", "-1friday", "mon", "tuesdays", "2tuesday", ""})
    expect(alarm("", R"({"frequency":"weekly","byDays":[")" + std::string(day) + "\"]}"), {first + "/byDays"});
  for (const char* day : {"+0monday", "+54monday", "-0friday", "+-1monday", "+001monday", "+ 1monday", "+monday"})
    expect(alarm("", R"({"frequency":"yearly","byDays":[")" + std::string(day) + "\"]}"), {first + "/byDays"});
  std::string rules = R"({"frequency":"daily"})";
  for (int i = 0; i < 32; ++i)
    rules += R"(,{"frequency":"daily"})";
  expect(alarm("", rules), {"/recurrence"});
}

TEST_F(ConnectionsTest, TheAnswerToAHostileBodyStaysSmall) {
  std::string many = "1";
  for (int i = 0; i < 20'000; ++i)
    many += ",1";
  for (const auto& [target, body] :
       {std::pair<const char*, std::string>{"/connections", R"({"connectorId":"actility-mqtt-iot","alarms":[)" + many +
                                                                R"(],"upOperations":[)" + many + "]}"},
        {"/flows", R"({"matchers":[)" + many + R"(],"connectors":[)" + many + "]}"}}) {
    auto response = send("POST", target, body);
    EXPECT_EQ(response.status, 400);
    EXPECT_EQ(body_of(response).at("data").at("errors").as_array().size(), kMaxFaults);
    EXPECT_LT(response.body.size(), 64u * 1024);
  }
}

TEST_F(ConnectionsTest, SecretsOfAnotherConnectorAreNotShown) {
  auto body = minimal();
  auto& configuration = body["configuration"].get_object();
  configuration["secretAccessKey"] = "planted-1";
  configuration["serviceAccount"] = boost::json::object{{"key", "planted-2"}};
  configuration["region"] = "eu-central-1";
  auto made = make(json::write(body));
  auto id = std::string(made.at("id").as_string());
  const auto& shown = made.at("configuration").as_object();
  EXPECT_EQ(shown.at("secretAccessKey"), "*****");
  EXPECT_EQ(shown.at("serviceAccount"), "*****");
  EXPECT_EQ(shown.at("region"), "eu-central-1");
  auto read = send("GET", "/connections/" + id);
  EXPECT_EQ(read.body.find("planted"), std::string::npos);
  EXPECT_EQ(json::write((*store_->connection(id))->resource).find("planted"), std::string::npos);
  EXPECT_EQ(send("PUT", "/connections/" + id, read.body).status, 200);
  EXPECT_NE(json::write((*store_->connection(id))->secrets).find("planted-2"), std::string::npos);
}

TEST_F(ConnectionsTest, UnknownKeysDoNotFloodTheEvents) {
  auto body = minimal();
  auto& configuration = body["configuration"].get_object();
  for (int i = 0; i < 1000; ++i)
    configuration["key" + std::to_string(i)] = i;
  ASSERT_EQ(send("POST", "/connections", json::write(body)).status, 201);
  auto told = events("connection-1008");
  ASSERT_EQ(told.size(), 11u);
  EXPECT_EQ(std::count_if(told.begin(), told.end(),
                          [](const auto& event) {
                            const auto* count = json::find(event.data, "count");
                            return count != nullptr && *count == 1000;
                          }),
            1);
}

TEST_F(ConnectionsTest, OperationsOfLaterVersionsAreRefused) {
  auto body = minimal();
  body["upOperations"] =
      json::parse(R"([{"type":"filter","keepDeviceUplink":true,"keepDeviceNotificationSubTypes":["reset"]}])").value();
  EXPECT_EQ(make(json::write(body)).at("upOperations").as_array().size(), 1u);
  body["upOperations"] =
      json::parse(R"([{"type":"filter"},{"type":"customOutput"},{"type":"filter","expression":"x"}])").value();
  body["dlOperations"] = json::parse(R"([{"type":"customOutput"}])").value();
  auto response = send("POST", "/connections", json::write(body));
  EXPECT_EQ(faults(response),
            (std::set<std::string>{"/upOperations/1/type", "/upOperations/2/expression", "/dlOperations/0/type"}));
  EXPECT_NE(response.body.find("only operations of type"), std::string::npos);
}

TEST_F(ConnectionsTest, ChangesAreToldToTheManager) {
  make();
  auto response = send("PATCH", "/connections/1", R"({"name":"renamed"})");
  ASSERT_EQ(response.status, 200);
  EXPECT_EQ(body_of(response).at("name"), "renamed");
  ASSERT_EQ(manager_.applied.size(), 2u);
  EXPECT_EQ(manager_.applied[1].resource.at("name"), "renamed");
  EXPECT_EQ(faults(send("PATCH", "/connections/1", R"({"connectorId":"actility-http-iot"})")),
            std::set<std::string>{"/connectorId"});
  EXPECT_EQ(send("POST", "/connections/1/stop").status, 202);
  EXPECT_EQ(manager_.applied.back().resource.at("active"), false);
  EXPECT_EQ(send("POST", "/connections/1/stop").status, 202);
  EXPECT_EQ(manager_.applied.size(), 3u);
  EXPECT_EQ(send("POST", "/connections/1/restart").status, 409);
  EXPECT_EQ(send("POST", "/connections/1/start").status, 202);
  EXPECT_EQ(send("POST", "/connections/1/restart").status, 202);
  EXPECT_EQ(manager_.restarted, std::vector<std::string>{"1"});
  EXPECT_EQ(events("connection-1005").size(), 2u);  // created; updated, folded
}

TEST_F(ConnectionsTest, AFailingConnectionSaysWhy) {
  make();
  manager_.state = {.state = connection::State::unreachable,
                    .reason_code = "connection-1103",
                    .reason = "refused",
                    .since = clock_.now(),
                    .next_retry = clock_.now() + 5000};
  auto body = body_of(send("GET", "/connections/1")).as_object();
  EXPECT_EQ(body.at("state"), "UNREACHABLE");
  EXPECT_EQ(body.at("stateReason").at("code"), "connection-1103");
  EXPECT_TRUE(body.at("stateReason").as_object().contains("nextRetry"));
}

TEST_F(ConnectionsTest, DeletingAsksForFlows) {
  make();
  ASSERT_EQ(
      send("POST", "/flows", R"({"matchers":[],"connectors":[{"id":"actility-mqtt-iot","connectionId":"1"}]})").status,
      201);
  auto response = send("DELETE", "/connections/1");
  EXPECT_EQ(response.status, 409);
  EXPECT_EQ(body_of(response).at("data").at("flows"), (boost::json::array{"1"}));
  EXPECT_EQ(send("DELETE", "/connections/1?force=true").status, 204);
  EXPECT_EQ(manager_.removed, std::vector<std::string>{"1"});
  auto flow = body_of(send("GET", "/flows/1")).as_object();
  EXPECT_TRUE(flow.at("connectors").as_array().empty());
  EXPECT_EQ(flow.at("active"), false);
  EXPECT_EQ(send("DELETE", "/connections/1").status, 404);
  EXPECT_EQ(send("GET", "/connections/1").status, 404);
}

TEST_F(ConnectionsTest, ConditionalRequests) {
  make();
  auto asked = request("DELETE", "/connections/1");
  asked.headers.emplace_back("if-unmodified-since", http_date(clock_.now() - 10'000));
  EXPECT_EQ(send(asked).status, 412);
  auto read = send("GET", "/connections/1");
  asked.headers.back().second = header_of(read, "Last-Modified");
  EXPECT_EQ(send(asked).status, 204);
}

TEST_F(ConnectionsTest, AnotherAccountSeesNothing) {
  make();
  token_ = token_with(store::Role::owner, "2");
  for (const char* method : {"GET", "DELETE"})
    EXPECT_EQ(send(method, "/connections/1").status, 404);
  EXPECT_EQ(send("PATCH", "/connections/1", "{}").status, 404);
  EXPECT_EQ(send("GET", "/connections/1/metrics").status, 404);
  EXPECT_EQ(send("POST", "/connections/1/restart").status, 404);
  EXPECT_EQ(send("POST", "/connections/1/downlinks", "{}").status, 404);
  EXPECT_TRUE(body_of(send("GET", "/connections")).as_array().empty());
}

TEST_F(ConnectionsTest, OnlyWhoMaySendDownlinksSeesTheUrl) {
  make();
  token_ = token_with(store::Role::writer);
  EXPECT_FALSE(body_of(send("GET", "/connections/1")).as_object().contains("downlinkUrl"));
  token_ = token_with(store::Role::controller);
  EXPECT_TRUE(body_of(send("GET", "/connections/1")).as_object().contains("downlinkUrl"));
}

TEST_F(ConnectionsTest, FiltersAndPagesOnRequest) {
  for (const char* name : {"alpha", "beta", "gamma"})
    make(json::write(minimal(name)));
  EXPECT_EQ(body_of(send("GET", "/connections?q=ALP")).as_array().size(), 1u);
  EXPECT_EQ(body_of(send("GET", "/connections?active=false")).as_array().size(), 0u);
  EXPECT_EQ(body_of(send("GET", "/connections?connectorId=actility-mqtt-iot&state=closed")).as_array().size(), 3u);
  auto response = send("GET", "/connections");
  EXPECT_EQ(header_of(response, "X-Total"), "");
  response = send("GET", "/connections?q=a&perPage=2&page=1");
  EXPECT_EQ(body_of(response).as_array().size(), 2u);
  EXPECT_EQ(header_of(response, "X-Total"), "3");
  EXPECT_EQ(header_of(response, "X-Total-Pages"), "2");
  EXPECT_EQ(header_of(response, "X-Next-Page"), "2");
  EXPECT_EQ(header_of(response, "X-Prev-Page"), "");
  EXPECT_EQ(header_of(response, "Link"),
            "<http://sluice.test/iot-flow/v1/connections?q=a&page=1&perPage=2>; rel=\"first\", "
            "<http://sluice.test/iot-flow/v1/connections?q=a&page=2&perPage=2>; rel=\"next\", "
            "<http://sluice.test/iot-flow/v1/connections?q=a&page=2&perPage=2>; rel=\"last\"");
  EXPECT_EQ(body_of(send("GET", "/connections?perPage=2&page=2")).as_array().size(), 1u);
  EXPECT_EQ(body_of(send("GET", "/connections?perPage=2&page=9")).as_array().size(), 0u);
  for (const char* odd : {"page=0", "perPage=0", "perPage=5001", "page=x", "page=-1"}) {
    EXPECT_EQ(send("GET", std::string("/connections?") + odd).status, 400) << odd;
  }
}

TEST_F(ConnectionsTest, MetricsAndQueue) {
  make();
  manager_.counts.active_things_24h = 20;
  manager_.counts.last_1h[static_cast<std::size_t>(connection::Counter::uplinks_lost)] = 2;
  manager_.state.pending = 4;
  manager_.queue_status.pending = 4;
  manager_.queue_status.oldest = clock_.now();
  auto metrics = body_of(send("GET", "/connections/1/metrics")).as_object();
  EXPECT_EQ(metrics.at("connectionId"), 1);
  EXPECT_EQ(metrics.at("activeThingsLast24h"), 20);
  EXPECT_EQ(metrics.at("uplinksLast1hLost"), 2);
  EXPECT_EQ(metrics.at("downlinksLast24hFailed"), 0);
  EXPECT_EQ(metrics.at("lag"), 4);
  EXPECT_EQ(metrics.size(), 16u);
  EXPECT_EQ(body_of(send("GET", "/connections/metrics")).as_array().size(), 1u);
  auto queue = body_of(send("GET", "/connections/1/queue")).as_object();
  EXPECT_EQ(queue.at("pending"), 4);
  EXPECT_TRUE(queue.contains("oldest"));
  EXPECT_EQ(send("DELETE", "/connections/1/queue").status, 204);
  EXPECT_EQ(manager_.purged, std::vector<std::string>{"1"});
}

class DownlinksTest : public ConnectionsTest {
 protected:
  void SetUp() override {
    url_ = std::string(make().at("downlinkUrl").as_string()).substr(std::string("http://sluice.test").size());
  }
  Response post(const std::string& body) {
    Request asked{.method = "POST", .path = url_, .body = body, .peer = "198.51.100.1"};
    asked.headers = {{"content-type", "text/plain"}, {"authorization", "Basic nonsense"}};
    return send(asked);
  }
  std::string url_;
};

TEST_F(DownlinksTest, AreSentWithoutAToken) {
  auto response = post(R"({"DevEUI_downlink":{}})");
  EXPECT_EQ(response.status, 202);
  EXPECT_EQ(body_of(response).at("status"), "QUEUED");
  EXPECT_EQ(body_of(response).at("correlationId"), "4434704901C7450B");
  ASSERT_EQ(downlinks_.size(), 1u);
  EXPECT_EQ(downlinks_[0].first.account, "1");
  EXPECT_EQ(downlinks_[0].first.connection_id, "1");
  EXPECT_EQ(downlinks_[0].first.defaults.as_key, "9311e33d7d44fc52215b0dc789aa1d22");
  EXPECT_EQ(downlinks_[0].first.defaults.fport, 5);
  EXPECT_TRUE(downlinks_[0].first.bare_allowed);
  EXPECT_TRUE(downlinks_[0].first.keep);
  EXPECT_FALSE(downlinks_[0].first.check_device);
  EXPECT_EQ(send("POST", "/connections/1/downlinks", "{}").status, 202);
  ASSERT_EQ(send("PATCH", "/connections/1", R"({"configuration":{"queueDownlinks":false,"checkDevice":true}})").status,
            200);
  EXPECT_EQ(post("{}").status, 202);
  EXPECT_FALSE(downlinks_[2].first.keep);
  EXPECT_TRUE(downlinks_[2].first.check_device);
}

TEST_F(DownlinksTest, OneThatWaitsForTheNetworkServerIsQueued) {
  downlink_result_.pending = true;
  downlink_result_.expires = 1'700'000'060'000;
  auto response = post("{}");
  EXPECT_EQ(response.status, 202);
  EXPECT_EQ(json::write(body_of(response)),
            R"({"correlationId":"4434704901C7450B","DevEUI":"0018B20000000B20","status":"QUEUED","pending":true,)"
            R"("expires":"2023-11-14T22:14:20.000+00:00"})");
}

TEST_F(DownlinksTest, TakeTheQueryOfATunnelWithoutItsSignature) {
  Request asked{.method = "POST",
                .path = url_,
                .query =
                    "DevEUI=000000000F1D8693&FPort=1&Payload=00&AS_ID=mine&Time=2016-01-11T14%3A28%3A00.333%2B02%3A00"
                    "&CorrelationID=0123456789ABCDEF&Token=" +
                    std::string(64, 'a'),
                .peer = "198.51.100.1"};
  asked.headers = {{"content-type", "application/x-www-form-urlencoded"}};
  EXPECT_EQ(send(asked).status, 202);
  EXPECT_EQ(downlinks_.at(0).second,
            R"({"DevEUI_downlink":{"DevEUI":"000000000F1D8693","FPort":"1","payload_hex":"00",)"
            R"("CorrelationID":"0123456789ABCDEF"}})");
  ASSERT_EQ(send("PATCH", "/connections/1", R"({"configuration":{"downlinkAsKey":null}})").status, 200);
  EXPECT_EQ(send(asked).status, 202);
  EXPECT_NE(downlinks_.at(1).second.find("Token"), std::string::npos)
      << "without a key of ours his signature is passed on";
}

TEST_F(DownlinksTest, TakeXml) {
  EXPECT_EQ(post(R"(<DevEUI_downlink xmlns="http://uri.actility.com/lora"><DevEUI>000000000F1D8693</DevEUI>)"
                 R"(<FPort>1</FPort><payload_hex>00</payload_hex></DevEUI_downlink>)")
                .status,
            202);
  EXPECT_EQ(downlinks_.at(0).second,
            R"({"DevEUI_downlink":{"DevEUI":"000000000F1D8693","FPort":1,"payload_hex":"00"}})");
  EXPECT_EQ(post("<broken").status, 400);
}

TEST_F(DownlinksTest, WhatWaitsIsListedAndDropped) {
  queued_.total = 3;
  queued_.items = {{.id = 8,
                    .dev_eui = "0018B20000000B20",
                    .correlation_id = "4434704901C7450B",
                    .fport = 2,
                    .queued = 1'700'000'000'000,
                    .expires = 1'700'000'060'000,
                    .tries = 1,
                    .last_error = "refused"}};
  auto response = send("GET", "/connections/1/downlinks/queue?perPage=1&page=2");
  ASSERT_EQ(response.status, 200) << response.body;
  EXPECT_EQ(response.body,
            R"({"count":3,"items":[{"id":"8","DevEUI":"0018B20000000B20","FPort":2,"correlationId":"4434704901C7450B",)"
            R"("queued":"2023-11-14T22:13:20.000+00:00","expires":"2023-11-14T22:14:20.000+00:00","tries":1,)"
            R"("inFlight":false,"lastError":"refused"}]})");
  EXPECT_EQ(header_of(response, "X-Total"), "3");
  EXPECT_EQ(queued_asked_, "1 1 1");
  EXPECT_EQ(send("GET", "/connections/1/downlinks/queue?page=0").status, 400);
  EXPECT_EQ(send("GET", "/connections/99/downlinks/queue").status, 404);
  EXPECT_EQ(send("DELETE", "/connections/1/downlinks/queue").status, 204);
  EXPECT_EQ(purged_downlinks_, std::vector<std::string>{"1"});
  ASSERT_EQ(send("DELETE", "/connections/1").status, 204);
  EXPECT_EQ(purged_downlinks_.size(), 2u) << "a deleted connection leaves none behind";
}

TEST_F(DownlinksTest, AnswersByWhatBecameOfThem) {
  using Status = flow::DownlinkResult::Status;
  const std::pair<Status, int> rows[] = {{Status::accepted, 202},
                                         {Status::invalid, 400},
                                         {Status::driver_refused, 422},
                                         {Status::network_refused, 502},
                                         {Status::no_answer, 504},
                                         {Status::no_network_server, 409},
                                         {Status::busy, 503}};
  for (const auto& [status, http] : rows) {
    clock_.time += 1000;
    downlink_result_ = {.status = status, .text = "why", .code = status == Status::driver_refused ? "com-5002" : ""};
    EXPECT_EQ(post("{}").status, http);
  }
}

TEST_F(DownlinksTest, AListIsAnsweredOneByOne) {
  auto response = post(R"([{"a":1},{"b":2}])");
  EXPECT_EQ(response.status, 202);
  ASSERT_EQ(body_of(response).as_array().size(), 2u);
  EXPECT_EQ(body_of(response).at(1).at("httpStatus"), 202);
  EXPECT_EQ(downlinks_[1].second, R"({"b":2})");
  EXPECT_EQ(post("[]").status, 400);
  EXPECT_EQ(post("[").status, 400);
}

TEST_F(DownlinksTest, HaveLimits) {
  EXPECT_EQ(post(std::string(65537, ' ')).status, 413);
  for (int i = 0; i < 20; ++i)
    EXPECT_EQ(post("{}").status, 202);
  auto response = post("{}");
  EXPECT_EQ(response.status, 429);
  EXPECT_EQ(header_of(response, "Retry-After"), "1");
  clock_.time += 1001;
  EXPECT_EQ(post("{}").status, 202);
}

TEST_F(DownlinksTest, TheUrlEndsWithTheConnection) {
  auto old = url_;
  ASSERT_EQ(send("POST", "/connections/1/downlinkUrl/rotate").status, 200);
  EXPECT_EQ(post("{}").status, 404);
  url_ = std::string(body_of(send("GET", "/connections/1")).at("downlinkUrl").as_string()).substr(18);
  EXPECT_NE(url_, old);
  EXPECT_EQ(post("{}").status, 202);
  ASSERT_EQ(send("PATCH", "/connections/1", R"({"configuration":{"downlinkEnabled":false}})").status, 200);
  EXPECT_EQ(post("{}").status, 409);
  EXPECT_EQ(manager_.counted[connection::Counter::downlinks_lost], 1);
  ASSERT_EQ(send("POST", "/connections/1/stop").status, 202);
  EXPECT_EQ(post("{}").status, 409);
  EXPECT_EQ(manager_.counted[connection::Counter::downlinks], 2);
  EXPECT_EQ(manager_.counted[connection::Counter::downlinks_lost], 2);
  ASSERT_EQ(send("DELETE", "/connections/1").status, 204);
  EXPECT_EQ(post("{}").status, 404);
}

}  // namespace
}  // namespace sluice::api
