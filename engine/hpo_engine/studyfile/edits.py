"""Changes to the text of a study file: single fields are set or removed, and the rest stays as its author wrote it."""

from __future__ import annotations

import copy
import re
from collections.abc import Iterable, Mapping
from typing import Any

from hpo_engine.errors import Problem, SpecError, nearest
from hpo_engine.studyfile.document import Document, dump, read_document, read_value
from hpo_engine.studyfile.native.form import ENTRIES, StudyForm, names

_ENDS = {"min": 0, "low": 0, "max": 1, "high": 1}
_FIELDS = {name for form in ENTRIES.values() for name in names(form)} | set(_ENDS)
"""What may follow the name of a parameter in a path."""


def with_set(data: Mapping[str, Any], assignment: str) -> dict[str, Any]:
    """The document after `PATH=VALUE`, such as `trials=50`, `space.lr.max=0.3` or `space.pool={choice: [a, b]}`.

    Raises:
        SpecError: it is no assignment, or there is nothing at that path to be set.
    """
    path, equals, text = assignment.partition("=")
    if not equals or not path.strip():
        raise SpecError([Problem(assignment, "write PATH=VALUE, as in trials=50 or space.lr.max=0.3")])
    path = path.strip()
    try:
        value = read_value(text.strip())
    except SpecError as error:
        raise SpecError([Problem(path, problem.text) for problem in error.problems]) from None
    out = copy.deepcopy(dict(data))
    holder, key = _holder(out, path)
    if key in _ENDS and (kind := next((k for k in ("float", "int") if isinstance(holder.get(k), list)), None)):
        ends = list(holder[kind])
        if len(ends) != 2:
            raise SpecError([Problem(path, f"{kind} has no two ends")])
        ends[_ENDS[key]] = value
        holder[kind] = ends
    elif key in _ENDS and holder is not out and path.startswith("space."):
        raise SpecError([Problem(path, "only a float or an int has ends; set the parameter as a whole")])
    else:
        holder[key] = value
    return out


def without(data: Mapping[str, Any], path: str) -> dict[str, Any]:
    """The document without the field at `path`. Raises SpecError: there is none."""
    out = copy.deepcopy(dict(data))
    holder, key = _holder(out, path.strip())
    if key not in holder:
        raise SpecError([Problem(path, f"is not in the study file{nearest(key, holder)}")])
    del holder[key]
    if not holder and holder is not out:
        out.pop(path.partition(".")[0], None)
    return out


def _holder(data: dict[str, Any], path: str) -> tuple[dict[str, Any], str]:
    """The mapping in which the last part of the path stands, and that part. What is missing on the way is made."""
    top, _, rest = path.partition(".")
    known = names(StudyForm)
    if top not in known:
        raise SpecError([Problem(path, f'there is no field "{top}"{nearest(top, known)}')])
    if not rest:
        return data, top
    inner = data.setdefault(top, {})
    if not isinstance(inner, dict):
        raise SpecError([Problem(path, f"{top} is not a mapping here; set it as a whole")])
    name = next(
        (key for key in sorted(inner, key=len, reverse=True) if rest == key or rest.startswith(f"{key}.")), None
    )
    if name is None:
        head, _, last = rest.rpartition(".")
        if top == "space" and head and last in _FIELDS:
            missing = f'there is no parameter "{head}"{nearest(head, inner)}; add it with all it needs'
            raise SpecError([Problem(path, f"{missing}: space.{head}={{float: [0, 1], was: 0.5}}")])
        return inner, rest
    if rest == name:
        return inner, name
    field, entry = rest[len(name) + 1 :], inner[name]
    if top == "space" and not isinstance(entry, dict):
        entry = inner[name] = {"constant": entry}
    if not isinstance(entry, dict):
        raise SpecError([Problem(path, f"{top}.{name} is not a mapping here; set it as a whole")])
    return entry, field


def rewritten(document: Document, text: str, data: Mapping[str, Any]) -> str:
    """A study file with this data: `text`, which has the document's, with the fields that differ written anew.

    Comments stay, but for those inside such a field. A text of another form (JSON, Python) is written anew as a whole.
    """
    before = document.data
    changed = [key for key in dict.fromkeys([*before, *data]) if key not in before or before[key] != data.get(key)]
    changed += [key for key in before if key not in data and key not in changed]
    lines = text.splitlines()
    spans = _spans(document, lines)
    for key in sorted((key for key in changed if key in before), key=lambda key: -spans.get(key, (0, 0))[0]):
        first, last = spans.get(key, (0, 0))
        lines[first:last] = _written(data, [key])
    lines += _written(data, [key for key in changed if key not in before])
    new = "\n".join(lines) + "\n"
    try:
        if read_document(new, document.file).data == data:
            return new
    except SpecError:
        pass
    return dump(dict(data))


def _spans(document: Document, lines: list[str]) -> dict[str, tuple[int, int]]:
    """Key -> its lines, from the one where it stands to the last one that belongs to it."""
    starts = sorted((line - 1, key) for key in document.data if (line := document.line(key)) is not None)
    ends = [start for start, _ in starts[1:]] + [len(lines)]
    found = {}
    for (start, key), end in zip(starts, ends, strict=True):
        while end > start + 1 and re.fullmatch(r"\s*|#.*", lines[end - 1]):  # what precedes the next field
            end -= 1
        found[key] = start, end
    return found


def _written(data: Mapping[str, Any], keys: Iterable[str]) -> list[str]:
    found = {key: data[key] for key in keys if key in data}
    return dump(found).splitlines() if found else []
