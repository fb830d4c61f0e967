// Parallel coordinates: a line for each trial, coloured by its rank. Ranges of axes can be brushed by pointer and by keys;
// the trials in all of them are the selection that the table beside follows.

import { brushes, keep, select } from "../selection.js";
import { open } from "../store.js";
import { measured, searched } from "./axes.js";
import { Tip, colours, element, frames } from "./common.js";

const TOP = 44, BOTTOM = 26, SIDE = 48, ROOM = 96, MOST = 26, NEAR = 12, STEP = 0.05, BUCKETS = 16;

export function mount(panel) {
  const chart = new Parallel(panel);
  return () => chart.end();
}

class Parallel {
  constructor(panel) {
    this.url = panel.dataset.url;
    this.space = JSON.parse(panel.dataset.axes);
    this.objectives = JSON.parse(panel.dataset.objectives);
    this.part = (name) => panel.querySelector(`[data-part="${name}"]`);
    this.place = this.part("plot");
    this.canvas = element("canvas");
    this.canvas.setAttribute("aria-hidden", "true");
    this.place.append(this.canvas);
    this.tip = new Tip();
    this.brushes = brushes();
    this.near = null;
    this.handles = [];
    this.paint = colours();
    this.ask = frames(() => this.#draw());
    this.again = () => { this.paint = colours(); this.ask(); };
    document.addEventListener("hpo:theme", this.again);
    this.cleared = (event) => { if (event.detail.trials === null && event.detail.source !== "parallel" && this.brushes.size) this.#clear(); };
    document.addEventListener("hpo:selection", this.cleared);
    this.sizes = new ResizeObserver(() => this.#layOut());
    this.sizes.observe(this.place);
    this.part("clear").addEventListener("click", () => this.#clear());
    this.place.addEventListener("mousemove", (event) => this.#point(event));
    this.place.addEventListener("mouseleave", () => this.#unpoint());
    this.place.addEventListener("click", (event) => { if (this.near !== null && !event.target.closest(".axis")) location.assign(`${this.url}/trials/${this.near}`); });
    this.store = open(this.url);
    this.unfollow = this.store.follow((store, error) => (error ? this.#nothing(error.message) : this.#read()));
  }

  end() {
    this.unfollow();
    this.sizes.disconnect();
    document.removeEventListener("hpo:theme", this.again);
    document.removeEventListener("hpo:selection", this.cleared);
    this.tip.end();
  }

  #nothing(words) { this.place.append(element("p", "muted", words)); }

  // -- data -------------------------------------------------------------------------------------------------------------

  #read() {
    const cells = (key) => this.store.columns.get(key)?.cells ?? [];
    const values = this.objectives.map(([metric]) => {
      const column = this.store.columns.get(`value.${metric}`);
      return Array.from({ length: this.store.count }, (_, row) => column?.cells[row] ?? column?.so_far?.[row] ?? null);
    });
    this.axes = [
      ...this.objectives.slice(0, 4).map(([metric], k) => measured(`value.${metric}`, metric, values[k])),
      ...this.space.slice(0, MOST).map((axis) => searched(axis, cells(`param.${axis.name}`))),
    ];
    const states = cells("state");
    this.rows = [];
    for (let row = 0; row < this.store.count; row += 1) if (!["pending", "paused"].includes(states[row])) this.rows.push(row);
    for (const axis of this.axes) axis.at = Float32Array.from(this.rows, (row) => axis.place(axis.values[row]));
    this.#rank(values[0]);
    this.#layOut();
    this.#selected();
  }

  // The colour of each line by the rank of its value: the best ones stand out, most stay behind.
  #rank(values) {
    const maximise = this.objectives[0]?.[1] === "maximize";
    const order = this.rows.map((_, i) => i).filter((i) => values[this.rows[i]] !== null);
    order.sort((a, b) => (maximise ? -1 : 1) * (values[this.rows[a]] - values[this.rows[b]]));
    this.bucket = new Int8Array(this.rows.length).fill(BUCKETS - 1);
    order.forEach((i, rank) => { this.bucket[i] = Math.floor(Math.sqrt(rank / order.length) * BUCKETS); });
  }

  #selected() {
    const ranges = this.axes.map((axis) => this.brushes.get(axis.key) ?? null);
    this.inside = new Uint8Array(this.rows.length);
    const numbers = [];
    for (let i = 0; i < this.rows.length; i += 1) {
      if (ranges.every((range, k) => range === null || (this.axes[k].at[i] >= range[0] && this.axes[k].at[i] <= range[1]))) {
        this.inside[i] = 1;
        numbers.push(this.rows[i]);
      }
    }
    const any = ranges.some((range) => range !== null);
    this.part("count").textContent = any ? `${numbers.length.toLocaleString("en")} of ${this.rows.length.toLocaleString("en")} trials` : `${this.rows.length.toLocaleString("en")} trials`;
    this.part("clear").disabled = !any;
    select(any ? numbers : null, "parallel");
    this.#showBrushes();
    this.ask();
  }

  // -- layout -----------------------------------------------------------------------------------------------------------

  #layOut() {
    if (!this.axes || !this.place.clientWidth) return;
    this.width = Math.max(this.place.clientWidth, SIDE * 2 + ROOM * (this.axes.length - 1));
    this.height = this.place.clientHeight;
    const gap = this.axes.length > 1 ? (this.width - 2 * SIDE) / (this.axes.length - 1) : 0;
    this.axes.forEach((axis, k) => { axis.x = SIDE + gap * k; });
    if (this.handles.map((handle) => handle.dataset.key).join() !== this.axes.map((axis) => axis.key).join()) this.#makeHandles();
    this.axes.forEach((axis, k) => {
      this.handles[k].style.left = this.names[k].style.left = `${axis.x}px`;
      this.names[k].style.width = `${Math.max(40, (gap || this.width) - 8)}px`;
    });
    this.#showBrushes();
    this.ask();
  }

  #makeHandles() {
    for (const old of [...this.handles, ...(this.names ?? [])]) old.remove();
    this.names = this.axes.map((axis) => { const name = element("span", "name", axis.name.length > 34 ? `${axis.name.slice(0, 12)}…${axis.name.slice(-20)}` : axis.name); name.title = axis.name; return name; });
    this.handles = this.axes.map((axis, k) => {
      const handle = element("div", "axis");
      handle.dataset.key = axis.key;
      handle.tabIndex = 0;
      handle.setAttribute("role", "slider");
      handle.setAttribute("aria-orientation", "vertical");
      handle.setAttribute("aria-label", `Range of ${axis.name}`);
      handle.setAttribute("aria-valuemin", "0");
      handle.setAttribute("aria-valuemax", "100");
      handle.append(element("div", "brush"));
      handle.addEventListener("pointerdown", (event) => this.#drag(event, k));
      handle.addEventListener("keydown", (event) => this.#key(event, k));
      return handle;
    });
    this.place.append(...this.names, ...this.handles);
  }

  #showBrushes() {
    this.axes?.forEach((axis, k) => {
      const range = this.brushes.get(axis.key), handle = this.handles[k], box = handle?.firstChild;
      if (!box) return;
      box.hidden = !range;
      if (range) { box.style.top = `${(1 - range[1]) * 100}%`; box.style.height = `${(range[1] - range[0]) * 100}%`; }
      handle.setAttribute("aria-valuenow", range ? String(Math.round((range[0] + range[1]) * 50)) : "50");
      handle.setAttribute("aria-valuetext", range ? axis.words(...range) : "all");
    });
  }

  // -- brushes ----------------------------------------------------------------------------------------------------------

  #brush(k, range) {
    const { key, cells } = this.axes[k];
    if (range === null) this.brushes.delete(key);
    else {
      let [low, high] = range.map((end) => Math.max(0, Math.min(1, end)));
      if (cells) { low = Math.floor(low * cells + 1e-6) / cells; high = Math.ceil(high * cells - 1e-6) / cells; }
      this.brushes.set(key, [Math.round(low * 1e4) / 1e4, Math.round(high * 1e4) / 1e4]);
    }
    keep(this.brushes);
    this.#selected();
  }

  #clear() {
    this.brushes.clear();
    keep(this.brushes);
    this.#selected();
  }

  #drag(event, k) {
    if (event.button) return;
    const handle = this.handles[k], box = handle.getBoundingClientRect();
    const at = (y) => 1 - (y - box.top) / box.height;
    const start = at(event.clientY), before = this.brushes.get(this.axes[k].key);
    const inside = before && start > before[0] && start < before[1];
    let moved = false;
    handle.setPointerCapture(event.pointerId);
    const move = (now) => {
      if (!moved && Math.abs(now.clientY - event.clientY) < 4) return;
      moved = true;
      const end = at(now.clientY), by = Math.max(-before?.[0] || 0, Math.min(1 - (before?.[1] ?? 1), end - start));
      this.#brush(k, inside ? [before[0] + by, before[1] + by] : [Math.min(start, end), Math.max(start, end)]);
    };
    const up = () => {
      handle.removeEventListener("pointermove", move);
      if (!moved) this.#brush(k, null);
    };
    handle.addEventListener("pointermove", move);
    handle.addEventListener("pointerup", up, { once: true });
    handle.addEventListener("pointercancel", up, { once: true });
    handle.focus({ focusVisible: false });
    event.preventDefault();
  }

  #key(event, k) {
    const { key } = event, range = this.brushes.get(this.axes[k].key);
    const step = this.axes[k].cells ? 1 / this.axes[k].cells : STEP;
    if (key === "Delete" || key === "Backspace") { if (range) this.#brush(k, null); }
    else if (key === "Escape" && this.brushes.size) this.#clear();
    else if (key === "ArrowUp" || key === "ArrowDown") {
      const by = key === "ArrowUp" ? step : -step;
      if (!range) this.#brush(k, key === "ArrowUp" ? [1 - 4 * step, 1] : [0, 4 * step]);
      else if (event.shiftKey) this.#brush(k, [range[0] - by, range[1] + by].sort((a, b) => a - b));
      else { const most = Math.max(-range[0], Math.min(1 - range[1], by)); this.#brush(k, [range[0] + most, range[1] + most]); }
    } else return;
    event.preventDefault();
    event.stopPropagation();
  }

  // -- pointing ---------------------------------------------------------------------------------------------------------

  #point(event) {
    if (!this.axes || event.buttons) return;
    if (event.target.closest(".axis")) { this.#unpoint(); return; }
    const box = this.place.getBoundingClientRect(), x = event.clientX - box.left + this.place.scrollLeft, y = event.clientY - box.top;
    const k = this.axes.findIndex((axis, i) => i + 1 < this.axes.length && x >= axis.x && x <= this.axes[i + 1].x);
    let near = null, least = NEAR;
    if (k >= 0 && y > TOP - 8) {
      const share = (x - this.axes[k].x) / (this.axes[k + 1].x - this.axes[k].x);
      for (let i = 0; i < this.rows.length; i += 1) {
        if (!this.inside[i]) continue;
        const d = Math.abs(this.#y(k, i) * (1 - share) + this.#y(k + 1, i) * share - y);
        if (d < least) { least = d; near = this.rows[i]; }
      }
    }
    if (near === null) { this.#unpoint(); return; }
    const changed = near !== this.near;
    this.near = near;
    this.place.style.cursor = "pointer";
    const state = this.store.at("state", near), pairs = this.objectives.map(([metric], i) => [metric, this.axes[i]?.values[near]]).filter(([, value]) => value !== null && value !== undefined);
    this.tip.show(event.clientX, event.clientY, `Trial ${near}, ${state.replaceAll("_", " ")}`, [...pairs, ...this.store.params(near)]);
    if (changed) this.ask();
  }

  #unpoint() {
    if (this.near === null) return;
    this.near = null;
    this.place.style.cursor = "";
    this.tip.hide();
    this.ask();
  }

  #y(k, i) {
    const at = this.axes[k].at[i];
    return Number.isNaN(at) ? this.height - BOTTOM + 13 : TOP + (1 - at) * (this.height - TOP - BOTTOM);
  }

  // -- drawing ----------------------------------------------------------------------------------------------------------

  #draw() {
    if (!this.axes || !this.inside) return;
    const scale = devicePixelRatio || 1, canvas = this.canvas, { width, height, paint } = this;
    if (canvas.width !== Math.round(width * scale) || canvas.height !== Math.round(height * scale)) {
      canvas.width = Math.round(width * scale);
      canvas.height = Math.round(height * scale);
      canvas.style.width = `${width}px`;
      canvas.style.height = `${height}px`;
    }
    const context = canvas.getContext("2d");
    context.setTransform(scale, 0, 0, scale, 0, 0);
    context.clearRect(0, 0, width, height);
    const any = this.brushes.size > 0, counts = new Int32Array(BUCKETS);
    this.inside.forEach((one, i) => { counts[this.bucket[i]] += one; });
    context.lineWidth = 1;
    if (any) this.#lines(context, (i) => !this.inside[i], paint.faint, this.rows.length > 2000 ? 0.06 : 0.18);
    for (let bucket = BUCKETS - 1; bucket >= 0; bucket -= 1) {
      const share = bucket / (BUCKETS - 1);
      context.lineWidth = bucket === 0 ? 1.6 : 1;
      const alpha = Math.min(0.95, 6 / Math.sqrt(counts[bucket] || 1)); // what is many must not hide what is good
      this.#lines(context, (i) => this.inside[i] && this.bucket[i] === bucket, blend(paint, share), alpha);
    }
    context.lineWidth = 2.2;
    this.#lines(context, (i) => this.inside[i] && this.store.best.has(this.rows[i]), paint.best, 0.9);
    this.#marks(context);
    if (this.near !== null) {
      context.lineWidth = 2.4;
      this.#lines(context, (i) => this.rows[i] === this.near, paint.ink, 1);
    }
  }

  #lines(context, wanted, colour, alpha) {
    context.strokeStyle = colour;
    context.globalAlpha = alpha;
    context.beginPath();
    for (let i = 0; i < this.rows.length; i += 1) {
      if (!wanted(i)) continue;
      context.moveTo(this.axes[0].x, this.#y(0, i));
      for (let k = 1; k < this.axes.length; k += 1) context.lineTo(this.axes[k].x, this.#y(k, i));
    }
    context.stroke();
    context.globalAlpha = 1;
  }

  #marks(context) {
    const { paint, height } = this, room = height - TOP - BOTTOM;
    context.font = "11px system-ui, sans-serif";
    context.textBaseline = "middle";
    context.lineWidth = 1;
    this.axes.forEach((axis, k) => {
      context.strokeStyle = paint.edge;
      context.beginPath();
      context.moveTo(axis.x, TOP);
      context.lineTo(axis.x, TOP + room);
      context.stroke();
      const left = k === this.axes.length - 1;
      context.textAlign = left ? "right" : "left";
      for (const [at, words] of axis.ticks) {
        const y = TOP + (1 - at) * room, x = axis.x + (left ? -5 : 5);
        context.strokeStyle = paint.paper;
        context.lineWidth = 3;
        context.strokeText(words, x, y);
        context.fillStyle = paint.muted;
        context.fillText(words, x, y);
      }
      if (axis.at.some(Number.isNaN)) { context.fillStyle = paint.muted; context.fillText(k < this.objectives.length ? "no value" : "not set", axis.x + (left ? -5 : 5), height - BOTTOM + 13); }
      context.lineWidth = 1;
    });
  }
}

// From the accent (the best) to what stays behind.
function blend(paint, share) {
  const [a, b] = [paint.accent, paint.faint].map((colour) => colour.match(/[\d.]+/g).map(Number));
  const t = Math.min(1, share * 2);
  return `rgb(${a.slice(0, 3).map((from, i) => Math.round(from + (b[i] - from) * t)).join(" ")})`;
}
