// The broker's WebSocket listeners as this page can reach them, and why it can't.

import { get } from "/assets/api.js";

// `{name, url, origins}`; `origins`: the pages that may connect, or "all".
let doors = [];

const isHere = (host) => host === "localhost" || /^127\./.test(host) || host === "[::1]";

// A value of the configuration, which is TOML; ours are texts and lists of texts, which are JSON too.
function read(value) {
  try {
    return value === null || value === undefined ? null : JSON.parse(value);
  } catch {
    return null;
  }
}

function hostOf(listenOn) {
  const host = listenOn.slice(0, listenOn.lastIndexOf(":"));
  // One that listens everywhere is where this page has come from. So is one on loopback, if the page is: else the browser finds out.
  return host === "0.0.0.0" || host === "[::]" || isHere(host) ? location.hostname : host;
}

// Offers the listeners there are, and fills the field with the first that this page may use.
export async function fill(field, list) {
  const [{ data: nodes }, { data: settings }] = await Promise.all([get("listeners"), get("settings")]);
  const said = new Map(settings.map(({ key, value }) => [key, value]));
  const all = nodes.flatMap((node) => node.listeners ?? [node]).filter(({ protocol, running }) => running && /:wss?$/.test(protocol));
  doors = all.map(({ name, protocol, listen_on: listenOn }) => {
    const scheme = protocol.split(":")[1];
    const host = listenOn.slice(0, listenOn.lastIndexOf(":"));
    const path = read(said.get(`listeners.${name}.path`)) ?? "/mqtt";
    const origins = read(said.get(`listeners.${name}.origins`)) ?? (isHere(host) ? "here" : "all");
    return { name, isLoopback: isHere(host), origins, url: `${scheme}://${hostOf(listenOn)}${listenOn.slice(listenOn.lastIndexOf(":"))}${path}` };
  });
  list.replaceChildren(...doors.map(({ url, name }) => Object.assign(document.createElement("option"), { value: url, label: name })));
  const best = doors.find(({ url }) => hintFor(url) === "" && url.startsWith("wss:") === (location.protocol === "https:")) ?? doors.find(({ url }) => hintFor(url) === "") ?? doors[0];
  if (best !== undefined && field.value === "") field.value = best.url;
}

function isLetIn({ origins }) {
  if (origins === "all") return true;
  if (origins === "here") return isHere(location.hostname);
  return [origins].flat().some((one) => one === "*" || one.toLowerCase() === location.origin.toLowerCase());
}

// What is known to be in the way; "": nothing.
export function hintFor(url) {
  if (doors.length === 0) return "The broker has no WebSocket listener that runs: add one, listeners.NAME with kind = \"ws\" or \"wss\".";
  let wanted;
  try {
    wanted = new URL(url);
  } catch {
    return "";
  }
  if (location.protocol === "https:" && wanted.protocol === "ws:" && !isHere(wanted.hostname)) {
    return "This page has come by https, and browsers let it speak wss:// only: the broker needs a listener of the kind \"wss\".";
  }
  const door = doors.find((one) => one.url === url);
  if (door === undefined) return "";
  if (door.isLoopback && !isHere(location.hostname)) {
    return `The listener ${door.name} is on loopback, which only browsers on the broker’s own machine reach.`;
  }
  if (!isLetIn(door)) {
    return `The listener ${door.name} does not let pages of ${location.origin} in. To let this one in: listeners.${door.name}.origins = ["${location.origin}"] (beside those that are there), and a restart.`;
  }
  return "";
}

// After a connection that did not open.
export function whyNot(url) {
  const known = hintFor(url);
  if (known !== "") return known;
  const certificate = url.startsWith("wss:") ? " Or the browser does not trust its certificate: open the same address with https:// in a tab to see." : "";
  return `Nobody let this page in at ${url}. Is it the right address and path, and do the listener’s origins name ${location.origin}?${certificate}`;
}
