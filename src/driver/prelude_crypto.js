R"js(
// require("crypto") of a trusted driver (spec drivers.md 16.5): what Node's module of that name offers for AES-128 in ECB
// and CCM mode, in JavaScript alone. An expression: a function of the kit of Buffer that makes the module.
(function (kit) {
'use strict';
const U8 = Uint8Array, AB = ArrayBuffer, Str = String, Err = Error, TE = TypeError, RE = RangeError;
const Buffer = kit.Buffer, bufferFrom = Buffer.from, bufferAlloc = Buffer.alloc, bufferText = Buffer.prototype.toString;
const isEncoding = Buffer.isEncoding;
const apply = Reflect.apply, isView = AB.isView, define = Object.defineProperty, lower = Str.prototype.toLowerCase;
const u8set = U8.prototype.set, u8slice = U8.prototype.slice, u8sub = U8.prototype.subarray;
const isInteger = Number.isInteger, floor = Math.floor;

function fail(Kind, code, text) {
  const error = new Kind(text);
  error.code = code;
  return error;
}
const wrongType = (name, value) => fail(TE, 'ERR_INVALID_ARG_TYPE', 'The "' + name +
  '" argument must be of type string or an instance of ArrayBuffer, Buffer, TypedArray, or DataView. Received ' +
  (value === null ? 'null' : value === undefined ? 'undefined' : 'type ' + typeof value));

// ---- AES-128 (FIPS 197)

const S = new U8(256), R = new U8(256);
for (let p = 1, q = 1, first = true; first || p !== 1; first = false) {
  p = (p ^ (p << 1) ^ (p & 0x80 ? 0x11b : 0)) & 255;  // times 3
  q ^= q << 1; q ^= q << 2; q ^= q << 4; q &= 255;    // divided by 3
  if (q & 0x80) q ^= 0x09;
  const turned = q ^ ((q << 1) | (q >> 7)) ^ ((q << 2) | (q >> 6)) ^ ((q << 3) | (q >> 5)) ^ ((q << 4) | (q >> 4));
  S[p] = (turned ^ 0x63) & 255;
}
S[0] = 0x63;
for (let i = 0; i < 256; i++) R[S[i]] = i;
const times2 = (x) => ((x << 1) ^ (x & 0x80 ? 0x11b : 0)) & 255;
// What a byte of a column gives to the four of the next round.
const M2 = new U8(256), M3 = new U8(256), M9 = new U8(256), MB = new U8(256), MD = new U8(256), ME = new U8(256);
for (let i = 0; i < 256; i++) {
  const two = times2(i), four = times2(two), eight = times2(four);
  M2[i] = two; M3[i] = two ^ i; M9[i] = eight ^ i; MB[i] = eight ^ two ^ i; MD[i] = eight ^ four ^ i; ME[i] = eight ^ four ^ two;
}

function expand(key) {
  const w = new U8(176);
  apply(u8set, w, [key]);
  for (let i = 16, rcon = 1; i < 176; i += 4) {
    let a = w[i - 4], b = w[i - 3], c = w[i - 2], d = w[i - 1];
    if (i % 16 === 0) {
      const t = a;
      a = S[b] ^ rcon; b = S[c]; c = S[d]; d = S[t];
      rcon = times2(rcon);
    }
    w[i] = w[i - 16] ^ a; w[i + 1] = w[i - 15] ^ b; w[i + 2] = w[i - 14] ^ c; w[i + 3] = w[i - 13] ^ d;
  }
  return w;
}

// One block from `from` at `at` into `to` at `out`; the two may be the same. The halfway states are shared: no driver's code
// runs in between.
const s = new U8(16), t = new U8(16);
function encryptBlock(w, from, at, to, out) {
  for (let i = 0; i < 16; i++) s[i] = from[at + i] ^ w[i];
  for (let round = 1; round < 10; round++) {
    for (let c = 0; c < 16; c += 4) {
      const a = S[s[c]], b = S[s[(c + 5) & 15]], d = S[s[(c + 10) & 15]], e = S[s[(c + 15) & 15]], k = round * 16 + c;
      t[c] = M2[a] ^ M3[b] ^ d ^ e ^ w[k];
      t[c + 1] = a ^ M2[b] ^ M3[d] ^ e ^ w[k + 1];
      t[c + 2] = a ^ b ^ M2[d] ^ M3[e] ^ w[k + 2];
      t[c + 3] = M3[a] ^ b ^ d ^ M2[e] ^ w[k + 3];
    }
    for (let i = 0; i < 16; i++) s[i] = t[i];
  }
  for (let c = 0; c < 16; c++) to[out + c] = S[s[(c + 4 * (c & 3)) & 15]] ^ w[160 + c];
}

function decryptBlock(w, from, at, to, out) {
  for (let i = 0; i < 16; i++) s[i] = from[at + i] ^ w[160 + i];
  for (let round = 9; ; round--) {
    for (let c = 0; c < 16; c++) t[(c + 4 * (c & 3)) & 15] = R[s[c]];
    for (let i = 0; i < 16; i++) t[i] ^= w[round * 16 + i];
    if (round === 0) break;
    for (let c = 0; c < 16; c += 4) {
      const a = t[c], b = t[c + 1], d = t[c + 2], e = t[c + 3];
      s[c] = ME[a] ^ MB[b] ^ MD[d] ^ M9[e];
      s[c + 1] = M9[a] ^ ME[b] ^ MB[d] ^ MD[e];
      s[c + 2] = MD[a] ^ M9[b] ^ ME[d] ^ MB[e];
      s[c + 3] = MB[a] ^ MD[b] ^ M9[d] ^ ME[e];
    }
  }
  for (let i = 0; i < 16; i++) to[out + i] = t[i];
}

// ---- CCM (NIST SP 800-38C)

function counterBlock(nonce, count) {
  const block = new U8(16);
  block[0] = 14 - nonce.length;
  apply(u8set, block, [nonce, 1]);
  for (let i = 15; i > nonce.length; i--) { block[i] = count % 256; count = floor(count / 256); }
  return block;
}

function ccmTag(w, nonce, aad, plain, tagLength) {
  const mac = counterBlock(nonce, plain.length);
  mac[0] |= (aad.length > 0 ? 64 : 0) | (((tagLength - 2) / 2) << 3);
  encryptBlock(w, mac, 0, mac, 0);
  let at = 0;
  const take = (b) => { mac[at++] ^= b; if (at === 16) { encryptBlock(w, mac, 0, mac, 0); at = 0; } };
  const close = () => { if (at > 0) { encryptBlock(w, mac, 0, mac, 0); at = 0; } };
  if (aad.length > 0) {
    if (aad.length < 0xff00) { take(aad.length >> 8); take(aad.length & 255); }
    else { take(0xff); take(0xfe); for (let shift = 24; shift >= 0; shift -= 8) take((aad.length >>> shift) & 255); }
    for (let i = 0; i < aad.length; i++) take(aad[i]);
    close();
  }
  for (let i = 0; i < plain.length; i++) take(plain[i]);
  close();
  const first = counterBlock(nonce, 0);
  encryptBlock(w, first, 0, first, 0);
  const tag = new U8(tagLength);
  for (let i = 0; i < tagLength; i++) tag[i] = mac[i] ^ first[i];
  return tag;
}

function ccmText(w, nonce, text) {
  const out = new U8(text.length), pad = new U8(16);
  for (let i = 0; i < text.length; i++) {
    if (i % 16 === 0) encryptBlock(w, counterBlock(nonce, i / 16 + 1), 0, pad, 0);
    out[i] = text[i] ^ pad[i % 16];
  }
  return out;
}

// ---- Node's objects

function bytesOf(value, name, encoding) {
  if (typeof value === 'string') return apply(bufferFrom, Buffer, [value, encoding === undefined || encoding === 'buffer' ? 'utf8' : encoding]);
  if (isView(value)) return new U8(value.buffer, value.byteOffset, value.byteLength);
  if (value instanceof AB) return new U8(value);
  throw wrongType(name, value);
}
const copied = (bytes) => apply(u8slice, bytes, [0]);
function joined(a, b) {
  const out = new U8(a.length + b.length);
  apply(u8set, out, [a]);
  apply(u8set, out, [b, a.length]);
  return out;
}

// How many of the bytes make whole characters, so that text comes out in pieces as from a stream.
function whole(bytes, encoding) {
  const n = bytes.length;
  switch (apply(lower, Str(encoding), [])) {
    case 'utf8': case 'utf-8':
      for (let back = 1; back <= 3 && back <= n; back++) {
        const c = bytes[n - back];
        if ((c & 0xc0) === 0x80) continue;
        return (c >= 0xc2 && c < 0xe0 && back < 2) || (c >= 0xe0 && c < 0xf0 && back < 3) || (c >= 0xf0 && c < 0xf5 && back < 4) ? n - back : n;
      }
      return n;
    case 'base64': case 'base64url': return n - n % 3;
    case 'ucs2': case 'ucs-2': case 'utf16le': case 'utf-16le': return n - n % 2;
    default: return n;
  }
}

const ciphers = { 'aes-128-ecb': 'ecb', 'aes128-ecb': 'ecb', 'aes-128-ccm': 'ccm', 'id-aes128-ccm': 'ccm', 'id-aes128-CCM': 'ccm' };
const none = new U8(0);
const state = new WeakMap(), get = WeakMap.prototype.get, set = WeakMap.prototype.set;
function of(self) {
  const found = apply(get, state, [self]);
  if (found === undefined) throw fail(TE, 'ERR_INVALID_THIS', 'Value of "this" must be of type Cipheriv');
  return found;
}

function start(self, decrypts, cipher, key, iv, options) {
  if (typeof cipher !== 'string') throw fail(TE, 'ERR_INVALID_ARG_TYPE', 'The "cipher" argument must be of type string. Received ' +
    (cipher === null ? 'null' : cipher === undefined ? 'undefined' : 'type ' + typeof cipher));
  const keyBytes = bytesOf(key, 'key');
  const ivBytes = iv === null ? null : bytesOf(iv, 'iv');
  const name = apply(lower, cipher, []), mode = Object.hasOwn(ciphers, name) ? ciphers[name] : undefined;
  if (mode === undefined) throw fail(Err, 'ERR_CRYPTO_UNKNOWN_CIPHER', 'Unknown cipher');
  if (keyBytes.length !== 16) throw fail(RE, 'ERR_CRYPTO_INVALID_KEYLEN', 'Invalid key length');
  const it = { decrypts, mode, w: expand(keyBytes), pads: true, held: none, text: none, encoding: undefined, done: false,
    nonce: undefined, tagLength: 0, tag: undefined, aad: none, plain: undefined, updated: false, wrong: false };
  if (mode === 'ccm') {
    if (ivBytes === null || ivBytes.length < 7 || ivBytes.length > 13) throw fail(TE, 'ERR_CRYPTO_INVALID_IV', 'Invalid initialization vector');
    const length = options === null || options === undefined ? undefined : options.authTagLength;
    if (length === undefined || length === null) throw fail(TE, 'ERR_CRYPTO_INVALID_AUTH_TAG', 'authTagLength required for ' + cipher);
    if (!isInteger(length) || length < 4 || length > 16 || length % 2 !== 0) {
      throw fail(TE, 'ERR_CRYPTO_INVALID_AUTH_TAG', 'Invalid authentication tag length: ' + Str(length));
    }
    it.nonce = copied(ivBytes);
    it.tagLength = length;
  } else if (ivBytes !== null && ivBytes.length > 0) throw fail(TE, 'ERR_CRYPTO_INVALID_IV', 'Invalid initialization vector');
  apply(set, state, [self, it]);
}

function given(it, bytes, encoding, last) {
  if (encoding === undefined || encoding === null || encoding === 'buffer') return apply(bufferFrom, Buffer, [bytes]);
  if (!apply(isEncoding, Buffer, [encoding])) throw fail(TE, 'ERR_UNKNOWN_ENCODING', 'Unknown encoding: ' + Str(encoding));
  if (it.encoding === undefined) it.encoding = encoding;
  else if (apply(lower, it.encoding, []) !== apply(lower, encoding, [])) throw new Err('Cannot change encoding');
  const all = joined(it.text, bytes), count = last ? all.length : whole(all, encoding);
  it.text = apply(u8slice, all, [count]);
  return apply(bufferText, apply(bufferFrom, Buffer, [apply(u8sub, all, [0, count])]), [encoding]);
}

const invalidState = (what) => fail(Err, 'ERR_CRYPTO_INVALID_STATE', 'Invalid state for operation ' + what);
const tooLate = () => new Err('Trying to add data in unsupported state');

// The plain text where the tag is right; else nothing, and `final` throws.
function opened(it, bytes) {
  const plain = ccmText(it.w, it.nonce, bytes), tag = ccmTag(it.w, it.nonce, it.aad, plain, it.tagLength);
  let differs = it.tag === undefined ? 1 : 0;
  for (let i = 0; i < it.tagLength && it.tag !== undefined; i++) differs |= tag[i] ^ it.tag[i];
  it.wrong = differs !== 0;
  return it.wrong ? none : plain;
}

function update(data, inputEncoding, outputEncoding) {
  const it = of(this);
  const bytes = bytesOf(data, 'data', inputEncoding);
  if (it.done) throw tooLate();
  if (it.mode === 'ccm') {
    if (it.updated || (it.plain !== undefined && it.plain !== bytes.length)) throw tooLate();
    it.updated = true;
    if (it.decrypts) return given(it, opened(it, bytes), outputEncoding, false);
    it.tag = ccmTag(it.w, it.nonce, it.aad, bytes, it.tagLength);
    return given(it, ccmText(it.w, it.nonce, bytes), outputEncoding, false);
  }
  const all = joined(it.held, bytes);
  let count = all.length - all.length % 16;
  // The last block may be padding: it waits for `final`.
  if (it.decrypts && it.pads && count > 0 && count === all.length) count -= 16;
  const out = new U8(count), block = it.decrypts ? decryptBlock : encryptBlock;
  for (let i = 0; i < count; i += 16) block(it.w, all, i, out, i);
  it.held = apply(u8slice, all, [count]);
  return given(it, out, outputEncoding, false);
}

function final(outputEncoding) {
  const it = of(this);
  if (it.done) throw invalidState('final');
  it.done = true;
  if (it.mode === 'ccm') {
    if (it.decrypts) {
      if (!it.updated) opened(it, none);  // stricter than Node, which looks at no tag where there was no text
      if (it.wrong) throw new Err('Unsupported state or unable to authenticate data');
    } else if (!it.updated) it.tag = ccmTag(it.w, it.nonce, it.aad, none, it.tagLength);
    return given(it, none, outputEncoding, true);
  }
  const held = it.held;
  if (!it.pads) {
    if (held.length !== 0) throw fail(Err, 'ERR_OSSL_WRONG_FINAL_BLOCK_LENGTH', 'error:1C80006B:Provider routines::wrong final block length');
    return given(it, none, outputEncoding, true);
  }
  const block = new U8(16);
  if (!it.decrypts) {
    for (let i = 0; i < 16; i++) block[i] = i < held.length ? held[i] : 16 - held.length;
    encryptBlock(it.w, block, 0, block, 0);
    return given(it, block, outputEncoding, true);
  }
  if (held.length !== 16) throw fail(Err, 'ERR_OSSL_WRONG_FINAL_BLOCK_LENGTH', 'error:1C80006B:Provider routines::wrong final block length');
  decryptBlock(it.w, held, 0, block, 0);
  const pad = block[15];
  let bad = pad < 1 || pad > 16;
  for (let i = 16 - pad; !bad && i < 16; i++) bad = block[i] !== pad;
  if (bad) throw fail(Err, 'ERR_OSSL_BAD_DECRYPT', 'error:1C800064:Provider routines::bad decrypt');
  return given(it, apply(u8slice, block, [0, 16 - pad]), outputEncoding, true);
}

function setAutoPadding(pads) {
  const it = of(this);
  if (it.done) throw invalidState('setAutoPadding');
  it.pads = pads === undefined || !!pads;
  return this;
}

function setAAD(data, options) {
  const it = of(this), bytes = bytesOf(data, 'buffer', options !== null && options !== undefined ? options.encoding : undefined);
  const length = options === null || options === undefined ? undefined : options.plaintextLength;
  if (it.mode !== 'ccm' || it.updated || it.done) throw invalidState('setAAD');
  if (length === undefined || length === null) {
    throw fail(TE, 'ERR_MISSING_ARGS', 'options.plaintextLength required for CCM mode with AAD');
  }
  if (!isInteger(length) || length < 0) throw fail(RE, 'ERR_INVALID_ARG_VALUE', "The property 'options.plaintextLength' is invalid. Received " + Str(length));
  it.plain = length;
  it.aad = copied(bytes);
  return this;
}

function setAuthTag(tag, encoding) {
  const it = of(this), bytes = bytesOf(tag, 'buffer', encoding);
  if (it.mode !== 'ccm' || it.done || it.tag !== undefined) throw invalidState('setAuthTag');
  if (bytes.length !== it.tagLength) throw fail(TE, 'ERR_CRYPTO_INVALID_AUTH_TAG', 'Invalid authentication tag length: ' + bytes.length);
  it.tag = copied(bytes);
  return this;
}

function getAuthTag() {
  const it = of(this);
  if (it.mode !== 'ccm' || !it.done || it.tag === undefined) throw invalidState('getAuthTag');
  return apply(bufferFrom, Buffer, [it.tag]);
}

function methods(target, source) {
  for (const name of Object.keys(source)) define(target, name, { value: source[name], writable: true, enumerable: false, configurable: true });
}
function Cipheriv(cipher, key, iv, options) {
  if (!(this instanceof Cipheriv)) return new Cipheriv(cipher, key, iv, options);
  start(this, false, cipher, key, iv, options);
}
function Decipheriv(cipher, key, iv, options) {
  if (!(this instanceof Decipheriv)) return new Decipheriv(cipher, key, iv, options);
  start(this, true, cipher, key, iv, options);
}
methods(Cipheriv.prototype, { update, final, setAutoPadding, setAAD, getAuthTag });
methods(Decipheriv.prototype, { update, final, setAutoPadding, setAAD, setAuthTag });

return {
  createCipheriv(cipher, key, iv, options) { return new Cipheriv(cipher, key, iv, options); },
  createDecipheriv(cipher, key, iv, options) { return new Decipheriv(cipher, key, iv, options); },
  Cipheriv, Decipheriv,
  getCiphers() { return ['aes-128-ccm', 'aes-128-ecb']; },
};
})
)js"
