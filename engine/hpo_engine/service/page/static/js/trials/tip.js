// The box with everything about a trial, beside the row that somebody points at. It stays while the pointer is in it.

import { make, set, tailed } from "./grid.js";

const AFTER_MS = 350, LEAVE_MS = 180;

export class Tip {
  /** `about(row)`: {title, state, groups: [[title, [[name, text], ...]], ...]}. */
  constructor(about) {
    this.about = about;
    this.row = null;
    this.timer = 0;
    this.box = set(make("div", "tip"), { role: "tooltip", id: `tip-${Math.random().toString(36).slice(2, 8)}` });
    this.box.hidden = true;
    document.body.append(this.box);
    this.box.addEventListener("mouseenter", () => clearTimeout(this.timer));
    this.box.addEventListener("mouseleave", () => this.point(null));
  }

  /** Shows a row, after a moment or at once; null: hides it. Returns whether something was hidden. */
  point(row, line = null, atOnce = false) {
    clearTimeout(this.timer);
    if (row === null) {
      const there = !this.box.hidden;
      if (there) this.timer = setTimeout(() => { this.box.hidden = true; this.row = null; }, LEAVE_MS);
      return there;
    }
    if (row === this.row && !this.box.hidden) return true;
    this.timer = setTimeout(() => this.#show(row, line), atOnce ? 0 : AFTER_MS);
    return true;
  }

  end() {
    clearTimeout(this.timer);
    this.box.remove();
  }

  #show(row, line) {
    if (!line?.isConnected) return;
    const { title, groups } = this.about(row);
    this.row = row;
    const lists = groups.map(([name, pairs]) => {
      const list = make("dl");
      pairs.slice(0, 40).forEach(([key, text]) => {
        const term = make("dt");
        term.append(tailed(key));
        list.append(term, make("dd", "", text));
      });
      const part = make("section");
      part.append(make("h3", "", name), list);
      if (pairs.length > 40) part.append(make("p", "muted", `and ${pairs.length - 40} more`));
      return part;
    });
    this.box.replaceChildren(make("strong", "", title), ...lists);
    this.box.hidden = false;
    const at = line.getBoundingClientRect(), own = this.box.getBoundingClientRect();
    const below = at.bottom + 4 + own.height <= innerHeight;
    const box = line.parentElement.parentElement.getBoundingClientRect();
    this.box.style.left = `${Math.max(8, Math.min(innerWidth - own.width - 8, Math.max(box.left, 0) + 118))}px`;
    this.box.style.top = `${below ? at.bottom + 2 : Math.max(8, at.top - own.height - 2)}px`;
  }
}
