"""Scripts that read config.json, which the engine writes for each trial."""

from __future__ import annotations

import ast
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace

from hpo_engine.studyfile.starter.interface import Collector, Parameter, Reading, Script
from hpo_engine.studyfile.starter.plan import worth_searching
from hpo_engine.studyfile.starter.readers import argparse_options
from hpo_engine.studyfile.starter.syntax import assigned, dict_literals, literal, mentions, name_of, owner_of

_FILE = "config.json"


def read(script: Script) -> Reading | None:
    if script.tree is None:
        return None
    nodes, dicts, found = script.nodes, dict_literals(script.nodes), Collector()
    loads = _loads(nodes)
    names = _holders(nodes, loads, dicts, found)
    for node in nodes:
        _take_use(node, names, found)
    aliases = {name: use.name for name, value in assigned(nodes) if (use := _use(value, names))}
    for node in nodes:
        if isinstance(node, ast.Call):
            _take_type(node, names, found)
        else:
            _take_choices(node, names, aliases, dicts, found)
    if not (found or names or loads.sure):
        return None
    # Options that config.json replaces, or what options say about the parameters in it.
    all_of_them = not found or any(_spreads(node, names) for node in nodes)
    for option in argparse_options.options(script):
        if option.name in found or (all_of_them and worth_searching([option])):
            found.add(replace(option, option="", word="", positional=False, required=False))
    return Reading(_FILE, found.parameters())


@dataclass(frozen=True)
class _Loads:
    """The calls that load JSON, by id. `sure`: those of config.json; `taken`: these, or all if none is sure."""

    sure: frozenset[int]
    taken: frozenset[int]


def _loads(nodes: Iterable[ast.AST]) -> _Loads:
    handles = {
        item.optional_vars.id
        for node in nodes
        if isinstance(node, (ast.With, ast.AsyncWith))
        for item in node.items
        if isinstance(item.optional_vars, ast.Name) and mentions(item.context_expr, _FILE)
    }
    loads = [n for n in nodes if isinstance(n, ast.Call) and _is_load(n)]
    sure = [n for n in loads if name_of(n.func) == "config" or mentions(n, _FILE) or _reads(n, handles)]
    return _Loads(frozenset(map(id, sure)), frozenset(map(id, sure or loads)))


def _holders(nodes: Iterable[ast.AST], loads: _Loads, dicts: Mapping[str, ast.Dict], found: Collector) -> set[str]:
    """The variables that hold the content of config.json; default values that are merged into it are noted."""
    names: set[str] = set()
    for name, value in assigned(nodes):
        inside = list(ast.walk(value))
        if any(id(n) in loads.taken for n in inside):
            names.add(name)
            for part in inside:
                defaults = dicts.get(part.id) if isinstance(part, ast.Name) else part
                if isinstance(defaults, ast.Dict):
                    _take_defaults(defaults, found)
    for node in nodes:  # settings.update(json.load(f))
        if isinstance(node, ast.Call) and name_of(node.func) == "update" and isinstance(node.func, ast.Attribute):
            owner = node.func.value
            if isinstance(owner, ast.Name) and any(id(n) in loads.taken for n in ast.walk(node)):
                names.add(owner.id)
    for name in names & set(dicts):
        _take_defaults(dicts[name], found)
    return names | _handed_on(nodes, names)


def _handed_on(nodes: Iterable[ast.AST], names: set[str]) -> set[str]:
    """The parameters of the script's functions that are given one of `names`."""
    functions = {n.name: n for n in nodes if isinstance(n, (ast.FunctionDef, ast.AsyncFunctionDef))}
    out = set()
    for node in nodes:
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in functions:
            for arg, given in zip(functions[node.func.id].args.args, node.args, strict=False):
                if isinstance(given, ast.Name) and given.id in names:
                    out.add(arg.arg)
    return out


def _is_load(node: ast.Call) -> bool:
    """json.load, json.loads, or config() of the helper beside the script."""
    if name_of(node.func) == "config":
        return owner_of(node.func) in (None, "report", "hpo_trainees")
    return name_of(node.func) in ("load", "loads") and owner_of(node.func) == "json"


def _reads(node: ast.Call, handles: set[str]) -> bool:
    return any(isinstance(n, ast.Name) and n.id in handles for n in ast.walk(node))


def _spreads(node: ast.AST, names: set[str]) -> bool:
    """Whether all of config.json replaces what the command line said: f(**config), {**values, **config},
    values.update(config), and `for name, value in config.items()`."""
    spread: list[ast.expr] = []
    if isinstance(node, ast.For) and isinstance(node.iter, ast.Call) and name_of(node.iter.func) == "items":
        return owner_of(node.iter.func) in names
    if isinstance(node, ast.Dict):
        spread = [value for key, value in zip(node.keys, node.values, strict=True) if key is None]
    elif isinstance(node, ast.Call):
        spread = [keyword.value for keyword in node.keywords if keyword.arg is None]
        spread += node.args if name_of(node.func) == "update" else []
    return any(isinstance(value, ast.Name) and value.id in names for value in spread)


def _take_defaults(node: ast.Dict, found: Collector) -> None:
    for name, value in _entries(node):
        found.add(Parameter(name, _plain(value), line=value.lineno))


def _entries(node: ast.Dict) -> Iterator[tuple[str, ast.expr]]:
    for key, value in zip(node.keys, node.values, strict=True):
        if isinstance(key, ast.Constant) and isinstance(key.value, str):
            yield key.value, value


def _plain(node: ast.AST | None) -> object:
    """A default; a list is none that could be tuned."""
    value = literal(node)
    return None if isinstance(value, (list, tuple)) else value


def _use(node: ast.AST, names: set[str]) -> Parameter | None:
    """The parameter that the node reads: config["lr"], config.get("lr", 0.1)."""
    key = default = None
    if isinstance(node, ast.Subscript) and isinstance(node.value, ast.Name) and node.value.id in names:
        key = literal(node.slice)
    elif isinstance(node, ast.Call) and name_of(node.func) in ("get", "pop", "setdefault") and node.args:
        key = literal(node.args[0]) if owner_of(node.func) in names else None
        default = _plain(node.args[1]) if len(node.args) > 1 else None
    return Parameter(key, default, line=getattr(node, "lineno", 0)) if isinstance(key, str) else None


def _take_use(node: ast.AST, names: set[str], found: Collector) -> None:
    if use := _use(node, names):
        found.add(use)
    if isinstance(node, ast.Assign) and len(node.targets) == 1:  # config["lr"] = 0.1
        target = _use(node.targets[0], names)
        if target:
            found.add(replace(target, default=_plain(node.value)))


def _take_type(node: ast.Call, names: set[str], found: Collector) -> None:
    """float(config["lr"])"""
    types = {"int": int, "float": float, "bool": bool, "str": str}
    use = _use(node.args[0], names) if len(node.args) == 1 else None
    if use and isinstance(node.func, ast.Name) and node.func.id in types:
        found.add(replace(use, type=types[node.func.id]))


def _take_choices(
    node: ast.AST, names: set[str], aliases: Mapping[str, str], dicts: Mapping[str, ast.Dict], found: Collector
) -> None:
    """config["model"] == "forest", in ("forest", "tree"), and MODELS[config["model"]] of a dict written out."""
    if isinstance(node, ast.Compare) and isinstance(node.ops[0], (ast.Eq, ast.NotEq, ast.In)):
        chosen, value = node.left, literal(node.comparators[0])
        values = list(value) if isinstance(value, (list, tuple, set)) else [value]
    elif isinstance(node, ast.Subscript) and isinstance(node.value, ast.Name) and node.value.id in dicts:
        chosen, values = node.slice, [literal(key) for key in dicts[node.value.id].keys]
    else:
        return
    use = _use(chosen, names)
    name = use.name if use else aliases.get(chosen.id) if isinstance(chosen, ast.Name) else None
    texts = tuple(text for text in values if isinstance(text, str))
    if name and texts:
        found.add(Parameter(name, choices=texts))
