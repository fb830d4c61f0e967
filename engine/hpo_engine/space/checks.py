"""What a search space refuses: every problem of its parameters, conditions and rules."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from hpo_engine.errors import Problem, SpecError, nearest
from hpo_engine.space.axes import Axis, Steps, axis_of
from hpo_engine.space.conditions import accepted_values, parents_first
from hpo_engine.space.constraints import Rule, read_rule
from hpo_engine.space.params import Param, field_problems, json_text, name_problem
from hpo_engine.text.quoting import shown

MAX_PARAMS = 10_000
MAX_RULES = 100
MAX_RULE_WORDS = 2000  # of all rules together


def space_problems(params: Sequence[Param]) -> list[Problem]:
    if len(params) > MAX_PARAMS:
        return [Problem("space", f"{len(params)} parameters; at most {MAX_PARAMS} are allowed")]
    found: list[Problem] = []
    seen: dict[str, str] = {}
    sound: dict[str, Axis] = {}
    paths = [
        f"space.{shown(p.name)}" if isinstance(p.name, str) and p.name else f"space[{i}]" for i, p in enumerate(params)
    ]
    for path, param in zip(paths, params, strict=True):
        wrong = name_problem(param.name)
        if wrong is None:
            normal = unicodedata.normalize("NFC", param.name)
            twin = seen.get(normal)
            seen.setdefault(normal, param.name)
            if twin is not None:
                wrong = (
                    "duplicate name" if twin == param.name else "duplicate name (the same text in another Unicode form)"
                )
        if wrong:
            found.append(Problem(path, wrong))
        in_fields = [Problem(f"{path}.{name}", text) for name, text in field_problems(param)]
        if not in_fields:
            axis = axis_of(param)
            if isinstance(axis, Steps) and axis.too_fine:
                in_fields = [Problem(f"{path}.step", "is too small: it does not tell the values apart")]
            elif not wrong:
                sound[param.name] = axis
        found += in_fields
    known = {p.name for p in params if isinstance(p.name, str)}
    for path, param in zip(paths, params, strict=True):
        found += [Problem(f"{path}.{name}", text) for name, text in _when_problems(param, known, sound)]
    if not found:
        placed = {p.name for p in parents_first(params)}
        circle = [path for path, p in zip(paths, params, strict=True) if p.name not in placed]
        found += [Problem(f"{path}.when", "the conditions are cyclic") for path in circle]
    return found


def _when_problems(param: Param, known: set[str], sound: Mapping[str, Axis]) -> Iterator[tuple[str, str]]:
    if param.when is None:
        return
    if not isinstance(param.when, Mapping):
        yield "when", f"must map parameters to values, not {json_text(param.when)}"
        return
    for parent, values in param.when.items():
        path = f"when.{shown(parent)}"
        if parent not in known:
            yield path, f"there is no such parameter{nearest(str(parent), known)}"
        elif parent == param.name:
            yield path, "a parameter cannot be its own condition"
        elif parent in sound:
            accepted = accepted_values(values, sound[parent])
            if not accepted:
                yield path, "lists no values"
            for value in accepted:
                wrong = sound[parent].problem(value)
                if wrong:
                    yield path, wrong


def read_rules(texts: Sequence[Any], params: Sequence[Param]) -> tuple[Rule, ...]:
    """The rules that the texts say. Raises SpecError with every problem."""
    rules, problems = [], []
    for i, text in enumerate(texts[:MAX_RULES]):
        path = f"require[{i}]"
        if not isinstance(text, str):
            problems.append(Problem(path, f'must be a rule as text, as in "hidden2 <= hidden1", not {json_text(text)}'))
            continue
        try:
            rules.append(read_rule(text, params))
        except SpecError as error:
            problems += [Problem(path, problem.text) for problem in error.problems]
    if len(texts) > MAX_RULES:
        problems.append(Problem("require", f"{len(texts)} rules; at most {MAX_RULES} are allowed"))
    if (words := sum(rule.length for rule in rules)) > MAX_RULE_WORDS:
        text = f"the rules have {words:,} words and signs in all; at most {MAX_RULE_WORDS:,} are allowed"
        problems.append(Problem("require", text))
    if problems:
        raise SpecError(problems)
    return tuple(rules)
