// Which trials are selected by brushes in a figure. The brushes are kept in the URL (`brush`), so that a link and the
// other tabs have them; whoever shows trials listens to `hpo:selection`, with `detail.trials`: numbers, or null for all.

let trials = null;

// The brushes in the URL: name of an axis -> [low, high], or null for an axis that only knows values.
export function brushes() {
  const text = new URLSearchParams(location.search).get("brush");
  try { return new Map(Object.entries(JSON.parse(text || "{}"))); } catch { return new Map(); }
}

// Keeps the brushes in the URL, and in the links to the tabs.
export function keep(found) {
  const url = new URL(location), text = found.size ? JSON.stringify(Object.fromEntries(found)) : "";
  if (text) url.searchParams.set("brush", text); else url.searchParams.delete("brush");
  history.replaceState(history.state, "", url);
}

// Tells everybody.
export function select(numbers, source) {
  trials = numbers;
  document.dispatchEvent(new CustomEvent("hpo:selection", { detail: { trials: numbers, source } }));
}

// The selected trials as they are now, or null.
export function selected() { return trials; }
