// Presence: who comes and goes, as it happens.

import { get } from "/assets/api.js";
import { Chart } from "/assets/chart.js";
import { byId, toast } from "/assets/dom.js";
import { absent } from "./absent.js";
import { Feed } from "./feed.js";
import { live } from "/assets/live.js";
import { timeline } from "./timeline.js";
import { number, plural } from "/assets/text.js";

const SECONDS = 120;
// Events of before.
const FIRST = 50;
const SUMMARY = 5000;

// How many came and went in each of the last seconds, by the module's counters: events may be more than a page looks up.
const chart = new Chart(byId("sparkline"), { seconds: SECONDS, format: number, names: ["Came", "Went"], isBars: true });
let samples = [];

const grown = (event) => samples.slice(1).map((sample, index) => {
  const of = ({ modules }) => modules[`presence.events.${event}`] ?? 0;
  return Math.max(0, of(sample) - of(samples[index]));
});

function draw() {
  const [came, went] = [grown("connected"), grown("disconnected")];
  chart.draw([came, went], samples.slice(1).map(({ at }) => at));
  const sum = (counts) => counts.reduce((total, count) => total + count, 0);
  const all = came.map((count, index) => count + went[index]);
  byId("rate").textContent = number(all.at(-1) ?? 0);
  byId("came").textContent = number(sum(came));
  byId("went").textContent = number(sum(went));
  byId("peak").textContent = number(Math.max(0, ...all));
}

function counted(more) {
  samples = more.slice(-SECONDS - 1);
  draw();
}

const filters = byId("filters").elements;
const wants = ({ clientid, event }) => clientid.includes(filters.text.value) && (filters.event.value === "" || filters.event.value === event);

const feed = new Feed(byId("feed"), {
  wants,
  choose: show,
  changed() {
    byId("feed-empty").hidden = byId("feed").rows.length > 0;
  },
});

let unread = 0;
let newest = 0;

// What was looked up may come in the stream too.
function isNew(event) {
  if (event.id <= newest) return false;
  newest = event.id;
  return true;
}

// What comes while the earlier ones are looked up waits for them.
let held = null;

function take(event) {
  if (held !== null) {
    held.push(event);
    return;
  }
  if (!isNew(event)) return;
  unread += 1;
  feed.push(event);
}

async function past() {
  held ??= [];
  try {
    const { data } = await get("presence/events", { order: "desc", _limit: FIRST, since: newest === 0 ? undefined : newest });
    feed.past(data.reverse().filter(isNew));
  } finally {
    const waiting = held ?? [];
    held = null;
    waiting.forEach(take);
  }
}

async function show(clientId) {
  byId("one").hidden = false;
  byId("one-id").textContent = clientId;
  byId("one-link").href = `/client?id=${encodeURIComponent(clientId)}`;
  await timeline(byId("one-timeline"), clientId).catch((error) => toast(error.message, true));
  byId("one").scrollIntoView({ block: "nearest" });
  byId("one-close").focus({ preventScroll: true });
}

byId("one-close").addEventListener("click", () => {
  byId("one").hidden = true;
});
byId("pause").addEventListener("click", ({ currentTarget: button }) => {
  feed.isPaused = !feed.isPaused;
  button.setAttribute("aria-pressed", String(feed.isPaused));
  button.textContent = feed.isPaused ? "Go on" : "Pause";
});
byId("clear").addEventListener("click", () => feed.clear());
byId("filters").addEventListener("submit", (event) => event.preventDefault());
byId("filters").addEventListener("input", () => {
  for (const row of byId("feed").rows) {
    const { client, event } = row.dataset;
    row.hidden = client !== undefined && !wants({ clientid: client, event });
  }
});

async function check() {
  const { data } = await get("modules/presence");
  byId("stopped").hidden = data.enabled;
}

live("presence/stream", {
  presence: take,
  missed({ count: missed }) {
    feed.missed(missed);
  },
  open: () => past().catch((error) => toast(error.message, true)),
}, byId("live"));

live("overview/stream", { history: counted, sample: (one) => counted([...samples, one]) }, null);

check().catch(() => {});
absent();
setInterval(() => document.hidden || check().catch(() => {}), SUMMARY);

// For those who listen: now and then, and not each event.
setInterval(() => {
  if (unread > 0 && !feed.isPaused) byId("summary").textContent = `${plural(unread, "event")} in the last ${SUMMARY / 1000} seconds.`;
  unread = 0;
}, SUMMARY);
