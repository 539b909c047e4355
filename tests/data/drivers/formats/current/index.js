// SPDX-License-Identifier: Apache-2.0
// Gives back what it is given, so that examples can show each of their members at work.

function decodeUplink(input) {
  const data = { first: input.bytes[0], fPort: input.fPort, received: input.recvTime };
  switch (input.bytes[0]) {
    case 1:
      data.date = new Date(input.recvTime.getTime() + 400);
      data.nested = { DateTime: "21/11/2024 1:02" };
      break;
    case 2:
      data.now = new Date();
      data.text = new Date().toLocaleString();
      data.count = Date.now();
      break;
    case 3:
      data.thing = input.thing;
      break;
    case 4:
      data.before = context.slice();
      context.length = 0;
      context.push({ seen: data.before.length + 1 });
      break;
    case 5:
      return { errors: ["byte 5"], warnings: ["why not 4"] };
    case 6:
      return { data: { odd: NaN, gone: undefined, zero: -0, big: 12n }, warnings: ["look"] };
    case 7:
      return { temperature: 20, dotted: { "a.time": "2024-01-01T00:00:00.500Z" } };
  }
  return { data: data };
}

function encodeDownlink(input) {
  if (input.data.level === undefined) return { errors: ["no level"] };
  return { bytes: [1, input.data.level], fPort: input.fPort || 5, warnings: [] };
}

function decodeDownlink(input) {
  return { data: { level: input.bytes[1], port: input.fPort } };
}

function extractPoints(input) {
  const message = input.message;
  if (message.temperature === undefined) return null;
  return {
    "temperature:1": { unitId: "Cel", record: message.temperature },
    "temperature:2": { unitId: "Cel", records: [{ eventTime: input.time, value: message.temperature - 1 }] },
    label: { record: "x", nature: "free" }
  };
}
