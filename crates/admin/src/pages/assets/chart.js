// Charts of what happens second by second, or by the minute or hour, drawn as SVG.

import { h, s } from "/assets/dom.js";
import { lasted, moment } from "/assets/text.js";

const HEIGHT = 132;
const LEFT = 54;
const BOTTOM = 18;
const TOP = 8;

// A round number not below `most`, in steps that people count in; sizes in powers of two.
function ceiling(most, isBytes) {
  if (most <= 0) return 1;
  const base = isBytes ? 1024 : 10;
  const power = base ** Math.floor(Math.log(most) / Math.log(base));
  const steps = isBytes ? [1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024] : [1, 2, 5, 10];
  return steps.map((step) => step * power).find((step) => step >= most) ?? most;
}

export class Chart {
  // `names` of the series, at most two. There are as many points as `seconds`, unless `span` says otherwise.
  constructor(place, { seconds, format, names, isBytes = false, isBars = false }) {
    Object.assign(this, { format, names, isBytes, isBars, points: seconds, every: 1000, times: [], chosen: null });
    this.width = 480;
    this.series = names.map(() => []);
    this.shapes = s("g");
    this.mark = s("line.mark", { y1: TOP, y2: HEIGHT - BOTTOM, visibility: "hidden" });
    this.drawing = s("svg", { role: "img", height: HEIGHT, tabindex: 0 }, this.shapes, this.mark);
    this.numbers = names.map(() => h("b", {}, "–"));
    this.when = h("span.when");
    const legend = names.map((name, index) => h("span", {}, h(index === 0 ? "i" : "i.two"), name, " ", this.numbers[index]));
    place.classList.add("chart");
    place.replaceChildren(this.drawing, h("p.legend", {}, legend, this.when));
    this.#listen();
    new ResizeObserver(([{ contentRect }]) => {
      this.width = Math.max(200, contentRect.width);
      this.draw(this.series, this.times);
    }).observe(place);
  }

  // So many points, so many milliseconds from one to the next.
  span(points, every) {
    [this.points, this.every, this.chosen] = [points, every, null];
  }

  // `series`: values of each name, the last of now; what is not known is null. `times`: when each was.
  draw(series, times = []) {
    [this.series, this.times] = [series, times];
    this.drawing.setAttribute("viewBox", `0 0 ${this.width} ${HEIGHT}`);
    const tops = this.isBars ? series[0]?.map((_, at) => series.reduce((sum, values) => sum + values[at], 0)) ?? [] : series.flat();
    const most = ceiling(tops.reduce((top, value) => Math.max(top, value ?? 0), 0), this.isBytes);
    const x = (index) => this.#x(index);
    const y = (value) => TOP + (HEIGHT - TOP - BOTTOM) * (1 - value / most);
    // Half of one event is none.
    const marks = this.isBars && most < 2 ? [0, most] : [0, most / 2, most];
    const grid = marks.map((value) => [
      s("line.grid", { x1: LEFT, x2: this.width - 4, y1: y(value), y2: y(value) }),
      s("text", { x: LEFT - 6, y: y(value) + 4, "text-anchor": "end" }, this.format(value)),
    ]);
    const span = lasted(this.points * this.every);
    const ends = [
      s("text", { x: LEFT, y: HEIGHT - 3 }, `${span} ago`),
      s("text", { x: this.width - 4, y: HEIGHT - 3, "text-anchor": "end" }, "now"),
    ];
    this.shapes.replaceChildren(...grid.flat(), ...ends, ...(this.isBars ? this.bars(series, x, y) : this.lines(series, x, y)));
    const top = (values) => values.reduce((most, value) => Math.max(most, value ?? 0), 0);
    const words = series.map((values, index) => `${this.names[index]}: now ${this.format(values.at(-1) ?? 0)}, at most ${this.format(top(values))}`);
    this.drawing.setAttribute("aria-label", `The last ${span}. ${words.join("; ")}.`);
    this.#tell();
  }

  #x(index) {
    return LEFT + ((this.width - LEFT - 4) * index) / (this.points - 1);
  }

  // Values of where the pointer is, or of the place that was gone to by keys; else of now.
  #tell() {
    const length = this.series[0]?.length ?? 0;
    const at = this.chosen === null ? length - 1 : this.chosen - (this.points - length);
    this.series.forEach((values, index) => {
      const value = values[at];
      this.numbers[index].textContent = value === null || value === undefined ? "–" : this.format(value);
    });
    const isChosen = this.chosen !== null && at >= 0;
    this.when.textContent = isChosen ? (this.times[at] === undefined ? `${lasted((length - 1 - at) * this.every)} ago` : moment(this.times[at])) : "";
    this.mark.setAttribute("visibility", isChosen ? "visible" : "hidden");
    if (isChosen) for (const end of ["x1", "x2"]) this.mark.setAttribute(end, this.#x(this.chosen));
  }

  #choose(index) {
    this.chosen = index === null ? null : Math.min(this.points - 1, Math.max(0, index));
    this.#tell();
  }

  #listen() {
    this.drawing.addEventListener("pointermove", ({ offsetX }) => {
      this.#choose(Math.round(((offsetX - LEFT) * (this.points - 1)) / (this.width - LEFT - 4)));
    });
    for (const end of ["pointerleave", "blur"]) this.drawing.addEventListener(end, () => this.#choose(null));
    this.drawing.addEventListener("keydown", (event) => {
      const step = { ArrowLeft: -1, ArrowRight: 1, PageUp: -this.points / 10, PageDown: this.points / 10 }[event.key];
      if (step === undefined) return;
      event.preventDefault();
      this.#choose(Math.round((this.chosen ?? this.points - 1) + step));
    });
  }

  lines(series, x, y) {
    return series.flatMap((values, index) => {
      const start = this.points - values.length;
      let pen = "M";
      let path = "";
      values.forEach((value, at) => {
        if (value === null) {
          pen = "M";
          return;
        }
        // One that stands alone is to be seen too.
        const isAlone = pen === "M" && (values[at + 1] ?? null) === null;
        path += `${pen}${x(start + at).toFixed(1)} ${y(value).toFixed(1)}${isAlone ? "h1.6" : ""}`;
        pen = "L";
      });
      const line = s(index === 0 ? "path.one" : "path.two", { d: path });
      const known = values.findIndex((value) => value !== null);
      if (index > 0 || known < 0 || values.indexOf(null, known) >= 0) return [line];
      const area = `${path}L${x(this.points - 1).toFixed(1)} ${y(0)}L${x(start + known).toFixed(1)} ${y(0)}Z`;
      return [s("path.area", { d: area }), line];
    });
  }

  // The second series stands on the first.
  bars(series, x, y) {
    const width = Math.max(1, (x(1) - x(0)) * 0.75);
    const left = (place) => Math.min(x(place) - width / 2, x(this.points - 1) - width);
    const under = new Array(this.points).fill(0);
    return series.flatMap((values, index) => values.map((value, at) => {
      if (!value) return null;
      const place = this.points - values.length + at;
      const low = under[place];
      under[place] += value;
      return s(index === 0 ? "rect.one" : "rect.two", { x: left(place), width, y: y(under[place]), height: Math.max(1, y(low) - y(under[place])) });
    }).filter((bar) => bar !== null));
  }
}
