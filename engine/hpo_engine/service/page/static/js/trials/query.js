// The language of the filter box: `lr<0.01 loss<=0.3 optimizer=adam sgd or state=failed -nan "two words"`.
//
// Terms beside each other must all hold; `or` separates alternatives; a term after `-` must not hold. A term is a
// comparison (NAME OP VALUE, or 1e-4<lr<1e-2) or text that any cell may contain. Knows columns, no page.

export class QueryError extends Error {}

const OPS = ["<=", ">=", "!=", "!~", "==", "<", ">", "=", "~"];
const FLIPPED = { "<": ">", ">": "<", "<=": ">=", ">=": "<=" };
const NOTHING = new Set(["none", "null", ""]);
const NUMBER = /^[+-]?(\d+\.?\d*|\.\d+)(e[+-]?\d+)?$/i;

/** A function (row number -> whether it is shown) for a text; `columns`: [{key, name, group, kind, at(row)}]. */
export function parse(text, columns) {
  const alternatives = [[]];
  for (const word of words(text)) {
    if (word.bare && word.text.toLowerCase() === "or") {
      if (!alternatives.at(-1).length) throw new QueryError('"or" needs a term before it');
      alternatives.push([]);
    } else if (word.text !== "" || word.parts) alternatives.at(-1).push(term(word, columns));
  }
  if (alternatives.length > 1 && !alternatives.at(-1).length) throw new QueryError('"or" needs a term after it');
  return (row) => alternatives.some((terms) => terms.every((holds) => holds(row)));
}

/** The words of a text; of a comparison its parts. Blanks around an operator belong to the comparison. */
function words(text) {
  const found = [];
  let at = 0;
  while (at < text.length) {
    if (/\s/.test(text[at])) { at += 1; continue; }
    const minus = text[at] === "-" && at + 1 < text.length && !/[\s\d.]/.test(text[at + 1]);
    if (minus) at += 1;
    const parts = [], ops = [];
    let quoted = false;
    for (;;) {
      const part = piece(text, at);
      quoted ||= part.quoted;
      parts.push(part);
      at = part.end;
      const rest = text.slice(at), blanks = rest.length - rest.trimStart().length;
      const op = OPS.find((each) => rest.startsWith(each, blanks));
      if (op === undefined) break;
      ops.push(op);
      at += blanks + op.length;
      const after = text.slice(at);
      at += after.length - after.trimStart().length;
    }
    if (ops.length) found.push({ parts: parts.map((p) => p.text), ops, minus, text: "", quotes: parts.map((p) => p.quoted) });
    else found.push({ text: parts[0].text, minus, bare: !quoted && !minus });
    if (!ops.length && parts[0].text === "" && !quoted) at += 1;
  }
  return found;
}

/** One name or value from a place on: quoted, or up to a blank or an operator. */
function piece(text, start) {
  const quote = text[start];
  if (quote === '"' || quote === "'") {
    const end = text.indexOf(quote, start + 1);
    if (end < 0) throw new QueryError(`a ${quote} is never closed`);
    return { text: text.slice(start + 1, end), end: end + 1, quoted: true };
  }
  let end = start;
  while (end < text.length && !/\s/.test(text[end]) && !OPS.some((op) => text.startsWith(op, end))) end += 1;
  return { text: text.slice(start, end), end, quoted: false };
}

function term(word, columns) {
  const holds = word.parts ? comparison(word, columns) : contains(word.text, columns);
  return word.minus ? (row) => !holds(row) : holds;
}

function contains(text, columns) {
  const wanted = text.toLowerCase();
  const shown = columns.filter((column) => column.kind !== "time" && column.kind !== "seconds");
  return (row) => shown.some((column) => {
    const cell = column.at(row);
    return cell !== null && cell !== undefined && String(cell).toLowerCase().includes(wanted);
  });
}

function comparison({ parts, ops, quotes }, columns) {
  const said = parts.map((part, i) => (quotes[i] ? `"${part}"` : part) + (ops[i] ?? "")).join("");
  if (parts.length > 3 || (parts.length === 3 && !(ops[0] in FLIPPED && ops[1] in FLIPPED))) {
    throw new QueryError(`"${said}": compare a column with one value, or write a range such as 1e-4<lr<1e-2`);
  }
  if (parts.length === 3) {
    const [low, name, high] = parts;
    const first = one(column(name, columns), FLIPPED[ops[0]], low, said), second = one(column(name, columns), ops[1], high, said);
    return (row) => first(row) && second(row);
  }
  if (parts[0] === "") throw new QueryError(`"${said}": name a column before ${ops[0]}`);
  if (NUMBER.test(parts[0]) && ops[0] in FLIPPED && !find(parts[0], columns)) {
    return one(column(parts[1], columns), FLIPPED[ops[0]], parts[0], said);
  }
  return one(column(parts[0], columns), ops[0], parts[1], said);
}

function one(column, op, value, said) {
  if (value === "" && op !== "=" && op !== "!=") throw new QueryError(`"${said}" needs a value after ${op}`);
  if (op === "~" || op === "!~") {
    const wanted = value.toLowerCase(), yes = op === "~";
    return (row) => String(column.at(row) ?? "").toLowerCase().includes(wanted) === yes;
  }
  if (op === "=" || op === "==" || op === "!=") {
    const same = equals(column, value), yes = op !== "!=";
    return (row) => same(column.at(row)) === yes;
  }
  if (column.kind === "text" || column.kind === "state") {
    throw new QueryError(`${column.name} is text: use = != or ~ (contains)`);
  }
  if (!NUMBER.test(value)) throw new QueryError(`"${value}" is not a number, and ${column.name} has numbers`);
  const limit = Number(value);
  const test = { "<": (v) => v < limit, ">": (v) => v > limit, "<=": (v) => v <= limit, ">=": (v) => v >= limit }[op];
  return (row) => { const cell = column.at(row); return typeof cell === "number" && test(cell); };
}

function equals(column, value) {
  const wanted = value.toLowerCase();
  if (NOTHING.has(wanted)) return (cell) => cell === null || cell === undefined || (cell === value && value !== "");
  if (NUMBER.test(value)) {
    const number = Number(value);
    return (cell) => (typeof cell === "number" ? close(cell, number) : String(cell ?? "").toLowerCase() === wanted);
  }
  if (column.kind === "number") throw new QueryError(`"${value}" is not a number, and ${column.name} has numbers`);
  return (cell) => cell !== null && cell !== undefined && String(cell).toLowerCase() === wanted;
}

/** Whether a number is the one that was written: the table shows six digits. */
function close(cell, number) {
  return cell === number || Math.abs(cell - number) <= 5e-6 * Math.abs(number);
}

function column(name, columns) {
  const found = find(name, columns);
  if (found) return found;
  const names = [...new Set(columns.map((each) => each.name))];
  const near = names.map((each) => [distance(name.toLowerCase(), each.toLowerCase()), each]).sort((a, b) => a[0] - b[0])[0];
  const hint = near && near[0] <= Math.max(1, Math.floor(name.length / 3)) ? `; did you mean ${near[1]}?` : "";
  throw new QueryError(`there is no column "${name}"${hint}`);
}

/** By its name; of two with the same one an objective or a metric comes first, and `params.NAME` is the parameter. */
function find(name, columns) {
  const lower = name.toLowerCase(), [kind, ...rest] = name.split(".");
  const group = { params: ["param"], param: ["param"], metrics: ["objective", "metric"], metric: ["objective", "metric"] }[kind];
  if (group && rest.length) {
    const found = columns.find((each) => group.includes(each.group) && each.name === rest.join("."));
    if (found) return found;
  }
  if (lower === "value") return columns.find((each) => each.group === "objective");
  if (lower === "step") return columns.find((each) => each.key.startsWith("step.")) ?? null;
  return columns.find((each) => each.name === name) ?? columns.find((each) => each.name.toLowerCase() === lower || each.key === lower) ?? null;
}

/** How many letters are to be changed, added or left out. */
function distance(a, b) {
  if (Math.abs(a.length - b.length) > 3) return 99;
  let row = [...Array(b.length + 1).keys()];
  for (let i = 1; i <= a.length; i += 1) {
    const next = [i];
    for (let j = 1; j <= b.length; j += 1) next[j] = Math.min(row[j] + 1, next[j - 1] + 1, row[j - 1] + (a[i - 1] !== b[j - 1]));
    row = next;
  }
  return row[b.length];
}
