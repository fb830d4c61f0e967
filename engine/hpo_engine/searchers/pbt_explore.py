"""New values for a copy: the parameters that may change, perturbed or drawn anew, within the study's rules."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from typing import Any

from hpo_engine.space.axes import Cells
from hpo_engine.space.params import Choice, Float, Int, plain
from hpo_engine.space.searchspace import SearchSpace
from hpo_engine.study.spec import Params, StudySpec

Pick = Callable[[Float | Int | Choice], Any]
_TRIES = 50  # to find values that the rules allow; then the source's own are kept


class Explorer:
    """Changes configurations.

    Args:
        mutable: names of the parameters that may change. how: perturb, or resample.
        factors: what a number is multiplied by, one of them at random. 0, and any value of a range that includes
            negative ones, moves by that part of the range instead, an ordered choice to the next or previous value.
        resample: the probability that a value is drawn anew instead.

    Source: Jaderberg et al. 2017, section 4.1.1 (perturb, resample).
    """

    def __init__(
        self, space: SearchSpace, mutable: frozenset[str], how: str, factors: Sequence[float], resample: float
    ) -> None:
        self._space, self.mutable = space, mutable
        self._perturbs, self._factors, self._resample = how != "resample", tuple(factors), resample

    def changed(self, params: Params, rng: random.Random, others: Sequence[Params] = ()) -> dict[str, Any]:
        """Another configuration; if possible, one that differs from the `others`."""
        allowed = dict(plain(params))
        for _ in range(_TRIES):
            found = self.with_values(params, lambda param: self._value(param, params[param.name], rng), rng)
            if self._space.allows(found):
                allowed = found
                if found not in others:
                    break
        return allowed

    def with_values(self, params: Params, pick: Pick, rng: random.Random) -> dict[str, Any]:
        """The configuration with the values that `pick` returns for the parameters that may change, and draws for those
        that begin to apply."""

        def value(param: Float | Int | Choice) -> Any:
            if param.name not in params:
                return self._space.axis(param.name).decode(rng.random())
            return pick(param) if param.name in self.mutable else params[param.name]

        return self._space.walk(value)

    def _value(self, param: Float | Int | Choice, value: Any, rng: random.Random) -> Any:
        axis, drawn, factor = self._space.axis(param.name), rng.random(), rng.choice(self._factors)
        if rng.random() < self._resample:
            return axis.decode(drawn)
        if not self._perturbs:
            return value
        if isinstance(param, Choice):
            return self._neighbour(param, value, factor > 1) if param.ordered else axis.decode(drawn)
        moved = axis.tidy(_scaled(param, value, factor))
        if isinstance(axis, Cells) and moved == value and factor != 1:  # less than a step
            return self._neighbour(param, value, factor > 1)
        return moved

    def _neighbour(self, param: Float | Int | Choice, value: Any, up: bool) -> Any:
        """The next or the previous value; at the end, the same."""
        axis = self._space.axis(param.name)
        assert isinstance(axis, Cells)
        rising = isinstance(param, Choice) or axis.value(0) <= axis.value(axis.size - 1)
        place = axis.place(value) + (1 if up is rising else -1)
        return axis.value(min(max(place, 0), axis.size - 1))


def may_change(space: SearchSpace) -> list[str]:
    """Numbers and ordered choices on which no other parameter depends."""
    parents = {parent for param in space.params for parent in param.when or ()}
    return [p.name for p in space.dimensions if p.name not in parents and (not isinstance(p, Choice) or p.ordered)]


def number_rng(spec: StudySpec, trial_id: int, what: str) -> random.Random:
    """Depends on the study's seed, the trial and the purpose alone; the standard library's, which is cheap to make."""
    return random.Random(f"{spec.seed or 0}/{trial_id}/{what}")


def _scaled(param: Float | Int, value: float, factor: float) -> float:
    low, high = min(param.low, param.high), max(param.low, param.high)
    if param.power is None and (low < 0 or value == 0):
        return value + (factor - 1) * (high - low)
    return value * factor
