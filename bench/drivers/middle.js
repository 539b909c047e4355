// SPDX-License-Identifier: Apache-2.0
// The middle driver of the benchmark: channel, type, value; the way most drivers of sensors with many readings are written.
// Some 25 channels, little endian, each read from a slice of the bytes; three platforms' entry points side by side.

function decodeUplink(input) {
  return { data: decodeChannels(input.bytes) };
}

function Decode(fPort, bytes) {
  return decodeChannels(bytes);
}

function Decoder(bytes, port) {
  return decodeChannels(bytes);
}

function decodeChannels(bytes) {
  var decoded = {};
  var i = 0;
  while (i < bytes.length) {
    var channel = bytes[i++];
    var type = bytes[i++];
    // what the device says of itself
    if (channel === 0xff && type === 0x01) {
      decoded.protocol_version = readVersion(bytes[i]);
      i += 1;
    } else if (channel === 0xff && type === 0x09) {
      decoded.hardware_version = readHardwareVersion(bytes.slice(i, i + 2));
      i += 2;
    } else if (channel === 0xff && type === 0x0a) {
      decoded.firmware_version = readFirmwareVersion(bytes.slice(i, i + 2));
      i += 2;
    } else if (channel === 0xff && type === 0x16) {
      decoded.serial_number = readHex(bytes.slice(i, i + 8));
      i += 8;
    } else if (channel === 0xff && type === 0x0f) {
      decoded.device_class = readDeviceClass(bytes[i]);
      i += 1;
    } else if (channel === 0xff && type === 0x0b) {
      decoded.device_status = "on";
      i += 1;
    } else if (channel === 0xff && type === 0xfe) {
      decoded.reset_event = "reset";
      i += 1;
    }
    // readings
    else if (channel === 0x01 && type === 0x75) {
      decoded.battery = readUInt8(bytes[i]);
      i += 1;
    } else if (channel === 0x03 && type === 0x67) {
      decoded.temperature = readInt16LE(bytes.slice(i, i + 2)) / 10;
      i += 2;
    } else if (channel === 0x04 && type === 0x68) {
      decoded.humidity = readUInt8(bytes[i]) / 2;
      i += 1;
    } else if (channel === 0x05 && type === 0x00) {
      decoded.motion = readOnOff(bytes[i]);
      i += 1;
    } else if (channel === 0x06 && type === 0xcb) {
      decoded.light_level = bytes[i];
      i += 1;
    } else if (channel === 0x07 && type === 0x7d) {
      decoded.co2 = readUInt16LE(bytes.slice(i, i + 2));
      i += 2;
    } else if (channel === 0x08 && type === 0x7d) {
      decoded.tvoc = readUInt16LE(bytes.slice(i, i + 2)) / 100;
      i += 2;
    } else if (channel === 0x09 && type === 0x73) {
      decoded.pressure = readUInt16LE(bytes.slice(i, i + 2)) / 10;
      i += 2;
    } else if (channel === 0x0a && type === 0x7d) {
      decoded.formaldehyde = readUInt16LE(bytes.slice(i, i + 2)) / 100;
      i += 2;
    } else if (channel === 0x0b && type === 0x7d) {
      decoded.pm2_5 = readUInt16LE(bytes.slice(i, i + 2));
      i += 2;
    } else if (channel === 0x0c && type === 0x7d) {
      decoded.pm10 = readUInt16LE(bytes.slice(i, i + 2));
      i += 2;
    } else if (channel === 0x0d && type === 0x7d) {
      decoded.ozone = readUInt16LE(bytes.slice(i, i + 2)) / 100;
      i += 2;
    } else if (channel === 0x0e && type === 0x01) {
      decoded.buzzer = readOnOff(bytes[i]);
      i += 1;
    } else if (channel === 0x0f && type === 0x82) {
      decoded.distance = readUInt16LE(bytes.slice(i, i + 2));
      i += 2;
    } else if (channel === 0x10 && type === 0xc8) {
      decoded.pulse = readUInt32LE(bytes.slice(i, i + 4));
      i += 4;
    } else if (channel === 0x11 && type === 0x94) {
      decoded.position = readPosition(bytes[i]);
      i += 1;
    } else if (channel === 0x83 && type === 0xd7) {
      decoded.temperature = readInt16LE(bytes.slice(i, i + 2)) / 10;
      decoded.temperature_change = readInt16LE(bytes.slice(i + 2, i + 4)) / 10;
      decoded.temperature_alarm = readAlarm(bytes[i + 4]);
      i += 5;
    } else if (channel === 0x20 && type === 0xce) {
      var point = {};
      point.timestamp = readUInt32LE(bytes.slice(i, i + 4));
      point.temperature = readInt16LE(bytes.slice(i + 4, i + 6)) / 10;
      point.humidity = readUInt8(bytes[i + 6]) / 2;
      i += 7;
      decoded.history = decoded.history || [];
      decoded.history.push(point);
    } else if (channel === 0xfe || channel === 0xff) {
      var response = decodeResponse(type, bytes, i);
      decoded = Object.assign(decoded, response.data);
      i = response.offset;
    } else {
      break;
    }
  }
  return decoded;
}

function decodeResponse(type, bytes, offset) {
  var decoded = {};
  switch (type) {
    case 0x03:
      decoded.report_interval = readUInt16LE(bytes.slice(offset, offset + 2));
      offset += 2;
      break;
    case 0x10:
      decoded.reboot = "yes";
      offset += 1;
      break;
    case 0x2e:
      decoded.led = readOnOff(bytes[offset]);
      offset += 1;
      break;
    default:
      throw new Error("unknown downlink response");
  }
  return { data: decoded, offset: offset };
}

function readUInt8(value) {
  return value & 0xff;
}
function readUInt16LE(bytes) {
  var value = (bytes[1] << 8) + bytes[0];
  return value & 0xffff;
}
function readInt16LE(bytes) {
  var value = readUInt16LE(bytes);
  return value > 0x7fff ? value - 0x10000 : value;
}
function readUInt32LE(bytes) {
  var value = (bytes[3] << 24) + (bytes[2] << 16) + (bytes[1] << 8) + bytes[0];
  return (value & 0xffffffff) >>> 0;
}
function readVersion(value) {
  return "v" + ((value & 0xf0) >> 4) + "." + (value & 0x0f);
}
function readHardwareVersion(bytes) {
  return "v" + (bytes[0] & 0xff).toString(16) + "." + ((bytes[1] & 0xff) >> 4);
}
function readFirmwareVersion(bytes) {
  return "v" + (bytes[0] & 0xff).toString(16) + "." + (bytes[1] & 0xff).toString(16);
}
function readHex(bytes) {
  var text = [];
  for (var index = 0; index < bytes.length; index++) {
    text.push(("0" + (bytes[index] & 0xff).toString(16)).slice(-2));
  }
  return text.join("");
}
function named(map, key) {
  return key in map ? map[key] : "unknown";
}
function readDeviceClass(type) {
  return named({ 0: "Class A", 1: "Class B", 2: "Class C" }, type);
}
function readOnOff(status) {
  return named({ 0: "off", 1: "on" }, status);
}
function readPosition(status) {
  return named({ 0: "normal", 1: "tilt" }, status);
}
function readAlarm(type) {
  return named({ 0: "threshold alarm release", 1: "threshold alarm", 2: "change alarm" }, type);
}
