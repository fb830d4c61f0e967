"""A script's own files with a trial's values in them: YAML, JSON, TOML, INI and Python, edited in place.

Only the values change: comments, order and layout stay as they are, but for JSON, which is written anew with the
indentation that it had. A key is a path such as `optimizer.lr` or `layers.0.width`; in a Python file `Config.lr` is a
class's attribute or a dictionary's entry. A key that has dots itself is tried as it stands first.
"""

from __future__ import annotations

import ast
import io
import json
import os
import re
from collections.abc import Callable, Mapping, MutableMapping, MutableSequence
from typing import Any

from hpo_engine.errors import nearest
from hpo_engine.text.quoting import shown

NEW = "+"
"""Before a key: the file does not have it yet."""


class EditError(ValueError):
    """The file cannot take a value; the message says in one line why."""


def edited(path: str, text: str, values: Mapping[str, Any]) -> str:
    """The file's text with the values at their keys.

    Args:
        path: its name, whose suffix tells the format. values: JSON values by key.

    Raises:
        EditError: the format is unknown, the text is not of that format, or a key is not there or holds others.
    """
    suffix = os.path.splitext(path)[1].lower()
    if suffix not in _FORMATS:
        raise EditError(f"cannot set values in {shown(path)}; known are {', '.join(sorted(_FORMATS))}, or a template")
    return _FORMATS[suffix](text, values) if values else text


# -- formats whose library keeps the rest of the text -----------------------------------------------------------------


def _yaml(text: str, values: Mapping[str, Any]) -> str:
    from ruamel.yaml import YAML
    from ruamel.yaml.error import YAMLError

    yaml = YAML()  # the round-trip one
    yaml.representer.add_representer(float, _yaml_float)
    yaml.preserve_quotes = True
    yaml.width = 1 << 20  # long lines stay lines
    mapping, sequence, offset = _yaml_indents(text)
    yaml.indent(mapping=mapping, sequence=sequence, offset=offset)
    try:
        documents = list(yaml.load_all(text))
    except YAMLError as error:
        raise EditError(f"is no YAML: {_first_line(error)}") from None
    if len(documents) != 1:
        raise EditError(f"has {len(documents)} YAML documents; one is needed")
    root = _set_all(documents[0], {key: _yaml_value(value) for key, value in values.items()})
    out = io.StringIO()
    yaml.dump(root, out)
    return out.getvalue()


def _yaml_value(value: Any) -> Any:
    """As every version of YAML reads it again: `on` and `1e-3` are no texts to all of them."""
    from ruamel.yaml.comments import CommentedMap, CommentedSeq
    from ruamel.yaml.scalarstring import DoubleQuotedScalarString

    if isinstance(value, str):
        return DoubleQuotedScalarString(value)
    if isinstance(value, dict):
        mapping = CommentedMap({_yaml_value(name): _yaml_value(item) for name, item in value.items()})
        mapping.fa.set_flow_style()
        return mapping
    if isinstance(value, (list, tuple)):
        sequence = CommentedSeq(map(_yaml_value, value))
        sequence.fa.set_flow_style()
        return sequence
    return value


def _yaml_float(representer: Any, value: float) -> Any:
    text = repr(value)
    return representer.represent_scalar(
        "tag:yaml.org,2002:float", text.replace("e", ".0e") if "e" in text and "." not in text else text
    )


def _yaml_indents(text: str) -> tuple[int, int, int]:
    """Spaces before nested mappings, before the items of nested lists, and before their dashes."""
    nested = re.search(r"^( *)[^\s#-][^\n]*:[ ]*(?:#[^\n]*)?\n(?:[ ]*(?:#[^\n]*)?\n)*\1( +)[^\s#-]", text, re.M)
    listed = re.search(r"^( *)[^\s#-][^\n]*:[ ]*(?:#[^\n]*)?\n(?:[ ]*(?:#[^\n]*)?\n)*\1( *)-( +)\S", text, re.M)
    mapping = len(nested[2]) if nested else 2
    return (mapping, len(listed[2]) + 1 + len(listed[3]), len(listed[2])) if listed else (mapping, mapping + 2, 2)


def _toml(text: str, values: Mapping[str, Any]) -> str:
    import tomlkit
    from tomlkit.exceptions import TOMLKitError

    try:
        document = tomlkit.parse(text)
        return tomlkit.dumps(_set_all(document, values))
    except TOMLKitError as error:
        raise EditError(f"is no TOML: {_first_line(error)}") from None


def _ini(text: str, values: Mapping[str, Any]) -> str:
    from configparser import Error

    from configupdater import ConfigUpdater

    updater = ConfigUpdater(strict=False, allow_no_value=True)
    try:
        updater.read_string(text)
    except Error as error:
        raise EditError(f"is no INI file: {_first_line(error)}") from None
    known = [f"{section}.{option}" for section in updater.sections() for option in updater[section]]
    for key, value in values.items():
        section, _, option = key.removeprefix(NEW).rpartition(".")
        if not updater.has_section(section) or (not key.startswith(NEW) and not updater.has_option(section, option)):
            raise EditError(f"has no {shown(key)}{nearest(key, known)}")
        updater.set(section, option, _ini_text(value))
    return str(updater)


def _ini_text(value: Any) -> str:
    text = value if isinstance(value, str) else json.dumps(value)
    if "\n" in text or "\r" in text:
        raise EditError("an INI file cannot hold a text of several lines")
    return text


def _json(text: str, values: Mapping[str, Any]) -> str:
    try:
        root = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise EditError(f"is no JSON: {_first_line(error)}") from None
    indent = re.search(r"^[\[{]\s*\n([ \t]+)", text)
    written = json.dumps(_set_all(root, values), indent=indent[1] if indent else None, ensure_ascii=False)
    return written + ("\n" if text.endswith("\n") else "")


# -- keys in mappings and lists ---------------------------------------------------------------------------------------


def _set_all(root: Any, values: Mapping[str, Any]) -> Any:
    for key, value in values.items():
        name, place = key.removeprefix(NEW), root
        step, rest = _step(place, name, key)
        while rest:
            place = place[step]
            step, rest = _step(place, rest, key)
        is_there = not isinstance(place, MutableMapping) or step in place
        if not is_there and not key.startswith(NEW):
            raise EditError(f"has no {shown(key)}{nearest(name, _keys(root))} ({NEW}{shown(key)} adds it)")
        if is_there and isinstance(place[step], (MutableMapping, MutableSequence)) and not _is_nested(value):
            raise EditError(f"has several values at {shown(key)}, and one is to replace them")
        place[step] = value
    return root


def _step(place: Any, path: str, key: str) -> tuple[Any, str]:
    """The key or index of the next step on `path`, and what is left of the path."""
    if isinstance(place, MutableMapping):
        if path in place or "." not in path:
            return path, ""
        parts = path.split(".")
        for count in range(len(parts) - 1, 0, -1):  # keys may have dots
            if (name := ".".join(parts[:count])) in place:
                return name, ".".join(parts[count:])
        raise EditError(f"has no {shown(key)}{nearest(parts[0], map(str, place))}")
    head, _, rest = path.partition(".")
    if isinstance(place, MutableSequence) and head.isdecimal():
        if int(head) < len(place):
            return int(head), rest
        raise EditError(f"has only {len(place)} items where {shown(key)} leads to number {int(head)}")
    raise EditError(f"has a single value where {shown(key)} asks for {shown(head)}")


def _keys(place: Any, prefix: str = "") -> list[str]:
    """The paths of all keys of mappings."""
    if not isinstance(place, MutableMapping):
        return []
    found = []
    for name, value in place.items():
        found += [f"{prefix}{name}", *_keys(value, f"{prefix}{name}.")]
    return found


def _is_nested(value: Any) -> bool:
    return isinstance(value, (dict, list))


# -- Python -----------------------------------------------------------------------------------------------------------


def _python(text: str, values: Mapping[str, Any]) -> str:
    try:
        tree = ast.parse(text)
    except (SyntaxError, ValueError, RecursionError) as error:
        raise EditError(f"is no Python: {_first_line(error)}") from None
    found = _literals(tree)
    data = text.encode()
    starts = [0]
    for line in data.splitlines(keepends=True):
        starts.append(starts[-1] + len(line))
    edits = []
    for key, value in values.items():
        nodes = found.get(key, [])
        if len(nodes) != 1:
            there = f"sets {shown(key)} {len(nodes)} times; one is needed" if nodes else _no_literal(key, found)
            raise EditError(there)
        (node,) = nodes
        assert node.end_lineno is not None and node.end_col_offset is not None
        begin = starts[node.lineno - 1] + node.col_offset
        edits.append((begin, starts[node.end_lineno - 1] + node.end_col_offset, repr(value).encode()))
    for begin, end, new in sorted(edits, reverse=True):
        data = data[:begin] + new + data[end:]
    return data.decode()


def _no_literal(key: str, found: Mapping[str, Any]) -> str:
    return f"has no assignment of a plain value to {shown(key)} at its top level{nearest(key, found)}"


def _literals(tree: ast.Module) -> dict[str, list[ast.expr]]:
    """The plain values that are assigned at the top level, in classes and in dictionaries there, by path."""
    found: dict[str, list[ast.expr]] = {}

    def visit(body: list[ast.stmt], prefix: str) -> None:
        for statement in body:
            if isinstance(statement, ast.ClassDef):
                visit(statement.body, f"{prefix}{statement.name}.")
            elif isinstance(statement, ast.Assign):
                for target in statement.targets:
                    if isinstance(target, ast.Name):
                        add(f"{prefix}{target.id}", statement.value)
            elif (
                isinstance(statement, ast.AnnAssign)
                and isinstance(statement.target, ast.Name)
                and statement.value is not None
            ):
                add(f"{prefix}{statement.target.id}", statement.value)

    def add(path: str, node: ast.expr) -> None:
        if isinstance(node, ast.Dict):
            for name, value in zip(node.keys, node.values, strict=True):
                if isinstance(name, ast.Constant) and isinstance(name.value, str):
                    add(f"{path}.{name.value}", value)
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "dict":
            for keyword in node.keywords:
                if keyword.arg is not None:
                    add(f"{path}.{keyword.arg}", keyword.value)
        try:
            ast.literal_eval(node)
        except (ValueError, TypeError, SyntaxError, MemoryError, RecursionError):
            return
        found.setdefault(path, []).append(node)

    visit(tree.body, "")
    return found


def _first_line(error: Exception) -> str:
    return shown(" ".join(str(error).split()), 200)


_FORMATS: dict[str, Callable[[str, Mapping[str, Any]], str]] = {
    ".yaml": _yaml,
    ".yml": _yaml,
    ".json": _json,
    ".toml": _toml,
    ".ini": _ini,
    ".cfg": _ini,
    ".py": _python,
}
