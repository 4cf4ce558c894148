// Overview: how the broker is, second by second.

import { get } from "/assets/api.js";
import { Chart } from "/assets/chart.js";
import { byId, h } from "/assets/dom.js";
import { live } from "/assets/live.js";
import { bytes, dateTime, lasted, number, rate } from "/assets/text.js";

const SECONDS = 300;
const SLOW = 10000;

const perSecond = { seconds: SECONDS, format: rate };
const charts = [
  ["chart-messages", { ...perSecond, names: ["In", "Out"] }, ["received", "sent"]],
  ["chart-presence", { ...perSecond, names: ["Came", "Went"] }, ["connected", "disconnected"]],
  ["chart-clients", { ...perSecond, names: ["Online"] }, [(sample) => sample.connections]],
  ["chart-bytes", { ...perSecond, format: bytes, isBytes: true, names: ["In", "Out"] }, ["bytes_received", "bytes_sent"]],
  ["chart-dropped", { ...perSecond, names: ["Dropped"] }, ["dropped"]],
  ["chart-memory", { ...perSecond, format: bytes, isBytes: true, names: ["Resident"] }, [(sample) => sample.memory]],
].map(([place, options, wanted]) => ({ chart: new Chart(byId(place), options), wanted }));

let samples = [];

// How fast a count grew between each two samples.
function rates(name) {
  return samples.slice(1).map((sample, index) => {
    const before = samples[index];
    return Math.max(0, ((sample[name] - before[name]) * 1000) / (sample.at - before.at));
  });
}

function draw() {
  const now = samples.at(-1);
  if (now === undefined) return;
  for (const name of ["connections", "sessions", "subscriptions", "retained"]) byId(name).textContent = number(now[name]);
  byId("memory").textContent = bytes(now.memory);
  byId("uptime").textContent = lasted(now.uptime);
  for (const { chart, wanted } of charts) {
    chart.draw(wanted.map((what) => (typeof what === "string" ? rates(what) : samples.slice(1).map(what))));
  }
}

live("overview/stream", {
  history(past) {
    samples = past;
    draw();
  },
  sample(one) {
    samples = [...samples, one].slice(-SECONDS - 1);
    draw();
  },
}, byId("live"));

async function alarms() {
  const { data } = await get("alarms/activated");
  const active = data.flatMap((ofNode) => ofNode.alarms ?? [ofNode]);
  byId("alarms").hidden = active.length === 0;
  byId("alarm-list").replaceChildren(...active.map((alarm) => h("li.note.bad", {},
    h("strong", {}, alarm.name), " ", alarm.message ?? "",
    alarm.activate_at ? h("small", {}, ` since ${dateTime(Number(alarm.activate_at) / (Number(alarm.activate_at) > 1e14 ? 1000 : 1))}`) : null)));
}

async function nodes() {
  const [{ data }, modules] = await Promise.all([get("nodes"), get("modules")]);
  const running = (node) => modules.data.find((one) => one.node === node)?.modules.filter(({ active }) => active).map(({ name }) => name.replace("emqx_mod_", "")) ?? [];
  byId("nodes").replaceChildren(...data.map((node) => h("tr", {},
    h("td.mono", {}, node.node), h("td", {}, node.version), h("td", {}, h("span.state", {}, String(node.node_status).toLowerCase())),
    h("td.num", {}, `${number(node.connections)} / ${number(node.max_connections ?? node.max_fds)}`),
    h("td", {}, running(node.node).join(", ") || "none"))));
}

// What is not there is not shown.
const refresh = () => Promise.allSettled([alarms(), nodes()]);
refresh();
setInterval(() => document.hidden || refresh(), SLOW);
