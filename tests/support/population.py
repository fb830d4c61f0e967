"""Studies of a population without processes: what trials come to is worked out, and ends in any order."""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from hpo_engine.searchers.interface import Asks
from hpo_engine.study.events import AttemptIntended, AttemptStarted, Event, MetricsSeen, TrialEnded
from hpo_engine.study.history import History
from hpo_engine.study.objective import Row
from hpo_engine.study.spec import StudySpec
from hpo_engine.study.trial import Proposal, Trial
from hpo_engine.testing.histories import applied, opened, proposed

Train = Callable[[Any, Mapping[str, Any], int], tuple[Any, float | None]]
"""(state or None, parameters, units of the resource) -> the next state and its loss; None: it fails."""


@dataclass
class Farm:
    """`seen`: each answer, and the history that it was the answer to."""

    spec: StudySpec
    searcher: Asks
    train: Train
    workers: int = 1
    seed: int = 0
    states: dict[tuple[int, int], Any] = field(default_factory=dict)
    seen: list[tuple[History, Proposal]] = field(default_factory=list)

    def run(self, most: int = 2000) -> History:
        history, rng, ends = opened(self.spec), random.Random(self.seed), dict[int, float]()
        now = 0.0
        for _ in range(most):
            free = self.workers - len(ends)
            answer = list(self.searcher.ask(history, free)) if free else []
            for proposal in answer:
                self.seen.append((history, proposal))
                trial_id = history.next_id if proposal.carry_on is None else proposal.carry_on
                history = proposed(history, [proposal])
                number = len(history.trials[trial_id].attempts) + 1
                nonce = f"{trial_id}.{number}"
                history = applied(
                    history, AttemptIntended(now, trial_id, number, nonce), AttemptStarted(now, trial_id, number, 1)
                )
                ends[trial_id] = now + rng.uniform(0.5, 2.0)
            if answer:
                continue
            if not ends:
                return history
            trial_id = min(ends, key=lambda i: ends[i])
            now = ends.pop(trial_id)
            history = applied(history, *self._ended(history, history.trials[trial_id], now))
        raise AssertionError("the study has no end")

    def _ended(self, history: History, trial: Trial, now: float) -> list[Event]:
        start, number = history.inherited(trial), len(trial.attempts)
        key = (
            (trial.id, trial.done)
            if trial.results
            else (trial.origin.trial, trial.origin.attempt)
            if trial.origin
            else None
        )
        state = None if key is None else self.states[key]
        state, loss = self.train(state, trial.params, (trial.proposal.resource or 0) - start)
        if loss is None:
            return [TrialEnded(now, trial.id, "failed", None, "it failed", {"code": 1})]
        self.states[trial.id, number] = state
        value = history.spec.objectives[0].value(loss)
        rows = (Row(trial.proposal.resource or 0, {history.spec.objectives[0].metric: value}),)
        return [MetricsSeen(now, trial.id, rows), TrialEnded(now, trial.id, "completed", value, "", {"code": 0})]
