// Modules: those that are added, and the catalogue.

import { api, get, part } from "/assets/api.js";
import { ask, byId, during, facts, h, show, toast } from "/assets/dom.js";
import { fields, read } from "/assets/form.js";
import { dateTime, lasted, number, plural } from "/assets/text.js";

// EMQ X's catalogue has six groups; a group without modules is not shown.
const GROUPS = { module: "Local modules", auth: "Authentication", protocol: "Protocols", message: "Message publish", extension: "Extensions", devops: "Monitoring" };

const REFRESH = 5000;

const list = byId("modules");
let modules = [];
// What is open and said in each card outlives a refresh.
const cards = new Map();

const grouped = (some) => Object.entries(GROUPS).map(([key, title]) => [title, some.filter((module) => module.group === key)]).filter(([, ofGroup]) => ofGroup.length > 0);

async function load() {
  const { data } = await get("module_types");
  const types = Object.keys(GROUPS).flatMap((group) => data[group] ?? []);
  modules = await Promise.all(types.map(async ({ type }) => (await get(`modules/${part(type)}`)).data));
  const added = modules.filter((module) => module.added);
  const sections = grouped(added).map(([title, ofGroup]) => h("section.group", {}, h("h2", {}, title), ofGroup.map(card)));
  if (sections.length === 0) sections.push(h("p.empty", {}, "No module is added. “Add module” shows what there is."));
  const focused = document.activeElement?.dataset?.key;
  list.replaceChildren(...sections);
  if (focused !== undefined) list.querySelector(`[data-key="${CSS.escape(focused)}"]`)?.focus();
  list.setAttribute("aria-busy", "false");
}

async function change(button, work, done) {
  await during(button, async () => {
    await work();
    toast(done);
  });
  await load().catch((error) => toast(error.message, true));
}

function card(module) {
  const known = cards.get(module.id) ?? { result: h("div.result", { role: "status" }), settings: null };
  cards.set(module.id, known);
  const id = part(module.id);
  const button = (text, kind, act) => h(`button.${kind}`, { type: "button", "data-change": "admin", "data-key": `${module.id} ${text}`, "aria-describedby": `title-${module.id}`, onclick: (event) => act(event.currentTarget) }, text);
  const start = (it) => change(it, () => api("PUT", `modules/${id}/load`), `${module.title} runs.`);
  const stop = async (it) => {
    if (await ask(`Stop ${module.title}?`, module.stop_warning, "Stop")) {
      await change(it, () => api("PUT", `modules/${id}/unload`), `${module.title} is stopped.`);
    }
  };
  const remove = async (it) => {
    if (await ask(`Remove ${module.title}?`, "It is stopped, taken off this list, and its settings are forgotten. It can be added again.", "Remove")) {
      await change(it, () => api("POST", `modules/${id}/remove`), `${module.title} is removed.`);
    }
  };
  known.settings ??= settings(module);
  const status = module.error ? h("span.state.wrong", {}, "did not start") : module.enabled ? h("span.state", {}, "running") : h("span.state.away", {}, "stopped");
  return h("article.card.module", { "aria-labelledby": `title-${module.id}`, "data-module": module.id },
    h("div.head", {}, h("h3", { id: `title-${module.id}` }, module.title), status),
    h("p.about", {}, module.description),
    module.error ? h("p.note.bad", { role: "alert" }, `Last error: ${module.error}`) : null,
    h("dl.facts", {}, facts([
      ["Name", h("code", {}, module.id)],
      ["Running for", module.enabled && module.started_at ? h("span", { title: dateTime(module.started_at) }, lasted(Date.now() - module.started_at)) : "–"],
      ...Object.entries(module.counters ?? {}).map(([name, count]) => [name.replaceAll(/[._]/g, " ").replace(/^./, (first) => first.toUpperCase()), number(count)]),
      ["Panics since its start", number(module.panics)],
    ])),
    h("div.buttons", {},
      module.enabled ? button("Stop", "danger", stop) : button("Start", "main", start),
      module.testable ? button("Test", "test", (it) => test(it, module, known.result)) : null,
      button("Remove", "remove", remove)),
    known.result,
    known.settings);
}

function settings(module) {
  if (module.settings.length === 0) return h("p.hint", {}, "No configuration needed.");
  const form = h("form.stack", {
    "aria-label": `Settings of ${module.title}`,
    onsubmit: async (event) => {
      event.preventDefault();
      await change(event.submitter, () => api("PUT", `modules/${part(module.id)}/config`, read(form, module.settings)), `Settings of ${module.title} are kept.`);
    },
  }, fields(module.settings, module.config), h("button", { "data-change": "admin" }, "Save settings"));
  return h("details", { "data-settings": module.id }, h("summary", {}, "Settings"), h("p.hint", {}, "No configuration needed; these may be changed. A running module is restarted with them."), form);
}

async function test(button, module, result) {
  result.replaceChildren(h("p", {}, "A client of the broker’s own comes and goes…"));
  const answer = await during(button, () => api("POST", `modules/${part(module.id)}/test`));
  if (answer === undefined) {
    result.replaceChildren();
    return;
  }
  const { ok, error, events } = answer.data;
  const rows = events.map(({ topic, payload, ms }) => h("tr", {},
    h("td.wrap.mono", {}, topic),
    h("td.num", {}, `${ms.toFixed(ms < 10 ? 2 : 1)} ms`),
    h("td", {}, h("details", {}, h("summary", {}, "Payload"), h("pre.mono", {}, JSON.stringify(payload, null, 2))))));
  result.replaceChildren(
    h(ok ? "p.note" : "p.note.bad", {}, ok ? `The test passed: ${plural(events.length, "event")} came.` : `The test failed: ${error}`),
    rows.length > 0 ? h("div.scroll", { role: "region", "aria-label": "Events of the test", tabindex: 0 },
      h("table", {}, h("thead", {}, h("tr", {}, h("th", { scope: "col" }, "Topic"), h("th.num", { scope: "col" }, "Came after"), h("th", { scope: "col" }, "What it says"))), h("tbody", {}, rows))) : "");
}

// The catalogue: all there is, by group.
async function choose() {
  const first = modules.find((module) => !module.added);
  const option = (module) => h("label.option", {},
    h("input", { type: "radio", name: "module", value: module.id, required: true, disabled: module.added, checked: module === first }),
    h("span", {}, h("strong", {}, module.title), h("br"), module.description, h("br"), h("small", {}, module.added ? "Added." : "No configuration needed.")));
  const form = h("form", { method: "dialog" }, h("h2", { id: "add-title" }, "Add module"),
    grouped(modules).map(([title, ofGroup]) => h("fieldset", {}, h("legend", {}, title), ofGroup.map(option))),
    first === undefined ? h("p.hint", {}, "All modules there are have been added.") : null,
    h("div.buttons", {}, h("button", { value: "", formnovalidate: true }, "Cancel"), h("button.main", { value: "add", disabled: first === undefined }, "Add")));
  if ((await show(h("dialog", { "aria-labelledby": "add-title" }, form))) !== "add") return;
  const module = modules.find(({ id }) => id === form.elements.module.value);
  cards.delete(module.id);
  await change(byId("add"), () => api("POST", `modules/${part(module.id)}/add`), `${module.title} is added and runs.`);
}

byId("add").addEventListener("click", choose);

// A card that is being used stays as it is.
const isInUse = () => document.hidden || document.querySelector("dialog, details[open], button:disabled") !== null;

load().catch((error) => list.replaceChildren(h("p.note.bad", {}, error.message)));
setInterval(() => {
  if (!isInUse()) load().catch(() => {});
}, REFRESH);
