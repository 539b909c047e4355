// SPDX-License-Identifier: Apache-2.0
// What one call brings along and back: the place of an error, the device's context, limits of the driver's own.
#include <gtest/gtest.h>

#include "driver/test_engine.h"

namespace sluice::driver {
namespace {

std::string place(const std::string& source) {
  const auto out = decode(source);
  if (!out.where) return "none: " + out.message;
  return std::to_string(out.where->line) + ":" + std::to_string(out.where->column);
}

TEST(Where, IsTheInnermostPlaceInTheAuthorsText) {
  EXPECT_EQ(place("// one\nfunction decodeUplink(input) {\n  throw new Error('x');\n}"), "3:18");
  EXPECT_EQ(place("function decodeUplink(input) {\n  return { data: input.nothing.more };\n}"), "2:31");
  EXPECT_EQ(place("function f() {\n  return missing;\n}\nfunction decodeUplink(input) {\n  return f();\n}"), "2:17");
  // Thrown in the environment's code and in the language's own: the driver's line that called it.
  EXPECT_EQ(place("function decodeUplink(input) {\n\n  return Buffer.alloc(2).readUInt32LE(0);\n}").substr(0, 2), "3:");
  EXPECT_EQ(place("function decodeUplink(input) {\n\n\n  return JSON.parse('{');\n}").substr(0, 2), "4:");
  // While the script is evaluated, and where it cannot be.
  EXPECT_EQ(place("var a = 1;\nb.c = 2;"), "2:2");
  EXPECT_EQ(place("var a = 1;\nvar b = = 2;\n").substr(0, 2), "2:");
}

TEST(Where, KnowsTheStackOfTheAuthorsFunctions) {
  const auto out =
      decode("function inner() { throw new TypeError('x'); }\nfunction decodeUplink() { return inner(); }");
  ASSERT_TRUE(out.where);
  EXPECT_NE(out.where->stack.find("inner@driver.js:1:"), std::string::npos) << out.where->stack;
  EXPECT_NE(out.where->stack.find("decodeUplink@driver.js:2:"), std::string::npos) << out.where->stack;
  EXPECT_EQ(out.where->stack.find("prelude"), std::string::npos) << out.where->stack;
}

TEST(Where, IsAbsentForWhatHasNone) {
  EXPECT_FALSE(decode("function decodeUplink() { throw 'text'; }").where);
  EXPECT_FALSE(decode("function decodeUplink() { return { errors: ['x'] }; }").where);
  EXPECT_FALSE(
      decode("function decodeUplink() { const e = new Error('x'); e.stack = 7; e.line = 'a'; throw e; }").where);
  EXPECT_TRUE(decode("function decodeUplink() { return { data: 1 }; }").ok);
}

Outcome with_context(const std::string& source, std::string context, Operation operation = Operation::decode_uplink) {
  auto code = std::make_shared<DriverCode>(*driver_of(source));
  code->use_context = true;
  Input input = uplink("01", 1);
  input.data = "{}";
  input.context = std::move(context);
  return test_engine().run(code, operation, input);
}

TEST(Context, ComesAndGoesAsItWasLeft) {
  auto out = with_context(
      "function decodeUplink() { context.push({ n: context.length, d: new Date(0) }); return { data: 1 }; }", "[7]");
  EXPECT_EQ(out.context, R"([7,{"n":1,"d":"1970-01-01T00:00:00.000Z"}])") << out.message;
  out = with_context("function decodeUplink() { context = [context.length]; return { data: 1 }; }", "");
  EXPECT_EQ(out.context, "[0]");
  out = with_context(
      "function encodeDownlink() { context.length = 0; return { bytes: [1], fPort: 1 }; } function decodeUplink() {}",
      "[1]", Operation::encode_downlink);
  EXPECT_EQ(out.context, "[]");
  // There from the first line on, for code that looks at it while it is evaluated.
  EXPECT_TRUE(
      with_context("const first = context.length; function decodeUplink() { return { data: first }; }", "[1]").ok);
}

TEST(Context, UnchangedIsNotWritten) {
  EXPECT_FALSE(with_context("function decodeUplink() { return { data: context[0] }; }", "[ 1 , {\"a\": 2} ]").context);
  EXPECT_EQ(with_context("function decodeUplink() { return { data: context[1].a }; }", "[ 1 , {\"a\": 2} ]").data, "2");
}

TEST(Context, IsKeptWithErrorsAndNotWithExceptions) {
  auto out = with_context("function decodeUplink() { context.push(1); return { errors: ['no'] }; }", "");
  EXPECT_EQ(out.code, "com-5000");
  EXPECT_EQ(out.context, "[1]");
  out = with_context("function decodeUplink() { context.push(1); throw new Error('no'); }", "");
  EXPECT_EQ(out.code, "com-5002");
  EXPECT_FALSE(out.context);
}

TEST(Context, ThatIsNoneFailsTheCall) {
  for (const auto* body :
       {"context = { a: 1 }", "context = undefined", "delete globalThis.context", "context.push(context)",
        "context.push(1n)", "context.push('x'.repeat(70000))", "context.toJSON = () => undefined"}) {
    const auto out = with_context(std::string("function decodeUplink() { ") + body + "; return { data: 1 }; }", "[1]");
    EXPECT_EQ(out.code, "com-5002") << body;
    EXPECT_NE(out.message.find("context"), std::string::npos) << out.message;
    EXPECT_FALSE(out.context);
  }
}

TEST(Context, IsUnknownToDriversThatUseNone) {
  EXPECT_EQ(decode("function decodeUplink() { return { data: context }; }").code, "com-5002");
  EXPECT_EQ(value_of("typeof context"), "\"undefined\"");
}

TEST(Points, AreExtractedByThemselves) {
  const auto code = driver_of(
      "function decodeUplink() {} function extractPoints(i) { if (!i.message.t) throw new Error('no t'); return { "
      "temperature: { unitId: 'Cel', "
      "record: i.message.t } }; }");
  Input input;
  input.data = R"({"t":5})";
  auto out = test_engine().run(code, Operation::extract_points, input);
  EXPECT_EQ(out.points, R"({"temperature":{"unitId":"Cel","type":"double","record":5}})") << out.message;
  input.data = "{}";
  out = test_engine().run(code, Operation::extract_points, input);
  EXPECT_EQ(out.message, "driver internal error: Error: no t");
  EXPECT_EQ(test_engine().run(driver_of("function decodeUplink() {}"), Operation::extract_points, input).code,
            "com-4000");
}

TEST(Points, ThatAreNotAsTheyShouldBeAreToldOnceAndPassedOn) {
  const auto code = driver_of(
      "function decodeUplink() { return { data: 1 }; } function extractPoints() { return { 'temperature:0': { unitId: "
      "'Cel', record: 1 },"
      " humidity: { unitId: 'Cel', record: 2 }, own: { record: 'x' }, counter: { unitId: 'count', record: 1.5 },"
      " duration: { unitId: 'hour', records: [{ eventTime: '2024-01-01T00:00:00Z', value: 1 }] }, voltage: { unitId: "
      "'V', records: [{ value: 1 }] },"
      " level: { unitId: 'X', standardNaming: 'unsupported', record: 1 } }; }");
  auto out = test_engine().run(code, Operation::decode_uplink, uplink("00"));
  EXPECT_EQ(out.log, (std::vector<std::string>{"warn: point humidity is not in the ontology with the unit Cel",
                                               "warn: point counter is no whole number, as its type int64 says",
                                               "warn: point voltage has a record without eventTime or value"}));
  EXPECT_NE(out.points.find("humidity"), std::string::npos);
  out = test_engine().run(code, Operation::decode_uplink, uplink("00"));
  EXPECT_TRUE(out.ok);
  EXPECT_TRUE(out.log.empty());
}

Outcome limited(const std::string& source, Limits limits) {
  auto code = std::make_shared<DriverCode>(*driver_of(source));
  code->limits = limits;
  return test_engine().run(code, Operation::decode_uplink, uplink("01"));
}

TEST(OwnLimits, OfResultAndDepth) {
  EXPECT_TRUE(limited("function decodeUplink() { return { data: 'x'.repeat(900) }; }", {.result = 1000}).ok);
  EXPECT_NE(limited("function decodeUplink() { return { data: 'x'.repeat(1100) }; }", {.result = 1000})
                .message.find("over the limit of 1000 bytes"),
            std::string::npos);
  EXPECT_TRUE(limited("function decodeUplink() { return { data: [[['[[[[']]] }; }", {.depth = 3}).ok);
  EXPECT_NE(limited("function decodeUplink() { return { data: [[[[1]]]] }; }", {.depth = 3})
                .message.find("more than 3 levels"),
            std::string::npos);
}

TEST(OwnLimits, OfTime) {
  const auto begun = std::chrono::steady_clock::now();
  const auto out = limited("function decodeUplink() { for (;;) {} }", {.call = std::chrono::milliseconds(20)});
  EXPECT_EQ(out.code, "com-5004");
  // Without it: a second of CPU time on the slow host.
  EXPECT_LT(std::chrono::steady_clock::now() - begun, std::chrono::milliseconds(900));
  EXPECT_EQ(limited("function decodeUplink() { for (;;) {} }", {.call = std::chrono::milliseconds(150)}).code,
            "com-5004");
}

TEST(OwnLimits, OfMemory) {
  // Long enough for the engine to look at it on a busy machine, too.
  Metrics metrics;
  EngineOptions options;
  options.fast_hosts = 1;
  options.call_limit = std::chrono::seconds(5);
  Engine engine(options, metrics);
  ASSERT_TRUE(engine.start());
  const auto run = [&](std::size_t memory) {
    auto code = std::make_shared<DriverCode>(*driver_of(
        "function decodeUplink() { const all = []; const t = Date.now(); while (Date.now() - t < 800) "
        "{ if (all.length < 40) all.push(new Uint8Array(1 << 20).fill(1)); } return { data: all.length }; }"));
    code->limits.memory = memory;
    return engine.run(code, Operation::decode_uplink, uplink("01"));
  };
  const auto all = run(0);
  EXPECT_EQ(all.data, "40") << all.message;
  EXPECT_EQ(run(16u << 20).message, "driver internal error: Error: Script ran out of memory.");
}

TEST(Calls, TellHowLongTheyTook) {
  const auto out =
      decode("function decodeUplink() { const t = Date.now(); while (Date.now() - t < 12) {} return { data: 1 }; }");
  EXPECT_GE(out.time_us, 10000u);
  EXPECT_LT(out.time_us, 5000000u);
}

}  // namespace
}  // namespace sluice::driver
