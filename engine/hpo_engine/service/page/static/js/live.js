// Events from the server (SSE). Parts of a page that follow the same URL share one connection. It is closed while the
// page is in the background, because a browser allows six of them per host. Whenever it has opened, everybody is told
// once, as something may have been missed.

const SOONEST_MS = 1000, LATEST_MS = 30000;
const lines = new Map();

// Calls `changed(data)` for each event of these names, and `changed(null)` when the connection has opened. Returns what
// ends it.
export function follow(url, names, changed) {
  if (!lines.has(url)) lines.set(url, new Line(url));
  return lines.get(url).add(names, changed);
}

class Line {
  constructor(url) {
    this.url = url;
    this.listeners = new Set();
    this.source = null;
    this.timer = 0;
    this.wait = SOONEST_MS;
    document.addEventListener("visibilitychange", () => this.#seen());
  }

  add(names, changed) {
    const listener = { names, changed };
    this.listeners.add(listener);
    if (this.source?.readyState === EventSource.OPEN) changed(null);
    this.#seen();
    return () => { this.listeners.delete(listener); this.#seen(); };
  }

  #seen() {
    const wanted = this.listeners.size > 0 && !document.hidden;
    if (wanted && !this.source) this.#open();
    if (!wanted) { clearTimeout(this.timer); this.source?.close(); this.source = null; }
  }

  #open() {
    clearTimeout(this.timer);
    const source = this.source = new EventSource(this.url), status = document.getElementById("live");
    const tell = (name, data) => { for (const each of [...this.listeners]) if (name === null || each.names.includes(name)) each.changed(data); };
    source.onopen = () => { this.wait = SOONEST_MS; status.hidden = true; tell(null, null); };
    source.onerror = () => {
      source.close();
      status.textContent = "not live: the server does not answer";
      status.hidden = false;
      this.timer = setTimeout(() => this.#open(), this.wait);
      this.wait = Math.min(LATEST_MS, this.wait * 2);
    };
    for (const name of new Set([...this.listeners].flatMap((each) => each.names))) {
      source.addEventListener(name, (event) => tell(name, event.data ? JSON.parse(event.data) : {}));
    }
  }
}

// Work that is done at most once per `ms`, the last call never lost; calls do not overlap.
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
