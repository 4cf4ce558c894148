// Rules: what clients may do, and which rule decides.

import { api, get } from "/assets/api.js";
import { ask, byId, during, h, toast } from "/assets/dom.js";
import { number, plural } from "/assets/text.js";

const SHOWN = 1000;

// Those that are set here, or else of the configuration, as they were given. They come first.
let given = [];

async function load() {
  const { data } = await get("auth/rules");
  ({ given } = data);
  byId("rows").replaceChildren(...data.rules.slice(0, SHOWN).map(row));
  byId("rest").hidden = data.rules.length <= SHOWN;
  byId("rest").textContent = `And ${number(data.rules.length - SHOWN)} more, which are not shown here.`;
  byId("default").textContent = data.default;
  byId("set").hidden = !data.are_set;
  byId("all").elements.rules.value = given.length === 0 ? "[]" : `[\n${given.map((rule) => `  ${JSON.stringify(rule)}`).join(",\n")}\n]`;
}

const KINDS = { user: "user", clientid: "client id", address: "address", listener: "listener", tag: "tag" };

function whom(who) {
  if (who === null) return "everybody";
  const [[kind, value]] = Object.entries(who);
  if (kind === "or") return value.map(whom).join(" or ");
  if (kind === "and") return value.map((one) => (one.or === undefined ? whom(one) : `(${whom(one)})`)).join(" and ");
  return value === null ? "who gives no user name" : `${KINDS[kind] ?? kind} ${value}`;
}

function row(rule, index) {
  const { allow, who, action, topics, origin } = rule;
  const button = (text, label, kind, act, isDisabled = false) => h(`button.small${kind}`, { type: "button", "data-change": "admin", disabled: isDisabled, "aria-label": `${label} rule ${index + 1}`, onclick: (event) => act(event.currentTarget, index) }, text);
  return h("tr", { "data-origin": origin },
    h("td", {}, h("strong", {}, allow ? "allow" : "deny")),
    h("td.wrap", {}, whom(who)),
    h("td", {}, action === "all" ? "publish, subscribe" : action),
    h("td.id.wrap", {}, topics === null ? "all" : topics.join(" ")),
    h("td.wrap.minor", {}, origin),
    h("td.num", {}, index < given.length ? h("span.buttons", {}, button("Up", "Move up", "", up, index === 0), button("Remove", "Remove", ".danger", remove)) : null));
}

async function done(button, work) {
  await during(button, async () => {
    const { data } = await work();
    toast(data.unsubscribed === 0 ? `${plural(data.rules, "rule")} hold now.` : `${plural(data.rules, "rule")} hold now, and ${plural(data.unsubscribed, "subscription")} ended by them.`);
  });
  await load().catch((error) => toast(error.message, true));
}

const put = (rules) => api("PUT", "auth/rules", { rules });

const up = (button, index) => done(button, () => put(given.with(index - 1, given[index]).with(index, given[index - 1])));

async function remove(button, index) {
  if (!(await ask("Remove this rule?", "What it says holds no longer, for those who are connected too.", "Remove"))) return;
  await done(button, () => put(given.toSpliced(index, 1)));
}

byId("forget").addEventListener("click", async ({ currentTarget }) => {
  if (await ask("Forget these rules?", "Those of the configuration hold again.", "Forget")) await done(currentTarget, () => api("DELETE", "auth/rules"));
});

const words = (text, sign) => text.split(sign).map((word) => word.trim()).filter((word) => word !== "");

byId("add").addEventListener("submit", async (event) => {
  event.preventDefault();
  const form = event.target;
  const said = Object.fromEntries(new FormData(form));
  const rule = { allow: said.allow === "true", action: said.action };
  const who = Object.keys(KINDS).map((kind) => [kind, words(said[kind], ",")]).filter(([, values]) => values.length > 0);
  if (who.length > 0) rule.who = Object.fromEntries(who);
  const topics = words(said.topics, "\n");
  if (topics.length > 0) rule.topics = topics;
  await done(event.submitter, async () => {
    const answer = await put(said.place === "first" ? [rule, ...given] : [...given, rule]);
    form.reset();
    return answer;
  });
});

byId("all").addEventListener("submit", async (event) => {
  event.preventDefault();
  let rules;
  try {
    rules = JSON.parse(event.target.elements.rules.value);
  } catch (error) {
    toast(`That is no JSON: ${error.message}`, true);
    return;
  }
  await done(event.submitter, () => put(rules));
});

byId("who").addEventListener("submit", async (event) => {
  event.preventDefault();
  await during(event.submitter, async () => {
    const { data } = await get("auth/explain", Object.fromEntries(new FormData(event.target)));
    byId("verdict").replaceChildren(h("strong", {}, data.allowed ? "It may" : "It may not"), `, by ${data.by}.`);
    for (const found of byId("rows").rows) {
      if (data.rule !== null && found.dataset.origin === data.rule.origin) found.setAttribute("aria-current", "true");
      else found.removeAttribute("aria-current");
    }
  });
});

get("modules/acl_internal").then(({ data }) => {
  byId("stopped").hidden = data.enabled;
}).catch(() => {});
load().catch((error) => toast(error.message, true));
