// SPDX-License-Identifier: Apache-2.0
#include "driver/ontology.h"

#include "api/test_api.h"

namespace sluice::api {
namespace {

TEST_F(ApiTest, TheOntologyNeedsNoToken) {
  token_.clear();
  auto open = [this](const std::string& target) {
    auto made = request("GET", target);
    made.headers.clear();
    return send(made);
  };
  auto units = open("/ontology/units?perPage=10&page=2");
  ASSERT_EQ(units.status, 200) << units.body;
  EXPECT_EQ(body_of(units).as_array().size(), 10u);
  EXPECT_EQ(header_of(units, "X-Total"), "115");
  EXPECT_EQ(open("/ontology/units?perPage=0").status, 400);
  auto sensors = open("/ontology/sensors");
  ASSERT_EQ(sensors.status, 200);
  EXPECT_EQ(open("/ontology/fields").body, sensors.body);
  EXPECT_EQ(open("/ontology/fields/current").body,
            R"({"id":"current","units":[{"unitId":"A","type":"double"},{"unitId":"mA","type":"double"}]})");
  EXPECT_EQ(open("/ontology/sensors/currant").status, 404);
}

TEST_F(ApiTest, EveryUnitIsReachedByItsId) {
  for (const auto& unit : driver::units()) {
    auto response = send("GET", "/iot-flow/v1/ontology/units/" + url_encode(unit.id));
    ASSERT_EQ(response.status, 200) << unit.id;
    EXPECT_EQ(json::text_or(body_of(response).as_object(), "id"), unit.id);
  }
  auto far = body_of(send("GET", "/ontology/units/Far")).as_object();
  EXPECT_EQ(far.at("symbol"), "\u00b0F");
  EXPECT_EQ(far.at("set"), "scalar-si");
  EXPECT_EQ(far.at("parentId"), "K");
  EXPECT_EQ(json::write(far.at("dimensions")), R"({"K":1})");
  EXPECT_EQ(json::write(far.at("transformations")),
            R"([{"name":"subtract","value":32},{"name":"multiply","value":5},{"name":"divide","value":9},)"
            R"({"name":"add","value":273.15}])");
  EXPECT_EQ(json::write(far.at("sensors")), R"(["temperature"])");
  EXPECT_EQ(send("GET", "/ontology/units/furlong").status, 404);
}

}  // namespace
}  // namespace sluice::api
