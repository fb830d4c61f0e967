// A trial's page: its facts while it runs, its output as it grows, keys.

import { follow, throttled } from "../live.js";

const EVERY_MS = 1000, NEAR = 24;

export function mount(element) {
  const stop = new AbortController(), { signal } = stop;
  const { url } = element.dataset;
  const output = new Output(element, `${url}/log/events`);
  const again = throttled(async () => {
    if (document.hidden || !document.getElementById("trial")) return;
    await htmx.ajax("GET", location.pathname, { target: "#trial", swap: "outerMorph" });
  }, EVERY_MS);
  document.addEventListener("hpo:changed", again, { signal });
  document.addEventListener("hpo:key", ({ detail }) => {
    if (detail === "f") output.toggle();
    else document.querySelector(`a[data-key="${CSS.escape(detail)}"]`)?.click();
  }, { signal });
  document.addEventListener("hpo:news", again, { signal });
  return () => { stop.abort(); output.end(); };
}

class Output {
  constructor(element, url) {
    const part = (name) => element.querySelector(`[data-part="${name}"]`);
    this.box = part("output");
    this.check = part("follow");
    this.size = part("size");
    this.silent = part("silent");
    this.url = url;
    this.#bottom();
    this.check.addEventListener("change", () => this.#bottom());
    part("wrap").addEventListener("change", (event) => this.box.classList.toggle("is-unwrapped", !event.target.checked));
    // Who scrolls up wants to read: following ends until they are at the end again, or ask for it.
    this.box.addEventListener("scroll", () => { this.check.checked = this.box.scrollHeight - this.box.scrollTop - this.box.clientHeight < NEAR; }, { passive: true });
    if (element.dataset.open === "true") this.#listen();
    else this.check.closest("label").hidden = true;
  }

  toggle() {
    this.check.checked = !this.check.checked;
    this.#bottom();
  }

  end() { this.close?.(); }

  #listen() {
    this.close = follow(this.url, ["log", "over"], (news) => {
      if (news === null) return;
      if (!news.lines) { this.close?.(); this.close = null; return; }
      const text = news.lines.join("\n");
      if (this.box.textContent !== text) this.box.textContent = text;
      this.size.textContent = news.size ? `${amount(news.size)}${news.cut ? ", only the end is shown" : ""}` : "";
      this.silent.hidden = news.lines.length > 0;
      this.#bottom();
    });
  }

  #bottom() { if (this.check.checked) this.box.scrollTop = this.box.scrollHeight; }
}

function amount(bytes) {
  const units = ["bytes", "kB", "MB", "GB"];
  let size = bytes, unit = 0;
  while (size >= 999.5 && unit < 3) { size /= 1000; unit += 1; }
  return `${unit && size < 9.95 ? size.toFixed(1) : Math.round(size)} ${units[unit]}`;
}
