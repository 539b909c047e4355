// SPDX-License-Identifier: Apache-2.0
#include "app/driver_template.h"

#include <algorithm>
#include <string_view>

namespace sluice::app {
namespace {

using driver::Signature;

constexpr std::string_view kHead = R"js(/*
 * @NAME@: @API@
 *
 * A made-up climate sensor to start from. Write down what your device sends first, then change the functions below;
 * `sluice driver test` shows after each step what works.
 *
 *   Uplink, FPort 1, 4 bytes, big endian          Downlink, FPort 1, 3 bytes, big endian
 *     0-1  temperature, signed, 0.1 degrees C       0    command: 1 sets the interval
 *     2    relative humidity, 0.5 %                 1-2  minutes between two reports, 1 to 1440
 *     3    battery, 0.1 V
 *
 * There is ECMAScript 2022, Buffer and console, whose lines `sluice driver test --verbose` shows; no file, no network, no timer.
 */

)js";

constexpr std::string_view kTail = R"js(
/**
 * Called with what the decoder gave: the same measurements under the names and units of the ontology, for those who want to
 * use every sensor alike. Leave it out where you do not need it.
 * @param {{ message: object, time: Date }} input
 * @returns {object} name -> { unitId, record }, or records: [{ eventTime, value }] for several
 */
function extractPoints(input) {
  var data = input.message;
  return {
    temperature: { unitId: "Cel", record: data.temperature },
    humidity: { unitId: "%RH", record: data.humidity },
    batteryVoltage: { unitId: "V", record: data.batteryVoltage }
  };
}

/** The signed 16 bit number, most significant byte first, at a position of the bytes. */
function int16(bytes, at) {
  return ((bytes[at] << 24) | (bytes[at + 1] << 16)) >> 16;
}
)js";

constexpr std::string_view kLora = R"js(/**
 * Called for each uplink.
 * @param {{ bytes: number[], fPort: number, recvTime: Date, thing: object }} input  bytes from 0 to 255
 * @returns {{ data?: object, errors?: string[], warnings?: string[] }}  errors: the uplink cannot be decoded
 */
function decodeUplink(input) {
  var bytes = input.bytes;
  if (input.fPort !== 1) {
    return { errors: ["unknown FPort " + input.fPort] };
  }
  if (bytes.length !== 4) {
    return { errors: ["expected 4 bytes, got " + bytes.length] };
  }
  var data = {
    temperature: int16(bytes, 0) / 10,
    humidity: bytes[2] / 2,
    batteryVoltage: bytes[3] / 10
  };
  var warnings = [];
  if (data.batteryVoltage < 2.8) {
    warnings.push("the battery is low");
  }
  return { data: data, warnings: warnings };
}

/**
 * Called for each command to the device.
 * @param {{ data: object }} input  what the sender wants, as in { interval: 60 }
 * @returns {{ bytes?: number[], fPort?: number, errors?: string[], warnings?: string[] }}
 */
function encodeDownlink(input) {
  var minutes = input.data.interval;
  if (!Number.isInteger(minutes) || minutes < 1 || minutes > 1440) {
    return { errors: ["interval must be a whole number of minutes from 1 to 1440"] };
  }
  return { fPort: 1, bytes: [1, minutes >> 8, minutes & 255] };
}

/** The reverse of encodeDownlink: what a command that was sent means. Optional. */
function decodeDownlink(input) {
  var bytes = input.bytes;
  if (bytes.length !== 3 || bytes[0] !== 1) {
    return { errors: ["unknown command"] };
  }
  return { data: { interval: (bytes[1] << 8) | bytes[2] } };
}
)js";

constexpr std::string_view kActility = R"js(/**
 * Called for each uplink. Throws an Error where it cannot be decoded.
 * @param {{ bytes: number[], fPort: number, time: Date, thing: object }} input  bytes from 0 to 255
 * @returns {object} the decoded message
 */
function decodeUplink(input) {
  var bytes = input.bytes;
  if (input.fPort !== 1) {
    throw new Error("unknown FPort " + input.fPort);
  }
  if (bytes.length !== 4) {
    throw new Error("expected 4 bytes, got " + bytes.length);
  }
  return {
    temperature: int16(bytes, 0) / 10,
    humidity: bytes[2] / 2,
    batteryVoltage: bytes[3] / 10
  };
}

/**
 * Called for each command to the device. Throws an Error where it cannot be encoded.
 * @param {object} data  what the sender wants, as in { interval: 60 }
 * @returns {{ bytes: number[], fPort: number }}
 */
function encodeDownlink(data) {
  var minutes = data.interval;
  if (!Number.isInteger(minutes) || minutes < 1 || minutes > 1440) {
    throw new Error("interval must be a whole number of minutes from 1 to 1440");
  }
  return { fPort: 1, bytes: [1, minutes >> 8, minutes & 255] };
}

/** The reverse of encodeDownlink: what a command that was sent means. Optional. */
function decodeDownlink(input) {
  var bytes = input.bytes;
  if (bytes.length !== 3 || bytes[0] !== 1) {
    throw new Error("unknown command");
  }
  return { interval: (bytes[1] << 8) | bytes[2] };
}
)js";

constexpr std::string_view kForeign = R"js(/**
 * Called for each uplink. Throws an Error where it cannot be decoded.
 * @param {number[]} bytes  from 0 to 255
 * @param {number} port  the FPort
 * @returns {object} the decoded message
 */
function @DECODE@ {
  if (port !== 1) {
    throw new Error("unknown FPort " + port);
  }
  if (bytes.length !== 4) {
    throw new Error("expected 4 bytes, got " + bytes.length);
  }
  return {
    temperature: int16(bytes, 0) / 10,
    humidity: bytes[2] / 2,
    batteryVoltage: bytes[3] / 10
  };
}

/**
 * Called for each command to the device. Throws an Error where it cannot be encoded.
 * @param {object} object  what the sender wants, as in { interval: 60 }
 * @param {number} port  the FPort it is to be sent to
 * @returns {number[]} the bytes
 */
function @ENCODE@ {
  var minutes = object.interval;
  if (!Number.isInteger(minutes) || minutes < 1 || minutes > 1440) {
    throw new Error("interval must be a whole number of minutes from 1 to 1440");
  }
  return [1, minutes >> 8, minutes & 255];
}
)js";

constexpr std::string_view kPoints = R"(    "points": {
      "temperature": { "unitId": "Cel", "record": 21.5 },
      "humidity": { "unitId": "%RH", "record": 40 },
      "batteryVoltage": { "unitId": "V", "record": 3.6 }
    })";

constexpr std::string_view kExamplesLora = R"([
  {
    "type": "uplink",
    "description": "a room",
    "input": { "bytes": "00D75024", "fPort": 1, "recvTime": "2024-11-21T10:00:00.000Z" },
    "output": {
      "data": { "temperature": 21.5, "humidity": 40, "batteryVoltage": 3.6 },
      "errors": [],
      "warnings": []
    },
@POINTS@
  },
  {
    "type": "uplink",
    "description": "frost, and a low battery",
    "input": { "bytes": "FFF6C81B", "fPort": 1 },
    "output": {
      "data": { "temperature": -1, "humidity": 100, "batteryVoltage": 2.7 },
      "errors": [],
      "warnings": ["the battery is low"]
    },
    "points": {
      "temperature": { "unitId": "Cel", "record": -1 },
      "humidity": { "unitId": "%RH", "record": 100 },
      "batteryVoltage": { "unitId": "V", "record": 2.7 }
    }
  },
  {
    "type": "uplink",
    "description": "a port that nobody knows",
    "input": { "bytes": "00D75024", "fPort": 2 },
    "output": { "errors": ["unknown FPort 2"], "warnings": [] }
  },
  {
    "type": "uplink",
    "description": "cut short",
    "input": { "bytes": "00D7", "fPort": 1 },
    "output": { "errors": ["expected 4 bytes, got 2"], "warnings": [] }
  },
  {
    "type": "downlink-encode",
    "description": "report every hour",
    "input": { "data": { "interval": 60 } },
    "output": { "bytes": "01003C", "fPort": 1, "errors": [], "warnings": [] }
  },
  {
    "type": "downlink-encode",
    "description": "an interval that is too long",
    "input": { "data": { "interval": 2000 } },
    "output": { "errors": ["interval must be a whole number of minutes from 1 to 1440"], "warnings": [] }
  },
  {
    "type": "downlink-decode",
    "description": "what the command means",
    "input": { "bytes": "01003C", "fPort": 1 },
    "output": { "data": { "interval": 60 }, "errors": [], "warnings": [] }
  },
  {
    "type": "downlink-decode",
    "description": "a command that nobody knows",
    "input": { "bytes": "02", "fPort": 1 },
    "output": { "errors": ["unknown command"], "warnings": [] }
  }
]
)";

constexpr std::string_view kExamplesOther = R"([
  {
    "type": "uplink",
    "description": "a room",
    "input": { "bytes": "00D75024", "fPort": 1, "recvTime": "2024-11-21T10:00:00.000Z" },
    "output": { "temperature": 21.5, "humidity": 40, "batteryVoltage": 3.6 },
@POINTS@
  },
  {
    "type": "downlink-encode",
    "description": "report every hour",
    "input": { "data": { "interval": 60 }@PORT@ },
    "output": { "bytes": "01003C", "fPort": 1 }
  }@MORE@
]
)";

constexpr std::string_view kDecodeDownlinkExample = R"(,
  {
    "type": "downlink-decode",
    "description": "what the command means",
    "input": { "bytes": "01003C", "fPort": 1 },
    "output": { "interval": 60 }
  })";

// A throw cannot be told in the form of examples.json: it has a file and a form of its own.
constexpr std::string_view kErrors = R"([
  {
    "type": "uplink",
    "description": "a port that nobody knows",
    "bytes": "00D75024",
    "fPort": 2,
    "error": "unknown FPort 2"
  },
  {
    "type": "uplink",
    "description": "cut short",
    "bytes": "00D7",
    "fPort": 1,
    "error": "expected 4 bytes, got 2"
  },
  {
    "type": "downlink",
    "description": "an interval that is too long",
    "data": { "interval": 2000 },
    "fPort": 1,
    "error": "interval must be a whole number"
  }@MORE@
]
)";

constexpr std::string_view kDecodeDownlinkError = R"(,
  {
    "type": "downlink",
    "description": "a command that nobody knows",
    "bytes": "02",
    "fPort": 1,
    "error": "unknown command"
  })";

constexpr std::string_view kYaml = R"(name: @NAME@
description: A climate sensor
# Who wrote the driver, and what devices it is for: a report whose DriverCfg.app is this protocol is decoded by it.
producerId: @PRODUCER@
protocolId: @PRODUCER@:@NAME@:1
# lora-alliance, actility, ttn or chirpstack
signature: @SIGNATURE@
packageName: @NAME@
packageVersion: 1.0.0
)";

constexpr std::string_view kPackageJson = R"({
  "name": "@NAME@",
  "version": "1.0.0",
  "description": "A climate sensor",
  "main": "index.js",
  "scripts": {
    "test": "sluice driver test ."
  }
}
)";

constexpr std::string_view kReadme = R"(# @NAME@

A payload driver: JavaScript that turns a device's bytes into JSON and back.

| file | holds |
| --- | --- |
| `driver.yaml` | who the driver is, the protocol it speaks, its version |
| `index.js` | the code: @FUNCTIONS@ |
| `examples.json` | inputs, and what must come out of them |
@ERRORS@| `package.json` | the same name and version for npm |

Next:

1. Put your device's name and protocol into `driver.yaml`.
2. Collect payloads of the device with what they mean, and write them into `examples.json` as examples.
3. Change `index.js` until `sluice driver test .` passes. It shows each difference, where an error was thrown, and the lines that no
   example reaches.
4. Try single payloads with `sluice codec decode --driver . --fport 1 00D75024`, and see how fast it is with
   `sluice driver bench .`
5. Hand it to a server with `sluice driver import .`
)";

std::string replaced(std::string text, std::string_view mark, std::string_view by) {
  for (std::size_t at = 0; (at = text.find(mark, at)) != std::string::npos; at += by.size())
    text.replace(at, mark.size(), by);
  return text;
}

const char* name_of(Signature signature) {
  return signature == Signature::actility ? "actility" : driver::type_of_signature(signature);
}

std::string code_of(Signature signature) {
  switch (signature) {
    case Signature::lora_alliance:
      return std::string(kLora);
    case Signature::actility:
      return std::string(kActility);
    case Signature::ttn:
      return replaced(replaced(std::string(kForeign), "@DECODE@", "Decoder(bytes, port)"), "@ENCODE@",
                      "Encoder(object, port)");
    case Signature::chirpstack: {
      auto text = replaced(replaced(std::string(kForeign), "@DECODE@", "Decode(port, bytes, variables)"), "@ENCODE@",
                           "Encode(port, object, variables)");
      // In the order of the arguments.
      text =
          replaced(std::move(text), " * @param {number[]} bytes  from 0 to 255\n * @param {number} port  the FPort\n",
                   " * @param {number} port  the FPort\n * @param {number[]} bytes  from 0 to 255\n"
                   " * @param {object} variables  settings of this one device, all text\n");
      return replaced(std::move(text),
                      " * @param {object} object  what the sender wants, as in { interval: 60 }\n"
                      " * @param {number} port  the FPort it is to be sent to\n",
                      " * @param {number} port  the FPort it is to be sent to\n"
                      " * @param {object} object  what the sender wants, as in { interval: 60 }\n"
                      " * @param {object} variables  settings of this one device, all text\n");
    }
  }
  return {};
}

std::string_view api_of(Signature signature) {
  switch (signature) {
    case Signature::lora_alliance:
      return "driver by the LoRa Alliance Payload Codec API (TS013)";
    case Signature::actility:
      return "ThingPark X driver";
    case Signature::ttn:
      return "The Things Network V2 driver";
    case Signature::chirpstack:
      return "ChirpStack V3 driver";
  }
  return {};
}

std::string_view functions_of(Signature signature) {
  switch (signature) {
    case Signature::ttn:
      return "`Decoder` and `Encoder`";
    case Signature::chirpstack:
      return "`Decode` and `Encode`";
    default:
      return "`decodeUplink`, `encodeDownlink` and `decodeDownlink`";
  }
}

bool only(std::string_view text, std::string_view also) {
  return std::all_of(text.begin(), text.end(), [&](char c) {
    return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || also.find(c) != std::string_view::npos;
  });
}

}  // namespace

std::string fault_of(const NewDriver& wanted) {
  if (wanted.name.empty() || wanted.name.size() > 64) return "the name must have 1 to 64 characters";
  if (!only(wanted.name, "._-") || !only(wanted.name.substr(0, 1), ""))
    return "the name '" + wanted.name +
           "' may have lower-case letters, digits, dots, dashes and underscores, and begins with a letter or digit";
  if (wanted.producer.empty() || wanted.producer.size() > 64) return "the producer must have 1 to 64 characters";
  if (!only(wanted.producer, "-"))
    return "the producer '" + wanted.producer + "' may have lower-case letters, digits and dashes";
  return {};
}

std::vector<std::pair<std::string, std::string>> template_files(const NewDriver& wanted) {
  const bool lora = wanted.signature == Signature::lora_alliance;
  const bool foreign = wanted.signature == Signature::ttn || wanted.signature == Signature::chirpstack;
  auto filled = [&](std::string text) {
    text = replaced(std::move(text), "@NAME@", wanted.name);
    text = replaced(std::move(text), "@PRODUCER@", wanted.producer);
    text = replaced(std::move(text), "@SIGNATURE@", name_of(wanted.signature));
    text = replaced(std::move(text), "@API@", api_of(wanted.signature));
    text = replaced(std::move(text), "@FUNCTIONS@", functions_of(wanted.signature));
    return replaced(std::move(text), "@POINTS@", kPoints);
  };
  auto examples = std::string(lora ? kExamplesLora : kExamplesOther);
  examples = replaced(std::move(examples), "@MORE@", foreign ? "" : kDecodeDownlinkExample);
  examples = replaced(std::move(examples), "@PORT@", foreign ? ", \"fPort\": 1" : "");
  const std::string errors = "errors/" + wanted.name + ".errors.json";
  auto readme =
      replaced(std::string(kReadme), "@ERRORS@",
               lora ? "" : "| `" + errors + "` | inputs that must be refused, and a part of the error's text |\n");
  std::vector<std::pair<std::string, std::string>> files{
      {"driver.yaml", filled(std::string(kYaml))},
      {"index.js", filled(std::string(kHead) + code_of(wanted.signature) + std::string(kTail))},
      {"examples.json", filled(std::move(examples))},
      {"package.json", filled(std::string(kPackageJson))},
      {"README.md", filled(std::move(readme))},
  };
  if (!lora) files.emplace_back(errors, replaced(std::string(kErrors), "@MORE@", foreign ? "" : kDecodeDownlinkError));
  return files;
}

}  // namespace sluice::app
