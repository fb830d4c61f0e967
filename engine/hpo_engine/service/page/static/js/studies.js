// The list of studies: new rows when something changes, and a way through it by keyboard.

import { follow, throttled } from "./live.js";

export function mount(list) {
  const again = throttled(async () => {
    const here = document.getElementById("studies");
    if (!here || document.hidden) return;
    await htmx.ajax("GET", location.pathname + location.search, { target: "#studies", swap: "outerMorph" });
    if (!document.getElementById("filter") && document.querySelector("#studies table")) location.reload(); // the first study has come
  }, 1000);
  const key = (event) => { if (event.detail === "j" || event.detail === "k") move(event.detail === "j" ? 1 : -1); };
  document.addEventListener("hpo:key", key);
  document.addEventListener("hpo:changed", again);
  const end = follow("/events", ["studies"], again);
  return () => { end(); document.removeEventListener("hpo:key", key); document.removeEventListener("hpo:changed", again); };
}

function move(by) {
  const links = [...document.querySelectorAll("#studies .name a")];
  const at = links.indexOf(document.activeElement);
  links[Math.max(0, Math.min(links.length - 1, at < 0 ? 0 : at + by))]?.focus();
}
