"""A script's own files with a trial's values in them: YAML, JSON, TOML, INI and Python, edited in place.

Only the values change: comments, order and layout stay, but for JSON, which is written anew with the indentation that
it had. A key is a path such as `optimizer.lr` or `layers.0.width`; in a Python file `Config.lr` is a
class's attribute or a dictionary's entry. A key that has dots itself is tried as it stands first.
"""

from __future__ import annotations

import ast
import json
import os
import re
import warnings
from collections.abc import Callable, Mapping, MutableMapping, MutableSequence, Sequence
from typing import Any, AnyStr

from hpo_engine.errors import nearest
from hpo_engine.text.quoting import shown

_LIBRARY = "needs {} to be edited: pip install 'hpo-engine[files]'"
_TWO_IN_ONE = "is to get two values in one place (by an alias, or at a key and at another one below it)"
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
    names = [key.removeprefix(NEW) for key in values]
    if "" in names:
        raise EditError("has no key without a name")
    if twice := next((name for name in names if names.count(name) > 1), None):
        raise EditError(f"is to get two values at {shown(twice)}")
    return _FORMATS[suffix](text, values) if values else text


def python_values(text: str) -> dict[str, Any]:
    """What `edited` can set in a Python file: the value by its key, `LEARNING_RATE` or `Config.lr`.

    {} if it is no Python.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of odd escapes in the script
            found = _literals(ast.parse(text))
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return {}
    return {key: ast.literal_eval(nodes[0]) for key, nodes in found.items() if len(nodes) == 1}


# -- YAML: the text between the marks of a node ------------------------------------------------------------------------


def _yaml(text: str, values: Mapping[str, Any]) -> str:
    import yaml

    try:
        root = yaml.compose(text, Loader=yaml.SafeLoader)
        shape = _yaml_shape(root)
    except (yaml.YAMLError, RecursionError) as error:
        raise EditError(f"is no YAML: {_first_line(error)}") from None
    if root is None:
        raise EditError("is empty")
    return _replaced(text, [_yaml_edit(root, _steps(shape, key, value), value, text) for key, value in values.items()])


def _yaml_edit(node: Any, steps: Sequence[Any], value: Any, text: str) -> tuple[int, int, str]:
    """Where the text changes, and to what. `node`: the root."""
    for step in steps:
        inner = dict(_yaml_items(node)).get(step)
        if inner is None:
            return _yaml_addition(node, f"{_yaml_text(step)}: {_yaml_text(value)}")
        node = inner
    begin, end = node.start_mark.index, node.end_mark.index
    anchor = re.match(r"(?:[&!]\S*\s+)*", text[begin:end])
    begin += anchor.end() if anchor else 0
    return begin, end, _yaml_text(value) + "\n" * text[begin:end].endswith("\n")  # a text in lines has the last end


def _yaml_items(node: Any) -> list[tuple[Any, Any]]:
    """The keys of a mapping as they are written, or the indices of a sequence, with their nodes."""
    if node.id == "mapping":
        return [(name.value if name.id == "scalar" else None, inner) for name, inner in node.value]
    return list(enumerate(node.value)) if node.id == "sequence" else []


def _yaml_shape(node: Any) -> Any:
    """A node as dictionaries and lists."""
    if node is None or node.id == "scalar":
        return None
    inner = {step: _yaml_shape(item) for step, item in _yaml_items(node)}
    return inner if node.id == "mapping" else list(inner.values())


def _yaml_addition(node: Any, entry: str) -> tuple[int, int, str]:
    """Before the first entry of a mapping."""
    begin = node.start_mark.index
    if node.flow_style:
        return begin + 1, begin + 1, f"{entry}, " if node.value else entry
    first = node.value[0][0].start_mark
    return first.index, first.index, f"{entry}\n{' ' * first.column}"


def _yaml_text(value: Any) -> str:
    """In one line, and such that every version of YAML reads it again: `on` and `1e-3` are no texts to all of them."""
    import yaml

    dumped = yaml.safe_dump([value], default_flow_style=True, width=float("inf"), allow_unicode=True, sort_keys=False)
    return dumped.strip()[1:-1]


# -- TOML, INI, JSON ---------------------------------------------------------------------------------------------------


def _toml(text: str, values: Mapping[str, Any]) -> str:
    try:
        import tomlkit
        from tomlkit.exceptions import TOMLKitError
    except ImportError:
        raise EditError(_LIBRARY.format("tomlkit")) from None

    try:
        document = tomlkit.parse(text)
        return tomlkit.dumps(_set_all(document, values))
    except TOMLKitError as error:
        raise EditError(f"is no TOML: {_first_line(error)}") from None


def _ini(text: str, values: Mapping[str, Any]) -> str:
    from configparser import Error

    try:
        from configupdater import ConfigUpdater
    except ImportError:
        raise EditError(_LIBRARY.format("ConfigUpdater")) from None

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
    places = [(_steps(root, key, value), value) for key, value in values.items()]
    if any(one[: len(other)] == other for one, _ in places for other, _ in places if one is not other):
        raise EditError(_TWO_IN_ONE)
    for (*path, last), value in places:
        place = root
        for step in path:
            place = place[step]
        place[last] = value
    return root


def _steps(root: Any, key: str, value: Any) -> list[Any]:
    """The keys and indices that lead to where a value is to be, in mappings and lists. Raises EditError."""
    name, place, steps = key.removeprefix(NEW), root, list[Any]()
    rest = name
    while True:
        step, rest = _step(place, rest, key)
        steps.append(step)
        if not rest:
            break
        place = place[step]
    if isinstance(place, MutableMapping) and step not in place:
        if not key.startswith(NEW):
            raise EditError(f"has no {shown(key)}{nearest(name, _keys(root))} ({NEW}{shown(key)} adds it)")
    elif isinstance(place[step], (MutableMapping, MutableSequence)) and not isinstance(value, (dict, list)):
        raise EditError(f"has several values at {shown(key)}, and one is to replace them")
    return steps


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
    return _replaced(data, edits).decode()


def _replaced(text: AnyStr, edits: list[tuple[int, int, AnyStr]]) -> AnyStr:
    """The text with other text between these places. Raises EditError if one of them is in another."""
    after = len(text)
    for begin, end, new in sorted(edits, reverse=True):
        if end > after:
            raise EditError(_TWO_IN_ONE)
        text, after = text[:begin] + new + text[end:], begin
    return text


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
