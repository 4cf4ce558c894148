// What stands around each page: whether the broker answers, and what is wrong with it.

import { get } from "/assets/api.js";
import { byId } from "/assets/dom.js";
import { plural, timeOfDay, zone } from "/assets/text.js";

const EVERY = 5000;
// The broker looks once a second.
const AFTER_CHANGE = 1500;

let answered = Date.now();
let isAsking = false;

function stale(isStale) {
  document.body.classList.toggle("stale", isStale);
  byId("stale").hidden = !isStale;
  byId("stale").textContent = isStale ? `The broker does not answer. What is shown is of ${timeOfDay(answered).slice(0, 8)}.` : "";
}

function badge(id, count, text, title = "") {
  const place = byId(id);
  place.hidden = count === 0;
  if (place.textContent !== text) place.textContent = count === 0 ? "" : text;
  place.title = title;
}

function show(alarms) {
  const stopped = alarms.filter(({ details }) => details?.stopped === true);
  const others = alarms.length - stopped.length;
  badge("alarm-badge", others, plural(others, "alarm"));
  badge("stopped-badge", stopped.length, `${stopped.map(({ details }) => details.module).join(", ")} stopped`, stopped.map(({ message }) => message).join(" "));
}

async function look() {
  if (isAsking || document.hidden) return;
  isAsking = true;
  try {
    const { data } = await get("alarms/activated");
    answered = Date.now();
    stale(false);
    const alarms = data.flatMap((of) => of.alarms);
    show(alarms);
    dispatchEvent(new CustomEvent("alarms", { detail: alarms }));
  } catch (error) {
    // Where the broker answers at all, what is shown is not old.
    if (error.status === 0) stale(true);
  } finally {
    isAsking = false;
  }
}

byId("zone").textContent = `Times are of the broker’s time zone, ${zone}.`;

// A stream ends at once when the broker does.
addEventListener("stream-lost", look);
addEventListener("changed", () => setTimeout(look, AFTER_CHANGE));
document.addEventListener("visibilitychange", look);
look();
setInterval(look, EVERY);
