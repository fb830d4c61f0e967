"""What a training script seems to read from config.json and to report: guesses from its text, never by running it."""

from __future__ import annotations

import ast
import re
import unicodedata
import warnings
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from hpo_engine.contract.sources import printed
from hpo_engine.space.params import json_problem, name_problem

_STEPS = {"step", "steps", "epoch", "iteration"}


@dataclass
class Guesses:
    """`params`: name -> default (None: not known). `types`: what the script converts a parameter to. `choices`: what
    it allows. `options`: the parameters are options of the command line; `flags`: how each is written there, name ->
    "--lr". `metrics`: in the order found. `printed`: they are only printed. `batch_only`: what Lightning logs for
    batches only, which ReportCallback does not report."""

    params: dict[str, Any] = field(default_factory=dict)
    types: dict[str, type] = field(default_factory=dict)
    choices: dict[str, list[Any]] = field(default_factory=dict)
    options: bool = False
    flags: dict[str, str] = field(default_factory=dict)
    metrics: list[str] = field(default_factory=list)
    batch_only: list[str] = field(default_factory=list)
    lightning: bool = False
    printed: bool = False

    def param(self, name: str, default: Any = None) -> None:
        name = unicodedata.normalize("NFC", name)
        if name_problem(name) is None and self.params.get(name) is None:
            self.params[name] = default if _usable(default) else None

    def choice(self, name: str, value: Any) -> None:
        values = self.choices.setdefault(unicodedata.normalize("NFC", name), [])
        if _usable(value) and value not in values:
            values.append(value)

    def metric(self, name: Any) -> None:
        if name_problem(name) is None and name not in _STEPS and name not in self.metrics:
            self.metrics.append(name)


def _usable(value: Any) -> bool:
    """Whether a study file can hold the value, and a person would want to see it there."""
    if not isinstance(value, (bool, int, float, str)) or json_problem(value) is not None:
        return False
    return len(value) <= 100 and "\0" not in value if isinstance(value, str) else abs(value) < 2**63


def scan(path: str, text: str) -> Guesses:
    """The guesses for a script; of a text that is no Python (or broken Python), those that patterns find."""
    if path.endswith(".py"):
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # of odd escapes in the script
                return _scan_python(ast.parse(text))
        except (SyntaxError, ValueError, RecursionError, MemoryError):
            pass
    return _scan_text(text)


# -- Python ------------------------------------------------------------------------------------------------------


def _scan_python(tree: ast.Module) -> Guesses:
    found = Guesses()
    nodes = sorted(ast.walk(tree), key=lambda n: (getattr(n, "lineno", 0), getattr(n, "col_offset", 0)))
    dicts = _dict_literals(nodes)
    names = _config_names(nodes, dicts, found)
    for node in nodes:
        _take_use(node, names, found)
    batches = _logs_of_batches(nodes)
    found.lightning = any(_imports_lightning(node) for node in nodes)
    aliases = {name: use[0] for name, value in _assigned(nodes) if (use := _use(value, names))}
    for node in nodes:
        if isinstance(node, ast.Call):
            _take_type(node, names, found)
            if id(node) in batches and not _on_epoch(node):
                _take_batch_only(node, found)
            else:
                _take_metrics(node, found)
        else:
            _take_choices(node, names, aliases, dicts, found)
    reads = bool(found.params or names)
    all_of_them = not found.params or any(_spreads(node, names) for node in nodes)
    for node in nodes:
        if isinstance(node, ast.Call) and _name_of(node.func) == "add_argument":
            _take_option(node, found, all_of_them)
    found.options = bool(found.params) and not reads
    if not found.metrics and not found.lightning:
        for node in nodes:
            if isinstance(node, ast.Call) and _name_of(node.func) in ("print", "info", "write"):
                _take_printed(node, found)
        found.printed = bool(found.metrics)
    return found


def _spreads(node: ast.AST, names: set[str]) -> bool:
    """Whether all of config.json replaces what the command line said: f(**config), {**values, **config},
    values.update(config), and `for name, value in config.items()`."""
    spread: list[ast.expr] = []
    if isinstance(node, ast.For) and isinstance(node.iter, ast.Call) and _name_of(node.iter.func) == "items":
        return _owner_of(node.iter.func) in names
    if isinstance(node, ast.Dict):
        spread = [value for key, value in zip(node.keys, node.values, strict=True) if key is None]
    elif isinstance(node, ast.Call):
        spread = [keyword.value for keyword in node.keywords if keyword.arg is None]
        spread += node.args if _name_of(node.func) == "update" else []
    return any(isinstance(value, ast.Name) and value.id in names for value in spread)


def _dict_literals(nodes: Iterable[ast.AST]) -> dict[str, ast.Dict]:
    return {name: value for name, value in _assigned(nodes) if isinstance(value, ast.Dict)}


def _assigned(nodes: Iterable[ast.AST]) -> Iterator[tuple[str, ast.expr]]:
    """(variable, expression) of each assignment to a plain name."""
    for node in nodes:
        targets = node.targets if isinstance(node, ast.Assign) else [getattr(node, "target", None)]
        value = getattr(node, "value", None)
        if isinstance(node, (ast.Assign, ast.AnnAssign, ast.NamedExpr)) and isinstance(value, ast.expr):
            for target in targets:
                if isinstance(target, ast.Name):
                    yield target.id, value


def _config_names(nodes: list[ast.AST], dicts: Mapping[str, ast.Dict], found: Guesses) -> set[str]:
    """The variables that hold the content of config.json; default values that are merged into it are noted."""
    handles = {
        item.optional_vars.id
        for node in nodes
        if isinstance(node, (ast.With, ast.AsyncWith))
        for item in node.items
        if isinstance(item.optional_vars, ast.Name) and _mentions(item.context_expr, "config.json")
    }
    loads = [n for n in nodes if isinstance(n, ast.Call) and _is_load(n)]
    sure = [n for n in loads if _name_of(n.func) == "config" or _mentions(n, "config.json") or _reads(n, handles)]
    chosen = {id(n) for n in (sure or loads)}
    names: set[str] = set()
    for name, value in _assigned(nodes):
        inside = list(ast.walk(value))
        if any(id(n) in chosen for n in inside):
            names.add(name)
            for part in inside:
                literal = dicts.get(part.id) if isinstance(part, ast.Name) else part
                if isinstance(literal, ast.Dict):
                    _take_defaults(literal, found)
    for node in nodes:  # settings.update(json.load(f))
        if isinstance(node, ast.Call) and _name_of(node.func) == "update" and isinstance(node.func, ast.Attribute):
            owner = node.func.value
            if isinstance(owner, ast.Name) and any(id(n) in chosen for n in ast.walk(node)):
                names.add(owner.id)
    for name in names & set(dicts):
        _take_defaults(dicts[name], found)
    return names | _handed_on(nodes, names)


def _handed_on(nodes: Iterable[ast.AST], names: set[str]) -> set[str]:
    """The parameters of the script's functions that are given one of `names`."""
    nodes = list(nodes)
    functions = {n.name: n for n in nodes if isinstance(n, (ast.FunctionDef, ast.AsyncFunctionDef))}
    out = set()
    for node in nodes:
        function = (
            functions.get(node.func.id) if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) else None
        )
        if function and isinstance(node, ast.Call):
            for arg, given in zip(function.args.args, node.args, strict=False):
                if isinstance(given, ast.Name) and given.id in names:
                    out.add(arg.arg)
    return out


def _is_load(node: ast.Call) -> bool:
    """json.load, json.loads, or config() of the helper beside the script."""
    return _name_of(node.func) in ("load", "loads") and _owner_of(node.func) == "json" or _is_helper(node, "config")


def _is_helper(node: ast.Call, name: str) -> bool:
    return _name_of(node.func) == name and _owner_of(node.func) in (None, "report", "hpo_trainees")


def _reads(node: ast.Call, handles: set[str]) -> bool:
    return any(isinstance(n, ast.Name) and n.id in handles for n in ast.walk(node))


def _mentions(node: ast.AST, text: str) -> bool:
    return any(isinstance(n, ast.Constant) and isinstance(n.value, str) and text in n.value for n in ast.walk(node))


def _name_of(node: ast.expr) -> str | None:
    return node.attr if isinstance(node, ast.Attribute) else node.id if isinstance(node, ast.Name) else None


def _owner_of(node: ast.expr) -> str | None:
    return _name_of(node.value) if isinstance(node, ast.Attribute) else None


def _literal(node: ast.AST | None) -> Any:
    try:
        return None if node is None else ast.literal_eval(node)
    except (ValueError, TypeError, SyntaxError, MemoryError, RecursionError):
        return None


def _take_defaults(node: ast.Dict, found: Guesses) -> None:
    for key, value in zip(node.keys, node.values, strict=True):
        if isinstance(key, ast.Constant) and isinstance(key.value, str):
            found.param(key.value, _literal(value))


def _use(node: ast.AST, names: set[str]) -> tuple[str, ast.AST | None] | None:
    """(parameter, default) where the node reads one: config["lr"], config.get("lr", 0.1)."""
    if isinstance(node, ast.Subscript) and isinstance(node.value, ast.Name) and node.value.id in names:
        key: Any = _literal(node.slice)
        return (key, None) if isinstance(key, str) else None
    if isinstance(node, ast.Call) and _name_of(node.func) in ("get", "pop", "setdefault") and node.args:
        key = _literal(node.args[0]) if _owner_of(node.func) in names else None
        return (key, node.args[1] if len(node.args) > 1 else None) if isinstance(key, str) else None
    return None


def _take_use(node: ast.AST, names: set[str], found: Guesses) -> None:
    use = _use(node, names)
    if use:
        found.param(use[0], _literal(use[1]))
    if isinstance(node, ast.Assign) and len(node.targets) == 1:  # config["lr"] = 0.1
        target = _use(node.targets[0], names)
        if target:
            found.param(target[0], _literal(node.value))


def _take_type(node: ast.Call, names: set[str], found: Guesses) -> None:
    """float(config["lr"])"""
    types = {"int": int, "float": float, "bool": bool, "str": str}
    use = _use(node.args[0], names) if len(node.args) == 1 else None
    if use and isinstance(node.func, ast.Name) and node.func.id in types:
        found.types[use[0]] = types[node.func.id]


def _take_choices(
    node: ast.AST, names: set[str], aliases: Mapping[str, str], dicts: Mapping[str, ast.Dict], found: Guesses
) -> None:
    """config["model"] == "forest", in ("forest", "tree"), and MODELS[config["model"]] of a dict written out."""
    if isinstance(node, ast.Compare) and isinstance(node.ops[0], (ast.Eq, ast.NotEq, ast.In)):
        chosen, value = node.left, _literal(node.comparators[0])
        values = list(value) if isinstance(value, (list, tuple, set)) else [value]
    elif isinstance(node, ast.Subscript) and isinstance(node.value, ast.Name) and node.value.id in dicts:
        chosen, values = node.slice, [_literal(key) for key in dicts[node.value.id].keys]
    else:
        return
    use = _use(chosen, names)
    param = use[0] if use else aliases.get(chosen.id) if isinstance(chosen, ast.Name) else None
    for text in values if param else ():
        if param and isinstance(text, str):
            found.choice(param, text)


def _take_metrics(node: ast.Call, found: Guesses) -> None:
    """The keys of rows: rows.append({...}), json.dump([{...}]), record(0, {...}), report(loss=0), self.log("loss")."""
    called = _name_of(node.func)
    if called in ("append", "dump", "dumps", "record", "extend"):
        rows = [r for arg in node.args for r in (arg.elts if isinstance(arg, ast.List) else [arg])]
        for row in rows:
            for key in row.keys if isinstance(row, ast.Dict) else []:
                found.metric(_literal(key))
    elif _is_helper(node, "report"):
        for keyword in node.keywords:
            found.metric(keyword.arg)
    elif called == "log" and _owner_of(node.func) == "self" and node.args:
        found.metric(_literal(node.args[0]))


def _take_printed(node: ast.Call, found: Guesses) -> None:
    """print(f"epoch {epoch}: loss={loss:.3f}"), and the same with % and .format."""
    for arg in node.args:
        if (text := _filled_text(arg)) is not None:
            for name in printed.names(text):
                found.metric(name)


def _filled_text(node: ast.expr) -> str | None:
    """The text that is printed, with 0 for each value that is filled in; None: it is no such text."""
    if isinstance(node, ast.JoinedStr):
        parts = (str(part.value) if isinstance(part, ast.Constant) else "0" for part in node.values)
        return "".join(parts)
    if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Mod) and isinstance(text := _literal(node.left), str):
        return re.sub(r"%[-+ #0-9.]*[a-zA-Z]", "0", text)
    if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr == "format":
        text = _literal(node.func.value)
        return re.sub(r"\{[^{}]*\}", "0", text) if isinstance(text, str) else None
    return None


def _imports_lightning(node: ast.AST) -> bool:
    names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
    names += [node.module or ""] if isinstance(node, ast.ImportFrom) else []
    return any(name.partition(".")[0] in ("lightning", "pytorch_lightning") for name in names)


def _logs_of_batches(nodes: Iterable[ast.AST]) -> set[int]:
    """The calls of self.log in a training_step, by id, if the script validates: then validations make the rows."""
    steps = {n.name: n for n in nodes if isinstance(n, ast.FunctionDef) and n.name.endswith("_step")}
    if "training_step" not in steps or "validation_step" not in steps:
        return set()
    calls = (n for n in ast.walk(steps["training_step"]) if isinstance(n, ast.Call))
    return {id(n) for n in calls if _name_of(n.func) == "log" and _owner_of(n.func) == "self"}


def _on_epoch(node: ast.Call) -> bool:
    return any(k.arg == "on_epoch" and _literal(k.value) is not False for k in node.keywords)


def _take_batch_only(node: ast.Call, found: Guesses) -> None:
    name = _literal(node.args[0]) if node.args else None
    if isinstance(name, str) and name_problem(name) is None and name not in found.batch_only:
        found.batch_only.append(name)


def _take_option(node: ast.Call, found: Guesses, all_of_them: bool) -> None:
    """add_argument("--lr", type=float, default=0.1): only what looks like a number or a choice to tune.

    Args:
        all_of_them: else only those that the script reads from config.json, too.
    """
    given = [f for arg in node.args if isinstance(f := _literal(arg), str) and f.startswith("-")]
    flags = [f for f in given if f.startswith("--")]
    keywords = {k.arg: k.value for k in node.keywords if k.arg}
    default, choices = _literal(keywords.get("default")), _literal(keywords.get("choices"))
    name = _literal(keywords.get("dest")) or (flags[0].lstrip("-").replace("-", "_") if flags else None)
    if not isinstance(name, str) or not name or not (all_of_them or name in found.params):
        return
    type_ = keywords.get("type")
    number = {"int": int, "float": float}.get(_name_of(type_) or "") if type_ is not None else None
    # A whole number without a default often is a limit that is usually left out.
    needed = number is not None and (number is float or _literal(keywords.get("required")) is True)
    if isinstance(choices, (list, tuple)):
        for value in choices:
            found.choice(name, value)
    elif not needed and (isinstance(default, bool) or not isinstance(default, (int, float))):
        return
    found.param(name, default)
    name = unicodedata.normalize("NFC", name)
    if given and name in found.params:
        found.flags.setdefault(name, (flags or given)[0])
    if number is not None:
        found.types.setdefault(name, number)


# -- any other text ------------------------------------------------------------------------------------------------

_HOLDER = re.compile(r"([A-Za-z_]\w*)\s*(?::?=|<-)[^\n]{0,200}config\.json")
_METHODS = {"get", "keys", "values", "items", "has", "map", "forEach", "length", "entries", "toString", "json", "yaml"}
_KEY = re.compile(r"""\\?["']([A-Za-z_]\w{0,60})\\?["']\s*:""")
_PUSHED = re.compile(r"""push\(\s*\{([^{}]{0,500})\}""")


def _scan_text(text: str) -> Guesses:
    found = Guesses()
    for holder in dict.fromkeys(_HOLDER.findall(text)):
        uses = re.findall(rf"""\b{holder}(?:\.|\$|\[\s*[:"']?)\s*([A-Za-z_]\w{{0,60}})(?!\w|\()""", text)
        for name in uses:
            if name not in _METHODS:
                found.param(name)
    for row in _PUSHED.findall(text):
        for piece in row.split(","):
            name = piece.partition(":")[0].strip().strip("\"'")
            if re.fullmatch(r"[A-Za-z_]\w{0,60}", name):
                found.metric(name)
    for name in _KEY.findall(text):
        if name not in found.params:
            found.metric(name)
    return found
