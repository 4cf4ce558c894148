// Listeners: where the broker takes connections.

import { get } from "/assets/api.js";
import { byId, h, toast } from "/assets/dom.js";
import { number } from "/assets/text.js";

async function load() {
  const { data } = await get("listeners");
  const all = data.flatMap((ofNode) => ofNode.listeners ?? [ofNode]);
  byId("rows").replaceChildren(...all.map((listener) => h("tr", {},
    h("td", {}, listener.name),
    h("td", {}, listener.protocol),
    h("td.mono", {}, String(listener.listen_on)),
    h("td.num", {}, number(listener.current_conns ?? 0)),
    h("td.num", {}, listener.max_conns === undefined ? "–" : number(listener.max_conns)))));
  byId("empty").hidden = all.length > 0;
  byId("empty").textContent = "There is none.";
}

load().catch((error) => toast(error.message, true));
setInterval(() => document.hidden || load().catch(() => {}), 5000);
