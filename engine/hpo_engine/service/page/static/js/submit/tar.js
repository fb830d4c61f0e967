// A folder as a tar (POSIX ustar, with pax headers for long names). The files' contents are not read here: the browser
// streams them when the tar is sent.

const BLOCK = 512, encoder = new TextEncoder();

/** @param {{path: string, file: File}[]} files paths with "/", relative to the folder */
export function tar(files) {
  const parts = [];
  for (const { path, file } of files) {
    const name = encoder.encode(path);
    const split = name.length <= 100 ? { name, prefix: new Uint8Array() } : splitted(path);
    if (!split || name.some((byte) => byte > 127)) {
      const record = pax("path", path);
      parts.push(header(encoder.encode("PaxHeader"), new Uint8Array(), record.length, 0, "x"), record, padding(record.length));
    }
    const { name: short, prefix } = split ?? { name: name.slice(0, 100), prefix: new Uint8Array() };
    parts.push(header(short, prefix, file.size, file.lastModified / 1000, "0"), file, padding(file.size));
  }
  parts.push(new Uint8Array(2 * BLOCK));
  return new Blob(parts, { type: "application/x-tar" });
}

/** A name of over 100 bytes in two parts; null if there is no such place in it. */
function splitted(path) {
  for (let at = path.indexOf("/"); at >= 0; at = path.indexOf("/", at + 1)) {
    const prefix = encoder.encode(path.slice(0, at)), name = encoder.encode(path.slice(at + 1));
    if (prefix.length <= 155 && name.length <= 100 && name.length) return { prefix, name };
  }
  return null;
}

/** `length key=value\n`, where the length counts itself. */
function pax(key, value) {
  const rest = encoder.encode(` ${key}=${value}\n`);
  let length = rest.length + 1;
  while (String(length).length + rest.length !== length) length += 1;
  return new Uint8Array([...encoder.encode(String(length)), ...rest]);
}

function header(name, prefix, size, at, kind) {
  const block = new Uint8Array(BLOCK);
  const text = (value, place) => block.set(encoder.encode(value), place);
  const octal = (value, place, width) => text(`${Math.floor(value).toString(8).padStart(width - 1, "0")}\0`, place);
  block.set(name, 0);
  octal(0o644, 100, 8);
  octal(0, 108, 8);
  octal(0, 116, 8);
  octal(size, 124, 12);
  octal(Math.max(0, Math.min(at, 8 ** 11 - 1)), 136, 12);
  text("        ", 148);
  text(kind, 156);
  text("ustar\x0000", 257);
  block.set(prefix, 345);
  text(`${block.reduce((sum, byte) => sum + byte, 0).toString(8).padStart(6, "0")}\0 `, 148);
  return block;
}

function padding(size) { return new Uint8Array((BLOCK - (size % BLOCK)) % BLOCK); }
