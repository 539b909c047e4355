// SPDX-License-Identifier: Apache-2.0
#include "driver/engine.h"

#include <gtest/gtest.h>

#include "driver/host_for_tests.h"
#include "driver/test_engine.h"

namespace sluice::driver {
namespace {

TEST(Signatures, HaveTheirWords) {
  EXPECT_EQ(signature_of_type("thingpark-x-js"), Signature::actility);
  EXPECT_EQ(signature_of_type("chirpstack"), Signature::chirpstack);
  EXPECT_FALSE(signature_of_type("thingpark-x-java"));
  EXPECT_STREQ(type_of_signature(Signature::lora_alliance), "lora-alliance");
}

TEST(Decoding, ReadsASmallDriver) {
  const auto source = read_test_file("drivers/temperature_humidity.js");
  const auto out = decode(source, "0100e2022904002705060709ff");
  EXPECT_TRUE(out.ok) << out.message;
  EXPECT_EQ(out.data, R"({"temperature":22.6,"humidity":41,"light":39,"motion":6,"battery":2559})");
  EXPECT_EQ(
      out.points,
      R"({"temperature:0":{"unitId":"Cel","type":"double","record":22.6},"humidity:0":{"unitId":"%RH","type":"double",)"
      R"("record":41},"counter:0":{"unitId":"count","type":"int64","record":6,"nature":"motion"}})");
  EXPECT_TRUE(out.warnings.empty());
  const auto low = decode(source, "0700ff");
  EXPECT_EQ(low.warnings, std::vector<std::string>{"battery low"});
  const auto bad = decode(source, "ee");
  EXPECT_FALSE(bad.ok);
  EXPECT_EQ(bad.code, "com-5000");
  EXPECT_EQ(bad.message, "driver internal errors: unknown record type 238 at 0");
  EXPECT_EQ(encode(source, R"({"interval":600})").payload_hex, "100258");
}

TEST(Decoding, ReadsAMiddleSizedDriver) {
  const auto source = read_test_file("drivers/water_meter.js");
  const auto out = decode(source, "00e80300000a001400", 1);
  EXPECT_EQ(
      out.data,
      R"({"unit":"m3","volume":1,"time":"2023-11-14T22:13:20.123Z","history":[{"time":"2023-11-14T21:13:20.123Z",)"
      R"("volume":0.99},{"time":"2023-11-14T20:13:20.123Z","volume":0.97}]})")
      << out.message;
  EXPECT_EQ(decode(source, "a1b2c3d40521", 2).data,
            R"({"serial":"A1B2C3D4","alarms":["leak","tamper"],"battery":3.3})");
  const auto wrong = decode(source, "00", 3);
  EXPECT_EQ(wrong.code, "com-5002");
  EXPECT_EQ(wrong.message, "driver internal error: Error: Invalid fPort!");
}

TEST(Decoding, ReadsCayenne) {
  const auto source = read_test_file("drivers/cayenne_lpp.js");
  for (const auto signature : {Signature::ttn, Signature::lora_alliance}) {
    EXPECT_EQ(decode(source, "03670110056700ff", 1, signature).data, R"({"temperature_3":27.2,"temperature_5":25.5})");
    EXPECT_EQ(decode(source, "01880602740c2d45001a2c", 1, signature).data.substr(0, 8), R"({"gps_1")");
  }
  EXPECT_EQ(decode(source, "0367", 1).message, "driver internal error: RangeError: Frame too short");
  const auto sent = encode(source, R"({"digital_out_3":1})", {}, Signature::ttn);
  EXPECT_EQ(sent.payload_hex, "030101");
  EXPECT_EQ(sent.fport, 1);
}

TEST(Inputs, AreThoseOfTheSpecification) {
  Input input = uplink("00ff10", 7);
  input.dev_eui = "0018B20000000B20";
  input.thing = R"({"model":{"producerId":"p","moduleId":"m","version":"1"},"tags":["k=v"],"setup":{"k":"v"}})";
  input.extra = R"("ADRbit":1,"FCntUp":9)";
  const auto out =
      test_engine().run(driver_of("function decodeUplink(i) { return { data: [Array.isArray(i.bytes), i.bytes, "
                                  "i.fPort, i.recvTime instanceof Date, "
                                  "i.time === i.recvTime, i.recvTime, i.thing.setup.k, i.thing.model.moduleId, "
                                  "i.DevEUI, i.ADRbit, i.FCntUp, i.variables.k] }; }"),
                        Operation::decode_uplink, input);
  EXPECT_EQ(out.data, R"([true,[0,255,16],7,true,true,"2023-11-14T22:13:20.123Z","v","m","0018B20000000B20",1,9,"v"])");
  EXPECT_EQ(value_of("['fPort' in input, input.thing]"), R"([false,{"tags":[],"setup":{}}])");
}

TEST(Inputs, FollowTheSignature) {
  EXPECT_EQ(
      decode("function Decoder(bytes, port) { return [bytes, port, arguments.length]; }", "0a", 3, Signature::ttn).data,
      "[[10],3,2]");
  EXPECT_EQ(decode("function Decode(port, bytes, variables) { return [port, bytes, variables]; }", "0a", 3,
                   Signature::chirpstack)
                .data,
            "[3,[10],{}]");
  EXPECT_EQ(decode("function decodeUplink(input) { return input.time.getTime(); }", "0a", 3, Signature::actility).data,
            "1700000000123");
  EXPECT_EQ(encode("function encodeDownlink(o) { return { bytes: [o.v], fPort: 4 }; } function decodeUplink() {}",
                   R"({"v":9})", {}, Signature::actility)
                .payload_hex,
            "09");
}

TEST(Functions, AreFoundWhereDriversPutThem) {
  EXPECT_EQ(decode("const driver = { decodeUplink() { return { data: this.v }; }, v: 4 };").data, "4");
  EXPECT_EQ(decode("exports.driver = { decodeUplink: () => ({ data: 5 }) };").data, "5");
  EXPECT_EQ(decode("exports.decodeUplink = () => ({ data: 6 });").data, "6");
  EXPECT_EQ(decode("module.exports = { decodeUplink: () => ({ data: 7 }) };").data, "7");
  EXPECT_EQ(decode("let decodeUplink = () => ({ data: 8 });").data, "8");
  EXPECT_EQ(
      decode(
          "const exports = { decodeUplink: () => ({ data: 9 }) }; const errors = 1, from = 2, input = 3, console = 4;")
          .data,
      "9");
  EXPECT_EQ(decode("exports.decodeUplink = () => 10;", "00", {}, Signature::actility).data, "10");
  EXPECT_EQ(decode("function Buffer() {} function decodeUplink() { return { data: Buffer.length }; }").data, "0");
  EXPECT_EQ(decode("undeclared = 3; function decodeUplink() { return { data: undeclared }; }").data, "3");
}

TEST(Functions, ThatAreAbsentAreToldByName) {
  const auto code = driver_of("function Decoder() { return 1; }", Signature::ttn);
  const auto out = test_engine().run(code, Operation::decode_downlink, uplink("00"));
  EXPECT_EQ(out.code, "com-4000");
  EXPECT_EQ(out.message, "unsupported operation decodeDownlink on ttn driver");
}

TEST(Results, TakeTheFormOfTheSignature) {
  EXPECT_EQ(decode("function decodeUplink() { return { t: 1 }; }").data, R"({"t":1})");
  EXPECT_EQ(decode("function decodeUplink() { return { data: { errors: 1 }, errors: null }; }").data,
            R"({"errors":1})");
  EXPECT_EQ(decode("function decodeUplink() { return { warnings: 'w' }; }").warnings, std::vector<std::string>{"w"});
  EXPECT_EQ(decode("function decodeUplink() { return { errors: ['x', 3] }; }").message, "driver internal errors: x, 3");
  EXPECT_EQ(decode("function decodeUplink() { return null; }").code, "com-5002");
  EXPECT_EQ(decode("function decodeUplink() { return { errors: ['x'] }; }", "00", 1, Signature::actility).data,
            R"({"errors":["x"]})");
}

TEST(Results, LeaveAsJson) {
  EXPECT_EQ(value_of("{ a: undefined, f() {}, d: new Date(0), z: -0, b: 12n, c: 123456789012345678901n }"),
            R"({"d":"1970-01-01T00:00:00.000Z","z":0,"b":12,"c":"123456789012345678901"})");
  const auto out = decode("function decodeUplink() { return { data: { a: [1, { b: NaN }], c: Infinity, d: null } }; }");
  EXPECT_EQ(out.data, R"({"a":[1,{"b":null}],"c":null,"d":null})");
  ASSERT_EQ(out.warnings.size(), 2u);
  EXPECT_EQ(out.warnings[0], "a.1.b was NaN and became null");
  EXPECT_EQ(out.warnings[1], "c was Infinity and became null");
  EXPECT_EQ(value_of("(() => { const o = {}; o.o = o; return o; })()"),
            "driver internal error: Error: The result contains a cycle.");
  EXPECT_EQ(decode("async function decodeUplink() { return { data: 1 }; }").message,
            "driver internal error: Error: The driver returned a Promise, and nothing is awaited.");
  EXPECT_EQ(value_of("'\\u00e9\\ud83d\\ude00\\ud800\\n'"), "\"\xc3\xa9\xf0\x9f\x98\x80\\ufffd\\n\"");
  EXPECT_EQ(value_of("'\\\\ud800'"), R"("\\ud800")");
}

TEST(Results, OverTheLimitsFail) {
  EXPECT_NE(value_of("'x'.repeat(1 << 21)").find("too large"), std::string::npos);
  EXPECT_NE(value_of("'x'.repeat((1 << 20) + 9)").find("over the limit"), std::string::npos);
  EXPECT_NE(value_of("(() => { let o = 1; for (let i = 0; i < 150; i++) o = [o]; return o; })()").find("100 levels"),
            std::string::npos);
  EXPECT_EQ(value_of("(() => { let o = 1; for (let i = 0; i < 90; i++) o = [o]; return o; })()").size(), 181u);
}

TEST(Encoding, ChecksBytesAndPort) {
  const auto result = [](const std::string& expression, std::optional<int> port = {}) {
    return encode("function encodeDownlink(input) { return " + expression + "; }", R"({"v":1})", port);
  };
  EXPECT_EQ(result("{ bytes: Buffer.from('0aFF', 'hex'), fPort: 3 }").payload_hex, "0aff");
  EXPECT_EQ(result("{ bytes: '0AfF', fPort: 3 }").payload_hex, "0AfF");
  EXPECT_EQ(result("{ bytes: [input.data.v, input.fPort] }", 9).payload_hex, "0109");
  EXPECT_EQ(result("{ bytes: [1] }", 9).fport, 9);
  EXPECT_EQ(result("{ bytes: [1], fPort: 5 }", 9).fport, 5);
  for (const auto* wrong :
       {"{ bytes: [256], fPort: 1 }", "{ bytes: [1.5], fPort: 1 }", "{ bytes: '123', fPort: 1 }", "{ fPort: 1 }",
        "{ bytes: [1] }", "{ bytes: [1], fPort: 0 }", "{ bytes: [1], fPort: 225 }", "7", "null"}) {
    EXPECT_EQ(result(wrong).code, "com-5002") << wrong;
  }
  const auto refused = result("{ bytes: [1], fPort: 1, errors: ['no', 'never'] }");
  EXPECT_EQ(refused.code, "com-5000");
  EXPECT_EQ(refused.message, "driver internal errors: no, never");
  EXPECT_EQ(refused.errors.size(), 2u);
}

TEST(Points, BareOnesTakeTheirDeclaration) {
  auto code = std::make_shared<DriverCode>(
      *driver_of("function decodeUplink() { return { t: 1 }; } function extractPoints() { return { temperature: 21, "
                 "'temperature:2': "
                 "[{ eventTime: 'x', value: 1 }], axes: [1, 2], other: 1, none: undefined }; }"));
  code->points_schema =
      R"({"temperature":{"type":"double","unitId":"Cel"},"axes":{"type":"object","standardNaming":"unsupported"}})";
  const auto out = test_engine().run(code, Operation::decode_uplink, uplink("00"));
  EXPECT_EQ(
      out.points,
      R"({"temperature":{"unitId":"Cel","type":"double","record":21},"temperature:2":{"unitId":"Cel","type":"double",)"
      R"("records":[{"eventTime":"x","value":1}]},"axes":{"type":"object","standardNaming":"unsupported","record":[1,2]}})");
  EXPECT_EQ(out.warnings, std::vector<std::string>{"point other is not declared and was left out"});
}

TEST(Points, OfAnExtraFileGoFirstAndTheirFailureCostsThemAlone) {
  auto code = std::make_shared<DriverCode>(*driver_of(
      "const a = 1; function decodeUplink() { return { t: 1 }; } function extractPoints() { throw new Error('x'); }"));
  auto out = test_engine().run(code, Operation::decode_uplink, uplink("00"));
  EXPECT_TRUE(out.ok);
  EXPECT_EQ(out.data, R"({"t":1})");
  EXPECT_TRUE(out.points.empty());
  EXPECT_FALSE(out.log.empty());
  code = std::make_shared<DriverCode>(*code);
  code->revision += "b";
  code->extract_points_source =
      "const a = 2; exports.extractPoints = (i) => ({ 'x:0': { unitId: 'Cel', record: i.message.t + a } }) // end";
  out = test_engine().run(code, Operation::decode_uplink, uplink("00"));
  EXPECT_EQ(out.points, R"({"x:0":{"unitId":"Cel","type":"double","record":3}})");
}

TEST(Errors, SayWhatWasThrown) {
  EXPECT_EQ(decode("function decodeUplink() { throw 'text'; }").message, "driver internal error: text");
  EXPECT_EQ(decode("function decodeUplink() { throw { toString() { throw 1; } }; }").code, "com-5002");
  const auto syntax = decode("function decodeUplink( { return 1; }");
  EXPECT_EQ(syntax.code, "com-5002");
  EXPECT_EQ(syntax.message.substr(0, 35), "driver internal error: SyntaxError:");
  EXPECT_EQ(decode("throw new TypeError('at once');").message, "driver internal error: TypeError: at once");
  const auto hex = decode("function decodeUplink() { return { data: 1 }; }", "0g");
  EXPECT_EQ(hex.code, "com-5002");
}

TEST(Errors, LeaveConsoleLinesInTheLog) {
  const auto out =
      decode("function decodeUplink() { console.log('a', { b: 1 }); console.warn(2); return { data: 1 }; }");
  EXPECT_EQ(out.log, (std::vector<std::string>{R"(a {"b":1})", "warn: 2"}));
  const auto much = decode(
      "function decodeUplink() { for (let i = 0; i < 9999; i++) console.log('0123456789'); return { data: 1 }; }");
  std::size_t size = 0;
  for (const auto& line : much.log)
    size += line.size();
  EXPECT_LT(size, 17000u);
}

TEST(Inspection, FindsTheSignature) {
  Engine& engine = test_engine();
  const auto lora = engine.inspect(read_test_file("drivers/temperature_humidity.js"), {});
  ASSERT_TRUE(lora) << lora.error().text;
  EXPECT_EQ(lora->signature, Signature::lora_alliance);
  EXPECT_TRUE(lora->decode_uplink && lora->encode_downlink && lora->extract_points);
  EXPECT_FALSE(lora->decode_downlink);
  EXPECT_EQ(engine.inspect("function Decoder() {}", {})->signature, Signature::ttn);
  EXPECT_EQ(engine.inspect("function Decode() {}", {})->signature, Signature::chirpstack);
  EXPECT_TRUE(engine.inspect("function decodeUplink() {}", Signature::ttn)->decode_uplink);
  const auto none = engine.inspect("var x = 1;", {});
  ASSERT_FALSE(none);
  EXPECT_EQ(none.error().code, "com-4000");
  EXPECT_EQ(none.error().text,
            "unable to wrap driver, driver code must have one type of signatures (tpx, ttn, chirpstack)");
  EXPECT_EQ(engine.inspect("var x = 1;", Signature::chirpstack).error().code, "com-4000");
  EXPECT_EQ(engine.inspect("var x = ;", {}).error().code, "com-5002");
  EXPECT_EQ(engine.inspect("while (true) {}", {}).error().code, "com-5004");
}

TEST(Engine, AnswersWhatComesBeforeStartAndAfterTheEnd) {
  Metrics metrics;
  Engine engine({}, metrics);
  EXPECT_EQ(engine.run(driver_of("function decodeUplink() {}"), Operation::decode_uplink, uplink("00")).code,
            "com-5004");
}

TEST(Engine, SaysWhyNoHostStarts) {
  Metrics metrics;
  EngineOptions options;
  options.host_program = "/nonexistent/host";
  Engine engine(options, metrics);
  const auto started = engine.start();
  ASSERT_FALSE(started);
  EXPECT_EQ(started.error().kind, ErrorKind::bad_config);
  EXPECT_NE(started.error().text.find("/nonexistent/host"), std::string::npos);
}

}  // namespace
}  // namespace sluice::driver
