"""A log that is played again under a rule comes to what a study with that rule comes to."""

from __future__ import annotations

import random
from pathlib import Path

import pytest
from hypothesis import Phase, given, settings

from hpo_engine.reports.replay import replay
from hpo_engine.stoppers import FirstOf, RankStopper, Rule
from hpo_engine.study.events import Event, TrialEnded, fold
from hpo_engine.study.history import History
from hpo_engine.study.objective import last_step
from hpo_engine.study.spec import Budget, Resources
from hpo_engine.study.trial import Exit, StopCause, Trial, TrialState
from tests.support.examples import some
from tests.support.random_logs import logs
from tests.support.training import TICK_S, Curves, Training


def curves_of(seed: int, trials: int = 14) -> Curves:
    """Falling curves of various lengths, some of which cross."""
    draw = random.Random(seed)
    out = []
    for _ in range(trials):
        start, floor, rate = draw.uniform(1, 2), draw.random(), draw.uniform(0.1, 1)
        out.append([floor + start / (1 + rate * k) for k in range(draw.choice([5, 8, 8, 8]))])
    return out


def fate(trial: Trial, history: History) -> tuple[str, float | None, tuple[float, ...]]:
    return trial.state.value, last_step(trial.rows, history.spec.objectives), trial.losses


class EndsAt(Rule):
    """The study ends at the first loss below a bound."""

    def end_study(self, history: History, now: float) -> str | None:
        return "reached" if any(row.values["loss"] < 0.5 for t in history.trials for row in t.rows) else None


@pytest.mark.by_default("0-1", "1-3")
@pytest.mark.parametrize("parallel", [1, 3])
@pytest.mark.parametrize("seed", range(3))
def test_the_log_of_a_study_without_a_rule_tells_what_one_with_it_comes_to(
    tmp_path: Path, seed: int, parallel: int
) -> None:
    curves = curves_of(seed)
    (tmp_path / "free").mkdir()
    (tmp_path / "ruled").mkdir()
    free = Training(tmp_path / "free", curves).trained(parallel, Rule())
    for make in (lambda: RankStopper(fold(free).spec, min_rivals=2), EndsAt):
        found = replay(free, fold(free).spec, FirstOf([make()]))
        folder = tmp_path / "ruled" / make().__class__.__name__
        folder.mkdir()
        bench = Training(folder, curves)
        events = bench.trained(parallel, make())
        real = fold(events)
        ran = [t for t in found.history.trials if t.attempts]
        assert [fate(t, found.history) for t in ran] == [fate(t, real) for t in real.trials]
        assert found.history.best_id == real.best_id
        began = next(t for t in real.trials).proposed_at
        assert found.wall_s == max(e.at for e in events if isinstance(e, TrialEnded)) - began
        assert bool(found.ended) is (real.counts.get(TrialState.PRUNED, 0) > 0)


def test_without_rules_it_is_what_it_was(tmp_path: Path) -> None:
    events = Training(tmp_path, curves_of(5)).trained(2, Rule())
    study = fold(events)
    found = replay(events, study.spec, Rule())
    assert [fate(t, study) for t in found.history.trials] == [fate(t, study) for t in study.trials]
    assert found.train_s == sum(len(curve) for curve in curves_of(5)) * TICK_S
    assert not found.ended and not found.omitted and not found.over


def test_waiting_between_two_attempts_is_no_training(tmp_path: Path) -> None:
    """An interrupted study that is resumed a day later."""
    bench = Training(tmp_path, [[1.0] * 4])
    bench.stopper = FirstOf([Rule()])
    engine = bench.open(budget=Budget(1), resources=Resources(1))
    engine.step(bench.now)
    bench.now += 2
    engine.interrupt("stop", bench.now)
    while engine.step(bench.now):
        pass
    bench.now += 86_400
    engine = bench.lead()
    engine.step(bench.now)
    bench.now += 4
    bench.write(bench.executor.running[0], [{"step": 1, "loss": 1.0}])
    bench.executor.finish(0, Exit(code=0))
    while engine.step(bench.now):
        pass
    events = bench.store.read()
    found = replay(events, fold(events).spec, Rule())
    assert found.wall_s == found.train_s == 6.0
    assert found.history.trials[0].attempts[0].exit is not None
    assert found.history.trials[0].attempts[0].exit.stop_cause is StopCause.INTERRUPT


@given(logs())
@settings(max_examples=some(40), deadline=None, phases=[Phase.explicit, Phase.reuse, Phase.generate])
def test_any_log_can_be_played_again(events: list[Event]) -> None:
    """As it was, but for what stood still at its end, and the order of what ran at the same time."""
    study = fold(events)
    found = replay(events, study.spec, Rule())
    for trial in found.history.trials:
        real = study.trials[trial.id]
        if trial.attempts and trial.state.ended and len(trial.attempts) == len(real.attempts):
            assert trial.losses == real.losses
    if not any(trial.results for trial in study.trials):  # else something may depend on what ran in another order
        assert {t.id for t in study.trials if t.attempts} == {t.id for t in found.history.trials if t.attempts}
