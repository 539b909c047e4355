R"js(
// Runs in a fresh global object before a driver: puts the environment of spec drivers.md 9 there and gives back the two
// functions the host calls: bind, once the driver was evaluated, and call. An expression: a function of the makers of
// Buffer, of the environment and, for a trusted driver, of the module crypto; `handed` holds short payloads. The driver sees
// none of its names, and what decides on an answer's form uses nothing a driver can have changed since.
(function (makeBuffer, makeEnvironment, usesContext, makeCrypto, handed) {
'use strict';
const Err = Error, TE = TypeError, RE = RangeError, Str = String, Num = Number, Dat = Date, Prom = Promise, Obj = Object;
const apply = Reflect.apply, ownKeys = Obj.keys, isArray = Array.isArray, isView = ArrayBuffer.isView;
const getProto = Obj.getPrototypeOf, arrayProto = Array.prototype;
const stringifyJson = JSON.stringify, parseJson = JSON.parse;
const includesText = Str.prototype.includes, sliceText = Str.prototype.slice, indexOfText = Str.prototype.indexOf;
const codeAt = Str.prototype.charCodeAt, testRegExp = RegExp.prototype.exec;
const isInteger = Num.isInteger, isSafe = Num.isSafeInteger, isFinite = Num.isFinite, now = Dat.now;
const owns = Obj.prototype.hasOwnProperty;
const has = (o, k) => apply(owns, o, [k]);
const isObject = (x) => (typeof x === 'object' && x !== null) || typeof x === 'function';

const kLora = 0, kActility = 1, kTtn = 2, kChirpstack = 3;
const signatureNames = ['lora-alliance', 'actility', 'ttn', 'chirpstack'];
const operationNames = ['decodeUplink', 'decodeDownlink', 'encodeDownlink', 'extractPoints'];
const kLogLimit = 16384, kTextLimit = 4096, kLevels = 100, kContextLimit = 65536, kStackLimit = 2048;

const log = { lines: [], size: 0 };
function note(line) {
  if (log.size >= kLogLimit) return;
  if (log.size + line.length > kLogLimit) line = apply(sliceText, line, [0, kLogLimit - log.size]) + ' ... (cut)';
  log.size += line.length + 1;
  log.lines[log.lines.length] = line;
}
const originalExports = makeEnvironment(makeBuffer, note, makeCrypto);

// ---- Finding the functions (spec 4.2, 4.3)

const offers = (holder, name) => isObject(holder) && typeof holder[name] === 'function';
// A function with the object it belongs to; undefined where it is not there.
const member = (holder, name) => offers(holder, name) ? { f: holder[name], self: holder } : undefined;
const loose = (f) => typeof f === 'function' ? { f, self: undefined } : undefined;

let bound;         // {signature, decodeUplink, decodeDownlink, encodeDownlink, extractPoints}; each {f, self, way}
let schema = {};   // declared points
const global = globalThis, defineGlobal = Obj.defineProperty;
const putContext = (value) => defineGlobal(global, 'context', { value, writable: true, enumerable: true, configurable: true });
// Where the driver uses its device's context, it is there while the script is evaluated, too.
if (usesContext) putContext([]);

function findLora(found) {
  const exported = found.exports;
  let holder;
  if (isObject(found.driver)) holder = found.driver;
  else if (isObject(exported) && isObject(exported.driver)) holder = exported.driver;
  else if (offers(exported, 'decodeUplink') || offers(exported, 'encodeDownlink') || offers(exported, 'decodeDownlink')) holder = exported;
  const whole = offers(holder, 'decodeUplink');
  const pick = (name) => whole ? member(holder, name) : loose(found[name]);
  return { decodeUplink: pick('decodeUplink'), decodeDownlink: pick('decodeDownlink'), encodeDownlink: pick('encodeDownlink'),
    extractPoints: pick('extractPoints') };
}

function findNamed(found, names) {
  const whole = offers(found.driver, names.decodeUplink);
  const pick = (name) => name === undefined ? undefined
    : whole ? member(found.driver, name) : loose(found[name]) || member(found.exports, name);
  return { decodeUplink: pick(names.decodeUplink), decodeDownlink: pick(names.decodeDownlink), encodeDownlink: pick(names.encodeDownlink),
    extractPoints: pick('extractPoints') };
}
const ttnNames = { decodeUplink: 'Decoder', encodeDownlink: 'Encoder' };
const chirpstackNames = { decodeUplink: 'Decode', encodeDownlink: 'Encode' };
const actilityNames = { decodeUplink: 'decodeUplink', decodeDownlink: 'decodeDownlink', encodeDownlink: 'encodeDownlink' };

function withWay(functions, way) {
  for (let i = 0; i < 3; i++) if (functions[operationNames[i]]) functions[operationNames[i]].way = way;
  return functions;
}

function findAll(found, signature) {
  if (signature === kLora) return withWay(findLora(found), kLora);
  if (signature === kActility) return withWay(findNamed(found, actilityNames), kActility);
  if (signature === kChirpstack) return withWay(findNamed(found, chirpstackNames), kChirpstack);
  const own = withWay(findNamed(found, ttnNames), kTtn), other = withWay(findLora(found), kLora);
  return { decodeUplink: own.decodeUplink || other.decodeUplink, decodeDownlink: other.decodeDownlink,
    encodeDownlink: own.encodeDownlink || other.encodeDownlink, extractPoints: own.extractPoints || other.extractPoints };
}

// `list`: what the look-up script saw. `signature`: a number, or -1 to find it. `points`: what an extra file offers. Gives
// "<signature> <decodeUplink><decodeDownlink><encodeDownlink><extractPoints>" with 1 or 0 for each, or "" for none found.
function bind(list, signature, points, schemaText) {
  const found = { driver: list[0], decodeUplink: list[3], decodeDownlink: list[4], encodeDownlink: list[5], extractPoints: list[6],
    Decoder: list[7], Encoder: list[8], Decode: list[9], Encode: list[10] };
  const replaced = isObject(list[2]) ? list[2].exports : undefined;
  found.exports = isObject(replaced) && replaced !== originalExports ? replaced : list[1];
  if (signature < 0) {
    if (findAll(found, kLora).decodeUplink) signature = kLora;
    else if (findNamed(found, ttnNames).decodeUplink) signature = kTtn;
    else if (findNamed(found, chirpstackNames).decodeUplink) signature = kChirpstack;
    else return '';
  }
  bound = findAll(found, signature);
  bound.signature = signature;
  if (points !== undefined) {
    const own = loose(points[0]) || member(points[2].exports, 'extractPoints') || member(points[1], 'extractPoints');
    if (own) bound.extractPoints = own;
  }
  if (schemaText !== '') schema = parseJson(schemaText) || {};
  log.lines = [];
  log.size = 0;
  return signature + ' ' + (bound.decodeUplink ? 1 : 0) + (bound.decodeDownlink ? 1 : 0) + (bound.encodeDownlink ? 1 : 0) + (bound.extractPoints ? 1 : 0);
}

// ---- Results (spec 6)

function textOf(value) {
  try { return Str(value); } catch { return 'Error: the value has no text'; }
}
const cut = (text) => text.length > kTextLimit ? apply(sliceText, text, [0, kTextLimit]) + '...' : text;

// A list of texts out of whatever a driver gave for errors or warnings.
function texts(value) {
  if (value === undefined || value === null) return [];
  if (!isArray(value)) return [cut(textOf(value))];
  const out = [];
  for (let i = 0; i < value.length && i < 100; i++) out[i] = cut(textOf(value[i]));
  return out;
}

function joined(list) {
  let out = '';
  for (let i = 0; i < list.length; i++) out += (i === 0 ? '' : ', ') + list[i];
  return out;
}

function hasCycle(value, above) {
  if (typeof value !== 'object' || value === null) return false;
  for (let i = 0; i < above.length; i++) if (above[i] === value) return true;
  if (above.length > kLevels) return false;
  above[above.length] = value;
  const keys = ownKeys(value);
  for (let i = 0; i < keys.length; i++) if (hasCycle(value[keys[i]], above)) return true;
  above.length--;
  return false;
}

function warnOfNaN(value, path, level, warnings) {
  if (typeof value === 'number') {
    if (!isFinite(value) && warnings.length < 100) warnings[warnings.length] = cut((path || 'the result') + ' was ' + value + ' and became null');
    return;
  }
  if (typeof value !== 'object' || value === null || level > kLevels || warnings.length >= 100) return;
  const keys = ownKeys(value);
  for (let i = 0; i < keys.length; i++) warnOfNaN(value[keys[i]], path === '' ? keys[i] : path + '.' + keys[i], level + 1, warnings);
}

function plainBigInt(key, value) {
  return typeof value === 'bigint' ? isSafe(Num(value)) ? Num(value) : Str(value) : value;
}

// JSON.stringify writes half a surrogate pair as \udXXX, which no strict reader takes: it becomes U+FFFD.
function wellFormed(text) {
  if (text === undefined || !apply(includesText, text, ['\\ud'])) return text;
  let out = '', from = 0;
  for (let i = 0; i < text.length; i++) {
    if (text[i] !== '\\') continue;
    if (text[i + 1] === 'u' && text[i + 2] === 'd') {
      out += apply(sliceText, text, [from, i]) + '\\ufffd';
      from = i + 6;
      i += 5;
    } else i++;
  }
  return out + apply(sliceText, text, [from]);
}

// The JSON text of a value; undefined where it has none. Not a number becomes null with a warning that names the path.
function toJson(value, warnings) {
  if (value instanceof Prom) throw new Err('The driver returned a Promise, and nothing is awaited.');
  let text;
  try {
    text = stringifyJson(value);
  } catch (thrown) {
    if (thrown instanceof RE) throw thrown;
    if (hasCycle(value, [])) throw new Err('The result contains a cycle.');
    text = stringifyJson(value, plainBigInt);
  }
  if (text !== undefined && apply(includesText, text, ['null'])) warnOfNaN(value, '', 0, warnings);
  return wellFormed(text);
}

const listText = (list) => list.length === 0 ? '' : wellFormed(stringifyJson(list));
// `where`: JSON text as whereOf gives it, or ''; `context`: as contextLeft gives it.
const failure = (code, message, errors, warnings, where, context) =>
  'F' + code + '\n' + wellFormed(stringifyJson(cut(message))) + '\n' + listText(errors) + '\n' + listText(warnings) + '\n' + listText(log.lines) +
  '\n' + where + '\n' + context;
// The context is kept when a driver returns errors, and not when it throws (spec 10).
const refused = (errors, warnings, before) =>
  failure('com-5000', 'driver internal errors: ' + joined(errors), errors, warnings, '', contextLeft(before));

function thrownFailure(thrown, warnings) {
  const overflow = thrown instanceof RE && apply(includesText, textOf(thrown.message), ['call stack']);
  const out = failure('com-5002', 'driver internal error: ' + textOf(thrown), [], warnings, whereOf(thrown), '');
  return overflow ? 'S' + apply(sliceText, out, [1]) : out;
}

// ---- Where an error was made

const ownFiles = ['driver.js:', 'extractPoints.js:'];
function isOwnFrame(line) {
  for (let i = 0; i < ownFiles.length; i++) {
    const at = apply(indexOfText, line, [ownFiles[i]]);
    if (at === 0 || (at > 0 && line[at - 1] === '@')) return true;
  }
  return false;
}

// The number that `text` has at `from`, and where it ends.
function numberAt(text, from) {
  let value = 0, at = from;
  for (; at < text.length && at < from + 9; at++) {
    const digit = apply(codeAt, text, [at]) - 48;
    if (digit < 0 || digit > 9) break;
    value = value * 10 + digit;
  }
  return [value, at];
}

// [line, column, stack] as JSON text: the innermost place in the author's own files, and their frames alone. '' where
// what was thrown knows no place.
function whereOf(thrown) {
  try {
    if (!(thrown instanceof Err)) return '';
    let line = 0, column = 0, stack = '', from = 0;
    const text = typeof thrown.stack === 'string' ? thrown.stack : '';
    while (from < text.length && stack.length < kStackLimit) {
      let end = apply(indexOfText, text, ['\n', from]);
      if (end < 0) end = text.length;
      const frame = apply(sliceText, text, [from, end]);
      from = end + 1;
      if (!isOwnFrame(frame)) continue;
      if (stack === '') {
        const file = apply(indexOfText, frame, ['.js:']);
        const first = numberAt(frame, file + 4);
        line = first[0];
        if (frame[first[1]] === ':') column = numberAt(frame, first[1] + 1)[0];
      }
      stack += (stack === '' ? '' : '\n') + frame;
    }
    // A syntax error has no frames of the script that did not run.
    if (line === 0 && typeof thrown.line === 'number' && thrown.sourceURL !== 'prelude') {
      line = thrown.line;
      column = typeof thrown.column === 'number' ? thrown.column : 0;
    }
    return line > 0 ? wellFormed(stringifyJson([line, column, apply(sliceText, stack, [0, kStackLimit])])) : '';
  } catch { return ''; }
}

function noteWhere(thrown) {
  const where = whereOf(thrown);
  let line = 'error: ' + textOf(thrown);
  if (where !== '') {
    const place = parseJson(where);
    line += ' (line ' + place[0] + (place[1] > 0 ? ', column ' + place[1] : '') + ')';
  }
  note(line);
}

// ---- Device context (spec 10)

// What the driver left of its device's context: '' where that is what it was given, or where it uses none.
function contextLeft(before) {
  if (!usesContext) return '';
  const left = global.context;
  if (!isArray(left)) throw new Err('The driver left a context that is no array.');
  let text;
  try {
    text = stringifyJson(left);
  } catch (thrown) {
    throw new Err('The driver left a context that is no JSON: ' + textOf(thrown));
  }
  if (typeof text !== 'string') throw new Err('The driver left a context that is no JSON.');
  if (text[0] !== '[') throw new Err('The driver left a context that is no array.');
  if (text === before) return '';
  if (text.length > kContextLimit) throw new Err('The driver left a context of over ' + kContextLimit + ' bytes.');
  return wellFormed(text);
}

// Puts the context there; gives its text as contextLeft compares it.
function openContext(text) {
  if (!usesContext) return '';
  const value = text === undefined ? [] : parseJson(text);
  putContext(value);
  return text === undefined ? '[]' : stringifyJson(value);
}

// ---- Points (spec 11)

const unitTypes = { count: 'int64', index: 'int64', okta: 'int64', state: 'boolean', 'IEEE-802': 'string', GPS: 'object' };

function fullPoint(point) {
  const out = {};
  if (point.unitId !== undefined) out.unitId = point.unitId;
  const type = point.type !== undefined ? point.type : typeof point.unitId === 'string' ? (has(unitTypes, point.unitId) ? unitTypes[point.unitId] : 'double') : undefined;
  if (type !== undefined) out.type = type;
  const keys = ownKeys(point);
  for (let i = 0; i < keys.length; i++) if (keys[i] !== 'unitId' && keys[i] !== 'type' && keys[i] !== '__proto__') out[keys[i]] = point[keys[i]];
  return out;
}

function barePoint(name, value, warnings) {
  const colon = apply(indexOfText, name, [':']);
  const kind = colon < 0 ? name : apply(sliceText, name, [0, colon]);
  const declared = has(schema, name) ? schema[name] : has(schema, kind) ? schema[kind] : undefined;
  if (!isObject(declared)) {
    if (warnings.length < 100) warnings[warnings.length] = cut('point ' + name + ' is not declared and was left out');
    return undefined;
  }
  const out = {};
  if (declared.unitId !== undefined) out.unitId = declared.unitId;
  if (declared.type !== undefined) out.type = declared.type;
  if (declared.standardNaming !== undefined) out.standardNaming = declared.standardNaming;
  out[isArray(value) && isObject(value[0]) ? 'records' : 'record'] = value;
  return out;
}

// JSON text of the points, '' for none.
function pointsOf(data, input, warnings) {
  const returned = apply(bound.extractPoints.f, bound.extractPoints.self, [{ message: data, time: input.time, thing: input.thing }]);
  if (returned === undefined || returned === null) return '';
  if (typeof returned !== 'object' || isArray(returned) || returned instanceof Prom) throw new Err('extractPoints returned no object');
  const points = {}, names = ownKeys(returned);
  let count = 0;
  for (let i = 0; i < names.length; i++) {
    const value = returned[names[i]];
    if (value === undefined || names[i] === '__proto__') continue;
    const full = isObject(value) && !isArray(value) && (has(value, 'unitId') || has(value, 'record') || has(value, 'records'));
    const point = full ? fullPoint(value) : barePoint(names[i], value, warnings);
    if (point !== undefined) { points[names[i]] = point; count++; }
  }
  return count === 0 ? '' : toJson(points, warnings);
}

// The same after an uplink was decoded: what goes wrong costs the points only.
function pointsText(data, input, warnings) {
  try {
    return pointsOf(data, input, warnings);
  } catch (thrown) {
    noteWhere(thrown);
    warnings[warnings.length] = cut('extractPoints failed: ' + textOf(thrown));
    return '';
  }
}

// ---- Calls

function makeInput(bytes, fPort, time, rest) {
  const input = rest === undefined ? {} : parseJson(rest);
  input.bytes = bytes;
  if (fPort !== undefined) input.fPort = fPort;
  input.recvTime = input.time = new Dat(time === undefined ? now() : time);
  if (input.thing === undefined) input.thing = { tags: [], setup: {} };
  return input;
}

function decode(operation, bytes, fPort, time, rest, context) {
  const it = bound[operationNames[operation]];
  const before = openContext(context);
  const input = makeInput(bytes, fPort, time, rest);
  const thing = input.thing, at = input.time, warnings = [];
  let returned;
  if (it.way === kTtn) returned = apply(it.f, it.self, [bytes, fPort]);
  else if (it.way === kChirpstack) returned = apply(it.f, it.self, [fPort, bytes, isObject(thing.setup) ? thing.setup : {}]);
  else {
    if (it.way === kLora) input.variables = isObject(thing.setup) ? thing.setup : {};
    returned = apply(it.f, it.self, [input]);
  }
  let data = returned;
  if (returned instanceof Prom) throw new Err('The driver returned a Promise, and nothing is awaited.');
  if (it.way === kLora) {
    if (typeof returned !== 'object' || returned === null) throw new Err('The driver returned no object.');
    if (has(returned, 'data') || has(returned, 'errors') || has(returned, 'warnings')) {
      const given = texts(returned.warnings), errors = texts(returned.errors);
      for (let i = 0; i < given.length; i++) warnings[i] = given[i];
      if (errors.length > 0) return refused(errors, warnings, before);
      data = returned.data;
    }
  }
  const text = toJson(data, warnings);
  const points = operation === 0 && bound.extractPoints !== undefined && text !== undefined
    ? pointsText(data, { time: at, thing }, warnings) : '';
  const left = contextLeft(before);
  return 'D' + (text === undefined ? '' : text) + '\n' + points + '\n' + listText(warnings) + '\n' + listText(log.lines) + '\n' + left;
}

// extractPoints by itself, for a decoded message that is given.
function extract(time, data, rest) {
  const input = rest === undefined ? {} : parseJson(rest), warnings = [];
  const points = pointsOf(parseJson(data), { time: new Dat(time === undefined ? now() : time),
    thing: input.thing === undefined ? { tags: [], setup: {} } : input.thing }, warnings);
  return 'D\n' + points + '\n' + listText(warnings) + '\n' + listText(log.lines) + '\n';
}

const digits = '0123456789abcdef';
function hexOf(bytes) {
  let out = '';
  if (typeof bytes === 'string') {
    let hex = bytes.length % 2 === 0;
    for (let i = 0; i < bytes.length && hex; i++) {
      const c = apply(codeAt, bytes, [i]);
      hex = (c >= 48 && c <= 57) || (c >= 65 && c <= 70) || (c >= 97 && c <= 102);
    }
    if (!hex) throw new Err('The driver returned bytes that are no hexadecimal text.');
    return bytes;
  }
  if (!isArray(bytes) && (!isView(bytes) || typeof bytes.length !== 'number')) throw new Err('The driver returned no bytes.');
  if (bytes.length > 65536) throw new Err('The driver returned too many bytes.');
  for (let i = 0; i < bytes.length; i++) {
    const b = bytes[i];
    if (!isInteger(b) || b < 0 || b > 255) throw new Err('The driver returned bytes with ' + textOf(b) + ' at ' + i + ', which is no integer from 0 to 255.');
    out += digits[b >> 4] + digits[b & 15];
  }
  return out;
}

function encode(fPort, data, rest, context) {
  const it = bound.encodeDownlink, object = parseJson(data), warnings = [];
  const before = openContext(context);
  const further = rest === undefined ? {} : parseJson(rest);
  const setup = isObject(further.thing) && isObject(further.thing.setup) ? further.thing.setup : {};
  let returned;
  if (it.way === kActility) returned = apply(it.f, it.self, [object]);
  else if (it.way === kTtn) returned = apply(it.f, it.self, [object, fPort]);
  else if (it.way === kChirpstack) returned = apply(it.f, it.self, [fPort, object, setup]);
  else {
    const input = { data: object };
    if (fPort !== undefined) input.fPort = fPort;
    input.variables = setup;
    returned = apply(it.f, it.self, [input]);
  }
  if (returned instanceof Prom) throw new Err('The driver returned a Promise, and nothing is awaited.');
  if (typeof returned !== 'object' || returned === null) throw new Err('The driver returned no object.');
  const foreign = bound.signature === kTtn || bound.signature === kChirpstack;
  const bare = foreign && (isArray(returned) || isView(returned));
  let port = bare ? undefined : returned.fPort;
  if (!bare) {
    const given = texts(returned.warnings), errors = texts(returned.errors);
    for (let i = 0; i < given.length; i++) warnings[i] = given[i];
    if (errors.length > 0) return refused(errors, warnings, before);
  }
  const hex = hexOf(bare ? returned : returned.bytes);
  if (port === undefined || port === null) port = fPort !== undefined ? fPort : foreign ? 1 : undefined;
  if (port === undefined) throw new Err('Neither the driver nor the request names an fPort.');
  if (!isInteger(port) || port < 1 || port > 224) throw new Err('The fPort ' + textOf(port) + ' is not from 1 to 224.');
  const left = contextLeft(before);
  return 'E' + hex + '\n' + port + '\n' + listText(warnings) + '\n' + listText(log.lines) + '\n' + left;
}

// The payload's first bytes as the host has put them, which is quicker than a list out of its hands.
function taken(count) {
  const bytes = [];
  for (let i = 0; i < count; i++) bytes[i] = handed[i];
  return bytes;
}

// One call. Text out, fields separated by line feeds (a control character never stands bare in JSON):
//   D data | points | warnings | log | context         E hex | port | warnings | log | context
//   F code | message | errors | warnings | log | where | context     S the same after a stack overflow
function call(operation, bytes, fPort, time, data, rest, context) {
  if (log.size !== 0) { log.lines = []; log.size = 0; }
  if (typeof bytes === 'number') bytes = taken(bytes);
  try {
    if (bound[operationNames[operation]] === undefined) {
      return failure('com-4000', 'unsupported operation ' + operationNames[operation] + ' on ' + signatureNames[bound.signature] + ' driver', [], [], '', '');
    }
    return operation === 2 ? encode(fPort, data, rest, context)
      : operation === 3 ? extract(time, data, rest) : decode(operation, bytes, fPort, time, rest, context);
  } catch (thrown) {
    noteWhere(thrown);
    return thrownFailure(thrown, []);
  }
}

// The failure text for something thrown while the driver was evaluated.
function explain(thrown) {
  noteWhere(thrown);
  return thrownFailure(thrown, []);
}

return [bind, call, explain];
})
)js"
