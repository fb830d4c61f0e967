"""Reads a study file (YAML, JSON or a Python dict) into plain data with the line of every field; writes YAML.

Safe by refusal: no aliases, anchors, tags, duplicate keys, second documents, nothing deep, nothing large. Scalars are
read as YAML 1.2 reads them: `1e-4` is a number, `no` and `1:30` are text. Never knows what a study is.
"""

from __future__ import annotations

import json
import os
import re
import stat
from dataclasses import dataclass
from typing import Any

from hpo_engine.errors import SpecError
from hpo_engine.studyfile.document.checks import MAX_BYTES, Mark, check_text, line_of, refuse, too_large
from hpo_engine.studyfile.document.jsontext import read_json
from hpo_engine.studyfile.document.pythontext import HEAD, read_python
from hpo_engine.studyfile.document.yamltext import dump, read_yaml

__all__ = ["MAX_BYTES", "Document", "decode", "dump", "join", "read_document", "read_json", "read_text", "read_value"]

_IN_FOLDERS = ("algo.yaml", "algo.yml", "algo.json", "algo.py")
_SPECIAL_FILES = ("/dev/", "/proc/")  # /dev/stdin and the pipes of `<(command)`


@dataclass(frozen=True)
class Document:
    """`data`: dicts, lists, text, numbers, booleans, None. `file`: what messages call it."""

    data: Any
    file: str
    marks: Mark = 1

    def line(self, path: str) -> int | None:
        """The line (from 1) of the field at `path` ("space.lr.float", "hyperParams[3].name"), else of its parent."""
        mark, rest = self.marks, path
        while rest and isinstance(mark, tuple):
            children = mark[1]
            if isinstance(children, dict):
                rest = rest.removeprefix(".")
                # Keys may hold dots and brackets: the longest one that is there is meant.
                ends = [m.start() for m in re.finditer(r"[.\[]|$", rest)]
                end = next((e for e in reversed(ends) if rest[:e] in children), None)
                if end is None:
                    break
                mark, rest = children[rest[:end]], rest[end:]
            else:
                index = re.match(r"\[(\d+)\]", rest)
                if index is None or int(index[1]) >= len(children):
                    break
                mark, rest = children[int(index[1])], rest[index.end() :]
        return line_of(mark)


def read_document(text: str, file: str) -> Document:
    """The data of a text in YAML or JSON, or of a Python dict.

    Raises:
        SpecError: it is neither, or contains something that is not allowed; with the line.
    """
    check_text(text, file)
    try:
        data, mark = _read(text, file)
    except SpecError:
        _refuse_script(text, file)
        raise
    if not isinstance(data, dict):
        _refuse_script(text, file)
    return Document(data, file, mark)


def read_value(text: str) -> Any:
    """One value as it would stand in a study file; text that is no YAML is that text. Raises SpecError: it is not
    allowed there."""
    if not text.strip() or "\n" in text:
        return text
    check_text(text, "")
    return read_yaml(text, "")[0]


_SCRIPTS = (".sh", ".bash", ".js", ".mjs", ".r", ".jl", ".lua", ".pl", ".rb")
_STATEMENT = re.compile(r"^(?:import|from|def|class|for|while|with|try|if|async|@\w+|print\()", re.MULTILINE)
_FIELD = re.compile(r"""["'](?:command|objectives?|space|algoDef|hyperParams|modelSpec)["']\s*:""")


def _refuse_script(text: str, file: str) -> None:
    """Raises SpecError if a text that is not a study file is the script that is to be tuned."""
    suffix = os.path.splitext(file)[1].lower()
    in_python = suffix == ".py" and _STATEMENT.search(text) and not _FIELD.search(text)
    if in_python or suffix in _SCRIPTS or text.startswith("#!"):
        raise SpecError(f"looks like a script, not like a study file; hpo-engine init {file} writes one for it", file)


def _read(text: str, file: str) -> tuple[Any, Mark]:
    """As the first of JSON, Python and YAML that can read it; if none can, the refusal that helps most."""
    suffix = os.path.splitext(file)[1].lower()
    body = HEAD.sub("", text, count=1)
    if not body.startswith("{"):
        return read_python(text, file) if suffix == ".py" or _ASSIGNED.match(body) else read_yaml(text, file)
    if suffix in (".json", ".py") or re.match(r'\s*\{\s*["}]', text):
        try:
            return read_json(text, file)
        except SpecError as error:
            refusal = error
        try:
            return read_python(text, file)
        except SpecError as error:
            raise error if suffix == ".py" or _pythonic(refusal, text) else refusal from None
    try:
        return read_python(text, file)
    except SpecError:
        if re.match(r"\{\s*'", body) and suffix not in (".yaml", ".yml"):
            raise
    return read_yaml(text, file)


_ASSIGNED = re.compile(  # with a type: `hpo: dict[str, Any] = {`; not `command: python train.py lr={lr}`
    r"(?:[A-Za-z_]\w*[ \t]*(?::[ \t]*[A-Za-z_][\w.]*(?:\[[\w\[\], .]*\])?[ \t]*)?=\s*)+(?:\\\r?\n\s*)?[({]"
)
_PYTHONIC = re.compile(r"""'|\#|\(|(?:True|False|None)\b|[rRuUfFbB]['"]|\\\r?\n""")


def _pythonic(refusal: SpecError, text: str) -> bool:
    """Whether JSON's reader gave up at what only Python has."""
    error = refusal.__context__
    return isinstance(error, json.JSONDecodeError) and _PYTHONIC.match(text, error.pos) is not None


def read_text(path: str) -> str:
    """The text of a study file; never more than the size limit is read.

    Raises:
        SpecError: no such file, not a file, too large, or not UTF-8.
    """
    try:
        mode = os.stat(path).st_mode
        if stat.S_ISDIR(mode):
            inside = next((p for p in _IN_FOLDERS if os.path.isfile(f"{path}/{p}")), None)
            advice = f": {os.path.join(path, inside)}" if inside else ""
            raise SpecError(f"is a folder; name the study file{advice}", path)
        if not stat.S_ISREG(mode) and not os.path.abspath(path).startswith(_SPECIAL_FILES):
            raise SpecError("is not a regular file", path)
        with open(path, "rb") as stream:
            data = stream.read(MAX_BYTES + 1)
    except FileNotFoundError:
        raise SpecError("no such file", path) from None
    except (OSError, ValueError) as error:
        if isinstance(error, SpecError):
            raise
        raise SpecError(f"cannot be read: {getattr(error, 'strerror', None) or error}", path) from None
    return decode(data, path)


def decode(data: bytes, file: str) -> str:
    """Bytes as text. Raises SpecError if they are no UTF-8, or too many."""
    if len(data) > MAX_BYTES:
        too_large(file)
    if data.startswith((b"\xff\xfe", b"\xfe\xff")):
        refuse("is UTF-16 text; save it as UTF-8", file, 1)
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        refuse(f"byte 0x{data[error.start]:02x} is not UTF-8 text; save the file as UTF-8", file, line)


def join(path: str, key: str | int) -> str:
    """The path of a child."""
    if isinstance(key, int):
        return f"{path}[{key}]"
    return f"{path}.{key}" if path else key
