// A table that is paged through by a cursor, with a search form whose state stands in the address.

import { byId, toast } from "/assets/dom.js";
import { number } from "/assets/text.js";

const LIMIT = 50;
const REFRESH = 5000;

// `load(query, after, limit)` resolves to `{rows, next, count}`: `next` is the cursor of the following page, or null.
export function pager({ load, row, empty }) {
  const form = byId("filters");
  const [previous, next] = [byId("previous"), byId("next")];
  // The cursors of the pages before this one, and this one's.
  let cursors = [undefined];
  let following = null;
  let asked = 0;

  for (const [name, value] of new URLSearchParams(location.search)) {
    if (form.elements[name] !== undefined) form.elements[name].value = value;
  }

  const query = () => Object.fromEntries([...new FormData(form)].map(([name, value]) => [name, value]));

  // Where the focus is among the rows, it is there again when they are others.
  function replace(rows) {
    const { activeElement: focused } = document;
    const key = byId("rows").contains(focused) ? ["data-key", "href"].find((name) => focused.hasAttribute(name)) : undefined;
    const value = key && focused.getAttribute(key);
    byId("rows").replaceChildren(...rows);
    if (key !== undefined) byId("rows").querySelector(`[${key}="${CSS.escape(value)}"]`)?.focus({ preventScroll: true });
  }

  async function show(isRefresh = false) {
    const mine = ++asked;
    if (!isRefresh) byId("rows").setAttribute("aria-busy", "true");
    try {
      const page = await load(query(), cursors.at(-1), LIMIT);
      if (mine !== asked) return;
      following = page.next;
      replace(page.rows.map(row));
      byId("empty").hidden = page.rows.length > 0;
      byId("empty").textContent = Object.values(query()).some((value) => value !== "") ? "Nothing matches." : empty;
      const first = (cursors.length - 1) * LIMIT + 1;
      byId("range").textContent = page.rows.length === 0 ? "" : `${number(first)} to ${number(first + page.rows.length - 1)}`;
      if (page.count !== undefined && page.count !== null && page.count >= 0) byId("total").textContent = page.count === 0 ? "" : `${number(page.count)} in all`;
    } catch (error) {
      if (mine === asked && !isRefresh) toast(error.message, true);
    } finally {
      if (mine === asked) byId("rows").removeAttribute("aria-busy");
      previous.disabled = cursors.length === 1;
      next.disabled = following === null;
    }
  }

  let typing = 0;

  function restart() {
    clearTimeout(typing);
    cursors = [undefined];
    const words = new URLSearchParams(Object.entries(query()).filter(([, value]) => value !== ""));
    history.replaceState(null, "", words.size === 0 ? location.pathname : `?${words}`);
    return show();
  }

  form.addEventListener("submit", (event) => {
    event.preventDefault();
    restart();
  });
  form.addEventListener("change", (event) => event.target.tagName === "SELECT" && restart());
  form.addEventListener("input", () => {
    clearTimeout(typing);
    typing = setTimeout(restart, 300);
  });
  previous.addEventListener("click", () => {
    cursors.pop();
    show();
  });
  next.addEventListener("click", () => {
    cursors.push(following);
    show();
  });
  // What is being used, read or copied stays as it is.
  const isInUse = () => document.hidden || document.querySelector("dialog, #rows details[open], #rows button:disabled, [aria-busy]") !== null || !getSelection().isCollapsed;
  show();
  setInterval(() => isInUse() || show(true), REFRESH);
  return { show: () => show() };
}
