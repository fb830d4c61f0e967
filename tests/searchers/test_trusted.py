"""A rung decides only as long as its order is that of full trainings."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hpo_engine.maths.concordance import concordance
from hpo_engine.searchers.auto import Auto
from hpo_engine.searchers.projected import projected
from hpo_engine.searchers.results import Known
from hpo_engine.searchers.trusted import TrustedHalving
from hpo_engine.space.searchspace import Float, SearchSpace
from hpo_engine.study.events import AttemptIntended, CheckpointsDeleted, MetricsSeen, TrialEnded, apply
from hpo_engine.study.history import History
from hpo_engine.study.objective import Row
from hpo_engine.study.spec import Budget, Resource
from hpo_engine.testing.histories import opened, proposed, spec_of

SPACE = SearchSpace((Float("x", 0, 1), Float("y", 0, 1)))
Loss = Callable[[float, int], float]


def told_early(x: float, step: int) -> float:
    """The order is the same at every step."""
    return x + 1 / step


def crossing(x: float, step: int) -> float:
    """What is best after 9 epochs is worst after 27."""
    return x if step >= 27 else 1 - x


class _Draws:
    """A model that draws at random."""

    def suggest(self, observed: Any, first_id: int, count: int) -> list[dict[str, Any]]:
        rngs = (np.random.default_rng(i) for i in range(first_id, first_id + count))
        return [{"x": float(r.random()), "y": float(r.random())} for r in rngs]

    def phase(self, observed: Any, number: int) -> str:
        return "drawn at random"


def simulated(
    searcher: Any, history: History, loss: Loss, runs: int, *, rows: bool, checkpoint: str | None = None
) -> History:
    """A study in which one run after the other ends. Without `rows`, a run has a single one, counted otherwise."""
    for _ in range(runs):
        got = searcher.ask(history, 1)
        if not got:
            return history
        history = proposed(history, got)
        trial = history.open[0]
        at, amount = history.last_at + 1, trial.proposal.resource or 0
        done = trial.trained
        history = apply(history, AttemptIntended(at, trial.id, len(trial.attempts) + 1, f"{trial.id}-{amount}"))
        steps = [s for s in (1, 3, 9, 27) if done < s <= amount] if rows else []
        losses = [Row(s, {"loss": loss(trial.params["x"], s)}) for s in steps]
        value = loss(trial.params["x"], amount)
        seen = losses or [Row(1, {"loss": value})]
        history = apply(history, MetricsSeen(at, trial.id, tuple(seen)))
        history = apply(history, TrialEnded(at, trial.id, "completed", value, "", {"code": 0}, checkpoint=checkpoint))
    return history


def study(resume: str = "never", **changes: Any) -> tuple[TrustedHalving, History]:
    resource = Resource("epochs", 27, resume=resume)
    spec = spec_of(SPACE, **{"resource": resource, "budget": Budget(trials=400), **changes})
    return TrustedHalving(spec, _Draws()), opened(spec)


def amounts(history: History, begin: int = 0) -> list[int]:
    return [r.resource or 0 for t in history.trials[begin:] for r in t.results]


@pytest.mark.parametrize("rows", [True, False])
@pytest.mark.parametrize("resume", ["never", "always"])
def test_short_runs_decide_while_their_order_is_the_last_one(rows: bool, resume: str) -> None:
    searcher, history = study(resume)
    history = simulated(searcher, history, told_early, 120, rows=rows)
    found = amounts(history)
    assert searcher.base(history) == 0
    assert found.count(3) > 2 * found.count(27)


@pytest.mark.parametrize("rows", [True, False])
def test_a_rung_that_misleads_loses_its_say(rows: bool) -> None:
    searcher, history = study()
    history = simulated(searcher, history, crossing, 60, rows=rows)
    assert searcher.base(history) == 2
    assert searcher.trust(history)[0] < 0.2
    # Eight configurations at most are tried on the lower rungs; all others get the most at once.
    assert amounts(history).count(27) >= 60 - 2 * 8
    assert set(amounts(history, 30)) == {27}


def told_by_a_third(x: float, step: int) -> float:
    """The order is that of the end after a third, and the opposite one before."""
    return x if step >= 9 else 2 - x


@pytest.mark.parametrize(
    ("resume", "checkpoint", "base"),
    [("never", "a.ckpt", 2), ("always", None, 1), ("auto", None, 2), ("auto", "a.ckpt", 1)],
)
def test_configurations_begin_with_a_third_only_where_promoted_ones_go_on(
    resume: str, checkpoint: str | None, base: int
) -> None:
    searcher, history = study(resume)
    history = simulated(searcher, history, told_by_a_third, 40, rows=True, checkpoint=checkpoint)
    if checkpoint:
        history = apply(history, CheckpointsDeleted(history.last_at + 1, 0, 1))
    assert searcher.trust(history)[1] == 1.0
    assert searcher.base(history) == base
    assert (9 in amounts(history, 10)) is (base == 1)


@pytest.mark.slow
def test_a_rung_that_misleads_later_loses_its_say_later() -> None:
    searcher, history = study()
    history = simulated(searcher, history, told_early, 60, rows=True)
    assert searcher.base(history) == 0
    history = simulated(searcher, history, crossing, 200, rows=True)
    assert searcher.base(history) > 0


def test_rows_in_other_units_are_not_taken_for_short_runs() -> None:
    searcher, history = study()
    history = simulated(searcher, history, told_early, 1, rows=False)
    assert [p.resource for p in searcher.ask(history, 1)] == [9]  # promoted, since its row at step 1 says nothing


def test_rows_of_full_trainings_stand_for_short_runs() -> None:
    searcher, history = study()
    history = simulated(searcher, history, told_early, 12, rows=True)
    # The first one goes up the rungs, and shows that rows are counted in epochs.
    assert amounts(history)[:4] == [3, 9, 27, 27]


def test_one_in_ten_is_trained_to_the_end_whatever_the_rungs_say() -> None:
    searcher, history = study()
    history = simulated(searcher, history, told_early, 150, rows=True)
    begun = [t for t in history.trials if t.proposal.repeats is None]
    free = [t for t in begun[8:] if (t.proposal.note or {})["bracket"] == 1]
    assert abs(len(free) - len(begun[8:]) / 10) <= 1
    done = {t.proposal.repeats for t in history.trials}
    assert all(t.trained == 27 or t.id in done for t in free[:-1])


@pytest.mark.parametrize("resume", ["never", "always"])
@pytest.mark.parametrize("trials", [1, 2, 9])
def test_the_first_eight_trials_get_the_most(resume: str, trials: int) -> None:
    searcher, history = study(resume, budget=Budget(trials=trials))
    history = simulated(searcher, history, told_early, 100, rows=False)
    assert history.begun == trials
    assert amounts(history).count(27) == min(trials, 8)


@pytest.mark.parametrize("runs", [1, 2, 3, 4])
def test_a_small_number_of_runs_ends_with_the_most(runs: int) -> None:
    searcher, history = study(budget=Budget(trials=None, runs=runs))
    history = simulated(searcher, history, told_early, 100, rows=False)
    assert history.runs == runs
    assert 27 in amounts(history)


def test_auto_with_a_resource_is_trusted_halving_of_its_own_proposals() -> None:
    spec = spec_of(SPACE, resource=Resource("epochs", 27))
    history = simulated(Auto(spec), opened(spec), told_early, 30, rows=True)
    again = Auto(spec).ask(history, 3)
    assert again == Auto(spec).ask(history, 3) == TrustedHalving(spec, Auto(spec)).ask(history, 3)
    assert Auto(replace(spec, resource=None)).traits.rations is False


def test_losses_of_short_runs_are_projected_by_those_that_went_on() -> None:
    full = {0: 0.1, 1: 0.3, 2: 0.5}
    early = {0: 1.0, 1: 2.0, 2: 3.0}
    found = projected(Known(full, ({3: 1.5, 4: 9.0},), ({**early, 3: 1.5, 4: 9.0},), (), ()))
    assert found == {**full, 3: 0.3, 4: 0.5}  # between two as the worse one; beyond the worst as that
    misled = projected(Known(full, ({3: 0.5},), ({0: 3.0, 1: 2.0, 2: 1.0, 3: 0.5},), (), ()))
    assert misled[3] == 0.3  # the early order is the opposite one: the mean rank


@given(st.lists(st.tuples(st.floats(-5, 5), st.floats(-5, 5)), min_size=2, max_size=12), st.randoms())
def test_concordance_is_what_the_sum_over_pairs_says(pairs: list[tuple[float, float]], random: Any) -> None:
    early, last = (np.array(column) for column in zip(*pairs, strict=True))
    cap = float(np.median(last))
    right = total = 0.0
    for a, x in pairs:
        for b, y in pairs:
            weight = abs(min(x, cap) - min(y, cap))
            total += weight
            right += weight * (0.5 if a == b else (a < b) == (x < y))
    expected = right / total if total > 0 else 0.5
    assert concordance(early, last) == pytest.approx(expected)
    order = list(range(len(pairs)))
    random.shuffle(order)
    assert concordance(early[order], last[order]) == pytest.approx(expected)


def test_concordance_of_the_same_and_the_opposite_order() -> None:
    losses = np.arange(9.0)
    assert concordance(losses, losses) == 1.0
    assert concordance(-losses, losses) == 0.0
    assert concordance(np.ones(9), losses) == 0.5
    assert concordance(losses, np.ones(9)) == concordance(np.empty(0), np.empty(0)) == 0.5
