// A client's sessions as bars over time, with why each ended.

import { get } from "/assets/api.js";
import { h, s } from "/assets/dom.js";
import { dateTime, lasted, moment, plural } from "/assets/text.js";

const NARROWEST = 200;
const HEIGHT = 64;
const EVENTS = 200;
const USUAL = ["normal", "takeovered", "discarded", "server_shutting_down"];

// Pairs `connected` with the `disconnected` that follows; what is cut off at either end is open there.
export function stays(events) {
  const all = [];
  for (const event of [...events].sort((one, other) => one.id - other.id || one.at - other.at)) {
    const last = all.at(-1);
    if (event.event === "connected") all.push({ from: event.at, to: null, reason: null, address: event.ipaddress });
    else if (last !== undefined && last.to === null) Object.assign(last, { to: event.at, reason: event.reason });
    else all.push({ from: event.connected_at ?? null, to: event.at, reason: event.reason, address: event.ipaddress });
  }
  return all;
}

// As wide as its place, so that its letters are as large as others.
function bars(all, now, width) {
  const first = Math.min(...all.map(({ from, to }) => from ?? to));
  const span = Math.max(now - first, 1000);
  const x = (at) => 4 + ((width - 8) * (at - first)) / span;
  const marks = all.flatMap(({ from, to, reason }) => {
    const [start, end] = [from ?? first, to ?? now];
    const title = s("title", {}, `${moment(start)} to ${to === null ? "now" : moment(to)}, ${lasted(end - start)}${reason ? `: ${reason}` : ""}`);
    const bar = s(to === null ? "rect.bar.open" : "rect.bar", { x: x(start), y: 12, height: 26, width: Math.max(2, x(end) - x(start)), rx: 2 }, title);
    if (to === null) return [bar];
    return [bar, s(USUAL.includes(reason) ? "circle.end" : "circle.end.wrong", { cx: x(end), cy: 8, r: 3.5 }, s("title", {}, reason))];
  });
  const axis = [
    s("line.grid", { x1: 4, x2: width - 4, y1: 42, y2: 42 }),
    s("text", { x: 4, y: 58 }, dateTime(first)),
    s("text", { x: width - 4, y: 58, "text-anchor": "end" }, "now"),
  ];
  const label = `${plural(all.length, "connection")} since ${dateTime(first)}; the table below has them.`;
  return h("div.chart.timeline", {}, s("svg", { viewBox: `0 0 ${width} ${HEIGHT}`, height: HEIGHT, role: "img", "aria-label": label }, axis, marks));
}

function row({ from, to, reason, address }, now) {
  return h("tr", {},
    h("td", {}, from === null ? "–" : dateTime(from)),
    // Why it went belongs to that, and is to be seen on a phone too.
    h("td", {}, to === null ? h("span.state", {}, "still here") : [dateTime(to), h("br"), h("span.reason", {}, reason ?? "–")]),
    h("td.num", {}, from === null ? "–" : lasted((to ?? now) - from)),
    h("td.mono.minor", {}, address ?? "–"));
}

// The connection it has, if any.
export async function connection(clientId) {
  // In order of ids: if there is one of this very id, it is the first of those that begin so.
  const { data: [first] } = await get("presence/clients", { prefix: clientId, _limit: 1 });
  return first?.clientid === clientId ? first : null;
}

// However long ago it came, and whatever is still kept of that.
function withOpen(all, open) {
  if (open === null) return all;
  const last = all.at(-1);
  if (last?.to === null && last.from === open.connected_at) return all;
  return [...all, { from: open.connected_at, to: null, reason: null, address: open.ipaddress }];
}

function keptSince(since) {
  return since === undefined ? [] : [h("p.kept", {}, `Older events are no longer kept (since ${dateTime(since)}).`)];
}

// Shows in `place` when the client came and went.
export async function timeline(place, clientId) {
  const [{ data, meta }, open] = await Promise.all([
    get("presence/events", { clientid: clientId, order: "desc", _limit: EVENTS }),
    connection(clientId),
  ]);
  const [all, now] = [withOpen(stays(data), open), Date.now()];
  const kept = keptSince(meta.kept_since);
  if (all.length === 0) {
    place.replaceChildren(h("p.empty", {}, "It is not known to have come or gone while presence ran."), ...kept);
    return;
  }
  const head = [["th", "Came"], ["th", "Went"], ["th.num", "Lasted"], ["th.minor", "Address"]].map(([kind, text]) => h(kind, { scope: "col" }, text));
  place.replaceChildren(
    bars(all, now, Math.max(NARROWEST, place.clientWidth)),
    h("div.scroll", { role: "region", "aria-label": "Connections", tabindex: 0 },
      h("table", {}, h("thead", {}, h("tr", {}, head)), h("tbody", {}, all.reverse().map((stay) => row(stay, now))))),
    ...kept);
}
