"""Runs one searcher on one problem, in virtual time. Our own searchers see real histories, made by `events.apply`.

With several workers each evaluation takes a random time (lognormal, the same for every problem and algorithm); a
searcher is asked whenever a worker is free, while the others' evaluations are pending.
"""

from __future__ import annotations

import heapq
import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from benchmarks.search.problems import Problem

if TYPE_CHECKING:
    from hpo_engine.study.spec import StudySpec

RATIONING = ("hyperband", "asha", "bohb")  # the others give every evaluation all of the resource
SPREAD = 0.5  # sigma of the logarithm of an evaluation's duration


class Asker(Protocol):
    """An algorithm at work on one problem."""

    def ask(self, count: int) -> Sequence[tuple[Any, Mapping[str, Any], int | None]]:
        """At most `count` evaluations: (token, parameters, resource). None at all: wait, or the search is over."""

    def tell(self, token: Any, loss: float) -> None: ...


Factory = Callable[[Problem, int, int, int], Asker]
"""(problem, seed, evaluations in all, workers) -> an algorithm that has not begun."""


@dataclass(frozen=True)
class Done:
    """One evaluation, as it ended. `at`: virtual time, in mean durations of a full evaluation."""

    loss: float
    resource: int | None
    at: float
    params: Mapping[str, Any]


def run(factory: Factory, problem: Problem, seed: int, evaluations: int, workers: int = 1) -> np.ndarray:
    """The losses (evaluations,) in the order in which they became known; shorter where the search ended earlier."""
    return np.array([d.loss for d in trace(factory, problem, seed, evaluations, workers)])


def trace(
    factory: Factory, problem: Problem, seed: int, evaluations: int, workers: int = 1, training: float | None = None
) -> list[Done]:
    """The evaluations in the order in which they ended.

    Args:
        training: ends the run when so much was spent, in full trainings.
    """
    asker = factory(problem, seed, evaluations, workers)
    durations = random.Random(f"durations/{seed}")
    running: list[tuple[float, int, Any, Mapping[str, Any], int | None]] = []
    out: list[Done] = []
    started, now, spent = 0, 0.0, 0.0
    while True:
        while len(running) < workers and started < evaluations and (training is None or spent < training):
            asked = asker.ask(min(workers - len(running), evaluations - started))
            if not asked:
                break
            for token, params, resource in asked:
                share = resource / problem.levels[-1] if resource and problem.levels else 1.0
                end = now + share * (durations.lognormvariate(0, SPREAD) if workers > 1 else 1.0)
                heapq.heappush(running, (end, started, token, params, resource))
                started, spent = started + 1, spent + share
        if not running:
            return out
        now, _, token, params, resource = heapq.heappop(running)
        loss = problem.evaluate(params, resource)
        asker.tell(token, loss)
        out.append(Done(loss, resource, now, params))


def ours(algorithm: str, options: Mapping[str, Any]) -> Factory:
    """A searcher of the engine by its name, as `assembly` makes it."""

    def factory(problem: Problem, seed: int, evaluations: int, workers: int) -> Asker:
        return Ours(algorithm, options, problem, seed, evaluations, workers)

    return factory


class Ours:
    """A searcher of the engine and its history."""

    def __init__(
        self, algorithm: str, options: Mapping[str, Any], problem: Problem, seed: int, evaluations: int, workers: int
    ) -> None:
        from hpo_engine.study.objective import Objective
        from hpo_engine.study.spec import Budget, Named, Resource, Resources, StudySpec

        rationed = bool(problem.levels) and algorithm in RATIONING
        spec = StudySpec(
            "benchmark", problem.space, (Objective("loss"),), ("true",), "/", algorithm=Named(algorithm, dict(options)),
            budget=Budget(runs=evaluations) if rationed else Budget(evaluations),
            resources=Resources(parallel=workers), seed=seed,
            resource=Resource("resource", problem.levels[-1]) if rationed else None,
            )  # fmt: skip
        self.begin(spec)

    def begin(self, spec: StudySpec) -> None:
        """The study from its start, with what earlier studies queue."""
        from hpo_engine import assembly
        from hpo_engine.core.queue import TrialQueue
        from hpo_engine.searchers.prior import starts
        from hpo_engine.study.events import EngineStarted, fold, opening

        self.history = fold([*opening(spec, 0.0, earlier=starts(spec) if spec.prior else ()), EngineStarted(0.0, 1)])
        self.searcher: Any = TrialQueue(self.history.spec, assembly.searcher(self.history.spec))

    def ask(self, count: int) -> Sequence[tuple[int, Mapping[str, Any], int | None]]:
        from hpo_engine.study.events import AttemptIntended, TrialProposed, apply

        out = []
        for p in self.searcher.ask(self.history, count):
            at, trial_id = self.history.last_at + 1, self.history.next_id
            queued = None if p.queued is None else p.queued.number
            event = TrialProposed(at, trial_id, p.params, p.resource, p.note, repeats=p.repeats, queued=queued)
            self.history = apply(self.history, event)
            self.history = apply(self.history, AttemptIntended(at, trial_id, 1, f"n{trial_id}"))
            out.append((trial_id, p.params, p.resource))
        return out

    def preload(self, problem: Problem, count: int) -> None:
        """Gives the history `count` trials that were drawn at random."""
        from hpo_engine.study.trial import Proposal

        searcher, rng = self.searcher, np.random.default_rng(1)
        self.searcher = _Drawn(lambda: Proposal(problem.space.sample(rng)))
        natural(self, problem, count)
        self.searcher = searcher

    def tell(self, token: int, loss: float) -> None:
        from hpo_engine.study.events import MetricsSeen, TrialEnded, apply
        from hpo_engine.study.objective import Row

        at = self.history.last_at + 1
        self.history = apply(self.history, MetricsSeen(at, token, (Row(1, {"loss": loss}),)))
        self.history = apply(self.history, TrialEnded(at, token, "completed", loss, "", {"code": 0}))


def natural(asker: Asker, problem: Problem, count: int) -> None:
    """Lets an algorithm make `count` evaluations."""
    for _ in range(count):
        for token, params, _ in asker.ask(1):
            asker.tell(token, problem.evaluate(params))


class _Drawn:
    """Stands in for a searcher while a history is filled."""

    def __init__(self, draw: Callable[[], Any]) -> None:
        self._draw = draw

    def ask(self, history: Any, count: int) -> list[Any]:
        return [self._draw() for _ in range(count)]
