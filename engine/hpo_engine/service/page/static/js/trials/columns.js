// The dialog in which the columns of the table are chosen.

import { make, set, tailed } from "./grid.js";

const TITLES = { "": "Trial", objective: "Objective", param: "Parameters", metric: "Metrics", run: "Run" };

/** The keys of the chosen columns; null: what varies; undefined: nothing was changed. */
export function chooser(columns, now, defaults) {
  const dialog = set(make("dialog", "chooser"), { "aria-label": "Columns" });
  const find = set(make("input"), { type: "search", placeholder: "Find a column", "aria-label": "Find a column" });
  const boxes = [];
  const groups = Object.entries(TITLES).map(([group, title]) => {
    const found = columns.filter((column) => column.group === group && column.key !== "trial");
    const field = make("fieldset");
    field.hidden = !found.length;
    field.append(make("legend", "", title), ...found.map((column) => {
      const label = make("label"), box = Object.assign(make("input"), { type: "checkbox", value: column.key, checked: now.has(column.key) });
      label.title = column.name;
      label.append(box, tailed(column.name));
      boxes.push({ box, label, name: column.name.toLowerCase() });
      return label;
    }));
    return field;
  });
  const button = (text, act, kind = "") => Object.assign(make("button", kind, text), { type: "button", onclick: act });
  return new Promise((resolve) => {
    let answer;
    const check = (test) => boxes.forEach(({ box, label }) => { if (!label.hidden) box.checked = test(box.value); });
    const tools = make("div", "tools");
    tools.append(find, button("Only what varies", () => check((key) => defaults.includes(key))), button("All", () => check(() => true)), button("None", () => check(() => false)));
    const ends = make("div", "ends");
    ends.append(button("Cancel", () => dialog.close()), button("Show these", () => {
      const keys = boxes.filter(({ box }) => box.checked).map(({ box }) => box.value);
      const usual = defaults.filter((key) => key !== "trial");
      answer = keys.length === usual.length && keys.every((key) => usual.includes(key)) ? null : keys;
      dialog.close();
    }, "primary"));
    find.addEventListener("input", () => {
      const wanted = find.value.trim().toLowerCase();
      boxes.forEach(({ label, name }) => { label.hidden = !name.includes(wanted); });
    });
    const all = make("div", "chooser-groups");
    all.append(...groups);
    dialog.append(make("h2", "", "Columns"), tools, all, ends);
    dialog.addEventListener("close", () => { dialog.remove(); resolve(answer); });
    document.body.append(dialog);
    dialog.showModal();
  });
}
