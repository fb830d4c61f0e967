"""Which configurations a check tries: two far apart, and one with a single parameter changed."""

from __future__ import annotations

import random
from collections.abc import Mapping
from typing import Any

from hpo_engine.searchers.pbt_explore import may_change
from hpo_engine.searchers.pbt_population import usual_interval
from hpo_engine.space.searchspace import SearchSpace
from hpo_engine.study.spec import Params, StudySpec
from hpo_engine.study.trial import Trial

_LOW, _HIGH = 0.15, 0.85  # of each dimension: far apart, and not at the ends, where training may break down
_CANDIDATES = 200


def far_apart(spec: StudySpec) -> tuple[Params, Params | None]:
    """Two configurations that differ in as many parameters as possible, of which as many as possible apply to one of
    them; None: there is no second one.

    Raises:
        SpecError: the rules of the space forbid everything that was drawn.
    """
    if spec.experiments:
        listed = spec.experiments
        return listed[0], next((another for another in reversed(listed) if another != listed[0]), None)
    space, rng, size = spec.space, random.Random(0), len(spec.space.dimensions)
    best: tuple[int, Params, Params] | None = None
    for number in range(_CANDIDATES):
        low = [_LOW if number == 0 or rng.random() < 0.5 else _HIGH for _ in range(size)]
        one: Params = space.decode(low)
        two: Params = space.decode([_LOW + _HIGH - value for value in low])
        if space.rules and not (space.allows(one) and space.allows(two)):
            one, two = _drawn(space, rng), _drawn(space, rng)
        score = len({*one, *two}) + len(differing(one, two))
        if best is None or score > best[0]:
            best = score, one, two
        if best[0] == 2 * size:
            break
    assert best is not None
    first, other = _short(space, best[1]), _short(space, best[2])
    return first, other if differing(first, other) else None


def breeds(spec: StudySpec) -> list[str]:
    """The parameters that change while a trial trains: those of population-based training; none in other studies."""
    if spec.algorithm.name != "pbt":
        return []
    chosen = {name: _names(spec.algorithm.options.get(name)) for name in ("mutable", "fixed")}
    return [name for name in chosen["mutable"] or may_change(spec.space) if name not in chosen["fixed"]]


def least(spec: StudySpec) -> int | None:
    """The resource that a trial of the check gets: as little as one of the study. None: the study has none.

    A member of a population trains for a whole interval: scripts whose steps are coarser could not go on after less.
    """
    resource = spec.resource
    if resource is None or spec.algorithm.name != "pbt":
        return None if resource is None else resource.min
    return min(resource.max, spec.algorithm.options.get("interval") or usual_interval(resource))


def _names(given: Any) -> list[str]:
    return [given] if isinstance(given, str) else list(given or ())


def goes_on(trial: Trial, spec: StudySpec) -> bool:
    """Whether another trial can go on from what this one left."""
    known = spec.resource is not None and spec.resource.resume == "always"
    return trial.startable is not None and (known or trial.results[-1].checkpoint is not None)


def differing(first: Params, other: Params) -> list[str]:
    """The parameters that only one of the two has, or that have another value in it."""
    missing = object()
    return [n for n in dict.fromkeys([*first, *other]) if first.get(n, missing) != other.get(n, missing)]


def with_one_changed(space: SearchSpace, base: Params, other: Params, name: str) -> Params | None:
    """`base` with the value that `other` has for a parameter, or one far from its own; None if there is no such
    configuration. What begins to apply then has the value of `other`, too."""
    axes = {step_name: axis for step_name, axis, _, _ in space.plan}

    def pick(param: Any) -> Any:
        if param.name == name:
            return _other_value(axes[name], base, other, name)
        known: Mapping[str, Any] = base if param.name in base else other
        return known[param.name] if param.name in known else axes[param.name].decode(_LOW)

    try:
        found = space.walk(pick)
    except ValueError:
        return None
    return found if name in found and found[name] != base.get(name) and space.allows(found) else None


def _other_value(axis: Any, base: Params, other: Params, name: str) -> Any:
    if name in other and other[name] != base.get(name):
        return other[name]
    return next((v for v in (axis.decode(_HIGH), axis.decode(_LOW)) if v != base.get(name)), axis.decode(_LOW))


def _drawn(space: SearchSpace, rng: random.Random) -> Params:
    return space.draw(lambda: [rng.random() for _ in space.dimensions])


def _short(space: SearchSpace, params: Params) -> Params:
    """The configuration with numbers of few digits, which are easier to read."""

    def pick(param: Any) -> Any:
        value = params[param.name]
        return float(f"{value:.3g}") if isinstance(value, float) else value

    found = space.walk(pick)
    return found if space.allows(found) else params
