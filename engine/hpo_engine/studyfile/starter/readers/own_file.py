"""Scripts with a configuration file of their own: YAML, JSON, TOML or INI, by a path in the code or on the command
line."""

from __future__ import annotations

import ast
import posixpath
import re
from collections.abc import Iterator
from dataclasses import replace

from hpo_engine.contract.paths import CONFIG
from hpo_engine.studyfile.starter.interface import Parameter, Reading, Script
from hpo_engine.studyfile.starter.kinds import Kind, kind_of
from hpo_engine.studyfile.starter.logged import monitor_of
from hpo_engine.studyfile.starter.modules import Modules, modules_of
from hpo_engine.studyfile.starter.plan import MOST_SEARCHED
from hpo_engine.studyfile.starter.sections import settings, with_options
from hpo_engine.studyfile.starter.syntax import keywords_of, literal, name_of
from hpo_engine.studyfile.starter.trees import SUFFIXES, leaves, named, read_tree
from hpo_engine.text.quoting import listed

_LOADERS = re.compile(
    r"(safe_load|full_load|unsafe_load|load|loads|read|fromfile|from_file|from_yaml|from_json|read_text|open"
    r"|(load|read|get|parse)_?(config|cfg|yaml|json|toml|params|settings|conf)\w*)$",
    re.IGNORECASE,
)
_OPTION = re.compile(r"(?i)^-*(.*[_-])?(config|cfg|conf|params|hparams|settings|yaml|opt)([_-]?(file|path|yaml))?$")
_HAS_OPTIONS = re.compile(r"add_argument|click\.(option|argument)|typer\.|flags\.DEFINE|HfArgumentParser|tyro\.|Fire\(")
_SHORT = ("-c", "-cfg", "-f", "-opt")


def of_an_option(script: Script) -> Reading | None:
    """The file that an option of a usual run names, or the option's default."""
    modules = modules_of(script)
    return _reading(script, modules, [*_given(script), *_defaults(modules)])


def of_the_code(script: Script) -> Reading | None:
    """The files that stand in the code of a script that takes no options."""
    return None if _HAS_OPTIONS.search(script.text) or CONFIG in script.text else beside_options(script)


def beside_options(script: Script) -> Reading | None:
    """The files that stand in the code."""
    modules = modules_of(script)
    return _reading(script, modules, list(_texts(modules)))


def of_the_contract(script: Script) -> Reading | None:
    """A config.json of the project's own: a trial's takes its place."""
    text = script.project.read(CONFIG) if CONFIG in script.text else None
    tree = read_tree(CONFIG, text) if text is not None else None
    if not tree:
        return None
    if any(isinstance(value, dict) for value in tree.values()):
        return Reading(CONFIG, words=script.arguments, notes=(_NESTED,))
    known = [p for p in settings(leaves(tree)) if kind_of(p.name).searched and kind_of(p.name) is not Kind.OTHER]
    kept = sorted((p for p in known if not isinstance(p.default, str)), key=lambda p: kind_of(p.name).rank)
    return Reading(CONFIG, tuple(kept[:MOST_SEARCHED]), words=script.arguments, base=CONFIG) if kept else None


_NESTED = (
    "config.json of this folder has values in groups. A trial's config.json, which is flat, takes its place, so that "
    "the script does not find them: give the file another name, in the script too, and run init again."
)


def _reading(script: Script, modules: Modules, names: list[str]) -> Reading | None:
    found = dict.fromkeys(path for name in names if (path := _place(script, name)) is not None)
    if not found or not _loads(modules):
        return None
    for path in found:
        tree = read_tree(path, script.project.read(path) or "")
        parameters = list(settings(leaves(tree)))
        if not any(kind_of(p.name).searched and kind_of(p.name) is not Kind.OTHER for p in parameters):
            continue
        watched = monitor_of(tree)
        others = [other for other in found if other != path]
        return Reading(
            f"the file {path}",
            _placed(modules, path, parameters),
            words=script.arguments,
            form="{params:name=value}" if _merges_words(modules) else "",
            notes=(f"it reads {listed(others, 3)} as well, which is left as it is.",) if others else (),
            objective=watched.metric if watched else "",
            goal=watched.goal if watched else "",
            classes=tuple(named(tree, "_target_")),
        )
    return None


def _placed(modules: Modules, path: str, parameters: list[Parameter]) -> tuple[Parameter, ...]:
    if _merges_words(modules):
        return with_options(parameters, "{}=")
    return tuple(replace(p, key=(path, p.name), file=path) for p in parameters)


def _merges_words(modules: Modules) -> bool:
    """Whether it takes optimizer.lr=0.1 on its command line, over the file: OmegaConf.from_cli()"""
    return any(isinstance(node, ast.Call) and name_of(node.func) == "from_cli" for node in modules.all_nodes())


# -- which file ------------------------------------------------------------------------------------------------------


def _place(script: Script, name: str) -> str | None:
    """The path in the project of a configuration file, as it is seen from the project's folder or from the script's."""
    if not name.lower().endswith(SUFFIXES) or posixpath.isabs(name) or posixpath.normpath(name) == CONFIG:
        return None
    for folder in ("", posixpath.dirname(script.path)):
        path = posixpath.normpath(posixpath.join(folder, name))
        text = None if path.startswith("..") or path == CONFIG else script.project.read(path)
        if text is not None and read_tree(path, text):
            return path
    return None


def _given(script: Script) -> Iterator[str]:
    yield from (word.partition("=")[2] or word for word in script.arguments)


def _defaults(modules: Modules) -> Iterator[str]:
    """add_argument("--config", default="conf/train.yaml"), and the same of click, typer and absl."""
    for node in modules.all_nodes():
        if not isinstance(node, ast.Call):
            continue
        flags = [text for arg in node.args[:3] if isinstance(text := literal(arg), str)]
        if any(_OPTION.match(flag) or flag in _SHORT for flag in flags):
            texts = [literal(keywords_of(node).get("default")), *flags[1:]]
            yield from (text for text in texts if isinstance(text, str))


def _texts(modules: Modules) -> Iterator[str]:
    for node in modules.all_nodes():
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and len(node.value) < 200:
            yield node.value


def _loads(modules: Modules) -> bool:
    return any(isinstance(n, ast.Call) and _LOADERS.match(name_of(n.func) or "") for n in modules.all_nodes())
