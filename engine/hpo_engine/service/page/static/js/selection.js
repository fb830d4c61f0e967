// Which trials are selected by brushes in a figure. The brushes are in the URL (`brush`), for links, and kept while the
// page is open, for its other tabs. Whoever shows trials asks for `selected` and listens to `hpo:selection`, whose
// `detail.trials` are numbers, or null for all.

let kept = new Map(); // name of an axis -> [low, high], shares of the axis
let trials = null;

// The brushes as the URL has them, or as they were in the tab that is left.
export function brushes() {
  const text = new URLSearchParams(location.search).get("brush");
  try { return text ? new Map(Object.entries(JSON.parse(text))) : kept; } catch { return kept; }
}

// Keeps the brushes, also in the URL.
export function keep(found) {
  kept = found;
  const url = new URL(location);
  if (found.size) url.searchParams.set("brush", JSON.stringify(Object.fromEntries(found))); else url.searchParams.delete("brush");
  history.replaceState(history.state, "", url);
}

// Tells everybody which trials are selected. source: who says so; whoever but the figure clears its brushes, too.
export function select(numbers, source) {
  trials = numbers;
  if (numbers === null && source !== "parallel") kept = new Map();
  document.dispatchEvent(new CustomEvent("hpo:selection", { detail: { trials: numbers, source } }));
}

// The selected trials as they are now, or null.
export function selected() { return trials; }
