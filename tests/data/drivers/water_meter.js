// A middle-sized decoder: a meter's frames by port, with a Buffer, a table, dates and a history of values. Bundled style:
// one variable `driver`.
var driver = (() => {
  'use strict';
  const ALARMS = ['leak', 'burst', 'tamper', 'reverseFlow', 'lowBattery', 'frost'];
  const UNITS = { 0: { name: 'm3', factor: 1e-3 }, 1: { name: 'l', factor: 1 } };

  class Frame {
    #buffer;
    #at = 0;
    constructor(bytes) {
      this.#buffer = Buffer.from(bytes);
    }
    get left() {
      return this.#buffer.length - this.#at;
    }
    u8() {
      return this.#buffer.readUInt8(this.#at++);
    }
    u16() {
      this.#at += 2;
      return this.#buffer.readUInt16LE(this.#at - 2);
    }
    u32() {
      this.#at += 4;
      return this.#buffer.readUInt32LE(this.#at - 4);
    }
    serial() {
      this.#at += 4;
      return this.#buffer.slice(this.#at - 4, this.#at).toString('hex').toUpperCase();
    }
  }

  const alarmsOf = (mask) => ALARMS.filter((_, bit) => (mask & (1 << bit)) !== 0);

  function status(frame) {
    return { serial: frame.serial(), alarms: alarmsOf(frame.u8()), battery: frame.u8() / 10 };
  }

  function reading(frame, received) {
    const unit = UNITS[frame.u8()];
    if (!unit) throw new Error('Unknown unit');
    const round = (v) => Math.round(v * unit.factor * 1000) / 1000;
    let volume = frame.u32();
    const data = { unit: unit.name, volume: round(volume), time: received.toISOString(), history: [] };
    for (let hour = 1; frame.left >= 2; hour++) {
      volume -= frame.u16();
      data.history.push({ time: new Date(received.getTime() - hour * 3600000), volume: round(volume) });
    }
    return data;
  }

  return {
    decodeUplink(input) {
      const frame = new Frame(input.bytes);
      switch (input.fPort) {
        case 1:
          return { data: reading(frame, input.recvTime) };
        case 2:
          return { data: status(frame) };
        default:
          throw new Error('Invalid fPort!');
      }
    },
    extractPoints({ message }) {
      if (message.volume === undefined) return {};
      return {
        'volume:0': { unitId: message.unit, record: message.volume },
        'volume:1': { unitId: message.unit, records: message.history.map((h) => ({ eventTime: h.time, value: h.volume })) },
      };
    },
  };
})();
