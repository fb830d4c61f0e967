"""A budget is what the trials have really used, whatever became of their attempts."""

from __future__ import annotations

import random
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hpo_engine.errors import SpecError
from hpo_engine.stoppers.budget import UsageStopper
from hpo_engine.study.events import (
    AttemptEnded,
    AttemptIntended,
    AttemptStarted,
    EngineStarted,
    Event,
    MetricsSeen,
    StudyClosed,
    TrialCarriedOn,
    TrialEnded,
    TrialProposed,
    TrialReopened,
    apply,
    fold,
)
from hpo_engine.study.history import History
from hpo_engine.study.objective import Row
from hpo_engine.study.spec import BUDGET, Budget, Named, Resource, Resources, StudySpec
from hpo_engine.testing.histories import SPACES, opened, spec_of
from tests.support.examples import some

EVERY = 10_000.0  # a limit that is not reached


class Machine:
    """Trains, and counts what it trains: the events of a study, and beside them what they have cost."""

    def __init__(self, rng: random.Random, spec: StudySpec, every: int = 1) -> None:
        self.rng, self.every = rng, every
        self.history, self.events = opened(spec), list[Event]()
        self.now, self.epochs, self.seconds = 0.0, 0, 0.0
        self.amounts: list[int] = []

    def do(self, event: Event) -> None:
        self.history = apply(self.history, event)
        self.events.append(event)

    def turn(self) -> None:
        """One attempt of a new trial, of one that runs again, or of one that is carried on or tried again."""
        self.now += 1.0
        rng, trials = self.rng, self.history.trials
        pending = [t.id for t in trials if t.state.value == "pending"]
        done = [t.id for t in trials if t.state.value == "completed"] if self.history.spec.resource else []
        bad = [t.id for t in trials if t.state.value == "failed"]
        move = rng.choice(["new", *["again"] * bool(pending), *["carry"] * bool(done), *["reopen"] * bool(bad)])
        if move == "again":
            trial = rng.choice(pending)
        elif move == "carry":
            trial = rng.choice(done)
            self.amounts[trial] *= 3
            self.do(TrialCarriedOn(self.now, trial, {"x": 0.0}, self.amounts[trial]))
        elif move == "reopen":
            trial = rng.choice(bad)
            self.do(TrialReopened(self.now, trial))
        else:
            trial = len(trials)
            amount = rng.choice([1, 3]) * self.every
            self.amounts.append(amount)
            self.do(TrialProposed(self.now, trial, {"x": 0.0}, amount if self.history.spec.resource else None))
        self.attempt(trial)
        if rng.random() < 0.1:
            self.do(StudyClosed(self.now, "stopped"))
            self.now += 1000.0  # nobody runs anything
            self.do(EngineStarted(self.now, 2))

    def attempt(self, trial: int) -> None:
        rng, number = self.rng, len(self.history.trials[trial].attempts) + 1
        first = self.history.trials[trial].trained  # the checkpoint that it goes on from
        last = self.amounts[trial]
        end = last if rng.random() < 0.6 else rng.randrange(first, last, self.every)
        self.do(AttemptIntended(self.now, trial, number, f"n{trial}.{number}"))
        begun = self.now
        self.do(AttemptStarted(self.now, trial, number, 7))
        for epoch in range(first + self.every, end + 1, self.every):
            self.now += rng.random()
            self.epochs += self.every
            self.do(MetricsSeen(self.now, trial, (Row(epoch, {"loss": rng.random()}), Row(epoch, {"train": 1.0}))))
        self.now += rng.random()
        took = self.now - begun
        self.seconds += took
        if end == last:
            self.do(TrialEnded(self.now, trial, "completed", 1.0, exit={"code": 0, "seconds": took}))
        elif rng.random() < 0.5:
            exit_: dict[str, Any] = rng.choice(
                [{"code": 1, "seconds": took}, {"signal": 15, "stop_cause": "interrupt", "seconds": took}]
            )
            self.do(AttemptEnded(self.now, trial, number, exit_))
        else:
            how = rng.choice(["failed", "pruned", "stopped"])
            self.do(TrialEnded(self.now, trial, how, exit={"code": 1, "seconds": took}))


def rule_of(spec: StudySpec, **options: Any) -> UsageStopper:
    return UsageStopper(spec, **options)


def study(**changes: Any) -> StudySpec:
    return spec_of(SPACES["one float"], **changes)


def spent(rule: UsageStopper, history: History, now: float) -> float:
    """What it has counted, by asking whether it is more than each of many limits."""
    (limit,) = rule._limits
    limit.most = 0.0
    why = limit.spent(history, now)
    assert why is not None
    return float(why.split()[2])


@settings(max_examples=some(25), deadline=None)
@given(st.randoms(use_true_random=False), st.booleans(), st.sampled_from([1, 5]))
def test_epochs_are_those_that_were_trained(rng: random.Random, resource: bool, every: int) -> None:
    spec = study(resource=Resource("epochs", 243) if resource else None)
    machine, old = Machine(rng, spec, every), rule_of(spec, epochs=EVERY)
    for _ in range(12):
        machine.turn()
        assert spent(old, machine.history, machine.now) == machine.epochs
    fresh = fold(machine.events, opened(spec))
    assert spent(rule_of(spec, epochs=EVERY), fresh, machine.now) == machine.epochs


@settings(max_examples=some(12), deadline=None)
@given(st.randoms(use_true_random=False))
def test_every_prefix_of_a_log_has_what_was_trained_until_then(rng: random.Random) -> None:
    spec = study(resource=Resource("epochs", 243))
    machine = Machine(rng, spec)
    for _ in range(8):
        machine.turn()
    history, trained, old = opened(spec), 0, rule_of(spec, epochs=EVERY)
    for event in machine.events:
        history = apply(history, event)
        trained += isinstance(event, MetricsSeen)
        assert spent(old, history, event.at) == trained


@settings(max_examples=some(12), deadline=None)
@given(st.randoms(use_true_random=False))
def test_seconds_and_cost_are_those_of_all_attempts(rng: random.Random) -> None:
    spec = study(resources=Resources(gpus=0.5))
    machine = Machine(rng, spec)
    for _ in range(10):
        machine.turn()
    used = spent(rule_of(spec, seconds=EVERY), machine.history, machine.now)
    assert used == pytest.approx(machine.seconds, rel=1e-5)
    cost = spent(rule_of(spec, cost=EVERY, price=0.36, gpu_price=7.2), machine.history, machine.now)
    assert cost == pytest.approx(machine.seconds / 3600 * (0.36 + 0.5 * 7.2), rel=1e-5)


def running(spec: StudySpec, *rows: float) -> History:
    history = apply(opened(spec), TrialProposed(0.0, 0, {"x": 0.0}))
    history = apply(history, AttemptIntended(0.0, 0, 1, "n"))
    history = apply(history, AttemptStarted(10.0, 0, 1, 7, ("0", "1")))
    return apply(history, MetricsSeen(11.0, 0, tuple(Row(step, {"loss": 1.0}) for step in rows)))


def test_a_running_trial_counts_by_what_it_has_reported_and_how_long_it_has_run() -> None:
    history = running(study(), 1, 2, 3)
    assert rule_of(history.spec, epochs=4).end_study(history, 20.0) is None
    assert rule_of(history.spec, epochs=3).end_study(history, 20.0) == "budget spent: 3 of 3 steps"
    assert rule_of(history.spec, seconds=9.5).end_study(history, 20.0) == "budget spent: 10 of 9.5 seconds of trials"
    priced = rule_of(study(resources=Resources(gpus=1)), cost=0.01, gpu_price=7.2)
    history = running(study(resources=Resources(gpus=1)), 1)
    assert (
        priced.end_study(history, 14.0) is None and priced.end_study(history, 15.0) == "budget spent: 0.01 of 0.01 cost"
    )


def test_a_study_whose_trials_report_one_row_each_cannot_count_steps() -> None:
    history = opened(study(budget=Budget(9)))
    for trial in range(3):
        history = apply(history, TrialProposed(0.0, trial, {"x": 0.0}))
        history = apply(history, AttemptIntended(0.0, trial, 1, f"n{trial}"))
        history = apply(history, MetricsSeen(1.0, trial, (Row(1, {"loss": 1.0}),)))
        history = apply(history, TrialEnded(1.0, trial, "completed", 1.0, exit={"code": 0}))
    rule = rule_of(history.spec, epochs=30)
    assert "counts each trial as one step" in (rule.idle(history, 2.0) or "")
    assert rule_of(history.spec, seconds=30).idle(history, 2.0) is None


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("budget", "epochs, seconds or cost is missing"),
        ("budget cost=3", "cost goes with price or gpu_price"),
        ("budget epochs=3 price=2", "cost goes with price or gpu_price"),
        ("budget cost=3 gpu_price=2", "gpu_price counts the GPUs that trials are given"),
        ("budget epochs=0", "epochs: must be a number above 0, not 0"),
    ],
)
def test_a_budget_that_limits_nothing_is_refused(text: str, problem: str) -> None:
    from hpo_engine.assembly import stopper
    from hpo_engine.studyfile.named import from_text

    chosen = from_text(text)
    with pytest.raises(SpecError, match=problem):
        stopper(study(stop=(Named(BUDGET, chosen.options),)))
