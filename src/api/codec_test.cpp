// SPDX-License-Identifier: Apache-2.0
#include "api/test_api.h"

namespace sluice::api {
namespace {

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

TEST_F(CodecTest, RefusesWhatItCouldNotGiveBack) {
  const std::string start = R"({"direction":"uplink","raw":{"text":"A"},)";
  for (const auto& [field, fault] :
       std::map<std::string, std::string>{{R"("ADRbit":"x")", "/ADRbit"},
                                          {R"("FCntUp":1.5)", "/FCntUp"},
                                          {R"("Frequency":"x")", "/Frequency"},
                                          {R"("DevEUI":7)", "/DevEUI"},
                                          {R"("thing":{"points":1})", "/thing/points"},
                                          {R"("thing":{"model":1})", "/thing/model"},
                                          {R"("thing":{"application":{"version":1}})", "/thing/application/version"}}) {
    auto response = send("POST", "/decode", start + field + "}");
    EXPECT_EQ(response.status, 400) << field;
    EXPECT_NE(response.body.find(fault), std::string::npos) << response.body;
  }
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

TEST_F(CodecTest, TellsWhatTheDriverSaid) {
  auto body =
      R"({"direction":"uplink","meta":{"driverId":"custom:known:1","lorawan":{"fPort":3}},"raw":{"binary":"0A"}})";
  result_.warnings = {"low battery"};
  auto response = send("POST", "/decode", body);
  EXPECT_EQ(json::write(body_of(response).at("warnings")), R"(["low battery"])");
  result_ = {.code = "com-5000", .message = "driver internal errors: a, b"};
  result_.errors = {"a", "b"};
  result_.warnings = {"w"};
  response = send("POST", "/decode", body);
  EXPECT_EQ(response.status, 400);
  EXPECT_EQ(
      json::write(body_of(response).at("data")),
      R"({"driverId":"custom:known:1","driverErrors":["a","b"],"warnings":["w"],"input":{"fPort":3,"bytes":"0a"}})");
  result_ = {.code = "com-5002", .message = "driver internal error: Error: x"};
  result_.where = driver::Where{.line = 4, .column = 11, .stack = "decodeUplink@driver.js:4:11"};
  response = send("POST", "/decode", body);
  auto data = body_of(response).at("data").as_object();
  EXPECT_EQ(data.at("line"), 4);
  EXPECT_EQ(data.at("column"), 11);
  EXPECT_EQ(data.at("stack"), "decodeUplink@driver.js:4:11");
  auto batch = body_of(send("POST", "/decode/batch", std::string(R"([{"id":1,"input":)") + body + "}]"));
  EXPECT_EQ(batch.at(0).at("error").at("data"), data);
  response = send("POST", "/encode", R"({"meta":{"driverId":"custom:known:1"},"message":{"a":1}})");
  EXPECT_EQ(json::write(body_of(response).at("data").at("input")), R"({"data":{"a":1}})");
}

TEST_F(CodecTest, CodeThatComesAlongTellsItsConsole) {
  auto body = json::parse(R"({"direction":"uplink","meta":{},"raw":{"binary":"00"}})")->as_object();
  body["code"] = to_base64("x");
  result_.log = {"hello"};
  EXPECT_EQ(json::write(body_of(send("POST", "/decode/code", json::write(body))).at("log")), R"(["hello"])");
  result_ = {.code = "com-5002", .message = "m"};
  result_.log = {"hello"};
  result_.where = driver::Where{.line = 2, .column = 3};
  auto data = body_of(send("POST", "/decode/code", json::write(body))).at("data").as_object();
  EXPECT_EQ(json::write(data), R"({"line":2,"column":3,"input":{"bytes":"00"},"log":["hello"]})");
}

TEST_F(CodecTest, ADriverWithoutCodeIsAnotherMatterThanNone) {
  for (
      const char* input :
      {R"({"direction":"uplink","meta":{"driverId":"acme:hidden:1"},"raw":{"binary":"00"}})",
       R"({"direction":"uplink","meta":{},"thing":{"application":{"producerId":"acme","moduleId":"hidden","version":"1"}},"raw":{"binary":"00"}})"}) {
    auto response = send("POST", "/decode", input);
    EXPECT_EQ(response.status, 404);
    EXPECT_NE(response.body.find("no driver code: acme:hidden:1"), std::string::npos) << response.body;
  }
  auto none = send("POST", "/decode", R"({"direction":"uplink","meta":{"driverId":"acme:x:1"},"raw":{"binary":"00"}})");
  EXPECT_NE(none.body.find("no driver fits"), std::string::npos);
}

TEST_F(CodecTest, ADownlinkThatTheDriverRefusedTellsWhatItSaid) {
  downlink_result_ = {.status = flow::DownlinkResult::Status::driver_refused,
                      .text = "driver internal errors: a",
                      .code = "com-5000",
                      .driver_id = "custom:known:1",
                      .driver_errors = {"a"},
                      .warnings = {"w"}};
  auto connection = send(
      "POST", "/connections",
      R"({"connectorId":"actility-http-iot","name":"c","configuration":{"destinationURL":"https://x.example.com"}})");
  ASSERT_EQ(connection.status, 201) << connection.body;
  auto id = json::text_or(body_of(connection).as_object(), "id");
  auto response = send("POST", "/connections/" + id + "/downlinks", R"({"DevEUI_downlink":{}})");
  EXPECT_EQ(response.status, 422) << response.body;
  EXPECT_EQ(json::write(body_of(response).at("data")),
            R"({"driverId":"custom:known:1","driverErrors":["a"],"warnings":["w"]})");
}

}  // namespace
}  // namespace sluice::api
