// SPDX-License-Identifier: Apache-2.0
#include "driver/example.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/json.h"
#include "driver/lenient.h"

namespace sluice::driver {
namespace {

using Kind = Example::Kind;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::SizeIs;

std::string lenient(std::string_view text) {
  auto read = parse_lenient(text);
  return read ? json::write(*read) : read.error().text;
}

TEST(Lenient, ReadsWhatPeopleWrite) {
  EXPECT_EQ(lenient("{}"), "{}");
  EXPECT_EQ(lenient("\xef\xbb\xbf[1, -2, 3.5, 1e3, .5, 1., +4, -0]"), "[1,-2,3.5,1000.0,0.5,1.0,4,0]");
  EXPECT_EQ(lenient("[0x7f, // a port\n 0xFF /* all */, 0b101, 0o17,]"), "[127,255,5,15]");
  EXPECT_EQ(lenient("{a: 1, 'b': \"x\", $c_1: 'it\\'s', \"d\": `t`, }"), R"({"a":1,"b":"x","$c_1":"it's","d":"t"})");
  EXPECT_EQ(lenient("[NaN, Infinity, -Infinity, undefined, null, true, false]"),
            "[null,null,null,null,null,true,false]");
  EXPECT_EQ(lenient(R"(["\x41\u00e9\ud83d\ude00\n\q\
z", "\ud800"])"),
            "[\"A\xc3\xa9\xf0\x9f\x98\x80\\nqz\",\"\xef\xbf\xbd\"]");
  EXPECT_EQ(lenient("\xe2\x80\x80[1\xc2\xa0,2];"), "[1,2]");
  EXPECT_EQ(lenient("{\"a\":1,\"a\":2}"), R"({"a":2})");
  EXPECT_EQ(lenient("123456789012345678901234567890"), "1.2345678901234568e+29");
}

TEST(Lenient, SaysWhatAndWhere) {
  EXPECT_EQ(lenient("[1,\n 2\n 3]"), "line 3: expected ',' or ']'");
  EXPECT_EQ(lenient("{a 1}"), "line 1: expected ':' behind the key a");
  EXPECT_EQ(lenient("[foo()]"), "line 1: unexpected 'foo'");
  EXPECT_EQ(lenient("\"abc"), "line 1: the text ends within a string");
  EXPECT_EQ(lenient("`${1}`"), "line 1: a template with something to evaluate");
  EXPECT_EQ(lenient("[1] [2]"), "line 1: something behind the end of the value");
  EXPECT_EQ(lenient("0xZZ"), "line 1: '0xZZ' is no number");
  EXPECT_EQ(lenient("1.2.3"), "line 1: '1.2.3' is no number");
  EXPECT_EQ(lenient("\"\xff\""), "not UTF-8");
  EXPECT_EQ(lenient(std::string(100000, '[')), "line 1: more than 64 levels");
  EXPECT_EQ(lenient(""), "line 1: the text ends where a value was expected");
}

std::string input_of(const Example& example) {
  return json::write(example.input);
}
std::string output_of(const Example& example) {
  return example.output ? json::write(*example.output) : "-";
}

TEST(ReadExamples, CurrentFormWithItsOddities) {
  auto read = read_examples(R"([
    {"type": "uplink", "description": "one", "input": {"bytes": "0A 0b", "fPort": 2, "recvTime": "2024-01-01T10:00:00.123456789Z",
      "thing": {"setup": {"k": "v"}}, "context": [1]}, "output": {"data": {"t": 1}, "errors": [], "warnings": "w"},
      "points": {"temperature": {"unitId": "Cel", "record": 1}}, "useContext": true, "BACnet": {"x": 1}, "thing": {"model": {}}},
    {"type": "downlink-decode", "description": "two", "input": {"bytes": [1, 255], "fport": 3}, "output": {"t": 2}},
    {"type": "downlink-encode", "description": "three", "input": {"data": {"t": 2}, "fPort": 9}, "output": {"bytes": [1, 255], "fPort": 4}},
    {"type": "uplink", "input": {"bytes": "00", "time": "2024-01-01T10:00:00"}, "output": {"data": null}, "points": null}])",
                            "examples.json", ExampleForm::current);
  EXPECT_THAT(read.faults, IsEmpty());
  ASSERT_THAT(read.examples, SizeIs(4));
  const auto& one = read.examples[0];
  EXPECT_EQ(one.kind, Kind::uplink);
  EXPECT_EQ(one.description, "one");
  EXPECT_EQ(one.file, "examples.json");
  EXPECT_EQ(
      input_of(one),
      R"({"bytes":"0a0b","fPort":2,"time":"2024-01-01T10:00:00.123456789Z","thing":{"setup":{"k":"v"}},"context":[1]})");
  EXPECT_EQ(output_of(one), R"({"data":{"t":1},"errors":[],"warnings":["w"]})");
  EXPECT_EQ(json::write(*one.points), R"({"temperature":{"unitId":"Cel","record":1}})");
  EXPECT_TRUE(one.use_context);
  EXPECT_EQ(read.examples[1].kind, Kind::downlink_decode);
  EXPECT_EQ(input_of(read.examples[1]), R"({"bytes":"01ff","fPort":3})");
  EXPECT_EQ(output_of(read.examples[1]), R"({"data":{"t":2}})");  // none of the three keys: the data itself
  EXPECT_FALSE(read.examples[1].points);
  EXPECT_EQ(read.examples[2].kind, Kind::downlink_encode);
  EXPECT_EQ(input_of(read.examples[2]), R"({"data":{"t":2},"fPort":9})");
  EXPECT_EQ(output_of(read.examples[2]), R"({"bytes":"01ff","fPort":4})");
  EXPECT_EQ(read.examples[3].description, "example 4");
  EXPECT_EQ(output_of(read.examples[3]), R"({"data":null})");
  EXPECT_TRUE(read.examples[3].points->empty());
}

TEST(ReadExamples, OutputIsTheDataUnderOtherSignatures) {
  const char* text = R"([{"type":"uplink","input":{"bytes":"00"},"output":{"errors":["battery"],"t":1}}])";
  auto bare = read_examples(text, "examples.json", ExampleForm::current, Signature::actility);
  EXPECT_EQ(output_of(bare.examples.at(0)), R"({"data":{"errors":["battery"],"t":1}})");
  auto enveloped = read_examples(text, "examples.json", ExampleForm::current, Signature::lora_alliance);
  EXPECT_EQ(output_of(enveloped.examples.at(0)), R"({"errors":["battery"]})");
}

TEST(ReadExamples, FaultyEntriesArePassedOverWithTheirPlace) {
  auto read = read_examples(R"([7, {"type":"uplink"}, {"type":"sideways","input":{"bytes":"00"},"output":{}},
    {"type":"uplink","input":{"bytes":"0"},"output":{}}, {"type":"uplink","input":{"bytes":[256]},"output":{}},
    {"type":"downlink-encode","input":{"data":{}},"output":{"bytes":"zz"}}, {"type":"uplink","input":{"bytes":""},"output":{"a":1}}])",
                            "examples.json", ExampleForm::current);
  EXPECT_THAT(read.examples, SizeIs(1));
  EXPECT_THAT(read.faults, ElementsAre("examples.json [1]: no object", "examples.json [2]: no input",
                                       "examples.json [3]: unknown type sideways",
                                       "examples.json [4]: input: bytes is neither an array of 0 to 255 nor hex text",
                                       "examples.json [5]: input: bytes is neither an array of 0 to 255 nor hex text",
                                       "examples.json [6]: output.bytes is neither an array of 0 to 255 nor hex text"));
  EXPECT_THAT(read_examples("[1,", "x.json", ExampleForm::current).faults, ElementsAre(HasSubstr("x.json: line 1")));
}

TEST(ReadExamples, Legacy) {
  auto read = read_examples(R"([
    {"type":"uplink","description":"up","bytes":"0A","fPort":1,"time":"2024-01-01T00:00:00Z","data":{"t":1},
     "thing":{"setup":{}},"model":{"producerId":"m"},"context":[{"n":1}],"useContext":true,"warnings":["low"]},
    {"type":"downlink","description":"down","bytes":"0B","fPort":2,"data":{"r":1}},
    {"type":"downlink","description":"bad","fPort":2,"data":{"r":"x"},"errors":["no"]}])",
                            "examples/a.examples.json", ExampleForm::legacy);
  EXPECT_THAT(read.faults, IsEmpty());
  ASSERT_THAT(read.examples, SizeIs(4));
  EXPECT_EQ(
      input_of(read.examples[0]),
      R"({"bytes":"0a","fPort":1,"time":"2024-01-01T00:00:00Z","thing":{"setup":{},"model":{"producerId":"m"}},"context":[{"n":1}]})");
  EXPECT_EQ(output_of(read.examples[0]), R"({"data":{"t":1},"warnings":["low"]})");
  EXPECT_FALSE(read.examples[0].points);
  EXPECT_TRUE(read.examples[0].use_context);
  EXPECT_EQ(read.examples[1].kind, Kind::downlink_encode);
  EXPECT_TRUE(read.examples[1].if_offered);
  EXPECT_EQ(input_of(read.examples[1]), R"({"data":{"r":1},"fPort":2})");
  EXPECT_EQ(output_of(read.examples[1]), R"({"bytes":"0b","fPort":2})");
  EXPECT_EQ(read.examples[2].kind, Kind::downlink_decode);
  EXPECT_TRUE(read.examples[2].if_offered);
  EXPECT_EQ(input_of(read.examples[2]), R"({"bytes":"0b","fPort":2})");
  EXPECT_EQ(output_of(read.examples[2]), R"({"data":{"r":1}})");
  EXPECT_EQ(output_of(read.examples[3]), R"({"fPort":2,"errors":["no"]})");
}

TEST(ReadExamples, ErrorsAndSamples) {
  auto errors = read_examples(R"([{"type":"uplink","bytes":"00","fPort":1,"error":"Invalid"},
    {"type":"uplink","data":{"x":1},"time":"2024-01-01T00:00:00Z","error":"points"},
    {"type":"downlink","bytes":"01","error":"a"},{"type":"downlink","data":{"y":1},"error":"b"},{"type":"uplink","bytes":"00"}])",
                              "errors/a.errors.json", ExampleForm::errors);
  ASSERT_THAT(errors.examples, SizeIs(4));
  EXPECT_EQ(errors.examples[0].kind, Kind::uplink);
  EXPECT_EQ(errors.examples[0].error, "Invalid");
  EXPECT_FALSE(errors.examples[0].output);
  EXPECT_EQ(errors.examples[1].kind, Kind::points);
  EXPECT_EQ(input_of(errors.examples[1]), R"({"message":{"x":1},"time":"2024-01-01T00:00:00Z"})");
  EXPECT_EQ(errors.examples[2].kind, Kind::downlink_decode);
  EXPECT_EQ(errors.examples[3].kind, Kind::downlink_encode);
  EXPECT_THAT(errors.faults, ElementsAre("errors/a.errors.json [5]: no error"));

  auto samples = read_examples(R"([{"type":"uplink","input":{"bytes":"00"},"output":{"t":1},"points":null},
    {"type":"uplink","input":{"bytes":"00"},"output":{"t":1},"points":{}}])",
                               "non-regression.json", ExampleForm::samples);
  ASSERT_THAT(samples.examples, SizeIs(2));
  EXPECT_FALSE(samples.examples[0].points);
  EXPECT_TRUE(samples.examples[1].points);
}

TEST(ReadExamples, ChirpStacksTests) {
  auto decode = read_examples(R"([{"name": "one", "input": {"fPort": 0x66, // 102
     "bytes": [0x08, 0xff]}, "expected": {"data": {"t": 3}}},])",
                              "test_decode_x.json", ExampleForm::chirpstack_decode);
  ASSERT_THAT(decode.examples, SizeIs(1));
  EXPECT_EQ(input_of(decode.examples[0]), R"({"bytes":"08ff","fPort":102})");
  EXPECT_EQ(output_of(decode.examples[0]), R"({"data":{"t":3}})");
  EXPECT_FALSE(decode.examples[0].points);
  auto encode = read_examples(R"([{description: "two", input: {data: {reboot: "yes"}}, expected: {bytes: [255, 16]}}])",
                              "test_encode_x.json", ExampleForm::chirpstack_encode);
  ASSERT_THAT(encode.examples, SizeIs(1));
  EXPECT_EQ(encode.examples[0].kind, Kind::downlink_encode);
  EXPECT_EQ(output_of(encode.examples[0]), R"({"bytes":"ff10"})");
}

TEST(ReadExamples, TheThingsNetworksLists) {
  auto list = json::parse(
      R"([{"description":"a","input":{"fPort":1,"bytes":[0]},"output":{"data":{"led":"off"}}},
          {"description":"b","input":{"fPort":1,"bytes":[9]},"output":{"errors":["unknown"]}}, {"input":1}])");
  auto up = read_ttn_examples(*list, "x-codec.yaml", Kind::uplink);
  ASSERT_THAT(up.examples, SizeIs(2));
  EXPECT_EQ(output_of(up.examples[1]), R"({"errors":["unknown"]})");
  EXPECT_THAT(up.faults, ElementsAre("x-codec.yaml [3]: no input"));
  auto down = read_ttn_examples(
      *json::parse(
          R"([{"description":"c","input":{"data":{"led":"on"},"command":4},"output":{"bytes":[1],"port":"2"}}])"),
      "x-codec.yaml", Kind::downlink_encode);
  ASSERT_THAT(down.examples, SizeIs(1));
  EXPECT_EQ(input_of(down.examples[0]), R"({"data":{"led":"on"},"command":4})");
  EXPECT_EQ(output_of(down.examples[0]), R"({"bytes":"01"})");
}

TEST(ReadExamples, ReadmeBlocks) {
  auto read = read_examples(R"(# A sensor
```
// 0102
{"not": "json block"}
```
```json
{ "a": "structure shown" }
```
```json
// 01755C 03673401)"
                            "\xe2\x80\x80"
                            R"(046868
{
    "battery": 92, // percent
    "url": "https://x",
}

// Reboot (FF10FF)
{ "reboot": "yes" }

// 01755C 03673401 046868
{}
// a remark without bytes
```
```JSON
// Sample(Hex): 0367
[1]
```
```json
// 00
{ broken
```)",
                            "README.md", ExampleForm::readme);
  ASSERT_THAT(read.examples, SizeIs(4));
  EXPECT_EQ(input_of(read.examples[0]), R"({"bytes":"01755c03673401046868","fPort":85})");
  EXPECT_EQ(output_of(read.examples[0]), R"({"data":{"battery":92,"url":"https://x"}})");
  EXPECT_EQ(read.examples[1].description, "Reboot");
  EXPECT_EQ(read.examples[2].description, "01755c03673401046868 (2)");
  EXPECT_EQ(output_of(read.examples[3]), R"({"data":[1]})");
  EXPECT_THAT(read.faults, SizeIs(1));
}

// Everything that can be read comes back from the API's form as it was.
TEST(ExampleApi, LosesNothing) {
  std::vector<Example> all;
  auto take = [&](ExamplesRead read) {
    EXPECT_THAT(read.faults, IsEmpty());
    for (auto& example : read.examples) {
      example.file.clear();
      example.for_tests = false;
      all.push_back(std::move(example));
    }
  };
  take(read_examples(R"([
    {"type":"uplink","description":"a","input":{"bytes":"0a","fPort":2,"time":"2024-01-01T10:00:00Z","thing":{"k":1},"context":[1],
      "DevEUI":"70B3D5E75E000001","ADRbit":1},"output":{"data":{"t":1},"errors":["e"],"warnings":[]},"points":{},"useContext":true},
    {"type":"uplink","description":"b","input":{"bytes":""},"output":{"errors":["e"]}},
    {"type":"uplink","description":"c","input":{"bytes":""},"output":{"data":null}},
    {"type":"downlink-decode","description":"d","input":{"bytes":"00","time":"2024-01-01T10:00:00Z"},"output":{"data":{"x":1}}},
    {"type":"downlink-encode","description":"e","input":{"data":{"x":1}},"output":{"bytes":"00"}},
    {"type":"downlink-encode","description":"f","input":{"data":{"x":1},"fPort":3},"output":{"bytes":"00"}},
    {"type":"downlink-encode","description":"g","input":{"data":{"x":1}},"output":{"bytes":"00","fPort":4}},
    {"type":"downlink-encode","description":"h","input":{"data":{"x":1},"fPort":3},"output":{"bytes":"00","fPort":4,"confirmed":true}},
    {"type":"downlink-encode","description":"i","input":{"data":[1],"fPort":3,"time":"t","command":5},"output":{"errors":["no"]}}])",
                     "x", ExampleForm::current));
  take(read_examples(
      R"([{"type":"downlink","description":"j","bytes":"0b","fPort":2,"data":{"r":1},"time":"t","thing":{"a":1}},
    {"type":"downlink","description":"k","data":{"r":1},"errors":["no"]}])",
      "x", ExampleForm::legacy));
  take(read_examples(
      R"([{"type":"uplink","description":"l","bytes":"00","error":"E"},{"type":"uplink","description":"m","data":1,"error":"E"},
    {"type":"downlink","description":"n","data":{},"error":"E"}])",
      "x", ExampleForm::errors));
  const auto flat = examples_to_api(all);
  EXPECT_EQ(flat.size() + 1, all.size());  // "j" is one entry for both ways
  auto back = examples_from_api(flat);
  EXPECT_THAT(back.faults, IsEmpty());
  ASSERT_EQ(back.examples.size(), all.size());
  for (std::size_t i = 0; i < all.size(); ++i) {
    back.examples[i].file.clear();
    EXPECT_TRUE(back.examples[i] == all[i]) << all[i].description << " " << json::write(to_api(all[i])) << "\n"
                                            << json::write(to_api(back.examples[i]));
    auto single = from_api(to_api(all[i]), true);
    ASSERT_TRUE(single);
    EXPECT_TRUE(*single == all[i]) << all[i].description;
  }
}

TEST(ExampleApi, IsWhatTheContractSays) {
  auto read = read_examples(
      R"([{"type":"downlink","description":"j","bytes":"0B","fPort":2,"data":{"r":1},"time":"2024-01-01T00:00:00Z"}])",
      "x", ExampleForm::legacy);
  const auto flat = examples_to_api(read.examples);
  EXPECT_EQ(
      json::write(flat),
      R"([{"description":"j","type":"downlink","bytes":"0b","fPort":2,"data":{"r":1},"time":"2024-01-01T00:00:00Z"}])");
  EXPECT_EQ(from_api(flat[0].get_object(), true)->kind, Kind::downlink_encode);
  EXPECT_EQ(from_api(flat[0].get_object(), false)->kind, Kind::downlink_decode);
  EXPECT_EQ(from_api({{"type", "uplink"}}, true).error().text, "no bytes");
  EXPECT_THAT(from_api({{"type", "uplink"}, {"operation", "encode"}}, true).error().text, HasSubstr("operation"));
}

}  // namespace
}  // namespace sluice::driver
