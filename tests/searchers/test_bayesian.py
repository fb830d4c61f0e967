"""The Bayesian searcher: what must not matter does not, it learns, and it survives losses and spaces of every kind."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import pytest

from hpo_engine.searchers.bayesian import Bayesian
from hpo_engine.searchers.observations import Observations
from hpo_engine.space.searchspace import Choice, Float, Int, SearchSpace
from hpo_engine.testing.histories import SPACES, spec_of

PLANE = SearchSpace((Float("x", 0, 1), Float("y", 0, 1)))


def observed(space: SearchSpace, losses: np.ndarray, failed: int = 0, pending: int = 0, seed: int = 3) -> Observations:
    rng = np.random.default_rng(seed)
    points = space.tidy(rng.random((len(losses) + failed + pending, len(space.dimensions))))
    n = len(losses)
    return Observations(points[:n], losses, points[n : n + failed], points[n + failed :])


def searched(
    space: SearchSpace, loss: Callable[[Mapping[str, Any]], float], trials: int, seed: int = 1, **options: Any
) -> list[float]:
    searcher = Bayesian(spec_of(space, seed=seed), **options)
    d = len(space.dimensions)
    points, losses = np.empty((0, d)), np.empty(0)
    for i in range(trials):
        params = searcher.suggest(Observations(points, losses, points[:0], points[:0]), i, 1)[0]
        points, losses = np.vstack([points, space.encode(params)]), np.append(losses, loss(params))
    return losses.tolist()


@pytest.mark.by_default("conditional")
@pytest.mark.parametrize("space", ["mixed", "conditional", "one float"])
def test_units_of_the_loss_do_not_matter(space: str) -> None:
    losses = np.random.default_rng(0).integers(-50, 50, size=14) / 4
    answers = []
    for changed in (losses, losses * 1024, losses / 2**80, losses + 1024, losses * 2.0**900):
        seen = observed(SPACES[space], changed, failed=3, pending=2)
        answers.append(Bayesian(spec_of(SPACES[space])).suggest(seen, 19, 2))
    assert all(answer == answers[0] for answer in answers[1:])


def test_a_log_axis_is_searched_as_a_linear_one_of_the_logarithm() -> None:
    logged = SearchSpace((Float("x", 1e-4, 1.0, log=True), Float("y", 0, 1)))
    linear = SearchSpace((Float("x", -4.0, 0.0), Float("y", 0, 1)))
    answers = []
    for space in (logged, linear):
        losses = np.random.default_rng(0).normal(size=12)
        answers.append(Bayesian(spec_of(space)).suggest(observed(space, losses), 12, 1)[0])
    assert math.log10(answers[0]["x"]) == pytest.approx(answers[1]["x"]) and answers[0]["y"] == answers[1]["y"]


def test_order_of_unordered_choices_does_not_matter_to_what_is_chosen_from_all() -> None:
    choices, turned = ("a", "b", "c", "d"), ("c", "a", "d", "b")
    answers = []
    for names in (choices, turned):
        space = SearchSpace((Choice("c", names), Int("n", 1, 6)))
        listed = [("a", 1), ("b", 3), ("c", 6), ("d", 2), ("a", 4), ("b", 5), ("c", 2)]
        points = np.array([space.encode({"c": c, "n": n}) for c, n in listed])
        seen = Observations(points, np.array([3.0, 1.0, 4.0, 1.5, 5.0, 2.0, 6.0]), points[:0], points[:0])
        answers.append(Bayesian(spec_of(space), n_startup=5).suggest(seen, 7, 3))
    assert answers[0] == answers[1]


def test_a_smooth_bowl_is_found_to_four_digits_in_thirty_trials() -> None:
    losses = searched(PLANE, lambda p: (p["x"] - 0.3) ** 2 + 2 * (p["y"] - 0.8) ** 2, 30)
    assert min(losses) < 1e-6


@pytest.mark.by_default("0.1-1e+30", "0.6-1.7976931348623157e+308")
@pytest.mark.parametrize("enormous", [1e30, 1e100, 1e200, 1.7976931348623157e308])
@pytest.mark.parametrize("share", [0.1, 0.6])
def test_enormous_losses_blind_nobody(enormous: float, share: float) -> None:
    def loss(p: Mapping[str, Any]) -> float:
        return enormous * (0.5 + p["y"] / 2) if p["x"] > 1 - share else (p["x"] - 0.3) ** 2 + 2 * (p["y"] - 0.8) ** 2

    assert min(searched(PLANE, loss, 30)) < 1e-5


@pytest.mark.parametrize("enormous", [1e100, 1e200, 1.7976931348623157e308])
def test_an_enormous_loss_is_a_bad_one_and_no_more(enormous: float) -> None:
    seen = observed(PLANE, np.zeros(14))
    losses = ((seen.points - [0.3, 0.8]) ** 2).sum(axis=1)
    asked = []
    for worst in (losses.max() + 0.5, enormous):
        changed = np.where(losses == losses.max(), worst, losses)
        answer = Bayesian(spec_of(PLANE)).suggest(Observations(seen.points, changed, seen.failed, seen.pending), 14, 1)
        asked.append([answer[0]["x"], answer[0]["y"]])
    assert np.abs(np.array(asked) - [0.3, 0.8]).max() < 0.05


@pytest.mark.slow
def test_the_right_branch_and_choice_are_found() -> None:
    def loss(p: Mapping[str, Any]) -> float:
        best = abs(p["momentum"] - 0.9) if p["opt"] == "sgd" else 0.4
        return best + (math.log10(p["lr"]) + 1.5) ** 2 / 4

    assert min(searched(SPACES["conditional"], loss, 40)) < 0.05


def test_trials_stay_away_from_where_others_failed() -> None:
    space, searcher = PLANE, Bayesian(spec_of(PLANE))
    points, losses, failed = np.empty((0, 2)), np.empty(0), np.empty((0, 2))
    for i in range(40):
        params = searcher.suggest(Observations(points, losses, failed, points[:0]), i, 1)[0]
        point = space.encode(params)[None]
        if params["x"] > 0.5:  # where the losses would be lowest
            failed = np.concatenate([failed, point])
        else:
            points, losses = np.concatenate([points, point]), np.append(losses, -params["x"] + (params["y"] - 0.5) ** 2)
    assert len(failed) < 20 and losses.min() < -0.45


def test_workers_never_try_the_same_point_nor_crowd() -> None:
    seen = observed(PLANE, np.random.default_rng(0).normal(size=12), pending=4)
    asked = np.array([[p["x"], p["y"]] for p in Bayesian(spec_of(PLANE)).suggest(seen, 16, 12)])
    far = np.linalg.norm(asked[:, None] - asked[None], axis=2) + np.eye(12)
    assert far.min() > 1e-3 and np.median(far) > 0.1


def test_proposals_do_not_depend_on_when_they_are_asked_for() -> None:
    for name, space in SPACES.items():
        seen = observed(space, np.random.default_rng(0).normal(size=12), failed=2)
        together = Bayesian(spec_of(space)).suggest(seen, 14, 3)
        first = Bayesian(spec_of(space)).suggest(seen, 14, 1)
        more = np.array([space.encode(p) for p in first]).reshape(len(first), len(space.dimensions))
        later = Observations(seen.points, seen.losses, seen.failed, np.concatenate([seen.pending, more]))
        assert together == first + Bayesian(spec_of(space)).suggest(later, 15, 2), name


def test_a_finite_space_is_searched_in_full_then_it_is_over() -> None:
    space = SPACES["tiny"]
    searcher = Bayesian(spec_of(space))
    none = np.empty((0, 2))
    told = searcher.suggest(Observations(none, np.empty(0), none, none), 0, 20)
    assert len(told) == 6 == len({str(p) for p in told})
    done = Observations(np.array([space.encode(p) for p in told]), np.arange(6.0), none, none)
    assert searcher.suggest(done, 6, 1) == []


@pytest.mark.by_default(
    "one float-huge both ways", "mixed-huge constant", "conditional-subnormal", "mixed-zeros", "one outlier"
)
@pytest.mark.parametrize(
    "losses",
    [np.zeros(14), np.full(14, 1e308), np.array([1e308, -1e308] * 7), np.array([0.0] * 13 + [1e308]), np.array([5e-324, 0.0] * 7)],
    ids=["zeros", "huge constant", "huge both ways", "one outlier", "subnormal"],
)  # fmt: skip
@pytest.mark.parametrize("space", list(SPACES))
def test_losses_of_every_size_are_survived(space: str, losses: np.ndarray) -> None:
    proposals = Bayesian(spec_of(SPACES[space])).suggest(observed(SPACES[space], losses, failed=2, pending=2), 18, 1)
    assert all(SPACES[space].problem_with(p) is None for p in proposals)


def test_many_dimensions_and_many_trials_give_members() -> None:
    rng = np.random.default_rng(0)
    wide = SearchSpace(tuple(Float(f"x{i}", 0, 1) for i in range(300)))
    long = SearchSpace((Float("x", 0, 1), Choice("c", ("a", "b", "c")), Int("n", 1, 1000, log=True)))
    for space, n in ((wide, 30), (long, 3000)):
        assert (
            space.problem_with(Bayesian(spec_of(space)).suggest(observed(space, rng.normal(size=n)), n, 1)[0]) is None
        )


@pytest.mark.parametrize("options", [{"noiseless": True}, {"noiseless": False}, {"cube_size": 1}, {"cube_size": 2000}])
def test_options_give_members(options: dict[str, Any]) -> None:
    for space in SPACES.values():
        seen = observed(space, np.random.default_rng(0).normal(size=12))
        assert all(space.problem_with(p) is None for p in Bayesian(spec_of(space), **options).suggest(seen, 12, 1))


def test_n_startup_are_the_quasi_random_ones_that_all_searchers_share() -> None:
    from hpo_engine.searchers.sobol import Sobol
    from hpo_engine.testing.histories import opened

    spec = spec_of(PLANE)
    asked = Bayesian(spec, n_startup=7).ask(opened(spec), 7)
    assert [p.params for p in asked] == [p.params for p in Sobol(spec).ask(opened(spec), 7)]


def test_rules_hold_for_what_the_model_proposes() -> None:
    params = (Int("low", 0, 50), Int("high", 0, 50), Float("x", 0, 1))
    for space in (SearchSpace(params, require=("low <= high",)), SearchSpace(params[:2], require=("low <= high",))):
        drawn = [space.sample(np.random.default_rng(i)) for i in range(12)]
        points = np.array([space.encode(p) for p in drawn])
        losses = np.array([p["high"] - p["low"] + 0.1 * p["low"] for p in drawn])  # the best is at the edge
        asked = Bayesian(spec_of(space)).suggest(Observations(points, losses, points[:0], points[:0]), 12, 4)
        assert all(space.problem_with(p) is None and p["low"] <= p["high"] for p in asked)
