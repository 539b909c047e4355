// SPDX-License-Identifier: Apache-2.0
// Flows, operations, binders, events.
#include "api/test_api.h"

namespace sluice::api {
namespace {

class FlowsTest : public ApiTest {
 protected:
  Response make(const std::string& matchers, const std::string& more = "") {
    return send("POST", "/flows", R"({"matchers":)" + matchers + R"(,"connectors":[])" + more + "}");
  }
};

TEST_F(FlowsTest, AreKeptAndListed) {
  auto response = make(R"([{"type":"key","key":"lora:00-18-b2-00-00-00-0b-20"}])",
                       R"(,"name":"Test","driver":{"id":"actility:auto:1"})");
  ASSERT_EQ(response.status, 201) << response.body;
  EXPECT_EQ(header_of(response, "Location"), "/flows/1");
  EXPECT_EQ(body_of(response).at("matchers").at(0).at("key"), "lora:0018b20000000b20");
  EXPECT_EQ(reloads_["flows"], 1);
  auto read = send("GET", "/flows/1");
  EXPECT_EQ(send("PUT", "/flows/1", read.body).body, read.body);
  EXPECT_EQ(reloads_["flows"], 1);  // nothing changed
  EXPECT_EQ(send("PATCH", "/flows/1", R"({"description":"d"})").status, 200);
  EXPECT_EQ(reloads_["flows"], 2);
  response = send("GET", "/flows");
  EXPECT_EQ(body_of(response).as_array().size(), 1u);
  EXPECT_EQ(header_of(response, "X-Per-Page"), "5000");
  EXPECT_EQ(send("DELETE", "/flows/1").status, 204);
  EXPECT_EQ(send("DELETE", "/flows/1").status, 404);
}

TEST_F(FlowsTest, NoTwoDeclareTheSame) {
  ASSERT_EQ(make(R"([{"type":"thing","tags":["B","a","b"]},{"type":"key","key":"lora:0018B20000000B20"}])").status,
            201);
  for (const char* same :
       {R"([{"type":"thing","tags":["A","B"]}])", R"([{"type":"key","key":"LORA:0018b2-0000000b20"}])"}) {
    auto response = make(same);
    EXPECT_EQ(response.status, 409) << same;
    EXPECT_EQ(code_of(response), "com-4009");
    EXPECT_EQ(body_of(response).at("data").at("flowId"), "1");
  }
  EXPECT_EQ(make(R"([{"type":"thing","tags":["A"]},{"type":"thing","tags":["a","a"]}])").status, 201);
  EXPECT_EQ(make("[]").status, 201);
  EXPECT_EQ(make("[]").status, 409);
  EXPECT_EQ(send("PATCH", "/flows/2", R"({"matchers":[{"type":"thing","tags":["a","B"]}]})").status, 409);
  EXPECT_EQ(send("PATCH", "/flows/1", R"({"matchers":[{"type":"thing","tags":["c"]}]})").status, 200);
  EXPECT_EQ(send("PATCH", "/flows/2", R"({"matchers":[{"type":"thing","tags":["a","B"]}]})").status, 200);
  EXPECT_EQ(send("DELETE", "/flows/3").status, 204);
  EXPECT_EQ(make("[]").status, 201);
  Api fresh(context());  // its index comes from the store
  ASSERT_TRUE(fresh.open());
  EXPECT_EQ(fresh.handle(request("POST", "/flows", R"({"matchers":[],"connectors":[]})")).status, 409);
  token_ = token_with(store::Role::owner, "2");
  EXPECT_EQ(make("[]").status, 201);  // another account
}

TEST_F(FlowsTest, AreChecked) {
  for (const char* odd :
       {R"([{"type":"key","key":"lora:123"}])", R"([{"type":"key"}])", R"([{"type":"thing"}])", R"([{"type":"x"}])",
        R"([{"type":"thing","tags":[]}])", R"([{"type":"thing","model":{"producerId":"a"}}])", R"([1])", "1",
        R"([{"type":"thing","tags":[1]}])"}) {
    EXPECT_EQ(make(odd).status, 400) << odd;
  }
  EXPECT_EQ(make(R"([{"type":"thing","model":{"producerId":"a","moduleId":"b","version":"1"}}])").status, 201);
  EXPECT_EQ(send("POST", "/flows", R"({"matchers":[]})").status, 400);
  auto response = send("POST", "/flows",
                       R"({"connectors":[{"id":"actility-mqtt-iot","connectionId":"9","uplinkTimeValidity":"1x"}]})");
  EXPECT_EQ(response.status, 400);
  EXPECT_EQ(body_of(response).at("data").at("errors").as_array().size(), 2u);
  ASSERT_TRUE(store_->insert_connection({.account = "1", .resource = {{"connectorId", "actility-mqtt-iot"}}}));
  EXPECT_EQ(send("POST", "/flows", R"({"connectors":[{"id":"actility-http-iot","connectionId":"1"}]})").status, 400);
  EXPECT_EQ(send("POST", "/flows",
                 R"({"connectors":[{"id":"actility-mqtt-iot","connectionId":"1","uplinkTimeValidity":"3d12h"}]})")
                .status,
            201);
}

TEST_F(FlowsTest, AnUnknownDriverIsStoredWithAWarning) {
  ASSERT_EQ(make(R"([{"type":"thing","tags":["x"]}])", R"(,"driver":{"id":"no:such:1"})").status, 201);
  EXPECT_EQ(events("driver-2003").size(), 1u);
}

TEST_F(ApiTest, FiltersByHand) {
  auto execute = [&](const char* filter, const char* document) {
    return send("POST", "/processor/execute",
                std::string(R"({"upOperations":[)") + filter + R"(],"uplink":)" + document + "}");
  };
  constexpr const char* kUplink = R"({"DevEUI_uplink":{"DevEUI":"0018B20000000B20","FPort":1}})";
  auto kept = execute(R"({"type":"filter","keepDeviceUplink":true})", kUplink);
  EXPECT_EQ(kept.status, 200) << kept.body;
  EXPECT_EQ(kept.body, kUplink);
  auto dropped = execute(R"({"type":"filter","keepDeviceUplink":false})", kUplink);
  EXPECT_EQ(dropped.status, 200);
  EXPECT_EQ(dropped.body, "null");
  EXPECT_EQ(header_of(dropped, "X-Filtered"), "true");
  EXPECT_EQ(execute(R"({"type":"customOutput"})", kUplink).status, 400);
  EXPECT_EQ(execute(R"({"type":"filter"})", "1").status, 400);
}

TEST_F(ApiTest, BindersMaskTheirKey) {
  auto response = send("POST", "/binders",
                       R"({"type":"thingpark","name":"ns","asId":"app1","asKey":"46ab678cd45df4a4e4b375eacd096acc",
    "downlinkUrl":"https://ns.example.com/thingpark/lrc/rest/downlink"})");
  ASSERT_EQ(response.status, 201) << response.body;
  auto made = body_of(response).as_object();
  auto id = std::string(made.at("id").as_string());
  EXPECT_EQ(made.at("asKey"), "*****");
  EXPECT_EQ(made.at("security"), true);
  EXPECT_EQ(json::text_or(made, "uplinkUrl"), "http://sluice.test/iot-flow/tunnel/" + id);
  EXPECT_EQ(reloads_["binders"], 1);
  EXPECT_EQ((*store_->binder(id))->as_key, "46ab678cd45df4a4e4b375eacd096acc");
  auto read = send("GET", "/binders/" + id);
  EXPECT_EQ(send("PUT", "/binders/" + id, read.body).status, 200);
  EXPECT_EQ(reloads_["binders"], 1);
  EXPECT_EQ(send("PATCH", "/binders/" + id, R"({"name":"other"})").status, 200);
  EXPECT_EQ((*store_->binder(id))->as_key, "46ab678cd45df4a4e4b375eacd096acc");
  EXPECT_EQ(send("PATCH", "/binders/" + id, R"({"asKey":null})").status, 400);
  for (const char* odd :
       {R"({"type":"tts","name":"x"})", R"({"type":"thingpark","name":"x"})",
        R"({"type":"thingpark","security":false})", R"({"type":"thingpark","name":"x","asId":"a","asKey":"*****"})",
        R"({"type":"thingpark","name":"x","security":false,"downlinkUrl":"ftp://x"})"}) {
    EXPECT_EQ(send("POST", "/binders", odd).status, 400) << odd;
  }
  EXPECT_EQ(send("POST", "/binders", R"({"type":"thingpark","name":"open","security":false})").status, 201);
  EXPECT_EQ(body_of(send("GET", "/binders")).as_array().size(), 2u);
  EXPECT_EQ(send("DELETE", "/binders/" + id).status, 204);
  EXPECT_EQ(send("GET", "/binders/" + id).status, 404);
}

TEST_F(ApiTest, AllFaultsOfABinderAndADriverAreTold) {
  auto paths = [this](const char* target, const char* body) {
    std::vector<std::string> all;
    auto answer = body_of(send("POST", target, body));
    for (const auto& error : answer.at("data").at("errors").as_array())
      all.emplace_back(error.at("path").as_string());
    return all;
  };
  using Paths = std::vector<std::string>;
  EXPECT_EQ(paths("/binders", "{}"), (Paths{"/type", "/name", "/asId", "/asKey"}));
  EXPECT_EQ(paths("/binders", R"({"type":1,"name":5,"asId":[],"asKey":5})"),
            (Paths{"/type", "/name", "/asId", "/asKey"}));
  EXPECT_EQ(paths("/drivers", "{}"), (Paths{"/name", "/moduleId", "/version", "/type", "/application", "/code"}));
  EXPECT_EQ(paths("/drivers/validate/code", R"({"code":"!"})"), Paths{"/code"});
  EXPECT_EQ(paths("/decode/code", R"({"direction":"uplink","raw":{"binary":"00"},"code":"!"})"), Paths{"/code"});
}

TEST_F(ApiTest, EventsAreListedNewestFirst) {
  for (int i = 0; i < 5; ++i) {
    events_.add("1", i % 2 ? "warn" : "info", "connection-100" + std::to_string(i), "m",
                {{"connectionId", std::to_string(i)}});
    clock_.time += 1000;
  }
  auto response = send("GET", "/events");
  auto list = body_of(response).as_array();
  ASSERT_EQ(list.size(), 5u);
  EXPECT_EQ(list[0].at("code"), "connection-1004");
  EXPECT_EQ(header_of(response, "X-Total"), "5");
  auto count = [&](const std::string& query) { return body_of(send("GET", "/events?" + query)).as_array().size(); };
  EXPECT_EQ(count("level=warn"), 2u);
  EXPECT_EQ(count("q_connectionId=3"), 1u);
  EXPECT_EQ(count("limit=2"), 2u);
  EXPECT_EQ(count("perPage=2&page=3"), 1u);
  auto start = format_time(clock_.now() - 2000);
  EXPECT_EQ(count("startTime=" + url_encode(start)), 2u);
  EXPECT_EQ(count("startTime=" + start), 2u);  // the '+' not escaped
  EXPECT_EQ(send("GET", "/events?startTime=x").status, 400);
  EXPECT_EQ(send("GET", "/events?level=loud").status, 400);
  EXPECT_EQ(send("GET", "/events?startTime=2024-01-02&endTime=2024-01-01").status, 400);
  clock_.time += 25LL * 3600 * 1000;
  token_ = token_of("admin", "first-secret");
  EXPECT_EQ(count("q="), 0u);  // the last 24 hours only
}

}  // namespace
}  // namespace sluice::api
