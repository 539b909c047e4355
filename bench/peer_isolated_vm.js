// SPDX-License-Identifier: Apache-2.0
// The peer's side of bench/drivers.py: drivers in isolated-vm. One isolate with a limit, a context for each driver that stays
// warm, the code compiled once, one call into the isolate a message, JSON text out. The same orders as bench/driver_load.cpp
// understands; "way" says how a message goes in, for the fastest to be taken:
//
//   args    the hexadecimal text, the port and the time as arguments, out of which the input is made inside
//   json    the input as JSON text
//   copy    the input as a copied object
//   *+limit the same with a limit of 1 s for the call
'use strict';
const home = process.argv[2] + '/node_modules';
const ivm = require(home + '/isolated-vm');
const path = require('path');
const fs = require('fs');
const readline = require('readline');

const kTime = 1700000000123;
const isolate = new ivm.Isolate({ memoryLimit: 128 });
const drivers = new Map();

// What a driver finds around it: the npm package `buffer`, bundled by hand.
const bundled = ['buffer', 'base64-js', 'ieee754'].map((name) => {
  const file = name === 'buffer' ? 'buffer/index.js' : require.resolve(name, { paths: [home] });
  return `${JSON.stringify(name)}: function (require, module, exports) {${fs.readFileSync(path.resolve(home, file), 'utf8')}\n}`;
});
const bufferSource = `(function () {
  const sources = {${bundled.join(',')}};
  function require(name) {
    const module = { exports: {} };
    sources[name](require, module, module.exports);
    return module.exports;
  }
  globalThis.Buffer = require('buffer').Buffer;
  globalThis.module = { exports: {} };
  globalThis.exports = globalThis.module.exports;
})()`;
// The functions that the calls go to.
const wrapper = `
(function () {
  const decode = typeof decodeUplink === 'function' ? decodeUplink
    : typeof Decoder === 'function' ? (input) => ({ data: Decoder(input.bytes, input.fPort) })
    : (input) => ({ data: Decode(input.fPort, input.bytes) });
  const value = (c) => c <= 57 ? c - 48 : (c | 32) - 87;
  function bytesOf(hex) {
    const bytes = new Array(hex.length >> 1);
    for (let i = 0; i < bytes.length; i++) bytes[i] = (value(hex.charCodeAt(2 * i)) << 4) | value(hex.charCodeAt(2 * i + 1));
    return bytes;
  }
  return {
    args: (hex, fPort, time) => JSON.stringify(decode({ bytes: bytesOf(hex), fPort, recvTime: new Date(time) })),
    json: (text) => {
      const input = JSON.parse(text);
      input.recvTime = new Date(input.recvTime);
      return JSON.stringify(decode(input));
    },
    copy: (input) => JSON.stringify(decode(input)),
  };
})()`;

function bytesOf(hex) {
  return Array.from(Buffer.from(hex, 'hex'));
}

const within = { timeout: 1000 };
const ways = {
  args: (d, c) => d.args.applySync(undefined, [c[1], c[2], kTime]),
  'args+limit': (d, c) => d.args.applySync(undefined, [c[1], c[2], kTime], within),
  json: (d, c) => d.json.applySync(undefined, [JSON.stringify({ bytes: bytesOf(c[1]), fPort: c[2], recvTime: kTime })]),
  'json+limit': (d, c) => d.json.applySync(undefined, [JSON.stringify({ bytes: bytesOf(c[1]), fPort: c[2], recvTime: kTime })], within),
  copy: (d, c) => d.copy.applySync(undefined, [{ bytes: bytesOf(c[1]), fPort: c[2], recvTime: new Date(kTime) }], { arguments: { copy: true } }),
  'copy+limit': (d, c) =>
    d.copy.applySync(undefined, [{ bytes: bytesOf(c[1]), fPort: c[2], recvTime: new Date(kTime) }], { arguments: { copy: true }, timeout: 1000 }),
};

const orders = {
  engine: () => ({}),
  driver: (o) => {
    const context = isolate.createContextSync();
    context.evalSync(bufferSource);
    isolate.compileScriptSync(fs.readFileSync(o.file, 'utf8')).runSync(context);
    const made = context.evalSync(wrapper, { reference: true });
    const driver = {};
    for (const name of ['args', 'json', 'copy']) driver[name] = made.getSync(name, { reference: true });
    drivers.set(o.name, driver);
    return {};
  },
  decode: (o) => {
    const text = ways[o.way](drivers.get(o.driver), [o.driver, o.hex, o.fPort]);
    return { ok: true, text: JSON.stringify(JSON.parse(text).data) };
  },
  rate: (o) => {
    const calls = o.calls.map((c) => [drivers.get(c[0]), c]);
    const way = ways[o.way], start = process.hrtime.bigint(), length = BigInt(o.milliseconds) * 1000000n;
    let count = 0, failed = 0, next = 0, took = 0n;
    while (took < length) {
      for (let i = 0; i < 64; i++) {
        const [driver, call] = calls[next];
        next = next + 1 === calls.length ? 0 : next + 1;
        if (typeof way(driver, call) !== 'string') failed++;
      }
      count += 64;
      took = process.hrtime.bigint() - start;
    }
    return { calls: count, failed, seconds: Number(took) / 1e9 };
  },
};

readline.createInterface({ input: process.stdin }).on('line', (line) => {
  const order = JSON.parse(line);
  let answer;
  try {
    answer = orders[order.do](order);
  } catch (error) {
    answer = { error: String(error) };
  }
  process.stdout.write(JSON.stringify(answer) + '\n');
});
