R"js(
// What a driver finds beside the language (spec drivers.md 9.1), and what is taken away from it (9.2). An expression: a
// function that sets up the global object and gives back the first `exports`. `makeKit` makes what Buffer is made of, and
// `makeCrypto` out of that the module crypto, for a trusted driver (16.5).
//
// Most drivers use none of the larger parts, and hundreds of drivers are kept warm: so each part is made when it is first
// asked for. What is captured then can be a driver's own doing, and so is what comes of it: no part but `note` has a say in
// what leaves this global object.
(function (makeKit, note, makeCrypto) {
'use strict';
const global = globalThis;
const Str = String, TE = TypeError, Err = Error, U8 = Uint8Array, AB = ArrayBuffer, M = Map, S = Set, Dat = Date, RX = RegExp;
const define = Object.defineProperty, getProto = Object.getPrototypeOf, ownKeys = Object.keys, apply = Reflect.apply;
const isArray = Array.isArray, isView = AB.isView, toJson = JSON.stringify, lower = Str.prototype.toLowerCase;
const codeAt = Str.prototype.charCodeAt, replace = Str.prototype.replace, trim = Str.prototype.trim;
const mapEach = M.prototype.forEach, setEach = S.prototype.forEach, mapGet = M.prototype.get, mapSet = M.prototype.set, mapHas = M.prototype.has;
const setAdd = S.prototype.add, dateTime = Dat.prototype.getTime, bufferSlice = AB.prototype.slice;

for (const name of ['WebAssembly', 'SharedArrayBuffer', 'Atomics', 'queueMicrotask', 'performance', 'setTimeout', 'setInterval',
  'setImmediate', 'clearTimeout', 'clearInterval', 'fetch', 'crypto', 'process', 'global', 'window', 'self', 'document', 'ShadowRealm']) {
  delete global[name];
}
const put = (name, value) => define(global, name, { value, writable: true, enumerable: false, configurable: true });
const hide = (target, name, value) => define(target, name, { value, writable: true, enumerable: false, configurable: true });
// A global of that name, made when it is first read; it can be written and declared anew like any other.
const lazy = (name, make) => define(global, name, {
  get() {
    const value = make();
    put(name, value);
    return value;
  },
  set(value) { put(name, value); }, enumerable: false, configurable: true });

let madeKit;
const kitOf = () => madeKit === undefined ? madeKit = makeKit() : madeKit;
const Obj = Object, hasOwn = Object.hasOwn, sliceText = Str.prototype.slice, join = Array.prototype.join;
const mapSize = Object.getOwnPropertyDescriptor(M.prototype, 'size').get, setSize = Object.getOwnPropertyDescriptor(S.prototype, 'size').get;
const hasBrand = (getter, value) => { try { apply(getter, value, []); return true; } catch { return false; } };

// ---- console

function makeConsole() {
const fixed = Number.parseInt, real = Number.parseFloat;
const kItems = 100, kDeep = 6, kRoom = 20000;

// Text of a value for a reader, much as Node.js shows it: bounded in items, levels and length. `left.room`: characters left.
function inspect(value, level, above, left) {
  const text = inspected(value, level, above, left);
  left.room -= text.length;
  return text;
}
function inspected(value, level, above, left) {
  if (typeof value === 'string') return level === 0 ? value : toJson(value);
  if (typeof value === 'bigint') return Str(value) + 'n';
  if (typeof value === 'function') return value.name ? '[Function: ' + Str(value.name) + ']' : '[Function]';
  if (typeof value !== 'object' || value === null) return value === 0 && 1 / value < 0 ? '-0' : Str(value);
  if (value instanceof Err) return Str(value);
  if (madeKit !== undefined && madeKit.Buffer.isBuffer(value) && isView(value)) return apply(madeKit.Buffer.prototype.inspect, value, []);
  if (hasBrand(dateTime, value)) return value.toJSON() || 'Invalid Date';
  if (value instanceof RX) return Str(value);
  for (let i = 0; i < above.length; i++) if (above[i] === value) return '[Circular]';
  if (level > kDeep || left.room < 0) return isArray(value) ? '[Array]' : '[Object]';
  above[above.length] = value;
  const parts = [];
  let count = 0, rest = 0, shape = '{}', name = '';
  const add = (text) => { if (count < kItems && left.room >= 0) parts[count++] = text; else rest++; };
  if (isArray(value) || (isView(value) && !(value instanceof DataView))) {
    shape = '[]';
    if (!isArray(value)) name = Str(value.constructor && value.constructor.name) + '(' + value.length + ') ';
    for (let i = 0; i < value.length && i < kItems; i++) add(inspect(value[i], level + 1, above, left));
    rest = value.length > count ? value.length - count : 0;
  } else if (hasBrand(mapSize, value)) {
    name = 'Map(' + apply(mapSize, value, []) + ') ';
    apply(mapEach, value, [(v, k) => count < kItems ? add(inspect(k, level + 1, above, left) + ' => ' + inspect(v, level + 1, above, left)) : rest++]);
  } else if (hasBrand(setSize, value)) {
    name = 'Set(' + apply(setSize, value, []) + ') ';
    apply(setEach, value, [(v) => count < kItems ? add(inspect(v, level + 1, above, left)) : rest++]);
  } else {
    const keys = ownKeys(value), proto = getProto(value), made = proto === null ? undefined : proto.constructor;
    if (typeof made === 'function' && made !== Obj && typeof made.name === 'string' && made.name !== '') name = made.name + ' ';
    for (let i = 0; i < keys.length && count < kItems; i++) add(toJson(keys[i]) + ':' + inspect(value[keys[i]], level + 1, above, left));
    rest = keys.length - count;
  }
  above.length--;
  if (rest > 0) parts[count++] = '... ' + rest + ' more';
  return name + shape[0] + apply(join, parts, [',']) + shape[1];
}
function shown(value) {
  try { return inspect(value, 0, [], { room: kRoom }); } catch {
    try { return Str(value); } catch { return '[object]'; }
  }
}

// One line out of what a console function was given; %s %d %i %f %j %o %O %c in a leading text as in Node.js.
function lineOf(values) {
  let out = '', next = 1;
  if (typeof values[0] === 'string' && values.length > 1) {
    const format = values[0];
    for (let i = 0; i < format.length; i++) {
      const kind = format[i] === '%' && i + 1 < format.length ? format[i + 1] : '';
      if (kind === '%') { out += '%'; i++; continue; }
      if (kind === '' || next >= values.length || !(kind === 's' || kind === 'd' || kind === 'i' || kind === 'f' || kind === 'j' || kind === 'o' || kind === 'O' || kind === 'c')) {
        out += format[i];
        continue;
      }
      const value = values[next++];
      i++;
      if (kind === 's') out += shown(value);
      else if (kind === 'd') out += typeof value === 'object' && value !== null ? 'NaN' : typeof value === 'bigint' ? Str(value) + 'n' : typeof value === 'symbol' ? 'NaN' : shown(+value);
      else if (kind === 'i') out += typeof value === 'bigint' ? Str(value) + 'n' : typeof value === 'object' || typeof value === 'symbol' ? 'NaN' : shown(fixed(value));
      else if (kind === 'f') out += typeof value === 'symbol' ? 'NaN' : shown(real(value));
      else if (kind === 'j') { let text; try { text = toJson(value); } catch { text = '[Circular]'; } out += text === undefined ? 'undefined' : text; }
      else if (kind !== 'c') out += typeof value === 'string' ? toJson(value) : shown(value);
    }
  } else if (values.length > 0) out = shown(values[0]);
  for (; next < values.length; next++) out += ' ' + shown(values[next]);
  return out;
}

let indent = '';
function say(prefix, values) {
  try { note(indent + prefix + lineOf(values)); } catch { note(indent + prefix + '[object]'); }
}
// Rows below each other, columns parted by tabs.
function tableOf(rows) {
  const columns = [], keys = ownKeys(rows);
  let hasValues = false;
  for (let i = 0; i < keys.length && i < kItems; i++) {
    const row = rows[keys[i]];
    if (typeof row !== 'object' || row === null) { hasValues = true; continue; }
    const names = ownKeys(row);
    for (let n = 0; n < names.length && n < kItems; n++) {
      let known = false;
      for (let c = 0; c < columns.length && !known; c++) known = columns[c] === names[n];
      if (!known && columns.length < kItems) columns[columns.length] = names[n];
    }
  }
  let out = '(index)';
  for (let c = 0; c < columns.length; c++) out += '\t' + columns[c];
  if (hasValues) out += '\tValues';
  for (let i = 0; i < keys.length && i < kItems && out.length < kRoom; i++) {
    const row = rows[keys[i]], isRow = typeof row === 'object' && row !== null;
    out += '\n' + keys[i];
    for (let c = 0; c < columns.length; c++) out += '\t' + (isRow && hasOwn(row, columns[c]) ? shown(row[columns[c]]) : '');
    if (hasValues) out += '\t' + (isRow ? '' : shown(row));
  }
  return out;
}

const counts = new M(), times = new M(), mapDelete = M.prototype.delete, now = Dat.now;
const labelOf = (label) => { try { return label === undefined ? 'default' : Str(label); } catch { return 'default'; } };
const console = {};
for (const level of ['log', 'info', 'warn', 'error', 'debug', 'trace']) {
  const prefix = level === 'log' ? '' : level + ': ';
  console[level] = (...values) => say(prefix, values);
}
console.dir = (value) => say('', [value]);
console.dirxml = (...values) => say('', values);
console.table = (rows) => {
  if (typeof rows !== 'object' || rows === null) return say('', [rows]);
  try { note(tableOf(rows)); } catch { say('', [rows]); }
};
console.group = console.groupCollapsed = (...values) => {
  if (values.length > 0) say('', values);
  if (indent.length < 40) indent += '  ';
};
console.groupEnd = () => { indent = apply(sliceText, indent, [2]); };
console.assert = (condition, ...values) => {
  if (condition) return;
  if (typeof values[0] === 'string') values[0] = 'Assertion failed: ' + values[0];
  else { for (let i = values.length; i > 0; i--) values[i] = values[i - 1]; values[0] = 'Assertion failed'; }
  say('error: ', values);
};
console.count = (label) => {
  const name = labelOf(label), n = (apply(mapGet, counts, [name]) || 0) + 1;
  apply(mapSet, counts, [name, n]);
  say('', [name + ': ' + n]);
};
console.countReset = (label) => { apply(mapDelete, counts, [labelOf(label)]); };
console.time = (label) => { apply(mapSet, times, [labelOf(label), now()]); };
const elapsed = (label, values) => {
  const name = labelOf(label), begun = apply(mapGet, times, [name]);
  if (begun === undefined) return;
  let line = name + ': ' + (now() - begun) + 'ms';
  for (let i = 0; i < values.length; i++) line += ' ' + shown(values[i]);
  say('', [line]);
};
console.timeLog = (label, ...values) => elapsed(label, values);
console.timeEnd = (label) => { elapsed(label, []); apply(mapDelete, times, [labelOf(label)]); };
for (const name of ['clear', 'profile', 'profileEnd', 'timeStamp']) console[name] = () => {};
return console;
}
lazy('console', makeConsole);

// ---- modules

const exports = {}, module = { exports };
put('exports', exports);
put('module', module);
let bufferModule, cryptoModule;
function makeBufferModule() {
  const kit = kitOf();
  return { Buffer: kit.Buffer, kMaxLength: kit.kMax, INSPECT_MAX_BYTES: 50, constants: { MAX_LENGTH: kit.kMax },
    SlowBuffer: function SlowBuffer(length) { return kit.Buffer.alloc(+length !== length ? 0 : +length); } };
}
put('require', function require(name) {
  if (name === 'buffer' || name === 'buffer/' || name === 'node:buffer') return bufferModule || (bufferModule = makeBufferModule());
  if (makeCrypto !== undefined && (name === 'crypto' || name === 'node:crypto')) return cryptoModule || (cryptoModule = makeCrypto(kitOf()));
  throw new Err("Cannot find module '" + Str(name) + "'");
});
lazy('Buffer', () => kitOf().Buffer);

// ---- text

let madeText;
const textOf = (name) => () => (madeText === undefined ? madeText = makeText() : madeText)[name];
for (const name of ['TextEncoder', 'TextDecoder', 'btoa', 'atob']) lazy(name, textOf(name));
function makeText() {
const kit = kitOf();
function bytesOf(source) {
  if (source === undefined) return new U8(0);
  if (isView(source)) return new U8(source.buffer, source.byteOffset, source.byteLength);
  if (source instanceof AB) return new U8(source);
  throw new TE('The "input" argument must be an instance of ArrayBuffer or ArrayBufferView.');
}
const TextEncoder = class TextEncoder {
  get encoding() { return 'utf-8'; }
  encode(text = '') { return new U8(kit.utf8Encode(Str(text))); }
  encodeInto(text, target) {
    text = Str(text);
    let read = 0, written = 0;
    while (read < text.length) {
      const c = apply(codeAt, text, [read]), wide = c >= 0xd800 && c < 0xdc00 && read + 1 < text.length ? 2 : 1;
      const bytes = kit.utf8Encode(wide === 2 ? text[read] + text[read + 1] : text[read]);
      if (written + bytes.length > target.length) break;
      for (let i = 0; i < bytes.length; i++) target[written++] = bytes[i];
      read += wide;
    }
    return { read, written };
  }
};
const labels = {};
for (const [name, list] of [
  ['utf-8', 'utf-8 utf8 unicode-1-1-utf-8 unicode11utf8 unicode20utf8 x-unicode20utf8'],
  ['utf-16le', 'utf-16le utf-16 ucs-2 ucs2 unicode csunicode iso-10646-ucs-2 unicodefeff'],
  ['utf-16be', 'utf-16be unicodefffe'],
  ['windows-1252', 'windows-1252 ascii us-ascii latin1 l1 iso-8859-1 iso8859-1 iso88591 iso_8859-1 cp1252 x-cp1252 cp819 ibm819 ansi_x3.4-1968']]) {
  for (const label of list.split(' ')) labels[label] = name;
}
const upper1252 = '\u20ac\x81\u201a\u0192\u201e\u2026\u2020\u2021\u02c6\u2030\u0160\u2039\u0152\x8d\u017d\x8f' +
  '\x90\u2018\u2019\u201c\u201d\u2022\u2013\u2014\u02dc\u2122\u0161\u203a\u0153\x9d\u017e\u0178';

// How many bytes at the end begin a character that the next piece may complete.
function cutUtf8(b) {
  for (let back = 1; back <= 3 && back <= b.length; back++) {
    const c = b[b.length - back];
    if ((c & 0xc0) === 0x80) continue;
    const need = c >= 0xc2 && c < 0xe0 ? 2 : c >= 0xe0 && c < 0xf0 ? 3 : c >= 0xf0 && c < 0xf5 ? 4 : 1;
    if (need <= back) return 0;
    const second = back > 1 ? b[b.length - back + 1] : 0x80;
    const bad = back > 1 && ((c === 0xe0 && second < 0xa0) || (c === 0xed && second > 0x9f) || (c === 0xf0 && second < 0x90) || (c === 0xf4 && second > 0x8f));
    return bad ? 0 : back;
  }
  return 0;
}
// Text of two-byte units; null for half a pair where that is fatal.
function decodeUtf16(b, big, fatal) {
  const codes = [];
  for (let i = 0, n = 0; i < b.length; i += 2) {
    let c = i + 1 >= b.length ? -1 : big ? b[i] << 8 | b[i + 1] : b[i] | b[i + 1] << 8;
    if (c >= 0xd800 && c < 0xdc00 && i + 3 < b.length) {
      const d = big ? b[i + 2] << 8 | b[i + 3] : b[i + 2] | b[i + 3] << 8;
      if (d >= 0xdc00 && d < 0xe000) { codes[n++] = c; codes[n++] = d; i += 2; continue; }
    }
    if (c < 0 || (c >= 0xd800 && c < 0xe000)) { if (fatal) return null; c = 0xfffd; }
    codes[n++] = c;
  }
  return kit.textOf(codes);
}
function decode1252(b) {
  const codes = [];
  for (let i = 0; i < b.length; i++) codes[i] = b[i] >= 0x80 && b[i] < 0xa0 ? apply(codeAt, upper1252, [b[i] - 0x80]) : b[i];
  return kit.textOf(codes);
}
const u8slice = U8.prototype.slice, u8set = U8.prototype.set, RE = RangeError;
const TextDecoder = class TextDecoder {
  #encoding; #fatal; #ignoreBOM; #held = new U8(0); #started = false;
  constructor(label = 'utf-8', options = {}) {
    const key = apply(lower, apply(trim, Str(label), []), []);
    if (!hasOwn(labels, key)) throw new RE('The "' + apply(sliceText, Str(label), [0, 100]) + '" encoding is not supported');
    this.#encoding = labels[key];
    this.#fatal = !!(options && options.fatal);
    this.#ignoreBOM = !!(options && options.ignoreBOM);
  }
  get encoding() { return this.#encoding; }
  get fatal() { return this.#fatal; }
  get ignoreBOM() { return this.#ignoreBOM; }
  decode(source, options) {
    let b = bytesOf(source);
    const streams = !!(options && options.stream), name = this.#encoding, big = name === 'utf-16be';
    if (this.#held.length > 0) {
      const both = new U8(this.#held.length + b.length);
      apply(u8set, both, [this.#held]);
      apply(u8set, both, [b, this.#held.length]);
      b = both;
      this.#held = new U8(0);
    }
    if (streams && name !== 'windows-1252') {
      let cut = name === 'utf-8' ? cutUtf8(b) : b.length % 2;
      if (name !== 'utf-8' && b.length - cut >= 2) {
        const high = b[b.length - cut - (big ? 2 : 1)];
        if (high >= 0xd8 && high < 0xdc) cut += 2;
      }
      if (cut > 0) { this.#held = apply(u8slice, b, [b.length - cut]); b = apply(u8slice, b, [0, b.length - cut]); }
    }
    let text = name === 'utf-8' ? kit.utf8Decode(b, 0, b.length, this.#fatal) : name === 'windows-1252' ? decode1252(b) : decodeUtf16(b, big, this.#fatal);
    if (text === null) {
      this.#started = false;
      this.#held = new U8(0);
      const error = new TE('The encoded data was not valid for encoding ' + name);
      error.code = 'ERR_ENCODING_INVALID_ENCODED_DATA';
      throw error;
    }
    if (!this.#started && !this.#ignoreBOM && name !== 'windows-1252' && text.length > 0 && apply(codeAt, text, [0]) === 0xfeff) text = apply(sliceText, text, [1]);
    this.#started = streams && (this.#started || b.length > 0);
    return text;
  }
};
function invalid(text) {
  const error = new Err(text);
  error.name = 'InvalidCharacterError';
  error.code = 5;
  return error;
}
function btoa(text) {
  text = Str(text);
  const b = new U8(text.length);
  for (let i = 0; i < text.length; i++) {
    const c = apply(codeAt, text, [i]);
    if (c > 255) throw invalid('The string to be encoded contains characters outside of the Latin1 range.');
    b[i] = c;
  }
  return kit.base64Encode(b, 0, b.length);
}
function atob(text) {
  let s = apply(replace, Str(text), [/[\t\n\f\r ]/g, '']);
  if (s.length % 4 === 0) s = apply(replace, s, [/==?$/, '']);
  if (s.length % 4 === 1 || /[^A-Za-z0-9+/]/.test(s)) throw invalid('The string to be decoded is not correctly encoded.');
  return kit.Buffer.from(s, 'base64').toString('latin1');
}
return { TextEncoder, TextDecoder, btoa, atob };
}

// ---- structuredClone

lazy('structuredClone', makeClone);
function makeClone() {
function uncloneable(value) {
  const error = new Err((typeof value === 'symbol' ? 'a symbol' : 'a ' + typeof value) + ' could not be cloned.');
  error.name = 'DataCloneError';
  return error;
}
const typedKinds = {};
for (const Kind of [Int8Array, Uint8Array, Uint8ClampedArray, Int16Array, Uint16Array, Int32Array, Uint32Array, Float32Array, Float64Array,
  BigInt64Array, BigUint64Array]) typedKinds[Kind.name] = Kind;
if (typeof Float16Array === 'function') typedKinds.Float16Array = Float16Array;
const errorKinds = { Error: Err, EvalError, RangeError, ReferenceError, SyntaxError, TypeError, URIError };
const typedTag = Object.getOwnPropertyDescriptor(getProto(U8.prototype), Symbol.toStringTag).get;
const regExpSource = Object.getOwnPropertyDescriptor(RX.prototype, 'source').get, regExpFlags = Object.getOwnPropertyDescriptor(RX.prototype, 'flags').get;
const boxes = [Boolean.prototype.valueOf, Number.prototype.valueOf, Str.prototype.valueOf, BigInt.prototype.valueOf];
const objectProto = Object.prototype, Prom = Promise, View = DataView;

function clone(value, seen) {
  if (typeof value === 'function' || typeof value === 'symbol') throw uncloneable(value);
  if (typeof value !== 'object' || value === null) return value;
  if (apply(mapHas, seen, [value])) return apply(mapGet, seen, [value]);
  const keep = (made) => { apply(mapSet, seen, [value, made]); return made; };
  let made;
  if (isArray(value)) {
    made = keep([]);
    made.length = value.length;
  } else if (getProto(value) === objectProto) {
    made = keep({});
  } else {
    if (isView(value)) {
      const copied = clone(value.buffer, seen), tag = apply(typedTag, value, []);
      return keep(tag === undefined ? new View(copied, value.byteOffset, value.byteLength) : new typedKinds[tag](copied, value.byteOffset, value.length));
    }
    if (value instanceof AB) return keep(apply(bufferSlice, value, [0]));
    if (hasBrand(dateTime, value)) return keep(new Dat(apply(dateTime, value, [])));
    if (value instanceof RX) return keep(new RX(apply(regExpSource, value, []), apply(regExpFlags, value, [])));
    if (hasBrand(mapSize, value)) {
      made = keep(new M());
      const entries = [];
      apply(mapEach, value, [(v, k) => { entries[entries.length] = [k, v]; }]);
      for (let i = 0; i < entries.length; i++) apply(mapSet, made, [clone(entries[i][0], seen), clone(entries[i][1], seen)]);
      return made;
    }
    if (hasBrand(setSize, value)) {
      made = keep(new S());
      const entries = [];
      apply(setEach, value, [(v) => { entries[entries.length] = v; }]);
      for (let i = 0; i < entries.length; i++) apply(setAdd, made, [clone(entries[i], seen)]);
      return made;
    }
    if (value instanceof Err) {
      const name = Str(value.name), Kind = hasOwn(errorKinds, name) ? errorKinds[name] : Err;
      made = keep(new Kind());
      const message = Object.getOwnPropertyDescriptor(value, 'message'), cause = Object.getOwnPropertyDescriptor(value, 'cause');
      if (message !== undefined && 'value' in message) hide(made, 'message', Str(message.value));
      if (cause !== undefined && 'value' in cause) hide(made, 'cause', clone(cause.value, seen));
      if (typeof value.stack === 'string') hide(made, 'stack', value.stack);
      return made;
    }
    for (let i = 0; i < boxes.length; i++) if (hasBrand(boxes[i], value)) return keep(Obj(apply(boxes[i], value, [])));
    if (value instanceof Prom || value instanceof WeakMap || value instanceof WeakSet || value instanceof WeakRef) throw uncloneable(value);
    made = keep({});
  }
  const keys = ownKeys(value);
  for (let i = 0; i < keys.length; i++) {
    define(made, keys[i], { value: clone(value[keys[i]], seen), writable: true, enumerable: true, configurable: true });
  }
  return made;
}
return function structuredClone(value) {
  if (arguments.length === 0) throw new TE('structuredClone needs an argument');
  return clone(value, new M());
};
}

return exports;
})
)js"
