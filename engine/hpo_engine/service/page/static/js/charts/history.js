// Every trial's value and the best one so far, by trial or by time; of several objectives each, or the front.

import uPlot from "../../vendor/uplot-1.6.32.js";
import { open } from "../store.js";
import { STATES, element, legend, mark, visible } from "./common.js";
import { Plot } from "./plot.js";

const RUG = 14; // pixels at the bottom for trials without a value

export function mount(panel) {
  const chart = new History(panel);
  return () => chart.end();
}

class History {
  constructor(panel) {
    this.panel = panel;
    this.url = panel.dataset.url;
    this.objectives = JSON.parse(panel.dataset.objectives);
    this.resource = panel.dataset.resource;
    this.part = (name) => panel.querySelector(`[data-part="${name}"]`);
    this.over = "trial";
    this.objective = 0;
    this.store = open(this.url);
    this.plot = new Plot(this.part("chart"), {
      label: "History of the study; arrow keys go from trial to trial",
      shape: (paint) => this.#shape(paint), points: (u) => this.#points(u), about: (row) => this.#about(row),
      pick: (row) => location.assign(`${this.url}/trials/${row}`),
    });
    this.part("over").addEventListener("change", (event) => { this.over = event.target.value; this.#draw(true); });
    this.part("objective")?.addEventListener("change", (event) => { this.objective = event.target.value === "front" ? "front" : Number(event.target.value); this.#draw(true); });
    for (const name of ["log", "all"]) {
      const button = this.part(name);
      button.addEventListener("click", () => { button.setAttribute("aria-pressed", String(button.getAttribute("aria-pressed") !== "true")); this.#draw(true); });
    }
    this.unfollow = this.store.follow((store, error) => (error ? this.#nothing(error.message) : this.#draw(false)));
  }

  end() { this.unfollow(); this.plot.end(); }

  #on(name) { return this.part(name).getAttribute("aria-pressed") === "true"; }

  #column(k) { return this.store.columns.get(`value.${this.objectives[k][0]}`); }

  #collect() {
    const front = this.objective === "front", k = front ? 1 : this.objective, column = this.#column(k);
    const states = this.store.columns.get("state")?.cells ?? [], ended = this.store.columns.get("ended")?.cells ?? [];
    const amounts = this.resource ? this.store.columns.get(`param.${this.resource}`)?.cells : null;
    const first = front ? this.#column(0) : null;
    const most = amounts ? amounts.reduce((a, b, i) => (column.cells[i] !== null && b > a ? b : a), -Infinity) : 0;
    const rows = [];
    for (let row = 0; row < this.store.count; row += 1) {
      const value = column?.cells[row] ?? column?.so_far?.[row] ?? null;
      const x = front ? (first.cells[row] ?? first.so_far?.[row] ?? null) : this.over === "time" ? ended[row] ?? Date.now() / 1000 : row;
      if (x === null || (front && value === null)) continue;
      rows.push({ row, x, value, state: states[row], counts: (column?.cells[row] ?? null) !== null && (!amounts || amounts[row] === most) });
    }
    rows.sort((a, b) => a.x - b.x || a.row - b.row);
    return rows;
  }

  #best(rows) {
    const front = this.objective === "front", best = this.store.best;
    if (front) return rows.map((one) => (best.has(one.row) ? one.value : null));
    const maximise = this.objectives[this.objective][1] === "maximize";
    let so = null;
    return rows.map(({ counts, value }) => {
      if (counts && (so === null || (maximise ? value > so : value < so))) so = value;
      return so;
    });
  }

  #draw(anew) {
    const rows = this.rows = this.#collect(), values = rows.map((one) => one.value);
    if (!values.some((value) => value !== null)) return this.#nothing(this.#why(rows));
    this.part("chart").querySelector(".nothing")?.remove();
    this.panel.classList.remove("is-empty");
    const positive = values.every((value) => value === null || value > 0);
    this.part("log").disabled = !positive;
    if (!positive) this.part("log").setAttribute("aria-pressed", "false");
    const log = this.#on("log"), maximise = this.objectives[this.objective === "front" ? 1 : this.objective][1] === "maximize";
    this.range = visible(values, maximise, log);
    const beyond = this.range ? values.filter((value) => value !== null && (value < this.range[0] || value > this.range[1])).length : 0;
    this.part("all").hidden = !this.range;
    this.part("all").textContent = this.#on("all") ? "all values" : `all values (${beyond} beyond)`;
    if (this.#on("all")) this.range = null;
    const kept = `${log} ${this.objective} ${this.over}`;
    this.plot.draw([rows.map((one) => one.x), values, this.#best(rows)], anew || kept !== this.kept || !this.plot.u);
    this.kept = kept;
    const states = Object.keys(STATES).filter((state) => rows.some((one) => one.state === state));
    const words = this.objectives.length > 1 ? "front" : "best trial";
    legend(this.part("legend"), [["star", "best", words], ["line", "best", this.objective === "front" ? "front" : "best so far"], ...states.map((state) => [STATES[state][1], STATES[state][0], `${state.replaceAll("_", " ")}`]),
      ...(rows.some((one) => this.#isFewer(one)) ? [["dot", "faint", `completed with fewer ${this.resource}`]] : [])]);
  }

  #why(rows) {
    if (!rows.length) return "No trial yet.";
    return rows.some((one) => ["running", "pending", "paused"].includes(one.state)) ? "No trial has a value yet." : `None of ${rows.length.toLocaleString("en")} trials ended with a value.`;
  }

  #nothing(words) {
    this.plot.draw(null);
    this.panel.classList.add("is-empty");
    const place = this.part("chart");
    if (!place.querySelector(".nothing")) place.append(element("p", "nothing", words));
  }

  #shape(paint) {
    const front = this.objective === "front", log = this.#on("log"), k = front ? 1 : this.objective;
    const y = { distr: log ? 3 : 1, range: (u, low, high) => this.#ends(low, high, log) };
    const x = { time: !front && this.over === "time", range: (u, low, high) => { const pad = (high - low) * 0.02 || 0.5; return [low - pad, high + pad]; } };
    const stepped = front ? undefined : uPlot.paths.stepped({ align: 1 });
    return {
      scales: { x, y }, whole: !front && this.over === "trial",
      axes: [front ? this.objectives[0][0] : this.over === "time" ? null : "trial", this.objectives[k][0]],
      series: [{}, { paths: () => null, points: { show: false } }, { stroke: paint.best, width: 2, points: { show: false }, paths: stepped, spanGaps: true }],
      draw: (u, context) => this.#marks(u, context, paint),
    };
  }

  #ends(low, high, log) {
    if (low === null || high === null) return log ? [0.1, 1] : [0, 1];
    const [from, to] = this.range ?? [low, high];
    const rug = this.rows.some((one) => one.value === null) ? 2.2 : 1; // room for trials without a value
    if (log) { const pad = Math.max((to / from) ** 0.05, 1.05); return [from / pad ** rug, to * pad]; }
    const pad = (to - from) * 0.06 || Math.abs(to) * 0.1 || 1;
    return [from - pad * rug, to + pad];
  }

  #marks(u, context, paint) {
    const scale = devicePixelRatio || 1, many = this.rows.length;
    const r = (many > 3000 ? 1.7 : many > 400 ? 2.4 : 3.6) * scale;
    const { left, top, width, height } = u.bbox;
    context.save();
    context.beginPath();
    context.rect(left, top, width, height);
    context.clip();
    context.lineWidth = 1.3 * scale;
    const stars = [];
    for (const one of this.rows) {
      const fewer = this.#isFewer(one), [colour, kind] = fewer ? ["faint", "dot"] : STATES[one.state] ?? STATES.pending;
      if (one.value === null && ["running", "pending", "paused"].includes(one.state)) continue;
      const x = u.valToPos(one.x, "x", true), y = one.value === null ? top + height - RUG * scale / 2 : u.valToPos(one.value, "y", true);
      if (this.store.best.has(one.row) && one.value !== null) { stars.push([x, y]); continue; }
      context.globalAlpha = many > 1000 && !fewer ? 0.6 : 0.9;
      context.fillStyle = context.strokeStyle = paint[colour];
      mark(context, kind, x, y, kind === "cross" ? r * 0.8 : r);
    }
    context.globalAlpha = 1;
    for (const [x, y] of stars) star(context, x, y, r * 1.2 + 3 * scale, paint);
    const near = this.rows.find((one) => one.row === this.plot.near);
    if (near && near.value !== null) {
      context.strokeStyle = paint.ink;
      context.lineWidth = 2 * scale;
      mark(context, "ring", u.valToPos(near.x, "x", true), u.valToPos(near.value, "y", true), r + 4 * scale);
    }
    context.restore();
  }

  // Completed with less of the resource than the best one had: its value does not compare.
  #isFewer(one) { return Boolean(this.resource) && one.state === "completed" && !one.counts; }

  #points(u) {
    const rows = this.rows.filter((one) => one.value !== null || !["running", "pending", "paused"].includes(one.state));
    const bottom = u.bbox.height / (devicePixelRatio || 1) - RUG / 2;
    return {
      x: rows.map((one) => u.valToPos(one.x, "x")), id: rows.map((one) => one.row),
      y: rows.map((one) => (one.value === null ? bottom : u.valToPos(one.value, "y"))),
    };
  }

  #about(row) {
    const state = this.store.at("state", row), reason = this.store.at("reason", row), pairs = [];
    for (const [metric] of this.objectives) {
      const column = this.store.columns.get(`value.${metric}`), value = column?.cells[row] ?? column?.so_far?.[row];
      if (value !== null && value !== undefined) pairs.push([metric, value]);
    }
    if (reason) pairs.push(["because", reason]);
    return [`Trial ${row}, ${state.replaceAll("_", " ")}`, [...pairs, ...this.store.params(row)]];
  }
}

function star(context, x, y, r, paint) {
  context.fillStyle = paint.best;
  context.strokeStyle = paint.paper;
  context.lineWidth = 1;
  mark(context, "star", x, y, r);
}
