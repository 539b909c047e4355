R"js(
// The global `Buffer` (spec drivers.md 8): behaves as Node's, as the npm package `buffer` 6 does. An expression: a function
// that makes the constructor for this global object, run when a driver first asks for it.
(function () {
'use strict';
const U8 = Uint8Array, AB = ArrayBuffer, View = DataView, Str = String, Num = Number, Big = BigInt;
const TE = TypeError, RE = RangeError;
const setProto = Object.setPrototypeOf, define = Object.defineProperty;
const isArray = Array.isArray, isView = AB.isView;
const fromCodes = Str.fromCharCode;
const apply = Reflect.apply;
const codeAt = Str.prototype.charCodeAt, lower = Str.prototype.toLowerCase, join = Array.prototype.join;
const u8set = U8.prototype.set, u8sub = U8.prototype.subarray, u8within = U8.prototype.copyWithin, u8fill = U8.prototype.fill;
const setFromHex = U8.prototype.setFromHex, setFromBase64 = U8.prototype.setFromBase64, toHex = U8.prototype.toHex;
const floor = Math.floor, ceil = Math.ceil, min = Math.min, trunc = Math.trunc;
const toStringTag = Object.getOwnPropertyDescriptor(Object.getPrototypeOf(U8.prototype), Symbol.toStringTag).get;
const abLength = Object.getOwnPropertyDescriptor(AB.prototype, 'byteLength').get;
const kMax = 0x7fffffff;

const isU8 = (x) => x instanceof FastBuffer || apply(toStringTag, x, []) === 'Uint8Array';
const isArrayBuffer = (x) => { try { apply(abLength, x, []); return true; } catch { return false; } };
const code = (s, i) => apply(codeAt, s, [i]);

const HEX = [];
for (let i = 0; i < 256; i++) HEX[i] = (i < 16 ? '0' : '') + i.toString(16);
const hexDigit = (c) => c >= 48 && c <= 57 ? c - 48 : c >= 97 && c <= 102 ? c - 87 : c >= 65 && c <= 70 ? c - 55 : -1;
const B64 = 'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/';
const UNB64 = new U8(128).fill(255);
for (let i = 0; i < 64; i++) UNB64[B64.charCodeAt(i)] = i;
UNB64[45] = 62;
UNB64[95] = 63;

// Text out of bytes, in pieces that fit on the stack.
function textOf(codes) {
  let out = '';
  for (let i = 0; i < codes.length; i += 4096) {
    const piece = [];
    for (let j = i, end = min(i + 4096, codes.length); j < end; j++) piece[j - i] = codes[j];
    out += apply(fromCodes, null, piece);
  }
  return out;
}

// WHATWG UTF-8: a broken sequence becomes one U+FFFD for each maximal part. `fatal`: null instead.
function utf8Decode(b, start, end, fatal) {
  const out = [];
  let n = 0, i = start;
  while (i < end) {
    const c = b[i++];
    if (c < 0x80) { out[n++] = c; continue; }
    let need = 0, low = 0x80, high = 0xbf, point = 0;
    if (c >= 0xc2 && c <= 0xdf) { need = 1; point = c & 0x1f; }
    else if (c >= 0xe0 && c <= 0xef) { need = 2; point = c & 0xf; if (c === 0xe0) low = 0xa0; if (c === 0xed) high = 0x9f; }
    else if (c >= 0xf0 && c <= 0xf4) { need = 3; point = c & 7; if (c === 0xf0) low = 0x90; if (c === 0xf4) high = 0x8f; }
    else { if (fatal) return null; out[n++] = 0xfffd; continue; }
    let bad = false;
    while (need > 0) {
      if (i >= end || b[i] < low || b[i] > high) { bad = true; break; }
      point = (point << 6) | (b[i++] & 0x3f);
      low = 0x80; high = 0xbf; need--;
    }
    if (bad) { if (fatal) return null; out[n++] = 0xfffd; continue; }
    if (point > 0xffff) { point -= 0x10000; out[n++] = 0xd800 | (point >> 10); out[n++] = 0xdc00 | (point & 0x3ff); }
    else out[n++] = point;
  }
  return textOf(out);
}

function utf8Encode(s) {
  const out = [];
  let n = 0;
  for (let i = 0; i < s.length; i++) {
    let c = code(s, i);
    if (c >= 0xd800 && c <= 0xdfff) {
      const d = i + 1 < s.length ? code(s, i + 1) : 0;
      if (c < 0xdc00 && d >= 0xdc00 && d <= 0xdfff) { c = 0x10000 + ((c & 0x3ff) << 10) + (d & 0x3ff); i++; } else c = 0xfffd;
    }
    if (c < 0x80) out[n++] = c;
    else if (c < 0x800) { out[n++] = 0xc0 | (c >> 6); out[n++] = 0x80 | (c & 63); }
    else if (c < 0x10000) { out[n++] = 0xe0 | (c >> 12); out[n++] = 0x80 | ((c >> 6) & 63); out[n++] = 0x80 | (c & 63); }
    else { out[n++] = 0xf0 | (c >> 18); out[n++] = 0x80 | ((c >> 12) & 63); out[n++] = 0x80 | ((c >> 6) & 63); out[n++] = 0x80 | (c & 63); }
  }
  return out;
}

function base64Decode(s) {
  const out = new U8(floor(s.length * 3 / 4) + 1);
  let bits = 0, held = 0, n = 0;
  for (let i = 0; i < s.length; i++) {
    const c = code(s, i);
    if (c === 61) break;
    const v = c < 128 ? UNB64[c] : 255;
    if (v === 255) continue;
    held = (held << 6) | v;
    bits += 6;
    if (bits >= 8) { bits -= 8; out[n++] = (held >> bits) & 255; }
  }
  return apply(u8sub, out, [0, n]);
}

function base64Encode(b, start, end) {
  let out = '';
  for (let i = start; i < end; i += 3) {
    const two = i + 1 < end, three = i + 2 < end;
    const v = (b[i] << 16) | (two ? b[i + 1] << 8 : 0) | (three ? b[i + 2] : 0);
    out += B64[v >> 18] + B64[(v >> 12) & 63] + (two ? B64[(v >> 6) & 63] : '=') + (three ? B64[v & 63] : '=');
  }
  return out;
}

function urlAlphabet(text) {
  let out = '';
  for (let i = 0; i < text.length && text[i] !== '='; i++) out += text[i] === '+' ? '-' : text[i] === '/' ? '_' : text[i];
  return out;
}

function hexDecode(s) {
  const out = [];
  for (let i = 0; i + 1 < s.length; i += 2) {
    const a = hexDigit(code(s, i)), b = hexDigit(code(s, i + 1));
    if (a < 0 || b < 0) break;
    out[i / 2] = a * 16 + b;
  }
  return out;
}

// One of: utf8 hex ascii latin1 base64 utf16le; undefined for an unknown name.
function normal(encoding) {
  switch (apply(lower, Str(encoding), [])) {
    case 'utf8': case 'utf-8': return 'utf8';
    case 'hex': return 'hex';
    case 'ascii': return 'ascii';
    case 'latin1': case 'binary': return 'latin1';
    case 'base64': return 'base64';
    case 'base64url': return 'base64url';
    case 'ucs2': case 'ucs-2': case 'utf16le': case 'utf-16le': return 'utf16le';
    default: return undefined;
  }
}
function known(encoding) {
  if (encoding === 'hex' || encoding === 'utf8' || encoding === 'base64') return encoding;
  if (encoding === undefined || encoding === null || encoding === '') return 'utf8';
  const name = normal(encoding);
  if (name === undefined) throw new TE('Unknown encoding: ' + Str(encoding));
  return name;
}

function encode(s, name) {
  switch (name) {
    case 'utf8': return utf8Encode(s);
    case 'hex': return hexDecode(s);
    case 'base64': case 'base64url': return base64Decode(s);
    case 'utf16le': {
      const out = [];
      for (let i = 0; i < s.length; i++) { const c = code(s, i); out[2 * i] = c & 255; out[2 * i + 1] = c >> 8; }
      return out;
    }
    default: {
      const out = [];
      for (let i = 0; i < s.length; i++) out[i] = code(s, i) & 255;
      return out;
    }
  }
}

function decode(b, name, start, end) {
  if (name === 'utf8') {
    if (end - start > 4096) return utf8Decode(b, start, end, false);
    const plain = [];
    for (let i = start; i < end; i++) {
      if (b[i] > 127) return utf8Decode(b, start, end, false);
      plain[i - start] = b[i];
    }
    return apply(fromCodes, null, plain);
  }
  if (name === 'base64') return base64Encode(b, start, end);
  if (name === 'base64url') return urlAlphabet(base64Encode(b, start, end));
  if (name === 'hex') {
    if (end - start > 16 && toHex !== undefined) return apply(toHex, new U8(b.buffer, b.byteOffset + start, end - start), []);
    let out = '';
    for (let i = start; i < end; i++) out += HEX[b[i]];
    return out;
  }
  const codes = [];
  if (name === 'utf16le') for (let i = start, n = 0; i + 1 < end; i += 2) codes[n++] = b[i] | (b[i + 1] << 8);
  else for (let i = start, mask = name === 'ascii' ? 127 : 255; i < end; i++) codes[i - start] = b[i] & mask;
  return textOf(codes);
}

// Instances are made by this class, which has their prototype: a fraction of what setting the prototype of each costs.
class FastBuffer extends U8 {
  constructor(source, offset, length) { super(source, offset, length); }
}
function make(length) {
  if (length > kMax) throw new RE('The value "' + length + '" is invalid for option "size"');
  return new FastBuffer(length);
}
function ofList(list) {
  const length = list.length > 0 ? floor(list.length) : 0;
  const out = make(length);
  if (isArray(list) || (isView(list) && length > 0)) apply(u8set, out, [list]);
  else for (let i = 0; i < length; i++) out[i] = list[i] & 255;
  return out;
}
// The bytes of a text as a Buffer.
function ofText(s, name) {
  if (name === 'utf8' || name === 'latin1' || name === 'ascii') {
    const length = s.length, out = make(length);
    for (let i = 0; i < length; i++) {
      const c = code(s, i);
      if (c > 127 && name === 'utf8') return ofList(utf8Encode(s));
      out[i] = c;
    }
    return out;
  }
  if (name === 'hex' && setFromHex !== undefined) {
    const out = make(s.length >>> 1);
    // What is no hexadecimal text to its end is read by hand.
    try { apply(setFromHex, out, [s]); return out; } catch { return ofList(hexDecode(s)); }
  }
  if (name === 'base64' && setFromBase64 !== undefined) {
    const length = s.length, out = make((length - (endsWith(s, '=', length) ? endsWith(s, '=', length - 1) ? 2 : 1 : 0)) * 3 >>> 2);
    try {
      if (apply(setFromBase64, out, [s]).written === out.length) return out;
    } catch {}
  }
  return ofList(encode(s, name));
}
function checkSize(size) {
  if (typeof size !== 'number') throw new TE('"size" argument must be of type number');
  if (!(size >= 0 && size <= kMax)) throw new RE('The value "' + size + '" is invalid for option "size"');
}

function from(value, encodingOrOffset, length) {
  if (typeof value === 'string') return ofText(value, typeof encodingOrOffset === 'string' ? known(encodingOrOffset) : 'utf8');
  if ((typeof value !== 'object' && typeof value !== 'function') || value === null) {
    const kind = value === null ? 'null' : typeof value;
    throw new TE(kind === 'number' ? 'The "value" argument must not be of type number. Received type number'
      : 'The first argument must be one of type string, Buffer, ArrayBuffer, Array, or Array-like Object. Received type ' + kind);
  }
  if (isArray(value)) return ofList(value);
  if (isArrayBuffer(value)) {
    const offset = +encodingOrOffset || 0, room = apply(abLength, value, []) - offset;
    if (offset < 0 || room < 0) throw new RE('"offset" is outside of buffer bounds');
    let size = room;
    if (length !== undefined) {
      size = +length;
      if (!(size > 0)) size = 0;
      if (size > room) throw new RE('"length" is outside of buffer bounds');
    }
    return new FastBuffer(value, offset, size);
  }
  if (isView(value)) return ofList(value);
  const primitive = typeof value !== 'function' && typeof value.valueOf === 'function' ? value.valueOf() : value;
  if (primitive !== value && primitive !== null && (typeof primitive === 'string' || typeof primitive === 'object')) {
    return from(primitive, encodingOrOffset, length);
  }
  if (typeof value === 'function') throw new TE('The first argument must be one of type string, Buffer, ArrayBuffer, Array, or Array-like Object. Received type function');
  if (typeof value.length === 'number') return ofList(value);
  if (value.length !== undefined) return make(0);
  if (value.type === 'Buffer' && isArray(value.data)) return ofList(value.data);
  const toPrimitive = value[Symbol.toPrimitive];
  if (typeof toPrimitive === 'function') {
    const text = apply(toPrimitive, value, ['string']);
    if (typeof text === 'string') return from(text, encodingOrOffset, length);
  }
  throw new TE('The first argument must be one of type string, Buffer, ArrayBuffer, Array, or Array-like Object. Received type ' + typeof value);
}

function Buffer(arg, encodingOrOffset, length) {
  if (typeof arg === 'number') {
    if (typeof encodingOrOffset === 'string') throw new TE('The "string" argument must be of type string. Received type number');
    checkSize(arg);
    return make(arg);
  }
  return from(arg, encodingOrOffset, length);
}
setProto(Buffer, U8);
Buffer.prototype = FastBuffer.prototype;
define(Buffer, 'prototype', { writable: false, enumerable: false, configurable: false });

function methods(target, source) {
  for (const name of Object.keys(source)) define(target, name, { value: source[name], writable: true, enumerable: false, configurable: true });
}

function alloc(size, fill, encoding) {
  checkSize(size);
  const out = make(size);
  return fill === undefined ? out : typeof encoding === 'string' ? out.fill(fill, encoding) : out.fill(fill);
}
const endsWith = (text, character, length) => length > 0 && text[length - 1] === character;
function utf8Length(s) {
  let n = 0;
  for (let i = 0; i < s.length; i++) {
    const c = code(s, i);
    n += c < 0x80 ? 1 : c < 0x800 ? 2 : 3;
    if (c >= 0xd800 && c < 0xdc00 && i + 1 < s.length && (code(s, i + 1) & 0xfc00) === 0xdc00) { n++; i++; }
  }
  return n;
}
function compareBytes(a, b) {
  const length = min(a.length, b.length);
  for (let i = 0; i < length; i++) if (a[i] !== b[i]) return a[i] < b[i] ? -1 : 1;
  return a.length < b.length ? -1 : a.length > b.length ? 1 : 0;
}

methods(Buffer, {
  from(value, encodingOrOffset, length) { return from(value, encodingOrOffset, length); },
  alloc(size, fill, encoding) { return alloc(size, fill, encoding); },
  allocUnsafe(size) { return alloc(size); },
  allocUnsafeSlow(size) { return alloc(size); },
  isBuffer(b) { return b !== null && b !== undefined && b !== Buffer.prototype && b._isBuffer === true; },
  isEncoding(name) { return typeof name === 'string' && normal(name) !== undefined; },
  byteLength(value, encoding) {
    if (typeof value !== 'string') {
      if (isView(value) || isArrayBuffer(value)) return value.byteLength;
      throw new TE('The "string" argument must be one of type string, Buffer, or ArrayBuffer. Received type ' + typeof value);
    }
    const name = encoding === undefined ? 'utf8' : normal(encoding) || 'utf8';
    const length = value.length;
    switch (name) {
      case 'hex': return length >>> 1;
      case 'utf16le': return length * 2;
      case 'base64': case 'base64url': return (length - (endsWith(value, '=', length) ? endsWith(value, '=', length - 1) && length > 2 ? 2 : 1 : 0)) * 3 >>> 2;
      case 'utf8': return utf8Length(value);
      default: return length;
    }
  },
  compare(a, b) {
    if (!isU8(a) || !isU8(b)) throw new TE('The "buf1", "buf2" arguments must be one of type Buffer or Uint8Array');
    return a === b ? 0 : compareBytes(a, b);
  },
  concat(list, length) {
    if (!isArray(list)) throw new TE('"list" argument must be an Array of Buffers');
    let total = 0;
    for (let i = 0; i < list.length; i++) {
      if (!isU8(list[i])) throw new TE('"list" argument must be an Array of Buffers');
      total += list[i].length;
    }
    const out = alloc(length === undefined ? total : length);
    for (let i = 0, at = 0; i < list.length && at < out.length; at += list[i].length, i++) {
      const room = out.length - at;
      apply(u8set, out, [list[i].length > room ? apply(u8sub, new U8(list[i]), [0, room]) : list[i], at]);
    }
    return out;
  },
});
Buffer.poolSize = 8192;

// Where in the buffer a value is found, as Node does it; -1: nowhere.
function search(buffer, value, offset, encoding, forward) {
  const length = buffer.length;
  if (typeof offset === 'string') { encoding = offset; offset = undefined; }
  offset = offset > kMax ? kMax : offset < -0x80000000 ? -0x80000000 : +offset;
  if (offset !== offset) offset = forward ? 0 : length;
  offset = offset < 0 ? ceil(offset) : floor(offset);
  let needle;
  if (typeof value === 'string') needle = encode(value, known(encoding));
  else if (typeof value === 'number') needle = [value & 255];
  else if (isU8(value)) needle = value;
  else throw new TE('The "value" argument must be one of type number or string or an instance of Buffer or Uint8Array.');
  const size = needle.length;
  if (offset < 0) {
    offset += length;
    if (offset < 0) { if (!forward && size > 0) return -1; offset = 0; }
  } else if (offset + size > length) {
    if (size === 0) return length;
    if (forward) return -1;
    offset = length - 1;
  }
  if (size === 0) return offset;
  // Two-byte characters are looked for where they can stand.
  const wide = typeof value === 'string' && encoding !== undefined && known(encoding) === 'utf16le' ? 2 : 1;
  if (wide === 2 && (size < 2 || length < 2)) return -1;
  const step = forward ? wide : -wide, last = length - size;
  let i = forward ? offset : min(offset, last);
  if (wide === 2) i -= i % 2;
  for (; i >= 0 && i <= last; i += step) {
    let j = 0;
    while (j < size && buffer[i + j] === needle[j]) j++;
    if (j === size) return i;
  }
  return -1;
}

function swap(buffer, size) {
  if (buffer.length % size !== 0) throw new RE('Buffer size must be a multiple of ' + size * 8 + '-bits');
  for (let i = 0; i < buffer.length; i += size) {
    for (let a = i, b = i + size - 1; a < b; a++, b--) { const t = buffer[a]; buffer[a] = buffer[b]; buffer[b] = t; }
  }
  return buffer;
}
function clamp(value, length) {
  value = +value;
  if (value < 0) { value = ceil(value) + length; return value > 0 ? value : 0; }
  return value < length ? floor(value) : value >= length ? length : 0;
}
function slice(start, end) {
  const length = this.length, from = clamp(start, length), to = end === undefined ? length : clamp(end, length);
  return new FastBuffer(this.buffer, this.byteOffset + from, to > from ? to - from : 0);
}

methods(Buffer.prototype, {
  toString(encoding, start, end) {
    const length = this.length;
    const from = start <= 0 ? 0 : start >= length ? length : start | 0, to = end === undefined || end > length ? length : end | 0;
    return to <= from ? '' : decode(this, encoding === undefined ? 'utf8' : known(encoding), from, to);
  },
  equals(other) {
    if (!isU8(other)) throw new TE('Argument must be a Buffer');
    return this === other || compareBytes(this, other) === 0;
  },
  compare(target, start, end, thisStart, thisEnd) {
    if (!isU8(target)) throw new TE('The "target" argument must be one of type Buffer or Uint8Array. Received type ' + typeof target);
    start = start === undefined ? 0 : start; end = end === undefined ? target.length : end;
    thisStart = thisStart === undefined ? 0 : thisStart; thisEnd = thisEnd === undefined ? this.length : thisEnd;
    if (start < 0 || end > target.length || thisStart < 0 || thisEnd > this.length) throw new RE('out of range index');
    if (thisStart >= thisEnd) return start >= end ? 0 : -1;
    if (start >= end) return 1;
    return compareBytes(apply(slice, this, [thisStart, thisEnd]), apply(slice, target, [start, end]));
  },
  includes(value, offset, encoding) { return search(this, value, offset, encoding, true) !== -1; },
  indexOf(value, offset, encoding) { return search(this, value, offset, encoding, true); },
  lastIndexOf(value, offset, encoding) { return search(this, value, offset, encoding, false); },
  slice, subarray: slice,
  copy(target, targetStart, start, end) {
    if (!isU8(target)) throw new TE('argument should be a Buffer');
    const whole = (value, fallback) => value === undefined ? fallback : (value = +value, value - value === 0) ? trunc(value) : value === value ? fallback : 0;
    targetStart = whole(targetStart, 0); start = whole(start, 0); end = whole(end, this.length);
    if (targetStart < 0) throw new RE('The value of "targetStart" is out of range. It must be >= 0. Received ' + targetStart);
    if (start < 0 || start > this.length) throw new RE('The value of "sourceStart" is out of range. It must be >= 0 && <= ' + this.length + '. Received ' + start);
    if (end < 0) throw new RE('The value of "sourceEnd" is out of range. It must be >= 0. Received ' + end);
    if (targetStart >= target.length || start >= end) return 0;
    end = min(end, this.length, start + target.length - targetStart);
    if (end <= start) return 0;
    const length = end - start;
    if (this === target) apply(u8within, this, [targetStart, start, end]);
    else apply(u8set, target, [new U8(this.buffer, this.byteOffset + start, length), targetStart]);
    return length;
  },
  fill(value, start, end, encoding) {
    if (typeof value === 'string') {
      if (start === undefined || typeof start === 'string') { encoding = start; start = undefined; }
      else if (typeof end === 'string') { encoding = end; end = this.length; }
      encoding = known(encoding);
    }
    if (start === undefined || typeof start === 'string') {
      start = 0; end = this.length;
      if (end === 0) return this;
    } else {
      if (end === undefined || typeof end === 'string') end = this.length;
      start = +start; end = +end;
      if (!(start >= 0) || !(end >= 0 && end <= this.length)) throw new RE('Out of range index');
      if (start >= end) return this;
      start = floor(start); end = floor(end);
    }
    if (typeof value !== 'string' && !isView(value)) { apply(u8fill, this, [value & 255, start, end]); return this; }
    const bytes = typeof value !== 'string' ? new U8(value.buffer, value.byteOffset, value.byteLength) : value === '' ? [0] : encode(value, encoding);
    const size = bytes.length;
    if (size === 0) throw new TE('The argument \'value\' is invalid. Received ' + (typeof value === 'string' ? "'" + value + "'" : 'an empty list'));
    for (let i = start, j = 0; i < end; i++) { this[i] = bytes[j]; if (++j === size) j = 0; }
    return this;
  },
  write(string, offset, length, encoding) {
    if (typeof string !== 'string') throw new TE('argument must be a string');
    if (offset === undefined) { offset = 0; length = this.length; encoding = 'utf8'; }
    else if (length === undefined && typeof offset === 'string') { encoding = offset; offset = 0; length = this.length; }
    else {
      offset >>>= 0;
      if (typeof length === 'string') { encoding = length; length = undefined; }
    }
    const room = this.length - offset;
    length = length === undefined || length > room ? room : length;
    if ((string.length > 0 && (length < 0 || offset < 0)) || offset > this.length) throw new RE('Attempt to write outside buffer bounds');
    const name = known(encoding), bytes = encode(string, name);
    let count = min(bytes.length, length);
    if (name === 'utf16le') count -= count % 2;
    if (name === 'utf8') while (count > 0 && count < bytes.length && (bytes[count] & 0xc0) === 0x80) count--;  // whole characters
    for (let i = 0; i < count; i++) this[offset + i] = bytes[i];
    return count;
  },
  toJSON() {
    const data = [];
    for (let i = 0; i < this.length; i++) data[i] = this[i];
    return { type: 'Buffer', data };
  },
  swap16() { return swap(this, 2); },
  swap32() { return swap(this, 4); },
  swap64() { return swap(this, 8); },
  inspect() {
    const shown = [];
    for (let i = 0; i < this.length && i < 50; i++) shown[i] = HEX[this[i]];
    return '<Buffer ' + apply(join, shown, [' ']) + (this.length > 50 ? ' ... ' : '') + '>';
  },
});
methods(Buffer.prototype, { toLocaleString: Buffer.prototype.toString });
define(Buffer.prototype, 'constructor', { value: Buffer, writable: true, enumerable: false, configurable: true });
define(Buffer.prototype, '_isBuffer', { value: true, writable: true, enumerable: false, configurable: true });
define(Buffer.prototype, 'parent', { get() { return Buffer.isBuffer(this) ? this.buffer : undefined; }, configurable: true });
define(Buffer.prototype, 'offset', { get() { return Buffer.isBuffer(this) ? this.byteOffset : undefined; }, configurable: true });

function viewAt(buffer, offset, size) {
  inside(buffer, offset, size);
  return new View(buffer.buffer, buffer.byteOffset + offset, size);
}
function room(buffer, offset, size) {
  if (offset % 1 !== 0 || offset < 0) throw new RE('offset is not uint');
  if (offset + size > buffer.length) throw new RE('Index out of range');
}

const numbers = {};
function pair(name, spelling, read, write) {
  numbers['read' + name] = read;
  numbers['write' + name] = write;
  if (spelling !== name) { numbers['read' + spelling] = read; numbers['write' + spelling] = write; }
}
// Reads and writes byte by byte: a DataView for each would cost ten times that. Bytes outside count as zero for those who
// want no assertion.
function inside(buffer, offset, size, noAssert) {
  if (offset + size > buffer.length && noAssert !== true) throw new RE('Trying to access beyond buffer length');
}
// Whether there is something to write.
function checkWrite(buffer, value, offset, size, low, high, noAssert) {
  if (noAssert !== true) {
    if (value > high || value < low) throw new RE('"value" argument is out of bounds');
    if (offset + size > buffer.length) throw new RE('Index out of range');
  }
  return offset + size <= buffer.length;
}
pair('UInt8', 'Uint8',
  function readUInt8(offset, noAssert) { offset >>>= 0; inside(this, offset, 1, noAssert); return this[offset] | 0; },
  function writeUInt8(value, offset, noAssert) {
    value = +value; offset >>>= 0;
    if (checkWrite(this, value, offset, 1, 0, 0xff, noAssert)) this[offset] = value;
    return offset + 1;
  });
pair('Int8', 'Int8',
  function readInt8(offset, noAssert) { offset >>>= 0; inside(this, offset, 1, noAssert); return this[offset] << 24 >> 24; },
  function writeInt8(value, offset, noAssert) {
    value = +value; offset >>>= 0;
    if (checkWrite(this, value, offset, 1, -0x80, 0x7f, noAssert)) this[offset] = value;
    return offset + 1;
  });
pair('UInt16LE', 'Uint16LE',
  function readUInt16LE(offset, noAssert) { offset >>>= 0; inside(this, offset, 2, noAssert); return this[offset] | this[offset + 1] << 8; },
  function writeUInt16LE(value, offset, noAssert) {
    value = +value; offset >>>= 0;
    if (checkWrite(this, value, offset, 2, 0, 0xffff, noAssert)) { this[offset] = value; this[offset + 1] = value >>> 8; }
    return offset + 2;
  });
pair('UInt16BE', 'Uint16BE',
  function readUInt16BE(offset, noAssert) { offset >>>= 0; inside(this, offset, 2, noAssert); return this[offset] << 8 | this[offset + 1]; },
  function writeUInt16BE(value, offset, noAssert) {
    value = +value; offset >>>= 0;
    if (checkWrite(this, value, offset, 2, 0, 0xffff, noAssert)) { this[offset] = value >>> 8; this[offset + 1] = value; }
    return offset + 2;
  });
pair('Int16LE', 'Int16LE',
  function readInt16LE(offset, noAssert) { offset >>>= 0; inside(this, offset, 2, noAssert); return (this[offset] | this[offset + 1] << 8) << 16 >> 16; },
  function writeInt16LE(value, offset, noAssert) {
    value = +value; offset >>>= 0;
    if (checkWrite(this, value, offset, 2, -0x8000, 0x7fff, noAssert)) { this[offset] = value; this[offset + 1] = value >>> 8; }
    return offset + 2;
  });
pair('Int16BE', 'Int16BE',
  function readInt16BE(offset, noAssert) { offset >>>= 0; inside(this, offset, 2, noAssert); return (this[offset] << 8 | this[offset + 1]) << 16 >> 16; },
  function writeInt16BE(value, offset, noAssert) {
    value = +value; offset >>>= 0;
    if (checkWrite(this, value, offset, 2, -0x8000, 0x7fff, noAssert)) { this[offset] = value >>> 8; this[offset + 1] = value; }
    return offset + 2;
  });
const read32LE = (b, at) => b[at] | b[at + 1] << 8 | b[at + 2] << 16 | b[at + 3] << 24;
const read32BE = (b, at) => b[at] << 24 | b[at + 1] << 16 | b[at + 2] << 8 | b[at + 3];
function write32LE(b, value, at) { b[at] = value; b[at + 1] = value >>> 8; b[at + 2] = value >>> 16; b[at + 3] = value >>> 24; }
function write32BE(b, value, at) { b[at] = value >>> 24; b[at + 1] = value >>> 16; b[at + 2] = value >>> 8; b[at + 3] = value; }
for (const [suffix, read, write] of [['LE', read32LE, write32LE], ['BE', read32BE, write32BE]]) {
  pair('UInt32' + suffix, 'Uint32' + suffix,
    function (offset, noAssert) { offset >>>= 0; inside(this, offset, 4, noAssert); return read(this, offset) >>> 0; },
    function (value, offset, noAssert) {
      value = +value; offset >>>= 0;
      if (checkWrite(this, value, offset, 4, 0, 0xffffffff, noAssert)) write(this, value, offset);
      return offset + 4;
    });
  pair('Int32' + suffix, 'Int32' + suffix,
    function (offset, noAssert) { offset >>>= 0; inside(this, offset, 4, noAssert); return read(this, offset); },
    function (value, offset, noAssert) {
      value = +value; offset >>>= 0;
      if (checkWrite(this, value, offset, 4, -0x80000000, 0x7fffffff, noAssert)) write(this, value, offset);
      return offset + 4;
    });
}

// Floating numbers go through eight bytes that the processor reads either way.
const bits = new U8(8), single = new Float32Array(bits.buffer), double = new Float64Array(bits.buffer);
for (const [name, size, box] of [['Float', 4, single], ['Double', 8, double]]) {
  for (const little of [true, false]) {
    const full = name + (little ? 'LE' : 'BE');
    pair(full, full,
      function (offset, noAssert) {
        offset >>>= 0;
        inside(this, offset, size, noAssert);
        if (little) for (let i = 0; i < size; i++) bits[i] = this[offset + i];
        else for (let i = 0; i < size; i++) bits[size - 1 - i] = this[offset + i];
        return box[0];
      },
      function (value, offset, noAssert) {
        box[0] = +value; offset >>>= 0;
        if (noAssert !== true && offset + size > this.length) throw new RE('Index out of range');
        if (offset + size > this.length) return offset + size;
        if (little) for (let i = 0; i < size; i++) this[offset + i] = bits[i];
        else for (let i = 0; i < size; i++) this[offset + i] = bits[size - 1 - i];
        return offset + size;
      });
  }
}

for (const [name, spelling, kind, low, high] of [
  ['BigInt64', 'BigInt64', 'BigInt64', -(1n << 63n), (1n << 63n) - 1n], ['BigUInt64', 'BigUint64', 'BigUint64', 0n, (1n << 64n) - 1n]]) {
  const get = View.prototype['get' + kind], set = View.prototype['set' + kind];
  for (const little of [true, false]) {
    const suffix = little ? 'LE' : 'BE';
    pair(name + suffix, spelling + suffix,
      function (offset) { return apply(get, viewAt(this, offset >>> 0, 8), [0, little]); },
      function (value, offset) {
        offset >>>= 0;
        if (typeof value !== 'bigint') throw new TE('The "value" argument must be of type bigint. Received type ' + typeof value);
        if (value > high || value < low) throw new RE('The value of "value" is out of range. It must be >= ' + low + ' and <= ' + high + '. Received ' + value);
        room(this, offset, 8);
        apply(set, new View(this.buffer, this.byteOffset + offset, 8), [0, value, little]);
        return offset + 8;
      });
  }
}

function checkWidth(width) {
  if (!(width >= 1 && width <= 6)) throw new RE('"byteLength" must be 1 to 6');
  return width >>> 0;
}
for (const little of [true, false]) {
  const suffix = little ? 'LE' : 'BE';
  const read = (buffer, offset, width, noAssert, signed) => {
    offset >>>= 0; width = checkWidth(width);
    inside(buffer, offset, width, noAssert);
    let value = 0;
    for (let i = 0; i < width; i++) value = value * 256 + (buffer[offset + (little ? width - 1 - i : i)] | 0);
    return signed && value >= 2 ** (8 * width - 1) ? value - 2 ** (8 * width) : value;
  };
  const write = (buffer, value, offset, width, noAssert, signed) => {
    value = +value; offset >>>= 0; width = checkWidth(width);
    if (noAssert !== true) {
      const span = 2 ** (8 * width), low = signed ? -span / 2 : 0, high = signed ? span / 2 - 1 : span - 1;
      if (value > high || value < low) throw new RE('"value" argument is out of bounds');
      room(buffer, offset, width);
    }
    let rest = value < 0 ? ceil(value) + 2 ** (8 * width) : floor(value);
    for (let i = 0; i < width; i++) { buffer[offset + (little ? i : width - 1 - i)] = rest % 256; rest = floor(rest / 256); }
    return offset + width;
  };
  pair('UInt' + suffix, 'Uint' + suffix,
    function (offset, width, noAssert) { return read(this, offset, width, noAssert, false); },
    function (value, offset, width, noAssert) { return write(this, value, offset, width, noAssert, false); });
  pair('Int' + suffix, 'Int' + suffix,
    function (offset, width, noAssert) { return read(this, offset, width, noAssert, true); },
    function (value, offset, width, noAssert) { return write(this, value, offset, width, noAssert, true); });
}
methods(Buffer.prototype, numbers);

return { Buffer, utf8Decode, utf8Encode, base64Encode, textOf, decode, kMax };
})
)js"
