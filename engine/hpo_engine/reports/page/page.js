"use strict";
// The page of a report: unpacks Plotly and the data, draws the figures, sorts and pages the table. It asks nothing of
// any server, and puts no text from the study into the page other than as text.
(() => {
  const byId = (id) => document.getElementById(id);
  const root = document.documentElement;
  const nonce = document.currentScript.nonce;
  let dark = false, plots = [], darkOf = {};

  async function unpacked(id) {
    const text = atob(byId(id).textContent);
    const bytes = Uint8Array.from(text, (c) => c.charCodeAt(0));
    const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("gzip"));
    return new Response(stream).text();
  }

  // -- themes ---------------------------------------------------------------------------------------------------------
  const wished = () => {
    const fixed = root.dataset.fixed;
    if (fixed) return fixed === "dark";
    try { const kept = localStorage.getItem("hpo-engine-theme"); if (kept) return kept === "dark"; } catch { /* file: */ }
    return matchMedia("(prefers-color-scheme: dark)").matches;
  };
  function turn(toDark) {
    dark = toDark;
    root.dataset.theme = dark ? "dark" : "light";
    byId("theme").textContent = dark ? "Light" : "Dark";
    plots.forEach((plot) => plot.drawn && redraw(plot));
  }
  function inTheme(thing) {
    if (!dark) return thing;
    if (typeof thing === "string") {
      if (darkOf[thing]) return darkOf[thing];
      const found = /^rgba\((\d+), (\d+), (\d+), ([\d.e-]+)\)$/.exec(thing);
      if (!found) return thing;
      const hex = (n) => Number(n).toString(16).padStart(2, "0");
      const other = darkOf["#" + hex(found[1]) + hex(found[2]) + hex(found[3])];
      if (!other) return thing;
      const part = (k) => parseInt(other.slice(k, k + 2), 16);
      return `rgba(${part(1)}, ${part(3)}, ${part(5)}, ${found[4]})`;
    }
    if (Array.isArray(thing)) return thing.length > 500 && typeof thing[0] !== "object" && !darkOf[thing[0]] ? thing : thing.map(inTheme);
    if (thing && typeof thing === "object") {
      if ("bdata" in thing) return thing;
      return Object.fromEntries(Object.entries(thing).map(([key, value]) => [key, inTheme(value)]));
    }
    return thing;
  }

  // -- figures --------------------------------------------------------------------------------------------------------
  const resolved = (thing, pool) => {
    if (Array.isArray(thing)) return thing.map((one) => resolved(one, pool));
    if (thing && typeof thing === "object") {
      if ("@" in thing) return pool[thing["@"]];
      return Object.fromEntries(Object.entries(thing).map(([key, value]) => [key, resolved(value, pool)]));
    }
    return thing;
  };
  const config = { displaylogo: false, responsive: true, modeBarButtonsToRemove: ["lasso2d", "select2d", "autoScale2d", "sendDataToCloud"] };
  function redraw(plot) {
    const narrow = plot.place.clientWidth < 560;
    const layout = inTheme({ ...plot.layout, template: plot.template, autosize: true });
    delete layout.width;
    if (narrow) layout.margin = { ...layout.margin, l: 44, r: 8 };
    plot.drawn = true;
    return Plotly.react(plot.place, inTheme(plot.data), layout, { ...config, displayModeBar: narrow ? false : "hover" });
  }
  function choices(plot, menu) {
    // The figure's own menu as one of the page: it looks like the others, and the keyboard reaches it.
    const box = document.createElement("label"), select = document.createElement("select");
    box.className = "choice"; box.append("show ", select);
    menu.buttons.forEach((button, k) => select.append(new Option(button.label.replace(/&lt;/g, "<").replace(/&gt;/g, ">").replace(/&#36;/g, "$").replace(/&#123;/g, "{").replace(/&amp;/g, "&"), k)));
    select.value = menu.active || 0;
    select.onchange = () => {
      const [traces, layout] = menu.buttons[select.value].args;
      plot.data.forEach((trace, k) => { for (const key in traces) trace[key] = Array.isArray(traces[key]) ? traces[key][k % traces[key].length] : traces[key]; });
      for (const path in layout || {}) {
        const keys = path.split("."), last = keys.pop();
        keys.reduce((at, key) => (at[key] = { ...at[key] }), plot.layout)[last] = layout[path];
      }
      redraw(plot);
    };
    plot.place.before(box);
  }
  async function figures(data) {
    darkOf = data.darkOf;
    plots = data.figures.map((figure) => {
      const { updatemenus, ...layout } = resolved(figure.layout, data.pool);
      const plot = { place: byId("figure-" + figure.name), data: resolved(figure.data, data.pool), layout, template: data.template, drawn: false };
      if (updatemenus) choices(plot, updatemenus[0]);
      plot.place.style.minHeight = (layout.height || 420) + "px";
      return plot;
    });
    const code = document.createElement("script");
    code.nonce = nonce;
    code.textContent = await unpacked("plotly");
    document.head.append(code);
    const seen = new IntersectionObserver((entries) => entries.forEach((entry) => {
      const plot = plots.find((one) => one.place === entry.target);
      if (entry.isIntersecting && !plot.drawn) redraw(plot);
    }), { rootMargin: "600px" });
    plots.forEach((plot) => seen.observe(plot.place));
    const rest = () => { const plot = plots.find((one) => !one.drawn); if (plot) { redraw(plot); setTimeout(rest, 30); } else root.dataset.ready = "true"; };
    setTimeout(rest, 60);
  }

  // -- tables ---------------------------------------------------------------------------------------------------------
  const shown = (value) => value === null ? "" : typeof value === "number" ? String(Number.isInteger(value) ? value : parseFloat(value.toPrecision(6))) : String(value);
  function trials(columns, best) {
    const table = byId("trials"), size = 50, count = columns[0].cells.length;
    const fronts = new Set(best);
    let order = [...Array(count).keys()], page = 0, by = null, down = false;
    const kept = () => {
      const state = byId("state").value, words = byId("filter").value.toLowerCase();
      return order.filter((i) => (!state || columns[1].cells[i] === state) &&
        (!words || columns.some((column) => shown(column.cells[i]).toLowerCase().includes(words))));
    };
    function sort(column) {
      down = by === column ? !down : false;
      by = column;
      const sign = down ? -1 : 1;
      order = [...Array(count).keys()].sort((a, b) => {
        const x = column.cells[a], y = column.cells[b];
        if (x === null || y === null) return (x === null) - (y === null) || a - b;
        if (typeof x === "number" && typeof y === "number") return sign * (x - y) || a - b;
        return sign * String(x).localeCompare(String(y), undefined, { numeric: true }) || a - b;
      });
      page = 0; show();
    }
    const head = table.tHead.insertRow();
    columns.forEach((column) => {
      const cell = document.createElement("th"), button = document.createElement("button");
      button.textContent = column.name; button.title = column.name; button.onclick = () => sort(column);
      column.head = cell; cell.scope = "col"; cell.className = column.kind; cell.append(button); head.append(cell);
    });
    function show() {
      const rows = kept(), pages = Math.max(1, Math.ceil(rows.length / size));
      page = Math.min(page, pages - 1);
      const body = document.createElement("tbody");
      rows.slice(page * size, (page + 1) * size).forEach((i) => {
        const row = body.insertRow();
        if (fronts.has(i)) row.className = "best";
        columns.forEach((column) => {
          const cell = row.insertCell(), text = shown(column.cells[i]);
          cell.textContent = column.name === "trial" && fronts.has(i) ? text + " ★" : text;
          cell.className = column.kind; cell.title = text.length > 30 ? text : "";
        });
      });
      table.tBodies[0].replaceWith(body);
      columns.forEach((column) => column.head.setAttribute("aria-sort", column === by ? (down ? "descending" : "ascending") : "none"));
      columns.forEach((column) => { column.head.firstChild.textContent = column.name + (column === by ? (down ? " ▼" : " ▲") : ""); });
      byId("where").textContent = rows.length ? `${page * size + 1}–${Math.min(rows.length, (page + 1) * size)} of ${rows.length}` : "none";
      byId("before").disabled = page === 0; byId("after").disabled = page >= pages - 1;
    }
    byId("before").onclick = () => { page -= 1; show(); };
    byId("after").onclick = () => { page += 1; show(); };
    byId("filter").oninput = byId("state").onchange = () => { page = 0; show(); };
    [...new Set(columns[1].cells)].sort().forEach((state) => byId("state").append(new Option(state, state)));
    show();
  }

  function copying() {
    document.querySelectorAll("button[data-copies]").forEach((button) => {
      button.onclick = async () => {
        const source = byId(button.dataset.copies);
        try { await navigator.clipboard.writeText(source.textContent); }
        catch {  // a file: page, or an old browser
          const range = document.createRange(); range.selectNodeContents(source);
          getSelection().removeAllRanges(); getSelection().addRange(range); document.execCommand("copy");
        }
        button.textContent = "Copied"; setTimeout(() => { button.textContent = "Copy"; }, 1500);
      };
    });
  }

  async function begin() {
    byId("theme").onclick = () => {
      turn(!dark);
      try { localStorage.setItem("hpo-engine-theme", dark ? "dark" : "light"); } catch { /* file: */ }
    };
    turn(wished());
    copying();
    const data = JSON.parse(await unpacked("data"));
    if (data.columns[0].cells.length) trials(data.columns, data.best);
    await figures(data);
    let before = dark;
    addEventListener("beforeprint", () => { before = dark; plots.forEach((plot) => { plot.drawn = true; }); turn(false); });
    addEventListener("afterprint", () => turn(before));
  }
  begin();
})();
