// Settings: the password, keys for scripts, and what the broker was told.

import { api, get, part, toLogin } from "/assets/api.js";
import { ask, byId, during, h, show, toast } from "/assets/dom.js";
import { dateTime } from "/assets/text.js";

const me = document.body.dataset.me;
byId("password").elements.username.value = me;

byId("password").addEventListener("submit", async (event) => {
  event.preventDefault();
  const form = event.target;
  const [old, fresh, again] = ["old", "new", "again"].map((name) => form.elements[name].value);
  if (fresh !== again) {
    toast("The new password is not the same both times.", true);
    form.elements.again.focus();
    return;
  }
  await during(event.submitter, async () => {
    await api("PUT", `change_pwd/${part(me)}`, { old_pwd: old, new_pwd: fresh }).catch((error) => {
      throw error.message === "old password error" ? new Error("The present password is wrong.") : error;
    });
    form.reset();
    toast("The password is changed. Log in again.");
    setTimeout(toLogin, 1500);
  });
});

async function keys() {
  const { data } = await get("admin/keys");
  byId("keys").replaceChildren(...data.map(({ name, role, created_at: since }) => h("tr", {},
    h("td.id", {}, name), h("td", {}, role), h("td", {}, dateTime(since)),
    h("td.num", {}, h("button.small.danger", { type: "button", "data-change": "admin", "aria-label": `Remove key ${name}`, onclick: (event) => remove(event.currentTarget, name) }, "Remove")))));
  byId("no-keys").hidden = data.length > 0;
}

async function remove(button, name) {
  if (!(await ask(`Remove key ${name}?`, "Scripts that use it can’t come in from now on.", "Remove"))) return;
  await during(button, () => api("DELETE", `admin/keys/${part(name)}`));
  await keys();
}

byId("add-key").addEventListener("submit", async (event) => {
  event.preventDefault();
  const form = event.target;
  const name = form.elements.name.value;
  await during(event.submitter, async () => {
    const { data } = await api("POST", "admin/keys", { name, role: form.elements.role.value });
    form.reset();
    await keys();
    await show(h("dialog", { "aria-labelledby": "key-title" }, h("form", { method: "dialog" },
      h("h2", { id: "key-title" }, `Key ${name}`),
      h("p", {}, "This is its secret, shown this once:"),
      h("pre", { tabindex: 0, id: "secret" }, data.secret),
      h("div.buttons", {}, h("button", { value: "" }, "I have it")))));
  });
});

let settings = [];

function list() {
  const [text, saidOnly] = [byId("find").value.toLowerCase(), byId("said-only").checked];
  const wanted = settings.filter(({ key, about, place }) => (!saidOnly || place !== null) && `${key} ${about}`.toLowerCase().includes(text));
  const sections = Map.groupBy(wanted, ({ key }) => (key.includes(".") ? key.slice(0, key.lastIndexOf(".")) : "general"));
  const shown = [...sections].map(([section, rows]) => h("section.card", {}, h("h3", {}, section),
    h("div.scroll", { role: "region", "aria-label": section, tabindex: 0 }, h("table.settings", {},
      h("thead", {}, h("tr", {}, ["Key", "Value", "Where it was said", "What it means"].map((title) => h("th", { scope: "col" }, title)))),
      h("tbody", {}, rows.map(({ key, value, place, about }) => h("tr", {},
        h("td.mono", {}, key.split(".").at(-1)), h("td.mono.wrap", {}, value ?? (place === null ? "not set" : "a secret")), h("td.wrap", {}, place ?? "default"), h("td.wrap.about", {}, about))))))));
  byId("configuration").replaceChildren(...(shown.length > 0 ? shown : [h("p.empty", {}, "Nothing matches.")]));
}

byId("find").addEventListener("input", list);
byId("said-only").addEventListener("change", list);

// Who has come in with a key has no password.
get("users").then(({ data }) => {
  if (data.some(({ username }) => username === me)) return;
  byId("password").hidden = true;
  byId("password-about").textContent = `${me} is a key, which has a secret and no password.`;
}).catch(() => {});

const failed = (error) => toast(error.message, true);
keys().catch(failed);
get("settings").then(({ data }) => {
  settings = data;
  list();
}).catch(failed);
