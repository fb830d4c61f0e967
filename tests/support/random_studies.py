"""Random spaces and histories, by number: every kind of parameter, conditions on conditions, odd values, every fate.

Case k is the same wherever it is made. Knows no searcher.
"""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import numpy as np

from hpo_engine import assembly
from hpo_engine.space.searchspace import Choice, Constant, Float, Int, Param, SearchSpace
from hpo_engine.study.history import History
from hpo_engine.study.objective import Objective
from hpo_engine.study.spec import Budget, Named, Resource, StudySpec
from hpo_engine.study.trial import Proposal
from hpo_engine.testing.histories import FATES, opened, proposed, spec_of, with_fate

_MOST_DIMENSIONS, _MOST_TRIALS = 12, 60


def case(k: int) -> tuple[StudySpec, History]:
    """A study and a history of it, with 0 to 60 trials."""
    rng = np.random.default_rng([k, 77])
    spec = spec_of(
        space(rng),
        seed=int(rng.integers(1000)),
        budget=Budget(trials=int(rng.integers(1, 200))),
        objectives=(Objective("loss", str(rng.choice(["minimize", "maximize"]))),),
    )
    history = opened(spec)
    fates = FATES if rng.random() < 0.7 else (str(rng.choice(FATES)),)
    losses = _LOSSES[int(rng.integers(len(_LOSSES)))]
    point = rng.random(len(spec.space.dimensions))
    for i in range(int(rng.integers(_MOST_TRIALS))):
        if rng.random() < 0.9:  # else the same point again
            point = rng.random(len(point))
        history = proposed(history, [Proposal(spec.space.decode(point))])
        history = with_fate(history, i, str(rng.choice(fates)), losses(point, rng))
    return spec, history


def space(rng: np.random.Generator) -> SearchSpace:
    params: list[Param] = []
    for i in range(int(rng.choice([0, 1, 2, 3, 5, 8, _MOST_DIMENSIONS], p=[0.03, 0.17, 0.2, 0.2, 0.2, 0.1, 0.1]))):
        parents = [p for p in params if isinstance(p, Choice)]
        when = None
        if parents and rng.random() < 0.4:
            parent = parents[int(rng.integers(len(parents)))]
            some = rng.choice(len(parent.choices), size=int(rng.integers(1, len(parent.choices) + 1)), replace=False)
            when = {parent.name: [parent.choices[j] for j in some]}
        params.append(_param(f"p{i}", when, rng))
    return SearchSpace(tuple(params))


def _param(name: str, when: Any, rng: np.random.Generator) -> Param:
    kind = rng.integers(9)
    if kind == 0:
        return Float(name, *_ends(rng), when=when)
    if kind == 1:
        low = float(10.0 ** rng.uniform(-300, 10))
        return Float(name, low, low * float(10.0 ** rng.uniform(0.01, 100)), log=True, when=when)
    if kind == 2:
        low, step = float(rng.integers(-5, 5)), float(rng.choice([0.1, 0.5, 3.0]))
        return Float(name, low, low + step * int(rng.integers(0, 40)), step=step, when=when)
    if kind == 3:
        low = int(rng.integers(-100, 100))
        return Int(name, low, low + int(rng.choice([0, 1, 2, 7, 1000, 2**40])), when=when)
    if kind == 4:
        low = int(rng.integers(1, 20))
        return Int(name, low, low + int(rng.choice([1, 5, 300, 10**6])), log=True, when=when)
    if kind == 5:
        return Int(name, int(rng.integers(0, 4)), int(rng.integers(4, 12)), power=2, when=when)
    if kind == 6:
        return Constant(name, [1, {"a": None}], when=when)
    choices = tuple([*"abcdefghijkl"][: int(rng.integers(1, 12))]) if kind == 7 else (None, True, 1, 1.5, "x", [1])
    return Choice(name, choices, ordered=bool(rng.random() < 0.3), when=when)


def _ends(rng: np.random.Generator) -> tuple[float, float]:
    ends = [(0.0, 1.0), (-5.0, 5.0), (-1e308, 1e308), (0.0, 5e-324), (1e-9, 1e9), (3.0, 3.0)]
    return ends[int(rng.integers(len(ends)))]


_LOSSES = (
    lambda x, rng: float(np.sum((x - 0.3) ** 2)),
    lambda x, rng: float(rng.normal()),
    lambda x, rng: 1.0,
    lambda x, rng: float(rng.integers(2)),
    lambda x, rng: float(rng.choice([-1e308, 1e308, 0.0, 5e-324])),
    lambda x, rng: math.exp(float(rng.uniform(-700, 700))),
    lambda x, rng: 1e9 + 1e-6 * float(rng.normal()),
)


ALGORITHMS = [name for name in assembly.SEARCHERS if name not in ("optuna", "grid", "schedule")]


NEED_A_RESOURCE = ("hyperband", "asha", "bohb", "pbt")


def study_of(spec: StudySpec, algorithm: str) -> StudySpec:
    needs: dict[str, Any] = {"resource": Resource("epochs", 9, resume="always")} if algorithm in NEED_A_RESOURCE else {}
    # (it refuses a space in which nothing may change, as where all are choices without order)
    options = {"mutable": [p.name for p in spec.space.dimensions]} if algorithm == "pbt" else {}
    return replace(spec, algorithm=Named(algorithm, options), **needs)
