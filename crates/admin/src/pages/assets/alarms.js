// Alarms: what is wrong, and what was.

import { api, get } from "/assets/api.js";
import { byId, during, h, toast } from "/assets/dom.js";
import { dateTime, lasted } from "/assets/text.js";

const REFRESH = 5000;

const ms = (us) => us / 1000;
const more = (details) => Object.entries(details ?? {}).map(([key, value]) => `${key}: ${typeof value === "string" ? value : JSON.stringify(value)}`).join(", ");

const active = ({ node, name, message, details, activate_at: from }) => h("tr", {},
  h("td.id", {}, name), h("td.wrap", {}, message), h("td", {}, dateTime(ms(from))), h("td.wrap.minor", {}, more(details)),
  h("td.num", {}, h("button.small", { type: "button", "data-change": "operator", "data-key": name, "aria-label": `Declare ${name} over`, onclick: (event) => over(event.currentTarget, node, name) }, "Declare over")));

const past = ({ name, message, activate_at: from, deactivate_at: until }) => h("tr", {},
  h("td.id", {}, name), h("td.wrap", {}, message), h("td", {}, dateTime(ms(from))), h("td", {}, dateTime(ms(until))), h("td.num.minor", {}, lasted(ms(until - from))));

const list = async (path) => (await get(path)).data.flatMap(({ node, alarms }) => alarms.map((alarm) => ({ node, ...alarm })));

async function load() {
  const [now, before] = await Promise.all([list("alarms/activated"), list("alarms/deactivated")]);
  const focused = document.activeElement?.dataset?.key;
  byId("active").replaceChildren(...now.map(active));
  byId("active").removeAttribute("aria-busy");
  byId("over").replaceChildren(...before.sort((a, b) => b.deactivate_at - a.deactivate_at).map(past));
  byId("no-active").hidden = now.length > 0;
  byId("no-over").hidden = before.length > 0;
  byId("forget").disabled = before.length === 0;
  if (focused !== undefined) byId("active").querySelector(`[data-key="${CSS.escape(focused)}"]`)?.focus();
}

async function over(button, node, name) {
  await during(button, async () => {
    await api("POST", "alarms/deactivated", { node, name });
    toast(`${name} is declared over. It comes back when its cause does.`);
  });
  await load().catch((error) => toast(error.message, true));
}

byId("forget").addEventListener("click", async () => {
  await during(byId("forget"), () => api("DELETE", "alarms/deactivated"));
  await load().catch((error) => toast(error.message, true));
});

load().catch((error) => toast(error.message, true));
setInterval(() => document.hidden || load().catch(() => {}), REFRESH);
