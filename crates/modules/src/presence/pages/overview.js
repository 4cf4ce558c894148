// On the overview: how many are away, who came and went last, why, and who does so most.

import { get } from "/assets/api.js";
import { clientLink, facts, h } from "/assets/dom.js";
import { moment, number, plural } from "/assets/text.js";

// Events that are looked at; the newest of them are shown.
const LOOKED_AT = 300;
const SHOWN = 8;
const MOST = 5;

const counted = (names) => [...names.reduce((counts, name) => counts.set(name, (counts.get(name) ?? 0) + 1), new Map())].sort(([, a], [, b]) => b - a).slice(0, MOST);

const row = ({ at, event, clientid, reason }) => h("tr", {},
  h("td", {}, moment(at)), h(event === "connected" ? "td.came" : "td.went", {}, event === "connected" ? "came" : "went"),
  h("td.id", {}, clientLink(clientid)), h("td.wrap", {}, reason ?? ""));

const list = (pairs, name) => (pairs.length === 0 ? "none" : h("ul.plain", {}, pairs.map(([of, count]) => h("li", {}, name(of), ` ${number(count)}`))));

export async function show(place) {
  const [module, nodes, { data: events }] = await Promise.all([
    get("modules/presence"), get("nodes"), get("presence/events", { order: "desc", _limit: LOOKED_AT })]);
  const online = nodes.data.reduce((sum, node) => sum + node.connections, 0);
  const away = Math.max(0, module.data.counters["clients.known"] - online);
  const went = events.filter(({ event }) => event === "disconnected");
  // Who comes once is no flapper.
  const often = counted(events.filter(({ event }) => event === "connected").map(({ clientid }) => clientid)).filter(([, count]) => count > 1);
  const looked = plural(events.length, "event");
  place.replaceChildren(
    h("dl.facts", {}, facts([
      ["Offline", `${number(away)} of ${number(away + online)} that are known`],
      [`Reasons, last ${looked}`, list(counted(went.map(({ reason }) => reason)), (reason) => reason)],
      [`Most often, last ${looked}`, list(often, clientLink)],
    ])),
    events.length === 0 ? h("p.hint", {}, "Nobody has come yet.") : h("div.scroll", { role: "region", "aria-label": "Last events", tabindex: 0 }, h("table.feed", {},
      h("thead", {}, h("tr", {}, ["Time", "Event", "Client", "Reason"].map((title) => h("th", { scope: "col" }, title)))),
      h("tbody", {}, events.slice(0, SHOWN).map(row)))));
}
