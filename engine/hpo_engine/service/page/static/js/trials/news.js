// Tells the parts of a page that its study has changed: one connection for all of them.

import { follow } from "../live.js";

export function mount({ dataset }) {
  return follow(`/events?study=${encodeURIComponent(dataset.study)}`, ["studies"], () => document.dispatchEvent(new CustomEvent("hpo:news")));
}
