// The rows of events as they come: a few one by one, a flood as one row that says what was in it.

import { clientLink, h } from "/assets/dom.js";
import { number, plural, timeOfDay } from "/assets/text.js";

const ROWS = 200;
// More than so many between two looks at the screen are told together.
const ONE_BY_ONE = 20;
// So many of them can be unfolded.
const SAMPLES = 50;
const EVERY = 250;

const NAMES = { connected: "came", disconnected: "went" };

export class Feed {
  constructor(body, { wants, choose, changed }) {
    Object.assign(this, { body, wants, choose, changed, isPaused: false });
    this.forget();
    setInterval(() => this.flush(), EVERY);
  }

  forget() {
    this.waiting = { count: 0, from: 0, to: 0, samples: [], reasons: new Map() };
  }

  push(event) {
    if (!this.wants(event)) return;
    const waiting = this.waiting;
    waiting.count += 1;
    waiting.from ||= event.at;
    waiting.to = event.at;
    if (waiting.samples.length < SAMPLES) waiting.samples.push(event);
    const what = event.event === "connected" ? "connected" : event.reason;
    waiting.reasons.set(what, (waiting.reasons.get(what) ?? 0) + 1);
  }

  // Events of before, the oldest first, one by one.
  past(events) {
    this.add(events.filter(this.wants).map((event) => this.row(event)).reverse());
  }

  // Events that the broker could not send to this page in time.
  missed(count) {
    this.add([h("tr.many", {}, h("td.wrap", { colspan: 6 }, `${plural(count, "event")} came faster than this page could take them, and ${count === 1 ? "is" : "are"} not shown.`))]);
  }

  clear() {
    this.forget();
    this.body.replaceChildren();
    this.changed();
  }

  flush() {
    const { waiting } = this;
    if (this.isPaused || waiting.count === 0) return;
    this.forget();
    this.add(waiting.count <= ONE_BY_ONE ? waiting.samples.map((event) => this.row(event)).reverse() : [this.flood(waiting)]);
  }

  // The newest first.
  add(rows) {
    this.body.prepend(...rows);
    while (this.body.rows.length > ROWS) this.body.deleteRow(-1);
    this.changed();
  }

  row({ event, at, clientid, username, ipaddress, reason }) {
    return h("tr", { "data-client": clientid, "data-event": event },
      h("td.mono", {}, h("time", { datetime: new Date(at).toISOString() }, timeOfDay(at))),
      h(`td.${NAMES[event] ?? "went"}`, {}, event),
      h("td.id", {}, h("button.plain.id", { type: "button", onclick: () => this.choose(clientid) }, clientid)),
      h("td.id", {}, username === "undefined" ? "–" : username ?? "–"),
      h("td.mono", {}, ipaddress ?? "–"),
      h("td", {}, reason ?? "–"));
  }

  flood({ count, from, to, samples, reasons }) {
    const most = [...reasons].sort(([, one], [, other]) => other - one).slice(0, 6).map(([what, times]) => `${what} ${number(times)}`);
    const some = samples.map(({ event, clientid, at }) => h("li", {}, h(`span.${NAMES[event] ?? "went"}`, {}, event), " ", clientLink(clientid), ` ${timeOfDay(at)}`));
    const rest = count - samples.length;
    return h("tr.many", { "data-flood": count },
      h("td.mono", {}, timeOfDay(from)),
      h("td.wrap", { colspan: 5 }, h("details", {},
        h("summary", {}, `${number(count)} events until ${timeOfDay(to)}: ${most.join(", ")}`),
        h("ul", {}, some, rest > 0 ? h("li", {}, `and ${number(rest)} more`) : null))));
  }
}
