// SPDX-License-Identifier: Apache-2.0
// A small climate sensor, and what `sluice simulate` pretends to be. LoRa Alliance Payload Codec API (TS013).
//
// Uplink, FPort 2, 6 bytes, big endian:      Downlink, FPort 2, 3 bytes:
//   0    version, 1                            0    command, 1 = set the reporting interval
//   1-2  temperature, signed, 0.01 degrees C   1-2  interval in minutes, 1..1440
//   3    relative humidity, 0.5 %
//   4-5  battery, mV

function decodeUplink(input) {
  var bytes = input.bytes;
  if (input.fPort !== 2) return { errors: ["unknown FPort " + input.fPort] };
  if (bytes.length !== 6) return { errors: ["expected 6 bytes, got " + bytes.length] };
  if (bytes[0] !== 1) return { errors: ["unknown version " + bytes[0]] };
  var temperature = (bytes[1] << 8) | bytes[2];
  if (temperature > 0x7fff) temperature -= 0x10000;
  var battery = ((bytes[4] << 8) | bytes[5]) / 1000;
  return {
    data: { temperature: temperature / 100, humidity: bytes[3] / 2, battery: battery },
    warnings: battery < 3.0 ? ["battery is low"] : []
  };
}

function encodeDownlink(input) {
  var minutes = input.data.interval;
  if (typeof minutes !== "number" || minutes % 1 !== 0 || minutes < 1 || minutes > 1440) {
    return { errors: ["interval must be a whole number of minutes, 1 to 1440"] };
  }
  return { fPort: 2, bytes: [1, minutes >> 8, minutes & 255] };
}

function decodeDownlink(input) {
  if (input.bytes.length !== 3 || input.bytes[0] !== 1) return { errors: ["unknown command"] };
  return { data: { interval: (input.bytes[1] << 8) | input.bytes[2] } };
}
