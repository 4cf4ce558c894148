// The clients and topics whose messages take longest to be acknowledged.

import { api, get } from "/assets/api.js";
import { byId, clientLink, during, h, toast } from "/assets/dom.js";
import { lasted, moment, number } from "/assets/text.js";

const REFRESH = 2000;

const took = (ms) => (ms < 10000 ? `${number(ms)} ms` : lasted(ms));

const row = ({ clientid, topic, timespan, last_update_time: at }) => h("tr", {},
  h("td", {}, clientLink(clientid)), h("td.id", { title: topic }, topic), h("td.num", {}, took(timespan)), h("td", {}, moment(at)));

async function show() {
  const { data } = await get("slow_subscriptions");
  byId("empty").hidden = data.length > 0;
  // What is about to be followed stays where it is.
  if (!byId("slowest").contains(document.activeElement)) byId("slowest").replaceChildren(...data.map(row));
}

// It is not there for who may not.
byId("clear")?.addEventListener("click", (event) => during(event.currentTarget, async () => {
  await api("DELETE", "slow_subscriptions");
  await show();
}));

async function refresh() {
  try {
    await show();
  } catch (error) {
    toast(error.message, true);
  }
  setTimeout(refresh, REFRESH);
}

refresh();
