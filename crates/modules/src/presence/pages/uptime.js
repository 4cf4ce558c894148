// What the page of a client shows: for how much of each day it was online, a day a cell.

import { get } from "/assets/api.js";
import { h, s } from "/assets/dom.js";
import { lasted, plural } from "/assets/text.js";

const NARROWEST = 200;
const WIDEST = 32;
const HEIGHT = 64;
const TOP = 12;
const TALL = 30;

const date = (ms) => new Date(ms).toISOString().slice(0, 10);
const percent = (value) => (value === null ? "–" : `${value} %`);

// Pale for the whole day, full as high as the part of it that the client was there; a dot above says that it was away.
function cell({ day, percent: part, online, outages, comings }, at, width) {
  const tall = ((part ?? 0) / 100) * TALL;
  const place = { x: 4 + at * width, width: Math.max(1, width - 2) };
  const words = `${date(day)} UTC: ${percent(part)}, ${lasted(online * 1000)} online, ${plural(outages, "outage")}, came ${plural(comings, "time")}`;
  const dot = outages === 0 ? [] : [s("circle.end", { cx: place.x + place.width / 2, cy: 6, r: Math.min(3, place.width / 2) })];
  return s("g", {}, s("title", {}, words),
    s("rect.bar", { ...place, y: TOP, height: TALL, rx: 1, opacity: 0.2 }),
    s("rect.bar", { ...place, y: TOP + TALL - tall, height: tall, rx: 1 }),
    ...dot);
}

function strip(days, wide, label) {
  const width = Math.min(WIDEST, (wide - 8) / days.length);
  const when = s("text", { x: 4, y: 58 }, `${date(days[0].day)} to ${date(days.at(-1).day)} (UTC)`);
  return h("div.chart.timeline", {},
    s("svg", { viewBox: `0 0 ${wide} ${HEIGHT}`, height: HEIGHT, role: "img", "aria-label": label }, ...days.map((day, at) => cell(day, at, width)), when));
}

export async function show(place, clientId) {
  const { data: [row] } = await get("presence/uptime", { clientid: clientId });
  if (row === undefined || row.days.length === 0) {
    place.replaceChildren(h("p.empty", {}, "Nothing is kept of that yet; the setting Uptime of presence says for how many days it is."));
    return;
  }
  const { percent: part, days, outages, longest_outage: longest, comings } = row;
  const away = outages === 0 ? "never away" : `${plural(outages, "outage")}, the longest ${lasted(longest * 1000)}`;
  const words = `Online for ${percent(part)} of ${plural(days.length, "day")}; ${away}; came ${plural(comings, "time")}.`;
  place.replaceChildren(strip(days, Math.max(NARROWEST, place.clientWidth), words), h("p.kept", {}, words));
}
