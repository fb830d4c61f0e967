"""Other tools behind the runner's `Asker`: each gets the same space, as well as its interface can say it.

What a tool cannot say (conditions, mostly) is flattened: it searches all parameters, and those that do not apply are
dropped before the evaluation.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from hpo_engine.space.searchspace import Choice, Float, Int, SearchSpace


def applies(param: Float | Int | Choice, params: Mapping[str, Any]) -> bool:
    """Whether a parameter's condition holds; parents come before their children in our spaces."""
    return all(
        parent in params and params[parent] in (accepted if isinstance(accepted, list) else [accepted])
        for parent, accepted in (param.when or {}).items()
    )


def pruned(space: SearchSpace, values: Mapping[str, Any]) -> dict[str, Any]:
    """Only the parameters that apply."""
    out: dict[str, Any] = {}
    for p in space.dimensions:
        if applies(p, out):
            out[p.name] = values[p.name]
    return out


def discrete(param: Float | Int | Choice) -> list[Any]:
    """All values of a choice or a whole number, in order."""
    if isinstance(param, Choice):
        return list(param.choices)
    assert isinstance(param, Int)
    return [param.power**k if param.power else k for k in range(param.low, param.high + 1, param.step or 1)]


def value_of(param: Float | Int | Choice, told: Any) -> Any:
    """The value of what a tool without our kinds proposes: a choice's place, an exponent, a step's number."""
    if isinstance(param, Choice):
        return param.choices[int(told)]
    if isinstance(param, Int):
        return param.power ** int(told) if param.power else int(told)
    if param.step:
        return min(param.low + param.step * int(told), param.high)
    return min(max(float(told), param.low), param.high)
