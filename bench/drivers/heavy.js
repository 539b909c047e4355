// SPDX-License-Identifier: Apache-2.0
// The heavy driver of the benchmark: a header read through Buffer, then a stream of bits with some fifty records of history,
// each coded as the change from the one before and given its own date.
//
// Header, 16 bytes, big endian: version u8, flags u8, battery mV u16, time of the newest record s u32, seconds between
// records u16, number of records u8, width of a change in bits u8, first temperature 0.01 degrees s16, first humidity 0.5 % u8,
// checksum u8 (the sum of all that comes before). Then for each further record: a change of the temperature in that width,
// one bit for whether the humidity changed, and if so its change in 5 bits; both zigzag.

class BitReader {
  constructor(buffer) {
    this.buffer = buffer;
    this.position = 0;
  }
  bit() {
    const byte = this.buffer[this.position >> 3];
    if (byte === undefined) throw new Error("the payload ends within a record");
    const value = (byte >> (7 - (this.position & 7))) & 1;
    this.position += 1;
    return value;
  }
  bits(count) {
    let value = 0;
    for (let i = 0; i < count; i++) value = (value << 1) | this.bit();
    return value;
  }
  zigzag(count) {
    const value = this.bits(count);
    return (value >>> 1) ^ -(value & 1);
  }
}

function dewPoint(temperature, humidity) {
  const a = 17.62, b = 243.12;
  const gamma = (a * temperature) / (b + temperature) + Math.log(Math.max(humidity, 1) / 100);
  return (b * gamma) / (a - gamma);
}

function round(value, digits) {
  return Number(value.toFixed(digits));
}

const FLAGS = ["tamper", "lowBattery", "clockLost", "overflow"];

function decodeUplink(input) {
  const buffer = Buffer.from(input.bytes);
  if (buffer.length < 16) return { errors: ["payload too short: " + buffer.toString("hex")] };
  const version = buffer.readUInt8(0);
  if (version !== 3) return { errors: [`unknown version ${version}`] };
  const checksum = buffer.subarray(0, 15).reduce((sum, byte) => (sum + byte) & 255, 0);
  if (checksum !== buffer.readUInt8(15)) return { errors: ["the header's checksum is wrong"] };

  const flags = buffer.readUInt8(1);
  const newest = buffer.readUInt32BE(4) * 1000;
  const interval = buffer.readUInt16BE(8);
  const count = buffer.readUInt8(10);
  const width = buffer.readUInt8(11);
  let temperature = buffer.readInt16BE(12);
  let humidity = buffer.readUInt8(14);

  const reader = new BitReader(buffer.subarray(16));
  const history = [];
  for (let i = 0; i < count; i++) {
    if (i > 0) {
      temperature += reader.zigzag(width);
      if (reader.bit() === 1) humidity += reader.zigzag(5);
    }
    history.push({
      time: new Date(newest - (count - 1 - i) * interval * 1000).toISOString(),
      temperature: temperature / 100,
      humidity: humidity / 2,
      dewPoint: round(dewPoint(temperature / 100, humidity / 2), 2)
    });
  }
  const temperatures = history.map((record) => record.temperature);
  const mean = temperatures.reduce((sum, value) => sum + value, 0) / temperatures.length;
  const age = input.recvTime.getTime() - newest;
  const warnings = [];
  if (age > 86400000) warnings.push("the newest record is older than a day");
  return {
    data: {
      version,
      device: buffer.toString("hex", 0, 4),
      flags: Object.fromEntries(FLAGS.map((name, bit) => [name, (flags & (1 << bit)) !== 0])),
      battery: buffer.readUInt16BE(2) / 1000,
      ageSeconds: Math.round(age / 1000),
      temperature: { min: Math.min(...temperatures), max: Math.max(...temperatures), mean: round(mean, 2) },
      history
    },
    warnings
  };
}
