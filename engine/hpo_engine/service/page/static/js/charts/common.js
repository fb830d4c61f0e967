// What charts have in common: colours of the page, marks of states, numbers, the box beside the pointer.

const NAMES = ["ink", "muted", "line", "faint", "edge", "accent", "best", "good", "bad", "purple", "sky", "brown", "paper", "tint"];

// The colours as they are now, by the names of style.css.
export function colours() {
  const probe = document.createElement("i"), found = {};
  probe.hidden = true;
  document.body.append(probe);
  for (const name of NAMES) {
    probe.style.color = `var(--${name})`;
    found[name] = getComputedStyle(probe).color;
  }
  probe.remove();
  return found;
}

// Of each state its colour and its mark, as in the figures of reports.
export const STATES = {
  completed: ["accent", "dot"], pruned: ["purple", "down"], running: ["good", "ring"], stopped: ["muted", "square"],
  failed: ["bad", "cross"], timed_out: ["brown", "cross"], lost: ["bad", "cross"], paused: ["sky", "square"], pending: ["faint", "ring"],
};

// Draws a mark of radius r at x, y.
export function mark(context, kind, x, y, r) {
  context.beginPath();
  if (kind === "dot") { context.arc(x, y, r, 0, 7); context.fill(); return; }
  if (kind === "ring") context.arc(x, y, r, 0, 7);
  else if (kind === "square") context.rect(x - r, y - r, 2 * r, 2 * r);
  else if (kind === "star") {
    for (let i = 0; i < 10; i += 1) { const a = -Math.PI / 2 + (i * Math.PI) / 5, d = i % 2 ? r * 0.45 : r; context.lineTo(x + d * Math.cos(a), y + d * Math.sin(a)); }
    context.closePath();
    context.fill();
  } else if (kind === "down") { context.moveTo(x - r, y - r * 0.8); context.lineTo(x + r, y - r * 0.8); context.lineTo(x, y + r); context.closePath(); }
  else { context.moveTo(x - r, y - r); context.lineTo(x + r, y + r); context.moveTo(x + r, y - r); context.lineTo(x - r, y + r); }
  context.stroke();
}

// Six digits and no noise.
export function number(value) {
  if (value === null || value === undefined) return "";
  if (typeof value !== "number") return String(value);
  if (Number.isInteger(value) && Math.abs(value) < 1e15) return String(value);
  const [mantissa, exponent] = (Math.abs(value) < 1e-4 ? value.toExponential(5) : value.toPrecision(6)).split("e");
  const short = mantissa.includes(".") ? mantissa.replace(/\.?0+$/, "") : mantissa;
  return exponent === undefined ? short : `${short}e${Number(exponent)}`;
}

// Ticks: few digits.
export function short(value) {
  if (value === 0) return "0";
  const size = Math.abs(value);
  if (size >= 1e6) { const [mantissa, exponent] = value.toExponential(2).split("e"); return `${Number(mantissa)}e${Number(exponent)}`; }
  return number(Number(value.toPrecision(size < 1e-3 ? 3 : 6)));
}

// The range of an axis that shows good values well where bad ones would squeeze them (reports/ranges.py); null: all.
export function visible(values, maximise, log) {
  const finite = values.filter((value) => value !== null && Number.isFinite(value) && (!log || value > 0)).map((value) => (log ? Math.log10(value) : value));
  if (finite.length < 5) return null;
  const losses = finite.map((value) => (maximise ? -value : value)).sort((a, b) => a - b);
  const at = (share) => losses[Math.floor(share * (losses.length - 1))];
  const [best, middle, poor] = [at(0), at(0.5), at(0.9)];
  const limit = middle + 4 * Math.max(poor - middle, middle - best);
  if (losses[losses.length - 1] <= limit || limit <= best) return null;
  const worst = losses.filter((loss) => loss <= limit).pop(), pad = 0.06 * (worst - best) || 1;
  const ends = maximise ? [-(worst + pad), -(best - pad)] : [best - pad, worst + pad];
  return log ? ends.map((end) => 10 ** end) : ends;
}

export function element(name, className, text) {
  const made = document.createElement(name);
  if (className) made.className = className;
  if (text !== undefined) made.textContent = text;
  return made;
}

// The box beside the pointer: a title, and names with values.
export class Tip {
  constructor() {
    this.box = element("div", "chart-tip");
    this.box.hidden = true;
    document.body.append(this.box);
  }

  show(x, y, title, pairs) {
    const list = element("dl");
    for (const [name, value] of pairs.slice(0, 14)) list.append(element("dt", "", name), element("dd", "", number(value)));
    this.box.replaceChildren(element("strong", "", title), list);
    if (pairs.length > 14) this.box.append(element("span", "muted", `and ${pairs.length - 14} more`));
    this.box.hidden = false;
    const { width, height } = this.box.getBoundingClientRect();
    this.box.style.left = `${x + 16 + width > innerWidth ? Math.max(8, x - 16 - width) : x + 16}px`;
    this.box.style.top = `${Math.max(8, Math.min(y + 12, innerHeight - height - 8))}px`;
  }

  hide() { this.box.hidden = true; }
  end() { this.box.remove(); }
}

// A legend: marks with words.
export function legend(place, entries) {
  const paint = colours();
  place.replaceChildren(...entries.map(([kind, colour, words]) => {
    const item = element("span"), canvas = document.createElement("canvas"), scale = devicePixelRatio || 1;
    canvas.width = 16 * scale; canvas.height = 12 * scale;
    canvas.style.width = "16px"; canvas.style.height = "12px";
    canvas.style.verticalAlign = "-2px"; canvas.style.marginRight = "4px";
    const context = canvas.getContext("2d");
    context.scale(scale, scale);
    context.strokeStyle = context.fillStyle = paint[colour];
    context.lineWidth = kind === "line" ? 2 : 1.4;
    if (kind === "line") { context.beginPath(); context.moveTo(0, 6); context.lineTo(16, 6); context.stroke(); } else mark(context, kind, 8, 6, kind === "star" ? 6 : 3.6);
    item.append(canvas, words);
    return item;
  }));
}

// Asks for a drawing at the next frame, at most once.
export function frames(draw) {
  let asked = 0;
  return () => { asked ||= requestAnimationFrame(() => { asked = 0; draw(); }); };
}
