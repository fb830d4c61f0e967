// The files of a folder that was dragged in or chosen, and which of them are left out.

export const USUAL = ".git .hg .svn __pycache__ *.pyc .venv venv node_modules .mypy_cache .ruff_cache .pytest_cache .ipynb_checkpoints .DS_Store hpo-runs lightning_logs wandb mlruns";
const MOST_SEEN = 200_000;

/** Of what was dropped: {name, files: [{path, file}]}; folders named by `skip(path)` are not entered. */
export async function dropped(items, skip) {
  const entries = [...items].map((item) => item.webkitGetAsEntry?.()).filter(Boolean);
  const only = entries.length === 1 && entries[0].isDirectory ? entries[0] : null;
  const found = { files: [], skipped: new Map() };
  if (only) await walk(only, "", skip, found);
  else for (const entry of entries) await into(entry, entry.name, skip, found);
  return { name: only ? only.name : entries.length === 1 ? entries[0].name : `${entries.length} files`, folder: only !== null || entries.length > 1, ...found };
}

async function walk(folder, prefix, skip, found) {
  const reader = folder.createReader();
  for (;;) {
    const some = await new Promise((resolve, reject) => reader.readEntries(resolve, reject));
    if (!some.length) return;   // a reader gives a hundred entries at a time
    for (const entry of some) await into(entry, prefix + entry.name, skip, found);
  }
}

async function into(entry, path, skip, found) {
  if (skip(path, entry.isDirectory)) { found.skipped.set(entry.isDirectory ? `${path}/` : path, 1); return; }
  if (entry.isDirectory) return walk(entry, `${path}/`, skip, found);
  if (found.files.length >= MOST_SEEN) throw new Error(`the folder has over ${MOST_SEEN.toLocaleString()} files; leave some out`);
  found.files.push({ path, file: await new Promise((resolve, reject) => entry.file(resolve, reject)) });
}

/** Of a file input with `webkitdirectory`, or of one file. */
export function chosen(list, skip) {
  const files = [], skipped = new Map();
  const folder = [...list].some((file) => file.webkitRelativePath.includes("/"));
  for (const file of list) {
    const path = folder ? file.webkitRelativePath.slice(file.webkitRelativePath.indexOf("/") + 1) : file.name;
    const parts = path.split("/");
    const at = folder ? parts.findIndex((_, i) => skip(parts.slice(0, i + 1).join("/"), i < parts.length - 1)) : -1;
    if (at < 0) files.push({ path, file });
    else { const name = parts.slice(0, at + 1).join("/") + (at < parts.length - 1 ? "/" : ""); skipped.set(name, (skipped.get(name) ?? 0) + 1); }
  }
  return { name: folder ? list[0].webkitRelativePath.split("/")[0] : list[0].name, folder, files, skipped };
}

/** A function (path, is it a folder) for patterns as in a .gitignore, as far as people use them: names, *, ?, a/b, a/. */
export function excluding(text) {
  const rules = text.split(/[\s,]+/).filter(Boolean).map((word) => {
    const only = word.endsWith("/"), anchored = word.replace(/\/$/, "").includes("/");
    const body = word.replace(/^\/|\/$/g, "").split(/(\*\*\/?|\*|\?)/).map((part) => ({ "**": ".*", "**/": "(?:.*/)?", "*": "[^/]*", "?": "[^/]" }[part] ?? part.replace(/[.+^${}()|[\]\\]/g, "\\$&"))).join("");
    return { test: new RegExp(`^${anchored ? "" : "(?:.*/)?"}${body}$`), only };
  });
  return (path, isFolder) => rules.some(({ test, only }) => (isFolder || !only) && test.test(path));
}
