// One client's packets as they come and go, the newest first.

import { byId, h } from "/assets/dom.js";
import { plural, timeOfDay } from "/assets/text.js";

const ROWS = 500;
const AGAIN = 3000;

const id = new URLSearchParams(location.search).get("id") ?? "";
const rows = byId("rows");
const choose = byId("choose");
choose.elements.id.value = id;

function add(row) {
  byId("empty").hidden = true;
  rows.prepend(row);
  if (rows.children.length > ROWS) rows.lastElementChild.remove();
}

function say(text, isOn) {
  byId("status").textContent = text;
  byId("status").className = isOn ? "live on" : "live off";
}

// Unlike other pages' streams it goes on while the page is not looked at.
function follow() {
  const source = new EventSource(`/api/v4/trace/${encodeURIComponent(id)}`);
  source.onopen = () => say("Live", true);
  source.onerror = () => {
    say("Not connected, or too many clients are traced; trying again…", false);
    source.close();
    setTimeout(follow, AGAIN);
  };
  source.addEventListener("packet", (event) => {
    const { at, direction, packet } = JSON.parse(event.data);
    const from = direction === "in" ? "client" : "broker";
    add(h("tr", {}, h("td.num", {}, timeOfDay(at)), h("td", {}, from), h("td.mono.wrap", {}, packet)));
  });
  source.addEventListener("dropped", (event) => {
    const { count } = JSON.parse(event.data);
    add(h("tr.many", {}, h("td.wrap", { colspan: 3 }, `${plural(count, "packet")} came faster than this page could take them.`)));
  });
}

byId("clear").addEventListener("click", () => {
  rows.replaceChildren();
  byId("empty").hidden = false;
});
// The form's own way, a new address with the id in it, is right.
if (id === "") say("Choose a client", false);
else {
  document.title = `${id} · Trace · Rollcall`;
  follow();
}
