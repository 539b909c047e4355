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
