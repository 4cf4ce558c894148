// Numbers and times as people read them.

const whole = new Intl.NumberFormat("en", { maximumFractionDigits: 0 });
const short = new Intl.NumberFormat("en", { notation: "compact", maximumFractionDigits: 1 });
// All times of a page are of one time zone, the broker's: some of its answers are written in it.
function times(language, parts) {
  try {
    return new Intl.DateTimeFormat(language, { ...parts, timeZone: document.body.dataset.zone });
  } catch {
    return new Intl.DateTimeFormat(language, { ...parts, timeZone: "UTC" });
  }
}

const clock = times("en-GB", { hour: "2-digit", minute: "2-digit", second: "2-digit" });
const day = times("en-CA", { year: "numeric", month: "2-digit", day: "2-digit" });

export const number = (value) => whole.format(value);

export const brief = (value) => (value < 10000 ? whole.format(value) : short.format(value));

// At most three digits that say something.
export const rate = (value) => (value > 0 && value < 10 ? value.toFixed(1).replace(/\.0$/, "") : brief(value));

export function bytes(value) {
  const units = ["B", "KiB", "MiB", "GiB", "TiB"];
  let unit = 0;
  while (value >= 1024 && unit < units.length - 1) {
    value /= 1024;
    unit += 1;
  }
  return `${value >= 100 || unit === 0 ? Math.round(value) : value.toFixed(1).replace(/\.0$/, "")} ${units[unit]}`;
}

// 93784000 ms: "1 d 2 h"; the two largest units.
export function lasted(ms) {
  if (ms < 1000) return `${Math.max(0, Math.round(ms))} ms`;
  if (ms < 10000) return `${(ms / 1000).toFixed(1)} s`;
  const seconds = Math.floor(ms / 1000);
  const parts = [[Math.floor(seconds / 86400), "d"], [Math.floor(seconds / 3600) % 24, "h"], [Math.floor(seconds / 60) % 60, "min"], [seconds % 60, "s"]];
  const first = parts.findIndex(([value]) => value > 0);
  return parts.slice(first, first + 2).filter(([value]) => value > 0).map(([value, unit]) => `${value} ${unit}`).join(" ");
}

export const timeOfDay = (ms) => `${clock.format(ms)}.${String(Math.floor(ms) % 1000).padStart(3, "0")}`;

export const dateTime = (ms) => `${day.format(ms)} ${clock.format(ms)}`;

// The time zone as it was understood.
export const zone = clock.resolvedOptions().timeZone;

// Today the time of day alone.
export const moment = (ms) => (day.format(ms) === day.format(Date.now()) ? clock.format(ms) : dateTime(ms));

export const plural = (count, one, many = `${one}s`) => `${number(count)} ${count === 1 ? one : many}`;
