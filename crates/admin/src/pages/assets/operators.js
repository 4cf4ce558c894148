// Operators: who may log in on the dashboard, and what they may do.

import { api, get, part } from "/assets/api.js";
import { ask, byId, during, h, show, toast } from "/assets/dom.js";
import { dateTime } from "/assets/text.js";

const ROLES = ["viewer", "operator", "admin"];
const me = document.body.dataset.me;

// The configuration says the password of admin, who then can't be changed here.
let isConfigured = false;

async function load() {
  const { data } = await get("users");
  byId("rows").replaceChildren(...data.map(row));
}

function row(operator) {
  const { username, role, tags, created_at: since } = operator;
  const button = (text, kind, act) => h(`button.small${kind}`, { type: "button", "data-change": "admin", "aria-label": `${text} ${username}`, onclick: (event) => act(event.currentTarget, operator) }, text);
  return h("tr", { "data-operator": username },
    h("td.id", {}, username, username === me ? h("small", {}, " (you)") : null),
    h("td", {}, role), h("td.wrap.minor", {}, tags), h("td.minor", {}, since === null ? "–" : dateTime(since)),
    h("td.num", {}, isConfigured && username === "admin" ? h("small", {}, "set by the configuration") : h("span.buttons", {}, button("Change", "", change), button("Remove", ".danger", remove))));
}

async function done(button, work, text) {
  await during(button, async () => {
    await work();
    toast(text);
  });
  await load().catch((error) => toast(error.message, true));
}

async function change(button, { username, role, tags }) {
  const form = h("form", { method: "dialog" },
    h("h2", { id: "change-title" }, `Change ${username}`),
    h("label", {}, "Role", h("select", { name: "role" }, ROLES.map((one) => h("option", { selected: one === role }, one)))),
    h("label", {}, "About", h("input", { name: "tags", value: tags, autocomplete: "off", maxlength: 200 })),
    h("label", {}, "New password, if they have forgotten theirs", h("input", { name: "password", type: "password", autocomplete: "new-password", minlength: 8, maxlength: 1024 })),
    h("p.hint", {}, "Another role or password ends their logins."),
    h("div.buttons", {}, h("button", { value: "", formnovalidate: true }, "Cancel"), h("button.main", { value: "yes" }, "Change")));
  if ((await show(h("dialog", { "aria-labelledby": "change-title" }, form))) !== "yes") return;
  const said = Object.fromEntries(new FormData(form));
  const changed = { tags: said.tags };
  if (said.role !== role) changed.role = said.role;
  if (said.password !== "") changed.password = said.password;
  await done(button, () => api("PUT", `users/${part(username)}`, changed), `${username} is changed.`);
}

async function remove(button, { username }) {
  if (!(await ask(`Remove ${username}?`, "They are logged out and can’t log in any more.", "Remove"))) return;
  await done(button, () => api("DELETE", `users/${part(username)}`), `${username} is removed.`);
}

byId("add").addEventListener("submit", async (event) => {
  event.preventDefault();
  const form = event.target;
  const said = Object.fromEntries(new FormData(form));
  await done(event.submitter, async () => {
    await api("POST", "users", said);
    form.reset();
  }, `${said.username} may log in.`);
});

get("settings").then(({ data }) => {
  isConfigured = data.some(({ key, place }) => key === "admin.password" && place !== null);
  return load();
}).catch((error) => toast(error.message, true));
