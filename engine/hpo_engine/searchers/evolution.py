"""Evolution: children of good trials, some with two parents, with a few values changed.

The parents are read from the history; there is no other state.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from hpo_engine.plugins.card import Card, Option
from hpo_engine.searchers import Searcher, Traits, trial_rng
from hpo_engine.searchers.observations import Observations, Observer
from hpo_engine.searchers.start import start_point
from hpo_engine.space.axes import Axis, axis_of
from hpo_engine.space.params import Choice, key
from hpo_engine.study.history import History
from hpo_engine.study.spec import StudySpec
from hpo_engine.study.trial import Proposal, Trial

_TRIES = 50  # to find a child that is new
_BOLDER = 10  # tries after which twice as many values are changed
_STEP, _LEAP = 0.1, 0.3  # standard deviations of a change, in lengths of an axis
_LEAPS = 0.2  # part of the changes that are leaps


class Evolution(Searcher):
    """Steady-state evolution: each free worker gets a child at once, without generations.

    The parents are the best of `tournament` trials drawn from the latest `population` and the best half as many: old
    trials are dropped, except for the best. A child changes one value on average: a choice to any other one, a number
    by a step. A parameter that begins to apply gets a random value. Failed trials have no children, nor have those that
    were ended early: as parents, they made the search worse (benchmarks/evidence.md). A configuration is tried twice
    only if no other is found nearby.

    Mean lowest loss of 3 or 4 seeds after 50 and 200 trials (NK landscapes with three neighbours;
    one-max with pairs that count more together; 12 choices that shift a bowl in 12 numbers):

                                     random        tpe           cmaes         evolution
        NK, 20 choices of 3       0.37  0.33    0.30  0.25    0.32  0.28    0.28  0.20
        NK, 40 choices of 3       0.41  0.38    0.36  0.34    0.39  0.34    0.31  0.23
        pairs, 30 choices of 4                 -1.20 -1.73   -1.12 -1.73   -1.32 -2.69
        12 choices, 12 numbers                  5.31  3.38    6.66  2.98    4.01  1.81

    On three families of 10 conditional choices `tpe` was ahead: 0.66 and 0.52, to 0.68 and 0.56 with a tournament of 8.
    """

    traits = Traits(
        card=Card(
            summary="evolution: children of good trials, with a few values changed or mixed from two",
            suits="wide spaces of choices, 20 parameters and more; cheap trials and many workers",
            cost="1 ms",
            source="Real et al., Regularized Evolution for Image Classifier Architecture Search, AAAI 2019",
            options={
                "n_startup": Option("trials of the quasi-random start", int, 10, least=1, formerly="init_points"),
                "population": Option("latest trials that may have children", int, 20, least=2),
                "tournament": Option("trials of which the best has the child", int, 16, least=1),
                "crossover": Option("part of the children that have two parents", float, 0.25, least=0, most=1),
            },
        ),
        many_objectives=True,
    )

    def __init__(
        self,
        spec: StudySpec,
        *,
        n_startup: int = 10,
        population: int = 20,
        tournament: int = 16,
        crossover: float = 0.25,
    ) -> None:
        self._spec, self._space = spec, spec.space
        self._reader = Observer(spec.space)
        self._n_startup, self._population = n_startup, population
        self._tournament, self._crossover = tournament, crossover
        self._axes: list[tuple[Axis, bool]] = [
            (axis_of(p), isinstance(p, Choice) and not p.ordered) for p in spec.space.dimensions
        ]

    def why(self, before: History, trial: Trial) -> str:
        parents = len(self._parents(self._reader.read(before)))
        if trial.id < self._n_startup or parents < 2:
            return f"quasi-random: the first {self._n_startup} trials are the first generation"
        return f"a child of two of the best {parents} of the latest trials"

    def ask(self, history: History, count: int) -> list[Proposal]:
        observed = self._reader.read(history)
        parents = self._parents(observed)
        taken = {key(trial.params) for trial in history.trials}
        out: list[Proposal] = []
        for i in range(history.next_id, history.next_id + count):
            early = i < self._n_startup or len(parents) < 2
            params = self._start(i) if early else self._child(observed, parents, i, taken)
            taken.add(key(params))
            out.append(Proposal(params))
        return out

    def _start(self, trial_id: int) -> dict[str, Any]:
        return self._space.decode(start_point(self._spec, trial_id))

    def _parents(self, observed: Observations) -> np.ndarray:
        """Indices of the trials that may have children, the best first."""
        order = np.argsort(observed.losses, kind="stable")
        latest = order >= len(order) - self._population
        latest[: self._population // 2] = True
        return order[latest]

    def _child(self, observed: Observations, parents: np.ndarray, trial_id: int, taken: set[Any]) -> dict[str, Any]:
        rng = trial_rng(self._spec, trial_id)
        for attempt in range(_TRIES):
            point = observed.points[self._winner(parents, rng)].copy()
            if rng.random() < self._crossover:
                other = observed.points[self._winner(parents, rng)]
                point = np.where(rng.random(len(point)) < 0.5, point, other)
            params = self._space.decode(self._changed(point, 1.0 + attempt / _BOLDER, rng))
            if key(params) not in taken:
                break
        return params

    def _winner(self, parents: np.ndarray, rng: np.random.Generator) -> int:
        """One of the parents: the best of some drawn with replacement."""
        return int(parents[rng.integers(len(parents), size=self._tournament).min()])

    def _changed(self, point: np.ndarray, changes: float, rng: np.random.Generator) -> np.ndarray:
        """The point with `changes` of its active values changed on average, and at least one."""
        point = np.where(np.isnan(point), rng.random(len(point)), point)
        live = np.flatnonzero(~np.isnan(self._space.tidy(point[None])[0]))
        if not len(live):
            return point
        hit = live[rng.random(len(live)) < changes / len(live)]
        for j in hit if len(hit) else [rng.choice(live)]:
            axis, categorical = self._axes[j]
            point[j] = _mutated(point[j], axis.size or 0, categorical, rng)
        return point


def _mutated(u: float, size: int, categorical: bool, rng: np.random.Generator) -> float:
    """Another position on an axis of `size` values (0: continuous)."""
    if size == 1:
        return u
    if size == 2 or categorical:
        return ((int(u * size) + int(rng.integers(1, size))) % size + 0.5) / size
    step = float(rng.normal()) * (_LEAP if rng.random() < _LEAPS else _STEP)
    if not size:
        v = abs(u + step)  # mirrored at both ends
        return min(max(2 - v if v > 1 else v, 0.0), 1.0)
    cell = min(int(u * size), size - 1)
    jump = max(1, round(abs(step) * size))
    up = cell + jump < size and (step > 0 or cell < jump)
    to = cell + jump if up else max(cell - jump, 0) if cell else min(cell + jump, size - 1)
    return (to + 0.5) / size
