// What the page of a client shows: when it came and went.

import { get } from "/assets/api.js";
import { connection, timeline } from "./timeline.js";

let shown = null;

export async function show(place, clientId) {
  const [{ data: [last] }, open] = await Promise.all([
    get("presence/events", { clientid: clientId, order: "desc", _limit: 1 }),
    connection(clientId),
  ]);
  // Drawn anew only when something has come: a row that is being read stays where it is.
  const newest = `${last?.id} ${open?.epoch} ${open?.conn_id}`;
  if (newest === shown) return;
  shown = newest;
  await timeline(place, clientId);
}
