"""The problems answer as they should, and the runner gives the same runs every time."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from benchmarks.search import compare, execute, store
from benchmarks.search.algorithms import factory, key, parse, version
from benchmarks.search.problems import CURVES, NAMES, chosen, problem, reference
from benchmarks.search.problems.bbob import FUNCTIONS
from benchmarks.search.problems.forest import Forest
from benchmarks.search.problems.spaces import TASKS
from benchmarks.search.problems.table import Table
from benchmarks.search.runner import Asker, run, trace

TABLES = list(dict.fromkeys([*(name for name in NAMES if name in TASKS), *CURVES]))


def available() -> list[str]:
    """All problems, or the tables alone where the package with the functions is not installed."""
    try:
        import cocoex  # noqa: F401
    except ImportError:
        return list(TABLES)
    return list(dict.fromkeys([*NAMES, *TABLES]))


@pytest.mark.by_default(3)
@pytest.mark.parametrize("draws", [80, pytest.param(200, marks=pytest.mark.slow)])
@pytest.mark.parametrize("name", available())
def test_losses_of_random_draws_are_finite_and_not_below_the_best(name: str, draws: int) -> None:
    p = problem(name)
    rng = np.random.default_rng(1)
    losses = [p.evaluate(p.space.sample(rng)) for _ in range(draws)]
    assert np.isfinite(losses).all()
    assert min(losses) >= p.best - 1e-6 * abs(p.best)
    assert 0.2 < np.mean(np.array(losses) <= p.median) < 0.8


@pytest.mark.by_default(2)
@pytest.mark.parametrize("name", TABLES)
def test_a_tables_best_row_is_in_reach_of_a_searcher(name: str) -> None:
    p, table = problem(name), Table(name)
    row = table.points[int(table.losses[:, -1].argmin())]
    params = p.space.decode(np.nan_to_num(row, nan=0.5))
    assert p.regret(np.array([p.evaluate(params)]))[0] < 0.05


@pytest.mark.parametrize("name", [name for name in TABLES if TASKS[name].resolution])
def test_losses_of_a_metric_with_steps_are_on_its_steps(name: str) -> None:
    p, step = problem(name), TASKS[name].resolution
    rng = np.random.default_rng(2)
    losses = np.array([p.evaluate(p.space.sample(rng)) for _ in range(50)])
    assert np.allclose(losses / step, np.round(losses / step), atol=1e-3)


def test_more_training_is_asked_for_by_its_level() -> None:
    p = problem("boosting-diabetes")
    params = p.space.sample(np.random.default_rng(3))
    curve = [p.evaluate(params, level) for level in p.levels]
    assert len(set(curve)) > 1
    assert curve[-1] == p.evaluate(params)
    assert p.evaluate(params, 5) == p.evaluate(params, 3)


def test_tasks_outside_the_league_are_among_the_curves_only() -> None:
    outside = {name for name, task in TASKS.items() if not task.league}
    assert outside and outside <= set(chosen(["curves"])) and outside == set(chosen(["sgd"]))
    assert not outside & set(chosen(["all", "training", "bbob"]))


def test_regret_is_0_at_the_best_1_at_the_median_and_clipped() -> None:
    p = problem("tree-digits")
    middle = (p.best + p.median) / 2
    losses = np.array([p.best - 1, p.best, middle, p.median, p.median + 9])
    assert p.regret(losses) == pytest.approx([0, 0, 0.5, 1, 1])


@pytest.mark.slow
def test_the_reference_is_what_the_problems_say() -> None:
    p = problem("tree-digits")
    assert reference("tree-digits") == (p.best, p.median)


def test_a_functions_lowest_value_is_that_at_its_best_point() -> None:
    pytest.importorskip("cocoex")
    for name in FUNCTIONS:
        assert problem(name).best == pytest.approx(reference_best(name))


def reference_best(name: str) -> float:
    from benchmarks.search.problems.bbob import Function

    return Function(name).lowest()


def test_a_forest_is_exact_at_its_rows_and_good_between_them() -> None:
    rng = np.random.default_rng(0)
    x = rng.random((400, 3))
    y = np.sin(3 * x[:, 0]) + x[:, 1] ** 2
    forest = Forest(x[:300], y[:300], y[:300, None])
    assert np.allclose(forest.predict(x[:300])[:, 0], y[:300])
    error = forest.predict(x[300:])[:, 0] - y[300:]
    assert (error**2).mean() < 0.05 * y.var()


@pytest.mark.parametrize("workers", [1, 4])
def test_the_same_run_gives_the_same_losses(workers: int) -> None:
    p = problem("pipeline-cancer")
    first, second = (run(factory("random"), p, 3, 30, workers) for _ in range(2))
    assert len(first) == 30
    assert first.tolist() == second.tolist()
    assert first.tolist() != run(factory("random"), p, 4, 30, workers).tolist()


def test_workers_see_what_is_pending_and_are_never_more_than_allowed() -> None:
    p = problem("pipeline-cancer")
    open_: set[int] = set()
    most = 0

    class Watched:
        def __init__(self, inner: Asker) -> None:
            self.inner = inner

        def ask(self, count: int) -> object:
            nonlocal most
            assert len(self.inner.history.open_ids) == len(open_)  # type: ignore[attr-defined]
            asked = self.inner.ask(count)
            open_.update(token for token, _, _ in asked)
            most = max(most, len(open_))
            return asked

        def tell(self, token: int, loss: float) -> None:
            open_.remove(token)
            self.inner.tell(token, loss)

    done = trace(lambda *args: Watched(factory("random")(*args)), p, 0, 40, 4)  # type: ignore[arg-type]
    assert most == 4
    assert len(done) == 40
    assert [d.at for d in done] == sorted(d.at for d in done)


def test_results_come_back_as_they_were_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(store, "CACHE", tmp_path / "cache")
    monkeypatch.setattr(store, "KEPT", tmp_path / "kept")
    results = store.Results("tpe:a=1", 4, "k", "v")
    results.put("tree-digits", 0, 5, np.array([3.0, 4.0, 2.0, 2.0, 1.5]))
    results.put("tree-digits", 1, 5, np.array([7.0, 6.0]))
    store.write(results, kept=False)
    again = store.read("tpe:a=1", 4, "k")
    assert again.cells == results.cells
    assert [again.best("tree-digits", 0, at) for at in (1, 2, 3, 5, 6)] == [3.0, 3.0, 2.0, 1.5, None]
    assert again.missing("tree-digits", range(3), 5) == [2]
    assert again.missing("tree-digits", range(2), 6) == [0, 1]
    assert store.read("tpe:a=1", 4, "another key").cells == {}


def test_the_expected_best_of_draws_is_what_drawing_gives() -> None:
    regrets = np.random.default_rng(0).random(50) ** 2
    drawn = np.random.default_rng(1).choice(regrets, size=(20_000, 7)).min(axis=1)
    told = compare.expected(regrets, np.array([1, 7]))
    assert told[0] == pytest.approx(regrets.mean())
    # 20,000 draws: five standard errors
    assert abs(told[1] - drawn.mean()) < 5 * drawn.std() / 20_000**0.5


def test_ranks_share_places_between_equals() -> None:
    means = np.array([[0.1, 0.3], [0.1, 0.2], [0.5, 0.1]])
    assert compare.ranks(means).T.tolist() == [[1.5, 1.5, 3], [3, 2, 1]]


def test_words_of_the_command_line() -> None:
    assert parse("tpe:good_ratio=0.1,mode=joint,flag=true") == (
        "tpe",
        {"good_ratio": 0.1, "mode": "joint", "flag": True},
    )
    assert parse("optuna:GPSampler,n_startup_trials=5") == ("optuna:GPSampler", {"n_startup_trials": 5})
    assert chosen(["curves", "tree"])[-1] == "tree-digits"
    with pytest.raises(SystemExit, match="no problem"):
        chosen(["nothing"])


def test_a_stamp_is_that_of_what_an_algorithm_proposes() -> None:
    known = {word: version(word) for word in ("random", "sobol", "tpe", "tpe:n_startup=30", "asha", "hyperband")}
    assert len(set(known.values())) == len(known)
    assert version("tpe:n_startup=30") == known["tpe:n_startup=30"]
    with pytest.raises(SystemExit, match="no algorithm"):
        version("nothing")


@pytest.mark.parametrize("word", ["random", "tpe"])
@pytest.mark.parametrize("workers", [1, 4, 16])
def test_kept_runs_are_those_of_todays_algorithms(word: str, workers: int) -> None:
    assert store.read_kept(word, workers).key == key(word), "run --check; if it fails, --run with --keep and --league"


def test_a_check_tells_runs_that_came_out_otherwise(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(store, "KEPT", tmp_path)
    monkeypatch.setattr(execute, "_compute", lambda cell: np.array([3.0, 2.0 + cell[2]]))
    kept = store.Results("random", key="old")
    for seed in (0, 1):
        kept.put("tree-digits", seed, 2, np.array([3.0, 2.0]))
    store.write(kept, kept=True)
    execute.check("random", ["tree-digits"], [0])
    assert store.read_kept("random", 1).key == key("random")
    with pytest.raises(SystemExit, match="not the same: tree-digits seed 1"):
        execute.check("random", ["tree-digits"], [0, 1])
    with pytest.raises(SystemExit, match="no kept run"):
        execute.check("random", ["net-digits"], [0])
