// Submitting a study: the text is checked while it is written, the script's folder is packed here, and sent with progress.

import { chosen, dropped, excluding, USUAL } from "./folder.js";
import { tar } from "./tar.js";

const TYPING_MS = 350, LISTED = 200, DEPTH = 32, MOST_SENT = 200, LARGEST_SENT = 100_000, STUDY_FILE = /\.(ya?ml|json)$/i;

export function mount(form) { return new Form(form).end; }

class Form {
  constructor(form) {
    this.form = form;
    this.part = (name) => form.querySelector(`[data-part="${name}"]`);
    this.text = this.part("text");
    this.most = { files: Number(form.dataset.files), bytes: Number(form.dataset.bytes), depth: Number(form.dataset.depth) || DEPTH };
    this.folder = null;     // {name, folder, files, skipped}
    this.source = null;     // how to read it again with other exclusions
    this.stop = new AbortController();
    this.end = () => this.stop.abort();
    this.bad = new Set();
    this.part("exclude").value = USUAL;
    if (this.text.value.startsWith("\n")) this.text.value = this.text.value.slice(1);
    this.#wire();
    this.#gutter();
    if (this.text.value.trim()) this.#check();
  }

  #on(name, kind, act) { this.part(name).addEventListener(kind, act, { signal: this.stop.signal }); }

  #wire() {
    let timer = 0;
    this.text.addEventListener("input", () => {
      this.#gutter();
      clearTimeout(timer);
      timer = setTimeout(() => this.#check(), TYPING_MS);
    }, { signal: this.stop.signal });
    this.text.addEventListener("scroll", () => { this.part("gutter").scrollTop = this.text.scrollTop; }, { passive: true, signal: this.stop.signal });
    this.#on("example", "click", () => {
      if (this.text.value.trim() && !confirm("Replace the text with an example?")) return;
      this.#put(JSON.parse(document.getElementById("example-text").textContent).text);
    });
    this.#on("open", "change", async ({ target }) => { if (target.files[0]) this.#put(await target.files[0].text()); target.value = ""; });
    this.#on("folder", "change", ({ target }) => { if (target.files.length) this.#take([...target.files]); });
    this.#on("file", "change", ({ target }) => { if (target.files.length) this.#take([...target.files]); });
    this.#on("remove", "click", () => this.#take(null));
    this.#on("exclude", "change", () => this.#again());
    this.#on("paste", "click", () => this.#paste());
    this.#on("script", "input", () => { clearTimeout(timer); timer = setTimeout(() => this.#check(), TYPING_MS); });
    this.#on("script-name", "change", () => this.#check());
    const drop = this.part("drop");
    for (const kind of ["dragover", "dragenter"]) this.form.addEventListener(kind, (event) => {
      if (!event.dataTransfer.types.includes("Files")) return;
      event.preventDefault();
      drop.classList.add("is-over");
    }, { signal: this.stop.signal });
    for (const kind of ["dragleave", "drop"]) this.form.addEventListener(kind, () => drop.classList.remove("is-over"), { signal: this.stop.signal });
    this.form.addEventListener("drop", (event) => {
      if (!event.dataTransfer.types.includes("Files")) return;   // a text that is moved
      event.preventDefault();
      const files = [...event.dataTransfer.files];
      if (event.target === this.text && files.length === 1 && STUDY_FILE.test(files[0].name)) files[0].text().then((text) => this.#put(text));
      else this.#drop([...event.dataTransfer.items].map((item) => item.webkitGetAsEntry?.()).filter(Boolean));
    }, { signal: this.stop.signal });
    this.form.addEventListener("submit", (event) => { event.preventDefault(); this.#send(); }, { signal: this.stop.signal });
    // Enter ends what is written in a field; only with Ctrl it sends everything.
    this.form.addEventListener("keydown", (event) => {
      if (event.key !== "Enter") return;
      const field = event.target.matches("input:not([type])"), sends = event.ctrlKey || event.metaKey;
      if (!field && !sends) return;
      event.preventDefault();
      if (field) event.target.dispatchEvent(new Event("change"));
      if (sends) this.#send();
    }, { signal: this.stop.signal });
  }

  // -- the text -------------------------------------------------------------------------------------------------------

  #put(text) {
    this.text.value = text;
    this.#gutter();
    this.#check();
  }

  #gutter() {
    const lines = this.text.value.split("\n").length, gutter = this.part("gutter");
    const now = `${lines}:${[...this.bad].join()}`;
    if (gutter.dataset.now === now) return;
    gutter.dataset.now = now;
    gutter.replaceChildren(...Array.from({ length: lines }, (_, i) => {
      const line = document.createElement("span");
      line.textContent = `${i + 1}\n`;
      if (this.bad.has(i + 1)) line.className = "is-bad";
      return line;
    }));
    gutter.scrollTop = this.text.scrollTop;
  }

  async #check() {
    const box = this.part("check"), text = this.text.value;
    this.part("problem").hidden = true;   // it was of what was sent before
    if (!text.trim()) { this.bad = new Set(); box.replaceChildren(words("p", "muted", "Nothing to check yet.")); this.#gutter(); return; }
    this.checking?.abort();
    this.checking = new AbortController();
    let found;
    try {
      const body = JSON.stringify({ text, ...(await this.#named(text)) });
      const answer = await fetch("/submit/check", { method: "POST", body, headers: { "Content-Type": "application/json", Accept: "application/json" }, credentials: "same-origin", signal: this.checking.signal });
      found = await answer.json();
      if (!answer.ok) found = { ok: false, problems: [{ text: found.error || `the server answered ${answer.status}` }] };
    } catch (error) {
      if (error.name === "AbortError") return;
      found = { ok: false, problems: [{ text: "the server did not answer; the text is checked again when you go on" }] };
    }
    if (text === this.text.value) this.#show(found);
  }

  /** Of the script's files those that the text may name: the check is to find them. */
  async #named(text) {
    const pasted = !this.part("pasted").hidden && this.part("script").value;
    if (pasted) return { folder: true, files: { [this.part("script-name").value.trim() || "train.py"]: pasted } };
    if (!this.folder) return { folder: false };
    const { folder, files } = this.folder;
    if (!folder && /\.(tar|tgz|tar\.gz)$/.test(files[0]?.path ?? "")) return { folder: false };
    const named = files.filter(({ path }) => text.includes(path.slice(path.lastIndexOf("/") + 1))).slice(0, MOST_SENT);
    const found = await Promise.all(named.map(async ({ path, file }) => [path, file.size > LARGEST_SENT ? "" : await file.text()]));
    return { folder: true, files: Object.fromEntries(found) };
  }

  #show({ ok, problems, study, notes, plan }) {
    const box = this.part("check");
    this.bad = new Set(ok ? [] : problems.map((each) => each.line).filter(Boolean));
    this.#gutter();
    if (ok) {
      this.part("needs").hidden = true;
      const list = words("ul", "plain notes");
      list.append(...(notes ?? []).map((note) => words("li", "", note)));
      const said = words("p", "good", `✓ ${study} can be submitted.`);
      box.replaceChildren(said, ...(plan ? [words("p", "plan", plan)] : []), list);
      return;
    }
    const list = words("ul", "plain problems");
    this.part("needs").hidden = Boolean(this.folder) || !problems.some(({ path, text }) => path === "command" && text.startsWith("there is no"));
    list.append(...problems.map((each) => {
      const item = words("li");
      if (each.line) {
        const link = words("button", "link", `line ${each.line}`);
        link.type = "button";
        link.addEventListener("click", () => this.#go(each.line));
        item.append(link, " ");
      }
      if (each.path) item.append(words("code", "", each.path), ": ");
      item.append(each.text);
      return item;
    }));
    box.replaceChildren(words("p", "problem", problems.length === 1 ? "1 problem" : `${problems.length} problems`), list);
  }

  /** Selects a line of the text. */
  #go(line) {
    const lines = this.text.value.split("\n"), start = lines.slice(0, line - 1).reduce((sum, each) => sum + each.length + 1, 0);
    this.text.focus();
    this.text.setSelectionRange(start, start + (lines[line - 1] ?? "").length);
    const height = this.text.scrollHeight / Math.max(1, lines.length);
    this.text.scrollTop = Math.max(0, (line - 4) * height);
  }

  // -- the script -----------------------------------------------------------------------------------------------------

  #paste() {
    const pasted = this.part("pasted"), button = this.part("paste");
    pasted.hidden = !pasted.hidden;
    button.setAttribute("aria-expanded", String(!pasted.hidden));
    if (!pasted.hidden) this.#take(null).then(() => { pasted.hidden = false; this.part("script").focus(); });
    else this.#check();
  }

  #take(files) {
    this.source = files && { files };
    return this.#again();
  }

  #drop(entries) {
    this.source = { entries };
    return this.#again();
  }

  /** Reads the folder again; what is sent waits for it. */
  #again() {
    this.reading = this.#read();
    return this.reading;
  }

  async #read() {
    const problem = this.part("chosen-problem"), skip = excluding(this.part("exclude").value);
    problem.hidden = true;
    this.folder = null;
    if (this.source) {
      try {
        const items = this.source.entries?.map((entry) => ({ webkitGetAsEntry: () => entry }));
        this.folder = items ? await dropped(items, skip) : chosen(this.source.files, skip);
      } catch (error) { this.#bad(error.message); return; }
    }
    this.#list();
    await this.#bring();
    this.#check();
  }

  #bad(text) {
    const problem = this.part("chosen-problem");
    problem.textContent = text;
    problem.hidden = false;
    this.part("chosen").hidden = false;
  }

  #list() {
    const { folder } = this;
    this.part("chosen").hidden = !folder;
    if (!folder) { this.part("file").value = this.part("folder").value = ""; return; }
    this.part("pasted").hidden = true;
    this.part("paste").setAttribute("aria-expanded", "false");
    const bytes = folder.files.reduce((sum, { file }) => sum + file.size, 0), count = folder.files.length;
    this.part("chosen-name").textContent = folder.folder ? `${folder.name}/` : folder.name;
    this.part("chosen-size").textContent = `${count.toLocaleString()} ${count === 1 ? "file" : "files"}, ${amount(bytes)}`;
    const some = [...folder.files].sort((a, b) => b.file.size - a.file.size).slice(0, LISTED);
    this.part("chosen-list").replaceChildren(...some.map(({ path, file }) => {
      const item = words("li");
      item.append(words("code", "", path), words("span", "muted", ` ${amount(file.size)}`));
      return item;
    }), ...(count > LISTED ? [words("li", "muted", `and ${(count - LISTED).toLocaleString()} smaller ones`)] : []));
    const left = [...folder.skipped.keys()];
    this.part("left-out").textContent = left.length ? `Here: ${left.slice(0, 6).join(", ")}${left.length > 6 ? ` and ${left.length - 6} more` : ""}.` : "";
    const deep = folder.files.find(({ path }) => path.split("/").length > this.most.depth);
    if (!count) this.#bad("there is no file in it");
    else if (count > this.most.files) this.#bad(`${count.toLocaleString()} files are more than the ${this.most.files.toLocaleString()} that may be sent; leave some out`);
    else if (bytes > this.most.bytes) this.#bad(`${amount(bytes)} are more than the ${amount(this.most.bytes)} that may be sent; the largest files are first in the list`);
    else if (deep) this.#bad(`${deep.path} is too deep in folders`);
  }

  /** A study file in the folder is shown, if nothing is written yet. */
  async #bring() {
    if (this.text.value.trim() || !this.folder?.folder) return;
    const found = this.folder.files.find(({ path }) => ["algo.yaml", "algo.yml", "study.yaml"].includes(path));
    if (found && found.file.size < 1_000_000) this.#put(await found.file.text());
  }

  // -- sending --------------------------------------------------------------------------------------------------------

  #model() {
    const { folder } = this;
    if (folder?.files.length === 1 && !folder.folder) return [folder.files[0].file, folder.files[0].file.name];
    if (folder) return [tar(folder.files), `${folder.name}.tar`];
    const script = this.part("script").value;
    if (!this.part("pasted").hidden && script.trim()) return [new Blob([script], { type: "text/plain" }), this.part("script-name").value.trim() || "train.py"];
    return null;
  }

  async #send() {
    const button = this.part("send"), problem = this.part("problem"), progress = this.part("progress"), sent = this.part("sent");
    if (!this.form.reportValidity() || button.disabled) return;
    problem.hidden = true;
    button.disabled = true;
    await this.reading;
    button.disabled = false;
    if (!this.part("chosen-problem").hidden && !this.part("chosen").hidden) { this.part("exclude").focus(); return; }
    button.disabled = true;
    const body = new FormData();
    body.append("data", this.text.value);
    const model = this.#model();
    if (model) body.append("model", ...model);
    progress.hidden = !model;
    try {
      const answer = await upload(this.form.action, body, (share, all) => {
        progress.value = share;
        sent.textContent = share < 1 ? `${Math.round(share * 100)} % of ${amount(all)}` : "being unpacked and checked";
      });
      location.assign(answer.to);
    } catch (error) {
      sent.textContent = "";
      progress.hidden = true;
      button.disabled = false;
      const found = error.problems?.length ?? 0;
      if (found) this.#show({ ok: false, problems: error.problems });
      problem.textContent = found ? `Not submitted: ${found === 1 ? "there is a problem" : `there are ${found} problems`}, see Check` : error.message;
      problem.hidden = false;
    }
  }
}

/** Sends a form with progress, which `fetch` cannot tell. */
function upload(url, body, told) {
  return new Promise((resolve, reject) => {
    const request = new XMLHttpRequest();
    request.open("POST", url);
    request.setRequestHeader("Accept", "application/json");
    request.responseType = "json";
    request.upload.addEventListener("progress", ({ loaded, total }) => told(total ? loaded / total : 0, total));
    request.addEventListener("error", () => reject(new Error("the connection broke off before everything was sent; nothing was submitted")));
    request.addEventListener("load", () => {
      const answer = request.response ?? {};
      if (request.status < 400) resolve(answer);
      else reject(Object.assign(new Error(answer.error || `the server answered ${request.status}`), { problems: answer.problems }));
    });
    request.send(body);
  });
}

function words(tag, name = "", text = "") {
  const element = document.createElement(tag);
  if (name) element.className = name;
  if (text) element.textContent = text;
  return element;
}

function amount(bytes) {
  const units = ["bytes", "kB", "MB", "GB"];
  let size = bytes, unit = 0;
  while (size >= 999.5 && unit < 3) { size /= 1000; unit += 1; }
  return `${unit && size < 9.95 ? size.toFixed(1) : Math.round(size)} ${units[unit]}`;
}
