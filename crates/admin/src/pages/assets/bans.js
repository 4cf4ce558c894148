// Bans: who may not come in, and until when.

import { api, get, part } from "/assets/api.js";
import { ask, byId, during, h, toast } from "/assets/dom.js";
import { dateTime, number } from "/assets/text.js";

const KINDS = { clientid: "client id", username: "user name", peerhost: "address" };
// The end of the year 9999.
const FOR_GOOD = 253402300799;
const LIMIT = 100;
const REFRESH = 10000;

let shown = LIMIT;

async function load() {
  const { data, meta } = await get("banned", { _limit: shown });
  const focused = document.activeElement?.dataset?.key;
  byId("rows").replaceChildren(...data.map(row));
  if (focused !== undefined) byId("rows").querySelector(`[data-key="${CSS.escape(focused)}"]`)?.focus();
  byId("empty").hidden = data.length > 0;
  byId("total").textContent = meta.count === 0 ? "" : `${number(meta.count)} in all`;
  byId("more").hidden = !meta.hasnext;
}

function row({ as, who, reason, by, at, until }) {
  return h("tr", {},
    h("td", {}, KINDS[as] ?? as), h("td.id", {}, who),
    h("td", {}, until >= FOR_GOOD ? "for good" : dateTime(until * 1000)),
    h("td.id", {}, by), h("td.minor", {}, dateTime(at * 1000)), h("td.wrap", {}, reason),
    h("td.num", {}, h("button.small", { type: "button", "data-change": "operator", "data-key": `${as} ${who}`, "aria-label": `Lift the ban of ${KINDS[as] ?? as} ${who}`, onclick: (event) => lift(event.currentTarget, as, who) }, "Lift")));
}

async function lift(button, as, who) {
  if (!(await ask("Lift this ban?", `${KINDS[as] ?? as} ${who} may come in again.`, "Lift"))) return;
  await during(button, async () => {
    await api("DELETE", `banned/${part(as)}/${part(who)}`);
    toast("The ban is lifted.");
  });
  await load().catch((error) => toast(error.message, true));
}

byId("add-ban").addEventListener("submit", async (event) => {
  event.preventDefault();
  const form = event.target;
  const { as, who, for: lasts, reason } = Object.fromEntries(new FormData(form));
  if (!(await ask(`Ban this ${KINDS[as]}?`, `${who}: whoever is connected so goes now, and may not come back ${lasts === "" ? "until the ban is lifted" : "before it ends"}.`, "Ban"))) return;
  await during(event.submitter, async () => {
    const now = Math.floor(Date.now() / 1000);
    await api("POST", "banned", { as, who, reason, by: document.body.dataset.me, at: now, until: lasts === "" ? FOR_GOOD : now + Number(lasts) });
    form.reset();
    toast(`${who} is banned.`);
  });
  await load().catch((error) => toast(error.message, true));
});

byId("more").addEventListener("click", () => {
  shown += LIMIT;
  load().catch((error) => toast(error.message, true));
});

// From the page of a client.
const { as, who } = Object.fromEntries(new URLSearchParams(location.search));
if (who !== undefined) {
  byId("add-ban").elements.as.value = as in KINDS ? as : "clientid";
  byId("add-ban").elements.who.value = who;
}

load().catch((error) => toast(error.message, true));
setInterval(() => {
  if (!document.hidden && document.querySelector("dialog, button:disabled") === null) load().catch(() => {});
}, REFRESH);
