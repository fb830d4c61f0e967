"""CMA-ES: that it converges on what it is made for, and that the history alone decides, in the order of the ends."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from hpo_engine.space.params import key
from hpo_engine.space.searchspace import Choice, Float, Int, SearchSpace
from hpo_engine.study.spec import Resources, StudySpec
from hpo_engine.study.trial import Trial
from hpo_engine.testing.histories import SPACES, as_text, opened, proposed, simulated, spec_of

pytest.importorskip("cmaes")
from hpo_engine.searchers.cmaes import CmaEs  # noqa: E402

CUBE = SearchSpace(tuple(Float(f"x{i}", 0, 1) for i in range(5)))
MIXED = SearchSpace((Float("x", 0, 1), Float("y", 0, 1), Int("n", 0, 20), Choice("c", ("a", "b", "d", "e"))))


def _losses(spec: StudySpec, loss: Any, n: int, seed: int = 0, batch: int = 1, **options: Any) -> list[float]:
    spec = replace(spec, seed=seed)
    history = simulated(
        opened(spec), CmaEs(spec, **options), n, np.random.default_rng(0), batch=batch, fates=("completed",), loss=loss
    )
    return [t.loss for t in history.trials if t.loss is not None]


def _ellipsoid(trial: Trial, _: Any = None) -> float:
    return sum(3**i * (u - 0.7) ** 2 for i, u in enumerate(trial.params.values()))


def _mixed(trial: Trial, _: Any = None) -> float:
    p = trial.params
    return (p["x"] - 0.2) ** 2 + (p["y"] - p["x"]) ** 2 + ((p["n"] - 17) / 20) ** 2 + (p["c"] != "d")


@pytest.mark.slow
def test_it_converges_on_an_ellipsoid() -> None:
    for seed in range(3):
        assert min(_losses(spec_of(CUBE), _ellipsoid, 400, seed)) < 1e-3


def test_it_converges_with_whole_numbers_and_categories() -> None:
    assert max(min(_losses(spec_of(MIXED), _mixed, 250, seed)) for seed in range(3)) < 1e-2


def test_a_best_point_in_a_corner_is_reached() -> None:
    assert min(_losses(spec_of(CUBE), lambda t, _: sum(t.params.values()), 200)) < 0.05


def test_monotone_changes_of_the_objective_change_nothing() -> None:
    spec = spec_of(MIXED)
    plain = simulated(opened(spec), CmaEs(spec), 60, np.random.default_rng(0), fates=("completed",), loss=_mixed)
    bent = simulated(
        opened(spec),
        CmaEs(spec),
        60,
        np.random.default_rng(0),
        fates=("completed",),
        loss=lambda t, r: 5 + math.exp(9 * _mixed(t)),
    )
    assert [t.params for t in plain.trials] == [t.params for t in bent.trials]


def test_a_searcher_that_saw_the_study_grow_answers_as_a_new_one() -> None:
    for name in ("mixed", "conditional"):
        spec = spec_of(SPACES[name])
        rng, old, history = np.random.default_rng(1), CmaEs(spec, population=4), opened(spec)
        for _ in range(25):
            history = simulated(history, old, 3, rng)
            assert as_text(old.ask(history, 2)) == as_text(CmaEs(spec, population=4).ask(history, 2))


def test_a_trial_from_elsewhere_counts_in_the_start_and_is_no_sample_later() -> None:
    spec = spec_of(CUBE)
    searcher = CmaEs(spec, n_startup=3, population=4)
    good = dict.fromkeys(CUBE.names, 0.7)
    history = simulated(opened(spec), searcher, 9, np.random.default_rng(0), fates=("completed",), loss=_ellipsoid)
    run = searcher._replay(history)
    told_before = len(run.batch), run.generation
    changed = [replace(p, params=good) for p in searcher.ask(history, 1)]
    later = simulated(proposed(history, changed), searcher, 0, np.random.default_rng(0))
    from hpo_engine.testing.histories import with_fate

    run = searcher._replay(with_fate(later, 9, "completed", 0.0))
    assert (len(run.batch), run.generation) == told_before


def test_failed_trials_push_it_away() -> None:
    """Half of the space fails: after the start few trials go there."""
    spec = spec_of(SearchSpace((Float("x", 0, 1), Float("y", 0, 1))))
    searcher, history, rng = CmaEs(spec), opened(spec), np.random.default_rng(0)
    from hpo_engine.testing.histories import with_fate

    for i in range(120):
        history = proposed(history, searcher.ask(history, 1))
        x = history.trials[i].params["x"]
        history = with_fate(
            history, i, "failed" if x < 0.5 else "completed", (x - 0.45) ** 2 + float(rng.normal()) * 1e-9
        )
    assert sum(t.params["x"] < 0.5 for t in history.trials[-40:]) < 25


def test_only_failures_keep_it_looking_everywhere() -> None:
    spec = spec_of(CUBE)
    history = simulated(opened(spec), CmaEs(spec), 60, np.random.default_rng(0), fates=("failed",))
    last = np.array([list(t.params.values()) for t in history.trials[-30:]])
    assert (np.ptp(last, axis=0) > 0.7).all()


@pytest.mark.slow
def test_it_starts_again_where_nothing_improves() -> None:
    spec = spec_of(SearchSpace((Int("a", 0, 3), Choice("b", ("x", "y", "z")))))
    searcher = CmaEs(spec, population=4)
    history = simulated(
        opened(spec), searcher, 120, np.random.default_rng(0), fates=("completed",), loss=lambda *_: 1.0
    )
    slots = [t.proposal.note for t in history.trials if t.proposal.note]
    assert slots[-1]["run"] >= 1
    assert not [s for s in _slots(spec, searcher, restarts=False) if s["run"]]


def _slots(spec: StudySpec, _: CmaEs, **options: Any) -> list[Any]:
    history = simulated(
        opened(spec),
        CmaEs(spec, population=4, **options),
        120,
        np.random.default_rng(0),
        fates=("completed",),
        loss=lambda *_: 1.0,
    )
    return [t.proposal.note for t in history.trials if t.proposal.note]


def test_a_finite_space_is_not_tried_twice_before_it_is_tried_once() -> None:
    space = SearchSpace((Choice("a", tuple("abcdef")), Choice("b", tuple("abcdef"))))
    spec = spec_of(space)
    history = simulated(opened(spec), CmaEs(spec), 30, np.random.default_rng(0), fates=("completed",))
    assert len({key(t.params) for t in history.trials}) > 23


def test_the_population_is_no_smaller_than_the_workers() -> None:
    wide = CmaEs(spec_of(CUBE, resources=Resources(parallel=16)))
    assert wide._population == 16 and CmaEs(spec_of(CUBE))._population < 10


@pytest.mark.slow
def test_workers_cost_little() -> None:
    alone = np.mean([min(_losses(spec_of(CUBE), _ellipsoid, 300, seed)) for seed in range(3)])
    spec = spec_of(CUBE, resources=Resources(parallel=8))
    together = np.mean([min(_losses(spec, _ellipsoid, 300, seed, batch=8)) for seed in range(3)])
    assert together < 0.1 and alone < 0.1
