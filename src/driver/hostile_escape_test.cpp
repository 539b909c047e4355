// SPDX-License-Identifier: Apache-2.0
// Drivers that try to reach what is not theirs: the outside, the prelude, another driver, another account; or that
// misuse what the language offers (spec drivers.md 8, 9).
#include <algorithm>

#include "driver/hostile_kit.h"

namespace sluice::driver {
namespace {

class Escape : public HostileTest {};
class Pollution : public HostileTest {};
class Forgery : public HostileTest {};
class Natives : public HostileTest {};
class Compilers : public HostileTest {};

// Everything that can be reached from a driver by properties, prototypes, getters and constructors.
constexpr const char* kWalk = R"js(
function reachable() {
  const seen = new Set(), todo = [globalThis, (async () => {}), (function* () {}), (async function* () {}), [][Symbol.iterator](),
    new Map().entries(), new Set().values(), 'a'[Symbol.iterator](), 'a'.matchAll(/a/g), new Error('x'), new Proxy({}, {}), decodeUplink];
  while (todo.length > 0 && seen.size < 20000) {
    const o = todo.pop();
    if ((typeof o !== 'object' && typeof o !== 'function') || o === null || seen.has(o)) continue;
    seen.add(o);
    todo.push(Object.getPrototypeOf(o));
    for (const key of Reflect.ownKeys(o)) {
      const d = Object.getOwnPropertyDescriptor(o, key);
      if ('value' in d) todo.push(d.value); else todo.push(d.get, d.set);
      try { todo.push(o[key]); } catch {}
    }
  }
  return seen;
}
)js";

TEST_F(Escape, NothingOfTheOutsideIsReachable) {
  expect_data(R"js(
    const bad = [];
    for (const o of reachable()) {
      const name = typeof o === 'function' ? String(Object.getOwnPropertyDescriptor(o, 'name')?.value) : '';
      const tag = String(Object.getOwnPropertyDescriptor(o, Symbol.toStringTag)?.value);
      if (/^(WebAssembly|Atomics|SharedArrayBuffer|process|Module|ShadowRealm|fetch|XMLHttpRequest|WebSocket|setTimeout|setInterval|setImmediate|queueMicrotask|load|read|readFile|print|quit|gc|fullGC|edenGC|createGlobalObject|transferArrayBuffer|runString|\$vm|importScripts|Worker)$/.test(name) || /WebAssembly|Atomics|SharedArray|Worker/.test(tag)) bad.push(name + '/' + tag);
    }
    return { data: bad };)js",
              "[]", kWalk);
}

TEST_F(Escape, TheGlobalObjectHasTheLanguageAndTheDocumentedNamesOnly) {
  const auto outcome = attack(R"js(
    const language = new Set('Infinity NaN undefined globalThis Object Function Array RegExp Iterator String Promise BigInt Symbol WeakRef FinalizationRegistry Intl Error TypeError RangeError Number Date Reflect ArrayBuffer JSON DataView Math Map Set isNaN isFinite escape unescape decodeURI decodeURIComponent encodeURI encodeURIComponent eval parseInt parseFloat EvalError ReferenceError SyntaxError URIError AggregateError SuppressedError DisposableStack AsyncDisposableStack Temporal Proxy Boolean WeakMap WeakSet Int8Array Uint8Array Uint8ClampedArray Int16Array Uint16Array Int32Array Uint32Array Float16Array Float32Array Float64Array BigInt64Array BigUint64Array'.split(' '));
    return { data: Reflect.ownKeys(globalThis).map(String).filter((name) => !language.has(name)).sort() };)js");
  EXPECT_EQ(
      outcome.data,
      R"(["Buffer","TextDecoder","TextEncoder","atob","attack","btoa","console","decodeUplink","exports","module",)"
      R"("require","structuredClone"])")
      << outcome.message;
}

TEST_F(Escape, NoWayLeadsToAnotherGlobalObject) {
  for (const auto* body : {
           "return { data: this.constructor.constructor('return this')() === globalThis };",
           "return { data: Function('return this')() === globalThis };",
           "return { data: (0, eval)('this') === globalThis };",
           "return { data: input.constructor.constructor('return this')() === globalThis };",
           "return { data: input.bytes.constructor.constructor('return this')() === globalThis };",
           "return { data: input.recvTime.constructor.constructor('return this')() === globalThis };",
           "return { data: input.thing.constructor.constructor('return this')() === globalThis };",
           "return { data: console.log.constructor('return this')() === globalThis };",
           "return { data: require.constructor('return this')() === globalThis };",
           "return { data: Buffer.from.constructor('return this')() === globalThis };",
           "return { data: structuredClone.constructor('return this')() === globalThis };",
           "try { require('x'); } catch (e) { return { data: e.constructor.constructor('return this')() === globalThis "
           "}; }",
           "try { (function f() { f(); })(); } catch (e) { return { data: e.constructor.constructor('return this')() "
           "=== "
           "globalThis }; }",
           "return { data: Reflect.construct(Object, [], function () {}).constructor.constructor('return this')() === "
           "globalThis };",
           "return { data: Object.getPrototypeOf(async () => {}).constructor('')() instanceof Promise };",
       }) {
    expect_data(body, "true");
  }
}

TEST_F(Escape, CallersAndStacksShowNoFunctionOfThePrelude) {
  expect_data("return { data: [attack.caller === decodeUplink, decodeUplink.caller, arguments.callee.caller.caller] };",
              "[true,null,null]");
  expect_data(R"js(
    const got = [];
    Error.prepareStackTrace = (e, sites) => { got.push(sites); return sites; };
    Error.stackTraceLimit = 1000;
    const o = {}; Error.captureStackTrace(o);
    const all = [new Error('x').stack, o.stack, got];
    const kinds = new Set();
    const walk = (v, level) => { if (typeof v === 'function') kinds.add(v.name); else if (v && typeof v === 'object' && level < 4) for (const k of Reflect.ownKeys(v)) walk(v[k], level + 1); };
    walk(all, 0);
    return { data: [...kinds] };)js",
              "[]");
  // What the prelude hands the driver's functions carries none of its own.
  expect_data(R"js(
    const found = [];
    const walk = (v, path) => { if (typeof v === 'function') found.push(path); else if (v && typeof v === 'object') for (const k of Reflect.ownKeys(v)) walk(v[k], path + '.' + String(k)); };
    walk(input, 'input');
    return { data: found };)js",
              "[]");
}

TEST_F(Escape, ModulesAndImportsGiveNothing) {
  for (const auto* name :
       {"fs", "child_process", "net", "http", "os", "vm", "worker_threads", "process", "module", "node:fs",
        "./index.js", "../package.json", "/etc/passwd", "buffer/../fs", "__proto__", "constructor"}) {
    expect_failure(std::string("return require('") + name + "');",
                   std::string("driver internal error: Error: Cannot find module '") + name + "'");
  }
  expect_failure("return require({ toString: () => 'fs' });", "driver internal error: Error: Cannot find module 'fs'");
  expect_data(
      "return { data: [typeof module.constructor._load, typeof require.main, typeof require.cache, typeof "
      "module.require, typeof module.children] };",
      R"(["undefined","undefined","undefined","undefined","undefined"])");
  expect_data(
      "import('fs').then(() => console.log('came')); import('/etc/passwd').then(() => console.log('came')); "
      "return { data: 1 };",
      "1");
}

// The prelude has captured all it needs: even without a single function of the language an answer comes out.
TEST_F(Pollution, ADriverThatBreaksTheLanguageStillGetsItsAnswers) {
  const char* const kBreak = R"js(
    function ruin(make) {
      const define = Object.defineProperty, keys = Reflect.ownKeys, describe = Object.getOwnPropertyDescriptor, all = [...reachable()];
      for (let i = 0; i < all.length; i++) {
        const o = all[i], names = keys(o);
        if (o === globalThis) continue;
        for (let j = 0; j < names.length; j++) {
          const k = names[j], d = describe(o, k);
          if (d.configurable && typeof d.value === 'function' && k !== 'constructor') define(o, k, { value: make(k), writable: true, configurable: true });
        }
      }
    })js";
  const std::string top = std::string(kWalk) + kBreak;
  const auto first = attack("ruin(() => () => { throw 1; }); return { data: { a: [1, 'x', { b: null }] } };", top);
  EXPECT_EQ(first.data, R"({"a":[1,"x",{"b":null}]})") << first.message;
  const auto second = attack("ruin(() => undefined); return { data: { a: [1, 'x', { b: null }] } };", top);
  EXPECT_EQ(second.data, R"({"a":[1,"x",{"b":null}]})") << second.message;
  const auto third = attack("ruin(() => function () { return this; }); throw 'mine';", top);
  EXPECT_EQ(third.message, "driver internal error: mine");
  const auto fourth = attack("ruin(() => () => true); return { errors: ['mine'] };", top);
  EXPECT_EQ(fourth.message, "driver internal errors: mine");
}

TEST_F(Pollution, AccessorsOnPrototypesCostTheDriversOwnAnswersAlone) {
  const char* const kTrap = R"js(
    var caught = 0;
    function trap(target, names, give) {
      for (const name of names) Object.defineProperty(target, name, { get: give, set() { caught++; }, configurable: true });
    }
    var names = ['0', '1', '2', 'line', 'lines', 'size', 'length', 'data', 'errors', 'warnings', 'bytes', 'fPort', 'time', 'recvTime',
      'thing', 'variables', 'f', 'self', 'way', 'signature', 'message', 'then', 'get', 'set', 'value', 'writable', 'unitId', 'record',
      'records', 'type', 'toJSON', 'stack', 'column', 'setup', 'tags', 'decodeUplink', 'extractPoints', 'code', 'name', 'cause'];)js";
  for (const auto* give : {"() => undefined", "() => { throw 1; }", "() => ['forged']", "function () { return this; }",
                           "() => 'a\\nb\\nc'", "() => () => 'x\\ny'"}) {
    for (const auto* target : {"Object.prototype", "Array.prototype", "String.prototype", "Function.prototype",
                               "Error.prototype", "Number.prototype", "Promise.prototype", "Date.prototype"}) {
      const auto outcome = attack(std::string("trap(") + target + ", names, " + give +
                                      "); console.log('line'); return { data: [1], warnings: ['w'] };",
                                  kTrap);
      EXPECT_TRUE(outcome.ok || outcome.code == "com-5000" || outcome.code == "com-5002") << target << give;
      EXPECT_EQ(outcome.message.find("no usable answer"), std::string::npos) << target << " " << give;
      EXPECT_EQ(outcome.message.find("crash"), std::string::npos) << target << " " << give;
    }
  }
}

TEST_F(Pollution, StaticsAndSymbolsCostTheDriversOwnAnswersAlone) {
  for (const auto* body : {
           "Array[Symbol.species] = null; Array.prototype[Symbol.iterator] = null; Array.isArray = () => false; return "
           "{ data: "
           "input.bytes };",
           "Object.prototype[Symbol.toStringTag] = 'x\\ny'; String.prototype.toString = null; return { data: "
           "input.bytes };",
           "JSON.stringify = () => 'no json'; JSON.parse = null; Reflect.apply = null; return { data: input.bytes };",
           "String = Object = Array = Error = Promise = Number = Date = undefined; return { data: input.bytes };",
           "RegExp.prototype.exec = () => null; RegExp.prototype[Symbol.replace] = null; return { data: input.bytes };",
           "Function.prototype.call = Function.prototype.apply = Function.prototype.bind = null; return { data: "
           "input.bytes };",
           "Object.setPrototypeOf(Array.prototype, null); return { data: input.bytes };",
           "Object.setPrototypeOf(Function.prototype, null); return { data: input.bytes };",
           "Object.freeze(Object.prototype); Object.freeze(Array.prototype); return { data: input.bytes };",
           "delete globalThis.exports; delete globalThis.module; delete globalThis.console; return { data: input.bytes "
           "};",
           "Buffer.from = Buffer.prototype.toString = null; Buffer = 1; require = 2; console = 3; return { data: "
           "input.bytes };",
           "Promise.prototype.then = null; Promise.resolve = null; return { data: input.bytes };",
           "Symbol.prototype[Symbol.toPrimitive] = null; return { data: input.bytes };",
           "for (const k of Reflect.ownKeys(globalThis)) { if (k !== 'decodeUplink' && k !== 'attack') try { delete "
           "globalThis[k]; } catch {} } return { data: input.bytes };",
       }) {
    expect_data(body, "[255]", "void 0;");
  }
  for (const auto* body : {
           "Object.defineProperty(Error, Symbol.hasInstance, { value: () => { throw 1; } }); throw new Error('mine');",
           "Object.defineProperty(RangeError, Symbol.hasInstance, { value: () => true }); throw { message: 'call "
           "stack' };",
           "Object.defineProperty(Promise, Symbol.hasInstance, { value: () => { throw new Error('mine'); } }); return "
           "{ data: "
           "1 };",
           "throw new Proxy(new Error('a'), { get() { throw 1; }, getPrototypeOf() { throw 2; } });",
           "throw { toString() { throw 1; } };",
           "throw Object.create(null);",
           "throw Symbol('x');",
           "throw null;",
           "throw undefined;",
           "throw new Proxy(function () {}, {});",
       }) {
    const auto outcome = attack(body, "void 0;");
    EXPECT_EQ(outcome.code, "com-5002") << body << outcome.message;
    EXPECT_EQ(outcome.message.find("crash"), std::string::npos) << outcome.message;
  }
}

TEST_F(Forgery, LineFeedsForgeNoFieldOfAnAnswer) {
  const auto thrown = attack("throw 'a\\n\"b\"\\nD{\"data\":1}\\n[\"forged\"]\\n';");
  EXPECT_EQ(thrown.message, "driver internal error: a\n\"b\"\nD{\"data\":1}\n[\"forged\"]\n");
  EXPECT_TRUE(thrown.errors.empty() && thrown.warnings.empty() && !thrown.ok);
  const auto listed = attack("return { errors: ['x\\n[]\\n[\"forged\"]'], warnings: ['y\\nz'] };");
  EXPECT_EQ(listed.errors, std::vector<std::string>{"x\n[]\n[\"forged\"]"});
  EXPECT_EQ(listed.warnings, std::vector<std::string>{"y\nz"});
  const auto logged = attack("console.log('x\\n\\nD1'); return { data: '\\n' };");
  EXPECT_EQ(logged.data, R"("\n")");
  EXPECT_EQ(logged.log, std::vector<std::string>{"x\n\nD1"});
  const auto rewritten = attack("return { data: { toJSON: () => ({ toJSON: 1, a: '\\n' }) } };");
  EXPECT_EQ(rewritten.data, R"({"toJSON":1,"a":"\n"})");
  const auto lists = attack(
      "Array.prototype.toJSON = () => 'forged\\n'; String.prototype.toJSON = () => 1; return { data: {}, warnings: "
      "['w'] };",
      "void 0;");
  EXPECT_TRUE(lists.warnings.empty() || lists.warnings == std::vector<std::string>{"w"});
}

TEST_F(Forgery, EncodedBytesAreHexadecimalWhateverTheLanguageSays) {
  const auto forged = [&](const std::string& top, const std::string& bytes) {
    Input input;
    input.data = "{}";
    input.fport = 3;
    return engine().run(
        driver_of(top + "function decodeUplink() {} function encodeDownlink() { return { bytes: " + bytes + " }; }"),
        Operation::encode_downlink, input);
  };
  const char* const kLie =
      "RegExp.prototype.test = () => true; RegExp.prototype.exec = () => ['']; Number.isInteger = () => true;"
      "Array.isArray = () => true; ArrayBuffer.isView = () => true;";
  for (const auto* bytes :
       {"'00\\n7\\n[\"forged\"]\\n'", "'0g'", "'0'", "'\\u0660\\u0660'", "[1.5]", "['0\\n']", "[-1]", "'\\x10\\x19'",
        "[NaN]", "[{ valueOf: () => 1 }]", "new DataView(new ArrayBuffer(2))", "{ length: 1, 0: 1 }", "[,]"}) {
    const auto outcome = forged(kLie, bytes);
    EXPECT_FALSE(outcome.ok) << bytes << " gave " << outcome.payload_hex;
    EXPECT_EQ(outcome.code, "com-5002") << bytes;
    EXPECT_TRUE(outcome.message.starts_with("driver internal error: Error: The driver returned")) << outcome.message;
  }
  const auto fine = forged(kLie, "[1, 255]");
  EXPECT_EQ(fine.payload_hex, "01ff") << fine.message;
  const auto counting =
      forged("", "(() => { let n = 0; return new Proxy([], { get: (t, k) => k === 'length' ? 2 : ++n }); })()");
  EXPECT_TRUE(!counting.ok || counting.payload_hex == "0102") << counting.payload_hex;
  const auto growing =
      forged("", "(() => { let n = 0; return new Proxy([], { get: (t, k) => k === 'length' ? ++n * 2 : 1 }); })()");
  EXPECT_FALSE(growing.ok);
}

TEST_F(Escape, AccountsAndDriversShareNoState) {
  const char* const kCount = R"js(
    var n = 0;
    function decodeUplink(input) {
      const before = [n++, Array.prototype.left, Object.prototype.left, RegExp.$1, Error.stackTraceLimit, Buffer.left, console.left,
        Math.left, globalThis.left, require('buffer').left, typeof Intl.left, Symbol.for('shared').left, input.left, Object.keys(exports).length];
      Array.prototype.left = Object.prototype.left = Buffer.left = console.left = Math.left = globalThis.left = require('buffer').left = Intl.left = 1;
      /(\d+)/.exec('secret 12345');
      Error.stackTraceLimit = 7;
      exports.left = 1;
      Symbol.prototype.left = 1;
      return { data: before.map((x) => x === undefined ? null : x) };
    })js";
  const auto mine = std::make_shared<DriverCode>(*driver_of(kCount));
  const auto theirs = std::make_shared<DriverCode>(*mine);
  const auto other = std::make_shared<DriverCode>(*mine);
  theirs->account = "others";
  other->revision += "b";
  const auto first = call(mine, "01");
  ASSERT_TRUE(first.ok) << first.message;
  EXPECT_EQ(call(theirs, "01").data, first.data);
  EXPECT_EQ(call(other, "01").data, first.data);
  EXPECT_NE(call(mine, "01").data, first.data);
}

// What a driver leaves as its device's context is an array or costs its call, whatever it does to the language.
TEST_F(Forgery, ADeviceContextIsAnArrayOfJson) {
  const auto left = [](const std::string& body) {
    const auto code =
        std::make_shared<DriverCode>(*driver_of("function decodeUplink(input) { " + body + "; return { data: 1 }; }"));
    code->use_context = true;
    return call(code, "01");
  };
  const auto kept = left("context.push({ a: 1 })");
  EXPECT_TRUE(kept.ok) << kept.message;
  EXPECT_EQ(kept.context, R"([{"a":1}])");
  for (const auto* body : {
           "Array.prototype.toJSON = () => 'no array'; context.push(1)",
           "Array.prototype.toJSON = () => ({ a: 1 }); context.push(1)",
           "Array.prototype.toJSON = () => undefined; context.push(1)",
           "context = { length: 1, 0: 1 }",
           "context = new Proxy({}, {})",
           "context = '[1]'",
           "context = null",
           "delete globalThis.context",
           "context.push(context)",
           "context.push({ toJSON() { throw 1; } })",
           "context.push('x'.repeat(70000))",
           "context.push('\\u20ac'.repeat(30000))",
           "let a = []; for (let i = 0; i < 200; i++) a = [a]; context.push(a)",
           "Object.defineProperty(globalThis, 'context', { get() { throw 1; } })",
           "Object.defineProperty(globalThis, 'context', { get() { return 'x\\ny'; } })",
       }) {
    const auto outcome = left(body);
    EXPECT_FALSE(outcome.ok) << body;
    EXPECT_FALSE(outcome.context.has_value()) << body << *outcome.context;
    EXPECT_EQ(outcome.code, "com-5002") << body;
    EXPECT_EQ(outcome.message.find("no usable answer"), std::string::npos) << body;
  }
}

TEST_F(Natives, OddArgumentsCrashNothing) {
  for (
      const auto* body : {
          "const b = new ArrayBuffer(64, { maxByteLength: 4096 }); const u = new Uint8Array(b), v = new DataView(b); "
          "b.resize(4096); u[4095] = 1; b.resize(0); u[0] = 1; u.fill(7); try { v.setUint8(60, 1); } catch {} return { "
          "data: [...u] };",
          "const b = new ArrayBuffer(64), u = new Uint8Array(b), k = Buffer.from(b); const c = b.transfer(128); u[0] = "
          "1; "
          "k.fill(1); try { k.writeUInt8(1, 0); } catch {} k.toString('hex'); return { data: [u.length, c.byteLength] "
          "};",
          "const b = new ArrayBuffer(1 << 20), u = new Uint8Array(b); u.set({ length: 100, get 50() { b.transfer(0); "
          "return "
          "1; } }); return { data: u.length };",
          "const u = new Uint32Array(1 << 16); u.sort((a, c) => { if (u.buffer.byteLength) u.buffer.transfer(0); "
          "return a - c; }); "
          "return { data: 1 };",
          "const u = new Uint8Array(1024); const s = u.subarray({ valueOf() { u.buffer.transfer(); return 1; } }, "
          "900); return { "
          "data: s.length };",
          "const b = Buffer.alloc(1024); try { b.copy(b, { valueOf() { b.buffer.transfer(); return 5; } }); } catch {} "
          "return { data: 1 };",
          "const b = Buffer.alloc(64); try { b.fill('x', { valueOf() { b.buffer.transfer(); return 0; } }); } catch {} "
          "return { data: 1 };",
          "const b = Buffer.alloc(64); b.write('x'.repeat(100), 10, 1e9); b.slice(-1e9, 1e9); b.toString('hex', -5, "
          "1e12); return { data: 1 };",
          "Object.defineProperty(Uint8Array.prototype, 'length', { value: 1e9 }); const b = Buffer.from([1, 2]); try { "
          "b.toString('hex'); } catch {} return { data: 1 };",
          "const b = Buffer.from([1]); Object.setPrototypeOf(b, null); try { Buffer.prototype.readUInt32LE.call(b, 0); "
          "} catch {} "
          "try { Buffer.prototype.toString.call({ length: 1e9 }, 'hex'); } catch {} return { data: 1 };",
          "for (const m of Reflect.ownKeys(Buffer.prototype)) for (const a of [undefined, null, -1, 1e20, NaN, {}, [], "
          "'x', "
          "Symbol(), 1n, () => 1]) { try { Buffer.prototype[m].call(Buffer.alloc(4), a, a, a, a); } catch {} try { "
          "Buffer.prototype[m].call(a, a); } catch {} } return { data: 1 };",
          "for (const m of Reflect.ownKeys(Buffer)) for (const a of [undefined, null, -1, 1e20, NaN, {}, [], 'x', "
          "Symbol(), "
          "1n]) { try { Buffer[m](a, a, a); } catch {} try { new Buffer[m](a); } catch {} } return { data: 1 };",
          "const d = [new Date(NaN), new Date(8.64e15), new Date(-8.64e15)]; for (const x of d) for (const m of "
          "Reflect.ownKeys(Date.prototype)) { try { x[m](1e300, -1e300, NaN); } catch {} } return { data: 1 };",
          "try { new Date(1e9).toLocaleString('x'.repeat(100000)); } catch {} try { new Intl.Locale('en-' + "
          "'a-bcd-'.repeat(20000)); } catch {} try { new Intl.NumberFormat('en', { minimumFractionDigits: 100 "
          "}).format(1e308); } "
          "catch {} try { Intl.supportedValuesOf('timeZone').length; } catch {} return { data: 1 };",
          "try { new Intl.DateTimeFormat(Array(20000).fill('de')); } catch {} try { new Intl.Segmenter('th', { "
          "granularity: 'word' "
          "}).segment('\\u0e01'.repeat(2000)).containing(500); } catch {} return { data: 1 };",
          "const s = 'e\\u0301\\u0327'.repeat(20000); s.normalize('NFC').length; s.normalize('NFKD').length; "
          "s.localeCompare(s + 'a'); "
          "s.toLocaleUpperCase('tr').length; return { data: 1 };",
          "const a = {}; a.a = a; const m = new Map([[a, a]]); m.set(m, m); const c = structuredClone({ a, m, d: new "
          "Date(NaN), "
          "r: /x/g, e: new TypeError('x'), s: [, 1, ,], n: -0, big: 1n, u: new Uint16Array(new ArrayBuffer(8), 2, 2) "
          "}); return { "
          "data: [c.a.a === c.a, c.m.get(c.m) === c.m] };",
          "try { structuredClone(new Proxy({}, { ownKeys() { return ['a']; } })); } catch {} try { structuredClone(() "
          "=> 1); } catch "
          "{} try { structuredClone(Symbol()); } catch {} try { structuredClone(new WeakMap()); } catch {} return { "
          "data: 1 };",
          "const t = new TextDecoder('utf-8'); t.decode(new Uint8Array(1 << 20).fill(0xf0)).length; try { "
          "t.decode({}); } catch {} "
          "try { new TextDecoder('x'.repeat(1e6)); } catch {} return { data: 1 };",
          "const a = [1.1, 2.2]; a.length = 1e5; a[5e4] = {}; a.sort(); a.reverse(); a.copyWithin(1, 3); a.fill(1, "
          "-5); "
          "a.splice(2, 3, 1.5, 'x'); delete a[1]; a.concat(a, [,]); a.flat(); return { data: a.length };",
          "const a = Array.from({ length: 100 }, (_, i) => i + 0.5); a.sort((x, y) => { a.length = 0; return x - y; "
          "}); return { "
          "data: 1 };",
          "const a = [1, 2, 3, 4]; a.indexOf(3, { valueOf() { a.length = 0; return 0; } }); a.slice(0, { valueOf() { "
          "a.length = 0; "
          "return 4; } }); a.splice(0, { valueOf() { a.length = 0; return 4; } }); a.includes(1, { valueOf() { "
          "a.length = 1e6; return "
          "0; } }); a.fill({}, 0, { valueOf() { a.length = 2; return 100; } }); return { data: 1 };",
          "const p = new Proxy([], { get(t, k) { return k === 'length' ? 4294967295 : 1; }, has: () => false }); try { "
          "Array.prototype.concat.call([], p).length; } catch {} return { data: 1 };",
          "class A extends Array { constructor(n) { super(n); return new Proxy(this, {}); } } const a = A.from([1, 2, "
          "3]); "
          "a.map((x) => x).filter((x) => x); return { data: 1 };",
          "class B extends Uint8Array { static get [Symbol.species]() { return function (n) { return new Uint8Array(n "
          "> 1 ? 1 : 0); }; } } "
          "try { new B(10).map((x) => x); } catch {} try { new B(10).slice(2); } catch {} try { new B(10).subarray(2); "
          "} catch {} return { "
          "data: 1 };",
          "const f = function () {}; Object.defineProperty(f, 'length', { value: 1e308 }); f.bind(1).length; "
          "Object.defineProperty(f, "
          "'name', { value: 'x'.repeat(1e6) }); String(f.bind()); return { data: 1 };",
          "const r = /(?<a>.)(?<b>.)|(?<c>x)/dgu; r.lastIndex = 1e20; r.exec('ab'); '\\ud83d\\ude00'.split(/(?:)/u); "
          "'x'.replace(/(x)/, '$1$<a>$99$`$&'); [...'aXbX'.matchAll(/X/g)]; return { data: 1 };",
          "try { 'a'.repeat(1000).replaceAll('', 'x'.repeat(1e5)).length; } catch {} return { data: 1 };",
          "try { Function('a'.repeat(1e5), 'return 1'); Function('a,'.repeat(70000) + 'b', 'return arguments.length'); "
          "} catch {} "
          "return { data: 1 };",
          "try { Math.max(...new Array(200000).fill(1)); } catch {} try { String.fromCharCode.apply(null, new "
          "Array(500000)); } catch "
          "{} try { Reflect.apply(Math.max, null, { length: 1e9 }); } catch {} try { new Array(...new "
          "Uint8Array(300000)); } catch {} "
          "return { data: 1 };",
          "try { BigInt.asUintN(2 ** 53 - 1, -1n); } catch {} try { (1n << 1000000n).toString(36).length; } catch {} "
          "try { "
          "BigInt('0x' + 'f'.repeat(1e5)) % 7n; } catch {} return { data: 1 };",
          "try { (1.5).toFixed(101); } catch {} try { (1e21).toFixed(100); (5e-324).toPrecision(100); (1 / "
          "3).toString(2); } catch {} "
          "return { data: 1 };",
          "const w = new WeakMap(), r = new FinalizationRegistry(() => { for (;;) {} }); for (let i = 0; i < 5000; "
          "i++) { const o = "
          "{}; w.set(o, o); r.register(o, 1); } return { data: 1 };",
          "label: { try { return { data: 1 }; } finally { break label; } } return { data: 2 };",
          "const e = new Error('x', { cause: { get a() { throw 1; } } }); e.stack = { toString() { throw 1; } }; "
          "e.line = 'x'; e.column "
          "= {}; console.log(e); console.error(e, new AggregateError([e])); return { data: 1 };",
          "Object.defineProperty(input, 'time', { get() { throw 1; } }); delete input.bytes; input.thing = 5; return { "
          "data: 1 };",
      }) {
    const auto outcome = attack(body, "void 0;");
    EXPECT_TRUE(outcome.ok || outcome.code == "com-5002" || outcome.code == "com-5004") << body << outcome.code;
    EXPECT_EQ(outcome.message.find("crash"), std::string::npos) << body << ": " << outcome.message;
  }
}

TEST_F(Compilers, WorkUnderStress) {
  // Shapes that change, exits out of optimised code, calls of many kinds; the sums are what an interpreter gives.
  const struct {
    const char* body;
    const char* data;
  } cases[] = {
      {"let s = 0; const o = []; for (let i = 0; i < 3000; i++) { const x = {}; x['k' + (i % 50)] = i; x.v = i; if (i "
       "% 3) delete x.v; o.push(x); } "
       "for (const x of o) s += x.v === undefined ? 1 : x.v; return { data: s };",
       "1500500"},
      {"const add = (a, b) => a + b; let s = 0; for (let i = 0; i < 20000; i++) s = add(s, i) | 0; const t = add('x', "
       "1), u = add({}, 1), v = "
       "add(1n, 2n); for (let i = 0; i < 20000; i++) s = add(s, -i) | 0; return { data: [s, t, u, v] };",
       R"([0,"x1","[object Object]1",3])"},
      {"const a = [1, 2, 3]; const f = (a, i) => a[i]; let s = 0; for (let i = 0; i < 20000; i++) s += f(a, i % 3); "
       "a[1] = 1.5; s += f(a, 1); a[2] "
       "= 'x'; s += f(a, 2); Object.defineProperty(a, 0, { get: () => 100 }); s += f(a, 0); s += f(a, 9) === undefined "
       "? 'u' : 'v'; return { data: s };",
       R"("40000.5x100u")"},
      {"const f = (x) => { try { if (x % 1000 === 999) throw x; return x; } catch (e) { return -e; } finally { if (x "
       "=== 5) x = 0; } }; let s = 0; for (let i "
       "= 0; i < 20000; i++) s += f(i); return { data: s };",
       "199570040"},
      {"const f = (i) => (i | 0) + 2147483647; let s = 0; for (let i = 0; i < 20000; i++) s = f(i); return { data: s "
       "};",
       "2147503646"},
      {"const f = (u, i) => u[i]; const kinds = [Int8Array, Uint8Array, Int16Array, Float32Array, "
       "Float64Array].map((K) => new K([1, 2, 3])); let s "
       "= 0; for (let i = 0; i < 20000; i++) s += f(kinds[i % 5], i % 3); return { data: [s, f(kinds[0], -1), "
       "f(kinds[1], 1e9)] };",
       "[39999,null,null]"},
      {"function f() { return arguments.length + (arguments[2] || 0); } let s = 0; for (let i = 0; i < 20000; i++) s "
       "+= i % 2 ? f(1, 2, 3) : f(); return { "
       "data: s };",
       "60000"},
      {"let s = 0; for (let i = 0; i < 500; i++) s += eval('(' + i + ' + 1)'); for (let i = 0; i < 200; i++) s += new "
       "Function('a', 'return a + ' + i)(1); "
       "return { data: s };",
       "145350"},
      {"const g = function* (n) { for (let i = 0; i < n; i++) yield i; }; let s = 0; for (let k = 0; k < 50; k++) for "
       "(const x of g(100)) s += x; return { "
       "data: s };",
       "247500"},
      {"class A { #p = 1; get p() { return this.#p; } add() { this.#p++; return this; } } class B extends A { add() { "
       "return super.add().constructor === "
       "B ? this : null; } } const b = new B(); for (let i = 0; i < 10000; i++) b.add(); return { data: b.p };",
       "10001"},
  };
  for (const auto& it : cases)
    expect_data(it.body, it.data, "void 0;");
}

TEST_F(Compilers, TakeHugeCode) {
  std::string many;
  for (int i = 0; i < 20000; ++i)
    many += "function f" + std::to_string(i) + "(a){return a+" + std::to_string(i) + ";}\n";
  auto outcome = call(
      driver_of(
          many +
          "function decodeUplink() { let s = 0; for (let i = 0; i < 2000; i++) s += globalThis['f' + i](1); return "
          "{ data: s }; }"),
      "01");
  EXPECT_TRUE(outcome.data == "2001000" || outcome.message == kTimedOut) << outcome.message;
  std::string body = "function big(x) { let s = x;\n";
  for (int i = 0; i < 20000; ++i)
    body += "if (s === " + std::to_string(i * 7) + ") s += " + std::to_string(i % 5) + "; else s = (s * 3 + 1) | 0;\n";
  outcome = call(driver_of(body + "return s; } function decodeUplink() { let s = 0; for (let i = 0; i < 100; i++) s ^= "
                                  "big(i); return { data: typeof s }; }"),
                 "01");
  EXPECT_TRUE(outcome.data == "\"number\"" || outcome.message == kTimedOut) << outcome.message;
  std::string cases = "function pick(x) { switch (x) {\n";
  for (int i = 0; i < 20000; ++i)
    cases += "case " + std::to_string(i) + ": return " + std::to_string(i * 2) + ";\n";
  outcome = call(driver_of(cases + "} } function decodeUplink() { let s = 0; for (let i = 0; i < 5000; i++) s += "
                                   "pick(i); return { data: s }; }"),
                 "01");
  EXPECT_TRUE(outcome.data == "24995000" || outcome.message == kTimedOut) << outcome.message;
  EXPECT_EQ(call(driver_of(kGood), "05").data, "5");
}

}  // namespace
}  // namespace sluice::driver
