"""Programs of Lightning's LightningCLI: the arguments of its classes, and what configuration files set."""

from __future__ import annotations

import ast
import posixpath
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

from hpo_engine.space.params import name_problem
from hpo_engine.studyfile.starter.interface import Parameter, Reading, Script, usable
from hpo_engine.studyfile.starter.logged import Monitor, monitor_of
from hpo_engine.studyfile.starter.modules import Modules, modules_of
from hpo_engine.studyfile.starter.sections import settings, with_options
from hpo_engine.studyfile.starter.signatures import dotted, init_of
from hpo_engine.studyfile.starter.syntax import keywords_of, literal, name_of
from hpo_engine.studyfile.starter.trees import at, leaves, merged, named, put, read_tree, value_of
from hpo_engine.studyfile.starter.usual import pairs

_CLASSES = ("LightningCLI", "TuneCLI")
_COMMANDS = ("fit", "validate", "test", "predict")
_FOLDERS = ("", "configs", "config", "conf", "cfg")
_SECTIONS = {"model", "data", "trainer", "optimizer", "fit", "seed_everything"}
_EPOCHS = 10
_OPTIMIZERS: Mapping[str, Mapping[str, Any]] = {  # their defaults in PyTorch
    "Adam": {"lr": 0.001, "weight_decay": 0.0},
    "AdamW": {"lr": 0.001, "weight_decay": 0.01},
    "SGD": {"lr": 0.001, "momentum": 0.0, "weight_decay": 0.0},
    "RMSprop": {"lr": 0.01, "weight_decay": 0.0},
}


@dataclass(frozen=True)
class _Cli:
    """A call of LightningCLI, or of a class derived from it: `path`: the file that it stands in; `keywords`: its
    arguments by name; `body`: the derived class, if it is one."""

    path: str
    keywords: Mapping[str, ast.expr]
    body: ast.ClassDef | None


def read(script: Script) -> Reading | None:
    modules = modules_of(script)
    cli = _find(modules)
    if cli is None:
        return None
    words, tree, notes = _run(script, cli)
    linked = set(_linked(cli))
    parameters = [p for p in _parameters(modules, cli, tree) if p.name not in linked and name_problem(p.name) is None]
    objective = monitor_of(at(tree, "trainer.callbacks")) or monitor_of(tree) or Monitor("")
    return Reading(
        "LightningCLI",
        with_options(parameters, "--{}"),
        words=(*words, *_length(tree), *_logging(tree)),
        form="{params:--name=value}",
        notes=tuple(notes),
        objective=objective.metric,
        goal=objective.goal,
        classes=tuple(named(tree, "class_path")),
    )


def _find(modules: Modules) -> _Cli | None:
    paths = modules.imported()
    if not any(name in (modules.text(path) or "") for path in paths for name in _CLASSES):
        return None  # to follow every call of a large file takes seconds
    for path in paths:
        for node in modules.nodes(path):
            if not isinstance(node, ast.Call) or (name := dotted(node.func)) is None:
                continue
            if name.rpartition(".")[2] in _CLASSES:
                return _Cli(path, _keywords(node), None)
            found = modules.where(path, name)
            if found and any(name_of(base) in _CLASSES for base in found[1].bases):
                return _Cli(path, _keywords(node), found[1])
    return None


def _keywords(node: ast.Call) -> dict[str, ast.expr]:
    names = ("model_class", "datamodule_class", "save_config_callback", "save_config_kwargs")
    return dict(zip(names, node.args, strict=False)) | keywords_of(node)


# -- the usual run -------------------------------------------------------------------------------------------------


def _run(script: Script, cli: _Cli) -> tuple[tuple[str, ...], dict[str, Any], list[str]]:
    """(the words after the script, what they and the program's own defaults set, notes)."""
    tree: dict[str, Any] = {}
    defaults = literal(cli.keywords.get("trainer_defaults"))
    if isinstance(defaults, dict):
        tree = {"trainer": defaults}
    elif isinstance(given := cli.keywords.get("trainer_defaults"), ast.Dict):  # with callbacks in it
        items = ((literal(key), literal(value)) for key, value in zip(given.keys, given.values, strict=True))
        tree = {"trainer": {key: value for key, value in items if isinstance(key, str) and value is not None}}
    for name in _default_files(cli):
        tree = merged(tree, _config(script, name) or {})
    for node in ast.walk(cli.body) if cli.body else ():
        if isinstance(node, ast.Call) and name_of(node.func) == "set_defaults" and node.args:
            values = literal(node.args[0])
            for name, value in values.items() if isinstance(values, dict) else ():
                put(tree, str(name), value)
    words, notes = list(script.arguments), list[str]()
    runs = literal(cli.keywords.get("run")) is not False
    if runs and not any(word in _COMMANDS for word in words):
        words.insert(0, "fit")
    if not script.arguments and not _default_files(cli):
        files = _config_files(script, "model_class" not in cli.keywords)
        if files:
            words += ["--config", files[0]]
            others = f"; others are {', '.join(files[1:4])}" if len(files) > 1 else ""
            notes.append(f"command takes the configuration {files[0]}{others}.")
    for option, value, _ in pairs(words):
        name = option.lstrip("-")
        if value is None:
            continue
        if option in ("--config", "-c"):
            tree = merged(tree, _config(script, value) or {})
        elif name.partition(".")[0] in _SECTIONS:
            put(tree, name, value_of(value))
    return tuple(words), tree, notes


def _config(script: Script, name: str) -> dict[str, Any] | None:
    text = script.project.read(name)
    tree = read_tree(name, text) if text is not None else None
    return merged(tree, tree["fit"]) if tree and isinstance(tree.get("fit"), dict) else tree


def _default_files(cli: _Cli) -> list[str]:
    """parser_kwargs={"default_config_files": [...]}, also below "fit"."""
    kwargs = literal(cli.keywords.get("parser_kwargs"))
    found: list[str] = []
    for part in (kwargs, kwargs.get("fit")) if isinstance(kwargs, dict) else ():
        names = part.get("default_config_files") if isinstance(part, dict) else None
        found += [name for name in names if isinstance(name, str)] if isinstance(names, list) else []
    return found


def _config_files(script: Script, with_class: bool) -> list[str]:
    """Files that look like configurations of such a program, the most likely one first.

    Args:
        with_class: they have to name the class of the model; else they must not.
    """
    found = []
    for folder in _FOLDERS:
        for name in script.project.list(folder):
            path = posixpath.join(folder, name)
            if name.endswith((".yaml", ".yml")) and "algo" not in name:
                tree = _config(script, path)
                fits = tree and (at(tree, "model.class_path") is not None) == with_class
                if tree and fits and len(_SECTIONS & set(tree)) > 1:
                    found.append(path)
    return sorted(found, key=lambda path: not any(part in path for part in ("fit", "train", "default")))


# -- parameters ----------------------------------------------------------------------------------------------------


def _parameters(modules: Modules, cli: _Cli, tree: Mapping[str, Any]) -> Iterator[Parameter]:
    """Of the model, the data module, the optimizer and the trainer."""
    for section, keyword in (("model", "model_class"), ("data", "datamodule_class")):
        node = cli.keywords.get(keyword)
        name = dotted(node) if node is not None else None
        found = modules.where(cli.path, name) if name else None
        prefix = f"{section}."
        if "class_path" in (inner := at(tree, section) or {}):
            found, prefix = modules.target(str(inner["class_path"])), f"{section}.init_args."
        known = {f"{prefix}{p.name}": p for p in init_of(modules, *found)} if found else {}
        for name, parameter in known.items():
            yield _with(parameter, name, at(tree, name))
        rest = ((f"{section}.{name}", value) for name, value in leaves(at(tree, section)) if name != "class_path")
        yield from settings((name, value) for name, value in rest if name not in known)
    yield from _optimizer(cli, tree)
    yield from _trainer(tree)


def _optimizer(cli: _Cli, tree: Mapping[str, Any]) -> Iterator[Parameter]:
    """In a configuration, or of parser.add_optimizer_args(torch.optim.AdamW, "optimizer")."""
    values = dict(leaves({"optimizer": at(tree, "optimizer")}))
    for node in ast.walk(cli.body) if cli.body else ():
        if isinstance(node, ast.Call) and name_of(node.func) == "add_optimizer_args" and node.args:
            key = node.args[1] if len(node.args) > 1 else keywords_of(node).get("nested_key")
            section = literal(key) or "optimizer"
            for name, value in _OPTIMIZERS.get(name_of(node.args[0]) or "", {}).items():
                values.setdefault(f"{section}.{name}", value)
    yield from settings((name, value) for name, value in values.items() if not isinstance(value, str))


def _trainer(tree: Mapping[str, Any]) -> Iterator[Parameter]:
    names = (f"trainer.{name}" for name in ("max_epochs", "max_steps", "gradient_clip_val", "accumulate_grad_batches"))
    return settings((name, at(tree, name)) for name in names)


def _with(parameter: Parameter, name: str, value: Any) -> Parameter:
    """The parameter under its full name, with what a configuration sets."""
    default = parameter.default if value is None or not usable(value) else value
    return replace(parameter, name=name, default=default, required=parameter.required and value is None)


def _linked(cli: _Cli) -> Iterator[str]:
    """Options that others set: parser.link_arguments("data.classes", "model.classes")."""
    for node in ast.walk(cli.body) if cli.body else ():
        if isinstance(node, ast.Call) and name_of(node.func) == "link_arguments" and len(node.args) > 1:
            target = literal(node.args[1])
            if isinstance(target, str):
                yield target


def _length(tree: Mapping[str, Any]) -> tuple[str, ...]:
    """Lightning trains for 1000 epochs if nobody says for how many; a usual run has it on the command line."""
    said = any(at(tree, f"trainer.{name}") for name in ("max_epochs", "max_steps", "max_time"))
    return () if said else (f"--trainer.max_epochs={_EPOCHS}",)


def _logging(tree: Mapping[str, Any]) -> tuple[str, ...]:
    """The words that give a trainer without a logger one, so that its metrics are written somewhere."""
    if at(tree, "trainer.logger") is not False:
        return ()
    return ("--trainer.logger=CSVLogger", "--trainer.logger.save_dir=.")
