// SPDX-License-Identifier: Apache-2.0
// The reference product's own signature: bare objects, errors that are thrown.

function decodeUplink(input) {
  if (input.fPort === 9) throw new Error("Invalid fPort!");
  const result = { first: input.bytes[0], time: input.time, temperature: input.bytes[0] / 2 };
  if (input.thing && input.thing.model) result.model = input.thing.model.moduleId;
  return result;
}

function encodeDownlink(data) {
  if (!data.level) throw new Error("level is missing");
  return { bytes: [data.level], fPort: 6 };
}

function decodeDownlink(input) {
  if (input.bytes.length !== 1) throw new Error("one byte is expected");
  return { level: input.bytes[0] };
}

function extractPoints(input) {
  if (input.message.first === undefined) throw new Error("no first byte");
  return { temperature: input.message.temperature, mode: "auto" };
}

exports.decodeUplink = decodeUplink;
exports.encodeDownlink = encodeDownlink;
exports.decodeDownlink = decodeDownlink;
exports.extractPoints = extractPoints;
