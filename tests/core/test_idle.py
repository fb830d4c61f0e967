"""A rule that has nothing to work on says so, once."""

from __future__ import annotations

import logging
from pathlib import Path

import pytest

from hpo_engine.errors import StopperError
from hpo_engine.stoppers import BudgetStopper, FirstOf, RankStopper, Rule
from hpo_engine.study.history import History
from hpo_engine.study.spec import Budget, Resources
from hpo_engine.study.trial import Exit
from hpo_engine.testing.histories import SPACES, spec_of
from tests.support.loop_bench import Bench


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    return Bench(tmp_path)


def said(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [r.getMessage() for r in caplog.records if r.levelno == logging.WARNING]


def test_the_rank_rule_says_once_that_no_trial_reports_while_it_runs(
    bench: Bench, caplog: pytest.LogCaptureFixture
) -> None:
    bench.stopper = FirstOf([BudgetStopper(), RankStopper(spec_of(SPACES["one float"]))])
    history = bench.run(bench.open(budget=Budget(9)))
    assert not any(trial.live for trial in history.trials)
    (line,) = said(caplog)
    assert line.startswith('stop: rank has nothing to compare: 4 trials ended before any row with "loss" was read.')
    assert "docs/early-stopping.md" in line


def test_the_rank_rule_is_not_idle_when_rows_come_while_a_trial_runs(
    bench: Bench, caplog: pytest.LogCaptureFixture
) -> None:
    def first_alive(launch: object) -> Exit | None:
        return None if not started else bench.good(launch)  # type: ignore[arg-type]

    started: list[int] = []
    bench.stopper, bench.behave = FirstOf([RankStopper(spec_of(SPACES["one float"]))]), first_alive
    engine = bench.open(budget=Budget(9))
    engine.step(bench.now)
    started.append(1)
    for running in list(bench.executor.running):
        bench.write(bench.executor.running[running], [{"step": 1, "loss": 1.0}])
    bench.now += 1
    engine.step(bench.now)
    assert [t.live for t in engine.history.trials] == [True, True]
    for running in list(bench.executor.running):
        bench.executor.finish(running, Exit(code=0))
    history = bench.run(engine)
    assert [t.live for t in history.trials[:3]] == [True, True, False] and said(caplog) == []


def test_a_reason_that_counts_is_said_once_and_again_after_a_resume(
    bench: Bench, caplog: pytest.LogCaptureFixture
) -> None:
    class Counts(Rule):
        def idle(self, history: History, now: float) -> str | None:
            return f"nothing in\n{history.ended_count} trials" if history.ended_count else None

    class Other(Rule):
        def idle(self, history: History, now: float) -> str | None:
            return "no resource"

    bench.stopper = FirstOf([Counts(), Other()])
    bench.run(bench.open(budget=Budget(6), resources=Resources(1)))
    assert said(caplog) == ["no resource", "nothing in 1 trials"]
    bench.run(bench.engine())
    assert len(said(caplog)) == 4


def test_a_rule_without_the_method_works_as_before(bench: Bench) -> None:
    class Bare:
        def __getattr__(self, name: str) -> object:
            if name in ("diverged", "end_trial", "end_study", "halt"):
                return lambda *args: None
            raise AttributeError(name)

    bench.stopper = FirstOf([Bare()])  # type: ignore[list-item]
    assert len(bench.run(bench.open()).trials) == 3


def test_one_that_raises_closes_the_study(bench: Bench) -> None:
    class Bad(Rule):
        def idle(self, history: History, now: float) -> str | None:
            raise ValueError("no")

    bench.stopper = FirstOf([Bad()])
    with pytest.raises(StopperError, match="the stopper Bad failed: ValueError"):
        bench.run(bench.open())
