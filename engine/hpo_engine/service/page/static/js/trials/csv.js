// A table as CSV: whole numbers and full precision, text that no spreadsheet takes for a formula.

const FORMULA = /^[=+\-@\t\r]/;

export function csv(columns, rows) {
  const lines = [columns.map((column) => cell(column.heading ?? column.name))];
  for (const row of rows) lines.push(columns.map((column) => cell(column.at(row))));
  return lines.map((each) => each.join(",")).join("\r\n") + "\r\n";
}

function cell(value) {
  if (value === null || value === undefined) return "";
  if (typeof value === "number") return String(value);
  const text = FORMULA.test(value) ? `'${value}` : String(value);
  return /[",\r\n]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text;
}

export function download(name, text, type = "text/csv;charset=utf-8") {
  const link = document.createElement("a");
  link.href = URL.createObjectURL(new Blob([text], { type }));
  link.download = name;
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 10_000);
}
