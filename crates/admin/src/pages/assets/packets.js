// Packets of MQTT 5: what a client writes, what it reads. Whole packets only; who reads hands them over one by one.

export const MOST_BYTES = 1 << 20;

// Property ids, names and forms.
const PROPERTIES = [
  [1, "payloadFormat", "u8"], [2, "messageExpiry", "u32"], [3, "contentType", "text"], [8, "responseTopic", "text"],
  [9, "correlationData", "bytes"], [11, "subscriptionId", "varint"], [17, "sessionExpiry", "u32"], [18, "assignedClientId", "text"],
  [19, "serverKeepAlive", "u16"], [21, "authMethod", "text"], [22, "authData", "bytes"], [23, "requestProblem", "u8"],
  [24, "willDelay", "u32"], [25, "requestResponse", "u8"], [26, "responseInfo", "text"], [28, "serverReference", "text"],
  [31, "reason", "text"], [33, "receiveMaximum", "u16"], [34, "topicAliasMaximum", "u16"], [35, "topicAlias", "u16"],
  [36, "maximumQos", "u8"], [37, "retainAvailable", "u8"], [38, "userProperties", "pair"], [39, "maximumPacketSize", "u32"],
  [40, "wildcardAvailable", "u8"], [41, "subscriptionIdAvailable", "u8"], [42, "sharedAvailable", "u8"],
];
const BY_ID = new Map(PROPERTIES.map(([id, name, form]) => [id, { name, form }]));
const BY_NAME = new Map(PROPERTIES.map(([id, name, form]) => [name, { id, form }]));
// Which may stand there more than once.
const MANY = new Set(["userProperties", "subscriptionId"]);

const encoder = new TextEncoder();
const decoder = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });

export class Malformed extends Error {}

class Writer {
  parts = [];
  length = 0;

  bytes(bytes) {
    this.parts.push(bytes);
    this.length += bytes.length;
    return this;
  }

  u8(value) { return this.bytes(Uint8Array.of(value)); }
  u16(value) { return this.bytes(Uint8Array.of(value >> 8, value & 255)); }
  u32(value) { return this.bytes(Uint8Array.of(value >>> 24, (value >> 16) & 255, (value >> 8) & 255, value & 255)); }

  varint(value) {
    do {
      const rest = Math.floor(value / 128);
      this.u8((value % 128) | (rest > 0 ? 128 : 0));
      value = rest;
    } while (value > 0);
    return this;
  }

  binary(bytes) {
    if (bytes.length > 65535) throw new Malformed("a name or a topic has at most 65,535 bytes");
    return this.u16(bytes.length).bytes(bytes);
  }

  text(text) { return this.binary(encoder.encode(text)); }

  // Those that are undefined are left out.
  properties(properties = {}) {
    const inner = new Writer();
    for (const [name, value] of Object.entries(properties)) {
      const { id, form } = BY_NAME.get(name);
      const all = value === undefined ? [] : MANY.has(name) ? value : [value];
      for (const one of all) inner.u8(id).one(form, one);
    }
    return this.varint(inner.length).bytes(inner.joined());
  }

  one(form, value) {
    if (form === "pair") return this.text(value[0]).text(value[1]);
    if (form === "bytes") return this.binary(value);
    return this[form](value);
  }

  joined() {
    const all = new Uint8Array(this.length);
    let at = 0;
    for (const part of this.parts) {
      all.set(part, at);
      at += part.length;
    }
    return all;
  }
}

function packet(type, flags, body) {
  return new Writer().u8((type << 4) | flags).varint(body.length).bytes(body.joined()).joined();
}

export function connect({ clientId, username, password, cleanStart, keepAlive, properties }) {
  const flags = (cleanStart ? 2 : 0) | (password === undefined ? 0 : 64) | (username === undefined ? 0 : 128);
  const body = new Writer().text("MQTT").u8(5).u8(flags).u16(keepAlive).properties(properties).text(clientId);
  if (username !== undefined) body.text(username);
  if (password !== undefined) body.text(password);
  return packet(1, 0, body);
}

export function publish({ topic, payload, qos, retain, id, properties }) {
  const body = new Writer().text(topic);
  if (qos > 0) body.u16(id);
  return packet(3, (qos << 1) | (retain ? 1 : 0), body.properties(properties).bytes(payload));
}

// PUBACK, PUBREC, PUBREL or PUBCOMP.
export const acknowledge = (type, id) => packet(type, type === 6 ? 2 : 0, new Writer().u16(id));

export function subscribe(id, filter, { qos, noLocal, retainAsPublished, retainHandling }, properties) {
  const options = qos | (noLocal ? 4 : 0) | (retainAsPublished ? 8 : 0) | (retainHandling << 4);
  return packet(8, 2, new Writer().u16(id).properties(properties).text(filter).u8(options));
}

export const unsubscribe = (id, filter) => packet(10, 2, new Writer().u16(id).properties().text(filter));

export const ping = () => packet(12, 0, new Writer());

export const disconnect = () => packet(14, 0, new Writer());

class Reader {
  constructor(bytes) {
    this.all = bytes;
    this.at = 0;
  }

  get left() { return this.all.length - this.at; }

  bytes(length) {
    if (length > this.left) throw new Malformed("a packet is shorter than it says");
    this.at += length;
    return this.all.subarray(this.at - length, this.at);
  }

  u8() { return this.bytes(1)[0]; }
  u16() { return this.u8() * 256 + this.u8(); }
  u32() { return this.u16() * 65536 + this.u16(); }

  varint() {
    let value = 0;
    for (let factor = 1; factor <= 128 ** 3; factor *= 128) {
      const byte = this.u8();
      value += (byte & 127) * factor;
      if (byte < 128) return value;
    }
    throw new Malformed("a length has more than four bytes");
  }

  binary() { return this.bytes(this.u16()); }

  text() {
    try {
      return decoder.decode(this.binary());
    } catch (error) {
      throw error instanceof Malformed ? error : new Malformed("a text is no UTF-8");
    }
  }

  properties() {
    const inner = new Reader(this.bytes(this.varint()));
    const found = {};
    while (inner.left > 0) {
      const known = BY_ID.get(inner.varint());
      if (known === undefined) throw new Malformed("a property is not known");
      const { name, form } = known;
      const value = form === "pair" ? [inner.text(), inner.text()] : form === "bytes" ? inner.binary().slice() : inner[form]();
      if (MANY.has(name)) (found[name] ??= []).push(value);
      else found[name] = value;
    }
    return found;
  }

  // Reason code and properties, which may be left out.
  outcome() {
    const reason = this.left > 0 ? this.u8() : 0;
    return { reason, properties: this.left > 0 ? this.properties() : {} };
  }
}

const READ = {
  2: (body) => ({ sessionPresent: (body.u8() & 1) === 1, reason: body.u8(), properties: body.properties() }),
  3(body, flags) {
    const [qos, topic] = [(flags >> 1) & 3, body.text()];
    if (qos === 3) throw new Malformed("there is no QoS 3");
    const id = qos > 0 ? body.u16() : undefined;
    const properties = body.properties();
    return { topic, qos, id, retain: (flags & 1) === 1, again: (flags & 8) === 8, properties, payload: body.bytes(body.left).slice() };
  },
  9: (body) => ({ id: body.u16(), properties: body.properties(), reasons: [...body.bytes(body.left)] }),
  14: (body) => body.outcome(),
};
for (const type of [4, 5, 6, 7]) READ[type] = (body) => ({ id: body.u16(), ...body.outcome() });
READ[11] = READ[9];
READ[13] = () => ({});

// Puts packets together out of the bytes of frames: there may be several in a frame, and parts of one.
export class Packets {
  rest = new Uint8Array();

  *take(bytes) {
    let all = bytes;
    if (this.rest.length > 0) {
      all = new Uint8Array(this.rest.length + bytes.length);
      all.set(this.rest);
      all.set(bytes, this.rest.length);
    }
    let at = 0;
    for (;;) {
      const size = whole(all, at);
      if (size === null) break;
      const { head, length } = size;
      const first = all[at];
      const read = READ[first >> 4];
      if (read === undefined) throw new Malformed("a packet that brokers don’t send");
      const body = new Reader(all.subarray(at + head, at + head + length));
      at += head + length;
      yield { type: first >> 4, ...read(body, first & 15) };
    }
    this.rest = all.slice(at);
  }
}

// The sizes of the packet that begins there; null: it is not whole.
function whole(all, at) {
  let length = 0;
  for (let head = 1, factor = 1; head <= 4; head += 1, factor *= 128) {
    if (at + head >= all.length) return null;
    const byte = all[at + head];
    length += (byte & 127) * factor;
    if (byte < 128) {
      if (length > MOST_BYTES) throw new Malformed("a packet is larger than we said we take");
      return at + head + 1 + length <= all.length ? { head: head + 1, length } : null;
    }
  }
  throw new Malformed("a length has more than four bytes");
}
