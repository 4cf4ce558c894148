// Users: names and passwords of clients.

import { api, get, part } from "/assets/api.js";
import { ask, byId, during, h, show, toast } from "/assets/dom.js";
import { dateTime } from "/assets/text.js";

const ROWS = 100;

let next = null;

async function load(after) {
  const { data, meta } = await get("auth/users", { _limit: ROWS, _after: after });
  const rows = data.map(row);
  if (after === undefined) byId("rows").replaceChildren(...rows);
  else byId("rows").append(...rows);
  next = meta.hasnext ? meta.next : null;
  byId("more").hidden = next === null;
  byId("empty").hidden = byId("rows").rows.length > 0;
}

function row({ username, created_at: since }) {
  const button = (text, kind, act) => h(`button.small${kind}`, { type: "button", "data-change": "admin", "aria-label": `${text} ${username}`, onclick: (event) => act(event.currentTarget, username) }, text);
  return h("tr", { "data-user": username },
    h("td.id", {}, username), h("td.minor", {}, dateTime(since)),
    h("td.num", {}, h("span.buttons", {}, button("Password", "", change), button("Remove", ".danger", remove))));
}

async function done(button, work, text) {
  await during(button, async () => {
    const answer = await work();
    toast(answer.data?.note ? `${text} Mind: ${answer.data.note}.` : text);
  });
  await load().catch((error) => toast(error.message, true));
}

async function change(button, username) {
  const form = h("form", { method: "dialog" },
    h("h2", { id: "change-title" }, `Another password for ${username}`),
    h("label", {}, "New password", h("input", { name: "password", type: "password", autocomplete: "new-password", maxlength: 4096, required: true })),
    h("p.hint", {}, "Who is connected stays, and is asked for it when it comes again."),
    h("div.buttons", {}, h("button", { value: "", formnovalidate: true }, "Cancel"), h("button.main", { value: "yes" }, "Change")));
  if ((await show(h("dialog", { "aria-labelledby": "change-title" }, form))) !== "yes") return;
  const { password } = Object.fromEntries(new FormData(form));
  await done(button, () => api("PUT", `auth/users/${part(username)}`, { password }), `${username} has another password.`);
}

async function remove(button, username) {
  if (!(await ask(`Remove ${username}?`, "Clients can’t come in by this name any more; those that are connected stay.", "Remove"))) return;
  await done(button, () => api("DELETE", `auth/users/${part(username)}`), `${username} is removed.`);
}

byId("add").addEventListener("submit", async (event) => {
  event.preventDefault();
  const form = event.target;
  const said = Object.fromEntries(new FormData(form));
  await done(event.submitter, async () => {
    const answer = await api("POST", "auth/users", said);
    form.reset();
    return answer;
  }, `${said.username} may come in.`);
});
byId("more").addEventListener("click", ({ currentTarget }) => during(currentTarget, () => load(next)));

get("modules/users").then(({ data }) => {
  byId("stopped").hidden = data.enabled;
}).catch(() => {});
load().catch((error) => toast(error.message, true));
