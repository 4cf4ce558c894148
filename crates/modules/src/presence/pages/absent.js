// Who is missed by a rule, as long as anybody is.

import { get } from "/assets/api.js";
import { byId, clientLink, h } from "/assets/dom.js";
import { lasted, moment, number } from "/assets/text.js";

const ROWS = 50;
const EVERY = 5000;

function row({ name, clientid, state, since, after, reason }) {
  const what = h(state === "absent" ? "span.state.wrong" : "span.state.away", {}, state);
  const cells = [clientLink(clientid), what, name, `${moment(since)} (over ${lasted(after * 1000)})`, reason ?? ""];
  return h("tr", {}, ...cells.map((cell) => h("td", {}, cell)));
}

async function refresh() {
  const { data, meta } = await get("presence/absent", { _limit: ROWS });
  byId("absent").hidden = data.length === 0;
  byId("absent-rows").replaceChildren(...data.map(row));
  byId("absent-more").textContent = meta.hasnext ? `The first ${number(ROWS)} of them.` : "";
}

// Not told here: what is wrong with the connection the page says elsewhere.
export function absent() {
  refresh().catch(() => {});
  setInterval(() => document.hidden || refresh().catch(() => {}), EVERY);
}
