// SPDX-License-Identifier: Apache-2.0
// What a driver finds in its global object (spec drivers.md 7, 8, 9).
#include <gtest/gtest.h>

#include "driver/test_engine.h"

namespace sluice::driver {
namespace {

TEST(Environment, HasNothingOfTheOutside) {
  for (const auto* name : {"process",
                           "global",
                           "window",
                           "self",
                           "document",
                           "fetch",
                           "XMLHttpRequest",
                           "WebSocket",
                           "setTimeout",
                           "setInterval",
                           "setImmediate",
                           "queueMicrotask",
                           "crypto",
                           "performance",
                           "WebAssembly",
                           "SharedArrayBuffer",
                           "Atomics",
                           "context",
                           "bind",
                           "call",
                           "note",
                           "kit",
                           "HEX"}) {
    EXPECT_EQ(value_of(std::string("typeof ") + name), "\"undefined\"") << name;
  }
  EXPECT_EQ(value_of("require('fs')"), "driver internal error: Error: Cannot find module 'fs'");
  EXPECT_EQ(value_of("require('buffer').Buffer === Buffer"), "true");
  EXPECT_EQ(value_of("this.constructor.constructor('return process')()").substr(0, 37),
            "driver internal error: ReferenceError");
  EXPECT_EQ(value_of("[].constructor.constructor('return typeof require')()"), "\"function\"");
}

TEST(Environment, IsEnglishAndUtc) {
  EXPECT_EQ(value_of("new Date(Date.UTC(2024, 10, 21, 1, 2, 44)).toLocaleString()"), "\"11/21/2024, 1:02:44 AM\"");
  EXPECT_EQ(value_of("new Date('2024-07-01T12:00:00').getTime()"), "1719835200000");
  EXPECT_EQ(value_of("new Date('2024-07-01T12:00:00Z').toLocaleString('fr-FR', { timeZone: 'Europe/Paris' })"),
            "\"01/07/2024 14:00:00\"");
  EXPECT_EQ(value_of("Intl.DateTimeFormat().resolvedOptions().timeZone"), "\"UTC\"");
}

TEST(Environment, CodesText) {
  EXPECT_EQ(value_of("[btoa('h\\xe9'), atob('aOk='), atob(' aGk = ')]"), "[\"aOk=\",\"h\xc3\xa9\",\"hi\"]");
  EXPECT_EQ(value_of("[...new TextEncoder().encode('\\u20ac\\ud83d\\ude00\\ud800')]"),
            "[226,130,172,240,159,152,128,239,191,189]");
  EXPECT_EQ(value_of("new TextDecoder().decode(new Uint8Array([0xef, 0xbb, 0xbf, 0xe2, 0x82, 0xac, 0xff, 0x41]))"),
            "\"\xe2\x82\xac\xef\xbf\xbd"
            "A\"");
  EXPECT_EQ(value_of("(() => { const m = new Map([[1, { d: new Date(5) }]]); const c = structuredClone(m); return "
                     "[c.get(1).d.getTime(), "
                     "c.get(1) !== m.get(1)]; })()"),
            "[5,true]");
}

TEST(Environment, DecodesTextInPieces) {
  EXPECT_EQ(
      value_of("(() => { const d = new TextDecoder(), p = (b, s) => d.decode(new Uint8Array(b), { stream: s }); return "
               "[p([0xef, 0xbb], true), p([0xbf, 0xe2, 0x82], true), p([0xac, 0xf0, 0x9f], true), p([], false), "
               "p([0xef, 0xbb, "
               "0xbf, 0x41], false), p([0xed, 0xa0], true).length, p([0x41], false)]; })()"),
      "[\"\",\"\",\"\xe2\x82\xac\",\"\xef\xbf\xbd\",\"A\",2,\"A\"]");
  EXPECT_EQ(
      value_of(
          "(() => { const d = new TextDecoder('UCS-2'), p = (b, s) => d.decode(new Uint8Array(b), { stream: s }); "
          "return "
          "[d.encoding, p([0x3d, 0xd8, 0x00], true), p([0xde, 0x41], true), p([0x00], false), p([0x00, 0xd8, 0x41, 0], "
          "false)]; })()"),
      "[\"utf-16le\",\"\",\"\xf0\x9f\x98\x80\",\"A\",\"\xef\xbf\xbd"
      "A\"]");
  EXPECT_EQ(
      value_of(
          "[new TextDecoder(' Latin1 ').decode(new Uint8Array([0x80, 0xe9])), new TextDecoder('utf-16be').decode(new "
          "Uint8Array([0, 0x41])), new TextDecoder('utf-8', { ignoreBOM: true }).decode(new Uint8Array([0xef, 0xbb, "
          "0xbf])).length, new TextDecoder().decode(new DataView(new ArrayBuffer(2), 1)).length]"),
      "[\"\xe2\x82\xac\xc3\xa9\",\"A\",1,1]");
  for (const auto* wrong : {"new TextDecoder('utf-8', { fatal: true }).decode(new Uint8Array([0xff]))",
                            "new TextDecoder('utf-16', { fatal: true }).decode(new Uint8Array([0, 0xd8]))",
                            "new TextDecoder().decode(5)", "new TextDecoder().decode('x')"}) {
    EXPECT_EQ(value_of(wrong).substr(0, 32), "driver internal error: TypeError") << wrong;
  }
  EXPECT_EQ(value_of("new TextDecoder('x')").substr(0, 33), "driver internal error: RangeError");
  for (const auto* wrong : {"atob('a')", "atob('a=b=')", "atob('a-b_')", "btoa('\\u20ac')"}) {
    EXPECT_EQ(value_of(wrong).substr(0, 44), "driver internal error: InvalidCharacterError") << wrong;
  }
}

TEST(Environment, ClonesWhatCanBeCloned) {
  EXPECT_EQ(
      value_of(
          "(() => { const e = new RangeError('x', { cause: [1] }); const c = structuredClone({ e, s: [1, , 3], u: new "
          "Uint16Array([1, 256]), b: Buffer.from('ab'), d: new DataView(new ArrayBuffer(4), 1), n: Object(5), t: { "
          "[Symbol.toStringTag]: 'Map', a: 1 }, r: /a/gi, z: new Set([[1]]), k: new (class K { a = 1; })() }); return "
          "[c.e instanceof RangeError, c.e.message, c.e.cause, c.s.length, 1 in c.s, c.u.constructor.name, c.u[1], "
          "c.b.constructor.name, c.d.byteLength, c.n + 1, c.t.a, c.r.flags, [...c.z][0], c.k.constructor.name]; })()"),
      R"([true,"x",[1],3,false,"Uint16Array",256,"Uint8Array",3,6,1,"gi",[1],"Object"])");
  EXPECT_EQ(value_of("(() => { const b = new ArrayBuffer(4), c = structuredClone([new Uint8Array(b), new "
                     "Uint8Array(b)]); c[0][1] = "
                     "7; return [c[1][1], new Uint8Array(b)[1]]; })()"),
            "[7,0]");
  for (const auto* wrong :
       {"() => 1", "Symbol('x')", "[() => 1]", "Promise.resolve()", "new WeakMap()", "new WeakRef({})"}) {
    EXPECT_EQ(value_of(std::string("structuredClone(") + wrong + ")").substr(0, 37),
              "driver internal error: DataCloneError")
        << wrong;
  }
}

TEST(Environment, ConsoleShowsValuesAndNeverThrows) {
  const auto logged = [](const std::string& body) {
    std::string all;
    for (const auto& line : decode("function decodeUplink(input) { " + body + "; return { data: 1 }; }").log)
      all += line + "|";
    return all;
  };
  EXPECT_EQ(logged("console.log('a', 1, -0, null, undefined, true, 5n, Symbol('s'), 'b')"),
            "a 1 -0 null undefined true 5n Symbol(s) b|");
  EXPECT_EQ(logged("console.log('%s has %d of %i and %f, %j %o %O%% %c%x', 'x', '42', 42.9, '1.5', { a: 1 }, 'q', [1], "
                   "'css', 'more')"),
            "x has 42 of 42 and 1.5, {\"a\":1} \"q\" [1]% %x more|");
  EXPECT_EQ(logged("console.log('%s'); console.log('100%', 5); console.log('%d', 5n, '%d')"), "%s|100% 5|5n %d|");
  EXPECT_EQ(logged("const o = { a: [1, 'x', { b: undefined }] }; o.self = o; console.log(o)"),
            "{\"a\":[1,\"x\",{\"b\":undefined}],\"self\":[Circular]}|");
  EXPECT_EQ(
      logged(
          "console.log(new Map([['k', { v: 1 }]]), new Set([1, 'a']), Buffer.from('ab'), new Uint8Array([1, 2]), new "
          "Date(0), /x/g, function f() {}, new (class K { a = 1; })())"),
      "Map(1) {\"k\" => {\"v\":1}} Set(2) {1,\"a\"} <Buffer 61 62> Uint8Array(2) [1,2] 1970-01-01T00:00:00.000Z /x/g "
      "[Function: f] K {\"a\":1}|");
  EXPECT_EQ(logged("console.info('i'); console.warn('w'); console.error(new TypeError('e')); console.debug('d'); "
                   "console.trace('t')"),
            "info: i|warn: w|error: TypeError: e|debug: d|trace: t|");
  EXPECT_EQ(logged("console.group('g'); console.log('in'); console.groupEnd(); console.groupEnd(); console.log('out'); "
                   "console.count(); console.count('n'); console.count(); console.countReset(); console.count(); "
                   "console.assert(1, 'no'); console.assert(0, 'yes %d', 5); console.assert(false)"),
            "g|  in|out|default: 1|n: 1|default: 2|default: 1|error: Assertion failed: yes 5|error: Assertion failed|");
  EXPECT_EQ(
      logged("console.table([{ a: 1, b: 'x' }, { a: 2 }, 5]); console.table(7); console.dir({ a: 1 }, { depth: 0 })"),
      "(index)\ta\tb\tValues\n0\t1\tx\t\n1\t2\t\t\n2\t\t\t5|7|{\"a\":1}|");
  EXPECT_EQ(logged("console.time('t'); console.timeEnd('t'); console.timeEnd('t')").substr(0, 3), "t: ");
  EXPECT_EQ(logged("console.log(new Proxy({}, { ownKeys() { throw 1; } }), { get a() { throw 1; } }, { toString() { "
                   "throw 1; } }, "
                   "Object.create(null)); console.log('%s', { toString() { throw 1; } }); console.log()")
                .substr(0, 16),
            "[object Object] ");
  // Bounded in breadth and depth.
  EXPECT_LT(logged("console.log(new Array(100000).fill({ a: [[[[[[[[[1]]]]]]]]] }))").size(), 17000u);
}

TEST(Buffer, IsMadeInEveryWay) {
  EXPECT_EQ(value_of("[Buffer.from([1, 257, -1]), Buffer.from('00fFzz', 'hex'), Buffer.from('aGk_', 'base64'), "
                     "Buffer(2), new Buffer('a')]"
                     ".map((b) => [...b])"),
            "[[1,1,255],[0,255],[104,105,63],[0,0],[97]]");
  EXPECT_EQ(value_of("[Buffer.from('h\\u20ac').length, Buffer.from('ab', 'utf16le').length, "
                     "Buffer.byteLength('\\u20ac'), Buffer.isBuffer(Buffer.alloc(1)), "
                     "Buffer.isBuffer(new Uint8Array(1)), Buffer.isEncoding('UTF-8'), Buffer.isEncoding('x'), "
                     "Buffer.compare(Buffer.from('a'), Buffer.from('b'))]"),
            "[4,4,3,true,false,true,false,-1]");
  EXPECT_EQ(value_of("[...Buffer.concat([Buffer.from([1, 2]), new Uint8Array([3, 4])], 3)]"), "[1,2,3]");
  EXPECT_EQ(value_of("[...Buffer.alloc(5, 'ab')]"), "[97,98,97,98,97]");
  EXPECT_EQ(value_of("(() => { const a = new ArrayBuffer(4), b = Buffer.from(a, 1, 2); b[0] = 9; return [...new "
                     "Uint8Array(a)]; })()"),
            "[0,9,0,0]");
  EXPECT_EQ(value_of("Buffer.from(5)").substr(0, 32), "driver internal error: TypeError");
  EXPECT_EQ(value_of("JSON.stringify(Buffer.from('hi'))"), R"("{\"type\":\"Buffer\",\"data\":[104,105]}")");
}

TEST(Buffer, ReadsAndWritesNumbers) {
  EXPECT_EQ(value_of("(() => { const b = Buffer.from('ff80010203040506', 'hex'); return [b.readInt8(0), "
                     "b.readUInt8(1), b.readUint16BE(2), b.readUInt16LE(2), "
                     "b.readInt16BE(0), b.readUInt32BE(0), b.readInt32LE(0), b.readIntBE(0, 3), b.readUIntLE(2, 6), "
                     "b.readUIntBE(0, 1)]; })()"),
            "[-1,128,258,513,-128,4286578946,33652991,-32767,6618611909121,255]");
  EXPECT_EQ(value_of("(() => { const b = Buffer.alloc(24); b.writeInt16LE(-2, 0); b.writeUInt32BE(0xdeadbeef, 2); "
                     "b.writeFloatLE(1.5, 6); b.writeDoubleBE(-2.25, 10); "
                     "b.writeIntBE(-3, 18, 3); return [b.toString('hex'), b.readFloatLE(6), b.readDoubleBE(10), "
                     "b.readIntBE(18, 3)]; })()"),
            R"(["feffdeadbeef0000c03fc002000000000000fffffd000000",1.5,-2.25,-3])");
  EXPECT_EQ(value_of("(() => { const b = Buffer.alloc(8); b.writeBigInt64LE(-5n); return [b.readBigInt64LE(), "
                     "b.readBigUInt64LE()]; })()"),
            R"([-5,"18446744073709551611"])");
  for (const auto* wrong : {"Buffer.alloc(1).readUInt16LE(0)", "Buffer.alloc(1).writeUInt8(256, 0)",
                            "Buffer.alloc(1).writeInt8(1, 1)", "Buffer.alloc(9).readUIntBE(0, 7)"}) {
    EXPECT_EQ(value_of(wrong).substr(0, 33), "driver internal error: RangeError") << wrong;
  }
}

TEST(Buffer, BehavesAsATypedArray) {
  EXPECT_EQ(value_of("(() => { const b = Buffer.from([1, 2, 3]); const s = b.slice(1); s[0] = 9; return [b[1], b "
                     "instanceof Uint8Array, Buffer.isBuffer(b.map((x) => x * 2)), "
                     "b.map((x) => x * 2)[2], b.slice(-1)[0], Buffer.isBuffer(b.subarray(1)), "
                     "Buffer.isBuffer(b.filter(() => true))]; })()"),
            "[9,true,true,6,3,true,true]");
  EXPECT_EQ(value_of("(() => { const b = Buffer.from('hello world'); return [b.indexOf('o'), b.lastIndexOf('o'), "
                     "b.indexOf('o', 5), b.indexOf(Buffer.from('wor')), b.includes('xyz'), "
                     "b.indexOf(104), b.toString('utf8', 6), b.toString('base64'), b.equals(Buffer.from('hello "
                     "world')), b.indexOf('d', -1)]; })()"),
            R"([4,7,7,6,false,0,"world","aGVsbG8gd29ybGQ=",true,10])");
  EXPECT_EQ(value_of("(() => { const b = Buffer.alloc(6), n = b.write('\\u20ac\\u20ac', 1); const t = Buffer.alloc(3); "
                     "b.copy(t, 0, 1, 4); return [n, t.toString(), "
                     "Buffer.from([1, 2, 3, 4]).swap16().toString('hex'), [...Buffer.alloc(3).fill('01', 'hex')], "
                     "b.write('zz', 0, 1, 'latin1')]; })()"),
            "[3,\"\xe2\x82\xac\",\"02010403\",[1,1,1],1]");
}

}  // namespace
}  // namespace sluice::driver
