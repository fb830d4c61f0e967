"""Optuna's samplers as searchers: names, options, distributions, and that the history alone decides."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from hpo_engine import assembly
from hpo_engine.errors import SpecError
from hpo_engine.space.params import key
from hpo_engine.space.searchspace import Choice, Float, Int, SearchSpace
from hpo_engine.study.history import History
from hpo_engine.study.spec import Named, StudySpec
from hpo_engine.studyfile.common import algorithm_problem
from hpo_engine.testing.histories import SPACES, all_completed, as_text, opened, proposed, simulated, spec_of

optuna = pytest.importorskip("optuna")
from hpo_engine.searchers.optuna import Optuna  # noqa: E402


def _spec(algorithm: str, space: SearchSpace = SPACES["mixed"], **options: Any) -> StudySpec:
    return spec_of(space, algorithm=Named(algorithm, options))


@pytest.mark.parametrize(
    ("name", "sampler"),
    [
        ("optuna", "TPESampler"),
        ("optuna:tpe", "TPESampler"),
        ("optuna:TPESampler", "TPESampler"),
        ("optuna:NSGA2", "NSGAIISampler"),
        ("optuna:cma-es", "CmaEsSampler"),
        ("optuna:random", "RandomSampler"),
    ],
)
def test_names_may_be_short_and_of_any_case(name: str, sampler: str) -> None:
    assert algorithm_problem(name, assembly.SEARCHERS) is None
    made = assembly.searcher(_spec(name)).inner  # type: ignore[attr-defined]
    assert isinstance(made, Optuna) and type(made._sampler(0)).__name__ == sampler


@pytest.mark.parametrize(
    ("name", "options", "problem"),
    [
        ("optuna:tep", {}, 'Optuna has no sampler "tep"; did you mean "tpe"?'),
        ("optuna:tpe", {"n_startup_trial": 3}, 'is not an option of TPESampler; did you mean "n_startup_trials"?'),
        ("optuna:tpe", {"n_startup_trials": "x"}, 'must be a whole number, not "x"'),
        ("optuna:tpe", {"multivariate": 1}, "must be true or false or null, not 1"),
        ("optuna:tpe", {"gamma": 3}, "cannot be given in a study file"),
        ("optuna:nsgaii", {"crossover": "unifrom"}, 'Optuna has no crossover "unifrom"; did you mean "uniform"?'),
        ("optuna:nsgaii", {"population_size": 1}, "NSGAIISampler: "),
        ("optuna:grid", {}, "GridSampler needs the option search_space"),
        ("optuna:grid", {"search_space": {"hiden": [1]}}, 'is not a parameter of the space; did you mean "hidden"?'),
        ("optuna:bruteforce", {}, "BruteForceSampler: "),
    ],
)
def test_wrong_names_and_options_are_refused_in_words(name: str, options: dict[str, Any], problem: str) -> None:
    with pytest.raises(SpecError) as caught:
        assembly.searcher(_spec(name, **options))
    assert problem in str(caught.value)


@pytest.mark.parametrize("name", ["tpe", "cmaes", "nsgaii", "qmc"])
def test_a_searcher_that_saw_the_study_grow_answers_as_a_new_one(name: str) -> None:
    options: dict[str, Any] = {"popsize": 4} if name == "cmaes" else {"population_size": 4} if name == "nsgaii" else {}
    spec = _spec(f"optuna:{name}", **options)
    rng = np.random.default_rng(1)
    old, history = Optuna(spec, **options), opened(spec)
    for _ in range(8):
        history = simulated(history, old, 3, rng)
        assert as_text(old.ask(history, 2)) == as_text(Optuna(spec, **options).ask(history, 2))


def test_a_question_that_was_not_taken_up_leaves_no_trace() -> None:
    spec = _spec("optuna:tpe")
    history = simulated(opened(spec), Optuna(spec), 14, np.random.default_rng(1))
    searcher = Optuna(spec)
    searcher.ask(history, 5)
    assert as_text(searcher.ask(history, 2)) == as_text(Optuna(spec).ask(history, 2))


@pytest.mark.by_default("tpe")
@pytest.mark.parametrize("name", ["tpe", "cmaes"])
def test_it_learns(name: str) -> None:
    spec = _spec(f"optuna:{name}", SearchSpace((Float("x", -5, 5), Float("y", 1e-3, 10, log=True))))
    losses = _bowl(spec, Optuna(spec), 80)
    assert np.mean(losses[-20:]) < 0.3 * np.mean(losses[:20])


def test_cmaes_goes_through_generations_without_keeping_pickles() -> None:
    spec = _spec("optuna:cmaes", SearchSpace((Float("x", -5, 5), Float("y", -5, 5))))
    searcher = Optuna(spec, popsize=5)
    history = simulated(opened(spec), searcher, 43, np.random.default_rng(1), batch=1, fates=("completed",))
    slots = [t.proposal.note["optuna"] for t in history.trials if t.proposal.note]
    assert slots[-1]["cma:generation"] >= 7 and all(len(str(slot)) < 100 for slot in slots)


def test_values_that_python_takes_for_equal_stay_apart() -> None:
    space = SearchSpace((Choice("c", (True, 1, 0, False, None, "None", [1], [1, 2], {"a": None})),))
    spec = _spec("optuna:tpe", space)
    searcher = Optuna(spec, n_startup_trials=40)
    history = simulated(
        opened(spec), searcher, 120, np.random.default_rng(1), fates=("completed",), loss=lambda t, _: t.id
    )
    assert len({key(t.params) for t in history.trials}) == 9
    for trial in history.trials:
        way: Any = searcher._encodings["c"]
        assert key(way.axis.value(way.inside(trial.params["c"]))) == key(trial.params["c"])


@pytest.mark.parametrize(
    "param",
    [
        Float("x", 1e-5, 1e-1, log=True),
        Float("x", 0, 0.5, step=0.1),
        Float("x", 0, 1, step=0.3),
        Float("x", 0.1, 10, step=0.1, log=True),
        Float("x", -4, -1, power=10),
        Float("x", -4, -1, power=0.5),
        Float("x", -1.7e308, 1.7e308),
        Float("x", 2, 2),
        Int("x", 1, 10, step=4),
        Int("x", 1, 1000, log=True),
        Int("x", 1, 1000, log=True, step=7),
        Int("x", 3, 9, power=2),
        Int("x", -(2**63), 2**63 - 1),
        Int("x", 2**60, 2**60 + 5),
        Choice("x", (1, 2, 4), ordered=True),
    ],
    ids=str,
)
def test_every_kind_of_axis_goes_there_and_back(param: Any) -> None:
    spec = _spec("optuna:tpe", SearchSpace((param,)))
    searcher = Optuna(spec, n_startup_trials=3)
    history = simulated(opened(spec), searcher, 12, np.random.default_rng(1), fates=("completed",))
    for trial in history.trials:
        assert spec.space.problem_with(trial.params) is None
    assert as_text(Optuna(spec, n_startup_trials=3).ask(history, 2)) == as_text(searcher.ask(history, 2))


def test_trials_that_run_are_known_to_the_sampler() -> None:
    """With the constant liar, proposals in a batch keep away from each other."""
    spec = _spec("optuna:tpe", SearchSpace((Float("x", 0, 1),)))
    history = _history(spec, [{"x": i / 10} for i in range(11)], lambda p: (p["x"] - 0.5) ** 2)
    searcher = Optuna(spec, constant_liar=True)
    states = [t.state.name for t in searcher._study.trials]
    searcher.ask(proposed(history, searcher.ask(history, 3)), 1)
    states = [t.state.name for t in searcher._study.trials]
    assert states == ["COMPLETE"] * 11 + ["RUNNING"] * 4


def test_options_that_map_parameters_take_their_own_values() -> None:
    space = SearchSpace((Choice("c", ("a", "b", "c")), Int("n", 1, 9)))
    spec = _spec("optuna:grid", space)
    searcher = Optuna(spec, search_space={"c": ["a", "c"], "n": [2, 4]})
    history = simulated(opened(spec), searcher, 4, np.random.default_rng(1), batch=1, fates=("completed",))
    assert {(t.params["c"], t.params["n"]) for t in history.trials} == {("a", 2), ("a", 4), ("c", 2), ("c", 4)}


def _history(spec: StudySpec, points: list[dict[str, Any]], loss: Any) -> History:
    class Listed:
        def ask(self, history: History, count: int) -> Any:
            from hpo_engine.study.trial import Proposal

            return [Proposal(p) for p in points[history.next_id : history.next_id + count]]

    rng = np.random.default_rng(0)
    return simulated(opened(spec), Listed(), len(points), rng, fates=("completed",), loss=lambda t, _: loss(t.params))


def _bowl(spec: StudySpec, searcher: Optuna, n: int) -> list[float]:
    def loss(trial: Any, _: Any) -> float:
        return (trial.params["x"] - 1) ** 2 + (np.log10(trial.params["y"]) - 0.3) ** 2

    history = simulated(opened(spec), searcher, n, np.random.default_rng(0), batch=1, fates=("completed",), loss=loss)
    assert all_completed(history, np.random.default_rng(0)) == history
    return [t.loss for t in history.trials if t.loss is not None]


def test_another_study_of_the_same_seed_proposes_the_same() -> None:
    spec = _spec("optuna:tpe")
    assert as_text(Optuna(spec).ask(opened(spec), 3)) == as_text(Optuna(replace(spec, name="x")).ask(opened(spec), 3))
