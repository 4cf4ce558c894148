// The REST API as its description has it, each operation with a form to try it.

import { get, part, send } from "/assets/api.js";
import { ask, byId, during, h, toast } from "/assets/dom.js";
import { Schemas } from "/assets/schema.js";
import { bytes, lasted } from "/assets/text.js";

const SHOWN = 65536;
const BASE = `${location.origin}/api/v4`;

let schemas;
let operations = [];

const jsonOf = (content) => content?.["application/json"]?.schema;

// A stream never ends, so there is no answer to be shown.
const isStream = ({ about }) => Object.values(about.responses).some(({ content }) => content?.["text/event-stream"]);

// What stands between backticks is code.
const words = (text) => text.split("`").map((piece, at) => (at % 2 === 1 ? h("code", {}, piece) : piece));

function field({ name, in: place, required, description, schema }) {
  const { type, enum: values, minimum, maximum, example } = schemas.plain(schema);
  const choices = [type].flat().includes("boolean") ? [true, false] : values;
  const input = choices
    ? h("select", {}, h("option", { value: "" }, "—"), choices.map((choice) => h("option", {}, String(choice))))
    : h("input", { autocomplete: "off", spellcheck: "false", inputmode: minimum === undefined ? undefined : "numeric", min: minimum, max: maximum, placeholder: example });
  input.name = `${place}.${name}`;
  input.required = required === true;
  return h("label", {}, h("span", {}, h("code", {}, name), required ? " (needed)" : ""), input, description && h("small", {}, words(description)));
}

const entries = (form, place) => [...new FormData(form)].filter(([name, value]) => name.startsWith(`${place}.`) && value !== "").map(([name, value]) => [name.slice(place.length + 1), value]);

// The path with what stands in the form.
function asked(form, { path }) {
  const filled = entries(form, "path").reduce((text, [name, value]) => text.replace(`{${name}}`, () => part(value)), path);
  const query = new URLSearchParams(entries(form, "query"));
  return query.size === 0 ? filled : `${filled}?${query}`;
}

const quoted = (text) => `'${text.replaceAll("'", "'\\''")}'`;

function command(form, operation) {
  const body = form.elements.body?.value;
  const what = operation.method === "get" ? (isStream(operation) ? " -N" : "") : ` -X ${operation.method.toUpperCase()}`;
  return `curl -u NAME:SECRET${what} ${body === undefined ? "" : `-d ${quoted(body)} `}${quoted(BASE + asked(form, operation))}`;
}

function pretty(text) {
  try {
    return JSON.stringify(JSON.parse(text), null, 2);
  } catch {
    return text;
  }
}

async function attempt(form, operation, answer) {
  const path = asked(form, operation).slice(1);
  if (operation.method === "delete" && !(await ask("Send this?", `DELETE /${path}`, "Send"))) return;
  const began = performance.now();
  const response = await send(operation.method.toUpperCase(), path, form.elements.body?.value);
  const text = await response.text();
  const shown = pretty(text);
  const more = shown.length > SHOWN ? `; the first ${bytes(SHOWN)} are shown` : "";
  answer.replaceChildren(
    h(response.ok ? "p.live.on" : "p.live.off", { role: "status" }, `${response.status} ${response.statusText}, ${lasted(performance.now() - began)}, ${bytes(text.length)}${more}`),
    h("pre", { tabindex: 0, "aria-label": "Answer" }, shown.slice(0, SHOWN)));
}

function body(about) {
  const schema = jsonOf(about.requestBody?.content);
  if (!schema) return [];
  const example = h("textarea.mono", { name: "body", rows: 6, spellcheck: "false" });
  example.value = JSON.stringify(schemas.example(schema), null, 2);
  const fields = schemas.fields(schema).map(({ name, type, about: text, isRequired }) => [
    h("dt", {}, h("code", {}, name)), h("dd", {}, `${type}${isRequired ? ", needed" : ""}`, text ? [": ", words(text)] : "")]);
  return [h("label", {}, "Body, as JSON", example), h("dl.facts", {}, fields)];
}

function form(operation) {
  const { about, method } = operation;
  const line = h("pre.command", { tabindex: 0, "aria-label": "As a command" });
  const answer = h("div.result");
  const button = isStream(operation)
    ? h("p.hint", {}, "A stream of server-sent events without an end: follow it with the command.")
    : h("button.main", { "data-change": about["x-role"] ?? false }, "Send");
  const submit = (event) => {
    event.preventDefault();
    during(event.submitter ?? button, () => attempt(event.target, operation, answer));
  };
  const result = h("form.try", { onsubmit: submit, oninput: () => { line.textContent = command(result, operation); } },
    about.description && h("p.about", {}, words(about.description)),
    h("div.filters", {}, (about.parameters ?? []).map(field)),
    body(about), h("div", {}, button), line, answer);
  line.textContent = command(result, operation);
  return result;
}

function row(operation) {
  const { path, method, about } = operation;
  const details = h("details.operation", {},
    h("summary", {}, h(`code.method.${method}`, {}, method.toUpperCase()), h("code.path", {}, path), h("span.about", {}, words(about.summary ?? ""))));
  // There are many, and few are looked at.
  details.addEventListener("toggle", () => details.append(form(operation)), { once: true });
  return details;
}

function list() {
  const text = byId("find").value.toLowerCase();
  const wanted = operations.filter(({ path, method, about }) => `${method} ${path} ${about.summary ?? ""}`.toLowerCase().includes(text));
  const groups = [...Map.groupBy(wanted, ({ about }) => about.tags?.[0] ?? "other")].sort(([a], [b]) => (a < b ? -1 : 1));
  const shown = groups.map(([tag, rows]) => h("section.card", { "aria-label": tag }, h("h2", {}, tag), h("div", {}, rows.map(row))));
  byId("operations").replaceChildren(...(shown.length > 0 ? shown : [h("p.empty", {}, "Nothing matches.")]));
}

byId("base").textContent = BASE;
byId("find").addEventListener("input", list);
byId("filters").addEventListener("submit", (event) => event.preventDefault());

get("openapi.json").then((document) => {
  schemas = new Schemas(document);
  operations = Object.entries(document.paths).flatMap(([path, methods]) => Object.entries(methods).map(([method, about]) => ({ path, method, about })));
  list();
}).catch((error) => {
  byId("operations").replaceChildren();
  toast(error.message, true);
});
