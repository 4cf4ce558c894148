// Listeners: where the broker takes connections.

import { api, get, part } from "/assets/api.js";
import { ask, byId, during, h, toast } from "/assets/dom.js";
import { number } from "/assets/text.js";

const REFRESH = 5000;

const rows = byId("rows");

async function load() {
  const { data } = await get("listeners");
  const all = data.flatMap((ofNode) => ofNode.listeners ?? [ofNode]);
  const focused = document.activeElement?.dataset?.key;
  rows.replaceChildren(...all.map(row));
  if (focused !== undefined) rows.querySelector(`[data-key="${CSS.escape(focused)}"]`)?.focus();
  byId("empty").hidden = all.length > 0;
  byId("empty").textContent = "There is none.";
}

function row(listener) {
  const { name, running } = listener;
  const button = (text, kind, act) => h(`button.small.${kind}`, { type: "button", "data-change": "operator", "data-key": `${name} change`, "aria-label": `${text} ${name}`, onclick: (event) => act(event.currentTarget, name) }, text);
  return h("tr", { "data-listener": name },
    h("td", {}, name),
    h("td", {}, running ? h("span.state", {}, "running") : h("span.state.away", {}, "stopped")),
    h("td", {}, listener.protocol),
    h("td.mono", {}, String(listener.listen_on)),
    h("td.num", {}, number(listener.current_conns ?? 0)),
    h("td.num", {}, listener.max_conns === undefined ? "–" : number(listener.max_conns)),
    h("td.num", {}, running ? button("Stop", "danger", stop) : button("Start", "main", start)));
}

async function change(button, path, done) {
  await during(button, async () => {
    await api("PUT", path);
    toast(done);
  });
  await load().catch((error) => toast(error.message, true));
}

const start = (button, name) => change(button, `listeners/${part(name)}/start`, `${name} runs.`);

async function stop(button, name) {
  const what = "Nobody comes in by it until it is started again, or the broker is. Clients that are connected stay.";
  if (await ask(`Stop ${name}?`, what, "Stop")) await change(button, `listeners/${part(name)}/stop`, `${name} is stopped.`);
}

// A row that is being used stays as it is.
const isInUse = () => document.hidden || document.querySelector("dialog, button:disabled") !== null;

load().catch((error) => toast(error.message, true));
setInterval(() => {
  if (!isInUse()) load().catch(() => {});
}, REFRESH);
