"""What trials that were ended early count as, held against a plain computation of the same, and its laws."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hpo_engine.maths.isotonic import isotonic
from hpo_engine.searchers.evidence import Evidence, agreement, expected
from hpo_engine.searchers.interface import Searcher
from hpo_engine.searchers.observations import Observer
from hpo_engine.study.events import AttemptIntended, AttemptStarted, MetricsSeen, TrialEnded
from hpo_engine.study.history import History
from hpo_engine.study.objective import Objective, Row
from hpo_engine.study.reached import reached
from hpo_engine.study.spec import Resource, StudySpec
from hpo_engine.study.trial import Proposal
from hpo_engine.testing.histories import FATES, SPACES, applied, as_text, opened, proposed, simulated, spec_of
from tests.support.examples import some

_few = st.integers(-3, 3).map(float)


def _nondecreasing(y: Sequence[float], weights: Sequence[float]) -> list[float]:
    """The same fit by its max-min formula: the largest over starts of the smallest over ends of the mean between."""

    def mean(a: int, b: int) -> float:
        return sum(y[i] * weights[i] for i in range(a, b + 1)) / sum(weights[a : b + 1])

    n = len(y)
    return [max(min(mean(a, b) for b in range(i, n)) for a in range(i + 1)) for i in range(n)]


@given(st.lists(st.tuples(_few, st.integers(1, 4).map(float)), min_size=1, max_size=9))
def test_isotonic_is_the_fit_of_the_formula(points: list[tuple[float, float]]) -> None:
    y, weights = zip(*points, strict=True)
    assert isotonic(np.array(y), np.array(weights)) == pytest.approx(_nondecreasing(y, weights), abs=1e-12)


def _expected(at: Sequence[float], last: Sequence[float], own: float) -> float:
    """`expected` for one value, by hand: mean ranks by value at the step, the formula, the next worse value."""
    ranked = sorted(last)
    rank = {loss: np.mean([i for i, other in enumerate(ranked) if other == loss]) for loss in ranked}
    values = sorted(set(at))
    groups = [[rank[loss] for a, loss in zip(at, last, strict=True) if a == value] for value in values]
    fitted = _nondecreasing([float(np.mean(g)) for g in groups], [float(len(g)) for g in groups])
    place = next((i for i, value in enumerate(values) if value >= own), len(values) - 1)
    return ranked[math.ceil(round(fitted[place], 9))]


@given(st.lists(st.tuples(_few, _few), min_size=1, max_size=9), _few, st.randoms())
def test_the_expected_loss_is_the_one_computed_by_hand(others: list[tuple[float, float]], own: float, rng) -> None:  # type: ignore[no-untyped-def]
    at, last = zip(*others, strict=True)
    found = float(expected(np.array(at), np.array(last), np.array([own]))[0])
    assert found == _expected(at, last, own)
    rng.shuffle(others)  # whatever the order in which they came
    at, last = zip(*others, strict=True)
    assert float(expected(np.array(at), np.array(last), np.array([own]))[0]) == found


@given(st.lists(st.tuples(_few, _few), min_size=1, max_size=9))
def test_a_worse_value_never_counts_as_a_better_loss(others: list[tuple[float, float]]) -> None:
    at, last = np.array(others).T
    found = expected(at, last, np.linspace(-4, 4, 17))
    assert (np.diff(found) >= 0).all() and np.isin(found, last).all()


def test_where_early_values_order_the_trials_it_is_the_rank_and_where_they_mislead_the_middle() -> None:
    at, last = np.array([1.0, 2.0, 3.0, 4.0, 5.0]), np.array([10.0, 20.0, 30.0, 40.0, 50.0])
    assert expected(at, last, np.array([0.5, 1.0, 2.5, 9.0])).tolist() == [10.0, 10.0, 30.0, 50.0]
    assert expected(at, last[::-1], np.array([0.5, 9.0])).tolist() == [30.0, 30.0]


def test_early_values_that_mislead_lose_their_say() -> None:
    at = np.arange(20.0)
    assert agreement(at, at) == 1.0 and agreement(at, -at) == 0.0
    assert agreement(at[:1], at[:1]) == 1.0 and agreement(at, np.zeros(20)) == 1.0  # nothing is known against them
    nothing = [agreement(at, np.random.default_rng(seed).permutation(20)) for seed in range(100)]
    assert float(np.mean(nothing)) < 0.4


# -- histories with curves -------------------------------------------------------------------------------------------


def _curve(history: History, trial_id: int, values: Sequence[float], end: str = "completed") -> History:
    at = history.last_at + 1
    rows = tuple(Row(step, {"loss": value}) for step, value in enumerate(values, 1))
    history = applied(
        history,
        AttemptIntended(at, trial_id, 1, f"n{trial_id}"),
        AttemptStarted(at, trial_id, 1, pid=1),
        MetricsSeen(at, trial_id, rows),
    )
    loss = min(values) if end == "completed" else None
    return applied(history, TrialEnded(at, trial_id, end, loss, "", {"code": 0 if loss is not None else 1}))


def _study(count: int, **changes: object) -> History:
    return proposed(opened(spec_of(SPACES["one float"], **changes)), [Proposal({"x": i / 10}) for i in range(count)])


def test_trials_are_compared_at_the_step_that_they_reached() -> None:
    history = _study(5)
    history = _curve(history, 0, [9.0, 5.0, 1.0])
    history = _curve(history, 1, [8.0, 6.0, 3.0])
    history = _curve(history, 2, [8.5, 7.5], "pruned")  # at step 2 worse than both
    history = _curve(history, 3, [7.0], "pruned")  # at step 1 better than all: no better than the best of those
    history = _curve(history, 4, [8.2], "stopped")  # between 1 and 2, which came to 3 and at least 3
    found = Evidence(history.spec.objectives).read(history.trials)
    # The order at step 1 (trials 1, 2, 0) is not that of the ends (0, then 1 and 2), so it says nothing: the middle.
    assert {i: p.losses for i, p in found.items()} == {2: (3.0,), 3: (3.0,), 4: (3.0,)}
    assert found[3].behind < found[4].behind < found[2].behind


def test_those_that_came_farther_count_among_the_others() -> None:
    """Compared with the survivors only, a trial would look like the worst of the good ones."""
    history = _study(7)
    for i, (first, last) in enumerate([(1.0, 0.1), (2.0, 0.2), (6.0, 0.3)]):
        history = _curve(history, i, [first, first, last])
    for i in (3, 4, 5):
        history = _curve(history, i, [3.0, 9.0], "pruned")
    history = _curve(history, 6, [2.5], "pruned")
    found = Evidence(history.spec.objectives).read(history.trials)
    assert found[3].losses == (0.3,) and found[6].losses == (0.3,)


def test_only_trials_with_as_much_of_the_resource_are_compared() -> None:
    history = opened(spec_of(SPACES["one float"], resource=Resource("epochs", 9)))
    history = proposed(history, [Proposal({"x": x}, r) for x, r in ((0.0, 3), (0.1, 9), (0.2, 9), (0.3, 3))])
    history = _curve(_curve(history, 0, [1.0, 1.0]), 1, [5.0, 4.0])
    history = _curve(_curve(history, 2, [6.0], "pruned"), 3, [6.0], "pruned")
    found = Evidence(history.spec.objectives).read(history.trials)
    assert {i: p.losses for i, p in found.items()} == {2: (4.0,), 3: (1.0,)}


def test_with_several_objectives_fronts_at_the_step_order_the_trials() -> None:
    aims = (Objective("a", over="last"), Objective("b", over="last"))
    history = proposed(
        opened(spec_of(SPACES["one float"], objectives=aims)), [Proposal({"x": i / 10}) for i in range(4)]
    )
    ends = [((1.0, 4.0), "completed"), ((4.0, 1.0), "completed"), ((9.0, 9.0), "completed"), ((5.0, 5.0), "pruned")]
    for i, ((a, b), end) in enumerate(ends):
        rows = (Row(1, {"a": a, "b": b}), *([Row(2, {"a": a / 2, "b": b / 2})] if end == "completed" else []))
        values = (a / 2, b / 2) if end == "completed" else None
        history = applied(
            history,
            AttemptIntended(1, i, 1, f"n{i}"),
            AttemptStarted(1, i, 1, pid=1),
            MetricsSeen(1, i, rows),
            TrialEnded(1, i, end, values and values[0], "", {"code": 0}, None, values),
        )
    seen = Observer(history.spec.space).read(history)
    assert seen.partial_vectors.tolist() == [[4.5, 4.5]]
    assert seen.partial_losses.tolist() == [seen.losses.max()] and seen.losses.max() >= 1  # not in the first front
    assert history.front_ids == (0, 1)


def test_of_many_steps_some_are_compared_at_and_none_is_ahead_of_a_trial() -> None:
    history = _study(42)
    history = _curve(_curve(history, 0, [1.0 / s for s in range(1, 60)]), 1, [5.0 / s for s in range(1, 60)])
    for i in range(2, 42):
        history = _curve(history, i, [(0.5 if i % 2 else 9.0) / s for s in range(1, i + 1)], "pruned")
    found = Evidence(history.spec.objectives).read(history.trials)
    assert sorted(found) == list(range(2, 42))
    best, worst = 1 / 59, 5 / 59
    assert {i: p.losses[0] for i, p in found.items()} == {i: best if i % 2 else worst for i in range(2, 42)}


def test_nothing_finite_is_no_evidence_and_provisional_rows_are_none() -> None:
    history = _study(2, objectives=(Objective("loss", over="last"),))
    history = _curve(_curve(history, 0, [1.0]), 1, [1.0, math.nan], "pruned")
    assert reached(history.trials[1], history.spec.objectives) is None
    assert not Evidence(history.spec.objectives).read(history.trials)


@settings(max_examples=some(20))
@given(st.integers(0, 10_000))
def test_what_is_kept_between_calls_changes_nothing(seed: int) -> None:
    from hpo_engine.searchers.random import Random

    spec = spec_of(SPACES["one float"])
    kept, history = Evidence(spec.objectives), opened(spec)
    rng = np.random.default_rng(seed)
    for _ in range(4):
        history = simulated(history, Random(spec), 5, rng, fates=("pruned", "stopped", "completed", "running"))
        assert kept.read(history.trials) == Evidence(spec.objectives).read(history.trials)


# -- searchers -------------------------------------------------------------------------------------------------------


def _make(name: str, spec: StudySpec) -> Searcher:
    from hpo_engine.searchers.bayesian import Bayesian
    from hpo_engine.searchers.bohb import Bohb
    from hpo_engine.searchers.cmaes import CmaEs
    from hpo_engine.searchers.evolution import Evolution
    from hpo_engine.searchers.optuna import Optuna
    from hpo_engine.searchers.tpe import Tpe

    if name == "cmaes":
        return CmaEs(spec, n_startup=5, population=5)
    if name == "evolution":
        return Evolution(spec, n_startup=5)
    return {"tpe": Tpe, "bayesian": Bayesian, "optuna": Optuna, "bohb": Bohb}[name](spec)


_LONG = [pytest.param(name, marks=pytest.mark.slow) for name in ("bayesian", "optuna")]


@pytest.mark.parametrize("name", ["tpe", "cmaes", "evolution", "bohb", *_LONG])
def test_a_searcher_with_pruned_trials_answers_alike_whenever_it_is_made(name: str) -> None:
    """One that has followed the study and one that is made now; with every fate, pruned ones above all."""
    if name in ("cmaes", "optuna"):
        pytest.importorskip(name)
    spec = spec_of(SPACES["mixed"], resource=Resource("epochs", 9))
    searcher, history = _make(name, spec), opened(spec)
    rng = np.random.default_rng(5)
    for _ in range(3):
        history = simulated(history, searcher, 7, rng, fates=("pruned", "pruned", "completed", *FATES))
        assert as_text(searcher.ask(history, 2)) == as_text(_make(name, spec).ask(history, 2))


@pytest.mark.parametrize("name", ["tpe", "bayesian", "cmaes", "evolution"])
def test_a_searcher_goes_where_pruned_trials_were_better_at_equal_step(name: str) -> None:
    """Three of four trials are pruned at step 1. Searchers that kept away from all of these would leave the good end."""
    if name == "cmaes":
        pytest.importorskip(name)
    history, rng = opened(spec_of(SPACES["one float"], seed=3)), np.random.default_rng(0)
    searcher = _make(name, history.spec)
    for _ in range(32):
        history = proposed(history, searcher.ask(history, 1))
        trial = history.trials[-1]
        x = float(trial.params["x"])
        finishes = trial.id % 4 == 0
        values = [x + 10, x] if finishes else [x + 10 + 0.01 * rng.random()]
        history = _curve(history, trial.id, values, "completed" if finishes else "pruned")
    late = [float(t.params["x"]) for t in history.trials[-10:]]
    assert float(np.median(late)) < -3.0
