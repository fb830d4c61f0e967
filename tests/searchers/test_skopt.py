"""scikit-optimize as the model of bayesian: WMLA's options, pending and failed trials, and that it learns."""

from __future__ import annotations

import sys
from typing import Any

import numpy as np
import pytest

from hpo_engine import assembly
from hpo_engine.errors import SpecError
from hpo_engine.searchers.bayesian import Bayesian
from hpo_engine.searchers.observations import Observations
from hpo_engine.space.searchspace import Choice, Float, Int, SearchSpace
from hpo_engine.study.spec import Named
from hpo_engine.testing.histories import SPACES, as_text, opened, simulated, spec_of

LINE = SearchSpace((Float("x", 0, 1),))


def test_without_the_package_the_study_is_refused_and_told_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "skopt", None)
    with pytest.raises(SpecError, match=r"pip install 'hpo-engine\[skopt\]'"):
        assembly.searcher(spec_of(LINE, algorithm=Named("bayesian", {"surrogate": "skopt"})))


class TestInstalled:
    @pytest.fixture(autouse=True)
    def _skopt(self) -> None:
        pytest.importorskip("skopt")

    @pytest.mark.slow
    def test_it_finds_the_bottom_of_a_bowl(self) -> None:
        space = SearchSpace((Float("x", 0, 1), Int("n", 0, 9), Choice("c", ("a", "b", "d"))))
        spec = spec_of(space)

        def loss(trial: Any, _: Any) -> float:
            p = trial.params
            return (p["x"] - 0.7) ** 2 + ((p["n"] - 4) / 9) ** 2 + 0.5 * (p["c"] != "b")

        searcher = Bayesian(spec, surrogate="skopt", n_startup=8, cube_size=1000, noiseless=True)
        history = simulated(
            opened(spec), searcher, 22, np.random.default_rng(0), batch=1, fates=("completed",), loss=loss
        )
        assert history.best is not None and history.best.loss is not None and history.best.loss < 0.03

    def test_every_count_of_n_startup_is_kept(self) -> None:
        spec = spec_of(SPACES["mixed"])
        start = Bayesian(spec, n_startup=8)
        other = Bayesian(spec, surrogate="skopt", n_startup=8)
        history = opened(spec)
        for n in range(8):
            assert as_text(start.ask(history, 1)) == as_text(other.ask(history, 1)), n
            history = simulated(history, start, 1, np.random.default_rng(0), batch=1, fates=("completed",))

    def test_pending_trials_keep_others_away(self) -> None:
        other = self._made()
        points = np.linspace(0, 1, 7)[:, None]
        losses = (points[:, 0] - 0.52) ** 2
        first = other.point(_evidence(points, losses), 7)
        second = other.point(_evidence(points, losses, pending=first[None]), 7)
        assert abs(first[0] - 0.52) < 0.1 and abs(second[0] - first[0]) > 0.01

    def test_failed_trials_repel(self) -> None:
        other = self._made()
        points = np.array([[0.0], [0.2], [0.4], [0.6]])
        losses = np.array([1.0, 0.8, 0.6, 0.4])
        free = other.point(_evidence(points, losses), 5)
        failed = np.linspace(0.7, 1, 7)[:, None]
        warned = other.point(_evidence(points, losses, failed=failed), 5)
        assert free[0] > 0.65 and warned[0] < 0.7

    def test_cube_size_is_the_number_of_candidates(self) -> None:
        points, losses = np.linspace(0, 1, 5)[:, None], np.array([3.0, 1.0, 0.5, 1.0, 3.0])
        few = self._made(cube_size=1).point(_evidence(points, losses), 5)
        many = self._made(cube_size=2000).point(_evidence(points, losses), 5)
        assert abs(many[0] - 0.5) < 0.2 and few[0] != many[0]

    def test_a_noisy_model_does_not_run_through_every_point(self) -> None:
        spec = spec_of(LINE)
        from hpo_engine.searchers.skopt import Skopt

        assert Skopt(spec, noiseless=False)._noise == "gaussian" and Skopt(spec, noiseless=True)._noise == 1e-10

    def _made(self, cube_size: int = 1000) -> Any:
        from hpo_engine.searchers.skopt import Skopt

        return Skopt(spec_of(LINE), cube_size=cube_size, noiseless=True)


def _evidence(points: np.ndarray, losses: np.ndarray, **more: np.ndarray) -> Observations:
    none = np.empty((0, points.shape[1]))
    return Observations(points, losses, more.get("failed", none), more.get("pending", none))
