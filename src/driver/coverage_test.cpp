// SPDX-License-Identifier: Apache-2.0
#include "driver/coverage.h"

#include <gtest/gtest.h>

#include "driver/test_engine.h"

namespace sluice::driver {
namespace {

std::string listed(const Coverage::Lines& lines) {
  std::string out = std::to_string(lines.reached) + "/" + std::to_string(lines.all);
  for (const auto& [first, last] : lines.missed)
    out += " " + std::to_string(first) + (last == first ? "" : "-" + std::to_string(last));
  return out;
}

// Runs the source on each payload, original and rewritten, which must give the same, and says what was reached.
std::string covered(const std::string& source, const std::vector<std::string>& payloads,
                    Signature signature = Signature::lora_alliance) {
  auto coverage = Coverage::of(test_engine(), source);
  if (!coverage) return coverage.error().text;
  for (const auto& payload : payloads) {
    const auto original = driver_of(source, signature);
    const auto rewritten = std::make_shared<DriverCode>(coverage->instrumented(*original));
    const auto expected = test_engine().run(original, Operation::decode_uplink, uplink(payload));
    const auto got = test_engine().run(rewritten, Operation::decode_uplink, uplink(payload));
    EXPECT_EQ(got.data, expected.data) << source;
    EXPECT_EQ(got.message, expected.message) << source;
    coverage->add(got);
  }
  return listed(coverage->lines());
}

TEST(Coverage, NamesTheLinesThatNeverRan) {
  const std::string source =
      "function decodeUplink(input) {\n"       // 1
      "  if (input.bytes[0] === 1) {\n"        // 2
      "    return { data: { one: true } };\n"  // 3
      "  } else if (input.bytes[0] === 2)\n"   // 4
      "    return { data: { two: true } };\n"  // 5
      "  var rest = input.bytes.slice(1);\n"   // 6
      "\n"
      "  // a comment\n"
      "  return { data: { rest: rest } };\n"  // 9
      "}\n";
  EXPECT_EQ(covered(source, {}), "0/6 2-9");
  EXPECT_EQ(covered(source, {"01"}), "2/6 4-9");
  EXPECT_EQ(covered(source, {"01", "02"}), "4/6 6-9");
  EXPECT_EQ(covered(source, {"03"}), "4/6 3 5");
  EXPECT_EQ(covered(source, {"01", "02", "03"}), "6/6");
}

TEST(Coverage, FindsTheFunctionsWhereverTheyAre) {
  const std::string function = "function (input) {\n return { data: { a: input.bytes[0] } };\n}";
  for (const auto& [source, signature] : std::vector<std::pair<std::string, Signature>>{
           {"const driver = { decodeUplink: " + function + " };", Signature::lora_alliance},
           {"var driver = (function () { return { decodeUplink: " + function + " }; })();", Signature::lora_alliance},
           {"exports.decodeUplink = " + function + ";", Signature::lora_alliance},
           {"module.exports = { decodeUplink: " + function + " };", Signature::lora_alliance},
           {"exports.driver = { decodeUplink: " + function + " };", Signature::lora_alliance},
           {"Object.defineProperty(exports, 'decodeUplink', { enumerable: true, get: () => " + function + " });",
            Signature::lora_alliance},
           {"class driver { static decodeUplink(input) {\n return { data: { a: input.bytes[0] } };\n} }",
            Signature::lora_alliance},
           {"const decodeUplink = " + function + ";", Signature::lora_alliance},
           {"'use strict';\nlet decodeUplink = " + function + ";", Signature::lora_alliance},
           {"function Decoder(bytes) {\n return { a: bytes[0] };\n}", Signature::ttn},
           {"function Decode(port, bytes) {\n return { a: bytes[0] };\n}\nexports.x = Decode;",
            Signature::chirpstack}}) {
    const auto before = covered(source, {}, signature), after = covered(source, {"07"}, signature);
    EXPECT_NE(before, after) << source;
    EXPECT_EQ(after.find(' '), std::string::npos) << source << ": " << after;
  }
}

TEST(Coverage, CountsWhatThrewToo) {
  EXPECT_EQ(
      covered("function decodeUplink(input) {\n  if (input.bytes.length)\n    throw new Error('no');\n  return {};\n}",
              {"01"}),
      "2/3 4");
}

TEST(Coverage, ChangesNoMeaning) {
  for (const char* source : {
           // Lone statements, labels, switches, ASI, do-while, empty ones.
           "function decodeUplink(input) { var a = 1, s = ''\n outer: for (var i = 0; i < 3; i++) for (;;) { if (i) "
           "continue outer\n"
           " s += i; break }\n do s += 'd'; while (s.length < 5) s += 'e'\n switch (a) { case 1: s += 'x'\n case 2: s "
           "+= 'y'; break; default: "
           "s += 'z' }\n for (var k in { p: 1 }) s += k; while (a-- > 0); if (a) ; else s += 'n'; if (s) if (!s) s = "
           "'b'; else s += 'o'\n"
           " return { data: { s: s } } }",
           // Sloppy mode: this, undeclared names, arguments, with, octal, functions in blocks.
           "function f(a) { arguments[0] = 2; return a } function decodeUplink(input) { loose = 010; var o = { w: 3 }, "
           "r = 0; with (o) r = w;\n"
           " { function g() { return this === undefined } } return { data: { loose: loose, r: r, g: g(), f: f(1) } } }",
           // Strict by its own directive, at the top and in a function.
           "'use strict'\nfunction decodeUplink() { return { data: { t: (function () { return this === undefined })() "
           "} } }",
           "function decodeUplink() { 'use strict'; var t = (function () { return this === undefined })(); return { "
           "data: { t: t } } }",
           // Arrows, names of functions, classes, static blocks, generators, destructuring, templates, tagged ones.
           "const name = () => 1, pick = ({ a }, [b = (2)] = []) => ({ a, b }), nest = x => y => (x, y)\n"
           "class C { static n = 0; static { C.n = 5 } #p = 1; get p() { return this.#p } m() { return super.toString "
           "=== undefined } }\n"
           "function* gen() { yield 1; yield* [2, 3] }\n"
           "function decodeUplink(input) { let { bytes: [x = 9, ...more] } = input; const tag = (s, ...v) => "
           "s.raw.join('|') + v\n"
           " return { data: { n: name.name, p: pick({ a: 1 }), y: nest(1)(2), c: C.n, q: new C().p, m: new C().m(), g: "
           "[...gen()], x, more,\n"
           " t: `a${(() => `b${x}`)()}c`, u: tag`1${2}\\n3`, v: ((a, b = () => a) => b())(4), async: typeof (async z "
           "=> await z) } } }",
           // Text beyond ASCII, before and in what is counted; regular expressions that look like division.
           "var \u00e4 = '\xf0\x9f\x8c\xa1', r = /[/]\\/(?<y>\\d+)/u; function decodeUplink() { return { data: { "
           "\u00e4, m: r.exec('//12').groups.y } } }",
           // A driver that uses the counters' name, and one with its own console.
           "var $c = 1, $c$ = 2; function decodeUplink() { return { data: { c: $c + $c$ } } }",
           "const console = { log() {} }; function decodeUplink() { console.log('a'); return { data: {} } }",
           "function decodeUplink(i) { return i ? decodeUplink(0) : { data: { deep: true } } }",
       }) {
    const auto result = covered(source, {"0102"});
    EXPECT_NE(result.find('/'), std::string::npos) << source << ": " << result;
    EXPECT_NE(result[0], '0') << source << ": " << result;
  }
}

TEST(Coverage, SaysWhyThereIsNone) {
  const auto none = Coverage::of(test_engine(), "function decodeUplink() {\n  return {;\n}");
  ASSERT_FALSE(none);
  EXPECT_EQ(none.error().text, "line 2, column 11: Unexpected token");
  EXPECT_EQ(Coverage::of(test_engine(), "export const a = 1").error().text,
            "line 1, column 1: 'import' and 'export' may appear only with 'sourceType: module'");
}

}  // namespace
}  // namespace sluice::driver
