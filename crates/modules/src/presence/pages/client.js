// What the page of a client shows: when it came and went.

import { get } from "/assets/api.js";
import { timeline } from "./timeline.js";

let shown = null;

export async function show(place, clientId) {
  const [last] = (await get("presence/events", { clientid: clientId, order: "desc", _limit: 1 })).data;
  // Drawn anew only when something has come: a row that is being read stays where it is.
  const newest = String(last?.id);
  if (newest === shown) return;
  shown = newest;
  await timeline(place, clientId);
}
