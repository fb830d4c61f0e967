// Learning curves: what trials reported step by step, smoothed if wanted, the best one in front.

import uPlot from "../../vendor/uplot-1.6.32.js";
import { get } from "../fetch.js";
import { throttled } from "../live.js";
import { open } from "../store.js";
import { STATES, element, legend, visible } from "./common.js";
import { Plot } from "./plot.js";

const EVERY_MS = 3000;

export function mount(panel) {
  const chart = new Curves(panel);
  return () => chart.end();
}

class Curves {
  constructor(panel) {
    this.panel = panel;
    this.url = panel.dataset.url;
    this.part = (name) => panel.querySelector(`[data-part="${name}"]`);
    this.store = open(this.url);
    this.data = null;
    this.plot = new Plot(this.part("chart"), {
      label: "Learning curves; arrow keys go from trial to trial",
      shape: (paint) => this.#shape(paint), points: (u) => this.#points(u), about: (row, extra) => this.#about(row, extra),
      pick: (row) => location.assign(`${this.url}/trials/${row}`),
    });
    for (const name of ["metric", "show", "most"]) this.part(name).addEventListener("change", () => this.#read());
    this.part("smooth").addEventListener("input", () => this.#draw());
    this.part("log").addEventListener("click", (event) => {
      const button = event.currentTarget;
      button.setAttribute("aria-pressed", String(button.getAttribute("aria-pressed") !== "true"));
      this.#draw();
    });
    const again = throttled(() => this.#read(), EVERY_MS);
    let first = true;
    this.unfollow = this.store.follow(() => { if (!first) again(); first = false; });
    this.#read();
  }

  end() { this.unfollow(); this.plot.end(); }

  async #read() {
    const asked = new URLSearchParams({ show: this.part("show").value, most: this.part("most").value });
    if (this.part("metric").value) asked.set("metric", this.part("metric").value);
    try {
      this.data = await get(`${this.url}/learning.json?${asked}`);
    } catch (error) {
      this.#nothing(error.message);
      return;
    }
    const choice = this.part("metric"), known = [...choice.options].map((option) => option.value).join("\n");
    if (known !== this.data.metrics.join("\n")) {
      choice.replaceChildren(...this.data.metrics.map((name) => { const option = element("option", "", name); option.value = name; return option; }));
      choice.value = this.data.metric;
    }
    this.#draw();
  }

  #nothing(words) {
    this.panel.classList.add("is-empty");
    if (!this.part("chart").querySelector(".nothing")) this.part("chart").append(element("p", "nothing", words));
  }

  #draw() {
    const data = this.data, curves = data.curves.filter((curve) => curve.y.some((y) => y !== null));
    this.part("chart").querySelector(".nothing")?.remove();
    this.panel.classList.remove("is-empty");
    if (!curves.length) { this.plot.draw(null); this.#nothing(`No trial has reported ${data.metric} yet.`); return; }
    const weight = Number(this.part("smooth").value);
    // the best one last, so that it is drawn over the others
    this.curves = curves.map((curve) => ({ ...curve, shown: smoothed(curve.y, weight) })).sort((a, b) => (a.trial === data.best) - (b.trial === data.best));
    const single = this.curves.every((curve) => curve.x.length === 1);
    const every = this.curves.flatMap((curve) => curve.shown);
    const positive = every.every((y) => y === null || y > 0);
    this.part("log").disabled = !positive;
    if (!positive) this.part("log").setAttribute("aria-pressed", "false");
    this.log = this.part("log").getAttribute("aria-pressed") === "true";
    this.range = visible(every, data.goal === "maximize", this.log);
    this.single = single;
    this.plot.draw(uPlot.join(this.curves.map((curve) => [curve.x, curve.shown])), true);
    const kinds = Object.keys(STATES).filter((state) => this.curves.some((curve) => curve.state === state));
    legend(this.part("legend"), [
      ...(this.curves.some((curve) => curve.trial === data.best) ? [["line", "best", `best, trial ${data.best}`]] : []),
      ...kinds.map((state) => ["line", STATES[state][0], state.replaceAll("_", " ")]),
    ]);
    if (data.total > curves.length) this.part("legend").append(element("span", "", `${curves.length} of ${data.total.toLocaleString("en")} curves`));
  }

  #shape(paint) {
    const [many, best] = [this.curves.length, this.data.best];
    const range = (u, low, high) => {
      const [from, to] = this.range ?? [low, high];
      if (from === null || to === null) return this.log ? [0.1, 1] : [0, 1];
      if (this.log) return [from / 1.1, to * 1.1];
      const pad = (to - from) * 0.05 || Math.abs(to) * 0.1 || 1;
      return [from - pad, to + pad];
    };
    const line = (curve) => {
      const first = curve.trial === best, colour = first ? paint.best : paint[(STATES[curve.state] ?? STATES.pending)[0]];
      return {
        stroke: colour, width: first ? 2.4 : 1.1, alpha: first ? 1 : many > 100 ? 0.3 : many > 30 ? 0.45 : 0.75,
        points: { show: this.single || curve.x.length === 1, size: first ? 8 : 5, fill: colour }, spanGaps: true,
      };
    };
    return {
      scales: { x: { time: false, range: (u, low, high) => { const pad = (high - low) * 0.015 || 0.5; return [low - pad, high + pad]; } }, y: { distr: this.log ? 3 : 1, range } },
      axes: [this.data.step, this.data.metric], series: [{}, ...this.curves.map(line)],
      draw: (u, context) => this.#near(u, context, paint),
    };
  }

  #near(u, context, paint) {
    const curve = this.curves.find((one) => one.trial === this.plot.near);
    if (!curve) return;
    context.save();
    context.beginPath();
    context.rect(u.bbox.left, u.bbox.top, u.bbox.width, u.bbox.height);
    context.clip();
    context.beginPath();
    curve.x.forEach((x, i) => { if (curve.shown[i] !== null) context.lineTo(u.valToPos(x, "x", true), u.valToPos(curve.shown[i], "y", true)); });
    context.strokeStyle = paint.ink;
    context.lineWidth = 2 * (devicePixelRatio || 1);
    context.stroke();
    context.restore();
  }

  #points(u) {
    const found = { x: [], y: [], id: [], extra: [] };
    for (const curve of this.curves) {
      curve.x.forEach((x, i) => {
        if (curve.shown[i] === null) return;
        found.x.push(u.valToPos(x, "x"));
        found.y.push(u.valToPos(curve.shown[i], "y"));
        found.id.push(curve.trial);
        found.extra.push([x, curve.y[i]]);
      });
    }
    return found;
  }

  #about(row, extra) {
    const state = this.store.at("state", row), pairs = extra ? [[this.data.step, extra[0]], [this.data.metric, extra[1]]] : [];
    return [`Trial ${row}${state ? `, ${state.replaceAll("_", " ")}` : ""}`, [...pairs, ...this.store.params(row)]];
  }
}

// Exponential smoothing without the bias of its beginning; gaps stay gaps.
function smoothed(values, weight) {
  if (!weight) return values;
  let mean = 0, count = 0;
  return values.map((value) => {
    if (value === null) return null;
    mean = mean * weight + (1 - weight) * value;
    count += 1;
    return mean / (1 - weight ** count);
  });
}
