// SPDX-License-Identifier: Apache-2.0
// Cases of Buffer (spec drivers.md 8) that a comparison with Node.js by random calls has found; the values are Node's.
#include <gtest/gtest.h>

#include "driver/test_engine.h"

namespace sluice::driver {
namespace {

struct Case {
  const char *expression, *value;
};

void expect_all(std::initializer_list<Case> cases) {
  for (const auto& it : cases)
    EXPECT_EQ(value_of(it.expression), it.value) << it.expression;
}

// The name of what an expression throws.
std::string thrown_by(const std::string& expression) {
  return value_of("(() => { try { " + expression + "; return 'nothing'; } catch (e) { return e.name; } })()");
}

TEST(BufferCases, ArgumentsOutsideTheirRange) {
  expect_all({
      {"Buffer.from('hello').toString('utf8', 0, -1)", "\"\""},
      {"Buffer.from('hello').toString('latin1', -3, 1e10)", "\"hello\""},
      {"Buffer.from('hello').toString('hex', 4)", "\"6f\""},
      {"Buffer.from('hello').toString('hex', 1.9, 2.9)", "\"65\""},
      {"Buffer.from('hello').slice(4294967295).length", "0"},
      {"Buffer.from('hello').slice(4294967296).length", "0"},
      {"Buffer.from('hello').slice(-2, Infinity).toString()", "\"lo\""},
      {"Buffer.from('hello').slice('1', '3').toString()", "\"el\""},
      {"Buffer.from('hello').subarray(-1.5).toString()", "\"o\""},
      {"Buffer.from('hello').slice(3, 1).length", "0"},
      {"[...Buffer.from(new ArrayBuffer(4), '1', 2)].length", "2"},
      {"Buffer.from(new ArrayBuffer(4), NaN).length", "4"},
      {"Buffer.from(new ArrayBuffer(4), 1, -5).length", "0"},
      {"Buffer.from(new ArrayBuffer(4), 4).length", "0"},
      {"(() => { const t = Buffer.alloc(3); return [Buffer.from('hello').copy(t, 1), t.toString('latin1')]; })()",
       "[2,\"\\u0000he\"]"},
      {"Buffer.from('hello').copy(Buffer.alloc(3), 9)", "0"},
      {"Buffer.from('hello').copy(Buffer.alloc(9), 0, 5)", "0"},
      {"Buffer.from('hello').copy(Buffer.alloc(9), 0, 1, 100)", "4"},
  });
  for (const auto* expression :
       {"Buffer(Infinity)", "Buffer.alloc(1e20)", "Buffer.alloc(NaN)", "Buffer.alloc(-1)",
        "Buffer.from(new ArrayBuffer(4), 5)", "Buffer.from(new ArrayBuffer(4), 1, 4)",
        "Buffer.from(new ArrayBuffer(4), -1)", "Buffer.from('a').copy(Buffer.alloc(1), -1)",
        "Buffer.from('a').copy(Buffer.alloc(1), 0, 2)", "Buffer.from('a').fill(1, 0, 2)",
        "Buffer.from('a').fill(1, -1)", "Buffer.alloc(3).swap16()", "Buffer.alloc(3).readUInt8(3)",
        "Buffer.alloc(3).readUInt8(-1)", "Buffer.alloc(3).writeUInt16BE(65536)", "Buffer.alloc(3).writeInt8(-129)",
        "Buffer.alloc(3).writeUIntBE(2 ** 24, 0, 3)"}) {
    EXPECT_EQ(thrown_by(expression), "\"RangeError\"") << expression;
  }
}

TEST(BufferCases, ValuesOfEveryKind) {
  expect_all({
      {"Buffer.from(new String('abc')).toString()", "\"abc\""},
      {"Buffer.from(new Date(0)).toString().slice(0, 15)", "\"Thu Jan 01 1970\""},
      {"Buffer.from({ valueOf() { return 'abc'; } }).toString()", "\"abc\""},
      {"Buffer.from({ [Symbol.toPrimitive]() { return 'pri'; } }).toString()", "\"pri\""},
      {"[...Buffer.from({ length: 3, 0: 1, 1: 2 })]", "[1,2,0]"},
      {"[...Buffer.from({ length: 2.7, 0: 1 })]", "[1,0]"},
      {"Buffer.from({ length: '2' }).length", "0"},
      {"[...Buffer.from([1, 300, -1, 1.9, '7', 'x', NaN, null, undefined, true])]", "[1,44,255,1,7,0,0,0,0,1]"},
      {"[...Buffer.from(new Uint16Array([1, 256, 257]))]", "[1,0,1]"},
      {"[...Buffer.from(new Float32Array([1.5, -1]))]", "[1,255]"},
      {"[...Buffer.from({ type: 'Buffer', data: [1, 2] })]", "[1,2]"},
      {"[...Buffer.alloc(5).fill(new Uint16Array([1, 256]))]", "[1,0,0,1,1]"},
      {"[...Buffer.alloc(3).fill('')]", "[0,0,0]"},
      {"[...Buffer.alloc(3).fill(-1)]", "[255,255,255]"},
      {"[...Buffer.alloc(3, 'ff', 'hex')]", "[255,255,255]"},
      {"[...Buffer.alloc(2, 7, 'hex')]", "[7,7]"},
      {"Buffer.alloc(0).fill('zz', 'hex').length", "0"},
      {"[Buffer.byteLength('aGVsbG8=', 'base64'), Buffer.byteLength('abc', 'hex'), Buffer.byteLength('a', 'ucs2')]",
       "[5,1,2]"},
      {"[Buffer.byteLength('h\\u00e9\\u20ac\\ud83d\\ude00\\ud83d'), Buffer.byteLength(new ArrayBuffer(3))]", "[13,3]"},
  });
  for (const auto* expression : {"Buffer.from(Symbol('x'))",
                                 "Buffer.from(1n)",
                                 "Buffer.from(() => 1)",
                                 "Buffer.from({})",
                                 "Buffer.from(new Number(3))",
                                 "Buffer.from(null)",
                                 "Buffer.from()",
                                 "Buffer.from(true)",
                                 "Buffer.from({ [Symbol.toPrimitive]() { return this; } })",
                                 "Buffer.alloc('3')",
                                 "Buffer.concat(5)",
                                 "Buffer.concat([[1]])",
                                 "Buffer.from('a').equals('a')",
                                 "Buffer.from('a', 'bad')",
                                 "Buffer.from('a').toString('bad')",
                                 "Buffer.from('a').indexOf({})",
                                 "Buffer.alloc(3).fill('zz', 'hex')",
                                 "Buffer.alloc(3).fill(Buffer.alloc(0))",
                                 "Buffer.from('a').slice(1n)",
                                 "Buffer.alloc(8).writeBigInt64LE(1)"}) {
    EXPECT_EQ(thrown_by(expression), "\"TypeError\"") << expression;
  }
}

TEST(BufferCases, Text) {
  expect_all({
      {"['00ff', '0', '0g', '00FFzz11', 'abc', 'zz', ''].map((t) => Buffer.from(t, 'hex').toString('hex'))",
       R"(["00ff","","","00ff","ab","",""])"},
      {"['aGVsbG8=', 'aGVsbG8', 'aGVs\\nbG8=', 'a-_b', '==', 'a', 'a===', 'YQ==YQ==', 'YW*Jj', ''].map((t) => "
       "Buffer.from(t, "
       "'base64').toString('hex'))",
       R"(["68656c6c6f","68656c6c6f","68656c6c6f","6befdb","","","","61","616263",""])"},
      {"[Buffer.from('fbff', 'hex').toString('base64'), Buffer.from('fbff', 'hex').toString('base64url'), "
       "Buffer.from('-_8', 'base64url').toString('hex')]",
       R"(["+/8=","-_8","fbff"])"},
      {"[Buffer.from('\\u0100\\u00e9', 'latin1').toString('hex'), Buffer.from([0xe1]).toString('ascii'), "
       "Buffer.from('a\\u20ac', "
       "'ucs2').toString('hex'), Buffer.from('610', 'hex').toString('utf16le')]",
       R"(["00e9","a","6100ac20",""])"},
      {"Buffer.from([0x41, 0xe2, 0x82, 0x41, 0xf0, 0x9f, 0xff, 0xed, 0xa0, 0x80]).toString() === "
       "'A\\ufffdA\\ufffd\\ufffd\\ufffd\\ufffd\\ufffd'",
       "true"},
      {"Buffer.alloc(3000, 'a').toString().length + Buffer.alloc(9000, '\\u20ac').toString().length", "6000"},
      {"Buffer.alloc(40, 'ab').toString('hex', 1, 33).length", "64"},
  });
}

TEST(BufferCases, Search) {
  expect_all({
      {"['', 'b', 'ca', 'abcabc', 'abcabcd', 98, 354, -158, Buffer.from('c')].map((v) => "
       "Buffer.from('abcabc').indexOf(v))",
       "[0,1,2,0,-1,1,1,1,2]"},
      {"['', 'b', 'ca', 98, Buffer.from('c')].map((v) => Buffer.from('abcabc').lastIndexOf(v))", "[6,4,2,4,5]"},
      {"[0, 2, -2, -100, 100, NaN, null, Infinity, -Infinity, undefined].map((o) => "
       "Buffer.from('abcabc').indexOf('b', o))",
       "[1,4,4,1,-1,1,1,-1,1,1]"},
      {"[0, 2, -2, -100, 100, NaN, null, Infinity, -Infinity].map((o) => Buffer.from('abcabc').lastIndexOf('b', o))",
       "[-1,1,4,-1,4,4,-1,4,-1]"},
      {"[Buffer.from('abc').indexOf('', 9), Buffer.from('').indexOf(''), Buffer.from('').indexOf('a'), "
       "Buffer.from('abc').includes('')]",
       "[3,0,-1,true]"},
      {"[Buffer.from('xaxa', 'ucs2').indexOf('a', 'ucs2'), Buffer.from('abc').indexOf('6263', 'hex')]", "[2,1]"},
  });
}

TEST(BufferCases, IsMadeAndInheritedAsInNode) {
  expect_all({
      {"(() => { class X extends Buffer {} return [Buffer.isBuffer(new X(3)), new X(2).length]; })()", "[true,2]"},
      {"[Buffer.from('a').constructor === Buffer, Buffer.name, Buffer.from('a') instanceof Buffer, "
       "Object.prototype.toString.call(Buffer.alloc(1)), Object.keys(Buffer.from('ab')).join()]",
       R"([true,"Buffer",true,"[object Uint8Array]","0,1"])"},
      {"(() => { const r = []; for (const k in Buffer.from('ab')) r.push(k); return r; })()", R"(["0","1"])"},
      {"[Buffer.of(1, 2), Buffer.from([3, 1]).sort(), Buffer.from([1, 2]).map((x) => x * 2)].map((b) => "
       "Buffer.isBuffer(b) && "
       "b.toString('hex'))",
       R"(["0102","0103","0204"])"},
      {"[Buffer.from([1]).readUInt16LE(0, true), Buffer.alloc(1).writeUInt16LE(513, 0, true)]", "[1,2]"},
  });
}

}  // namespace
}  // namespace sluice::driver
