// A client of MQTT 5 over WebSocket.
//
// It keeps no session of its own: without clean start it goes on with the broker's (subscriptions, what waits for it), and what it
// had not got acknowledged is not sent again.

import * as packets from "/assets/packets.js";

// QoS 1 and 2 messages the broker may send before they are acknowledged.
const RECEIVE_MAXIMUM = 100;

const CONNACK = 2, PUBLISH = 3, PUBACK = 4, PUBREC = 5, PUBREL = 6, PUBCOMP = 7, SUBACK = 9, UNSUBACK = 11, PINGRESP = 13, DISCONNECT = 14;

const CONNECT_TIMEOUT = 10000;

const REASONS = {
  0x00: "success", 0x04: "disconnect with will", 0x10: "no matching subscribers", 0x11: "no subscription existed", 0x80: "unspecified error", 0x81: "malformed packet",
  0x82: "protocol error", 0x83: "implementation specific error", 0x84: "unsupported protocol version", 0x85: "client identifier not valid",
  0x86: "bad user name or password", 0x87: "not authorized", 0x88: "server unavailable", 0x89: "server busy", 0x8a: "banned",
  0x8b: "server shutting down", 0x8c: "bad authentication method", 0x8d: "keep alive timeout", 0x8e: "session taken over",
  0x8f: "topic filter invalid", 0x90: "topic name invalid", 0x91: "packet identifier in use", 0x92: "packet identifier not found",
  0x93: "receive maximum exceeded", 0x94: "topic alias invalid", 0x95: "packet too large", 0x96: "message rate too high",
  0x97: "quota exceeded", 0x98: "administrative action", 0x99: "payload format invalid", 0x9a: "retain not supported",
  0x9b: "QoS not supported", 0x9c: "use another server", 0x9d: "server moved", 0x9e: "shared subscriptions not supported",
  0x9f: "connection rate exceeded", 0xa0: "maximum connect time", 0xa1: "subscription identifiers not supported",
  0xa2: "wildcard subscriptions not supported",
};

export function reasonOf({ reason, properties }) {
  const words = REASONS[reason] ?? "an unknown reason";
  const said = properties?.reason === undefined ? "" : `: ${properties.reason}`;
  return `${words} (0x${reason.toString(16).padStart(2, "0")})${said}`;
}

export class Client {
  #socket;
  #incoming = new packets.Packets();
  // By packet id: what the answer is for.
  #waiting = new Map();
  // QoS 2 messages that were shown and not released.
  #received = new Set();
  #lastId = 0;
  #keepAlive = 0;
  #limit = Infinity;
  #timer = 0;
  #isPinged = false;
  #why = "";
  #ended = false;
  #on;

  // `on`: {connected(connack), message(message), ended(why, wasOpen)}; `options`: as CONNECT has them, with `url`.
  constructor(options, on) {
    this.#on = on;
    this.#socket = new WebSocket(options.url, "mqtt");
    this.#socket.binaryType = "arraybuffer";
    this.#keepAlive = options.keepAlive;
    let wasOpen = false;
    this.#timer = setTimeout(() => this.#fail("There was no answer in time."), CONNECT_TIMEOUT);
    this.#socket.addEventListener("open", () => {
      wasOpen = true;
      this.#send(packets.connect({
        ...options,
        properties: { ...options.properties, receiveMaximum: RECEIVE_MAXIMUM, maximumPacketSize: packets.MOST_BYTES },
      }));
    });
    this.#socket.addEventListener("message", ({ data }) => this.#read(data));
    this.#socket.addEventListener("close", () => this.#end(wasOpen));
  }

  #send(bytes) {
    if (this.#socket.readyState === WebSocket.OPEN) this.#socket.send(bytes);
  }

  #fail(why) {
    this.#why ||= why;
    this.#socket.close();
  }

  #end(wasOpen) {
    if (this.#ended) return;
    this.#ended = true;
    clearTimeout(this.#timer);
    const why = this.#why || "The connection was closed.";
    this.#waiting.forEach(({ reject }) => reject(new Error(why)));
    this.#waiting.clear();
    this.#on.ended(this.#why, wasOpen);
  }

  #read(data) {
    try {
      if (!(data instanceof ArrayBuffer)) throw new packets.Malformed("a text where MQTT has bytes");
      for (const packet of this.#incoming.take(new Uint8Array(data))) {
        if (this.#why !== "") return;
        this.#handle(packet);
      }
    } catch (error) {
      this.#fail(`What the broker sent can’t be read: ${error.message}.`);
    }
  }

  #handle(packet) {
    const { type, id } = packet;
    if (type === CONNACK) {
      clearTimeout(this.#timer);
      if (packet.reason !== 0) return this.#fail(`The broker refuses: ${reasonOf(packet)}.`);
      this.#keepAlive = packet.properties.serverKeepAlive ?? this.#keepAlive;
      this.#limit = packet.properties.receiveMaximum ?? 65535;
      this.#beat();
      this.#on.connected(packet);
    } else if (type === PUBLISH) {
      this.#take(packet);
    } else if (type === PUBREL) {
      this.#received.delete(id);
      this.#send(packets.acknowledge(PUBCOMP, id));
    } else if (type === PUBREC && packet.reason < 0x80) {
      this.#send(packets.acknowledge(PUBREL, id));
    } else if ([PUBACK, PUBREC, PUBCOMP, SUBACK, UNSUBACK].includes(type)) {
      const waiting = this.#waiting.get(id);
      this.#waiting.delete(id);
      waiting?.resolve(packet);
    } else if (type === PINGRESP) {
      this.#isPinged = false;
    } else if (type === DISCONNECT) {
      this.#fail(`The broker ended the connection: ${reasonOf(packet)}.`);
    }
  }

  #take(message) {
    const { qos, id } = message;
    // A QoS 2 message that comes again is acknowledged again and shown once.
    const isNew = qos < 2 || !this.#received.has(id);
    if (qos === 2) this.#received.add(id);
    if (isNew) this.#on.message(message);
    if (qos > 0) this.#send(packets.acknowledge(qos === 1 ? PUBACK : PUBREC, id));
  }

  // A PINGREQ every three quarters of keep alive, whatever else is sent; one without an answer is the end.
  #beat() {
    if (this.#keepAlive === 0) return;
    this.#timer = setTimeout(() => {
      if (this.#isPinged) return this.#fail("The broker does not answer any more.");
      this.#isPinged = true;
      this.#send(packets.ping());
      this.#beat();
    }, this.#keepAlive * 750);
  }

  #ask(make) {
    if (this.#waiting.size >= Math.min(this.#limit, 65535)) return Promise.reject(new Error("Too much waits for an answer."));
    do this.#lastId = (this.#lastId % 65535) + 1; while (this.#waiting.has(this.#lastId));
    const id = this.#lastId;
    return new Promise((resolve, reject) => {
      const bytes = make(id);
      this.#waiting.set(id, { resolve, reject });
      this.#send(bytes);
    });
  }

  // Resolves to the last answer of the exchange, or to undefined at QoS 0.
  async publish(message) {
    if (message.qos > 0) return this.#ask((id) => packets.publish({ ...message, id }));
    this.#send(packets.publish(message));
    return undefined;
  }

  subscribe(filter, options, properties) {
    return this.#ask((id) => packets.subscribe(id, filter, options, properties));
  }

  unsubscribe(filter) {
    return this.#ask((id) => packets.unsubscribe(id, filter));
  }

  end() {
    this.#send(packets.disconnect());
    this.#why ||= "Disconnected.";
    this.#socket.close();
  }
}
