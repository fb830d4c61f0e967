// Curves of one trial or a few, a chart for each metric: <div data-module="trials/curves" data-url=... data-study=...>.

import uPlot from "../../vendor/uplot-1.6.32.js";
import { get } from "../fetch.js";
import { throttled } from "../live.js";
import { make, set } from "./grid.js";
import { number } from "./rows.js";

const COLOURS = ["--accent", "--best", "--good", "--purple", "--sky", "--brown", "--bad", "--ink", "--muted"];
const DASHES = [[], [6, 4], [2, 3]];
const FIRST = 6, HEIGHT = 220, EVERY_MS = 1500;

export async function mount(element) {
  const curves = new Curves(element);
  await curves.load();
  return () => curves.end();
}

class Curves {
  constructor(element) {
    this.element = element;
    this.charts = [];
    this.all = false;
    this.smooth = 0;
    this.log = false;
    this.zoom = {};
    this.stop = new AbortController();
  }

  async load() {
    await this.#fetch();
    const again = throttled(() => this.#fetch(), EVERY_MS);
    document.addEventListener("hpo:news", again, { signal: this.stop.signal });
    document.addEventListener("hpo:theme", () => this.draw(), { signal: this.stop.signal });
    this.observer = new ResizeObserver(() => this.#fit());
    this.observer.observe(this.element);
    this.element.dataset.ready = "true";
  }

  end() {
    this.stop.abort();
    this.observer?.disconnect();
    this.charts.forEach((chart) => chart.destroy());
  }

  async #fetch() {
    const fresh = await get(this.element.dataset.url, this.stop.signal);
    const text = JSON.stringify(fresh.metrics);
    if (text === this.text) return;
    this.text = text;
    this.data = fresh;
    this.draw();
  }

  draw() {
    const { metrics, trials } = this.data;
    this.charts.forEach((chart) => chart.destroy());
    this.charts = [];
    if (!metrics.length) { this.element.replaceChildren(make("p", "muted", "A curve needs a metric that was reported twice.")); return; }
    const shownMetrics = this.all ? metrics : metrics.slice(0, FIRST);
    const boxes = make("div", "curves");
    if (!this.tools) this.tools = this.#tools();
    this.tools.querySelector("[data-part=more]").hidden = metrics.length <= FIRST;
    this.tools.querySelector("[data-part=more]").textContent = this.all ? `First ${FIRST}` : `All ${metrics.length} metrics`;
    if (this.tools.parentElement !== this.element) this.element.replaceChildren(this.tools, boxes);
    else { this.element.querySelectorAll(".curves, .curve-legend").forEach((old) => old.remove()); this.element.append(boxes); }
    if (trials.length > 1) this.tools.after(this.#legend(trials));
    shownMetrics.forEach((metric) => this.charts.push(this.#chart(metric, trials, boxes)));
  }

  #tools() {
    const tools = make("div", "tools curve-tools");
    const smooth = set(make("input"), { type: "range", min: 0, max: 0.95, step: 0.05, value: 0 });
    smooth.addEventListener("input", () => { this.smooth = Number(smooth.value); this.draw(); smooth.focus(); });
    const log = set(make("input"), { type: "checkbox" });
    log.addEventListener("change", () => { this.log = log.checked; this.draw(); });
    const one = make("label", "", "Smoothing "), two = make("label");
    one.append(smooth);
    two.append(log, " log scale");
    const more = set(make("button"), { type: "button", "data-part": "more" });
    more.addEventListener("click", () => { this.all = !this.all; this.draw(); });
    tools.append(one, two, more, make("span", "muted", "Drag to zoom, double-click to see all."));
    return tools;
  }

  #legend(trials) {
    const list = make("ul", "curve-legend plain");
    trials.forEach((trial, i) => {
      const item = make("li"), line = set(make("span", `line line-${i % COLOURS.length}`), { "aria-hidden": "true" });
      item.append(line, `trial ${trial}`);
      list.append(item);
    });
    return list;
  }

  #chart(metric, trials, boxes) {
    const box = make("figure", "curve"), colour = (name) => resolved(this.element, name);
    box.append(make("figcaption", "", metric.metric));
    boxes.append(box);
    const steps = [...new Set(metric.curves.flatMap((curve) => curve.steps))].sort((a, b) => a - b);
    const places = new Map(steps.map((step, i) => [step, i])), whole = steps.every(Number.isInteger);
    const lines = metric.curves.flatMap((curve) => {
      const values = Array(steps.length).fill(undefined);
      curve.steps.forEach((step, i) => { values[places.get(step)] = curve.values[i]; });
      const i = trials.indexOf(curve.trial), at = { label: `trial ${curve.trial}`, stroke: colour(COLOURS[i % COLOURS.length]), dash: DASHES[Math.floor(i / COLOURS.length) % 3] };
      if (!this.smooth) return [{ ...at, values, width: 1.6 }];
      return [{ ...at, values, width: 1, alpha: 0.25, label: "" }, { ...at, values: smoothed(values, this.smooth), width: 1.8 }];
    });
    const values = lines.flatMap((line) => line.values).filter((value) => value !== undefined && value !== null);
    const log = this.log && values.length && Math.min(...values) > 0;
    const axis = { stroke: colour("--muted"), grid: { stroke: colour("--line"), width: 1 }, ticks: { stroke: colour("--line"), width: 1 }, font: "11px system-ui, sans-serif" };
    const chart = new uPlot({
      width: Math.max(240, box.clientWidth), height: HEIGHT, legend: { show: false },
      cursor: { y: false, points: { size: 6 } },
      scales: { x: { time: false }, y: { distr: log ? 3 : 1 } },
      axes: [{ ...axis, label: this.data.unit, labelSize: 14, labelGap: 0, size: 34, labelFont: "11px system-ui, sans-serif", values: (_, ticks) => ticks.map((tick) => (whole && !Number.isInteger(tick) ? "" : number(tick))) },
        { ...axis, size: 58, values: (_, ticks) => ticks.map((tick) => (tick === null ? "" : number(tick))) }],
      series: [{}, ...lines.map((line) => ({ label: line.label, stroke: line.stroke, width: line.width, alpha: line.alpha ?? 1, dash: line.dash, spanGaps: true, points: { show: steps.length < 3 || undefined } }))],
      hooks: { setCursor: [(own) => this.#say(own, box, lines, steps)] },
    }, [steps, ...lines.map((line) => line.values)], box);
    const last = metric.curves.map((curve) => `trial ${curve.trial}: ${number(curve.values.findLast((value) => value !== null) ?? NaN)}`).join(", ");
    set(chart.root, { role: "img", "aria-label": `${metric.metric} over ${this.data.unit}; last values: ${last}` });
    box.append(set(make("p", "curve-now muted"), { "aria-hidden": "true" }));
    return chart;
  }

  #say(chart, box, lines, steps) {
    const now = box.querySelector(".curve-now"), at = chart.cursor.idx;
    if (!now) return;
    if (at === null || at === undefined) { now.textContent = ""; return; }
    const parts = lines.filter((line) => line.label && typeof line.values[at] === "number").map((line) => `${lines.length > 1 ? `${line.label} ` : ""}${number(line.values[at])}`);
    now.textContent = `${this.data.unit} ${number(steps[at])}: ${parts.join(", ")}`;
  }

  #fit() {
    for (const chart of this.charts) {
      const width = Math.max(240, chart.root.parentElement.clientWidth);
      if (Math.abs(width - chart.width) > 1) chart.setSize({ width, height: HEIGHT });
    }
  }
}

/** Exponential smoothing without the bias at the beginning, as TensorBoard does it. */
function smoothed(values, weight) {
  let last = 0, count = 0;
  return values.map((value) => {
    if (typeof value !== "number") return value;
    last = last * weight + (1 - weight) * value;
    count += 1;
    return last / (1 - weight ** count);
  });
}

/** What a colour of the style is now: a canvas does not know names. */
function resolved(element, name) {
  const probe = make("span");
  probe.style.color = `var(${name})`;
  element.append(probe);
  const colour = getComputedStyle(probe).color;
  probe.remove();
  return colour;
}
