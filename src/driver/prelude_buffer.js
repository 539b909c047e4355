R"js(
// The global `Buffer` (spec drivers.md 8): behaves as Node's, as the npm package `buffer` 6 does. An expression: a function
// that makes the constructor for this global object. Everything it needs is captured when it runs, before any driver.
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
const floor = Math.floor, ceil = Math.ceil, min = Math.min;
const toStringTag = Object.getOwnPropertyDescriptor(Object.getPrototypeOf(U8.prototype), Symbol.toStringTag).get;
const abLength = Object.getOwnPropertyDescriptor(AB.prototype, 'byteLength').get;
const kMax = 0x7fffffff;

const isU8 = (x) => apply(toStringTag, x, []) === 'Uint8Array';
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
  const out = [];
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
  return out;
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
    case 'base64': case 'base64url': return 'base64';
    case 'ucs2': case 'ucs-2': case 'utf16le': case 'utf-16le': return 'utf16le';
    default: return undefined;
  }
}
function known(encoding) {
  if (encoding === undefined || encoding === null || encoding === '') return 'utf8';
  const name = normal(encoding);
  if (name === undefined) throw new TE('Unknown encoding: ' + Str(encoding));
  return name;
}

function encode(s, name) {
  switch (name) {
    case 'utf8': return utf8Encode(s);
    case 'hex': return hexDecode(s);
    case 'base64': return base64Decode(s);
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
  if (name === 'utf8') return utf8Decode(b, start, end, false);
  if (name === 'base64') return base64Encode(b, start, end);
  if (name === 'hex') {
    let out = '';
    for (let i = start; i < end; i++) out += HEX[b[i]];
    return out;
  }
  const codes = [];
  if (name === 'utf16le') for (let i = start, n = 0; i + 1 < end; i += 2) codes[n++] = b[i] | (b[i + 1] << 8);
  else for (let i = start, mask = name === 'ascii' ? 127 : 255; i < end; i++) codes[i - start] = b[i] & mask;
  return textOf(codes);
}

function make(length) {
  if (length > kMax) throw new RE('The value "' + length + '" is invalid for option "size"');
  return setProto(new U8(length), Buffer.prototype);
}
function ofList(list) {
  const length = list.length < 0 ? 0 : list.length | 0;
  const out = make(length);
  for (let i = 0; i < length; i++) out[i] = list[i] & 255;
  return out;
}
function checkSize(size) {
  if (typeof size !== 'number') throw new TE('"size" argument must be of type number');
  if (size < 0 || size !== size) throw new RE('The value "' + size + '" is invalid for option "size"');
}

function from(value, encodingOrOffset, length) {
  if (typeof value === 'string') return ofList(encode(value, known(typeof encodingOrOffset === 'string' ? encodingOrOffset : 'utf8')));
  if (value === undefined || value === null || typeof value === 'number' || typeof value === 'boolean') {
    const kind = value === null ? 'null' : typeof value;
    throw new TE(kind === 'number' ? 'The "value" argument must not be of type number. Received type number'
      : 'The first argument must be one of type string, Buffer, ArrayBuffer, Array, or Array-like Object. Received type ' + kind);
  }
  if (isArrayBuffer(value)) {
    const offset = encodingOrOffset >>> 0, size = apply(abLength, value, []);
    if (encodingOrOffset < 0 || size < offset) throw new RE('"offset" is outside of buffer bounds');
    if (length !== undefined && size < offset + length) throw new RE('"length" is outside of buffer bounds');
    return setProto(length === undefined ? new U8(value, offset) : new U8(value, offset, length), Buffer.prototype);
  }
  if (isView(value) || isArray(value)) return ofList(value);
  const primitive = typeof value.valueOf === 'function' ? value.valueOf() : value;
  if (primitive !== null && primitive !== undefined && primitive !== value) return from(primitive, encodingOrOffset, length);
  if (typeof value.length === 'number') return ofList(value);
  if (value.length !== undefined) return make(0);
  if (value.type === 'Buffer' && isArray(value.data)) return ofList(value.data);
  const toPrimitive = value[Symbol.toPrimitive];
  if (typeof toPrimitive === 'function') return from(apply(toPrimitive, value, ['string']), encodingOrOffset, length);
  throw new TE('The first argument must be one of type string, Buffer, ArrayBuffer, Array, or Array-like Object. Received type ' + typeof value);
}

function Buffer(arg, encodingOrOffset, length) {
  if (typeof arg === 'number') {
    if (typeof encodingOrOffset === 'string') throw new TE('The "string" argument must be of type string. Received type number');
    checkSize(arg);
    return make(arg | 0);
  }
  return from(arg, encodingOrOffset, length);
}
setProto(Buffer, U8);
Buffer.prototype = setProto({}, U8.prototype);
define(Buffer, 'prototype', { writable: false, enumerable: false, configurable: false });

function methods(target, source) {
  for (const name of Object.keys(source)) define(target, name, { value: source[name], writable: true, enumerable: false, configurable: true });
}

function alloc(size, fill, encoding) {
  checkSize(size);
  const out = make(size | 0);
  return fill === undefined ? out : typeof encoding === 'string' ? out.fill(fill, encoding) : out.fill(fill);
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
    return name === 'hex' ? value.length >>> 1 : encode(value, name).length;
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
  if (buffer.length === 0) return -1;
  if (typeof offset === 'string') { encoding = offset; offset = undefined; }
  offset = offset === undefined ? NaN : +offset;
  if (offset > kMax) offset = kMax; else if (offset < -0x80000000) offset = -0x80000000;
  if (offset !== offset) offset = forward ? 0 : buffer.length - 1;
  offset = offset < 0 ? ceil(offset) + buffer.length : floor(offset);
  if (offset >= buffer.length) { if (forward) return -1; offset = buffer.length - 1; }
  if (offset < 0) { if (!forward) return -1; offset = 0; }
  let needle;
  if (typeof value === 'string') needle = encode(value, known(encoding));
  else if (typeof value === 'number') needle = [value & 255];
  else if (isU8(value)) needle = value;
  else throw new TE('val must be string, number or Buffer');
  if (needle.length === 0) return -1;
  const step = forward ? 1 : -1, last = buffer.length - needle.length;
  for (let i = forward ? offset : min(offset, last); i >= 0 && i <= last; i += step) {
    let j = 0;
    while (j < needle.length && buffer[i + j] === needle[j]) j++;
    if (j === needle.length) return i;
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
function clamp(value, length, fallback) {
  let n = value === undefined ? fallback : ~~value;
  if (n < 0) { n += length; if (n < 0) n = 0; }
  return n > length ? length : n;
}
function slice(start, end) {
  const from = clamp(start, this.length, 0);
  let to = clamp(end, this.length, this.length);
  if (to < from) to = from;
  return setProto(new U8(this.buffer, this.byteOffset + from, to - from), Buffer.prototype);
}

methods(Buffer.prototype, {
  toString(encoding, start, end) {
    const from = start === undefined || start < 0 ? 0 : start >>> 0;
    const to = end === undefined || end > this.length ? this.length : end >>> 0;
    if (from > this.length || to <= from) return '';
    return decode(this, known(encoding), from, to);
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
    start = start === undefined ? 0 : start; targetStart = targetStart === undefined ? 0 : targetStart;
    if (end === undefined && end !== 0) end = this.length;
    if (targetStart >= target.length) targetStart = target.length;
    if (end > 0 && end < start) end = start;
    if (end === start || target.length === 0 || this.length === 0) return 0;
    if (targetStart < 0) throw new RE('targetStart out of bounds');
    if (start < 0 || start >= this.length) throw new RE('Index out of range');
    if (end < 0) throw new RE('sourceEnd out of bounds');
    if (end > this.length) end = this.length;
    if (target.length - targetStart < end - start) end = target.length - targetStart + start;
    const length = end - start;
    if (this === target) apply(u8within, this, [targetStart, start, end]);
    else apply(u8set, target, [new U8(this.buffer, this.byteOffset + start, length), targetStart]);
    return length;
  },
  fill(value, start, end, encoding) {
    if (typeof start === 'string') { encoding = start; start = 0; end = this.length; }
    else if (typeof end === 'string') { encoding = end; end = this.length; }
    start = start === undefined ? 0 : start; end = end === undefined ? this.length : end;
    if (start < 0 || this.length < start || this.length < end) throw new RE('Out of range index');
    if (end <= start) return this;
    start >>>= 0; end >>>= 0;
    if (typeof value === 'boolean') value = Num(value);
    if (typeof value !== 'string' && !isU8(value)) { apply(u8fill, this, [value & 255, start, end]); return this; }
    const bytes = typeof value === 'string' ? value === '' ? [0] : encode(value, known(encoding)) : value;
    if (bytes.length === 0) throw new TE('The value "' + value + '" is invalid for argument "value"');
    for (let i = 0; i < end - start; i++) this[start + i] = bytes[i % bytes.length];
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

// A view of `size` bytes at `offset`. With `noAssert` what lies outside counts as zero.
function viewAt(buffer, offset, size, noAssert) {
  if (offset % 1 !== 0 || offset < 0) throw new RE('offset is not uint');
  if (offset + size > buffer.length) {
    if (noAssert !== true) throw new RE('Trying to access beyond buffer length');
    const padded = new U8(size);
    for (let i = 0; i < size; i++) padded[i] = buffer[offset + i];
    return new View(padded.buffer);
  }
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
function integers(name, spelling, size, low, high) {
  const get = View.prototype['get' + (low < 0 ? 'Int' : 'Uint') + size * 8], set = View.prototype['set' + (low < 0 ? 'Int' : 'Uint') + size * 8];
  for (const little of size === 1 ? [undefined] : [true, false]) {
    const suffix = little === undefined ? '' : little ? 'LE' : 'BE';
    pair(name + suffix, spelling + suffix,
      function (offset, noAssert) { return apply(get, viewAt(this, offset >>> 0, size, noAssert), [0, little]); },
      function (value, offset, noAssert) {
        value = +value; offset >>>= 0;
        if (noAssert !== true) {
          if (value > high || value < low) throw new RE('"value" argument is out of bounds');
          room(this, offset, size);
        } else if (offset + size > this.length) return offset + size;
        apply(set, new View(this.buffer, this.byteOffset + offset, size), [0, value, little]);
        return offset + size;
      });
  }
}
integers('UInt8', 'Uint8', 1, 0, 0xff);
integers('Int8', 'Int8', 1, -0x80, 0x7f);
integers('UInt16', 'Uint16', 2, 0, 0xffff);
integers('Int16', 'Int16', 2, -0x8000, 0x7fff);
integers('UInt32', 'Uint32', 4, 0, 0xffffffff);
integers('Int32', 'Int32', 4, -0x80000000, 0x7fffffff);

for (const [name, kind, size] of [['Float', 'Float32', 4], ['Double', 'Float64', 8]]) {
  const get = View.prototype['get' + kind], set = View.prototype['set' + kind];
  for (const little of [true, false]) {
    const full = name + (little ? 'LE' : 'BE');
    pair(full, full,
      function (offset, noAssert) { return apply(get, viewAt(this, offset >>> 0, size, noAssert), [0, little]); },
      function (value, offset, noAssert) {
        offset >>>= 0;
        if (noAssert !== true) room(this, offset, size);
        else if (offset + size > this.length) return offset + size;
        apply(set, new View(this.buffer, this.byteOffset + offset, size), [0, +value, little]);
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
    width = checkWidth(width);
    const view = viewAt(buffer, offset >>> 0, width, noAssert);
    const bytes = new U8(view.buffer, view.byteOffset, width);
    let value = 0;
    for (let i = 0; i < width; i++) value = value * 256 + bytes[little ? width - 1 - i : i];
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
