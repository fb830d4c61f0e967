// Figures by Plotly, which is loaded when the first of them is shown.

import { get } from "../fetch.js";
import { open } from "../store.js";
import { element } from "./common.js";

let loading = null;

// The page's policy forbids style elements and style attributes. Plotly leaves the element of this id alone if it is
// marked so; its styles are in a file. Those of maps, which it would add to the head, are not needed. The attributes (of
// bold text, say) are set as properties, which is allowed.
function plotly(script, style) {
  loading ??= new Promise((resolve, reject) => {
    const plain = Element.prototype.setAttribute;
    Element.prototype.setAttribute = function set(name, value) {
      if (name === "style" && this.style) this.style.cssText = value; else plain.call(this, name, value);
    };
    const { head } = document;
    head.appendChild = (node) => (node.tagName === "STYLE" ? node : Node.prototype.appendChild.call(head, node));
    const link = document.createElement("link"), code = document.createElement("script");
    Object.assign(link, { rel: "stylesheet", href: style, id: "plotly.js-style-global", className: "no-inline-styles" });
    code.src = script;
    code.onload = () => resolve(window.Plotly);
    code.onerror = () => { loading = null; reject(new Error("Plotly could not be loaded")); };
    head.append(link, code);
  });
  return loading;
}

export function mount(place) {
  const figure = new Figure(place);
  return () => figure.end();
}

class Figure {
  constructor(place) {
    this.place = place;
    this.part = (name) => place.querySelector(`[data-part="${name}"]`);
    this.again = () => this.draw();
    this.events = -1;
    document.addEventListener("hpo:theme", this.again);
    this.part("again").addEventListener("click", this.again);
    const store = open(place.dataset.url);
    this.unfollow = store.follow(() => {
      if (this.events >= 0 && store.events > this.events) this.part("again").hidden = false;
      if (this.events < 0) this.events = store.events;
    });
    this.store = store;
    this.draw();
  }

  async draw() {
    const { url, figure, plotly: script, style } = this.place.dataset;
    const chosen = document.documentElement.dataset.theme;
    const dark = chosen ? chosen === "dark" : matchMedia("(prefers-color-scheme: dark)").matches;
    const plot = this.part("plot");
    try {
      const [Plotly, found] = await Promise.all([plotly(script, style), get(`${url}/figures/${figure}.json?dark=${dark}`)]);
      if (!plot.isConnected) return;
      this.part("again").hidden = true;
      this.events = this.store.events;
      this.part("wait")?.remove();
      if (found.nothing) { plot.replaceChildren(element("p", "muted", `Nothing to show: ${found.nothing}.`)); return; }
      const layout = { ...found.layout, paper_bgcolor: "rgba(0,0,0,0)", plot_bgcolor: "rgba(0,0,0,0)" };
      await Plotly.react(plot, found.data, layout, { responsive: true, displaylogo: false, displayModeBar: false, showTips: false });
    } catch (error) {
      plot.replaceChildren(element("p", "problem", error.message));
    }
  }

  end() {
    document.removeEventListener("hpo:theme", this.again);
    this.unfollow();
    window.Plotly?.purge(this.part("plot"));
  }
}
