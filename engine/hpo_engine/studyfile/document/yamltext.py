"""YAML text to data and marks, event by event, and data to YAML text."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator
from typing import Any

import yaml

from hpo_engine.studyfile.document.checks import (
    MAX_DEPTH,
    MAX_DIGITS,
    MAX_VALUES,
    Mark,
    check_key,
    check_value,
    finite,
    line_of,
    refuse,
    too_many,
)
from hpo_engine.text.quoting import quoted, shortened

_Loader: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)

_INT = re.compile(r"[-+]?[0-9]+")
_OCTAL = re.compile(r"0o[0-7]+")
_HEX = re.compile(r"0x[0-9a-fA-F]+")
_NOT_YAML = re.compile("[^\t\n\r\x20-\x7e\x85\xa0-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
_FLOAT = re.compile(r"[-+]?(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?")
_WORDS: dict[str, Any] = {
    "": None, "~": None, "null": None, "Null": None, "NULL": None,
    "true": True, "True": True, "TRUE": True, "false": False, "False": False, "FALSE": False,
    **{s + w: math.copysign(math.inf, -1 if s == "-" else 1) for s in ("", "+", "-") for w in (".inf", ".Inf", ".INF")},
    **dict.fromkeys((".nan", ".NaN", ".NAN"), math.nan),
}  # fmt: skip


def read_yaml(text: str, file: str) -> tuple[Any, Mark]:
    for line, content in enumerate(text.split("\n"), 1):
        if content.startswith("%") and not content.startswith("%YAML"):
            refuse("directives are not allowed", file, line)
        if content.strip() and not content.lstrip().startswith("#"):
            break
    bad = _NOT_YAML.search(text)
    if bad:
        line = text.count("\n", 0, bad.start()) + 1
        refuse(f"not valid YAML: a control character (U+{ord(bad[0]):04X})", file, line)
    try:
        return _Composer(text, file).document()
    except yaml.MarkedYAMLError as error:
        words, at = _yaml_words(error, text)
        if "nesting depth" in str(error.problem):  # libyaml has a limit of its own
            refuse(f"nested deeper than {MAX_DEPTH} levels", file, at)
        refuse(f"not valid YAML: {words}", file, at)
    except yaml.YAMLError as error:
        refuse(f"not valid YAML: {' '.join(str(error).split())}", file, None)


def _yaml_words(error: yaml.MarkedYAMLError, text: str) -> tuple[str, int | None]:
    """The parser's finding in plain words, and its line."""
    words, context = str(error.problem or error.context or "cannot be read"), str(error.context or "")
    mark, begun = error.problem_mark or error.context_mark, error.context_mark
    line = mark.line + 1 if mark else None
    content = text.split("\n")[mark.line : mark.line + 1] if mark else []
    if begun and "quoted scalar" in context and "end of stream" in words:
        return "a quote that opens here is not closed", begun.line + 1
    if begun and "flow" in context:
        return f'a "[" or "{{" opened in line {begun.line + 1} is not closed before this', line
    if mark and content and ("cannot start any token" in words or "tab character" in words):
        at = content[0][mark.column : mark.column + 1]
        indent = content[0][: len(content[0]) - len(content[0].lstrip())]
        if at == "\t" or "\t" in indent:
            return "a tab cannot indent; use spaces", line
        return f"text cannot begin with {quoted(at)}; put it in quotes", line
    if words.startswith("mapping values are not allowed"):
        return 'a ":" is not expected here; check the indentation, or put the text in quotes', line
    return words, line


class _Composer:
    """Makes data and marks of a stream of parser events; refuses on the first event that is not allowed."""

    def __init__(self, text: str, file: str) -> None:
        self.file = file
        self.events: Iterator[Any] = iter(yaml.parse(text, Loader=_Loader))
        self.count = 0

    def document(self) -> tuple[Any, Mark]:
        first = self._next_content()
        if first is None:
            refuse("is empty", self.file, 1)
        data, mark = self._node(first, 1)
        second = self._next_content()
        if second is not None:
            refuse("a second document begins here; one file holds one study", self.file, second.start_mark.line + 1)
        return data, mark

    def _next_content(self) -> Any:
        """The next event that is not a stream start, document start or document end; None at the end."""
        around = (yaml.StreamStartEvent, yaml.DocumentStartEvent, yaml.DocumentEndEvent, yaml.StreamEndEvent)
        return next((e for e in self.events if not isinstance(e, around)), None)

    def _node(self, event: Any, depth: int) -> tuple[Any, Mark]:
        line: int = event.start_mark.line + 1
        self.count += 1
        if self.count > MAX_VALUES:
            too_many(self.file, line)
        if isinstance(event, yaml.AliasEvent):
            refuse(f"alias *{shortened(str(event.anchor))} is not allowed; write the value out", self.file, line)
        if event.anchor is not None:
            refuse(f"anchor &{shortened(event.anchor)} is not allowed; write the value out", self.file, line)
        if event.tag is not None:
            refuse(f"tag {shortened(event.tag)} is not allowed", self.file, line)
        if isinstance(event, yaml.ScalarEvent):
            text = check_value(event.value, self.file, line)
            return (self._plain(text, line) if event.implicit[0] else text), line
        if depth > MAX_DEPTH:
            refuse(f"nested deeper than {MAX_DEPTH} levels", self.file, line)
        if isinstance(event, yaml.SequenceStartEvent):
            return self._list(line, depth)
        return self._mapping(line, depth)

    def _list(self, line: int, depth: int) -> tuple[list[Any], Mark]:
        items: list[Any] = []
        marks: list[Mark] = []
        for event in self.events:
            if isinstance(event, yaml.SequenceEndEvent):
                break
            data, mark = self._node(event, depth + 1)
            items.append(data)
            marks.append(mark)
        return items, (line, marks)

    def _mapping(self, line: int, depth: int) -> tuple[dict[str, Any], Mark]:
        items: dict[str, Any] = {}
        marks: dict[str, Mark] = {}
        for event in self.events:
            if isinstance(event, yaml.MappingEndEvent):
                break
            key, at = self._node(event, depth + 1)
            key_line = line_of(at)
            if not isinstance(key, str):
                shown = "a list or mapping" if isinstance(key, (list, dict)) else shortened(event.value) or "nothing"
                advice = "" if isinstance(key, (list, dict)) else f"; put it in quotes: {quoted(event.value)}"
                refuse(f"a key must be text, not {shown}{advice}", self.file, key_line)
            check_key(key, marks, self.file, key_line)
            data, mark = self._node(next(self.events), depth + 1)
            items[key] = data
            # A field's line is its key's: there the reader looks first.
            marks[key] = (key_line, mark[1]) if isinstance(mark, tuple) else key_line
        return items, (line, marks)

    def _plain(self, text: str, line: int) -> Any:
        """The value of an unquoted scalar (YAML 1.2, core schema)."""
        if text in _WORDS:
            return _WORDS[text]
        if text[0] not in "+-.0123456789":
            return text
        if len(text) > MAX_DIGITS and (_FLOAT.fullmatch(text) or _HEX.fullmatch(text) or _OCTAL.fullmatch(text)):
            refuse(f"a number of {len(text)} digits", self.file, line)
        if _INT.fullmatch(text):
            return int(text)
        if _FLOAT.fullmatch(text):
            return finite(text, self.file, line)
        if _OCTAL.fullmatch(text):
            return int(text, 0)
        return int(text, 0) if _HEX.fullmatch(text) else text


def dump(data: Any) -> str:
    """Plain data as YAML that `read_document` reads back exactly, and readers of YAML 1.1 as nearly as can be."""
    text: str = yaml.dump(data, Dumper=_Dumper, sort_keys=False, default_flow_style=None, allow_unicode=True, width=110)
    return text


class _Dumper(yaml.SafeDumper):
    """Quotes text that either YAML 1.1 (inherited) or YAML 1.2 (added below) would read as something else."""

    def ignore_aliases(self, data: Any) -> bool:
        return True

    def represent(self, data: Any) -> None:
        node: Any = self.represent_data(data)
        node.flow_style = False
        self.serialize(node)

    def represent_mapping(self, tag: str, mapping: Any, flow_style: bool | None = None) -> Any:
        return _on_one_line(super().represent_mapping(tag, mapping, flow_style))

    def represent_sequence(self, tag: str, sequence: Any, flow_style: bool | None = None) -> Any:
        return _on_one_line(super().represent_sequence(tag, sequence, flow_style))


def _on_one_line(node: Any) -> Any:
    """Small collections in braces or brackets: a parameter fits on a line."""
    node.flow_style = _length(node, 90) <= 90
    return node


def _length(node: Any, most: int) -> int:
    """About how many characters a node takes; counting ends at `most`."""
    if isinstance(node, yaml.ScalarNode):
        return len(node.value) + 2
    length = 2
    for item in node.value:
        length += sum(_length(part, most) for part in item) if isinstance(item, tuple) else _length(item, most)
        if length > most:
            break
    return length


def _represent_text(dumper: _Dumper, text: str) -> Any:
    # In other styles these would be taken for line breaks, and come back as blanks.
    style = '"' if any(c in text for c in "\r\x85\u2028\u2029") else None
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style=style)


_Dumper.add_representer(str, _represent_text)
_Dumper.add_implicit_resolver("tag:yaml.org,2002:float", re.compile(f"^(?:{_FLOAT.pattern})$"), list("-+.0123456789"))
_Dumper.add_implicit_resolver("tag:yaml.org,2002:int", re.compile(f"^(?:{_OCTAL.pattern})$"), ["0"])
