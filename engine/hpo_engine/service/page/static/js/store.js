// The trials of a study as columns, read once for all parts of a page, and what has changed since.

import { get } from "./fetch.js";
import { throttled } from "./live.js";

const EVERY_MS = 1000;
const stores = new Map();

// The store of the study at `url`, the same for every caller.
export function open(url) {
  if (!stores.has(url)) stores.set(url, new Store(url));
  return stores.get(url);
}

class Store {
  constructor(url) {
    this.url = url;
    this.columns = new Map(); // key -> {key, name, kind, group, goal, log, cells, so_far}
    this.count = 0;
    this.events = -1;
    this.best = new Set();
    this.listeners = new Set();
    this.loading = null;
    this.refresh = throttled(() => (this.listeners.size || this.loading ? this.read() : null), EVERY_MS);
  }

  // Calls `changed(store)` when there is something, and after each change. Returns what ends that.
  follow(changed) {
    this.listeners.add(changed);
    if (this.events >= 0) changed(this);
    this.read().catch((error) => { if (this.events < 0) changed(this, error); });
    return () => this.listeners.delete(changed);
  }

  read() {
    this.loading ??= this.#read().finally(() => { this.loading = null; });
    return this.loading;
  }

  async #read() {
    const data = await get(`${this.url}/trials.json${this.events < 0 ? "" : `?since=${this.events}`}`);
    if (data === null || (data.events === this.events && data.rows.length === 0)) return;
    this.#merge(data);
    for (const changed of this.listeners) changed(this);
  }

  #merge(data) {
    if (data.trials < this.count || data.events < this.events) this.columns = new Map();
    this.count = data.trials;
    this.events = data.events;
    this.best = new Set(data.best);
    for (const fresh of data.columns) {
      const old = this.columns.get(fresh.key);
      const cells = old ? old.cells : new Array(data.trials).fill(null);
      const soFar = fresh.so_far ? (old?.so_far || new Array(data.trials).fill(null)) : null;
      data.rows.forEach((row, i) => {
        cells[row] = fresh.cells[i];
        if (soFar) soFar[row] = fresh.so_far[i];
      });
      this.columns.set(fresh.key, { ...fresh, cells, so_far: soFar });
    }
  }

  at(key, row) { return this.columns.get(key)?.cells[row] ?? null; }

  // The parameters of a trial that it has: [name, value], those that vary first.
  params(row) {
    const found = [];
    for (const column of this.columns.values()) {
      if (column.group === "param" && column.cells[row] !== null && column.cells[row] !== undefined) found.push([column, column.cells[row]]);
    }
    return found.sort((a, b) => varies(b[0]) - varies(a[0])).map(([column, value]) => [column.name, value]);
  }
}

function varies(column) {
  const first = column.cells[0];
  return column.cells.some((cell) => cell !== first) ? 1 : 0;
}
