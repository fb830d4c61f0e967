"""Earlier studies: what is kept of them, which of their trials come early, and when they are no longer believed."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from hpo_engine.core.queue import TrialQueue
from hpo_engine.searchers.grid import Grid
from hpo_engine.searchers.observations import Observer
from hpo_engine.searchers.prior import MOST_POINTS, MOST_STARTS, arrays, reduced, starts
from hpo_engine.searchers.random import Random
from hpo_engine.searchers.relevance import relevance
from hpo_engine.space.searchspace import Choice, Constant, Float, Int, SearchSpace
from hpo_engine.study.history import History
from hpo_engine.study.spec import PriorTrial, StudySpec
from hpo_engine.study.trial import Trial
from hpo_engine.testing.histories import FATES, SPACES, as_text, opened, simulated, spec_of

PLANE = SearchSpace((Float("x", 0, 1), Float("y", 0, 1)))


def bowl(params: Mapping[str, Any]) -> float:
    return float((params["x"] - 0.2) ** 2 + (params["y"] - 0.7) ** 2)


def run(space: SearchSpace, loss: Callable[[Mapping[str, Any]], float], n: int = 40, **changes: Any) -> History:
    spec = spec_of(space, **changes)
    return simulated(
        opened(spec), Random(spec), n, np.random.default_rng(0), fates=("completed",), loss=lambda t, _: loss(t.params)
    )


def kept(history: History, space: SearchSpace, study: int = 0) -> tuple[PriorTrial, ...]:
    done = [t for t in history.trials if t.loss is not None]
    out = reduced(study, space, done, [t.loss for t in done if t.loss is not None])
    assert all(vars(trial) == json.loads(json.dumps(vars(trial))) for trial in out), "plain JSON"
    return out


def warm(space: SearchSpace, *histories: History, **changes: Any) -> StudySpec:
    return spec_of(space, prior=tuple(t for i, h in enumerate(histories) for t in kept(h, space, i)), **changes)


# -- what is kept ------------------------------------------------------------------------------------------------------


def test_ranks_go_from_best_to_worst_and_ties_share() -> None:
    history = run(PLANE, lambda p: round(p["x"]))
    points = kept(history, PLANE)
    good = sum(t.params["x"] < 0.5 for t in history.trials)
    ranks = sorted({trial.rank for trial in points})
    assert ranks == pytest.approx([(good - 1) / 2 / 39, (good + 39) / 2 / 39], abs=1e-6)
    points = kept(run(PLANE, bowl), PLANE)
    assert [trial.rank for trial in points] == pytest.approx(list(np.linspace(0, 1, 40)), abs=1e-6)
    assert [bowl(t.params) for t in points] == sorted(bowl(t.params) for t in points)


def test_only_what_fits_the_new_space_is_kept() -> None:
    old = SearchSpace(
        (
            Float("lr", 1e-5, 1, log=True),
            Float("width", 10, 90),
            Choice("opt", ("adam", "sgd", "lion")),
            Float("momentum", 0, 1, when={"opt": "sgd"}),
            Int("gone", 1, 3),
            Constant("batch", 64),
        )
    )
    new = SearchSpace(
        (
            Float("lr", 1e-3, 0.1, log=True),
            Int("width", 20, 60, step=10),
            Choice("opt", ("sgd", "adam")),
            Float("momentum", 0.25, 1, when={"opt": "sgd"}),
            Choice("batch", (32, 64)),
            Float("fresh", 0, 1),
        )
    )
    history = run(old, lambda p: p["lr"])
    points = {json.dumps(trial.params): trial.params for trial in kept(history, new)}
    assert len(points) > 20
    for params in points.values():
        assert set(params) <= {"lr", "width", "opt", "momentum", "batch"} and params["batch"] == 64
        whole = {"lr": 0.01, "width": 20, "opt": "sgd", "fresh": 0.5, **params}
        if whole["opt"] == "sgd":
            whole.setdefault("momentum", 0.5)
        assert new.problem_with(whole) is None
    seen = [set(params) for params in points.values()]
    assert any("lr" not in names for names in seen) and any("opt" not in names for names in seen)
    assert not any("momentum" in names and "opt" not in names for names in seen)


def test_long_studies_are_thinned_with_the_best_all_there() -> None:
    history = run(PLANE, bowl, n=900)
    ranks = [trial.rank for trial in kept(history, PLANE)]
    assert len(ranks) == MOST_POINTS and ranks == sorted(ranks)
    assert ranks[:100] == pytest.approx(list(np.arange(100) / 899), abs=1e-6) and ranks[-1] == 1.0


def test_trials_with_less_of_a_resource_are_left_out() -> None:
    trials = [replace(t, proposal=replace(t.proposal, resource=9 if t.id % 4 else 3)) for t in run(PLANE, bowl).trials]
    found = reduced(0, PLANE, trials, [t.loss or 0.0 for t in trials])
    assert len(found) == 30


def test_nothing_in_common_and_nothing_done_give_nothing() -> None:
    other = SearchSpace((Float("z", 0, 1),))
    assert kept(run(PLANE, bowl), other) == ()
    none: list[Trial] = []
    assert reduced(0, PLANE, none, []) == ()


# -- which come early --------------------------------------------------------------------------------------------------


def test_starts_are_good_and_differ() -> None:
    def two_valleys(p: Mapping[str, Any]) -> float:
        return min(bowl(p), float((p["x"] - 0.8) ** 2 + (p["y"] - 0.2) ** 2) + 0.001)

    history = run(PLANE, two_valleys, n=200)
    chosen = [params for _, params in starts(warm(PLANE, history))]
    assert 3 <= len(chosen) <= MOST_STARTS and chosen[0] == history.best.params  # type: ignore[union-attr]
    assert {params["x"] < 0.5 for params in chosen[:2]} == {True, False}, "one of each valley"
    assert all(two_valleys(params) < 0.03 for params in chosen)


def test_starts_of_several_studies_take_turns() -> None:
    spec = warm(PLANE, run(PLANE, bowl), run(PLANE, lambda p: -bowl(p)))
    assert [k for k, _ in starts(spec)][:4] == [0, 1, 0, 1]
    assert starts(spec_of(PLANE)) == []


@pytest.mark.parametrize("batch", [1, 2, 5])
def test_starts_take_turns_with_the_searchers_own(batch: int) -> None:
    spec = warm(PLANE, run(PLANE, bowl), points=({"x": 0.5},))
    queue = TrialQueue(spec, Random(spec))
    loss = lambda t, _: bowl(t.params)  # noqa: E731
    history = simulated(opened(spec), queue, 12, np.random.default_rng(1), fates=("completed",), loss=loss, batch=batch)
    queued = [t.proposal.queued for t in history.trials]
    kinds = ["own" if entry is None else "point" if entry.study is None else "prior" for entry in queued]
    n = len(starts(spec))
    assert kinds[0] == "point" and kinds[1 : 2 * n : 2] == ["prior"] * n and kinds[2 : 2 * n : 2] == ["own"] * (n - 1)
    assert "prior" not in kinds[2 * n :] and history.trials[1].params == starts(spec)[0][1]


def test_study_that_misleads_is_no_longer_followed() -> None:
    spec = warm(PLANE, run(PLANE, lambda p: -bowl(p)))
    queue = TrialQueue(spec, Random(spec))
    history = simulated(
        opened(spec), queue, 20, np.random.default_rng(1), fates=("completed",), loss=lambda t, _: bowl(t.params)
    )
    assert 1 <= sum(t.proposal.queued is not None for t in history.trials) < len(starts(spec))


def test_partial_starts_are_filled_in_and_rules_hold() -> None:
    wide = SearchSpace((*PLANE.params, Choice("c", ("a", "b")), Int("n", 1, 3, when={"c": "b"})), ("x + y < 1.2",))
    spec = warm(wide, run(PLANE, bowl))
    queue = TrialQueue(spec, Random(spec))
    history = simulated(opened(spec), queue, 10, np.random.default_rng(1), fates=FATES)
    assert all(wide.problem_with(t.params) is None for t in history.trials)
    assert (history.trials[0].params["x"], history.trials[0].params["y"]) == tuple(starts(spec)[0][1].values())


def test_grids_go_their_own_way() -> None:
    space = SPACES["tiny"]
    spec = warm(space, run(space, lambda p: p["b"]))
    assert as_text(TrialQueue(spec, Grid(spec)).ask(opened(spec), 6)) == as_text(Grid(spec).ask(opened(spec), 6))


# -- what models are told ------------------------------------------------------------------------------------------------


def test_evidence_has_the_earlier_points_with_gaps() -> None:
    wide = SearchSpace((*PLANE.params, Float("z", 0, 1)))
    old, partial = run(PLANE, bowl), run(SearchSpace(PLANE.params[:1]), lambda p: p["x"], n=10)
    spec = warm(wide, old, partial)
    seen = Observer(wide).read(opened(spec))
    assert seen.prior_points.shape == (50, 3) and seen.prior_studies.tolist() == [0] * 40 + [1] * 10
    assert np.isnan(seen.prior_points[:, 2]).all() and np.isnan(seen.prior_points[40:, 1]).all()
    assert seen.prior_losses.min() == 0 and seen.prior_losses.max() == 1
    assert all(
        np.array_equal(a, b, equal_nan=True)
        for a, b in zip(arrays(spec), (seen.prior_points, seen.prior_losses, seen.prior_studies), strict=True)
    )
    assert Observer(wide).read(opened(spec_of(wide))).prior_points.shape == (0, 3)


def believed(old: Callable[[Mapping[str, Any]], float], new: Callable[[Mapping[str, Any]], float], n: int) -> float:
    spec = warm(PLANE, run(PLANE, old, n=100), seed=3)
    history = (
        simulated(
            opened(spec),
            Random(spec),
            n,
            np.random.default_rng(0),
            fates=("completed",),
            loss=lambda t, _: new(t.params),
        )
        if n
        else opened(spec)
    )
    (weight,) = relevance(Observer(PLANE).read(history))
    assert 0 <= weight <= 1
    return float(weight)


def test_relevance_follows_the_agreement() -> None:
    def shifted(p: Mapping[str, Any]) -> float:
        return 1e6 * ((p["x"] - 0.3) ** 2 + (p["y"] - 0.65) ** 2) - 5e9

    rng = np.random.default_rng(5)
    assert believed(bowl, bowl, 0) == 0.5
    assert believed(bowl, bowl, 30) > 0.8 > 0.6 < believed(bowl, shifted, 30)
    assert believed(bowl, lambda p: -bowl(p), 10) == 0.0 == believed(bowl, lambda p: -bowl(p), 30)
    assert believed(bowl, lambda p: float(rng.random()), 30) < 0.35
    assert believed(bowl, lambda p: 1.0, 30) == 0.5, "equal losses say nothing"
    assert abs(believed(bowl, bowl, 2) - 0.5) < 0.25, "few trials change little"


def test_relevance_of_no_study_is_empty() -> None:
    assert relevance(Observer(PLANE).read(opened(spec_of(PLANE)))).shape == (0,)
