// Events from the server (SSE). The connection is closed while the page is in the background, because a browser allows
// six of them per host. Whenever it has opened, `changed` is called once, as something may have been missed.

const SOONEST_MS = 1000, LATEST_MS = 30000;

// Calls `changed(data)` for each event of these names. Returns what ends it.
export function follow(url, names, changed) {
  let source = null, timer = 0, wait = SOONEST_MS;
  const status = document.getElementById("live");

  function open() {
    clearTimeout(timer);
    source = new EventSource(url);
    source.onopen = () => {
      wait = SOONEST_MS;
      status.hidden = true;
      changed(null);
    };
    source.onerror = () => {
      source.close();
      status.textContent = "not live: the server does not answer";
      status.hidden = false;
      timer = setTimeout(open, wait);
      wait = Math.min(LATEST_MS, wait * 2);
    };
    for (const name of names) source.addEventListener(name, (event) => changed(event.data ? JSON.parse(event.data) : {}));
  }

  function seen() {
    if (document.hidden) { clearTimeout(timer); source?.close(); source = null; } else if (!source) open();
  }

  document.addEventListener("visibilitychange", seen);
  if (!document.hidden) open();
  return () => { document.removeEventListener("visibilitychange", seen); clearTimeout(timer); source?.close(); };
}

// At most one call of `work` per `ms`, the last one never lost; calls do not overlap.
export function throttled(work, ms) {
  let timer = 0, busy = false, again = false;
  async function run() {
    timer = 0;
    busy = true;
    try { await work(); } catch (error) { console.warn(String(error)); } finally { busy = false; }
    if (again) { again = false; timer = setTimeout(run, ms); }
  }
  return () => {
    if (busy) again = true;
    else if (!timer) timer = setTimeout(run, ms);
  };
}
