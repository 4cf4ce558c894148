// Retained messages: found by filter, looked at, forgotten one by one.

import { api, get, part } from "/assets/api.js";
import { ask, during, h, show, toast } from "/assets/dom.js";
import { pager } from "/assets/pager.js";
import { FORMS, fitting } from "/assets/payload.js";
import { bytes, dateTime, number } from "/assets/text.js";

const SHOWN = 65536;

function row(message) {
  return h("tr", {},
    h("td.id", {}, h("button.plain.id", { type: "button", onclick: (event) => look(event.currentTarget, message.topic) }, message.topic)),
    h("td.num.minor", {}, String(message.qos)),
    h("td.num", {}, number(message.payload_size)),
    h("td.minor", {}, message.expires_at ? dateTime(message.expires_at) : "never"),
    h("td.num", {}, h("button.small.danger", { type: "button", "data-change": "operator", "aria-label": `Delete ${message.topic}`, onclick: (event) => remove(event.currentTarget, message.topic) }, "Delete")));
}

async function remove(button, topic) {
  if (!(await ask("Delete this retained message?", topic, "Delete"))) return;
  await during(button, async () => {
    await api("DELETE", `retained/message?topic=${part(topic)}`);
    toast("It is deleted.");
  });
  table.show();
}

async function look(button, topic) {
  const answer = await during(button, () => get("retained/message", { topic }));
  if (answer === undefined) return;
  const { payload: encoded, qos, payload_size: size } = answer.data;
  const payload = Uint8Array.from(atob(encoded), (letter) => letter.charCodeAt(0));
  const text = h("pre", { tabindex: 0, "aria-label": "Payload" });
  const tabs = Object.keys(FORMS).map((name) => h("button.small", { type: "button", onclick: () => choose(name) }, name));
  function choose(name) {
    tabs.forEach((tab) => tab.setAttribute("aria-pressed", String(tab.textContent === name)));
    try {
      text.textContent = FORMS[name](payload.subarray(0, SHOWN)) || "(empty)";
    } catch {
      text.textContent = payload.length > SHOWN ? "Too long to be shown as JSON." : "This is no JSON.";
    }
  }
  choose(fitting(payload.subarray(0, SHOWN)));
  const about = `QoS ${qos}, ${bytes(size)}${size > SHOWN ? `; the first ${bytes(SHOWN)} are shown` : ""}`;
  await show(h("dialog.wide", { "aria-labelledby": "topic" }, h("form", { method: "dialog" },
    h("h2.id", { id: "topic" }, topic), h("p.about", {}, about),
    h("div.tabs", { role: "group", "aria-label": "Show as" }, tabs), text,
    h("div.buttons", {}, h("button", { value: "" }, "Close")))));
  button.focus();
}

const table = pager({
  row,
  empty: "No message is retained.",
  async load({ filter }, after, limit) {
    const { data, meta } = await get("retained", { filter, _after: after, _limit: limit });
    return { rows: data, next: meta.hasnext ? meta.next : null, count: filter === "" ? meta.count : undefined };
  },
});
