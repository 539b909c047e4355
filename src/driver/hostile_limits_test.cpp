// SPDX-License-Identifier: Apache-2.0
// Drivers that never end, or want more memory, stack or room in the answer than they get (spec drivers.md 14, 15).
#include "driver/hostile_kit.h"

namespace sluice::driver {
namespace {

class Endless : public HostileTest {};
class Memory : public HostileTest {};
class Stack : public HostileTest {};
class Size : public HostileTest {};

TEST_F(Endless, PlainLoops) {
  expect_time_out("while (true) {}");
  expect_time_out("for (;;) new Date().toISOString();");
}

TEST_F(Endless, LoopsInEveryPlaceThatRunsTheDriversCode) {
  for (const auto* body : {
           "for (;;) { try { for (;;) {} } catch (e) {} finally { for (;;) {} } }",
           "let e = 1; while (e) { try { throw e; } catch (x) { e = x; } }",
           "return { get data() { for (;;) {} } };",
           "return { get errors() { for (;;) {} } };",
           "return { data: { get a() { for (;;) {} } } };",
           "return { data: { toJSON() { for (;;) {} } } };",
           "return { data: 1, warnings: [{ [Symbol.toPrimitive]() { for (;;) {} } }] };",
           "return { data: 1, warnings: [{ toString() { for (;;) {} } }] };",
           "return { data: 1, errors: [{ toString: null, valueOf() { for (;;) {} } }] };",
           "return { data: 1, errors: new Proxy([], { get() { for (;;) {} } }) };",
           "return new Proxy({}, { getOwnPropertyDescriptor() { for (;;) {} } });",
           "return { data: new Proxy({}, { ownKeys() { for (;;) {} } }) };",
           "return { data: new Proxy({}, { getPrototypeOf() { for (;;) {} } }) };",
           "throw { toString() { for (;;) {} } };",
           "const e = new Error('x'); Object.defineProperty(e, 'message', { get() { for (;;) {} } }); throw e;",
           "const e = new Error('x'); Object.defineProperty(e, 'stack', { get() { for (;;) {} } }); throw e;",
           "console.log({ get a() { for (;;) {} } });",
           "console.log('%s', { toString() { for (;;) {} } }); for (;;) {}",
       }) {
    expect_time_out(body);
  }
}

TEST_F(Endless, LoopsBehindTheLanguagesOwnFunctions) {
  for (const auto* body : {
           "for (const x of { [Symbol.iterator]() { return { next: () => ({ done: false }) }; } }) {}",
           "return { data: [...(function* () { for (;;) yield; })()].length };",
           "[3, 1, 2].sort(() => { for (;;) {} });",
           "'abc'.replace(/b/, () => { for (;;) {} });",
           "JSON.parse('[1]', () => { for (;;) {} });",
           "JSON.stringify([1], () => { for (;;) {} });",
           "Array.from({ length: 1e15 });",
           "new Array(4294967295).join('').length;for(;;){}",
           "Array.prototype.indexOf.call({ length: Number.MAX_SAFE_INTEGER }, 1);",
           "Array.prototype.reverse.call(new Proxy({ length: 1e15 }, {}));",
           "let r; (async () => { for (;;) await 0; })(); return { data: 1 };",
           "const f = () => Promise.reject(1).catch(f); f(); return { data: 1 };",
           "const t = { then(r) { r(t); } }; Promise.resolve(t); return { data: 1 };",
           "(async function* () { for (;;) yield 1; })().next(); const g = async () => { for await (const x of "
           "(async function* () { for (;;) yield 1; })()) {} }; g(); return { data: 1 };",
           "eval('for (;;) {}');",
           "new Function('for (;;) {}')();",
           "let n = 1n; for (;;) n = (n * 7n) % 1000000007n;",
           "with (new Proxy({}, { has() { for (;;) {} } })) { x; }",
           "class A { static x = (() => { for (;;) {} })(); }",
           "label: for (;;) { continue label; }",
           "const m = new Map([[1, 1]]); m.forEach((v, k) => { m.delete(k); m.set(k + 1, 1); m.set(k + 2, 1); });",
           "const a = [1]; for (const x of a) { a[0] = x; a.push(1); a.shift(); a.unshift(1); }",
           "new Intl.ListFormat('en').format((function* () { for (;;) yield 'a'; })());",
       }) {
    expect_bounded(body);
  }
}

TEST_F(Endless, RegularExpressionsThatTrackBackWithoutEnd) {
  for (const auto* body : {
           "return { data: /^(a+)+$/.test('a'.repeat(40) + 'b') };",
           "return { data: /^(a|a)*$/.test('a'.repeat(40) + 'b') };",
           "return { data: /^(([a-z])+.)+[A-Z]([a-z])+$/.test('a'.repeat(60)) };",
           "return { data: /(x+x+)+y/.test('x'.repeat(50)) };",
           "return { data: /(?=(a+)+$)b/u.test('a'.repeat(40) + '!') };",
           "return { data: 'a'.repeat(40).replace(/(a*)*b/, '') };",
           "return { data: /(.*)\\1(.*)\\2(.*)\\3(.*)\\4x/s.test('ab'.repeat(400)) };",
           "for (;;) new RegExp('(a+)+$').test('a'.repeat(24) + 'b');",
       }) {
    expect_time_out(body);
  }
}

TEST_F(Endless, LoopsWhileTheDriverIsEvaluated) {
  // The limit of an evaluation is a second, so only a few of these.
  for (const auto* source :
       {"Promise.resolve().then(() => { for (;;) {} }); function decodeUplink() { return { data: 1 }; }",
        "const a = { toString() { for (;;) {} } }; `${a}`;",
        "var driver = new Proxy({}, { get() { for (;;) {} } });"}) {
    const auto outcome = call(driver_of(source), "01");
    EXPECT_EQ(outcome.code, "com-5004") << source;
    EXPECT_EQ(outcome.message, kTimedOut) << source;
    EXPECT_EQ(call(driver_of(kGood), "05").data, "5");
  }
}

TEST_F(Endless, ExtractPointsCannotHoldUpACall) {
  for (const auto* points : {"for (;;) {}", "return { get a() { for (;;) {} } };",
                             "return { a: { unitId: 'Cel', get record() { for (;;) {} } } };"}) {
    const auto outcome = call(
        driver_of(std::string("function decodeUplink() { return { data: { a: 1 } }; } function extractPoints() { ") +
                  points + " }"),
        "01");
    EXPECT_EQ(outcome.message, kTimedOut) << points;
  }
}

// What a stopped call has left to run later would run in the time of the next one, whoever's that is.
TEST_F(Endless, PromisesLeftBehindRunInNobodyElsesTime) {
  const auto bomb = driver_of(
      "function decodeUplink() { for (let i = 0; i < 50; i++) Promise.resolve().then(() => { for (;;) {} }); return { "
      "data: 1 }; }");
  const auto good = driver_of(kGood);
  for (int round = 0; round < 2; ++round) {
    EXPECT_EQ(call(bomb, "01").message, kTimedOut);
    const auto begun = std::chrono::steady_clock::now();
    for (int i = 0; i < 20; ++i) {
      const auto outcome = call(good, "05");
      ASSERT_TRUE(outcome.ok) << outcome.message;
    }
    EXPECT_LT(std::chrono::steady_clock::now() - begun, std::chrono::milliseconds(1500));
  }
}

TEST_F(Memory, IsBounded) {
  for (const auto* body : {
           "const all = []; for (;;) all.push(new Array(100000).fill(1.5));",
           "const all = []; for (;;) all.push(new Uint8Array(1 << 24).fill(1));",
           "const all = []; for (;;) all.push(Buffer.alloc(1 << 20, 'x'));",
           "let s = 'x'; for (;;) { s += s; s.charCodeAt(s.length - 1); }",
           "const all = []; for (;;) { const s = 'ab'.repeat(1 << 22); s.charCodeAt(5); all.push(s.split('')); }",
           "const all = []; for (;;) all.push(new Array(1 << 20).join('xy') + all.length);",
           "const all = []; for (;;) all.push(''.padEnd(1 << 24, 'abc').toUpperCase());",
           "const m = new Map(); for (let i = 0;; i++) m.set('key' + i, { i });",
           "const s = new Set(); for (let i = 0;; i++) s.add([i]);",
           "let n = 2n; for (;;) n = n * n;",
           "return { data: String(2n ** 2n ** 40n) };",
           "let a = []; for (;;) a = [a, a.slice(), { a }];",
           "const o = {}; for (let i = 0;; i++) o['k' + i] = i;",
           "let f = () => 1; for (;;) { const g = f; f = () => g; }",
           "const e = []; for (;;) e.push(new Error('x'.repeat(1000)));",
           "const all = []; for (let i = 0;; i++) all.push(new RegExp('a' + i + '(b|c)*'));",
           "const all = []; for (let i = 0;; i++) all.push(new Function('return ' + i));",
           "const all = []; for (let i = 0;; i++) all.push(Symbol.for('s' + i));",
           "const all = []; for (;;) all.push(new Intl.DateTimeFormat('de', { timeZone: 'Europe/Paris' }));",
           "const all = []; for (;;) all.push(new ArrayBuffer(1 << 16, { maxByteLength: 1 << 28 }));",
           "const p = []; for (;;) p.push(new Promise(() => {}));",
           "const r = new FinalizationRegistry(() => {}); for (;;) r.register({}, { a: [1, 2, 3] });",
           "const w = []; for (;;) w.push(new WeakRef({ a: new Array(100) }));",
           "const all = []; for (;;) all.push(structuredClone({ a: new Uint8Array(1 << 20) }));",
           "const all = []; for (;;) all.push(JSON.parse('[' + '1.5,'.repeat(1 << 18) + '1]'));",
           "const all = []; for (;;) all.push(new TextEncoder().encode('\\u20ac'.repeat(1 << 18)));",
           "const i = []; const g = (function* () { let x = []; for (;;) { x = [x]; yield x; } })(); for (const x of "
           "g) "
           "i.push(x);",
           "const a = []; for (;;) a.push(a.length, a.concat(a).length);",
           "for (;;) console.log('x'.repeat(1 << 20));",
       }) {
    expect_bounded(body);
  }
}

TEST_F(Memory, ImpossibleSizesAreErrorsOfTheCall) {
  for (const auto* body : {
           "new Array(-1);",
           "'x'.repeat(2 ** 31);",
           "'x'.padStart(2 ** 32);",
           "new Uint8Array(2 ** 53);",
           "new ArrayBuffer(2 ** 52);",
           "new Float64Array(2 ** 50);",
           "Buffer.alloc(2 ** 40);",
           "Buffer.from({ length: 2 ** 31 });",
           "Buffer.concat([Buffer.alloc(1)], 2 ** 33);",
           "2n ** 100000000000n;",
           "1n << (1n << 62n);",
           "[].length = 2 ** 33;",
           "new ArrayBuffer(8, { maxByteLength: 2 ** 52 });",
           "return { data: 'x'.repeat(2 ** 30).repeat(8) };",
           "const a = []; a.length = 2 ** 32 - 1; return { data: a.join('yyyyyyyy') };",
           "throw new Error('x'.repeat(2 ** 30));",
           "throw 'y'.repeat(2 ** 30);",
           "return { data: 1, errors: ['x'.repeat(2 ** 30), 'x'.repeat(2 ** 30)] };",
           "return { data: { ['k'.repeat(2 ** 28)]: 1 } };",
           "new RegExp('a{1,2147483647}'.repeat(1000));",
           "new DataView(new ArrayBuffer(8), 2 ** 40);",
       }) {
    expect_bounded(body);
  }
}

TEST_F(Stack, DeepRecursionIsAnErrorOfTheCall) {
  for (const auto* body : {
           "const f = () => f() + 1; return f();",
           "const o = { toString() { return '' + this; } }; return { data: String(o) };",
           "const o = { get a() { return this.a; } }; return o.a;",
           "let p = {}; for (let i = 0; i < 100000; i++) p = new Proxy(p, {}); return { data: p.x };",
           "class A { constructor() { new A(); } } new A();",
           "const f = (...a) => f(...a, 1); f();",
           "function f() { try { f(); } finally { f(); } } f();",
           "const a = []; a[0] = { toString: () => a[0].toString() + 1 }; return { data: a[0].toString() };",
           "[1].map(function g() { return [1].map(g); });",
           "'a'.replace(/a/, function g(x) { return x.replace(/a/, g); });",
           "JSON.parse('[1]', function g(k, v) { return JSON.parse('[1]', g); });",
           "const f = () => eval('f()'); f();",
           "const f = () => Reflect.apply(f, null, []); f();",
           "let f = () => 1; for (let i = 0; i < 200000; i++) f = f.bind(null); f();for(;;)f();",
           "const s = Symbol.toPrimitive; const o = { [s]() { return +o; } }; +o;",
           "const g = function* () { yield* g(); }; g().next();",
       }) {
    const auto outcome = attack(body);
    EXPECT_FALSE(outcome.ok) << body;
    if (outcome.code == "com-5002") {
      EXPECT_EQ(outcome.message, kOverflow) << body;
    } else {
      EXPECT_EQ(outcome.message, kTimedOut) << body;
    }
  }
}

TEST_F(Stack, DeepTextIsAnErrorOfTheCallOrFine) {
  for (const auto* body : {
           "return { data: JSON.parse('['.repeat(1e6) + ']'.repeat(1e6)) };",
           "let a = []; for (let i = 0; i < 1e6; i++) a = [a]; return { data: JSON.stringify(a) };",
           "let a = []; for (let i = 0; i < 1e6; i++) a = [a]; return { data: a };",
           "let a = []; for (let i = 0; i < 1e6; i++) a = [a]; return { data: a.toString() };",
           "let a = []; for (let i = 0; i < 1e6; i++) a = [a]; return { data: a.flat(Infinity) };",
           "let a = []; for (let i = 0; i < 1e6; i++) a = { a }; return { data: structuredClone(a) };",
           "return { data: eval('('.repeat(1e5) + '1' + ')'.repeat(1e5)) };",
           "return { data: eval('-'.repeat(1e5).replace(/-/g, '- ') + '1') };",
           "return { data: eval('[' .repeat(1e5) + ']'.repeat(1e5)).length + new Function(('{').repeat(1e5) + "
           "'}'.repeat(1e5)).length };",
           "return { data: new RegExp('('.repeat(1e5) + ')'.repeat(1e5)).test('x') };",
           "return { data: new RegExp('(?:'.repeat(2e4) + 'a' + ')*'.repeat(2e4)).test('a'.repeat(50)) };",
           "let s = ''; for (let i = 0; i < 1e6; i++) s = 'a' + s; return { data: s.charCodeAt(5e5) + [s] .length };",
           "return { data: eval('var x = ' + Array(50000).fill('a=>').join('') + '1') };",
           "return { data: eval('1' + '+1'.repeat(2e5)) };",
           "return { data: eval('`${'.repeat(1e4) + '1' + '}`'.repeat(1e4)) };",
       }) {
    const auto outcome = attack(body);
    EXPECT_EQ(outcome.message.find("crash"), std::string::npos) << body << ": " << outcome.message;
  }
}

TEST_F(Size, HugeAnswersAreRefusedByWhatTheyAre) {
  for (const auto* body : {
           "return { data: 'x'.repeat(2000000) };",
           "return { data: { ['k'.repeat(2000000)]: 1 } };",
           "return { data: new Array(600000).fill(1) };",
           "return { data: '\\u20ac'.repeat(400000) };",
           "return { data: '\\u0001'.repeat(200000) };",
           "return { data: '\\ud800'.repeat(400000) };",
       }) {
    const auto outcome = attack(body);
    EXPECT_EQ(outcome.code, "com-5002") << body;
    EXPECT_TRUE(outcome.message.starts_with("driver internal error: Error: The result is ")) << outcome.message;
  }
}

TEST_F(Size, HugeListsAreCut) {
  auto outcome = attack("return { data: 1, warnings: new Array(1000000).fill('w'.repeat(10000)) };");
  EXPECT_TRUE(outcome.ok) << outcome.message;
  EXPECT_LE(outcome.warnings.size(), 100u);
  outcome = attack("return { data: 1, errors: new Array(1000000).fill('e'.repeat(10000)) };");
  EXPECT_EQ(outcome.code, "com-5000");
  EXPECT_LE(outcome.message.size(), 4200u);
  EXPECT_LE(outcome.errors.size(), 100u);
  outcome = attack("for (let i = 0; i < 20000; i++) console.log('line ' + i); return { data: 1 };");
  EXPECT_TRUE(outcome.ok) << outcome.message;
  std::size_t size = 0;
  for (const auto& line : outcome.log)
    size += line.size();
  EXPECT_LE(size, 20000u);
  outcome = attack("for (let i = 0; i < 200000; i++) console.log(''); return { data: 1 };");
  EXPECT_LE(outcome.log.size(), 20000u);
  outcome = attack("return { data: { a: new Array(5000).fill(NaN) } };");
  EXPECT_TRUE(outcome.ok) << outcome.message;
  EXPECT_LE(outcome.warnings.size(), 101u);
  outcome =
      attack("return { data: 1 };",
             "function extractPoints() { const o = {}; for (let i = 0; i < 5000; i++) o['p' + i] = 1; return o; }");
  EXPECT_TRUE(outcome.ok) << outcome.message;
  EXPECT_LE(outcome.warnings.size(), 101u);
}

}  // namespace
}  // namespace sluice::driver
