// Messages as they come, the newest first. So many are kept, and so many bytes of them: the oldest go.

import { byId, facts, h } from "/assets/dom.js";
import { FORMS, fitting } from "/assets/payload.js";
import { number, timeOfDay } from "/assets/text.js";

const MOST = 300;
const MOST_BYTES = 4 << 20;
// Of one payload.
const SHOWN = 4096;
const KEPT = 65536;
// What comes faster than it can be shown is counted.
const MOST_WAITING = 300;

// The same colour for the same topic, wherever it stands: 24 that can be told apart.
function hue(topic) {
  let hash = 0x811c9dc5;
  for (const letter of topic) hash = Math.imul(hash ^ letter.codePointAt(0), 0x01000193) >>> 0;
  return (hash % 24) * 15;
}

export class Feed {
  #kept = [];
  #bytes = 0;
  #waiting = [];
  #came = 0;
  #missed = 0;
  #isPaused = false;
  #isDue = false;

  constructor() {
    byId("form").addEventListener("change", () => this.#show());
    byId("find").addEventListener("input", () => this.#show());
    byId("clear").addEventListener("click", () => {
      [this.#kept, this.#bytes, this.#waiting, this.#came, this.#missed] = [[], 0, [], 0, 0];
      this.#show();
    });
    byId("pause").addEventListener("click", () => {
      this.#isPaused = !this.#isPaused;
      byId("pause").setAttribute("aria-pressed", String(this.#isPaused));
      byId("pause").textContent = this.#isPaused ? "Go on" : "Pause";
      this.#draw();
    });
  }

  add(message) {
    this.#came += 1;
    const size = message.payload.length;
    this.#waiting.push({ ...message, size, payload: size > KEPT ? message.payload.slice(0, KEPT) : message.payload, at: Date.now() });
    if (this.#waiting.length > MOST_WAITING) {
      this.#waiting.shift();
      this.#missed += 1;
    }
    this.#draw();
  }

  // Once for all that have come since.
  #draw() {
    if (this.#isDue) return;
    this.#isDue = true;
    requestAnimationFrame(() => {
      this.#isDue = false;
      if (this.#isPaused) return this.#count();
      const fresh = this.#waiting.splice(0);
      for (const message of fresh) {
        this.#kept.push({ message, row: row(message) });
        this.#bytes += message.payload.length;
        if (matches(message)) byId("messages").prepend(this.#kept.at(-1).row);
      }
      while (this.#kept.length > MOST || this.#bytes > MOST_BYTES) {
        const { message, row: oldest } = this.#kept.shift();
        this.#bytes -= message.payload.length;
        oldest.remove();
      }
      this.#count();
    });
  }

  // All of them again, in another form or of other topics.
  #show() {
    this.#kept = this.#kept.map(({ message }) => ({ message, row: row(message) }));
    byId("messages").replaceChildren(...this.#kept.filter(({ message }) => matches(message)).map(({ row: one }) => one).reverse());
    this.#count();
  }

  #count() {
    const parts = [`${number(this.#came)} came`];
    if (this.#came > MOST) parts.push(`the last ${number(this.#kept.length)} are kept`);
    if (this.#missed > 0) parts.push(`${number(this.#missed)} came too fast to be shown`);
    if (this.#isPaused && this.#waiting.length > 0) parts.push(`${number(this.#waiting.length)} wait`);
    byId("count").textContent = this.#came === 0 ? "" : parts.join(", ");
    byId("empty").hidden = byId("messages").childElementCount > 0;
  }
}

const matches = ({ topic }) => topic.toLowerCase().includes(byId("find").value.toLowerCase());

function text(payload) {
  const form = byId("form").value || fitting(payload);
  try {
    return FORMS[form](payload) || "(empty)";
  } catch {
    // Asked for as JSON, and it is none.
    return FORMS.Text(payload);
  }
}

function row(message) {
  const { topic, qos, retain, again, payload, size, at, properties } = message;
  const more = size > SHOWN ? ` (the first ${number(SHOWN)} are shown)` : "";
  const one = h("li", {},
    h("p.topic", {}, h("span.id", {}, topic)),
    h("p.hint", {}, `${timeOfDay(at)} · QoS ${qos} · ${number(size)} bytes${more}`, retain ? h("strong", {}, " · retained") : null, again ? " · sent again" : null),
    h("pre", {}, text(payload.subarray(0, SHOWN))),
    about(properties));
  // A style attribute would be refused by the page's policy; this is none.
  one.style.setProperty("--hue", hue(topic));
  return one;
}

const decoder = new TextDecoder();

function about(properties) {
  const { payloadFormat, messageExpiry, contentType, responseTopic, correlationData, subscriptionId, userProperties } = properties;
  const rows = facts([
    ["Content type", contentType], ["Payload", payloadFormat === 1 ? "UTF-8, it says" : undefined],
    ["Expires", messageExpiry === undefined ? undefined : `in ${number(messageExpiry)} s`],
    ["Response topic", responseTopic], ["Correlation data", correlationData === undefined ? undefined : decoder.decode(correlationData)],
    ["Subscription id", subscriptionId?.join(", ")], ...(userProperties ?? []).map(([name, value]) => [name, value]),
  ]);
  return rows.length === 0 ? null : h("dl.facts", {}, rows);
}
