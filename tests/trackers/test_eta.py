"""How long a study will still take, against what it then takes."""

from __future__ import annotations

import heapq
from collections.abc import Callable
from typing import Any

import pytest

from hpo_engine.searchers.hyperband import Hyperband
from hpo_engine.space.searchspace import Float, SearchSpace
from hpo_engine.study.events import AttemptStarted, EngineStarted, TrialCarriedOn, TrialEnded, TrialProposed
from hpo_engine.study.spec import Budget, Named, Resource, Resources
from hpo_engine.trackers.eta import seconds_left
from tests.support.study_by_hand import PARAMS, Study


class Machine:
    """Runs trials by the clock: each takes what `took` says; the first ones wait for imports."""

    def __init__(
        self, study: Study, parallel: int, took: Callable[[int, int | None], float], imports_s: float = 0.0
    ) -> None:
        self.study, self.parallel, self.took, self.imports_s = study, parallel, took, imports_s
        self.running: list[tuple[float, int, float]] = []
        study.feed(EngineStarted(study.now, 1, "box"))
        self.first = study.now

    def launch(self, params: Any = PARAMS, resource: int | None = None, slot: Any = None) -> None:
        study = self.study
        number = study.history.next_id
        study.feed(TrialProposed(study.now, number, dict(params), resource, slot))
        study.attempt(number)
        begins = max(study.now, self.first + self.imports_s)
        study.feed(AttemptStarted(begins, number, 1, 100 + number))
        seconds = self.took(number, resource)
        heapq.heappush(self.running, (begins + seconds, number, seconds))

    def next_end(self) -> None:
        at, number, seconds = heapq.heappop(self.running)
        self.study.now = max(at, self.study.now)
        self.study.feed(TrialEnded(self.study.now, number, "completed", 1.0, exit={"code": 0, "seconds": seconds}))

    def run(self, done: int) -> None:
        """Until so many trials have ended."""
        self.fill()
        while self.study.history.ended_count < done:
            self.next_end()
            self.fill()

    def fill(self) -> None:
        while len(self.running) < self.parallel and self.study.history.next_id < (
            self.study.history.spec.budget.trials or 0
        ):
            self.launch()

    def left(self) -> float | None:
        return seconds_left(self.study.history, self.study.now)


@pytest.mark.by_default(5)
@pytest.mark.parametrize("parallel", [1, 2, 8])
@pytest.mark.parametrize("done", [1, 2, 7, 20, 38])
def test_estimate_is_what_it_then_takes(make_study: Callable[..., Study], parallel: int, done: int) -> None:
    study = make_study(budget=Budget(trials=40), resources=Resources(parallel=parallel))
    machine = Machine(study, parallel, lambda number, _: 9 + number % 3, imports_s=12)
    machine.run(done)
    guess, at = machine.left(), study.now
    machine.run(40)
    assert guess == pytest.approx(study.now - at, rel=0.15, abs=12)
    assert machine.left() == 0


def test_two_of_forty_after_the_imports_are_a_minute_and_not_six(make_study: Callable[..., Study]) -> None:
    study = make_study(budget=Budget(trials=40), resources=Resources(parallel=8))
    machine = Machine(study, 8, lambda number, _: 10 + number / 10, imports_s=10)
    machine.run(2)
    assert study.now - machine.first == pytest.approx(20.1)
    assert machine.left() == pytest.approx(50, abs=10)


def test_estimate_after_a_resume_forgets_the_gap_and_knows_the_durations(make_study: Callable[..., Study]) -> None:
    study = make_study(budget=Budget(trials=20), resources=Resources(parallel=2))
    machine = Machine(study, 2, lambda number, _: 10.0, imports_s=100)
    machine.run(4)
    study.now += 5.0
    before = machine.left()
    study.feed(EngineStarted(study.now, 2, "box"))
    assert before is not None and machine.left() == before == pytest.approx(75, abs=1)
    study.now += 3
    assert machine.left() == pytest.approx(before - 3, abs=1)


def test_what_runs_for_long_is_expected_to_take_what_the_long_ones_took(make_study: Callable[..., Study]) -> None:
    study = make_study(budget=Budget(trials=6))
    machine = Machine(study, 1, lambda number, _: 100.0 if number in (2, 5) else 10.0)
    machine.run(5)
    assert machine.left() == 10
    study.now += 40
    assert machine.left() == 60
    study.now += 100
    assert machine.left() == 0


def test_cores_may_allow_fewer_at_a_time_than_parallel(make_study: Callable[..., Study]) -> None:
    study = make_study(budget=Budget(trials=30), resources=Resources(parallel=16))
    machine = Machine(study, 2, lambda *_: 10.0)
    machine.run(10)
    assert machine.left() == pytest.approx(100, abs=10)


def test_time_limit_caps_the_estimate_and_alone_says_nothing_too_early(make_study: Callable[..., Study]) -> None:
    study = make_study(budget=Budget(trials=100, time_s=60))
    machine = Machine(study, 1, lambda *_: 10.0)
    machine.launch()
    assert machine.left() is None
    machine.run(2)
    assert machine.left() == 40
    study = make_study(budget=Budget(time_s=60))
    assert Machine(study, 1, lambda *_: 10.0).left() == 60
    assert Machine(make_study(budget=Budget()), 1, lambda *_: 10.0).left() is None


def test_many_trials_to_come_cost_no_time(make_study: Callable[..., Study]) -> None:
    study = make_study(budget=Budget(trials=1_000_000), resources=Resources(parallel=4))
    machine = Machine(study, 4, lambda *_: 2.0)
    machine.run(20)
    assert machine.left() == pytest.approx(500_000, rel=0.01)


@pytest.mark.parametrize("done", [3, 8, 15, 24])
def test_rationed_trials_take_time_by_what_they_get(make_study: Callable[..., Study], done: int) -> None:
    space = SearchSpace((Float("x", 0, 1),))
    study = make_study(
        space=space, budget=Budget(runs=44), resources=Resources(parallel=2), algorithm=Named("hyperband"),
        resource=Resource("epochs", 9), seed=1,
    )  # fmt: skip
    searcher = Hyperband(study.history.spec)
    machine = Machine(study, 2, lambda _, epochs: 1.0 + 2.0 * (epochs or 0))
    guess, at = None, 0.0
    while True:
        while len(machine.running) < 2 and study.history.next_id < 44:
            proposals = searcher.ask(study.history, 1)
            if not proposals:
                break
            machine.launch(proposals[0].params, proposals[0].resource, proposals[0].note)
        if not machine.running:
            break
        machine.next_end()
        if study.history.ended_count == done:
            guess, at = machine.left(), study.now
    assert study.history.ended_count == 44
    assert guess == pytest.approx(study.now - at, rel=0.4 if done < 10 else 0.2), (
        "until 10 only the shortest have ended"
    )


def test_nothing_is_estimated_while_a_plugin_gives_trials_less_than_all(
    make_study: Callable[..., Study],
) -> None:
    study = make_study(budget=Budget(trials=4), resource=Resource("epochs", 9), algorithm=Named("mine.py:Mine"))
    machine = Machine(study, 1, lambda number, _: 10.0)
    for _ in range(3):
        machine.launch(resource=9)
        machine.next_end()
    assert machine.left() == 10, "it gives all trials all of the resource"
    machine.launch(resource=3)
    machine.next_end()
    assert machine.left() is None, "0 s are left of the trials, and promotions may follow"


def test_nothing_is_estimated_once_a_trial_has_been_carried_on(make_study: Callable[..., Study]) -> None:
    study = make_study(budget=Budget(trials=2), resource=Resource("epochs", 9))
    machine = Machine(study, 1, lambda number, _: 10.0)
    machine.launch(resource=3)
    machine.next_end()
    study.feed(TrialCarriedOn(study.now, 0, dict(PARAMS), 9))
    assert machine.left() is None


def test_trial_that_starts_from_another_takes_what_it_adds(make_study: Callable[..., Study]) -> None:
    study = make_study(budget=Budget(trials=4), resource=Resource("epochs", 12))
    machine = Machine(study, 1, lambda number, _: 60.0 if number == 0 else 30.0)
    machine.launch(resource=6)
    machine.next_end()
    study.feed(TrialProposed(study.now, 1, dict(PARAMS), 9, start_from=0))
    study.attempt(1)
    study.feed(AttemptStarted(study.now, 1, 1, 101))
    study.now += 30
    study.feed(TrialEnded(study.now, 1, "completed", 1.0, exit={"code": 0, "seconds": 30.0}))
    study.feed(TrialProposed(study.now, 2, dict(PARAMS), 12, start_from=1))
    study.attempt(2)
    assert machine.left() == pytest.approx(30 + 30), "3 epochs each: it runs, and another one like it follows"
