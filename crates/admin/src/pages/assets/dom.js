// Elements out of data. Text is set as text and never read as HTML.

export const byId = (id) => document.getElementById(id);

// h("td.num", {title: "x"}, "text", element, ...)
export function h(spec, properties = {}, ...children) {
  const [tag, ...classes] = spec.split(".");
  const element = document.createElement(tag || "div");
  return dress(element, classes, properties, children);
}

// The same for SVG.
export function s(spec, properties = {}, ...children) {
  const [tag, ...classes] = spec.split(".");
  const element = document.createElementNS("http://www.w3.org/2000/svg", tag);
  return dress(element, classes, properties, children);
}

function dress(element, classes, properties, children) {
  if (classes.length) element.setAttribute("class", classes.join(" "));
  for (const [name, value] of Object.entries(properties)) {
    if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
    else if (value === true) element.setAttribute(name, "");
    else if (value !== false && value !== undefined && value !== null) element.setAttribute(name, value);
  }
  element.append(...children.flat(Infinity).filter((child) => child !== null && child !== undefined && child !== false));
  return element;
}

export function toast(text, isBad = false) {
  const line = h(isBad ? "p.bad" : "p", {}, text);
  byId("toasts").append(line);
  setTimeout(() => line.remove(), isBad ? 9000 : 5000);
}

// Shows a dialog and resolves to what it was closed with; "" if it was left by Escape.
export function show(dialog) {
  document.body.append(dialog);
  dialog.showModal();
  return new Promise((resolve) => {
    dialog.addEventListener("close", () => {
      dialog.remove();
      resolve(dialog.returnValue);
    });
  });
}

// Asks before something that can't be taken back.
export async function ask(title, text, yes) {
  const dialog = h("dialog", { "aria-labelledby": "ask-title", "aria-describedby": "ask-text" },
    h("form", { method: "dialog" },
      h("h2", { id: "ask-title" }, title),
      h("p", { id: "ask-text" }, text),
      h("div.buttons", {},
        h("button", { value: "", autofocus: true }, "Cancel"),
        h("button.danger", { value: "yes" }, yes))));
  return (await show(dialog)) === "yes";
}

// A client's id as a link to its page.
export const clientLink = (id) => h("a.id", { title: id, href: `/client?id=${encodeURIComponent(id)}` }, id === "" ? "(empty)" : id);

export function state(isOnline) {
  return h(isOnline ? "span.state" : "span.state.away", {}, isOnline ? "online" : "offline");
}

export const facts = (pairs) => pairs.filter(([, value]) => value !== undefined && value !== null).flatMap(([name, value]) => [h("dt", {}, name), h("dd", {}, value)]);

// While `work` goes on, `button` can't be pressed again; what goes wrong is told.
export async function during(button, work) {
  button.disabled = true;
  try {
    return await work();
  } catch (error) {
    toast(error.message, true);
    return undefined;
  } finally {
    button.disabled = false;
  }
}
