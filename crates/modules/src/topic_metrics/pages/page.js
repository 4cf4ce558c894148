// Topics whose messages are counted.

import { api, get, part } from "/assets/api.js";
import { byId, during, h, toast } from "/assets/dom.js";
import { number, rate } from "/assets/text.js";

const REFRESH = 2000;

// Where there is no form nothing may be changed.
const form = byId("add");

function row({ topic, metrics }) {
  const count = (name) => h("td.num", {}, number(metrics[`messages.${name}.count`]));
  const speed = (name) => h("td.num", {}, rate(metrics[`messages.${name}.rate`]));
  const remove = h("button", { type: "button", "data-change": "admin", "aria-label": `Count ${topic} no more` }, "Remove");
  remove.addEventListener("click", () => during(remove, async () => {
    await api("DELETE", `topic-metrics/${part(topic)}`);
    await show();
  }));
  return h("tr", {}, h("td.id", { title: topic }, topic), count("in"), speed("in"), count("out"), speed("out"), count("dropped"), h("td", {}, form && remove));
}

async function show() {
  const { data: { enabled } } = await get("modules/topic_metrics");
  byId("stopped").hidden = enabled;
  byId("running").hidden = !enabled;
  if (!enabled) return;
  const { data } = await get("topic-metrics");
  byId("empty").hidden = data.length > 0;
  // What is about to be pressed stays where it is.
  if (!byId("topics").contains(document.activeElement)) byId("topics").replaceChildren(...data.map(row));
}

form?.addEventListener("submit", (event) => {
  event.preventDefault();
  during(form.querySelector("button"), async () => {
    await api("POST", "topic-metrics", { topic: form.elements.topic.value });
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
