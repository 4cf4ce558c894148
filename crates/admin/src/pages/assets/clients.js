// Clients: a page at a time, by cursor, however many there are.

import { get } from "/assets/api.js";
import { byId, clientLink, during, h, state, toast } from "/assets/dom.js";
import { pager } from "/assets/pager.js";
import { number } from "/assets/text.js";

const VERSIONS = { 3: "3.1", 4: "3.1.1", 5: "5.0" };
const said = (text) => (text === "undefined" || text === null || text === undefined || text === "" ? "–" : text);

const tagLinks = (tags) => tags.flatMap((tag, at) => [at === 0 ? "" : " ", h("a", { href: `?tag=${encodeURIComponent(tag)}` }, tag)]);

function row(client) {
  return h("tr", {},
    h("td.id", {}, clientLink(client.clientid)),
    h("td", {}, state(client.connected)),
    h("td.id.minor", {}, said(client.username)),
    h("td.minor", {}, tagLinks(client.tags ?? [])),
    h("td.mono", {}, said(client.ip_address)),
    h("td.minor", {}, VERSIONS[client.proto_ver] ?? String(client.proto_ver)),
    h("td.num.minor", {}, client.connected ? `${number(client.keepalive)} s` : "–"),
    h("td", {}, client.connected ? client.connected_at : said(client.disconnected_at)),
    h("td.num", {}, number(client.subscriptions_cnt)),
    h("td.num", {}, number(client.mqueue_len)),
    h("td.num.minor", {}, number(client.inflight)));
}

// What is asked for, in the words of the API.
const asked = ({ text, user, address, tag, version, state: wanted }) => ({ prefix: text, _like_username: user, ip_address: address, tag, proto_ver: version, conn_state: wanted });

pager({
  row,
  empty: "No client has come yet.",
  async load(query, after, limit) {
    const { data, meta, missing = [] } = await get("clients", { _limit: limit, _after: after, ...asked(query) });
    for (const { node, message } of missing) toast(`Clients of ${node} are not shown: ${message}`, true);
    const isAll = Object.values(query).every((value) => value === "");
    return { rows: data, next: meta.next ?? null, count: isAll ? meta.count : undefined };
  },
});

const COLUMNS = ["clientid", "connected", "username", "tags", "ip_address", "port", "proto_ver", "keepalive", "clean_start", "connected_at", "disconnected_at", "created_at", "subscriptions_cnt", "mqueue_len", "mqueue_dropped", "inflight"];
const MOST = 10000;

// What a spreadsheet would take for a formula is text.
function cell(value) {
  const text = String(value ?? "").replace(/^[=+\-@\t\r]/, "'$&");
  return /[",\r\n]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text;
}

// All that match, and not the page alone.
async function csv() {
  const query = asked(Object.fromEntries(new FormData(byId("filters"))));
  const lines = [COLUMNS.join(",")];
  for (let after; ;) {
    const { data, meta, missing = [] } = await get("clients", { _limit: MOST, _after: after, ...query });
    // A file does not say what is not in it.
    for (const { node, message } of missing) throw new Error(`Clients of ${node} are not told: ${message}`);
    lines.push(...data.map((client) => COLUMNS.map((name) => cell(name === "tags" ? (client.tags ?? []).join(";") : client[name] === "undefined" ? "" : client[name])).join(",")));
    if (!meta.hasnext) break;
    after = meta.next;
  }
  const link = h("a", { href: URL.createObjectURL(new Blob([`${lines.join("\r\n")}\r\n`], { type: "text/csv" })), download: "clients.csv" });
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 10000);
  toast(`${number(lines.length - 1)} clients are in clients.csv.`);
}

byId("csv").addEventListener("click", ({ currentTarget }) => during(currentTarget, csv));
