// Forms for a module's settings, made from what /api/v4/module_types says of them.

import { h } from "/assets/dom.js";

// Each is an element of its own, which `read` finds by its `data-field`.
function field(setting, value) {
  const { name, title, description, kind, choices, min, max } = setting;
  const about = h("small", {}, description);
  if (kind === "tables") return tables(setting, value, about);
  if (kind === "switch") return h("div", { "data-field": name }, check(name, "", title, value === true), h("label", {}, about));
  if (kind === "choices") {
    return h("fieldset", { "data-field": name }, h("legend", {}, title), about,
      choices.map((choice) => check(name, choice, choice, value.includes(choice))));
  }
  const input = kind === "choice" ? h("select", { name }, choices.map((choice) => h("option", {}, choice)))
    : kind === "number" ? h("input", { name, type: "number", min, max, step: 1, required: true })
      : h("input", { name, type: "text", autocomplete: "off" });
  input.value = kind === "texts" ? value.join(", ") : value;
  return h("label", { "data-field": name }, title, input, about);
}

function check(name, value, title, isOn) {
  const box = h("input", { type: "checkbox", name, value });
  box.checked = isOn;
  return h("label.check", {}, box, title);
}

function tables({ name, title, fields: keys, max }, entries, about) {
  const rows = h("div.stack", {});
  const add = h("button", { type: "button", onclick: () => append({}) }, `Add to ${title}`);
  const count = () => { add.disabled = rows.children.length >= max; };
  const append = (entry) => {
    const remove = h("button", { type: "button", onclick: () => { row.remove(); count(); } }, "Remove");
    const row = h("fieldset.stack", {}, fields(keys, entry), remove);
    rows.append(row);
    count();
  };
  entries.forEach(append);
  count();
  return h("fieldset", { "data-field": name }, h("legend", {}, title), about, rows, add);
}

export const fields = (settings, values) => settings.map((setting) => field(setting, values[setting.name] ?? setting.default));

// What stands in the form, or in a part of it.
export function read(form, settings) {
  const all = [...form.children];
  return Object.fromEntries(settings.map(({ name, kind, fields: keys }) => {
    const found = all.find((child) => child.dataset.field === name);
    const inputs = [...found.querySelectorAll("input, select")];
    switch (kind) {
      case "tables": return [name, [...found.querySelector("div.stack").children].map((row) => read(row, keys))];
      case "choices": return [name, inputs.filter((input) => input.checked).map((input) => input.value)];
      case "texts": return [name, inputs[0].value.split(",").map((text) => text.trim()).filter((text) => text !== "")];
      case "switch": return [name, inputs[0].checked];
      case "number": return [name, Number(inputs[0].value)];
      default: return [name, inputs[0].value];
    }
  }));
}
