// A table of any number of rows as an ARIA grid: only the rows in sight are in the page. Rows are known by a number that
// stays theirs (a trial's), so that scroll position, selection and the active cell survive sorting, filtering and news.

const ROW = 32, SPARE = 8, NARROW = 48, WIDE = 900;
const BOX = 34;

export class Grid {
  /**
   * @param {HTMLElement} element its content is replaced
   * @param {object} how `label`; `cell(element, column, row)` fills a cell; `rowName(row)`; `isBest(row)`;
   *   `open(row, event)`, `sorted(key)`, `resized(key, width)`, `selected(rows)`, `pointed(row | null, element)`
   */
  constructor(element, how) {
    this.how = how;
    this.columns = [];
    this.order = new Int32Array(0);
    this.places = new Map();
    this.selection = new Set();
    this.active = { row: null, column: 0 };   // row -1: the headers
    this.sort = { key: "", down: false };
    this.pool = new Map();                    // row -> element
    this.anchor = null;
    this.id = `grid-${Math.random().toString(36).slice(2, 8)}`;
    this.#build(element);
  }

  #build(element) {
    this.box = make("div", "grid-box");
    this.box.tabIndex = 0;
    set(this.box, { role: "grid", "aria-label": this.how.label, "aria-multiselectable": "true" });
    const headGroup = set(make("div", "grid-heads"), { role: "rowgroup" });
    this.head = set(make("div", "grid-row grid-head"), { role: "row", "aria-rowindex": "1" });
    this.space = set(make("div", "grid-space"), { role: "rowgroup" });
    headGroup.append(this.head);
    this.box.append(headGroup, this.space);
    element.replaceChildren(this.box);
    this.box.addEventListener("scroll", () => this.#later(), { passive: true });
    this.box.addEventListener("keydown", (event) => this.#key(event));
    this.box.addEventListener("click", (event) => this.#click(event));
    this.box.addEventListener("dblclick", (event) => this.#fitOrOpen(event));
    this.box.addEventListener("pointerdown", (event) => this.#grab(event));
    this.box.addEventListener("mouseover", (event) => this.#point(event));
    this.box.addEventListener("mouseleave", () => this.how.pointed(null));
    this.box.addEventListener("focus", () => { if (this.active.row === null) this.#activate(this.order[0] ?? -1, this.active.column, false); });
    new ResizeObserver(() => this.#later()).observe(this.box);
  }

  /** Other columns: [{key, name, number, width, label}]. */
  setColumns(columns) {
    const key = this.columns[this.active.column - 1]?.key;
    this.columns = columns;
    const kept = columns.findIndex((column) => column.key === key);
    this.active.column = kept >= 0 ? kept + 1 : Math.min(this.active.column, columns.length);
    this.pool.forEach((element) => element.remove());
    this.pool.clear();
    this.#drawHead();
    this.#widths();
    this.draw();
  }

  /** Other rows, or another order: what was in sight stays where it was. */
  setRows(order, places, sort) {
    const top = this.box.scrollTop;
    const seen = top > 0 ? this.order[Math.floor(top / ROW)] : undefined;
    this.order = order;
    this.places = places;
    const turned = sort.key !== this.sort.key || sort.down !== this.sort.down;
    this.sort = { ...sort };
    this.space.style.height = `${order.length * ROW}px`;
    if (turned) this.#marks();
    if (seen !== undefined && !turned && places.has(seen)) this.box.scrollTop = places.get(seen) * ROW + (top % ROW);
    if (this.active.row !== null && this.active.row >= 0 && !places.has(this.active.row)) this.active.row = order[0] ?? null;
    this.draw();
  }

  /** Draws the rows in sight, changed ones too. */
  draw() {
    this.#drawn = false;
    set(this.box, { "aria-rowcount": this.order.length + 1, "aria-colcount": this.columns.length + 1 });
    const height = this.box.clientHeight || 400;
    const from = Math.max(0, Math.floor(this.box.scrollTop / ROW) - SPARE);
    const to = Math.min(this.order.length, Math.ceil((this.box.scrollTop + height) / ROW) + SPARE);
    const wanted = new Set(this.order.subarray(from, to));
    if (this.active.row !== null && this.places.has(this.active.row)) wanted.add(this.active.row);   // a screen reader is there
    this.pool.forEach((element, row) => { if (!wanted.has(row)) { element.remove(); this.pool.delete(row); } });
    const places = [...wanted].sort((a, b) => this.places.get(a) - this.places.get(b));
    let before = null;
    for (const row of places) {
      const element = this.pool.get(row) ?? this.#newRow(row);
      this.#fill(element, row);
      const follows = before === null ? this.space.firstChild : before.nextSibling;
      if (follows !== element) this.space.insertBefore(element, follows);
      before = element;
    }
    this.#point_out();
  }

  select(rows) {
    this.selection = new Set(rows);
    this.draw();
    this.how.selected([...this.selection]);
  }

  focus() { this.box.focus({ preventScroll: true }); }

  #drawn = false;
  #later() {
    if (this.#drawn) return;
    this.#drawn = true;
    requestAnimationFrame(() => this.draw());
  }

  #newRow(row) {
    const element = set(make("div", "grid-row"), { role: "row", id: `${this.id}-${row}` });
    const box = set(make("div", "grid-cell grid-pick"), { role: "gridcell", "aria-colindex": "1", id: `${this.id}-${row}-0` });
    box.append(set(make("span", "grid-tick"), { "aria-hidden": "true" }), make("span", "hidden"));
    element.append(box);
    this.columns.forEach((column, i) => {
      const cell = set(make("div", column.number ? "grid-cell number" : "grid-cell"), {
        role: column.key === "trial" ? "rowheader" : "gridcell", "aria-colindex": i + 2, id: `${this.id}-${row}-${i + 1}`,
      });
      if (column.key === "trial") cell.classList.add("grid-first");
      element.append(cell);
    });
    element.dataset.row = row;
    this.pool.set(row, element);
    return element;
  }

  #fill(element, row) {
    const place = this.places.get(row), picked = this.selection.has(row);
    element.style.transform = `translateY(${place * ROW}px)`;
    set(element, { "aria-rowindex": place + 2, "aria-selected": String(picked) });
    element.classList.toggle("is-picked", picked);
    element.classList.toggle("is-best", this.how.isBest(row));
    element.firstChild.lastChild.textContent = picked ? "selected" : "not selected";
    this.columns.forEach((column, i) => this.how.cell(element.children[i + 1], column, row));
  }

  #drawHead() {
    const all = set(make("div", "grid-cell grid-pick"), { role: "columnheader", "aria-colindex": "1", id: `${this.id}-h-0` });
    all.append(set(make("span", "grid-tick"), { "aria-hidden": "true" }), make("span", "hidden", "Select all that are shown"));
    this.head.replaceChildren(all, ...this.columns.map((column, i) => {
      const cell = set(make("div", column.number ? "grid-cell number" : "grid-cell"), {
        role: "columnheader", "aria-colindex": i + 2, id: `${this.id}-h-${i + 1}`, title: column.label,
      });
      cell.dataset.key = column.key;
      if (column.key === "trial") cell.classList.add("grid-first");
      const name = make("span", "grid-name");
      name.append(tailed(column.name));
      if (column.group === "param") name.classList.add("is-param");
      const grip = set(make("span", "grid-grip"), { "aria-hidden": "true" });
      cell.append(name, set(make("span", "grid-arrow"), { "aria-hidden": "true" }), grip);
      return cell;
    }));
    this.#marks();
  }

  #marks() {
    [...this.head.children].forEach((cell) => {
      if (!cell.dataset.key) return;
      const sorted = cell.dataset.key === this.sort.key;
      cell.setAttribute("aria-sort", sorted ? (this.sort.down ? "descending" : "ascending") : "none");
    });
  }

  #widths() {
    const tracks = [`${BOX}px`, ...this.columns.map((column) => `${column.width}px`)];
    this.box.style.setProperty("--tracks", tracks.join(" "));
    const width = BOX + this.columns.reduce((sum, column) => sum + column.width, 0);
    this.box.style.setProperty("--wide", `${width}px`);
  }

  // -- the active cell ------------------------------------------------------------------------------------------------

  #activate(row, column, scroll = true) {
    this.active = { row, column: Math.max(0, Math.min(this.columns.length, column)) };
    if (scroll && row >= 0 && this.places.has(row)) this.#reveal(this.places.get(row));
    this.draw();
    if (scroll) this.#revealColumn();
  }

  #reveal(place) {
    const top = place * ROW, room = this.box.clientHeight - this.head.offsetHeight;
    if (top < this.box.scrollTop) this.box.scrollTop = top;
    else if (top + ROW > this.box.scrollTop + room) this.box.scrollTop = top + ROW - room;
  }

  #revealColumn() {
    const cell = this.head.children[this.active.column];
    if (!cell || this.active.column === 0 || cell.classList.contains("grid-first")) return;
    const fixed = BOX + (this.columns[0]?.key === "trial" ? this.columns[0].width : 0);
    const left = cell.offsetLeft, right = left + cell.offsetWidth;
    if (left - fixed < this.box.scrollLeft) this.box.scrollLeft = left - fixed;
    else if (right > this.box.scrollLeft + this.box.clientWidth) this.box.scrollLeft = right - this.box.clientWidth;
  }

  #point_out() {
    const { row, column } = this.active;
    const id = row === null ? "" : row < 0 ? `${this.id}-h-${column}` : `${this.id}-${row}-${column}`;
    this.box.querySelector(".is-active-cell")?.classList.remove("is-active-cell");
    this.box.querySelectorAll(".is-active").forEach((each) => each.classList.remove("is-active"));
    const cell = id && document.getElementById(id);
    if (!cell) { this.box.removeAttribute("aria-activedescendant"); return; }
    cell.classList.add("is-active-cell");
    cell.parentElement.classList.add("is-active");
    this.box.setAttribute("aria-activedescendant", id);
  }

  #step(by) {
    const place = this.active.row < 0 ? -1 : this.places.get(this.active.row) ?? 0;
    const next = Math.max(-1, Math.min(this.order.length - 1, place + by));
    return next < 0 ? -1 : this.order[next];
  }

  #key(event) {
    if (event.ctrlKey || event.metaKey || event.altKey || event.target !== this.box) {
      if (!((event.ctrlKey || event.metaKey) && ["Home", "End", "a"].includes(event.key))) return;
    }
    const { row, column } = this.active, page = Math.max(1, Math.floor(this.box.clientHeight / ROW) - 2);
    const ends = event.ctrlKey || event.metaKey;
    const header = row === -1 ? this.columns[column - 1] : null;
    const moves = {
      ArrowDown: () => this.#moveTo(this.#step(1), column, event), ArrowUp: () => this.#moveTo(this.#step(-1), column, event),
      j: () => this.#moveTo(this.#step(1), column, event), k: () => this.#moveTo(this.#step(-1), column, event),
      PageDown: () => this.#moveTo(this.#step(page), column, event), PageUp: () => this.#moveTo(this.#step(-page), column, event),
      ArrowRight: () => (header && event.shiftKey ? this.#resize(header, 16) : this.#activate(row, column + 1)),
      ArrowLeft: () => (header && event.shiftKey ? this.#resize(header, -16) : this.#activate(row, column - 1)),
      Home: () => (ends ? this.#activate(this.order[0] ?? -1, 0) : this.#activate(row, 0)),
      End: () => (ends ? this.#activate(this.order.at(-1) ?? -1, this.columns.length) : this.#activate(row, this.columns.length)),
      Enter: () => (row === -1 ? (header ? this.how.sorted(header.key) : this.#all()) : row !== null && this.how.open(row, event)),
      x: () => row >= 0 && row !== null && this.#toggle(row), " ": () => (row === -1 ? (header ? this.how.sorted(header.key) : this.#all()) : row !== null && this.#toggle(row)),
      i: () => row >= 0 && row !== null && this.how.pointed(row, document.getElementById(`${this.id}-${row}`), true),
      Escape: () => (this.how.pointed(null) || (this.selection.size && this.select([]))),
      a: () => ends && this.select(this.order),
    };
    const move = moves[event.key];
    if (!move || (event.key === "a" && !ends)) return;
    event.preventDefault();
    event.stopPropagation();
    if (event.key !== "i" && event.key !== "Escape") this.how.pointed(null);
    move();
  }

  #moveTo(row, column, event) {
    if (event.shiftKey && row >= 0) {
      const rows = new Set(this.selection);
      if (this.active.row >= 0) rows.add(this.active.row);
      rows.add(row);
      this.selection = rows;
      this.how.selected([...rows]);
    }
    this.#activate(row, column);
  }

  #toggle(row) {
    const rows = new Set(this.selection);
    if (!rows.delete(row)) rows.add(row);
    this.anchor = row;
    this.select(rows);
  }

  #all() {
    const every = this.order.length > 0 && this.order.every((row) => this.selection.has(row));
    this.select(every ? [] : this.order);
  }

  // -- the pointer ----------------------------------------------------------------------------------------------------

  #click(event) {
    if (this.#dragged) { this.#dragged = false; return; }
    const cell = event.target.closest(".grid-cell"), line = event.target.closest(".grid-row");
    if (!cell || !line) return;
    const column = [...line.children].indexOf(cell);
    if (line === this.head) {
      if (event.target.closest(".grid-grip")) return;
      this.#activate(-1, column, false);
      if (column > 0) this.how.sorted(this.columns[column - 1].key);
      else this.#all();
      return;
    }
    const row = Number(line.dataset.row);
    this.#activate(row, column, false);
    if (column === 0 || event.ctrlKey || event.metaKey) {
      if (event.shiftKey) this.#range(row);
      else this.#toggle(row);
    } else if (event.shiftKey) this.#range(row);
    else if (event.target.closest("a")) return;
    else if (event.detail < 2 && matchMedia("(pointer: coarse)").matches) this.how.open(row, event);
  }

  #range(row) {
    const from = this.places.get(this.anchor ?? row) ?? this.places.get(row), to = this.places.get(row);
    const rows = new Set(this.selection);
    for (let place = Math.min(from, to); place <= Math.max(from, to); place += 1) rows.add(this.order[place]);
    getSelection()?.removeAllRanges();
    this.select(rows);
  }

  #fitOrOpen(event) {
    const grip = event.target.closest(".grid-grip"), line = event.target.closest(".grid-row");
    if (grip) {
      const column = this.columns[[...this.head.children].indexOf(grip.parentElement) - 1];
      const place = this.columns.indexOf(column) + 1;
      const cells = [this.head.children[place], ...[...this.pool.values()].map((row) => row.children[place])];
      column.width = NARROW;
      this.#widths();
      this.#resize(column, Math.max(...cells.map((cell) => cell.scrollWidth)) + 8 - NARROW);
    } else if (line && line !== this.head && !event.target.closest(".grid-pick")) this.how.open(Number(line.dataset.row), event);
  }

  #dragged = false;
  #grab(event) {
    const grip = event.target.closest(".grid-grip");
    if (!grip) return;
    event.preventDefault();
    const column = this.columns[[...this.head.children].indexOf(grip.parentElement) - 1];
    const start = event.clientX, width = column.width;
    grip.setPointerCapture(event.pointerId);
    const move = (moved) => { this.#dragged = true; this.#resize(column, width + moved.clientX - start - column.width, false); };
    const end = () => {
      grip.removeEventListener("pointermove", move);
      this.how.resized(column.key, column.width);
      setTimeout(() => { this.#dragged = false; });
    };
    grip.addEventListener("pointermove", move);
    grip.addEventListener("lostpointercapture", end, { once: true });
  }

  #resize(column, by, tell = true) {
    column.width = Math.max(NARROW, Math.min(WIDE, column.width + by));
    this.#widths();
    if (tell) this.how.resized(column.key, column.width);
  }

  #point(event) {
    const cell = event.target.closest(".grid-first"), line = event.target.closest(".grid-row");
    if (cell && line && line !== this.head) this.how.pointed(Number(line.dataset.row), line);
    else if (!event.target.closest(".grid-first")) this.how.pointed(null);
  }
}

/** A name of which the middle is hidden where there is no room, so that its tail can be read. */
export function tailed(name, tail = 12) {
  const whole = make("span", "mid");
  if (name.length <= tail + 4) { whole.textContent = name; return whole; }
  const head = make("span", "mid-head"), end = make("span", "mid-tail");
  head.textContent = name.slice(0, -tail);
  end.textContent = name.slice(-tail);
  whole.append(head, end);
  return whole;
}

export function make(tag, name = "", text = "") {
  const element = document.createElement(tag);
  if (name) element.className = name;
  if (text) element.textContent = text;
  return element;
}

export function set(element, attributes) {
  for (const [name, value] of Object.entries(attributes)) if (element.getAttribute(name) !== String(value)) element.setAttribute(name, value);
  return element;
}
