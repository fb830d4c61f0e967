"""Trials with given curves, run by the engine on a clock that is moved by hand."""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path

import pytest

from hpo_engine.stoppers import FirstOf, Rule
from hpo_engine.study.events import Event
from hpo_engine.study.spec import Budget, Resource, Resources
from hpo_engine.study.trial import Exit
from tests.support.loop_bench import Bench

Curves = Sequence[Sequence[float]]
TICK_S = 1.0


class Training(Bench):
    """Trial i reports curves[i], a value per second. What is stopped ends at once."""

    def __init__(self, root: Path, curves: Curves) -> None:
        super().__init__(root)
        self.curves = curves
        self.first_step = 1
        self.behave = lambda launch: None

    def trained(self, parallel: int, rule: Rule, resource: Resource | None = None) -> list[Event]:
        with pytest.MonkeyPatch.context() as patch:
            # A file that took long to read is left alone for a while: not here, however busy the machine is.
            patch.setattr(time, "monotonic", lambda: self.now)
            return self._trained(parallel, rule, resource)

    def _trained(self, parallel: int, rule: Rule, resource: Resource | None) -> list[Event]:
        self.stopper = FirstOf([rule])
        engine = self.open(budget=Budget(len(self.curves)), resources=Resources(parallel), resource=resource)
        reported: dict[int, int] = {}
        while True:
            more = engine.step(self.now)
            while more and self.executor.news:  # ends and starts cost no time
                more = engine.step(self.now)
            if not more:
                return self.store.read()
            self.now += TICK_S
            for trial_id, launch in list(self.executor.running.items()):
                number = reported[trial_id] = reported.get(trial_id, 0) + 1
                rows = [{"step": k + self.first_step, "loss": self.curves[trial_id][k]} for k in range(number)]
                self.write(launch, rows)
                if number == len(self.curves[trial_id]):
                    self.executor.finish(trial_id, Exit(code=0))
