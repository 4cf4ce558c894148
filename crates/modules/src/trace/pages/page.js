// Traces to files.

import { api, get, part } from "/assets/api.js";
import { ask, byId, during, h, toast } from "/assets/dom.js";
import { bytes, moment } from "/assets/text.js";

const REFRESH = 2000;

// Where there is no form nothing may be changed.
const form = byId("add");

function button(text, name, label, work) {
  const pressed = h("button", { type: "button", "data-change": "admin", "aria-label": `${label} ${name}` }, text);
  pressed.addEventListener("click", () => during(pressed, async () => {
    await work();
    pressed.blur();
    await show();
  }));
  return pressed;
}

function row(trace) {
  const { name, type, status } = trace;
  const size = Object.values(trace.log_size).reduce((sum, some) => sum + some, 0);
  const stop = button("Stop", name, "Stop", () => api("PUT", `trace/${part(name)}/stop`));
  const remove = button("Remove", name, "Remove", async () => {
    if (await ask(`Remove ${name}?`, "Its file goes too.", "Remove")) await api("DELETE", `trace/${part(name)}`);
  });
  return h("tr", {}, h("td", {}, name), h("td.id", { title: trace[type] }, trace[type]),
    h("td", {}, moment(Date.parse(trace.start_at))), h("td", {}, moment(Date.parse(trace.end_at))),
    h("td", {}, status), h("td.num", {}, bytes(size)),
    h("td", {}, h("span.buttons", {}, h("a.button", { href: `/api/v4/trace/${part(name)}/download`, download: `${name}.log` }, "Download"), form && status !== "stopped" && stop, form && remove)));
}

async function show() {
  const { data } = await get("trace");
  byId("empty").hidden = data.length > 0;
  // What is about to be pressed stays where it is.
  if (!byId("traces").contains(document.activeElement)) byId("traces").replaceChildren(...data.map(row));
}

form?.addEventListener("submit", (event) => {
  event.preventDefault();
  const { name, type, value, minutes } = form.elements;
  during(form.querySelector("button"), async () => {
    const end = new Date(Date.now() + minutes.valueAsNumber * 60000).toISOString();
    await api("POST", "trace", { name: name.value, type: type.value, [type.value]: value.value, end_at: end });
    form.reset();
    await show();
  });
});

async function refresh() {
  try {
    await show();
  } catch (error) {
    toast(error.message, true);
  }
  setTimeout(refresh, REFRESH);
}

refresh();
