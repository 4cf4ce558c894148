// Roster: who is expected, and how it is with them.

import { api, get, part } from "/assets/api.js";
import { ask, byId, clientLink, during, h, show, toast } from "/assets/dom.js";
import { pager } from "/assets/pager.js";
import { dateTime, moment, number, plural } from "/assets/text.js";
import { read, table } from "./roster_file.js";

const EVERY = 5000;
const GROUPS = 50;
const MOST = 10000;
// Bytes of one change; the broker takes twice as many.
const PIECE = 1 << 20;
const SHOWN = 10;
const LARGEST = 64 << 20;
// Milliseconds.
const HOUR = 3600000;
const SPANS = [["1 hour", HOUR], ["4 hours", 4 * HOUR], ["1 day", 24 * HOUR], ["1 week", 168 * HOUR], ["30 days", 720 * HOUR]];

const KINDS = { online: "span.state", maintenance: "span.state.away", offline: "span.state.away", unexpected: "span.state.away" };
const words = (state) => state.replaceAll("_", " ");

// As the broker is told of a client.
const member = ({ clientid, tags, keepalive, maintenance_until: until }) => ({ clientid, tags, keepalive, maintenance_until: until });

const tagLinks = (tags) => tags.flatMap((tag, at) => [at === 0 ? "" : " ", h("a", { href: `?tag=${encodeURIComponent(tag)}` }, tag)]);

function row(client) {
  const { clientid, state, since, tags, rules, reason, maintenance_until: until } = client;
  const button = (text, kind, act) => h(`button.small${kind}`, { type: "button", "data-change": "admin", "aria-label": `${text} ${clientid}`, onclick: ({ currentTarget }) => act(currentTarget, client) }, text);
  const isListed = state !== "unexpected";
  const how = h(KINDS[state] ?? "span.state.wrong", {}, words(state));
  return h("tr", { "data-client": clientid },
    h("td.id", {}, clientLink(clientid)),
    h("td", {}, how, until !== undefined && until > Date.now() ? ` until ${when(until)}` : ""),
    h("td", {}, since === undefined ? "–" : moment(since)),
    h("td.wrap", {}, tagLinks(tags)),
    h("td", {}, (rules ?? []).join(", ")),
    h("td.minor", {}, reason ?? ""),
    h("td.num", {}, h("span.buttons", {},
      isListed ? [button("Maintenance", "", maintain), button("Remove", ".danger", remove)] : button("Expect", "", expect))));
}

// A year that no calendar has is for good.
const when = (ms) => (ms > 8.64e15 ? "for good" : dateTime(ms));

const list = pager({
  row,
  empty: "Nobody is on the roster. Import a file below, or ask for state “unexpected” to see who is known and not on it.",
  async load({ text, tag, state }, after, limit) {
    const { data, meta } = await get("presence/roster", { prefix: text, tag, state, _after: after, _limit: limit });
    return { rows: data, next: meta.hasnext ? meta.next : null };
  },
});

async function done(button, work, text) {
  await during(button, async () => {
    await work();
    toast(text);
  });
  list.show();
  groups().catch(() => {});
}

const put = (members) => api("PUT", "presence/roster", { members });

async function maintain(button, client) {
  const spans = SPANS.map(([name, ms]) => h("option", { value: ms }, `for ${name}`));
  const form = h("form", { method: "dialog" },
    h("h2", { id: "maintain-title" }, `Maintenance of ${client.clientid}`),
    h("label", {}, "It need not be there", h("select", { name: "span" }, spans, h("option", { value: 0 }, "no more: it is over"))),
    h("div.buttons", {}, h("button", { value: "" }, "Cancel"), h("button.main", { value: "yes" }, "Set")));
  if ((await show(h("dialog", { "aria-labelledby": "maintain-title" }, form))) !== "yes") return;
  const span = Number(form.elements.span.value);
  const until = span === 0 ? null : Date.now() + span;
  await done(button, () => put([{ ...member(client), maintenance_until: until }]), until === null ? `${client.clientid} is in maintenance no more.` : `${client.clientid} is in maintenance until ${dateTime(until)}.`);
}

async function remove(button, { clientid }) {
  if (!(await ask(`Take ${clientid} off the roster?`, "It is expected no more; nothing changes for its connection.", "Remove"))) return;
  await done(button, () => api("DELETE", `presence/roster/${part(clientid)}`), `${clientid} is not on the roster any more.`);
}

const expect = (button, { clientid }) => done(button, () => put([{ clientid }]), `${clientid} is on the roster.`);

async function groups() {
  const { data } = await get("presence/groups");
  const tags = data.filter(({ tag }) => tag !== null);
  const counts = ["members", "online", "offline", "absent", "silent", "never_seen", "maintenance"];
  byId("groups").hidden = tags.length === 0;
  byId("group-rows").replaceChildren(...tags.slice(0, GROUPS).map((group) => h("tr", { "data-tag": group.tag },
    h("td.id", {}, tagLinks([group.tag])), ...counts.map((count) => h("td.num", {}, number(group[count]))))));
  byId("groups-more").textContent = tags.length > GROUPS ? `The first ${number(GROUPS)} of ${number(tags.length)}.` : "";
}

// All of the roster, and not the page alone.
async function all() {
  const members = [];
  for (let after; ;) {
    const { data, meta } = await get("presence/roster", { _limit: MOST, _after: after });
    members.push(...data.map(member));
    if (!meta.hasnext) return members;
    after = meta.next;
  }
}

async function save(name, type, write) {
  const members = await all();
  const link = h("a", { href: URL.createObjectURL(new Blob([write(members)], { type })), download: name });
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 10000);
  toast(`${plural(members.length, "client")} of the roster: ${name}.`);
}

const form = byId("import");
let found = [];

function preview({ members, errors }) {
  found = errors.length === 0 ? members : [];
  byId("take").disabled = found.length === 0;
  const lines = errors.slice(0, SHOWN).map(({ at, why }) => h("li", {}, `${at}: ${why}`));
  const more = errors.length > SHOWN ? h("li", {}, `… and ${number(errors.length - SHOWN)} more`) : null;
  const wrong = errors.length === 0 ? null : h("div.note.bad", {}, h("p", {}, `${plural(errors.length, "thing is", "things are")} wrong, and nothing is imported:`), h("ul", {}, lines, more));
  const rows = members.slice(0, SHOWN).map(({ clientid, tags, keepalive, maintenance_until: until }) => h("tr", {},
    h("td.id", {}, clientid), h("td.wrap", {}, tags.join(" ")), h("td.num", {}, keepalive ?? ""), h("td", {}, until === null ? "" : when(until))));
  const head = ["Client", "Tags", "Keep alive", "Maintenance until"].map((name) => h("th", { scope: "col" }, name));
  const some = members.length === 0 ? null : [
    h("p", {}, `${plural(members.length, "client")} in the file${members.length > SHOWN ? `; the first ${SHOWN}:` : ":"}`),
    h("div.scroll", { role: "region", "aria-label": "Preview", tabindex: 0 }, h("table", {}, h("thead", {}, h("tr", {}, head)), h("tbody", {}, rows)))];
  byId("preview").replaceChildren(...[wrong, some].flat().filter((it) => it !== null));
}

form.elements.file.addEventListener("change", async ({ target }) => {
  const [file] = target.files;
  preview({ members: [], errors: [] });
  if (file === undefined) return;
  const said = file.size > LARGEST ? { members: [], errors: [{ at: file.name, why: "it is over 64 MiB; use rollcall roster import" }] } : read(file.name, await file.text());
  // Another one may have been chosen meanwhile.
  if (target.files[0] === file) preview(said);
});

// All of them, in changes as long as may be.
function* pieces(all) {
  let [piece, bytes] = [[], 0];
  for (const one of all) {
    const size = JSON.stringify(one).length * 3 + 1;
    if (bytes + size > PIECE && piece.length > 0) {
      yield piece;
      [piece, bytes] = [[], 0];
    }
    piece.push(one);
    bytes += size;
  }
  if (piece.length > 0) yield piece;
}

form.addEventListener("submit", async (event) => {
  event.preventDefault();
  const [members, isAll] = [found, form.elements.replace.checked];
  await during(event.submitter ?? byId("take"), async () => {
    let surplus = [];
    if (isAll) {
      const ids = new Set(members.map(({ clientid }) => clientid));
      surplus = (await all()).map(({ clientid }) => clientid).filter((id) => !ids.has(id));
      if (surplus.length > 0 && !(await ask(`Take ${plural(surplus.length, "client")} off the roster?`, "They are not in the file.", "Import"))) return;
    }
    const sum = { added: 0, changed: 0, removed: 0 };
    const changes = [...[...pieces(members)].map((some) => ({ members: some })), ...[...pieces(surplus)].map((some) => ({ remove: some }))];
    for (const change of changes) {
      const { data } = await api("PUT", "presence/roster", change);
      for (const what of Object.keys(sum)) sum[what] += data[what];
    }
    toast(`${number(members.length)} read: ${number(sum.added)} added, ${number(sum.changed)} changed, ${number(sum.removed)} removed.`);
    form.reset();
    byId("preview").replaceChildren();
    found = [];
  });
  byId("take").disabled = found.length === 0;
  list.show();
  groups().catch(() => {});
});

byId("csv").addEventListener("click", ({ currentTarget }) => during(currentTarget, () => save("roster.csv", "text/csv", table)));
byId("json").addEventListener("click", ({ currentTarget }) => during(currentTarget, () => save("roster.json", "application/json", (members) => `${JSON.stringify(members, null, 1)}\n`)));

get("modules/presence").then(({ data }) => {
  byId("stopped").hidden = data.enabled;
}).catch(() => {});
groups().catch(() => {});
setInterval(() => document.hidden || groups().catch(() => {}), EVERY);
