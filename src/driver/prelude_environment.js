R"js(
// What a driver finds beside the language (spec drivers.md 9.1), and what is taken away from it (9.2). An expression: a
// function that sets up the global object and gives back the first `exports`. `crypto`: the module of that name, for a
// trusted driver (16.5).
(function (kit, note, crypto) {
'use strict';
const global = globalThis;
const Str = String, TE = TypeError, Err = Error, U8 = Uint8Array, AB = ArrayBuffer, M = Map, S = Set, Dat = Date, RX = RegExp;
const define = Object.defineProperty, getProto = Object.getPrototypeOf, ownKeys = Object.keys, apply = Reflect.apply;
const isArray = Array.isArray, isView = AB.isView, toJson = JSON.stringify, lower = Str.prototype.toLowerCase;
const tagOf = Object.prototype.toString, codeAt = Str.prototype.charCodeAt, replace = Str.prototype.replace, trim = Str.prototype.trim;
const mapEach = M.prototype.forEach, setEach = S.prototype.forEach, mapGet = M.prototype.get, mapSet = M.prototype.set, mapHas = M.prototype.has;
const setAdd = S.prototype.add, dateTime = Dat.prototype.getTime, bufferSlice = AB.prototype.slice;

for (const name of ['WebAssembly', 'SharedArrayBuffer', 'Atomics', 'queueMicrotask', 'performance', 'setTimeout', 'setInterval',
  'setImmediate', 'clearTimeout', 'clearInterval', 'fetch', 'crypto', 'process', 'global', 'window', 'self', 'document', 'ShadowRealm']) {
  delete global[name];
}
const put = (name, value) => define(global, name, { value, writable: true, enumerable: false, configurable: true });
const hide = (target, name, value) => define(target, name, { value, writable: true, enumerable: false, configurable: true });

// ---- console

function shown(value) {
  try {
    if (typeof value === 'string') return value;
    if (typeof value !== 'object' || value === null || value instanceof Err) return Str(value);
    const text = toJson(value);
    return text === undefined ? Str(value) : text;
  } catch {
    try { return Str(value); } catch { return '[object]'; }
  }
}
const counts = new M();
const console = {};
for (const level of ['log', 'info', 'warn', 'error', 'debug', 'trace', 'dir', 'table', 'group', 'groupCollapsed']) {
  const prefix = level === 'log' || level === 'dir' || level === 'table' || level === 'group' || level === 'groupCollapsed' ? '' : level + ': ';
  console[level] = (...values) => {
    let line = prefix;
    for (let i = 0; i < values.length; i++) line += (i === 0 ? '' : ' ') + shown(values[i]);
    note(line);
  };
}
console.assert = (condition, ...values) => { if (!condition) apply(console.error, console, ['Assertion failed', ...values]); };
for (const name of ['groupEnd', 'time', 'timeEnd', 'timeLog', 'clear', 'count', 'countReset', 'profile', 'profileEnd', 'timeStamp']) console[name] = () => {};
put('console', console);

// ---- modules

const exports = {}, module = { exports };
put('exports', exports);
put('module', module);
const bufferModule = { Buffer: kit.Buffer, kMaxLength: kit.kMax, INSPECT_MAX_BYTES: 50, constants: { MAX_LENGTH: kit.kMax },
  SlowBuffer: function SlowBuffer(length) { return kit.Buffer.alloc(+length !== length ? 0 : +length); } };
put('require', function require(name) {
  if (name === 'buffer' || name === 'buffer/' || name === 'node:buffer') return bufferModule;
  if (crypto !== undefined && (name === 'crypto' || name === 'node:crypto')) return crypto;
  throw new Err("Cannot find module '" + Str(name) + "'");
});
put('Buffer', kit.Buffer);

// ---- text

function bytesOf(source) {
  if (source === undefined) return new U8(0);
  if (isView(source)) return new U8(source.buffer, source.byteOffset, source.byteLength);
  return new U8(source);
}
put('TextEncoder', class TextEncoder {
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
});
const labels = { 'utf-8': 'utf-8', utf8: 'utf-8', 'unicode-1-1-utf-8': 'utf-8', 'utf-16le': 'utf-16le', 'utf-16': 'utf-16le', ucs2: 'utf-16le',
  ascii: 'windows-1252', 'us-ascii': 'windows-1252', latin1: 'windows-1252', 'iso-8859-1': 'windows-1252', 'windows-1252': 'windows-1252' };
put('TextDecoder', class TextDecoder {
  #encoding; #fatal; #ignoreBOM;
  constructor(label = 'utf-8', options = {}) {
    const key = apply(lower, apply(trim, Str(label), []), []);
    if (!Object.hasOwn(labels, key)) throw new RangeError('The "' + label + '" encoding is not supported');
    this.#encoding = labels[key];
    this.#fatal = !!(options && options.fatal);
    this.#ignoreBOM = !!(options && options.ignoreBOM);
  }
  get encoding() { return this.#encoding; }
  get fatal() { return this.#fatal; }
  get ignoreBOM() { return this.#ignoreBOM; }
  decode(source) {
    const b = bytesOf(source);
    let text = this.#encoding === 'utf-8' ? kit.utf8Decode(b, 0, b.length, this.#fatal)
      : kit.decode(b, this.#encoding === 'utf-16le' ? 'utf16le' : 'latin1', 0, b.length);
    if (text === null) throw new TE('The encoded data was not valid for encoding utf-8');
    if (!this.#ignoreBOM && this.#encoding !== 'windows-1252' && text.length > 0 && apply(codeAt, text, [0]) === 0xfeff) text = text.slice(1);
    return text;
  }
});
function invalid(text) {
  const error = new Err(text);
  error.name = 'InvalidCharacterError';
  return error;
}
put('btoa', function btoa(text) {
  text = Str(text);
  const b = new U8(text.length);
  for (let i = 0; i < text.length; i++) {
    const c = apply(codeAt, text, [i]);
    if (c > 255) throw invalid('The string to be encoded contains characters outside of the Latin1 range.');
    b[i] = c;
  }
  return kit.base64Encode(b, 0, b.length);
});
put('atob', function atob(text) {
  let s = apply(replace, Str(text), [/[\t\n\f\r ]/g, '']);
  if (s.length % 4 === 0) s = apply(replace, s, [/==?$/, '']);
  if (s.length % 4 === 1 || /[^A-Za-z0-9+/]/.test(s)) throw invalid('The string to be decoded is not correctly encoded.');
  return kit.Buffer.from(s, 'base64').toString('latin1');
});

// ---- structuredClone

function uncloneable(value) {
  const error = new Err((typeof value === 'symbol' ? 'a symbol' : 'a ' + typeof value) + ' could not be cloned.');
  error.name = 'DataCloneError';
  return error;
}
function clone(value, seen) {
  if (typeof value === 'function' || typeof value === 'symbol') throw uncloneable(value);
  if (typeof value !== 'object' || value === null) return value;
  if (apply(mapHas, seen, [value])) return apply(mapGet, seen, [value]);
  const keep = (made) => { apply(mapSet, seen, [value, made]); return made; };
  if (isView(value)) {
    const copied = clone(value.buffer, seen);
    if (value instanceof DataView) return keep(new DataView(copied, value.byteOffset, value.byteLength));
    const Kind = kit.Buffer.isBuffer(value) ? U8 : value.constructor;
    return keep(new Kind(copied, value.byteOffset, value.length));
  }
  switch (apply(tagOf, value, [])) {
    case '[object Date]': return keep(new Dat(apply(dateTime, value, [])));
    case '[object RegExp]': return keep(new RX(value.source, value.flags));
    case '[object ArrayBuffer]': return keep(apply(bufferSlice, value, [0]));
    case '[object Boolean]': case '[object Number]': case '[object String]': return keep(Object(value.valueOf()));
    case '[object Map]': {
      const made = keep(new M());
      apply(mapEach, value, [(v, k) => apply(mapSet, made, [clone(k, seen), clone(v, seen)])]);
      return made;
    }
    case '[object Set]': {
      const made = keep(new S());
      apply(setEach, value, [(v) => apply(setAdd, made, [clone(v, seen)])]);
      return made;
    }
    case '[object Error]': {
      const made = keep(new Err(value.message));
      hide(made, 'name', value.name);
      return made;
    }
    case '[object Promise]': case '[object WeakMap]': case '[object WeakSet]': case '[object WeakRef]': throw uncloneable(value);
  }
  const made = keep(isArray(value) ? [] : {});
  if (isArray(value)) made.length = value.length;
  for (const key of ownKeys(value)) define(made, key, { value: clone(value[key], seen), writable: true, enumerable: true, configurable: true });
  return made;
}
put('structuredClone', function structuredClone(value) {
  if (arguments.length === 0) throw new TE('structuredClone needs an argument');
  return clone(value, new M());
});

return exports;
})
)js"
