// Cayenne Low Power Payload: channel, type, value, repeated. Written for several platforms at once.
const types = {
  0: { name: 'digital_in', size: 1, signed: false, divisor: [1] },
  1: { name: 'digital_out', size: 1, signed: false, divisor: [1] },
  2: { name: 'analog_in', size: 2, signed: true, divisor: [100] },
  3: { name: 'analog_out', size: 2, signed: true, divisor: [100] },
  101: { name: 'luminosity', size: 2, signed: false, divisor: [1] },
  102: { name: 'presence', size: 1, signed: false, divisor: [1] },
  103: { name: 'temperature', size: 2, signed: true, divisor: [10] },
  104: { name: 'humidity', size: 1, signed: false, divisor: [2] },
  113: { name: 'accelerometer', size: 6, signed: true, divisor: [1000, 1000, 1000] },
  115: { name: 'barometer', size: 2, signed: false, divisor: [10] },
  134: { name: 'gyrometer', size: 6, signed: true, divisor: [100, 100, 100] },
  136: { name: 'gps', size: 9, signed: true, divisor: [10000, 10000, 100] },
};
const axes = { gps: ['latitude', 'longitude', 'altitude'], accelerometer: ['x', 'y', 'z'], gyrometer: ['x', 'y', 'z'] };

const toInt = (bytes, signed) => {
  let value = 0;
  for (const b of bytes) value = value * 256 + b;
  return signed && bytes[0] & 0x80 ? value - 2 ** (8 * bytes.length) : value;
};

function decodeLpp(bytes) {
  const out = {};
  for (let i = 0; i < bytes.length; ) {
    const channel = bytes[i++];
    const type = types[bytes[i++]];
    if (!type) throw new Error(`Unknown type ${bytes[i - 1]} on channel ${channel}`);
    if (i + type.size > bytes.length) throw new RangeError('Frame too short');
    const width = type.size / type.divisor.length;
    const values = type.divisor.map((d, n) => toInt(bytes.slice(i + n * width, i + (n + 1) * width), type.signed) / d);
    i += type.size;
    const value = axes[type.name] ? Object.fromEntries(axes[type.name].map((axis, n) => [axis, values[n]])) : values[0];
    out[`${type.name}_${channel}`] = value;
  }
  return out;
}

function Decoder(bytes, port) {
  return decodeLpp(bytes);
}

function Encoder(object, port) {
  const bytes = [];
  for (const [key, value] of Object.entries(object)) {
    const channel = Number(key.split('_').pop());
    if (key.startsWith('digital_out')) bytes.push(channel, 1, value ? 1 : 0);
    else throw new Error('Cannot encode ' + key);
  }
  return bytes;
}

function decodeUplink(input) {
  return { data: decodeLpp(input.bytes) };
}
