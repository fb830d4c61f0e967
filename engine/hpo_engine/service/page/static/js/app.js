// What every page has: colours, shortcuts, messages, dialogs, forms that answer with a message, times, copying, and the
// modules of its parts: <div data-module="curves"> gets `mount(element)` of curves.js, and what that returns is called
// when the element leaves the page.

import { toast } from "./toast.js";
import { post } from "./fetch.js";

const root = document.documentElement;
const mounted = new Map(); // element -> what ends its module, or null

// -- modules ------------------------------------------------------------------------------------------------------------

async function mountAll() {
  for (const [element, end] of mounted) {
    if (element.isConnected) continue;
    mounted.delete(element);
    if (end) end();
  }
  for (const element of document.querySelectorAll("[data-module]")) {
    if (mounted.has(element)) continue;
    mounted.set(element, null);
    const module = await import(`./${element.dataset.module}.js`);
    if (element.isConnected) mounted.set(element, (await module.mount(element)) || null);
  }
}

// -- colours ------------------------------------------------------------------------------------------------------------

const THEMES = ["", "light", "dark"];

function showTheme() {
  const word = root.dataset.theme || "system";
  const text = word === "system" ? "Colours: as the system has them" : `Colours: ${word}`;
  document.getElementById("theme").title = text;
  document.getElementById("theme-word").textContent = text;
}

function nextTheme() {
  const next = THEMES[(THEMES.indexOf(root.dataset.theme || "") + 1) % THEMES.length];
  if (next) root.dataset.theme = next; else delete root.dataset.theme;
  try { localStorage.setItem("hpo-theme", next); } catch { /* storage is forbidden: for this page only */ }
  showTheme();
  document.dispatchEvent(new CustomEvent("hpo:theme"));
}

matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => document.dispatchEvent(new CustomEvent("hpo:theme")));
document.getElementById("theme").addEventListener("click", nextTheme);

// -- shortcuts ----------------------------------------------------------------------------------------------------------

let before = "";
const typing = (target) => target.closest("input, select, textarea, [contenteditable]") !== null;

document.addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey || typing(event.target) || document.querySelector("dialog[open]")) return;
  const key = before + event.key;
  before = event.key === "g" ? "g " : "";
  const search = document.querySelector("[data-search]");
  if (key === "?") document.getElementById("shortcuts").showModal();
  else if (key === "/" && search) search.focus();
  else if (key === "g s") location.assign("/");
  else if (key === "g n") location.assign("/submit");
  else if (key === "t") nextTheme();
  else return document.dispatchEvent(new CustomEvent("hpo:key", { detail: key }));
  event.preventDefault();
});
document.getElementById("help").addEventListener("click", () => document.getElementById("shortcuts").showModal());

// -- dialogs, menus, copying --------------------------------------------------------------------------------------------

const native = "command" in HTMLButtonElement.prototype;

document.addEventListener("click", (event) => {
  const button = event.target.closest("button");
  if (button?.dataset.copy !== undefined) copy(button.dataset.copy);
  if (button?.hasAttribute("commandfor") && !native) {
    const dialog = document.getElementById(button.getAttribute("commandfor"));
    if (button.getAttribute("command") === "close") dialog.close(); else dialog.showModal();
  }
  for (const menu of document.querySelectorAll("details.menu[open]")) {
    if (!menu.contains(event.target) || button) menu.open = false;
  }
});
document.addEventListener("keydown", (event) => {
  if (event.key !== "Escape") return;
  const menu = document.querySelector("details.menu[open]");
  if (menu) { menu.open = false; menu.querySelector("summary").focus(); }
});

async function copy(text) {
  try {
    await navigator.clipboard.writeText(text);
    toast("Copied.");
  } catch {
    toast("The browser does not let this page copy; select the text instead.", true);
  }
}

// -- forms that change something ----------------------------------------------------------------------------------------

document.addEventListener("submit", async (event) => {
  const form = event.target;
  if (!form.hasAttribute("data-action")) return;
  event.preventDefault();
  const buttons = [...form.querySelectorAll("button")];
  const problem = form.querySelector(".problem");
  const fields = new FormData(form, event.submitter);
  buttons.forEach((button) => { button.disabled = true; });
  if (problem) problem.hidden = true;
  try {
    const answer = await post(form.action, new URLSearchParams(fields));
    form.closest("dialog")?.close();
    toast(answer.message);
    if (answer.to && new URL(answer.to, location).pathname !== location.pathname) location.assign(answer.to);
    else if (form.closest("[data-reloads]")) location.reload();   // nothing on that page follows what happens
    else document.dispatchEvent(new CustomEvent("hpo:changed"));
  } catch (error) {
    if (problem) { problem.textContent = error.message; problem.hidden = false; } else toast(error.message, true);
  } finally {
    buttons.forEach((button) => { button.disabled = false; });
  }
});

// -- times --------------------------------------------------------------------------------------------------------------

const relative = new Intl.RelativeTimeFormat("en", { numeric: "auto" });
const STEPS = [[60, "second", 1], [3600, "minute", 60], [86400, "hour", 3600], [7 * 86400, "day", 86400]];

function showTimes() {
  for (const element of document.querySelectorAll("time[datetime]")) {
    const at = new Date(element.dateTime), age = (Date.now() - at) / 1000;
    const step = STEPS.find(([limit]) => Math.abs(age) < limit);
    const text = step ? relative.format(-Math.round(age / step[2]), step[1]) : at.toISOString().slice(0, 10);
    if (element.textContent !== text) element.textContent = text;
    element.title = at.toLocaleString();
  }
}

// -- begin --------------------------------------------------------------------------------------------------------------

document.addEventListener("htmx:after:swap", () => { showTimes(); mountAll(); });
document.addEventListener("htmx:error", () => toast("The server did not answer; the page may be out of date.", true));
setInterval(showTimes, 20000);
showTheme();
showTimes();
mountAll().finally(() => { root.dataset.ready = "true"; });   // keys and buttons do something from now on
