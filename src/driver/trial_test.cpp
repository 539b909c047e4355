// SPDX-License-Identifier: Apache-2.0
#include "driver/trial.h"

#include <gtest/gtest.h>

#include "base/json.h"
#include "driver/test_engine.h"

namespace sluice::driver {
namespace {

using Kind = Example::Kind;
using Verdict = Tried::Verdict;

boost::json::object object_of(std::string_view text) {
  auto parsed = json::parse(text);
  EXPECT_TRUE(parsed && parsed->is_object()) << text;
  return parsed && parsed->is_object() ? parsed->get_object() : boost::json::object();
}

Example example(Kind kind, std::string_view input, std::string_view output = "") {
  Example made;
  made.kind = kind;
  made.input = object_of(input);
  if (!output.empty()) made.output = object_of(output);
  return made;
}

std::vector<Tried> run(const std::string& source, const std::vector<Example>& examples,
                       Signature signature = Signature::lora_alliance) {
  DriverCode code = *driver_of(source, signature);
  const auto offers = test_engine().inspect(source, signature);
  EXPECT_TRUE(offers) << (offers ? "" : offers.error().text);
  return offers ? try_examples(calls_of(test_engine()), code, *offers, examples) : std::vector<Tried>();
}

Tried run_one(const std::string& source, Example one, Signature signature = Signature::lora_alliance) {
  auto all = run(source, {std::move(one)}, signature);
  return all.empty() ? Tried{} : all.front();
}

std::string paths(const Tried& tried) {
  std::string out;
  for (const auto& difference : tried.differences)
    out += (out.empty() ? "" : " ") + difference.path;
  return out;
}

constexpr const char* kDriver = R"js(
  var calls = 0;
  function decodeUplink(input) {
    console.log('port', input.fPort);
    calls++;
    if (input.fPort === 9) throw new Error('no such port');
    if (input.fPort === 8) return { errors: ['wrong port'], warnings: ['old'] };
    return { data: { first: input.bytes[0], calls: calls, at: input.recvTime, same: input.time, thing: input.thing, eui: input.DevEUI } };
  }
  function encodeDownlink(input) { return { bytes: [input.data.v], fPort: 7 }; }
)js";

TEST(Trial, PassesAndFails) {
  const auto good = run_one(
      kDriver,
      example(Kind::uplink, R"({"bytes":"2A","fPort":1,"recvTime":"2024-01-01T10:00:00.000000001Z",
                                         "thing":{"tags":["range=10"]},"DevEUI":"00ff"})",
              R"({"data":{"first":42,"calls":1,"at":"2024-01-01T10:00:00.000Z","same":"2024-01-01T10:00:00.000Z",
                                   "thing":{"tags":["range=10"],"setup":{"range":"10"}},"eui":"00ff"}})"));
  EXPECT_EQ(good.verdict, Verdict::passed) << paths(good);
  EXPECT_EQ(good.log, std::vector<std::string>{"port 1"});

  const auto bad = run_one(kDriver, example(Kind::uplink, R"({"bytes":[42],"time":"2024-01-01T10:00:00Z"})",
                                            R"({"data":{"first":41,"calls":1,"at":"2024-01-01T10:00:00.000Z"}})"));
  EXPECT_EQ(bad.verdict, Verdict::failed);
  EXPECT_EQ(paths(bad), "data.first data.same data.thing");
}

TEST(Trial, GivesEachExampleASandboxOfItsOwn) {
  const auto one = example(Kind::uplink, R"({"bytes":"01"})", R"({"data":{"calls":1}})");
  for (const auto& tried :
       run("var n = 0; function decodeUplink() { n++; return { data: { calls: n } }; }", {one, one, one}))
    EXPECT_EQ(tried.verdict, Verdict::passed) << paths(tried);
}

TEST(Trial, TellsWhatWasThrown) {
  const auto thrown = run_one(kDriver, example(Kind::uplink, R"({"bytes":"01","fPort":9})", R"({"data":{}})"));
  EXPECT_EQ(thrown.verdict, Verdict::error);
  EXPECT_EQ(thrown.problem, "Error: no such port");
  const auto returned = run_one(kDriver, example(Kind::uplink, R"({"bytes":"01","fPort":8})", R"({"data":{}})"));
  EXPECT_EQ(returned.verdict, Verdict::error);
  EXPECT_EQ(returned.problem, "the driver returned errors: wrong port");
  const auto expected = run_one(kDriver, example(Kind::uplink, R"({"bytes":"01","fPort":8})",
                                                 R"({"data":{},"errors":["wrong port"],"warnings":["old"]})"));
  EXPECT_EQ(expected.verdict, Verdict::passed) << paths(expected);
}

TEST(Trial, JudgesErrorExamples) {
  auto wanted = example(Kind::uplink, R"({"bytes":"01","fPort":9})");
  wanted.error = "no such port";
  EXPECT_EQ(run_one(kDriver, wanted).verdict, Verdict::passed);
  wanted.error = "internal";  // of the engine's own words
  EXPECT_EQ(run_one(kDriver, wanted).verdict, Verdict::failed);
  wanted.error = "no such port";
  wanted.input["fPort"] = 1;
  const auto silent = run_one(kDriver, wanted);
  EXPECT_EQ(silent.verdict, Verdict::failed);
  ASSERT_EQ(silent.differences.size(), 1U);
  EXPECT_EQ(silent.differences[0].note, "the driver was expected to throw");
}

TEST(Trial, EncodesAndLeavesAnUnnamedPortOpen) {
  const auto encode = [](const char* source, const char* input, const char* output, Signature signature) {
    return run_one(source, example(Kind::downlink_encode, input, output), signature);
  };
  EXPECT_EQ(encode(kDriver, R"({"data":{"v":3}})", R"({"bytes":"03","fPort":7})", Signature::lora_alliance).verdict,
            Verdict::passed);
  EXPECT_EQ(paths(encode(kDriver, R"({"data":{"v":3}})", R"({"bytes":[4]})", Signature::lora_alliance)),
            "bytes.0 fPort");
  const char* ttn = "function Decoder() { return {}; } function Encoder(o, port) { return [o.v]; }";
  EXPECT_EQ(encode(ttn, R"({"data":{"v":3}})", R"({"bytes":"03"})", Signature::ttn).verdict, Verdict::passed);
  EXPECT_EQ(encode(ttn, R"({"data":{"v":3},"fPort":5})", R"({"bytes":"03"})", Signature::ttn).verdict, Verdict::passed);
  EXPECT_EQ(encode(ttn, R"({"data":{"v":3},"fPort":5})", R"({"bytes":"03","fPort":5})", Signature::ttn).verdict,
            Verdict::passed);
}

TEST(Trial, SkipsWhatTheDriverNeedNotOffer) {
  auto decode = example(Kind::downlink_decode, R"({"bytes":"01"})", R"({"data":{}})");
  EXPECT_EQ(run_one(kDriver, decode).verdict, Verdict::error);
  decode.if_offered = true;
  const auto skipped = run_one(kDriver, decode);
  EXPECT_EQ(skipped.verdict, Verdict::skipped);
  EXPECT_EQ(skipped.problem, "the driver has no downlink decoder");
  EXPECT_TRUE(skipped.good());
  const char* silent = "function decodeUplink() { return { data: {} }; }";
  EXPECT_EQ(run_one(silent, example(Kind::downlink_encode, R"({"data":{}})", R"({"bytes":"01"})")).problem,
            "the driver has no downlink encoder");
}

TEST(Trial, ComparesPoints) {
  const char* source = R"js(
    function decodeUplink(input) { return { data: { t: input.bytes[0] } }; }
    function extractPoints(input) { return { temperature: { unitId: 'Cel', record: input.message.t } }; })js";
  auto one = example(Kind::uplink, R"({"bytes":"14"})", R"({"data":{"t":20}})");
  EXPECT_EQ(run_one(source, one).verdict, Verdict::passed) << "not looked at";
  one.points = object_of(R"({"temperature":{"unitId":"Cel","record":20}})");
  EXPECT_EQ(run_one(source, one).verdict, Verdict::passed);
  one.points = object_of("{}");
  EXPECT_EQ(paths(run_one(source, one)), "points.temperature");
}

TEST(Trial, KeepsTheEnginesOwnWarningsOutOfTheResult) {
  const auto tried = run_one("function decodeUplink() { return { data: { a: NaN }, warnings: ['mine'] }; }",
                             example(Kind::uplink, R"({"bytes":"01"})", R"({"data":{"a":null},"warnings":["mine"]})"));
  EXPECT_EQ(tried.verdict, Verdict::passed) << paths(tried);
  EXPECT_EQ(tried.warnings.size(), 2U);
}

TEST(Trial, SaysWhatAnExampleLacks) {
  EXPECT_EQ(run_one(kDriver, example(Kind::uplink, R"({"fPort":1})", "{}")).problem,
            "the example is wrong: its input has no bytes");
  EXPECT_EQ(run_one(kDriver, example(Kind::uplink, R"({"bytes":"0"})", "{}")).problem,
            "the example is wrong: its bytes are neither hex digits nor a list of numbers from 0 to 255");
  EXPECT_EQ(run_one(kDriver, example(Kind::uplink, R"({"bytes":"00","time":"soon"})", "{}")).problem,
            "the example is wrong: the time \"soon\" cannot be read");
  EXPECT_EQ(run_one(kDriver, example(Kind::uplink, R"({"bytes":"00","fPort":300})", "{}")).problem,
            "the example is wrong: fPort must be a whole number from 0 to 255, not 300");
  EXPECT_EQ(run_one(kDriver, example(Kind::downlink_encode, R"({"bytes":"00"})", "{}")).problem,
            "the example is wrong: its input has no data to encode");
}

TEST(Trial, MakesCodeOfAPackage) {
  Package package;
  package.producer = "acme";
  package.name = "meter";
  package.version = "2.1.0";
  package.code = "function decodeUplink() { return {}; }";
  package.use_context = true;
  package.points_schema = object_of(R"({"a":{"type":"double"}})");
  const auto code = code_of(package, Signature::actility);
  EXPECT_EQ(code.signature, Signature::actility);
  EXPECT_TRUE(code.use_context);
  EXPECT_EQ(code.points_schema, R"({"a":{"type":"double"}})");
  package.signature = Signature::ttn;
  EXPECT_EQ(code_of(package, Signature::actility).signature, Signature::ttn);
  auto other = package;
  other.code += " ";
  EXPECT_NE(code_of(other).revision, code_of(package).revision);
}

}  // namespace
}  // namespace sluice::driver
