// SPDX-License-Identifier: Apache-2.0
// Flows, drivers, codec, operations, binders, events.
#include "api/driver_calls.h"
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

class DriversTest : public ApiTest {
 protected:
  static std::string driver(const std::string& code = "function decodeUplink(input) {}",
                            const std::string& version = "1.2.3") {
    return json::write(
        boost::json::object{{"name", "my driver"},
                            {"type", "thingpark-x-js"},
                            {"moduleId", "known"},
                            {"version", version},
                            {"application", {{"producerId", "acme"}, {"moduleId", "known"}, {"version", "1"}}},
                            {"code", to_base64(code)},
                            {"examples", boost::json::array{boost::json::object{{"description", "e"},
                                                                                {"type", "uplink"},
                                                                                {"bytes", "00ff"},
                                                                                {"fPort", 2},
                                                                                {"data", {{"temperature", 21.5}}}}}}});
  }
  void system_driver() {
    ASSERT_TRUE(store_->insert_driver(
        {.id = "actility:sys:1",
         .resource = {{"id", "actility:sys:1"},
                      {"name", "sys"},
                      {"producerId", "actility"},
                      {"moduleId", "sys"},
                      {"source", "system"},
                      {"version", "1.0.0"},
                      {"application", {{"producerId", "adeunis"}, {"moduleId", "m"}, {"version", "1"}}},
                      {"type", "thingpark-x-js"},
                      {"private", false}},
         .code = "system code"}));
  }
};

TEST_F(DriversTest, AreCreatedListedAndDeleted) {
  auto response = send("POST", "/drivers", driver());
  ASSERT_EQ(response.status, 201) << response.body;
  auto made = body_of(response).as_object();
  EXPECT_EQ(made.at("id"), "custom:known:1");
  EXPECT_EQ(made.at("source"), "custom");
  EXPECT_EQ(from_base64(made.at("code").as_string()), "function decodeUplink(input) {}");
  EXPECT_EQ(reloads_["drivers"], 1);
  EXPECT_EQ(send("POST", "/drivers", driver()).status, 409);
  system_driver();
  auto list = body_of(send("GET", "/drivers")).as_array();
  ASSERT_EQ(list.size(), 3u);
  EXPECT_EQ(list[0].at("id"), "actility:auto:1");
  EXPECT_EQ(list[1].at("id"), "actility:sys:1");
  EXPECT_FALSE(list[2].as_object().contains("code"));
  EXPECT_FALSE(list[2].as_object().contains("examples"));
  auto count = [&](const char* query) {
    return body_of(send("GET", std::string("/drivers?") + query)).as_array().size();
  };
  EXPECT_EQ(count("source=custom"), 1u);
  EXPECT_EQ(count("provider=actility"), 2u);
  EXPECT_EQ(count("manufacturer=acme"), 1u);
  EXPECT_EQ(count("protocolId=ACME%3Aknown%3A1"), 1u);
  EXPECT_EQ(count("q=MY%20dri"), 1u);
  EXPECT_EQ(count("q=%25%5B("), 0u);
  EXPECT_EQ(body_of(send("GET", "/drivers/providers")), (boost::json::array{"actility", "custom"}));
  EXPECT_EQ(body_of(send("GET", "/drivers/manufacturers?q=AC")), (boost::json::array{"acme"}));
  EXPECT_EQ(send("GET", "/drivers/actility:auto:1").status, 200);
  EXPECT_EQ(send("DELETE", "/drivers/custom%3Aknown%3A1").status, 204);
  EXPECT_EQ(send("GET", "/drivers/custom:known:1").status, 404);
}

TEST_F(DriversTest, AreChecked) {
  EXPECT_EQ(code_of(send("POST", "/drivers", driver("syntax error"))), "com-5002");
  auto response = send("POST", "/drivers", driver("nothing"));
  EXPECT_EQ(response.status, 400);
  EXPECT_EQ(body_of(response).at("message"),
            "unable to wrap driver, driver code must have one type of signatures (tpx, ttn, chirpstack)");
  EXPECT_EQ(send("POST", "/drivers", driver("\xff\xfe")).status, 400);
  EXPECT_EQ(send("POST", "/drivers", driver(std::string((1 << 20) + 1, 'x'))).status, 400);
  EXPECT_EQ(send("POST", "/drivers", driver("x", "1.2")).status, 400);
  EXPECT_EQ(send("POST", "/drivers", "{}").status, 400);
  EXPECT_EQ(send("POST", "/drivers", R"({"type":"thingpark-x-java"})").status, 400);
  auto body = json::parse(driver())->as_object();
  body["pointsSchema"] = json::parse(R"({"temperature":{"unitId":"bar"}})").value();
  EXPECT_EQ(send("POST", "/drivers", json::write(body)).status, 400);
  EXPECT_EQ(send("POST", "/drivers/validate/code", R"({"code":")" + to_base64("x") + "\"}").status, 200);
  EXPECT_EQ(send("POST", "/drivers/validate/code", R"({"code":")" + to_base64("nothing") + "\"}").status, 400);
  EXPECT_EQ(send("POST", "/drivers/validate/code", "{}").status, 400);
  EXPECT_EQ(reloads_["drivers"], 0);
}

TEST_F(DriversTest, PointsFollowTheOntology) {
  auto fault = [](const char* name, const char* declaration) { return point_fault(name, *json::parse(declaration)); };
  EXPECT_EQ(fault("temperature", R"({"unitId":"Cel","type":"double"})"), "");
  EXPECT_EQ(fault("duration", R"({"unitId":"hour"})"), "");
  EXPECT_EQ(fault("anything", R"({"type":"string"})"), "");
  EXPECT_EQ(fault("anything", R"({"unitId":"Cel","standardNaming":"unsupported"})"), "");
  EXPECT_NE(fault("anything", R"({"unitId":"Cel"})"), "");
  EXPECT_NE(fault("temperature", R"({"type":"float"})"), "");
}

TEST_F(DriversTest, ExamplesAreRunWhereAsked) {
  EXPECT_EQ(send("POST", "/drivers?checkExamples=true", driver()).status, 201);
  auto examples = body_of(send("GET", "/drivers/custom:known:1/examples")).as_array();
  ASSERT_EQ(examples.size(), 1u);
  EXPECT_FALSE(examples[0].as_object().contains("result"));
  examples = body_of(send("GET", "/drivers/custom:known:1/examples?run=true")).as_array();
  EXPECT_EQ(examples[0].at("result").at("ok"), true);
  outcome_ = [](const driver::Job&) { return driver::Outcome{.ok = true, .data = R"({"temperature":20})"}; };
  auto response = send("PATCH", "/drivers/custom:known:1?checkExamples=true", R"({"name":"other"})");
  EXPECT_EQ(response.status, 400);
  EXPECT_NE(response.body.find("20"), std::string::npos);
}

TEST_F(DriversTest, PatchChangesWhatItMay) {
  ASSERT_EQ(send("POST", "/drivers", driver()).status, 201);
  auto target = "/drivers/custom:known:1";
  auto response = send("PATCH", target, R"({"version":"1.3.0","code":")" + to_base64("new code") + "\"}");
  ASSERT_EQ(response.status, 200) << response.body;
  EXPECT_EQ((*store_->driver("1", "custom:known:1"))->code, "new code");
  for (const char* odd : {R"({"version":"2.0.0"})", R"({"moduleId":"x"})", R"({"producerId":"x"})",
                          R"({"source":"system"})", R"({"id":"x"})", R"({"name":null})"}) {
    EXPECT_EQ(send("PATCH", target, odd).status, 400) << odd;
  }
  EXPECT_EQ(send("PATCH", target, R"({"version":"1.0.0"})").status, 409);
  EXPECT_EQ(send("PATCH", std::string(target) + "?force=true", R"({"version":"1.0.0"})").status, 200);
  EXPECT_EQ(send("PATCH", target, R"({"code":")" + to_base64("syntax error") + "\"}").status, 400);
  EXPECT_EQ((*store_->driver("1", "custom:known:1"))->code, "new code");
}

TEST_F(DriversTest, SystemDriversAreImportedBeforeTheyAreChanged) {
  system_driver();
  EXPECT_EQ(send("PATCH", "/drivers/actility:sys:1", R"({"name":"x"})").status, 403);
  EXPECT_EQ(send("DELETE", "/drivers/actility:sys:1").status, 403);
  EXPECT_EQ(send("DELETE", "/drivers/actility:auto:1").status, 403);
  auto response = send("POST", "/drivers", R"({"importedFrom":"actility:sys:1"})");
  ASSERT_EQ(response.status, 201) << response.body;
  EXPECT_EQ(body_of(response).at("source"), "imported");
  EXPECT_EQ(body_of(response).at("systemVersion"), "1.0.0");
  EXPECT_EQ(send("PATCH", "/drivers/actility:sys:1", R"({"name":"x"})").status, 200);
  EXPECT_EQ(body_of(send("GET", "/drivers/actility:sys:1")).at("name"), "x");
  EXPECT_EQ(body_of(send("GET", "/drivers")).as_array().size(), 2u);
  EXPECT_EQ(send("DELETE", "/drivers/actility:sys:1").status, 204);
  EXPECT_EQ(body_of(send("GET", "/drivers/actility:sys:1")).at("name"), "sys");
}

TEST_F(DriversTest, PrivateCodeIsShownToItsOwnerOnly) {
  system_driver();
  auto driver = **store_->driver("", "actility:sys:1");
  driver.resource["private"] = true;
  ASSERT_TRUE(store_->update_driver(driver));
  EXPECT_FALSE(body_of(send("GET", "/drivers/actility:sys:1")).as_object().contains("code"));
  EXPECT_EQ(send("POST", "/drivers", R"({"importedFrom":"actility:sys:1"})").status, 403);
}

class CodecTest : public DriversTest {
 protected:
  void SetUp() override {
    ASSERT_EQ(send("POST", "/drivers", driver()).status, 201);
    outcome_ = [this](const driver::Job& job) {
      jobs_.push_back(job);
      return result_;
    };
  }
  std::vector<driver::Job> jobs_;
  driver::Outcome result_{
      .ok = true, .data = R"({"temperature":21.5})", .points = R"({"temperature":{"record":21.5}})"};
};

TEST_F(CodecTest, Decodes) {
  auto response = send("POST", "/decode", R"({"direction":"uplink","sourceTime":"2021-01-01T10:00:00+01:00",
    "meta":{"lorawan":{"fPort":6}},"thing":{"application":{"producerId":"acme","moduleId":"known","version":"1"},"tags":["key=AB","x"]},
    "raw":{"binary":"E59DA2"},"DevEUI":"a81758fffe04f27e","ADRbit":1,"Frequency":867.3})");
  ASSERT_EQ(response.status, 200) << response.body;
  auto body = body_of(response).as_object();
  EXPECT_EQ(body.at("meta").at("driverId"), "custom:known:1");
  EXPECT_EQ(body.at("meta").at("lorawan").at("fPort"), 6);
  EXPECT_EQ(body.at("message").at("temperature"), 21.5);
  EXPECT_EQ(body.at("thing").at("points").at("temperature").at("record"), 21.5);
  EXPECT_EQ(body.at("sourceTime"), "2021-01-01T10:00:00+01:00");
  EXPECT_EQ(body.at("Frequency"), 867.3);
  ASSERT_EQ(jobs_.size(), 1u);
  const auto& input = jobs_[0].input;
  EXPECT_EQ(input.payload_hex, "e59da2");
  EXPECT_EQ(input.fport, 6);
  EXPECT_EQ(input.time, 1609491600000);
  EXPECT_EQ(input.dev_eui, "A81758FFFE04F27E");
  EXPECT_NE(input.thing.find(R"("setup":{"key":"AB"})"), std::string::npos);
  EXPECT_NE(input.extra.find(R"("ADRbit":1)"), std::string::npos);
}

TEST_F(CodecTest, RefusesByTheDriversWord) {
  auto body = R"({"direction":"uplink","meta":{"driverId":"custom:known:1"},"raw":{"text":"A"}})";
  for (const char* code : {"com-5000", "com-5002", "com-5004"}) {
    result_ = {.code = code, .message = "driver internal errors: wrong payload length"};
    auto response = send("POST", "/codec/decode", body);
    EXPECT_EQ(response.status, 400) << code;
    EXPECT_EQ(code_of(response), code);
    EXPECT_EQ(body_of(response).at("data").at("driverId"), "custom:known:1");
  }
  EXPECT_EQ(jobs_[0].input.payload_hex, "41");
  EXPECT_EQ(send("POST", "/decode", R"({"direction":"uplink","raw":{"binary":"00"},"meta":{}})").status, 404);
  EXPECT_EQ(
      send("POST", "/decode", R"({"direction":"up","raw":{"binary":"0"},"meta":{"lorawan":{"fPort":300}}})").status,
      400);
}

TEST_F(CodecTest, DecodesBatchesInOrder) {
  auto response = send("POST", "/decode/batch", R"([
    {"id":"a","input":{"direction":"uplink","meta":{"driverId":"custom:known:1"},"raw":{"binary":"00"}}},
    {"id":2,"input":{"direction":"uplink","meta":{},"raw":{"binary":"00"}}},
    {"input":{"direction":"uplink","meta":{"driverId":"custom:known:1"},"raw":{"binary":"0"}}},
    {"id":"d","input":{"direction":"uplink","meta":{"driverId":"custom:known:1"},"raw":{"binary":"01"}}}])");
  ASSERT_EQ(response.status, 200) << response.body;
  auto items = body_of(response).as_array();
  ASSERT_EQ(items.size(), 4u);
  EXPECT_EQ(items[0].at("id"), "a");
  EXPECT_TRUE(items[0].as_object().contains("output"));
  EXPECT_EQ(items[1].at("error").at("code"), "com-4004");
  EXPECT_EQ(items[2].at("error").at("code"), "com-4000");
  EXPECT_EQ(items[3].at("output").at("raw").at("binary"), "01");
}

TEST_F(CodecTest, Encodes) {
  result_ = {.ok = true, .payload_hex = "0102", .fport = 9};
  auto response =
      send("POST", "/encode", R"({"meta":{"driverId":"custom:known:1","lorawan":{"fPort":1}},"message":{"a":1}})");
  ASSERT_EQ(response.status, 200) << response.body;
  EXPECT_EQ(body_of(response).at("raw").at("binary"), "0102");
  EXPECT_EQ(body_of(response).at("meta").at("lorawan").at("fPort"), 9);
  EXPECT_EQ(jobs_[0].input.data, R"({"a":1})");
  EXPECT_EQ(jobs_[0].operation, driver::Operation::encode_downlink);
  EXPECT_EQ(send("POST", "/encode", R"({"meta":{}})").status, 400);
}

TEST_F(CodecTest, DecodesWithCodeThatComesAlong) {
  auto body = json::parse(R"({"direction":"uplink","meta":{"lorawan":{"fPort":1}},"raw":{"binary":"00"},"type":"ttn"})")
                  ->as_object();
  body["code"] = to_base64("function Decoder(bytes, port) {}");
  auto response = send("POST", "/decode/code", json::write(body));
  ASSERT_EQ(response.status, 200) << response.body;
  EXPECT_EQ(body_of(response).at("type"), "ttn");
  EXPECT_TRUE(body_of(response).as_object().contains("sourceTime"));
  EXPECT_EQ(jobs_.at(0).code->signature, driver::Signature::ttn);
  body["type"] = "cobol";
  EXPECT_EQ(send("POST", "/decode/code", json::write(body)).status, 400);
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
