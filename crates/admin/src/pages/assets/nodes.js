// Nodes: who is one with this broker, how far each has read, and clients sent elsewhere before a restart.

import { api, get, part } from "/assets/api.js";
import { ask, byId, during, h, show, toast } from "/assets/dom.js";
import { bytes, dateTime, moment, number, plural } from "/assets/text.js";

const REFRESH = 5000;
// Other nodes are asked by this one, which asks for few things at once.
const AT_ONCE = 4;
const DIGITS = 8;

const here = document.querySelector("header .node").title;

const orNone = (wish) => wish.catch((error) => {
  if (error.status === 0 || error.status === 401) throw error;
  return { data: null };
});

// What a node says of itself; null where it says nothing.
async function askedOf(name, isCluster) {
  const { data: of } = await orNone(get(`nodes/${part(name)}`));
  const { data: cluster } = isCluster ? await orNone(get(`nodes/${part(name)}/cluster`)) : { data: null };
  return { of, cluster };
}

async function load() {
  const [{ data: drain }, { data: nodes }] = await Promise.all([get("drain"), get("nodes")]);
  const cluster = nodes.length > 1 ? (await get("cluster")).data : null;
  const all = cluster?.nodes ?? [{ node: nodes[0].node, state: "live", draining: drain.draining, clients: nodes[0].connections }];
  const said = new Map();
  const live = all.filter(({ state }) => state === "live").map(({ node }) => node);
  for (let at = 0; at < live.length; at += AT_ONCE) {
    await Promise.all(live.slice(at, at + AT_ONCE).map(async (name) => said.set(name, await askedOf(name, cluster !== null))));
  }
  byId("rows").replaceChildren(...all.map((node) => row(node, said.get(node.node) ?? {})));
  byId("rows").removeAttribute("aria-busy");
  byId("legend").hidden = cluster === null;
  byId("about").textContent = cluster === null ? "No other broker is one with this one." : `${plural(live.length, "node lives", "nodes live")}, with ${plural(cluster.online, "client")}.`;
  tell(drain);
}

function stateOf({ node, state, draining }, { of, cluster }) {
  if (state !== "live") return h("span.state.away", {}, state);
  if (of === null) return h("span.state.wrong", {}, "does not answer");
  if (cluster && cluster.differs !== null) return h("span.state.wrong", { title: `It has read something else than ${cluster.differs}.` }, "reads otherwise");
  if (draining) return h("span.state.wrong", {}, "sends clients elsewhere");
  return h("span.state", {}, node === here ? "live, this one" : "live");
}

function row(node, said) {
  const { of, cluster } = said;
  const since = node.since === undefined ? null : h("span", { title: dateTime(node.since) }, moment(node.since));
  return h("tr", { "data-node": node.node },
    h("td.id", {}, node.node),
    h("td", {}, stateOf(node, said)),
    h("td.num", {}, number(node.clients)),
    h("td", {}, since ?? of?.uptime ?? "–"),
    h("td.num", {}, cluster ? plural(cluster.behind, "batch", "batches") : "–"),
    h("td.num.minor", {}, cluster ? number(cluster.position) : "–"),
    h("td.mono.minor", { title: cluster?.digest }, cluster?.digest.slice(0, DIGITS) ?? "–"),
    h("td.minor", {}, of?.version ?? "–"),
    h("td.num.minor", {}, of ? bytes(of.memory_used) : "–"));
}

function tell({ draining, clients, left, until, to }) {
  byId("drain").hidden = draining;
  byId("end").hidden = !draining;
  byId("draining").hidden = !draining;
  if (!draining) return;
  const where = to === null ? "" : ` Those of MQTT 5 are told to go to ${to}.`;
  const text = `Nobody comes in at this node, and its clients are sent elsewhere: ${number(left)} of ${number(clients)} are left, all are told by ${moment(until)}.${where}`;
  if (byId("draining").textContent !== text) byId("draining").textContent = text;
}

byId("drain").addEventListener("click", async () => {
  const over = h("input", { name: "over", value: "1m", required: true, autocomplete: "off" });
  const to = h("input", { name: "to", placeholder: "other nodes, if they say where", autocomplete: "off" });
  const dialog = h("dialog", { "aria-labelledby": "drain-title" },
    h("form", { method: "dialog" },
      h("h2", { id: "drain-title" }, "Send clients elsewhere?"),
      h("p", {}, "This node takes no new clients until it is restarted or takes them again, and /ready says so. Sessions are kept; wills are published."),
      h("label", {}, "Evenly over", over),
      h("label", {}, "To (HOST:PORT)", to),
      h("div.buttons", {},
        // Enter is for the other one.
        h("button", { type: "button", onclick: () => dialog.close("") }, "Cancel"),
        h("button.danger", { value: "yes" }, "Send elsewhere"))));
  if ((await show(dialog)) !== "yes") return;
  const wish = to.value.trim() === "" ? { over: over.value.trim() } : { over: over.value.trim(), to: to.value.trim() };
  await during(byId("drain"), () => api("POST", "drain", wish));
  await load().catch((error) => toast(error.message, true));
});

byId("end").addEventListener("click", async () => {
  if (!(await ask("Take clients again?", "Who was sent elsewhere is not called back.", "Take them"))) return;
  await during(byId("end"), () => api("DELETE", "drain"));
  await load().catch((error) => toast(error.message, true));
});

let isLoading = false;
async function refresh() {
  if (isLoading || document.hidden || document.querySelector("dialog, button:disabled") !== null) return;
  isLoading = true;
  await load().catch(() => {});
  isLoading = false;
}

load().catch((error) => toast(error.message, true));
setInterval(refresh, REFRESH);
