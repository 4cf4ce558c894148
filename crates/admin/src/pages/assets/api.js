// The REST API, as the page's login may use it.

import { byId, toast } from "/assets/dom.js";

// Back to this page after that.
export const toLogin = () => location.assign(`/login?to=${encodeURIComponent(location.pathname + location.search)}`);

const csrf = document.querySelector("meta[name=csrf]").content;

export class Refused extends Error {
  constructor(status, message) {
    super(message);
    this.status = status;
  }
}

// Whatever /api/v4/`path` answers; `body` is text.
export async function send(method, path, body) {
  const headers = { "x-csrf-token": csrf };
  if (body !== undefined) headers["content-type"] = "application/json";
  let answer;
  try {
    answer = await fetch(`/api/v4/${path}`, { method, headers, body });
  } catch {
    throw new Refused(0, "The broker does not answer.");
  }
  if (answer.status === 401) {
    toLogin();
    throw new Refused(401, "You are logged out.");
  }
  return answer;
}

// The answer of /api/v4/`path`; throws Refused where it is no.
export async function api(method, path, body) {
  const answer = await send(method, path, body === undefined ? undefined : JSON.stringify(body));
  const text = await answer.text();
  let read = {};
  try {
    read = text === "" ? {} : JSON.parse(text);
  } catch {
    if (answer.ok) throw new Refused(answer.status, "The answer is no JSON.");
  }
  // EMQ X refuses with status 200 and a code other than 0, or with a message and no code.
  if (!answer.ok || (read.code !== undefined && read.code !== 0) || (read.code === undefined && read.message !== undefined)) {
    throw new Refused(answer.status, read.message ?? `The broker answers ${answer.status}.`);
  }
  if (method !== "GET") dispatchEvent(new Event("changed"));
  return read;
}

// `get("clients", {_limit: 50})`; what is undefined or "" is left out.
export function get(path, query = {}) {
  const words = new URLSearchParams(Object.entries(query).filter(([, value]) => value !== undefined && value !== ""));
  return api("GET", words.size === 0 ? path : `${path}?${words}`);
}

export const part = encodeURIComponent;

byId("log-out").addEventListener("click", async () => {
  const answer = await fetch("/logout", { method: "POST", headers: { "x-csrf-token": csrf } }).catch(() => null);
  if (answer === null) toast("The broker does not answer.", true);
  else location.assign("/login");
});

// Where the pages stand in a row that does not fit, the present one is to be seen.
document.querySelector("nav [aria-current]").scrollIntoView({ block: "nearest", inline: "center" });
