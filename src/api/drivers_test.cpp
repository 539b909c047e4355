// SPDX-License-Identifier: Apache-2.0
#include "api/driver_calls.h"
#include "api/test_api.h"

namespace sluice::api {
namespace {

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
  examples = body_of(send("GET", "/drivers/custom:known:1/examples?run=true")).as_array();
  const auto& result = examples[0].at("result");
  EXPECT_EQ(result.at("ok"), false);
  EXPECT_EQ(result.at("differences").at(0).at("path"), "data.temperature");
  EXPECT_EQ(result.at("differences").at(0).at("got"), 20);
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

TEST_F(DriversTest, TakeContextTrustLimitsAndPoints) {
  auto body = json::parse(driver())->as_object();
  body["useContext"] = true;
  body["trusted"] = true;
  body["limits"] = json::parse(R"({"callTime":"500ms","memory":"64MiB","result":"256KiB","depth":50})").value();
  body["extractPoints"] = to_base64("exports.extractPoints = () => ({})");
  auto response = send("POST", "/drivers", json::write(body));
  ASSERT_EQ(response.status, 201) << response.body;
  auto made = body_of(send("GET", "/drivers/custom:known:1")).as_object();
  EXPECT_EQ(made.at("useContext"), true);
  EXPECT_EQ(made.at("trusted"), true);
  EXPECT_EQ(made.at("limits"), body.at("limits"));
  EXPECT_EQ(from_base64(made.at("extractPoints").as_string()), "exports.extractPoints = () => ({})");
  ASSERT_EQ(inspected_.size(), 1u);
  EXPECT_TRUE(inspected_[0].use_context && inspected_[0].trusted);
  EXPECT_EQ(inspected_[0].extract_points_source, "exports.extractPoints = () => ({})");
  EXPECT_EQ(send("PATCH", "/drivers/custom:known:1", R"({"extractPoints":null,"limits":null})").status, 200);
  made = body_of(send("GET", "/drivers/custom:known:1")).as_object();
  EXPECT_FALSE(made.contains("extractPoints") || made.contains("limits"));
  for (const char* odd :
       {R"({"useContext":"yes"})", R"({"limits":{"callTime":"5s"}})", R"({"limits":{"memory":"1GiB"}})",
        R"({"limits":{"depth":0}})", R"({"limits":[]})", R"({"extractPoints":"!"})"}) {
    EXPECT_EQ(send("PATCH", "/drivers/custom:known:1", odd).status, 400) << odd;
  }
  auto refused = body_of(send("PATCH", "/drivers/custom:known:1", R"({"limits":{"callTime":"5s"}})"));
  EXPECT_EQ(refused.at("data").at("errors").at(0).at("path"), "/limits/callTime");
}

TEST_F(DriversTest, OnlyAnOwnerTrusts) {
  auto owner = token_;
  token_ = token_with(store::Role::writer);
  auto body = json::parse(driver())->as_object();
  body["trusted"] = true;
  EXPECT_EQ(send("POST", "/drivers", json::write(body)).status, 403);
  body.erase("trusted");
  ASSERT_EQ(send("POST", "/drivers", json::write(body)).status, 201);
  EXPECT_EQ(send("PATCH", "/drivers/custom:known:1", R"({"trusted":true})").status, 403);
  auto writer = token_;
  token_ = owner;
  ASSERT_EQ(send("PATCH", "/drivers/custom:known:1", R"({"trusted":true})").status, 200);
  token_ = writer;
  EXPECT_EQ(send("PATCH", "/drivers/custom:known:1", R"({"name":"other"})").status, 200);
  EXPECT_EQ(send("PATCH", "/drivers/custom:known:1", R"({"code":")" + to_base64("evil") + "\"}").status, 403);
  // A copy that others may change is not trusted.
  system_driver({{"trusted", true}});
  auto copy = send("POST", "/drivers", R"({"importedFrom":"actility:sys:1"})");
  ASSERT_EQ(copy.status, 201);
  EXPECT_FALSE(body_of(copy).as_object().contains("trusted"));
}

TEST_F(DriversTest, CodeOverAMebibyteIsRefused) {
  auto response = send("POST", "/drivers", driver(std::string((1 << 20) + 1, ' ')));
  EXPECT_EQ(response.status, 400);
  EXPECT_NE(response.body.find("at most 1 MiB"), std::string::npos) << response.body;
  EXPECT_EQ(send("POST", "/drivers", driver(std::string(1 << 20, ' '))).status, 201);
}

TEST_F(DriversTest, AreDuplicatedUnderAnIdOfTheirOwn) {
  boost::json::object more{{"pointsSchema", {{"temperature", {{"unitId", "Cel"}, {"type", "double"}}}}},
                           {"examples", boost::json::array{boost::json::object{{"description", "of another form"}}}}};
  system_driver(more);
  auto response = send("POST", "/drivers", R"({"duplicateOf":"actility:sys:1","name":"mine","moduleId":"copy"})");
  ASSERT_EQ(response.status, 201) << response.body;
  auto made = body_of(response).as_object();
  EXPECT_EQ(made.at("id"), "custom:copy:1");
  EXPECT_EQ(made.at("source"), "custom");
  EXPECT_EQ(made.at("producerId"), "custom");
  EXPECT_EQ(made.at("name"), "mine");
  EXPECT_EQ(made.at("pointsSchema"), more.at("pointsSchema"));
  EXPECT_EQ(made.at("examples"), more.at("examples"));
  EXPECT_EQ(from_base64(made.at("code").as_string()), "system code");
  EXPECT_EQ(header_of(response, "Location"), "/drivers/custom%3Acopy%3A1");
  EXPECT_EQ(send("POST", "/drivers", R"({"duplicateOf":"actility:sys:1","moduleId":"copy"})").status, 409);
  EXPECT_EQ(send("POST", "/drivers", R"({"duplicateOf":"actility:sys:1","version":"x"})").status, 400);
  EXPECT_EQ(send("POST", "/drivers", R"({"duplicateOf":"custom:copy:1","version":"2.0.0"})").status, 201);
  EXPECT_EQ(send("POST", "/drivers", R"({"duplicateOf":"actility:none:1"})").status, 404);
  // What was taken over as it is does not stand in the way of a change.
  EXPECT_EQ(send("PATCH", "/drivers/custom:copy:1", R"({"description":"x"})").status, 200);
}

TEST_F(DriversTest, APrivateDriverShowsNothingOfItsCode) {
  system_driver({{"private", true}});
  for (const char* body : {R"({"importedFrom":"actility:sys:1"})", R"({"duplicateOf":"actility:sys:1"})"}) {
    auto response = send("POST", "/drivers", body);
    EXPECT_EQ(response.status, 403);
    EXPECT_NE(response.body.find("this feature is not available for a private driver"), std::string::npos);
  }
  EXPECT_EQ(send("GET", "/drivers/actility:sys:1/log").status, 403);
  EXPECT_EQ(send("POST", "/drivers/actility:sys:1/try", "{}").status, 403);
  EXPECT_EQ(send("GET", "/drivers/actility:sys:1/statistics").status, 200);
  outcome_ = [](const driver::Job&) {
    return driver::Outcome{.code = "com-5002",
                           .message = "driver internal error: Error: x",
                           .where = driver::Where{.line = 3, .column = 1, .stack = "secret"}};
  };
  auto response =
      send("POST", "/decode", R"({"direction":"uplink","meta":{"driverId":"actility:sys:1"},"raw":{"binary":"00"}})");
  EXPECT_EQ(response.status, 400);
  EXPECT_EQ(json::write(body_of(response).at("data")), R"({"driverId":"actility:sys:1"})");
  // The owner of a private driver sees all.
  auto body = json::parse(driver())->as_object();
  body["private"] = true;
  ASSERT_EQ(send("POST", "/drivers", json::write(body)).status, 201);
  EXPECT_TRUE(body_of(send("GET", "/drivers/custom:known:1")).as_object().contains("code"));
  EXPECT_EQ(send("GET", "/drivers/custom:known:1/log").status, 200);
}

TEST_F(DriversTest, AreFoundByModelAndCountTheirSequences) {
  system_driver({{"models", boost::json::array{boost::json::object{
                                {"producerId", "elsys"}, {"moduleId", "ERS2"}, {"version", "1"}}}}});
  EXPECT_EQ(body_of(send("GET", "/drivers?q=elsys:ers2")).as_array().size(), 1u);
  EXPECT_EQ(body_of(send("GET", "/drivers?q=%25%5B(")).as_array().size(), 0u);
  driver::DriverCode code{.account = "1", .id = "actility:sys:1"};
  driver::Outcome good{.ok = true, .time_us = 100};
  for (int i = 0; i < 3; ++i)
    journal_.note({.code = code, .outcome = good});
  auto item = body_of(send("GET", "/drivers?source=system&q=sys")).at(0).as_object();
  EXPECT_EQ(item.at("decodedUplinksSequenceWoError"), 3);
  EXPECT_EQ(item.at("encodedDownlinksSequenceWoError"), 0);
  EXPECT_FALSE(item.contains("models"));
  driver::Outcome bad{.code = "com-5002", .message = "x", .where = driver::Where{.line = 7}, .time_us = 100};
  journal_.note({.code = code, .dev_eui = "AA", .fport = 4, .input = "0102", .outcome = bad});
  EXPECT_EQ(body_of(send("GET", "/drivers/actility:sys:1")).at("decodedUplinksSequenceWoError"), 0);
  auto statistics = body_of(send("GET", "/drivers/actility:sys:1/statistics")).as_object();
  EXPECT_EQ(statistics.at("calls"), 4);
  EXPECT_EQ(statistics.at("failures"), 1);
  EXPECT_EQ(statistics.at("failuresByCode").at("com-5002"), 1);
  EXPECT_EQ(statistics.at("operations").at("decodeUplink").at("calls"), 4);
  EXPECT_GT(statistics.at("operations").at("decodeUplink").at("p99Ms").as_double(), 0.05);
  EXPECT_EQ(statistics.at("lastError").at("line"), 7);
  EXPECT_EQ(statistics.at("lastError").at("payload"), "0102");
  EXPECT_EQ(send("GET", "/drivers/none:x:1/statistics").status, 404);
}

TEST_F(DriversTest, ALogIsReadFilteredAndCleared) {
  ASSERT_EQ(send("POST", "/drivers", driver()).status, 201);
  outcome_ = [](const driver::Job& job) {
    driver::Outcome outcome{.ok = job.input.payload_hex == "00"};
    outcome.data = "{}";
    outcome.log = {"bytes " + job.input.payload_hex};
    if (!outcome.ok) outcome.code = "com-5002", outcome.message = "driver internal error: Error: x";
    return outcome;
  };
  auto decode = [&](const char* hex) {
    return send("POST", "/decode",
                std::string(R"({"direction":"uplink","DevEUI":"a81758fffe04f27e",)") +
                    R"("meta":{"driverId":"custom:known:1","lorawan":{"fPort":2}},"raw":{"binary":")" + hex + "\"}}")
        .status;
  };
  EXPECT_EQ(decode("00"), 200);
  clock_.time += 5000;
  EXPECT_EQ(decode("01"), 400);
  auto response = send("GET", "/drivers/custom:known:1/log");
  ASSERT_EQ(response.status, 200) << response.body;
  auto entries = body_of(response).as_array();
  ASSERT_EQ(entries.size(), 2u);
  EXPECT_EQ(header_of(response, "X-Total"), "2");
  EXPECT_EQ(entries[0].at("level"), "error");
  EXPECT_EQ(entries[0].at("lines").at(0), "bytes 01");
  EXPECT_EQ(entries[0].at("operation"), "decodeUplink");
  EXPECT_EQ(entries[0].at("DevEUI"), "A81758FFFE04F27E");
  EXPECT_EQ(entries[0].at("payload"), "01");
  EXPECT_EQ(entries[0].at("byHand"), true);
  auto count = [&](const std::string& query) {
    return body_of(send("GET", "/drivers/custom:known:1/log?" + query)).as_array().size();
  };
  EXPECT_EQ(count("level=error"), 1u);
  EXPECT_EQ(count("DevEUI=a8-17-58-ff-fe-04-f2-7e"), 2u);
  EXPECT_EQ(count("DevEUI=00"), 0u);
  EXPECT_EQ(count("operation=encodeDownlink"), 0u);
  EXPECT_EQ(count("perPage=1&page=2"), 1u);
  EXPECT_EQ(count("from=" + url_encode(format_time(clock_.now() - 1000))), 1u);
  EXPECT_EQ(count("to=" + url_encode(format_time(clock_.now() - 1000))), 1u);
  for (const char* odd : {"level=loud", "operation=x", "from=x", "from=2024-01-02&to=2024-01-01"})
    EXPECT_EQ(send("GET", std::string("/drivers/custom:known:1/log?") + odd).status, 400) << odd;
  auto owner = token_;
  token_ = token_with(store::Role::reader);
  EXPECT_EQ(send("DELETE", "/drivers/custom:known:1/log").status, 403);
  EXPECT_EQ(count(""), 2u);
  token_ = owner;
  EXPECT_EQ(send("DELETE", "/drivers/custom:known:1/log").status, 204);
  EXPECT_EQ(count(""), 0u);
  EXPECT_EQ(decode("00"), 200);
  EXPECT_EQ(send("DELETE", "/drivers/custom:known:1").status, 204);
  ASSERT_EQ(send("POST", "/drivers", driver()).status, 201);
  EXPECT_EQ(count(""), 0u) << "the next driver of that id starts afresh";
}

class TryTest : public DriversTest {
 protected:
  void SetUp() override {
    ASSERT_EQ(send("POST", "/drivers", driver("old code")).status, 201);
    for (int i = 0; i < 30; ++i) {
      auto message = std::make_shared<message::Message>();
      message->dev_eui = "00000000000000AA";
      message->fcnt_up = i;
      message->fport = 2;
      message->payload_hex =
          i < 16 ? "0" + std::string(1, "0123456789abcdef"[i]) : "1" + std::to_string(i - 16).substr(0, 1);
      message->time = clock_.now();
      driver::Input input{.payload_hex = message->payload_hex, .fport = 2};
      stored_uplinks_.push_back({message, input});
    }
    // The old code fails on 03 and gives a constant; the new one fails on 04 and gives another on 05.
    outcome_ = [](const driver::Job& job) {
      bool old = job.code->source == "old code";
      const auto& hex = job.input.payload_hex;
      if (hex == (old ? "03" : "04")) return driver::Outcome{.code = "com-5002", .message = "broken"};
      return driver::Outcome{.ok = true, .data = !old && hex == "05" ? R"({"t":2})" : R"({"t":1})"};
    };
  }
};

TEST_F(TryTest, ComparesWithTheStoredVersion) {
  auto response =
      send("POST", "/drivers/custom:known:1/try", R"({"code":")" + to_base64("new code") + R"(","last":10})");
  ASSERT_EQ(response.status, 200) << response.body;
  auto result = body_of(response).as_object();
  auto differences = result.at("differences").as_array();
  result.erase("differences");
  EXPECT_EQ(json::write(result), R"({"uplinks":10,"same":7,"changed":1,"failed":1,"fixed":1})");
  ASSERT_EQ(differences.size(), 3u);
  EXPECT_EQ(differences[0].at("FCntUp"), 3);
  EXPECT_EQ(differences[0].at("before").at("error").at("code"), "com-5002");
  EXPECT_EQ(json::write(differences[0].at("after")), R"({"data":{"t":1}})");
  EXPECT_EQ(differences[2].at("payload"), "05");
  EXPECT_EQ(json::write(differences[2].at("after")), R"({"data":{"t":2}})");
  EXPECT_EQ((*store_->driver("1", "custom:known:1"))->code, "old code");
  EXPECT_EQ(body_of(send("GET", "/drivers/custom:known:1/log")).as_array().size(), 0u);
  // Without new code: the stored one under other rules.
  EXPECT_EQ(body_of(send("POST", "/drivers/custom:known:1/try", R"({"limits":{"callTime":"1ms"}})")).at("same"), 30);
}

TEST_F(TryTest, IsChecked) {
  for (const char* odd : {R"({"last":0})", R"({"last":1001})", R"({"last":"many"})", R"({"code":"!"})",
                          R"({"type":"cobol"})", R"({"limits":{"callTime":"9s"}})"}) {
    EXPECT_EQ(send("POST", "/drivers/custom:known:1/try", odd).status, 400) << odd;
  }
  auto broken = R"({"code":")" + to_base64("syntax error") + "\"}";
  EXPECT_EQ(send("POST", "/drivers/custom:known:1/try", broken).status, 400);
  EXPECT_EQ(send("POST", "/drivers/custom:none:1/try", "{}").status, 404);
}

}  // namespace
}  // namespace sluice::api
