// A uPlot that fits its place, has the page's colours, and shows what is nearest to the pointer or chosen by keys.

import uPlot from "../../vendor/uplot-1.6.32.js";
import { Tip, colours, short } from "./common.js";

const NEAR = 26; // pixels
const LETTER = 6.4; // pixels, of an axis's words

export class Plot {
  // place: the element. shape: {series, scales, axes: [words of x, words of y], draw(u, context, paint)}, of which a
  // function of the colours is given. points(u): {x, y, id} arrays in pixels of what can be pointed at. about(id): [title, pairs].
  constructor(place, { shape, points, about, pick, label }) {
    Object.assign(this, { place, shape, points, about, pick });
    this.tip = new Tip();
    this.u = null;
    this.near = null;
    this.zoomed = false;
    place.tabIndex = 0;
    place.setAttribute("role", "group");
    place.setAttribute("aria-label", label);
    this.live = document.createElement("p");
    this.live.className = "hidden";
    this.live.setAttribute("aria-live", "polite");
    place.after(this.live);
    this.sizes = new ResizeObserver(() => this.#resize());
    this.sizes.observe(place);
    this.again = () => this.draw(this.data, true);
    document.addEventListener("hpo:theme", this.again);
    place.addEventListener("mousemove", (event) => this.#move(event));
    place.addEventListener("mouseleave", () => this.#leave());
    place.addEventListener("click", () => { if (this.near !== null && !this.dragged) this.pick?.(this.near); });
    place.addEventListener("keydown", (event) => this.#key(event));
    place.addEventListener("blur", () => this.#leave());
  }

  // Shows data, arrays as uPlot has them. anew: the shape has changed, too.
  draw(data, anew = false) {
    this.data = data;
    if (!data) return;
    if (this.u && !anew) {
      this.u.setData(data, !this.zoomed);
      if (this.zoomed) this.u.redraw();
      return;
    }
    this.u?.destroy();
    this.zoomed = false;
    const paint = colours(), shape = this.shape(paint);
    const axis = (words, side, size) => ({
      stroke: paint.muted, font: "12px system-ui, sans-serif", labelFont: "12px system-ui, sans-serif", label: words, labelSize: 18,
      grid: { stroke: paint.line, width: 1 }, ticks: { stroke: paint.line, width: 1, size: 4 }, size, side, gap: 4,
    });
    const xWords = fitting(shape.axes[0], this.place.clientWidth), yWords = fitting(shape.axes[1], this.place.clientHeight), log = shape.scales.y.distr === 3;
    const wide = this.place.clientWidth > 560;
    this.u = new uPlot({
      width: this.place.clientWidth, height: this.place.clientHeight, padding: [10, 14, 0, 0],
      scales: shape.scales, legend: { show: false },
      cursor: { drag: { x: true, y: true, uni: 24 }, points: { show: false }, y: false, x: false },
      axes: [
        { ...axis(xWords, 2, 30), ...(shape.scales.x.time ? {} : { values: (u, ticks) => ticks.map((tick) => (shape.whole && !Number.isInteger(tick) ? "" : short(tick))) }) },
        { ...axis(wide ? yWords : null, 3, 62), values: (u, ticks) => ticks.map((tick) => (tick === null || (log && !rounds(tick, ticks)) ? "" : short(tick))) },
      ],
      series: shape.series,
      hooks: {
        draw: [(u) => shape.draw(u, u.ctx, paint)],
        setSelect: [(u) => { this.dragged = u.select.width > 0 || u.select.height > 0; if (this.dragged) this.zoomed = true; setTimeout(() => { this.dragged = false; }); }],
      },
    }, data, this.place);
    this.u.over.addEventListener("dblclick", () => { this.zoomed = false; });
  }

  #resize() {
    if (this.u && this.place.clientWidth) this.u.setSize({ width: this.place.clientWidth, height: this.place.clientHeight });
  }

  #move(event) {
    if (!this.u) return;
    if (event.buttons) { this.#leave(); return; }
    const box = this.u.over.getBoundingClientRect(), x = event.clientX - box.left, y = event.clientY - box.top;
    const found = this.points(this.u);
    let best = null, least = NEAR * NEAR;
    for (let i = 0; i < found.id.length; i += 1) {
      const d = (found.x[i] - x) ** 2 + (found.y[i] - y) ** 2;
      if (d < least) { least = d; best = i; }
    }
    this.#show(best === null ? null : found.id[best], best === null ? 0 : box.left + found.x[best], best === null ? 0 : box.top + found.y[best], best === null ? null : found.extra?.[best]);
    this.place.style.cursor = best !== null && this.pick ? "pointer" : "";
  }

  #show(id, x, y, extra) {
    const changed = id !== this.near;
    this.near = id;
    if (id === null) this.tip.hide(); else this.tip.show(x, y, ...this.about(id, extra));
    if (changed) this.u.redraw(false);
  }

  #leave() { if (this.u && this.near !== null) this.#show(null); }

  #key(event) {
    if (!this.u || !["ArrowLeft", "ArrowRight", "Enter", "Escape"].includes(event.key)) return;
    if (event.key === "Enter") { if (this.near !== null) this.pick?.(this.near); return; }
    if (event.key === "Escape") { this.#leave(); return; }
    event.preventDefault();
    const found = this.points(this.u), ids = [...found.id].map((id, i) => [id, i]).sort((a, b) => a[0] - b[0]);
    if (!ids.length) return;
    const at = ids.findIndex(([id]) => id === this.near), by = event.key === "ArrowRight" ? 1 : -1;
    const [id, i] = ids[at < 0 ? (by > 0 ? 0 : ids.length - 1) : Math.max(0, Math.min(ids.length - 1, at + by))];
    const box = this.u.over.getBoundingClientRect();
    this.#show(id, box.left + found.x[i], box.top + found.y[i], found.extra?.[i]);
    const [title, pairs] = this.about(id, found.extra?.[i]);
    this.live.textContent = `${title}: ${pairs.slice(0, 6).map((pair) => pair.join(" ")).join(", ")}`;
  }

  end() {
    document.removeEventListener("hpo:theme", this.again);
    this.sizes.disconnect();
    this.u?.destroy();
    this.tip.end();
    this.live.remove();
  }
}

// Words that are longer than their axis, without their middle.
function fitting(words, pixels) {
  const most = Math.max(8, Math.floor((pixels - 60) / LETTER)), half = Math.floor((most - 1) / 2);
  return words && words.length > most ? `${words.slice(0, half)}…${words.slice(-half)}` : words;
}

// On a logarithmic axis: whether a tick gets a number (powers of ten, or 2 and 5 where there are few).
function rounds(tick, ticks) {
  const first = Number(tick.toExponential().split("e")[0]);
  const decades = Math.log10(ticks[ticks.length - 1] / ticks[0]);
  return first === 1 || (decades < 2.5 && (first === 2 || first === 5)) || decades < 0.7;
}
