// The table of a study's trials: <div data-module="trials/table" data-study="NAME" data-url="/studies/NAME">.
// It listens to `hpo:selection` (trials that were brushed in a figure) and tells `hpo:picked` (rows that are selected).

import { post } from "../fetch.js";
import { select, selected } from "../selection.js";
import { open as openStore } from "../store.js";
import { toast } from "../toast.js";
import { csv, download } from "./csv.js";
import { chooser } from "./columns.js";
import { Grid, make, set } from "./grid.js";
import { Rows, duration, shown } from "./rows.js";
import { QueryError } from "./query.js";
import { Tip } from "./tip.js";

const EVERY_MS = 1000, TYPING_MS = 120, MOST_COMPARED = 12;

export function mount(element) {
  const table = new Table(element);
  table.load();
  return () => table.end();
}

class Table {
  constructor(element) {
    this.element = element;
    this.study = element.dataset.study;
    this.url = element.dataset.url;
    this.rows = new Rows();
    this.memory = new Memory(`hpo-trials:${this.study}`);
    this.part = (name) => element.querySelector(`[data-part="${name}"]`);
    this.grid = new Grid(this.part("grid"), {
      label: `Trials of ${this.study}`,
      cell: (cell, column, row) => this.#cell(cell, column, row),
      isBest: (row) => this.rows.best.has(row),
      open: (row, event) => this.#open(row, event),
      sorted: (key) => this.#sort(key),
      resized: (key, width) => this.memory.width(key, width),
      selected: (rows) => this.#selected(rows),
      pointed: (row, line, atOnce) => this.tip.point(row, line, atOnce),
    });
    this.tip = new Tip((row) => this.#about(row));
    this.stop = new AbortController();
    this.#fromUrl();
  }

  load() {
    this.#wire();
    this.rows.brushed = selected() && new Set(selected());
    this.unfollow = openStore(this.url).follow((store, error) => {
      if (error) { this.part("problem").textContent = error.message; this.part("problem").hidden = false; return; }
      const first = this.rows.events < 0;
      if (this.rows.take(store)) this.#choose();
      this.#brush(this.rows.brushed, false);
      this.arrange();
      if (!first) return;
      this.memory.restore(this.grid);
      this.element.dataset.ready = "true";
    });
  }

  end() {
    this.memory.keep(this.grid);
    this.stop.abort();
    this.unfollow?.();
    clearInterval(this.clock);
    this.tip.end();
  }

  /** Filters and sorts anew, and says how many trials are shown. */
  arrange() {
    const problem = this.part("problem");
    try {
      this.rows.arrange();
      problem.hidden = true;
      this.part("filter").removeAttribute("aria-invalid");
    } catch (error) {
      if (!(error instanceof QueryError)) throw error;
      problem.textContent = error.message;
      problem.hidden = false;
      this.part("filter").setAttribute("aria-invalid", "true");
      return;
    }
    this.grid.setRows(this.rows.shown, this.rows.places, this.rows.sort);
    const all = this.rows.count, some = this.rows.shown.length, format = new Intl.NumberFormat();
    this.part("count").textContent = some === all ? `${format.format(all)} ${all === 1 ? "trial" : "trials"}` : `${format.format(some)} of ${format.format(all)}`;
    this.part("none").hidden = some > 0 || all === 0;
    this.part("empty").hidden = all > 0;
    this.part("grid").hidden = all === 0;
    this.#states();
  }

  // -- what the reader does -------------------------------------------------------------------------------------------

  #wire() {
    const { signal } = this.stop;
    const filter = this.part("filter"), state = this.part("state");
    let timer = 0;
    filter.addEventListener("input", () => {
      clearTimeout(timer);
      timer = setTimeout(() => { this.rows.text = filter.value; this.#toUrl(); this.arrange(); }, TYPING_MS);
    }, { signal });
    filter.addEventListener("keydown", (event) => {
      if (event.key === "Enter" || event.key === "ArrowDown") { event.preventDefault(); this.grid.focus(); }
      if (event.key === "Escape" && filter.value) { filter.value = ""; filter.dispatchEvent(new Event("input")); event.stopPropagation(); }
    }, { signal });
    state.addEventListener("change", () => { this.rows.state = state.value; this.#toUrl(); this.arrange(); }, { signal });
    this.part("columns").addEventListener("click", () => this.#chooser(), { signal });
    this.part("export").addEventListener("click", () => this.#export(), { signal });
    this.part("clear").addEventListener("click", () => this.#clear(), { signal });
    this.part("unbrush").addEventListener("click", () => select(null, "table"), { signal });
    this.part("compare").addEventListener("click", () => this.#compare(), { signal });
    this.part("deselect").addEventListener("click", () => { this.grid.select([]); this.grid.focus(); }, { signal });
    this.part("chosen").addEventListener("click", (event) => {
      const button = event.target.closest("button[data-do]");
      if (button) this.#act(button);
    }, { signal });
    document.addEventListener("hpo:selection", (event) => this.#brush(event.detail?.trials ?? null), { signal });
    document.addEventListener("keydown", (event) => { if (event.key === "Escape") this.tip.point(null); }, { signal });
    addEventListener("pagehide", () => this.memory.keep(this.grid), { signal });
    this.clock = setInterval(() => { if (!document.hidden && this.rows.states().get("running")) this.grid.draw(); }, EVERY_MS);
  }

  #brush(trials, arrange = true) {
    this.rows.brushed = trials === null ? null : new Set(trials);
    this.part("brushed").hidden = trials === null;
    if (trials !== null) this.part("brushed-count").textContent = `${this.rows.brushed.size} brushed`;
    if (arrange) this.arrange();
  }

  #clear() {
    this.part("filter").value = this.part("state").value = this.rows.text = this.rows.state = "";
    if (this.rows.brushed) select(null, "table");
    this.#toUrl();
    this.arrange();
    this.part("filter").focus();
  }

  #sort(key) {
    const { sort } = this.rows, column = this.rows.byKey.get(key);
    const bestFirst = column?.goal === "maximize" || key === "started" || key === "ended";
    this.rows.sort = { key, down: sort.key === key ? !sort.down : bestFirst };
    this.#toUrl();
    this.arrange();
  }

  #open(row, event) {
    const url = `${this.url}/trials/${row}`;
    if (event?.ctrlKey || event?.metaKey) open(url, "_blank", "noopener");
    else location.assign(url);
  }

  #selected(rows) {
    const count = rows.length;
    this.part("chosen").hidden = count === 0;
    this.part("chosen-count").textContent = `${count} selected`;
    this.part("compare").disabled = count < 2 || count > MOST_COMPARED;
    this.part("compare").title = count > MOST_COMPARED ? `At most ${MOST_COMPARED} trials are compared` : count < 2 ? "Select two or more" : "";
    document.dispatchEvent(new CustomEvent("hpo:picked", { detail: { trials: rows } }));
  }

  #compare() {
    location.assign(`${this.url}/compare?trials=${[...this.grid.selection].sort((a, b) => a - b).join(",")}`);
  }

  async #act(button) {
    const trials = [...this.grid.selection].sort((a, b) => a - b);
    button.disabled = true;
    try {
      const answer = await post(`${this.url}/trials`, new URLSearchParams({ do: button.dataset.do, trials: trials.join(",") }));
      toast(answer.message);
      document.dispatchEvent(new CustomEvent("hpo:changed"));
    } catch (error) { toast(error.message, true); } finally { button.disabled = false; }
  }

  #export() {
    const columns = this.columns.map((column) => ({ ...this.rows.byKey.get(column.key), heading: column.label }));
    download(`${this.study}-trials.csv`, csv(columns, this.rows.shown));
    toast(`${this.rows.shown.length} trials are in ${this.study}-trials.csv.`);
  }

  // -- columns --------------------------------------------------------------------------------------------------------

  #choose() {
    const wanted = this.memory.columns() ?? this.rows.defaults();
    const chosen = this.rows.columns.filter((column) => column.key === "trial" || wanted.includes(column.key));
    const names = new Map();
    chosen.forEach((column) => names.set(column.name, (names.get(column.name) ?? 0) + 1));
    this.columns = chosen.map((column) => ({
      key: column.key, name: column.name, group: column.group, number: !["text", "state"].includes(column.kind),
      width: this.memory.width(column.key) ?? width(column),
      label: names.get(column.name) > 1 && column.group === "param" ? `params.${column.name}` : column.name,
    }));
    this.grid.setColumns(this.columns);
  }

  async #chooser() {
    const now = new Set(this.columns.map((column) => column.key));
    const keys = await chooser(this.rows.columns, now, this.rows.defaults());
    if (keys === undefined) return;
    this.memory.choose(keys);
    this.#choose();
    this.arrange();
  }

  #states() {
    const select = this.part("state"), counts = this.rows.states();
    const text = [...counts].map(([state, count]) => `${state}:${count}`).join();
    if (select.dataset.now === text) return;
    select.dataset.now = text;
    const options = [...counts].sort().map(([state, count]) => Object.assign(make("option"), { value: state, textContent: `${state.replaceAll("_", " ")} (${count})` }));
    select.replaceChildren(Object.assign(make("option"), { value: "", textContent: "All states" }), ...options);
    select.value = this.rows.state;
  }

  // -- cells ----------------------------------------------------------------------------------------------------------

  #cell(cell, { key }, row) {
    const column = this.rows.byKey.get(key);
    let value = column.at(row), soFar = false;
    if (value === null && column.so_far) { value = column.so_far[row] ?? null; soFar = value !== null; }
    if (value === null && key === "duration" && this.rows.byKey.get("state").at(row) === "running") {
      const since = this.rows.byKey.get("started").at(row);
      if (since !== null) { value = Date.now() / 1000 - since; soFar = true; }
    }
    const text = soFar && key === "duration" ? duration(Math.max(0, value)) : shown(column, value);
    if (cell.dataset.text === text && cell.dataset.row === String(row) && cell.dataset.soFar === String(soFar) && key !== "trial") return;
    Object.assign(cell.dataset, { text, row, soFar });
    cell.classList.toggle("is-so-far", soFar);
    if (key === "trial") this.#trialCell(cell, row);
    else if (key === "state") stateCell(cell, value, text);
    else {
      cell.textContent = soFar && key !== "duration" ? `(${text})` : text;
      if (typeof value === "string" && text.length > 16) cell.title = text; else cell.removeAttribute("title");
    }
  }

  #trialCell(cell, row) {
    const best = this.rows.best.has(row);
    if (cell.dataset.best === String(best) && cell.firstChild) return;
    cell.dataset.best = best;
    const link = Object.assign(make("a", "", String(row)), { href: `${this.url}/trials/${row}`, tabIndex: -1, draggable: false });
    cell.replaceChildren(link);
    if (best) cell.append(set(make("span", "grid-star", "★"), { "aria-hidden": "true" }), make("span", "hidden", "best"));
  }

  /** What a trial was given and what it had, for the box that shows when somebody points at it. */
  #about(row) {
    const groups = { param: "Parameters", objective: "Objective", metric: "Metrics", run: "Run" };
    return {
      title: `Trial ${row}`,
      state: this.rows.byKey.get("state").at(row),
      groups: Object.entries(groups).map(([group, title]) => [title, this.rows.columns
        .filter((column) => column.group === group && (column.at(row) ?? column.so_far?.[row] ?? null) !== null)
        .map((column) => [column.name, shown(column, column.at(row) ?? column.so_far[row])])]).filter(([, pairs]) => pairs.length),
    };
  }

  // -- the address ----------------------------------------------------------------------------------------------------

  #fromUrl() {
    const asked = new URLSearchParams(location.search);
    this.part("filter").value = this.rows.text = asked.get("filter") ?? "";
    this.rows.state = asked.get("state") ?? "";
    const key = asked.get("sort");
    if (key) this.rows.sort = { key: key.replace(/^-/, ""), down: key.startsWith("-") };
  }

  #toUrl() {
    const url = new URL(location.href), { key, down } = this.rows.sort;
    const parts = { filter: this.rows.text.trim(), state: this.rows.state, sort: key === "trial" && !down ? "" : `${down ? "-" : ""}${key}` };
    for (const [name, value] of Object.entries(parts)) if (value) url.searchParams.set(name, value); else url.searchParams.delete(name);
    history.replaceState(history.state, "", url);
  }
}

const ICONS = { running: "▶", pending: "◌", paused: "⏸", completed: "✓", failed: "✕", timed_out: "✕", lost: "✕", stopped: "■", pruned: "⌄" };

function stateCell(cell, state, text) {
  const box = make("span", `state is-${String(state).replace(/[^a-z_]/g, "")}`);
  box.append(set(make("span", "grid-icon", ICONS[state] ?? ""), { "aria-hidden": "true" }), make("span", "", text));
  cell.replaceChildren(box);
}

function width(column) {
  if (column.key === "trial") return 78;
  if (column.key === "state") return 122;
  if (column.key === "reason") return 320;
  if (column.kind === "time") return 190;
  const name = Math.min(column.name.length, 20) * 7.4 + 36;
  const longest = Math.max(0, ...column.cells.slice(0, 200).map((cell) => shown(column, cell).length), column.so_far ? 10 : 0);
  return Math.round(Math.max(72, Math.min(220, Math.max(name, longest * 8.8 + 24))));
}

/** What a reader has chosen for a study, kept in this browser; where storage is forbidden, for this page only. */
class Memory {
  constructor(key) {
    this.key = key;
    this.kept = read(localStorage, key) ?? {};
  }

  columns() { return this.kept.columns ?? null; }

  choose(keys) {
    if (keys === null) delete this.kept.columns; else this.kept.columns = keys;
    write(localStorage, this.key, this.kept);
  }

  width(key, width) {
    if (width === undefined) return this.kept.widths?.[key];
    this.kept.widths = { ...this.kept.widths, [key]: width };
    write(localStorage, this.key, this.kept);
    return width;
  }

  /** Where the reader was, for when they come back from a trial. */
  keep(grid) {
    write(sessionStorage, this.key, { top: grid.box.scrollTop, left: grid.box.scrollLeft, active: grid.active, selection: [...grid.selection].slice(0, 1000) });
  }

  restore(grid) {
    const kept = read(sessionStorage, this.key);
    if (!kept) return;
    if (kept.selection?.length) grid.select(kept.selection);
    if (kept.active && (kept.active.row === null || grid.places.has(kept.active.row))) grid.active = kept.active;
    grid.box.scrollTop = kept.top ?? 0;
    grid.box.scrollLeft = kept.left ?? 0;
    grid.draw();
  }
}

function read(storage, key) { try { return JSON.parse(storage.getItem(key)); } catch { return null; } }
function write(storage, key, value) { try { storage.setItem(key, JSON.stringify(value)); } catch { /* forbidden or full */ } }
