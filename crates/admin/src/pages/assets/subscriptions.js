// Subscriptions of all clients.

import { get } from "/assets/api.js";
import { clientLink, h } from "/assets/dom.js";
import { pager } from "/assets/pager.js";

pager({
  row: ({ topic, clientid, qos }) => h("tr", {}, h("td.id", {}, topic), h("td.id", {}, clientLink(clientid)), h("td.num", {}, String(qos))),
  empty: "Nobody has subscribed to anything.",
  async load({ clientid, match, qos }, after, limit) {
    const page = after ?? 1;
    const { data, meta } = await get("subscriptions", { clientid, _match_topic: match, qos, _page: page, _limit: limit });
    const isAll = clientid === "" && match === "" && qos === "";
    return { rows: data, next: meta?.hasnext ? page + 1 : null, count: isAll ? meta?.count : undefined };
  },
});
