// Overview: how the broker is second by second, and how it was.

import { get } from "/assets/api.js";
import { Chart } from "/assets/chart.js";
import { byId, during, h } from "/assets/dom.js";
import { live } from "/assets/live.js";
import { bytes, dateTime, lasted, number, rate } from "/assets/text.js";

const SLOW = 10000;
const MINUTE = 60000;

// How far back: points, milliseconds from one to the next.
const RANGES = { minutes: [300, 1000], day: [24 * 60, MINUTE], month: [30 * 24, 60 * MINUTE] };

let range = "minutes";
// Those of the last minutes, and those of the range if that is another.
let samples = [];
let past = [];

// Each where it belongs in time, as far as something is known of it: while the broker was away, nothing was.
function slots() {
  if (range === "minutes") return samples;
  const [points, every] = RANGES[range];
  const all = samples.length > 0 ? [...past, samples.at(-1)] : past;
  const last = Math.floor((all.at(-1)?.at ?? Date.now()) / every);
  const known = new Map(all.map((sample) => [Math.floor(sample.at / every), sample]));
  return Array.from({ length: points + 1 }, (_, index) => known.get(last - points + index) ?? null);
}

// What it was in each sample but the first, and how fast it grew from the one before. Counters begin anew with the process.
const values = (of) => (shown) => shown.slice(1).map((sample) => (sample === null ? null : of(sample)));
const growth = (of) => (shown) => shown.slice(1).map((sample, index) => {
  const before = shown[index];
  if (sample === null || before === null) return null;
  const grown = sample.uptime < before.uptime ? of(sample) : of(sample) - of(before);
  return Math.max(0, (grown * 1000) / Math.max(1, sample.at - before.at));
});
const growths = (...names) => names.map((name) => growth((sample) => sample[name]));

const perSecond = { seconds: RANGES.minutes[0], format: rate };
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
  const shown = slots();
  const times = shown.slice(1).map((sample) => sample?.at);
  for (const { chart, lines } of charts) chart.draw(lines.map((line) => line(shown)), times);
}

async function look(wanted) {
  const found = wanted === "minutes" ? [] : (await get("overview/history", { range: wanted })).data;
  [range, past] = [wanted, found];
  for (const { chart } of charts) chart.span(...RANGES[range]);
  for (const button of document.querySelectorAll("[data-range]")) button.setAttribute("aria-pressed", String(button.dataset.range === range));
  draw();
}

for (const button of document.querySelectorAll("[data-range]")) button.addEventListener("click", () => during(button, () => look(button.dataset.range)));
setInterval(() => range === "minutes" || document.hidden || look(range).catch(() => {}), MINUTE);

live("overview/stream", {
  history(last) {
    samples = last;
    draw();
  },
  sample(one) {
    samples = [...samples, one].slice(-RANGES.minutes[0] - 1);
    draw();
  },
}, byId("live"));

// What stands around the page asks for them.
addEventListener("alarms", ({ detail: active }) => {
  byId("alarms").hidden = active.length === 0;
  byId("alarm-list").replaceChildren(...active.map(({ name, message, activate_at: at }) => h("li.note.bad", {},
    h("strong", {}, name), " ", message, h("small", {}, ` since ${dateTime(at / 1000)}`))));
});

async function nodes() {
  const [{ data }, modules] = await Promise.all([get("nodes"), get("modules")]);
  const running = (node) => modules.data.find((one) => one.node === node)?.modules.filter(({ active }) => active).map(({ name }) => name.replace("emqx_mod_", "")) ?? [];
  byId("nodes").replaceChildren(...data.map((node) => h("tr", {},
    h("td.mono", {}, node.node), h("td", {}, node.version), h("td", {}, h("span.state", {}, String(node.node_status).toLowerCase())),
    h("td.num", {}, `${number(node.connections)} / ${number(node.process_available)}`),
    h("td", {}, running(node.node).join(", ") || "none"))));
}

// What modules show.
const panels = [...document.querySelectorAll("[data-panel]")];
const show = async (place) => (await import(place.dataset.panel)).show(place);

// What is not there is not shown.
const refresh = () => Promise.allSettled([nodes(), ...panels.map(show)]);
refresh();
setInterval(() => document.hidden || refresh(), SLOW);
