// One client: its connection, its session, its subscriptions, and what modules show of it.

import { api, get, part } from "/assets/api.js";
import { ask, byId, during, facts, h, state, toast } from "/assets/dom.js";
import { bytes, number } from "/assets/text.js";

const REFRESH = 3000;
const NEVER = 4294967295;
const MOST_SUBSCRIPTIONS = 1000;

const id = new URLSearchParams(location.search).get("id") ?? "";
byId("title").textContent = id;
byId("ban").href = `/bans?as=clientid&who=${encodeURIComponent(id)}`;
byId("trace").href = `/trace?id=${encodeURIComponent(id)}`;
document.title = `${id} · Rollcall`;

const known = (text) => (text === "undefined" ? "–" : text);
const of = (value, most) => `${number(value)} of ${number(most)}`;
const expiry = (seconds) => (seconds === NEVER ? "never" : seconds === 0 ? "with the connection" : `after ${number(seconds)} s`);

function show(client) {
  byId("gone").hidden = client !== undefined;
  byId("kick").disabled = client === undefined;
  byId("state").replaceChildren(client === undefined ? "" : state(client.connected));
  byId("connection").replaceChildren(...facts(client?.connected ? [
    ["Address", h("span.mono", {}, `${client.ip_address}:${client.port}`)],
    ["User", h("span.id", {}, known(client.username))],
    ["Protocol", `${client.proto_name} ${{ 3: "3.1", 4: "3.1.1", 5: "5.0" }[client.proto_ver]}`],
    ["Keep alive", client.keepalive === 0 ? "none" : `${number(client.keepalive)} s`],
    ["Clean start", client.clean_start ? "yes" : "no"],
    ["Since", client.connected_at],
    ["Received", client.recv_oct === undefined ? null : `${bytes(client.recv_oct)}, ${number(client.recv_msg)} messages`],
    ["Sent", client.send_oct === undefined ? null : `${bytes(client.send_oct)}, ${number(client.send_msg)} messages`],
  ] : [["State", client === undefined ? "none" : `away since ${client.disconnected_at}`]]));
  byId("session").replaceChildren(...facts(client === undefined ? [["State", "none"]] : [
    ["Began", client.created_at],
    ["Ends", expiry(client.expiry_interval)],
    ["Subscriptions", of(client.subscriptions_cnt, client.max_subscriptions)],
    ["Queue", of(client.mqueue_len, client.max_mqueue)],
    ["Dropped", number(client.mqueue_dropped)],
    ["Inflight", of(client.inflight, client.max_inflight)],
    ["Not released", of(client.awaiting_rel, client.max_awaiting_rel)],
  ]));
}

async function load() {
  const [client] = (await get(`clients/${part(id)}`)).data;
  show(client);
  const subscriptions = client === undefined ? [] : (await get("subscriptions", { clientid: id, _limit: MOST_SUBSCRIPTIONS })).data;
  byId("subscriptions").replaceChildren(...subscriptions.map(({ topic, qos }) => h("tr", {}, h("td.id", {}, topic), h("td.num", {}, String(qos)))));
  byId("no-subscriptions").hidden = subscriptions.length > 0;
}

const panels = [...document.querySelectorAll("[data-panel]")];

async function all() {
  await load();
  await Promise.all(panels.map(async (place) => (await import(place.dataset.panel)).show(place, id)));
}

byId("kick").addEventListener("click", async () => {
  if (!(await ask(`Kick ${id}?`, "Its connection is closed, and its session ends with its subscriptions and its queue. It may come back.", "Kick"))) return;
  await during(byId("kick"), async () => {
    await api("DELETE", `clients/${part(id)}`);
    toast(`${id} is kicked.`);
  });
  await all().catch(() => {});
});

if (id === "") {
  document.title = "No client · Rollcall";
  byId("main").replaceChildren(h("h1", {}, "No client"), h("p.note.bad", { role: "alert" }, "This address names no client: it ends with ", h("code", {}, "?id="), " and the id. ", h("a", { href: "/clients" }, "Clients has all of them.")));
} else {
  all().catch((error) => toast(error.message, true));
  setInterval(() => document.hidden || all().catch(() => {}), REFRESH);
}
