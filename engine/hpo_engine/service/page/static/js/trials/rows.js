// The trials as columns, and which of them are shown in which order. Knows no page.

import { parse } from "./query.js";

const OPEN = new Set(["running", "pending", "paused"]);

export class Rows {
  constructor() {
    this.columns = [];      // {key, name, kind, group, goal, log, cells, so_far, at}
    this.byKey = new Map();
    this.count = 0;
    this.events = -1;
    this.best = new Set();
    this.shown = new Int32Array(0);   // trial numbers in the order of the table
    this.places = new Map();          // trial number -> place in `shown`
    this.sort = { key: "trial", down: false };
    this.text = "";
    this.state = "";
    this.brushed = null;
    this.only = null;
  }

  /** Takes in what the page's store has by now. Returns whether columns came or went. */
  take(store) {
    const before = this.columns.map((column) => column.key).join("\n");
    this.count = store.count;
    this.events = store.events;
    this.best = store.best;
    this.columns = [...store.columns.values()].map((column) => ({ ...column, at: (row) => column.cells[row] ?? null }));
    this.byKey = new Map(this.columns.map((column) => [column.key, column]));
    return before !== this.columns.map((column) => column.key).join("\n");
  }

  /** Sorts and filters anew. Throws QueryError, and leaves what is shown as it was. */
  arrange() {
    const holds = this.text.trim() ? parse(this.text, this.columns) : () => true;
    const states = this.byKey.get("state");
    const found = [];
    for (let row = 0; row < this.count; row += 1) {
      if (this.state && states.at(row) !== this.state) continue;
      if (this.brushed && !this.brushed.has(row)) continue;
      if (this.only && !this.only.has(row)) continue;
      if (holds(row)) found.push(row);
    }
    this.shown = Int32Array.from(found);
    this.#order();
    this.places = new Map();
    this.shown.forEach((row, place) => this.places.set(row, place));
  }

  #order() {
    const column = this.byKey.get(this.sort.key) ?? this.byKey.get("trial");
    if (!column) return;
    const turn = this.sort.down ? -1 : 1, at = column.at;
    this.shown.sort((a, b) => {
      const x = at(a), y = at(b);
      if (x === null || y === null) return x === y ? a - b : x === null ? 1 : -1;   // what has no value is last
      if (typeof x === "number" && typeof y === "number") return x === y ? a - b : turn * (x - y);
      if (typeof x === typeof y) return x === y ? a - b : turn * (x < y ? -1 : 1);
      return turn * (typeof x === "number" ? -1 : 1);
    });
  }

  /** The columns that are shown unless somebody chooses: what varies, objectives, and why trials ended. */
  defaults() {
    return this.columns.filter((column) => {
      if (["trial", "state", "duration"].includes(column.key)) return true;
      if (column.group === "objective") return !column.key.startsWith("step.") || varies(column.cells);
      if (column.group === "metric") return varies(column.cells);
      if (column.group === "param") return varies(column.cells);
      return column.key === "reason" && column.cells.some((cell) => cell !== null);
    }).map((column) => column.key);
  }

  states() {
    const counts = new Map();
    this.byKey.get("state")?.cells.forEach((state) => counts.set(state, (counts.get(state) ?? 0) + 1));
    return counts;
  }

  isOpen(row) { return OPEN.has(this.byKey.get("state")?.at(row)); }
}

/** Whether a column has two values, or one that not all trials have. */
export function varies(cells) {
  if (cells.length < 2) return cells.some((cell) => cell !== null);
  const first = cells[0];
  for (const cell of cells) if (cell !== first) return true;
  return false;
}

/** A number with six digits: 0.30000000000000004 is 0.3, 1e-05 is 1e-5. */
export function number(value) {
  if (Number.isInteger(value) && Math.abs(value) < 1e15) return String(value);
  const text = value.toPrecision(6);
  const [mantissa, exponent] = text.split("e");
  const short = mantissa.includes(".") ? mantissa.replace(/\.?0+$/, "") : mantissa;
  if (exponent === undefined) return Math.abs(value) < 1e-4 ? tiny(value) : short;
  return `${short}e${Number(exponent)}`;
}

function tiny(value) {
  const [mantissa, exponent] = value.toExponential(5).split("e");
  return `${mantissa.replace(/\.?0+$/, "")}e${Number(exponent)}`;
}

/** `3.2 s`, `1m 04s`, `2h 10m`, `3d 04h`. */
export function duration(seconds) {
  if (seconds < 59.95) return `${seconds.toFixed(1)} s`;
  const two = (n) => String(n).padStart(2, "0");
  let minutes = Math.floor(Math.round(seconds) / 60);
  if (minutes < 60) return `${minutes}m ${two(Math.round(seconds) % 60)}s`;
  let hours = Math.floor(minutes / 60);
  minutes %= 60;
  if (hours < 48) return `${hours}h ${two(minutes)}m`;
  const days = Math.floor(hours / 24);
  hours %= 24;
  return `${days}d ${two(hours)}h`;
}

/** A cell as people read it. */
export function shown(column, cell) {
  if (cell === null || cell === undefined) return "";
  if (typeof cell !== "number") return String(cell).replaceAll("_", column.kind === "state" ? " " : "_");
  if (column.kind === "seconds") return duration(cell);
  if (column.kind === "mebibytes") return `${number(Math.round(cell))} MiB`;
  if (column.kind === "time") return moment(cell);
  return number(cell);
}

const MOMENT = new Intl.DateTimeFormat(undefined, { dateStyle: "medium", timeStyle: "medium" });
function moment(seconds) { return MOMENT.format(new Date(seconds * 1000)); }
