// Clients: a page at a time, by cursor, however many there are.

import { get } from "/assets/api.js";
import { clientLink, h, state } from "/assets/dom.js";
import { pager } from "/assets/pager.js";
import { number } from "/assets/text.js";

const VERSIONS = { 3: "3.1", 4: "3.1.1", 5: "5.0" };
const said = (text) => (text === "undefined" || text === null || text === undefined || text === "" ? "–" : text);

function row(client) {
  return h("tr", {},
    h("td.id", {}, clientLink(client.clientid)),
    h("td", {}, state(client.connected)),
    h("td.id.minor", {}, said(client.username)),
    h("td.mono", {}, client.connected ? said(client.ip_address) : "–"),
    h("td.minor", {}, VERSIONS[client.proto_ver] ?? String(client.proto_ver)),
    h("td.num.minor", {}, client.connected ? `${number(client.keepalive)} s` : "–"),
    h("td", {}, client.connected ? client.connected_at : said(client.disconnected_at)),
    h("td.num", {}, number(client.subscriptions_cnt)),
    h("td.num", {}, number(client.mqueue_len)),
    h("td.num.minor", {}, number(client.inflight)));
}

pager({
  row,
  empty: "No client has come yet.",
  async load({ text, state: wanted }, after, limit) {
    const { data, meta } = await get("clients", { _limit: limit, _after: after, prefix: text, conn_state: wanted });
    return { rows: data, next: meta.hasnext ? (meta.next ?? data.at(-1).clientid) : null, count: text === "" && wanted === "" ? meta.count : undefined };
  },
});
