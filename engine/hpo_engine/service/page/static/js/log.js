// The engine's log: its end is in sight, and what is new is added while nobody has scrolled away from there.

import { throttled } from "./live.js";

export function mount(panel) {
  const log = panel.querySelector(".log");
  if (log) log.scrollTop = log.scrollHeight;
  const again = throttled(async () => {
    const here = document.querySelector("#tab .log");
    if (!here || document.hidden || here.scrollTop + here.clientHeight < here.scrollHeight - 40) return;
    await htmx.ajax("GET", `${panel.dataset.url}?tab=log`, { target: "#tab", swap: "outerMorph" });
    const now = document.querySelector("#tab .log");
    if (now) now.scrollTop = now.scrollHeight;
  }, 2000);
  document.addEventListener("hpo:news", again);
  return () => document.removeEventListener("hpo:news", again);
}
