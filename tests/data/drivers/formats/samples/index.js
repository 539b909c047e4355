// SPDX-License-Identifier: Apache-2.0
function decodeUplink(input) {
  return { temperature: input.bytes[0] };
}
function extractPoints(input) {
  return { temperature: { unitId: "Cel", record: input.message.temperature } };
}
