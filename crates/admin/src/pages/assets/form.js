// Forms for a module's settings, made from what /api/v4/module_types says of them.

import { h } from "/assets/dom.js";

function field({ name, title, description, kind, choices, min, max }, value) {
  const about = h("small", {}, description);
  if (kind === "switch") {
    const box = h("input", { type: "checkbox", name });
    box.checked = value === true;
    return h("div", {}, h("label.check", {}, box, title), h("label", {}, about));
  }
  const input = kind === "choice"
    ? h("select", { name }, choices.map((choice) => h("option", {}, choice)))
    : h("input", { name, type: "number", min, max, step: 1, required: true });
  input.value = value;
  return h("label", {}, title, input, about);
}

export const fields = (settings, values) => settings.map((setting) => field(setting, values[setting.name] ?? setting.default));

// What stands in the form.
export function read(form, settings) {
  return Object.fromEntries(settings.map(({ name, kind }) => {
    const input = form.elements[name];
    if (kind === "switch") return [name, input.checked];
    return [name, kind === "number" ? Number(input.value) : input.value];
  }));
}
