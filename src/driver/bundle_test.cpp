// SPDX-License-Identifier: Apache-2.0
#include "driver/bundle.h"

#include <algorithm>
#include <gtest/gtest.h>

#include "driver/test_engine.h"

namespace sluice::driver {
namespace {

const std::string kDecoder = R"("use strict";
const RAW = 1;
let exports = {}, module = 2;
function helper(b) { return b[0] + RAW; }
function decodeUplink(input) { return { data: { t: helper(input.bytes) } }; }
function Decoder(bytes, port) { return { ttn: helper(bytes) }; }
function fails() { throw new Error("here"); } // line 7)";

const std::string kEncoder = R"(const RAW = 40;
function helper(d) { count = d.t + RAW; return [count]; }
function encodeDownlink(input) { return { bytes: helper(input.data), fPort: 2 }; }
var driver = { Encoder: function (o, p) { return helper(o); } };)";

TEST(Bundle, PartsKeepTheirNamesApart) {
  const auto code = bundle({{"x-decoder.js", kDecoder}, {"x-encoder.js", kEncoder}});
  EXPECT_EQ(decode(code, "05").data, R"({"t":6})");
  EXPECT_EQ(encode(code, R"({"t":1})").payload_hex, "29");
  EXPECT_EQ(decode(code, "05", {}, Signature::ttn).data, R"({"ttn":6})");
  EXPECT_EQ(encode(code, R"({"t":1})", 1, Signature::ttn).payload_hex, "29");
  const auto found = test_engine().inspect(code, {});
  ASSERT_TRUE(found) << found.error().text;
  EXPECT_EQ(found->signature, Signature::lora_alliance);
  EXPECT_TRUE(found->encode_downlink);
  EXPECT_FALSE(found->decode_downlink);
}

TEST(Bundle, TakesWhatPartsExport) {
  const auto code = bundle({{"a.js", "module.exports = { decodeUplink: function (i) { return { data: 1 }; } };"},
                            {"b.js", "exports.encodeDownlink = function (i) { return { bytes: [1], fPort: 1 }; }"},
                            {"c.js", "exports.decodeUplink = function (i) { return { data: 2 }; }"}});
  EXPECT_EQ(decode(code).data, "1");
  EXPECT_EQ(encode(code, "{}").payload_hex, "01");
}

TEST(Bundle, TakesFromAPartWhatItIsThereFor) {
  const auto code = bundle({{"a.js",
                             "function decodeUplink(i) { return { data: 1 }; }"
                             "function encodeDownlink(i) { return { bytes: [1], fPort: 1 }; }",
                             {"decodeUplink"}},
                            {"b.js",
                             "function decodeUplink(i) { return { data: 2 }; }"
                             "function encodeDownlink(i) { return { bytes: [2], fPort: 1 }; }",
                             {"encodeDownlink"}}});
  EXPECT_EQ(decode(code).data, "1");
  EXPECT_EQ(encode(code, "{}").payload_hex, "02");
}

TEST(Bundle, TellsTheAuthorsPlace) {
  const auto code = bundle({{"x-decoder.js", kDecoder}, {"y z.js", kEncoder}});
  auto line_of = [&](const std::string& text) {
    const auto at = code.find(text);
    return 1 + static_cast<int>(std::count(code.begin(), code.begin() + static_cast<std::ptrdiff_t>(at), '\n'));
  };
  EXPECT_EQ(place_of(code, line_of("function fails")), (Place{"x-decoder.js", 7}));
  EXPECT_EQ(place_of(code, line_of("const RAW = 40")), (Place{"y z.js", 1}));
  EXPECT_EQ(place_of(code, 1), (Place{"", 0}));
  EXPECT_EQ(place_of(code, line_of("})(this")), (Place{"", 0}));
  EXPECT_EQ(place_of("a\n//# file b\nc", 3), (Place{"", 3}));
  EXPECT_EQ(place_of("", 1), (Place{"", 1}));
}

}  // namespace
}  // namespace sluice::driver
