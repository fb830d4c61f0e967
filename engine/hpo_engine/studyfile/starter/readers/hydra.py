"""Programs of Hydra: the values that it composes from a folder of configurations, and the groups to choose from."""

from __future__ import annotations

import ast
import posixpath
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from hpo_engine.space.params import name_problem
from hpo_engine.studyfile.starter import structured
from hpo_engine.studyfile.starter.hydraconf import Composed, Source, compose, variables
from hpo_engine.studyfile.starter.interface import Parameter, Reading, Script
from hpo_engine.studyfile.starter.logged import Monitor, monitor_of
from hpo_engine.studyfile.starter.modules import Modules, modules_of
from hpo_engine.studyfile.starter.ranges import propose
from hpo_engine.studyfile.starter.searches import entry_of
from hpo_engine.studyfile.starter.sections import settings, with_options
from hpo_engine.studyfile.starter.syntax import literal, name_of, owner_of
from hpo_engine.studyfile.starter.trees import at, leaves, named, resolved
from hpo_engine.text.quoting import listed

_SEARCHED = re.compile(r"(?i)(^|/)(optimi[sz]er|optim|opt|(lr_)?scheduler|activation)$")
_OTHERS = re.compile(r"(?i)(^|/)(model|net|network|arch|architecture|backbone|encoder|head|loss|criterion|augment\w*)$")
_PLAIN = re.compile(r"[A-Za-z_][\w.-]*$")
_MOST_OPTIONS = 8


@dataclass(frozen=True)
class Main:
    """What stands in @hydra.main: `folder`: of the configurations, in the project; None if there is none."""

    folder: str | None
    name: str


def read(script: Script) -> Reading | None:
    modules = modules_of(script)
    main = main_of(modules)
    if main is None:
        return None
    source = source_of(script, modules, main)
    words = script.arguments
    composed = compose(source, main.name, words)
    searched = dict(_searched(source, composed))
    found = [*_groups(source, composed), *_values(composed, source, searched)]
    parameters = [parameter for parameter in found if name_problem(parameter.name) is None]
    objective = _objective(source, composed)
    return Reading(
        f"Hydra ({main.folder or 'structured configs'})",
        with_options(parameters, "{}="),
        words=(*words, *_logging(source, composed), *_outputs(composed)),
        form="{params:name=value}",
        notes=tuple(_notes(source, composed, script.text)),
        objective=objective.metric,
        goal=objective.goal,
        classes=tuple(named(composed.tree, "_target_")),
    )


# -- where the configurations are ------------------------------------------------------------------------------------


def main_of(modules: Modules) -> Main | None:
    """The @hydra.main of the script, or of a module that it imports."""
    for path in modules.imported():
        for node in modules.nodes(path):
            if not isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
                continue
            for decorator in node.decorator_list:
                if isinstance(decorator, ast.Call) and name_of(decorator.func) in (
                    "main",
                    "hydra_main",
                    "hydra_runner",
                ):
                    if owner_of(decorator.func) not in ("hydra", None):
                        continue
                    given = {k.arg: literal(k.value) for k in decorator.keywords}
                    if "config_name" in given or "config_path" in given or owner_of(decorator.func) == "hydra":
                        return _main(path, given, modules.script.arguments)
    return None


def _main(path: str, given: Mapping[str | None, Any], words: Sequence[str]) -> Main:
    folder, name = given.get("config_path"), given.get("config_name") or "config"
    for number, word in enumerate(words):
        option, _, value = word.partition("=")
        value = value or (words[number + 1] if number + 1 < len(words) else "")
        if option in ("--config-name", "-cn"):
            name = value
        elif option in ("--config-path", "-cp"):
            folder = value
    if not isinstance(folder, str):
        return Main(None, str(name))
    return Main(posixpath.normpath(posixpath.join(posixpath.dirname(path), folder)), str(name))


def source_of(script: Script, modules: Modules, main: Main) -> Source:
    def read_text(name: str) -> str | None:
        return None if main.folder is None else script.project.read(posixpath.join(main.folder, name))

    def options(group: str) -> list[str]:
        names = [] if main.folder is None else script.project.list(posixpath.join(main.folder, group))
        return [n.rpartition(".")[0] for n in names if n.endswith((".yaml", ".yml")) and not n.startswith("_")]

    return Source(read_text, options, structured.stored(modules))


# -- parameters ------------------------------------------------------------------------------------------------------


def _groups(source: Source, composed: Composed) -> Iterator[Parameter]:
    """A group of optimizers or the like is a choice, if the one that is chosen now has alternatives."""
    for group, chosen in composed.groups.items():
        options = _alternatives(source, composed, group)
        if len(options) > 1 and _SEARCHED.search(group):
            yield Parameter(group, chosen, str, tuple(options))


def _alternatives(source: Source, composed: Composed, group: str) -> list[str]:
    """The chosen option and the others that could stand in its place as they are."""
    chosen = composed.groups[group]
    if chosen == "null" or not _PLAIN.match(chosen):
        return []
    whole = (option for option in source.choices(group) if _is_whole(_option(source, group, option)))
    return list(dict.fromkeys([chosen, *whole]))[:_MOST_OPTIONS]


def _option(source: Source, group: str, option: str) -> dict[str, Any]:
    """The values of one option of a group, by names below the group's place."""
    composed = compose(Source(source.read, source.options, source.stored), f"{group}/{option}")
    return composed.tree


def _is_whole(tree: Mapping[str, Any]) -> bool:
    return all(value != "???" for _, value in leaves(tree))


def _values(composed: Composed, source: Source, searched: Mapping[str, Any]) -> Iterator[Parameter]:
    """The numbers, switches and texts of the composed configuration, and of groups that are a choice."""
    options = {
        group: {name: dict(leaves(_option(source, group, name))) for name in _alternatives(source, composed, group)}
        for group in composed.groups
        if _SEARCHED.search(group)
    }
    places = {composed.packages[group]: group for group, found in options.items() if len(found) > 1}
    seen = set()
    for name, value in leaves(composed.tree):
        group = next((g for place, g in places.items() if name.startswith(f"{place}.")), None)
        if group is None:
            seen.add(name)
            yield from (replace(p, entry=searched.get(name)) for p in settings([(name, value)]))
        elif group not in seen:  # all options' values together, where the first one stands
            seen.add(group)
            place = next(p for p, g in places.items() if g == group)
            for parameter in _of_options(group, place, options[group], composed):
                yield replace(parameter, entry=searched[parameter.name]) if parameter.name in searched else parameter
                seen.add(parameter.name)
    for name, entry in searched.items():
        if name not in seen:
            yield Parameter(name, at(composed.tree, name), entry=entry)


def _of_options(
    group: str, place: str, options: Mapping[str, Mapping[str, Any]], composed: Composed
) -> Iterator[Parameter]:
    """The values of a group's options; one that only some of them have applies only with these."""
    for name in dict.fromkeys(name for values in options.values() for name in values):
        having = [option for option, values in options.items() if name in values]
        whole = f"{place}.{name}" if place else name
        default = at(composed.tree, whole)
        values = [options[option][name] for option in having]
        when = None if len(having) == len(options) else {group: having[0] if len(having) == 1 else having}
        for found in settings([(whole, values[0] if default is None else default)]):
            yield replace(found, when=when, entry=_around(name, values))


def _around(name: str, values: Sequence[Any]) -> Any:
    """A range about the defaults of all options, as Adam's 0.001 and SGD's 0.1; None if they do not differ."""
    numbers = [value for value in values if isinstance(value, float)]
    entries = [propose(Parameter(name, value, float))[0] for value in numbers]
    ranges = [entry["float"] for entry in entries if isinstance(entry, dict) and entry.keys() == {"float", "log"}]
    if len(set(numbers)) < 2 or len(ranges) < len(values):
        return None
    return {"float": [min(low for low, _ in ranges), max(high for _, high in ranges)], "log": True}


def _sweeps(source: Source, composed: Composed) -> list[dict[str, Any]]:
    """The configuration, and the first of those that are made for a search."""
    trees = [composed.tree]
    for group in ("hparams_search", "sweep", "hparams", "optuna", "hyperparameter_search"):
        names = source.choices(group) if composed.groups.get(group, "null") == "null" else []
        trees += [loaded[0] for name in names[:1] if (loaded := source.load(f"{group}/{name}"))]
    return trees


def _searched(source: Source, composed: Composed) -> Iterator[tuple[str, Any]]:
    """(name, entry) of what a sweep searches."""
    for tree in _sweeps(source, composed):
        sweeper = at(tree, "hydra.sweeper") or {}
        params = sweeper.get("params") or sweeper.get("search_space") if isinstance(sweeper, Mapping) else None
        for name, text in params.items() if isinstance(params, Mapping) else ():
            entry = entry_of(text)
            if entry is not None and at(composed.tree, str(name)) is not None:
                yield str(name), entry


def _objective(source: Source, composed: Composed) -> Monitor:
    """What a sweep optimizes, or what callbacks watch."""
    for tree in _sweeps(source, composed):
        metric, goal = tree.get("optimized_metric"), at(tree, "hydra.sweeper.direction")
        if isinstance(metric, str) and "$" not in metric:
            return Monitor(metric, goal if goal in ("minimize", "maximize") else "")
    callbacks = at(composed.tree, "callbacks") or {}
    stops = [at(callbacks, "early_stopping"), callbacks, at(composed.tree, "trainer.callbacks")]
    return next(filter(None, map(monitor_of, stops)), Monitor(""))


# -- what else the command needs ---------------------------------------------------------------------------------------


def _logging(source: Source, composed: Composed) -> tuple[str, ...]:
    """The word that gives a program a logger that writes files, if its configuration leaves it without one."""
    group = next((g for g in ("logger", "loggers", "trainer/logger") if g in composed.groups), None)
    if group is None or _writes_files(composed.groups[group]):
        return ()
    names = source.choices(group)
    for wanted in ("csv", "tensorboard"):
        if wanted in names and (composed.groups[group] == "null" or not _is_local(composed.groups[group])):
            return (f"{group}={wanted}",)
    return ()


def _outputs(composed: Composed) -> tuple[str, ...]:
    """The word that keeps outputs in the trial's folder, if the configuration has them elsewhere."""
    folder = at(composed.tree, "hydra.run.dir")
    if not isinstance(folder, str):
        return ()
    whole = resolved(composed.tree, folder)
    elsewhere = re.match(r"[/~]|\.\./|\$\{(oc\.)?env:(?!PROJECT_ROOT\b|PWD\b)", whole)
    return ("hydra.run.dir=outputs",) if elsewhere else ()


def _writes_files(option: str) -> bool:
    return re.search(r"(?i)csv|tensorboard|many|all|default", option) is not None


def _is_local(option: str) -> bool:
    return re.search(r"(?i)wandb|comet|neptune|mlflow|aim", option) is None


def _notes(source: Source, composed: Composed, text: str) -> Iterator[str]:
    group = next((g for g in ("logger", "loggers") if g in composed.groups), None)
    if group and composed.groups[group] == "null" and not _logging(source, composed):
        yield "the configuration names no logger: with logger=csv, or another one that writes files, metrics are found."
    missing = [name for name, value in leaves(composed.tree) if value == "???" and not name.startswith("hydra.")]
    if missing:
        names = listed(missing, 4)
        yield f"{names}: without a value in the configuration (???); give it in command, as in {missing[0]}=VALUE."
    if composed.missing:
        yield f"configurations that are named and not there: {', '.join(composed.missing[:4])}."
    rooted = re.search("rootutils|PROJECT_ROOT", text) is not None  # the script sets it
    needed = [name for name in variables(composed.tree) if name != "PROJECT_ROOT" or not rooted]
    if needed:
        yield f"the configuration needs the environment variables {', '.join(dict.fromkeys(needed))}: see env."
    others = [
        f"{group}: {', '.join(found)}"
        for group in composed.groups
        if _OTHERS.search(group) and len(found := _alternatives(source, composed, group)) > 1
    ]
    if others:
        yield f"groups with a choice, which are left as they are: {'; '.join(others)}."
