// A small decoder: type-length-value records of a room sensor. Each record is a type byte and a fixed number of bytes.
function s16(bytes, i) {
  var v = (bytes[i] << 8) | bytes[i + 1];
  return v > 0x7fff ? v - 0x10000 : v;
}

function decodeUplink(input) {
  var bytes = input.bytes, data = {}, i = 0;
  while (i < bytes.length) {
    switch (bytes[i]) {
      case 0x01:
        data.temperature = s16(bytes, i + 1) / 10;
        i += 3;
        break;
      case 0x02:
        data.humidity = bytes[i + 1];
        i += 2;
        break;
      case 0x04:
        data.light = (bytes[i + 1] << 8) | bytes[i + 2];
        i += 3;
        break;
      case 0x05:
        data.motion = bytes[i + 1];
        i += 2;
        break;
      case 0x07:
        data.battery = (bytes[i + 1] << 8) | bytes[i + 2];
        i += 3;
        break;
      default:
        return { errors: ['unknown record type ' + bytes[i] + ' at ' + i] };
    }
  }
  return { data: data, errors: [], warnings: data.battery < 2400 ? ['battery low'] : [] };
}

function extractPoints(input) {
  var points = {};
  if (input.message.temperature !== undefined) points['temperature:0'] = { unitId: 'Cel', record: input.message.temperature };
  if (input.message.humidity !== undefined) points['humidity:0'] = { unitId: '%RH', record: input.message.humidity };
  if (input.message.motion !== undefined) points['counter:0'] = { unitId: 'count', record: input.message.motion, nature: 'motion' };
  return points;
}

function encodeDownlink(input) {
  if (typeof input.data.interval !== 'number') return { errors: ['interval is missing'] };
  return { bytes: [0x10, input.data.interval >> 8, input.data.interval & 255], fPort: 6 };
}

exports.decodeUplink = decodeUplink;
exports.encodeDownlink = encodeDownlink;
exports.extractPoints = extractPoints;
