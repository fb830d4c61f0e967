// Axes of parallel coordinates: where a value is between 0 (bottom) and 1 (top), and the ticks beside it.

import { number, short } from "./common.js";

const CHOICES = 14; // choices that get a tick

// An axis of an objective or a metric, over the values that there are.
export function measured(key, name, values) {
  let low = Infinity, high = -Infinity;
  for (const value of values) if (value !== null) { if (value < low) low = value; if (value > high) high = value; }
  if (low > high) [low, high] = [0, 1];
  if (low === high) { const pad = Math.abs(low) * 0.1 || 0.5; low -= pad; high += pad; }
  return line(key, name, low, high, low > 0 && high / low > 1000, values);
}

// An axis of a parameter as describing.axes_of has it; it grows to hold values that the space no longer has.
export function searched(axis, values) {
  const key = `param.${axis.name}`;
  if (axis.kind === "choice") return choices(key, axis.name, axis.choices, values);
  let { low, high } = axis;
  for (const value of values) if (typeof value === "number") { if (value < low) low = value; if (value > high) high = value; }
  if (low === high) { low -= 0.5; high += 0.5; }
  const found = line(key, axis.name, low, high, axis.log && low > 0, values);
  if (axis.kind === "int") found.ticks = found.ticks.filter((tick) => Number.isInteger(tick[2]));
  return found;
}

function line(key, name, low, high, log, values) {
  const [from, to] = log ? [Math.log(low), Math.log(high)] : [low, high];
  const place = (value) => ((log ? Math.log(value) : value) - from) / (to - from);
  const at = (p) => { const u = from + p * (to - from); return log ? Math.exp(u) : u; };
  return {
    key, name, values, place: (value) => (typeof value === "number" ? place(value) : NaN), ticks: (log ? decades : rounds)(low, high).map((tick) => [place(tick), short(tick), tick]),
    words: (a, b) => `${number(Number(at(a).toPrecision(4)))} to ${number(Number(at(b).toPrecision(4)))}`,
  };
}

function choices(key, name, known, values) {
  const all = [...known];
  const index = new Map(all.map((choice, i) => [choice, i]));
  for (const value of values) if (value !== null && value !== undefined && !index.has(value)) { index.set(value, all.length); all.push(value); }
  const place = (value) => (index.has(value) ? (index.get(value) + 0.5) / all.length : NaN);
  const step = Math.ceil(all.length / CHOICES);
  return {
    key, name, values, place, cells: all.length, ticks: all.map((choice) => [place(choice), cut(text(choice))]).filter((_, i) => i % step === 0),
    words: (a, b) => all.filter((choice) => place(choice) >= a && place(choice) <= b).map(text).join(", ") || "none",
  };
}

function text(choice) { return choice === null ? "null" : String(number(choice)); }

function cut(words) { return words.length > 14 ? `${words.slice(0, 6)}…${words.slice(-7)}` : words; }

function rounds(low, high) {
  const raw = (high - low) / 5, power = 10 ** Math.floor(Math.log10(raw));
  const step = [1, 2, 2.5, 5, 10].map((nice) => nice * power).find((each) => each >= raw * 0.999);
  const out = [];
  for (let k = Math.ceil(low / step - 1e-9); k * step <= high + step * 1e-9; k += 1) out.push(Number((k * step).toPrecision(12)));
  return out;
}

function decades(low, high) {
  const out = [], wide = Math.log10(high / low);
  for (let e = Math.floor(Math.log10(low)); e <= Math.log10(high) + 1e-9; e += 1) {
    for (const m of wide < 2.2 ? [1, 2, 5] : [1]) { const tick = m * 10 ** e; if (tick >= low * 0.999 && tick <= high * 1.001) out.push(Number(tick.toPrecision(12))); }
  }
  return wide > 8 ? out.filter((_, i) => i % Math.ceil(wide / 6) === 0) : out.length ? out : [low, high];
}
