// Overview: how the broker is, second by second.

import { get } from "/assets/api.js";
import { Chart } from "/assets/chart.js";
import { byId, h } from "/assets/dom.js";
import { live } from "/assets/live.js";
import { bytes, dateTime, lasted, number, rate } from "/assets/text.js";

const SECONDS = 300;
const SLOW = 10000;

let samples = [];

// What it was in each sample but the first, and how fast it grew from the one before.
const values = (of) => () => samples.slice(1).map(of);
const growth = (of) => () => samples.slice(1).map((sample, index) => {
  const before = samples[index];
  return Math.max(0, ((of(sample) - of(before)) * 1000) / (sample.at - before.at));
});
const growths = (...names) => names.map((name) => growth((sample) => sample[name]));

const perSecond = { seconds: SECONDS, format: rate };
const charts = [
  [byId("chart-messages"), { ...perSecond, names: ["In", "Out"] }, growths("received", "sent")],
  [byId("chart-clients"), { ...perSecond, names: ["Online"] }, [values((sample) => sample.connections)]],
  [byId("chart-bytes"), { ...perSecond, format: bytes, isBytes: true, names: ["In", "Out"] }, growths("bytes_received", "bytes_sent")],
  [byId("chart-dropped"), { ...perSecond, names: ["Dropped"] }, growths("dropped")],
  [byId("chart-memory"), { ...perSecond, format: bytes, isBytes: true, names: ["Resident"] }, [values((sample) => sample.memory)]],
  // Those of modules: what each line is called, and the counter it shows.
  ...[...document.querySelectorAll("[data-chart]")].map((place) => {
    const lines = JSON.parse(place.dataset.chart);
    const counts = lines.map(([, counter]) => growth((sample) => sample.modules[counter] ?? 0));
    return [place, { ...perSecond, names: lines.map(([name]) => name) }, counts];
  }),
].map(([place, options, lines]) => ({ chart: new Chart(place, options), lines }));

function draw() {
  const now = samples.at(-1);
  if (now === undefined) return;
  for (const name of ["connections", "sessions", "subscriptions", "retained"]) byId(name).textContent = number(now[name]);
  byId("memory").textContent = bytes(now.memory);
  byId("uptime").textContent = lasted(now.uptime);
  for (const { chart, lines } of charts) chart.draw(lines.map((line) => line()));
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
