// A stream of server-sent events that comes back by itself.

import { api } from "/assets/api.js";

const FIRST_WAIT = 1000;
const LONGEST_WAIT = 15000;

// `handlers` by event name, each with the JSON it brings; `status` is an element that says how it is. While the page is
// not looked at there is no stream.
export function live(path, handlers, status) {
  let source = null;
  let wait = FIRST_WAIT;
  let timer = 0;

  function say(isOn) {
    if (status === null) return;
    const text = isOn ? "Live" : "Not connected; trying again…";
    if (status.textContent !== text) status.textContent = text;
    status.className = isOn ? "live on" : "live off";
  }

  function open() {
    close();
    source = new EventSource(`/api/v4/${path}`);
    source.onopen = () => {
      wait = FIRST_WAIT;
      say(true);
      handlers.open?.();
    };
    source.onerror = () => {
      say(false);
      // The browser tries again by itself only where there was an answer once.
      close();
      timer = setTimeout(open, wait * (0.75 + Math.random() / 2));
      wait = Math.min(wait * 1.5, LONGEST_WAIT);
      handlers.lost?.();
      dispatchEvent(new Event("stream-lost"));
      // Whose login has ended is sent to the login page.
      api("GET", "admin/whoami").catch(() => {});
    };
    for (const [name, handle] of Object.entries(handlers)) {
      if (name !== "open" && name !== "lost") source.addEventListener(name, (event) => handle(JSON.parse(event.data)));
    }
  }

  function close() {
    clearTimeout(timer);
    source?.close();
    source = null;
  }

  document.addEventListener("visibilitychange", () => {
    if (document.hidden) close();
    else if (source === null) open();
  });
  addEventListener("pagehide", close);
  open();
}
