// Charts of what happens second by second, drawn as SVG.

import { h, s } from "/assets/dom.js";

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

// `series`: `[{name, values}]`, at most two, each as long as `seconds`; what is not known is null.
export class Chart {
  constructor(place, { seconds, format, names, isBytes = false, isBars = false }) {
    Object.assign(this, { seconds, format, names, isBytes, isBars });
    this.width = 480;
    this.series = names.map(() => []);
    this.drawing = s("svg", { role: "img", height: HEIGHT });
    this.numbers = names.map(() => h("b", {}, "–"));
    const legend = names.map((name, index) => h("span", {}, h(index === 0 ? "i" : "i.two"), name, " ", this.numbers[index]));
    place.classList.add("chart");
    place.replaceChildren(this.drawing, h("p.legend", {}, legend));
    new ResizeObserver(([{ contentRect }]) => {
      this.width = Math.max(200, contentRect.width);
      this.draw(this.series);
    }).observe(place);
  }

  draw(series) {
    this.series = series;
    this.drawing.setAttribute("viewBox", `0 0 ${this.width} ${HEIGHT}`);
    const tops = this.isBars ? series[0]?.map((_, at) => series.reduce((sum, values) => sum + values[at], 0)) ?? [] : series.flat();
    const most = ceiling(Math.max(0, ...tops), this.isBytes);
    const x = (index) => LEFT + ((this.width - LEFT - 4) * index) / (this.seconds - 1);
    const y = (value) => TOP + (HEIGHT - TOP - BOTTOM) * (1 - value / most);
    // Half of one event is none.
    const marks = this.isBars && most < 2 ? [0, most] : [0, most / 2, most];
    const grid = marks.map((value) => [
      s("line.grid", { x1: LEFT, x2: this.width - 4, y1: y(value), y2: y(value) }),
      s("text", { x: LEFT - 6, y: y(value) + 4, "text-anchor": "end" }, this.format(value)),
    ]);
    const minutes = this.seconds / 60;
    const ends = [
      s("text", { x: LEFT, y: HEIGHT - 3 }, `${minutes} min ago`),
      s("text", { x: this.width - 4, y: HEIGHT - 3, "text-anchor": "end" }, "now"),
    ];
    const shapes = this.isBars ? this.bars(series, x, y) : this.lines(series, x, y);
    this.drawing.replaceChildren(...grid.flat(), ...ends, ...shapes);
    const last = series.map((values) => values.at(-1));
    last.forEach((value, index) => {
      this.numbers[index].textContent = value === null || value === undefined ? "–" : this.format(value);
    });
    const words = series.map((values, index) => `${this.names[index]}: now ${this.format(last[index] ?? 0)}, at most ${this.format(Math.max(0, ...values))}`);
    this.drawing.setAttribute("aria-label", `The last ${minutes} minutes. ${words.join("; ")}.`);
  }

  lines(series, x, y) {
    return series.flatMap((values, index) => {
      const start = this.seconds - values.length;
      let pen = "M";
      let path = "";
      values.forEach((value, at) => {
        if (value === null) {
          pen = "M";
          return;
        }
        path += `${pen}${x(start + at).toFixed(1)} ${y(value).toFixed(1)}`;
        pen = "L";
      });
      const line = s(index === 0 ? "path.one" : "path.two", { d: path });
      const known = values.findIndex((value) => value !== null);
      if (index > 0 || known < 0 || values.indexOf(null, known) >= 0) return [line];
      const area = `${path}L${x(this.seconds - 1).toFixed(1)} ${y(0)}L${x(start + known).toFixed(1)} ${y(0)}Z`;
      return [s("path.area", { d: area }), line];
    });
  }

  // The second series stands on the first.
  bars(series, x, y) {
    const width = Math.max(1, (x(1) - x(0)) * 0.75);
    const left = (place) => Math.min(x(place) - width / 2, x(this.seconds - 1) - width);
    const under = new Array(this.seconds).fill(0);
    return series.flatMap((values, index) => values.map((value, at) => {
      if (!value) return null;
      const place = this.seconds - values.length + at;
      const low = under[place];
      under[place] += value;
      return s(index === 0 ? "rect.one" : "rect.two", { x: left(place), width, y: y(under[place]), height: Math.max(1, y(low) - y(under[place])) });
    }).filter((bar) => bar !== null));
  }
}
