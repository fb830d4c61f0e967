"""Partial configurations: their problems, and how the missing parameters are filled in."""

from __future__ import annotations

import json
import random
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from hpo_engine.errors import Problem, SpecError, nearest
from hpo_engine.space.axes import Axis, Cells
from hpo_engine.space.conditions import applies, when_text
from hpo_engine.space.params import Constant, key
from hpo_engine.space.searchspace import SearchSpace
from hpo_engine.text.quoting import shown

_TRIES = 1000
_DRAWS = 10_000
_WALK = 50_000
_MOST_PROBLEMS = 100


def problems_of(space: SearchSpace, given: Mapping[str, Any]) -> list[tuple[str, str]]:
    """(parameter, text) for each reason why `given` is not part of a configuration of the space, ignoring the rules."""
    found = []
    for name, value in given.items():
        if name not in space:
            found.append((name, f"is not a parameter of the space{nearest(name, space.names)}"))
        elif wrong := space.axis(name).problem(value):
            found.append((name, wrong))
    if not found:
        for name in given:
            if _demands(space, {name: given[name]}, given) is None:
                found.append((name, f"applies only {when_text(space[name].when)}, which does not apply here"))
    if not found and _demands(space, given, given) is None:
        found.append(("", f"{', '.join(map(shown, given))} never apply together"))
    return found


def is_whole(space: SearchSpace, given: Mapping[str, Any]) -> bool:
    """Whether only constants are missing."""
    return space.misfit({**_constants(space, given), **given}) is None


def complete(
    space: SearchSpace, given: Mapping[str, Any], wish: Mapping[str, Any], draw: Callable[[], float]
) -> dict[str, Any]:
    """A configuration with the `given` values (valid ones), as many of the others from `wish` as fit, and independent
    draws for the rest. Ignores the rules.

    Args:
        draw: returns numbers in [0, 1).
    """
    demands = _demands(space, given, given) or {}
    out: dict[str, Any] = {}
    for name, axis, _, conditions in space.plan:
        if conditions and not applies(conditions, out):
            continue
        accepted = demands.get(name)
        if name in given:
            out[name] = axis.tidy(given[name])
        elif name in wish and axis.problem(wish[name]) is None and _among(axis.tidy(wish[name]), accepted):
            out[name] = axis.tidy(wish[name])
        else:
            out[name] = axis.decode(draw()) if accepted is None else _one_of(axis, accepted, draw())
    return {name: out[name] for name in space.names if name in out}


def allowed_completion(
    space: SearchSpace,
    given: Mapping[str, Any],
    wish: Mapping[str, Any],
    draw: Callable[[], float],
    good: Callable[[Mapping[str, Any]], bool] = lambda params: True,
) -> dict[str, Any] | None:
    """The first completion that the rules allow and that is `good`: with the wish, then without. None: none was
    found."""
    for attempt in range(space.tries(_TRIES)):
        params = complete(space, given, {} if attempt else wish, draw)
        if space.allows(params) and good(params):
            return params
    return None


def refuse_empty(space: SearchSpace) -> None:
    """Raises SpecError if the rules exclude everything: 10,000 draws, and all configurations of a small space (fewer of
    both if the rules are long)."""
    if not space.rules:
        return
    rng, n, count = random.Random(0), space.size, space.tries(_DRAWS)
    draws = (space.decode([rng.random() for _ in space.dimensions]) for _ in range(count))
    small = space.grid(1) if n is not None and n <= space.tries(_WALK) else ()
    if not any(map(space.allows, draws)) and not any(map(space.allows, small)):
        none = "no configuration" if small else f"none of {count:,} random configurations"
        raise SpecError([Problem("require", f"{none} satisfies {space.rules_text}")])


def point_problems(space: SearchSpace, points: Sequence[Mapping[str, Any]]) -> list[Problem]:
    """Problems of configurations to be tried first, with paths "points[<number>].<name>"."""
    found: list[Problem] = []
    seen: dict[Any, int] = {}
    for i, point in enumerate(points):
        if len(found) >= _MOST_PROBLEMS:
            break
        path = f"points[{i}]"
        wrong = problems_of(space, point)
        found += [Problem(f"{path}.{name}" if name else path, text) for name, text in wrong]
        if wrong:
            continue
        twin = seen.setdefault(key(space.tidied(point)), i)
        if twin != i and is_whole(space, point):
            found.append(Problem(path, f"is the same as points[{twin}]"))
        elif allowed_completion(space, point, {}, random.Random(i).random) is None:
            found.append(Problem(path, f"no configuration with these values satisfies {space.rules_text}"))
    return found


_Demands = dict[str, frozenset[Any]]


def _demands(space: SearchSpace, names: Mapping[str, Any], given: Mapping[str, Any]) -> _Demands | None:
    """Parent -> the keys of the values that let all of `names` apply; None if none does, or not the one given."""
    demands: _Demands = {}
    todo, seen = list(names), set(names)
    while todo:
        for parent, accepted in space.conditions[todo.pop()]:
            demands[parent] = demands.get(parent, accepted) & accepted
            if parent not in seen:
                seen.add(parent)
                todo.append(parent)
    for parent, accepted in demands.items():
        if isinstance(param := space[parent], Constant):
            met = key(param.value) in accepted
        else:
            met = _among(space.axis(parent).tidy(given[parent]), accepted) if parent in given else bool(accepted)
        if not met:
            return None
    return demands


def _among(value: Any, accepted: frozenset[Any] | None) -> bool:
    return accepted is None or key(value) in accepted


def _one_of(axis: Axis, accepted: frozenset[Any], u: float) -> Any:
    """One of the accepted values, chosen by a number in [0, 1)."""
    if isinstance(axis, Cells):
        places = sorted(axis.grid_places(accepted, 1))
        return axis.value(places[int(u * len(places))])
    values = sorted(json.loads(text) if kind is list else text for text, kind in accepted)
    return values[int(u * len(values))]


def _constants(space: SearchSpace, given: Mapping[str, Any]) -> dict[str, Any]:
    """The constants that apply with the given values."""
    out: dict[str, Any] = {}
    for name, axis, where, conditions in space.plan:
        if not conditions or applies(conditions, out):
            if name in given:
                out[name] = axis.tidy(given[name])
            elif where < 0:
                out[name] = axis.decode(0.0)
    return out
