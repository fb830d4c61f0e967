"""Scripts that train a LightningModule by `tune_main(Model, Data)`: what the two classes take, by config.json."""

from __future__ import annotations

import ast
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any

from hpo_engine.space.params import name_problem
from hpo_engine.studyfile.starter.interface import Parameter, Reading, Script, usable
from hpo_engine.studyfile.starter.modules import Modules, modules_of
from hpo_engine.studyfile.starter.signatures import dotted, init_of
from hpo_engine.studyfile.starter.syntax import keywords_of, literal

_EPOCHS = 10
_GOALS = {"min": "minimize", "max": "maximize"}


def read(script: Script) -> Reading | None:
    if "tune_main" not in script.text:
        return None
    call = next((node for node in script.nodes if isinstance(node, ast.Call) and _name(node) == "tune_main"), None)
    if call is None:
        return None
    given = dict(zip(("model_class", "data_class"), call.args, strict=False)) | keywords_of(call)
    parameters = tuple(_parameters(modules_of(script), script.path, given))
    if not parameters:
        return None
    return Reading(
        "tune_main",
        tuple(p for p in parameters if name_problem(p.name) is None),
        words=script.arguments,
        objective=str(literal(given.get("monitor")) or ""),
        goal=_GOALS.get(str(literal(given.get("mode"))), ""),
    )


def _name(call: ast.Call) -> str:
    return (dotted(call.func) or "").rpartition(".")[2]


def _parameters(modules: Modules, path: str, given: Mapping[str, ast.expr]) -> Iterator[Parameter]:
    """Plain names if only one of the classes has them; without those that follow another."""
    parts: dict[str, tuple[Parameter, ...]] = {}
    for section, keyword in (("model", "model_class"), ("data", "data_class")):
        node = given.get(keyword)
        name = dotted(node) if node is not None else None
        place = modules.where(path, name) if name else None
        parts[section] = init_of(modules, *place) if place else ()
    defaults, links = _mapping(given.get("defaults")), _mapping(given.get("link"))
    counted = Counter(p.name for found in parts.values() for p in found)
    for section, found in parts.items():
        for parameter in found:
            full = f"{section}.{parameter.name}"
            if full in links.values():
                continue
            default = defaults.get(full, defaults.get(parameter.name))
            name = parameter.name if counted[parameter.name] == 1 else full
            if default is not None and usable(default):
                parameter = replace(parameter, default=default, required=False)
            yield replace(parameter, name=name)
    if "max_epochs" not in counted and "trainer" not in given:
        epochs = next((defaults[n] for n in ("max_epochs", "trainer.max_epochs", "epochs") if n in defaults), _EPOCHS)
        yield Parameter("max_epochs", epochs, int)


def _mapping(node: ast.expr | None) -> dict[str, Any]:
    found = literal(node)
    return found if isinstance(found, dict) else {}
