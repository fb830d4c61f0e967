"""Scripts that search with Optuna: what their suggest_* calls ask for, with its ranges.

Such a script is run by `python -m hpo_trainees.optuna`, which lets it try the configuration of one trial.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator, Mapping
from typing import Any

from hpo_engine.studyfile.starter.interface import Collector, Parameter, Reading, Script, usable
from hpo_engine.studyfile.starter.syntax import Constants, imports, keywords_of, literal, name_of

_MOST_ROUNDS = 10
_RUNNER = ("python", "-m", "hpo_trainees.optuna")


def read(script: Script) -> Reading | None:
    if script.tree is None or not imports(script.nodes, "optuna"):
        return None
    walk = _Walk(Constants(script.nodes))
    walk.body(script.tree.body, {})
    parameters = walk.found.parameters()
    if not parameters:
        return None
    goals = _goals(script)
    names = ["value"] if len(goals) == 1 else [f"value_{number}" for number in range(len(goals))]
    note = (
        "the script is run by hpo_trainees.optuna, which lets it try one configuration in each trial; "
        "study.optimize() runs its objective once, whatever n_trials is."
    )
    return Reading(
        "Optuna's suggest_*",
        parameters,
        runner=_RUNNER,
        notes=(note,),
        objective=names[0],
        goal=goals[0],
        further=tuple(zip(names[1:], goals[1:], strict=True)),
    )


def _goals(script: Script) -> tuple[str, ...]:
    """Of create_study(direction="maximize"), create_study(directions=["minimize", "maximize"])."""
    for node in script.nodes:
        if isinstance(node, ast.Call) and name_of(node.func) == "create_study":
            keywords = keywords_of(node)
            directions = keywords.get("directions")
            given = directions.elts if isinstance(directions, (ast.List, ast.Tuple)) else [keywords.get("direction")]
            words = [str(literal(one) or name_of(one) or "").lower() for one in given]
            return tuple("maximize" if word == "maximize" else "minimize" for word in words or ["minimize"])
    return ("minimize",)


class _Walk:
    """Goes through a script's statements, and remembers under which conditions it is."""

    def __init__(self, constants: Constants) -> None:
        self.found = Collector()
        self._constants = constants
        self._held: dict[str, Parameter] = {}  # by the variable that holds the value
        self._loop: dict[str, int] = {}  # the value of the counter

    def body(self, statements: list[ast.stmt], when: Mapping[str, Any]) -> None:
        for statement in statements:
            self._statement(statement, when)

    def _statement(self, node: ast.stmt, when: Mapping[str, Any]) -> None:
        if isinstance(node, ast.If):
            condition, rest = self._condition(node.test)
            self._calls(node.test, when)
            self.body(node.body, {**when, **condition})
            self.body(node.orelse, {**when, **rest})
        elif isinstance(node, ast.For) and isinstance(node.target, ast.Name):
            self._calls(node.iter, when)
            self._repeated(node, node.target.id, when)
        else:
            for field in ("body", "orelse", "finalbody"):
                inner = getattr(node, field, None)
                if isinstance(inner, list):
                    self.body(inner, when)
            for handler in getattr(node, "handlers", ()):
                self.body(handler.body, when)
            if not hasattr(node, "body"):
                self._calls(node, when)

    def _repeated(self, node: ast.For, counter: str, when: Mapping[str, Any]) -> None:
        """for i in range(n_layers): the rounds that may be left out depend on n_layers."""
        inner = node.iter
        if not (isinstance(inner, ast.Call) and name_of(inner.func) == "range" and len(inner.args) == 1):
            self.body(node.body, when)
            return
        held = self._held.get(name_of(inner.args[0]) or "")
        low, high = _ends(held) if held else (self._constants.value(inner.args[0]),) * 2
        if not isinstance(high, int) or not isinstance(low, int):
            self.body(node.body, when)
            return
        for k in range(min(high, _MOST_ROUNDS)):
            self._loop[counter] = k
            some = {held.name: list(range(k + 1, high + 1))} if held is not None and k >= low else {}
            self.body(node.body, {**when, **some})
        self._loop.pop(counter, None)

    def _calls(self, node: ast.AST, when: Mapping[str, Any]) -> None:
        for inner in ast.walk(node):
            if isinstance(inner, ast.Call) and (name_of(inner.func) or "").startswith("suggest_"):
                parameter = self._suggested(inner, when)
                if parameter is not None and parameter.name not in self.found:
                    self.found.add(parameter)
                if parameter is not None and isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name):
                    self._held[node.targets[0].id] = parameter

    def _condition(self, test: ast.expr) -> tuple[dict[str, Any], dict[str, Any]]:
        """What holds if `test` does, and what holds if it does not: classifier == "SVC"."""
        if not isinstance(test, ast.Compare) or len(test.ops) != 1:
            return {}, {}
        held = self._held.get(name_of(test.left) or "")
        value = literal(test.comparators[0])
        values = list(value) if isinstance(value, (list, tuple)) else [value]
        choices = held.entry.get("choice") if held is not None and isinstance(held.entry, dict) else None
        if held is None or not choices or not all(v in choices for v in values):
            return {}, {}
        rest = [choice for choice in choices if choice not in values]
        yes, no = ({held.name: v[0] if len(v) == 1 else v} if v else {} for v in (values, rest))
        return (no, yes) if isinstance(test.ops[0], (ast.NotEq, ast.NotIn)) else (yes, no)

    def _suggested(self, call: ast.Call, when: Mapping[str, Any]) -> Parameter | None:
        names = ("name", "choices") if name_of(call.func) == "suggest_categorical" else ("name", "low", "high", "step")
        given: dict[str, ast.expr | None] = {**dict(zip(names, call.args, strict=False)), **keywords_of(call)}
        name = self._text(given.get("name"))
        entry = _entry(name_of(call.func) or "", {k: self._constants.value(v) for k, v in given.items()})
        if name is None or entry is None:
            return None
        return Parameter(name, entry=entry, when=dict(when) or None, line=call.lineno)

    def _text(self, node: ast.expr | None) -> str | None:
        """A name, also f"units_{i}" in a loop."""
        if isinstance(node, ast.JoinedStr):
            parts = list(self._parts(node))
            return None if None in parts else "".join(part for part in parts if part is not None)
        if isinstance(node, ast.Call) and name_of(node.func) == "format" and isinstance(node.func, ast.Attribute):
            text, counter = literal(node.func.value), self._loop.get(name_of(next(iter(node.args), None)) or "")
            return text.replace("{}", str(counter)) if isinstance(text, str) and counter is not None else None
        value = self._constants.value(node)
        return value if isinstance(value, str) else None

    def _parts(self, node: ast.JoinedStr) -> Iterator[str | None]:
        for part in node.values:
            if isinstance(part, ast.Constant):
                yield str(part.value)
            else:
                counter = self._loop.get(name_of(part.value) or "") if isinstance(part, ast.FormattedValue) else None
                yield None if counter is None else str(counter)


def _ends(held: Parameter) -> tuple[Any, Any]:
    ends = held.entry.get("int") if isinstance(held.entry, dict) else None
    return (ends[0], ends[1]) if ends else (None, None)


def _entry(called: str, given: Mapping[str, Any]) -> Any:
    """The entry of a suggest_* call; None if its values are not known."""
    if called == "suggest_categorical":
        choices = given.get("choices")
        good = isinstance(choices, (list, tuple)) and choices and all(c is None or usable(c) for c in choices)
        return {"choice": list(choices)} if good and choices else None
    low, high, step = given.get("low"), given.get("high"), given.get("step", given.get("q"))
    if not all(isinstance(end, (int, float)) and not isinstance(end, bool) for end in (low, high)):
        return None
    whole = called == "suggest_int"
    entry: dict[str, Any] = {"int" if whole else "float": [low, high]}
    if given.get("log") is True or called == "suggest_loguniform":
        return {**entry, "log": True} if low > 0 else None  # type: ignore[operator]
    if isinstance(step, (int, float)) and not (whole and step == 1):
        entry["step"] = step
    return entry
