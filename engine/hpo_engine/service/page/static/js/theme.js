// Before anything is painted: the colours that the reader chose. Not a module, so that the page waits for it.
(() => {
  let chosen = "";
  try { chosen = localStorage.getItem("hpo-theme") || ""; } catch { /* storage is forbidden: as the system has it */ }
  if (chosen === "light" || chosen === "dark") document.documentElement.dataset.theme = chosen;
  document.documentElement.classList.add("has-scripts");
})();
