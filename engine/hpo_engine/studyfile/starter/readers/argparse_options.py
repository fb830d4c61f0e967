"""Scripts that take options and words with argparse, and with libraries that have its `add_argument`."""

from __future__ import annotations

import ast
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from typing import Any

from hpo_engine.studyfile.starter.interface import Collector, Parameter, Reading, Script
from hpo_engine.studyfile.starter.readers.options import command_word, form_of, option_name
from hpo_engine.studyfile.starter.syntax import Constants, keywords_of, literal, name_of, owner_of

_BOOLEANS = ("bool", "boolean", "strtobool", "distutils.util.strtobool", "parse_bool", "bool_type", "booltype")


def read(script: Script) -> Reading | None:
    command, parsers = _sub_command(script.nodes)
    found = options(script, parsers)
    return Reading("argparse", found, words=(command,) if command else (), form=form_of(found)) if found else None


def options(script: Script, parsers: frozenset[str] | None = None) -> tuple[Parameter, ...]:
    """All that the script's parsers take. `parsers`: the variables of those that count; None: all."""
    found, constants = Collector(), Constants(script.nodes)
    defaults = _set_defaults(script.nodes, constants)
    compared = _compared(script.nodes)
    for node in script.nodes:
        if not isinstance(node, ast.Call) or name_of(node.func) != "add_argument":
            continue
        if parsers is not None and owner_of(node.func) not in parsers:
            continue
        option = _option(node, constants)
        if option is not None:
            if option.name in defaults:
                option = replace(option, default=defaults[option.name], required=False)
            if option.type in (str, None) and isinstance(option.default, str) and not option.choices:
                option = replace(option, choices=compared.get(option.name, ()))
            found.add(option)
    return found.parameters()


def _option(node: ast.Call, constants: Constants) -> Parameter | None:
    """add_argument("--lr", type=float, default=0.1)"""
    names = [text for arg in node.args if isinstance(text := literal(arg), str)]
    given = [text for text in names if text.startswith("-")]
    flags = [text for text in given if text.startswith("--")]
    keywords = keywords_of(node)
    dest = literal(keywords.get("dest"))
    name = dest if isinstance(dest, str) and dest else option_name(flags or given or names)
    if not name or not names or name == "help":
        return None
    if not given:
        return _positional(name, keywords, constants)
    option = (flags or given)[0]
    action = literal(keywords.get("action")) or name_of(keywords.get("action"))
    parameter = Parameter(name, option=option, line=node.lineno)
    default = constants.value(keywords.get("default"))
    match action:
        case "store_true" | "store_false":
            return _switch(parameter, turned_off=action == "store_false", always=default is (action == "store_true"))
        case "BooleanOptionalAction":
            word = f"{{{name}?{option}:--no-{option.removeprefix('--')}}}"
            return replace(parameter, type=bool, default=bool(default), word=word)
        case "store_const" | "count" | "append" | "append_const" | "version" | "help" | "extend":
            return replace(parameter, many=True)
    return _valued(parameter, keywords, constants)


def _switch(parameter: Parameter, *, turned_off: bool, always: bool) -> Parameter:
    """A flag: its name is that of the option, so that true means that it is given. `always`: it changes nothing, as
    with action="store_true", default=True."""
    name = option_name([parameter.option]) if turned_off else parameter.name
    return replace(parameter, name=name, type=bool, default=False, word=f"{{{name}?{parameter.option}}}", many=always)


def _valued(parameter: Parameter, keywords: Mapping[str, ast.expr], constants: Constants) -> Parameter:
    type_, default = keywords.get("type"), constants.value(keywords.get("default"))
    allowed = constants.value(keywords.get("choices"))
    return replace(
        parameter,
        default=default,
        type=_type(type_, default),
        choices=tuple(allowed) if isinstance(allowed, (list, tuple, set, range)) else (),
        required=literal(keywords.get("required")) is True,
        many=literal(keywords.get("nargs")) not in (None, "?", 1)
        or (name_of(type_) == "bool" and not parameter.option),
        word=_word_of_boolean(parameter, name_of(type_) or "", default) or parameter.word,
    )


def _word_of_boolean(parameter: Parameter, type_: str, default: Any) -> str:
    """For a boolean that is not read from `true` and `false`; "": it is, or is not a boolean."""
    name, option = parameter.name, parameter.option
    if not option:
        return ""
    if type_ == "bool":  # every text but the empty one is true
        return f"{{{name}?{option}=1:{option}=}}"
    if type_ in ("eval", "literal_eval") and isinstance(default, bool):
        return f"{{{name}?{option}=True:{option}=False}}"
    return ""


def _positional(name: str, keywords: Mapping[str, ast.expr], constants: Constants) -> Parameter:
    parameter = _valued(Parameter(name, word=f"{{{name}}}", positional=True), keywords, constants)
    return replace(parameter, required=literal(keywords.get("nargs")) not in ("?", "*"))


def _type(node: ast.expr | None, default: Any) -> type | None:
    """Of `type=float` and of functions such as str2bool and positive_int."""
    if node is None:
        return str if isinstance(default, str) else None
    if isinstance(node, ast.Lambda):
        inner = [n for n in ast.walk(node.body) if isinstance(n, ast.Call)]
        return next((t for call in inner if (t := _TYPES.get(name_of(call.func) or "")) is not None), None)
    name = (name_of(node.func if isinstance(node, ast.Call) else node) or "").lower()
    if name in _BOOLEANS or "bool" in name:
        return bool
    return next((t for word, t in _TYPES.items() if word in name), str if default is None else type(default))


_TYPES: dict[str, type] = {"float": float, "int": int, "str": str}


# -- more than one parser --------------------------------------------------------------------------------------------


def _sub_command(nodes: Iterable[ast.AST]) -> tuple[str, frozenset[str] | None]:
    """(the sub-command that trains, the variables of the parsers that count); ("", None) without sub-commands."""
    commands: dict[str, str] = {}
    derived: dict[str, set[str]] = {}
    for node in nodes:
        if not isinstance(node, ast.Assign) or not isinstance(node.value, ast.Call):
            continue
        call, targets = node.value, [t.id for t in node.targets if isinstance(t, ast.Name)]
        if name_of(call.func) == "add_parser" and call.args and isinstance(word := literal(call.args[0]), str):
            commands |= dict.fromkeys(targets, word)
        owner = owner_of(call.func)
        if name_of(call.func) in ("add_argument_group", "add_mutually_exclusive_group") and owner:
            derived.setdefault(owner, set()).update(targets)
        for parent in _parents(call):
            for target in targets:
                derived.setdefault(target, set()).add(parent)
    if not commands:
        return "", None
    word = command_word(list(commands.values()))
    chosen = next(name for name, command in commands.items() if command == word)
    parsers, waiting = {chosen}, [chosen]
    while waiting:
        new = derived.get(waiting.pop(), set()) - parsers
        parsers |= new
        waiting += new
    return word, frozenset(parsers)


def _parents(call: ast.Call) -> Iterator[str]:
    parents = keywords_of(call).get("parents")
    for node in parents.elts if isinstance(parents, (ast.List, ast.Tuple)) else []:
        if isinstance(node, ast.Name):
            yield node.id


def _set_defaults(nodes: Iterable[ast.AST], constants: Constants) -> dict[str, Any]:
    """parser.set_defaults(lr=0.1)"""
    return {
        name: constants.value(value)
        for node in nodes
        if isinstance(node, ast.Call) and name_of(node.func) == "set_defaults"
        for name, value in keywords_of(node).items()
    }


def _compared(nodes: Iterable[ast.AST]) -> dict[str, tuple[str, ...]]:
    """The texts that attributes are compared with: args.optimizer == "sgd", args.act in ("relu", "tanh")."""
    found: dict[str, tuple[str, ...]] = {}
    for node in nodes:
        if not isinstance(node, ast.Compare) or not isinstance(node.ops[0], (ast.Eq, ast.In)):
            continue
        left = node.left
        if isinstance(left, ast.Call) and name_of(left.func) == "lower" and isinstance(left.func, ast.Attribute):
            left = left.func.value
        value = literal(node.comparators[0])
        values = tuple(value) if isinstance(value, (list, tuple, set)) else (value,)
        if isinstance(left, ast.Attribute) and all(isinstance(v, str) and v for v in values):
            found[left.attr] = tuple(dict.fromkeys([*found.get(left.attr, ()), *values]))
    return found
