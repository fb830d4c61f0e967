// Which trials of a study are selected by brushes in a figure. The brushes are in the URL (`brush`), for links, and kept
// while the page is open, for its other tabs. Whoever shows trials asks for `selected` and listens to `hpo:selection`,
// whose `detail.trials` are numbers, or null for all.

const kept = new Map(); // URL of a study -> its brushes: name of an axis -> [low, high], shares of the axis
const trials = new Map(); // URL of a study -> numbers of trials, or null

// The brushes of a study.
export function brushes(study) {
  const text = new URLSearchParams(location.search).get("brush");
  try { return text ? new Map(Object.entries(JSON.parse(text))) : kept.get(study) ?? new Map(); } catch { return new Map(); }
}

// Keeps the brushes, also in the URL.
export function keep(study, found) {
  kept.set(study, found);
  const url = new URL(location);
  if (found.size) url.searchParams.set("brush", JSON.stringify(Object.fromEntries(found))); else url.searchParams.delete("brush");
  history.replaceState(history.state, "", url);
}

// Tells everybody which trials are selected.
export function select(study, numbers, source) {
  trials.set(study, numbers);
  document.dispatchEvent(new CustomEvent("hpo:selection", { detail: { trials: numbers, source } }));
}

// The selected trials of a study as they are now, or null.
export function selected(study) { return trials.get(study) ?? null; }

document.addEventListener("hpo:selection", (event) => {
  if (event.detail.trials === null && event.detail.source === "table") { trials.clear(); kept.clear(); }
});
