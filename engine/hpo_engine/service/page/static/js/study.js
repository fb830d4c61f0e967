// The page of a study: its head follows what happens, tabs by number keys, and what charts share is told of news.

import { follow, throttled } from "./live.js";
import { open } from "./store.js";

const EVERY_MS = 1000;

// What a study shows besides its head is another matter once it has begun, and once it has a trial.
async function next(url, before) {
  if (before === "waits") location.reload();
  else await htmx.ajax("GET", url + location.search, { target: "#tab", swap: "outerHTML" });
}

// On a phone neither all tabs nor all figures' names are in sight.
function showTab() {
  for (const chosen of document.querySelectorAll(":is(.tabs, .pills) [aria-current]")) chosen.scrollIntoView({ inline: "nearest", block: "nearest" });
}

export function mount(page) {
  const url = page.dataset.url, store = open(url);
  let { stage } = document.getElementById("study-head").dataset;
  const head = throttled(async () => {
    await htmx.ajax("GET", url + location.search, { target: "#study-head", swap: "outerMorph", headers: { "X-Part": "head" } });
    const before = stage;
    stage = document.getElementById("study-head").dataset.stage;
    if (before !== stage) await next(url, before);
    const count = document.getElementById("tab-trials");
    if (count && store.count) count.textContent = store.count.toLocaleString("en");
  }, EVERY_MS);
  const news = () => {
    if (document.hidden) return;
    head();
    store.refresh();
    document.dispatchEvent(new CustomEvent("hpo:news"));
  };
  const key = (event) => {
    const tabs = document.querySelectorAll("[data-tab]"), at = Number(event.detail);
    if (at >= 1 && at <= tabs.length) tabs[at - 1].click();
  };
  document.addEventListener("hpo:key", key);
  document.addEventListener("htmx:after:swap", showTab);
  showTab();
  document.addEventListener("hpo:changed", news);
  const end = follow(`/events?study=${encodeURIComponent(page.dataset.study)}`, ["studies"], news);
  return () => {
    end();
    document.removeEventListener("hpo:key", key);
    document.removeEventListener("htmx:after:swap", showTab);
    document.removeEventListener("hpo:changed", news);
  };
}
