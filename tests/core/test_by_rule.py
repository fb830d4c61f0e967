"""A study that a rule has ended is finished, says so, and tells how it could go on."""

from __future__ import annotations

from pathlib import Path

import pytest

from hpo_engine.reports.objects import summary
from hpo_engine.stoppers import FirstOf
from hpo_engine.stoppers.budget import UsageStopper
from hpo_engine.stoppers.target import TargetStopper
from hpo_engine.study.history import History, StudyState
from hpo_engine.study.spec import Budget, Resources
from hpo_engine.testing.histories import SPACES, spec_of
from hpo_engine.trackers.next_steps import next_steps
from tests.support.loop_bench import Bench, states

SPEC = spec_of(SPACES["one float"])


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    return Bench(tmp_path)


def commands(history: History) -> list[str]:
    return [command for command, _ in next_steps(history, "s")]


def test_a_target_finishes_the_study(bench: Bench) -> None:
    bench.stopper = FirstOf([TargetStopper(SPEC, value=0.6)])
    history = bench.run(bench.open(budget=Budget(9), resources=Resources(1)))
    assert history.state is StudyState.FINISHED and history.by_rule and states(history) == ["completed"]
    assert history.reason == "target reached: trial 0 has loss 0.5 (at most 0.6)"
    assert summary(history, False, bench.now)["reason"] == history.reason
    assert "hpo-engine edit s --unset stop" in commands(history)
    again = bench.run(bench.engine())
    assert again.by_rule and states(again) == ["completed"], "nothing more is started"


def test_one_that_is_reached_by_the_last_trial_ends_nothing(bench: Bench) -> None:
    bench.stopper = FirstOf([TargetStopper(SPEC, value=0.6)])
    history = bench.run(bench.open(budget=Budget(1)))
    assert history.state is StudyState.FINISHED and not history.by_rule
    assert "hpo-engine edit s --unset stop" not in commands(history)


def test_a_budget_stops_what_runs_and_tells_why(bench: Bench) -> None:
    bench.behave = lambda launch: None if launch.trial_id == 1 else bench.good(launch)
    bench.stopper = FirstOf([UsageStopper(SPEC, epochs=2)])
    history = bench.run(bench.open(budget=Budget(9)))
    assert history.state is StudyState.FINISHED and history.by_rule
    assert states(history) == ["completed", "stopped"]
    assert {history.reason, history.trials[1].reason} == {"budget spent: 2 of 2 steps"}


def test_without_a_good_trial_it_has_failed(bench: Bench) -> None:
    bench.behave = lambda launch: None
    bench.stopper = FirstOf([UsageStopper(SPEC, seconds=2)])
    history = bench.run(bench.open(budget=Budget(9), resources=Resources(1)))
    assert history.state is StudyState.FAILED and history.reason.startswith("budget spent: ")
