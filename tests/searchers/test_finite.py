"""Finite spaces with a resource: no configuration gets the same amount twice, and the search ends when all had the most."""

from __future__ import annotations

import itertools
import json
import random
import re
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import pytest

from hpo_engine import assembly
from hpo_engine.assembly import searcher
from hpo_engine.core.queue import TrialQueue
from hpo_engine.searchers.brackets import in_words
from hpo_engine.space.searchspace import Choice, Constant, Float, Int, SearchSpace
from hpo_engine.study.events import TrialEnded, apply
from hpo_engine.study.history import History
from hpo_engine.study.spec import Budget, Named, Resource, Resources, StudySpec
from hpo_engine.study.trial import Proposal, Trial, TrialState
from hpo_engine.testing.histories import opened, proposed, spec_of

ALGORITHMS: dict[str, dict[str, Any]] = {
    "hyperband": {},
    "hyperband ": {"eta": 2},
    "asha": {},
    "asha ": {"brackets": 3, "eta": 2},
    "bohb": {},
    "bohb ": {"scheduler": "hyperband", "model": "random"},
    "auto": {},
}
SLOW: dict[str, dict[str, Any]] = {"bohb  ": {"model": "bayesian", "eta": 3}}
FLAT: dict[str, dict[str, Any]] = {"random": {}, "sobol": {}, "tpe": {}, "bayesian": {}, "evolution": {}, "grid": {}}

SPACES = {
    "24": SearchSpace((Choice("a", ("x", "y", "z")), Int("n", 1, 4), Float("d", 0, 0.5, step=0.5))),
    "one": SearchSpace((Int("n", 1, 1), Constant("c", 3))),
    "two": SearchSpace((Choice("a", (True, False)),)),
    "conditional": SearchSpace((Choice("a", ("x", "y", "z")), Int("n", 1, 5, when={"a": ["x", "y"]}))),
    "ruled": SearchSpace((Int("n", 1, 6), Int("m", 1, 6)), ("m < n", "n != 3")),
}
STRICT = SearchSpace((Int("n", 1, 500),), ("n % 100 == 0",))
COUNTS = {"24": 24, "one": 1, "two": 2, "conditional": 11, "ruled": 13}
Loss = Callable[[Trial], float]


def a_study(algorithm: str, space: SearchSpace, runs: int | None = None, **changes: Any) -> StudySpec:
    options = {**ALGORITHMS, **FLAT, **SLOW}[algorithm]
    fields = {"resource": Resource("epochs", 9), "budget": Budget(runs=runs)}
    return spec_of(space, algorithm=Named(algorithm.strip(), options), **{**fields, **changes})


def loss_of(trial: Trial) -> float:
    return random.Random(key_of(trial)).random() + 1.0 / (trial.proposal.resource or 1)


def key_of(trial: Trial | Proposal) -> str:
    return json.dumps(dict(trial.params), sort_keys=True)


def lived(
    spec: StudySpec,
    history: History | None = None,
    *,
    workers: int = 1,
    seed: int = 0,
    fails: Callable[[Trial], bool] = lambda trial: False,
    anew: bool = False,
    most: int = 600,
) -> History:
    """The whole study as the loop runs it; `anew`: with a searcher that has seen nothing, at every question."""
    rng, made, history = random.Random(seed), TrialQueue(spec, searcher(spec)), history or opened(spec)
    while history.next_id < most:
        wanted = workers - len(history.open_ids)
        if history.runs_left is not None:
            wanted = min(wanted, history.runs_left)
        made = TrialQueue(spec, searcher(spec)) if anew else made
        got: Sequence[Proposal] = made.ask(history, wanted) if wanted > 0 else []
        for p in got:
            resource = spec.full_resource if p.resource is None else p.resource
            history = proposed(history, [replace(p, resource=resource)])
        if not history.open_ids:
            return history
        trial = history.trials[rng.choice(history.open_ids)]
        state = rng.choice(["failed", "timed_out", "pruned", "lost", "stopped"]) if fails(trial) else "completed"
        history = apply(history, TrialEnded(0.0, trial.id, state, loss_of(trial) if state == "completed" else None))
    raise AssertionError(f"{spec.algorithm.name} does not end")


def check(history: History) -> None:
    """What holds for every such study, ended or not."""
    runs = [(key_of(t), t.proposal.resource) for t in history.trials]
    assert len(set(runs)) == len(runs), "a configuration got the same amount twice"
    assert all(history.spec.space.problem_with(t.params) is None for t in history.trials)
    ended: set[str] = set()
    for trial in history.trials:
        assert key_of(trial) not in ended, "one that failed goes on"
        if trial.state.ended and trial.state is not TrialState.COMPLETED:
            ended.add(key_of(trial))


def check_whole(history: History, count: int) -> None:
    check(history)
    best: dict[str, int] = {}
    failed: set[str] = set()
    for trial in history.trials:
        best[key_of(trial)] = max(best.get(key_of(trial), 0), trial.proposal.resource or 0)
        if trial.state is not TrialState.COMPLETED:
            failed.add(key_of(trial))
    assert len(best) == count
    assert all(amount == 9 or key in failed for key, amount in best.items()), best


@pytest.mark.by_default("-24]", "conditional]")
@pytest.mark.parametrize(
    ("algorithm", "name"),
    [*itertools.product(ALGORITHMS, SPACES), *itertools.product(FLAT, ["two", "conditional"]), ("bohb  ", "24")],
)
def test_unlimited_trials_end_when_all_configurations_have_had_the_most(algorithm: str, name: str) -> None:
    for workers in (1, 5) if name != "24" else (3,):
        spec = a_study(algorithm, SPACES[name], resources=Resources(parallel=workers))
        history = lived(spec, workers=workers, seed=workers)
        check_whole(history, COUNTS[name])
        over = searcher(spec).over(history)
        assert over == f"searched it all: all {COUNTS[name]} configurations were tried" or algorithm == "grid"


@pytest.mark.by_default("random")
@pytest.mark.parametrize("algorithm", ["asha", "random"])
def test_it_ends_where_nobody_can_count_what_the_rules_leave(algorithm: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("hpo_engine.space.searchspace.MAX_WALK", 100)
    assert STRICT.allowed_size is None
    spec = a_study(algorithm, STRICT)
    history = lived(spec, workers=2)
    check(history)
    assert {t.params["n"] for t in history.trials} == {100, 200, 300, 400, 500}
    assert all(t.proposal.resource == 9 or t.id in gone(history) for t in history.trials)


def gone(history: History) -> set[int]:
    """The trials that were carried on."""
    return {-1 if t.proposal.repeats is None else t.proposal.repeats for t in history.trials}


@pytest.mark.parametrize("algorithm", ALGORITHMS)
@pytest.mark.parametrize("workers", [3])
def test_configurations_that_fail_are_neither_repeated_nor_carried_on(algorithm: str, workers: int) -> None:
    for rate in (0.2, 0.9, 1.0):
        dice = random.Random(f"{algorithm}{rate}")
        spec = a_study(algorithm, SPACES["24"])
        check_whole(lived(spec, workers=workers, fails=lambda _, r=rate, d=dice: d.random() < r), 24)  # type: ignore[misc]


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_a_limit_is_kept_and_used_up_where_there_is_something_to_do(algorithm: str) -> None:
    whole = lived(a_study(algorithm, SPACES["24"])).next_id
    for trials in (5, 30, 100):
        history = lived(a_study(algorithm, SPACES["24"], trials), workers=3)
        check(history)
        assert history.next_id <= trials
        if trials >= whole:
            check_whole(history, 24)


@pytest.mark.by_default("-24]", "-ruled]")
@pytest.mark.parametrize("name", SPACES)
@pytest.mark.parametrize(("trials", "points"), [(4, ()), (9, ({},)), (20, ()), (33, ()), (None, ({},))])
def test_what_is_planned_is_what_happens(name: str, trials: int | None, points: tuple[Any, ...]) -> None:
    for algorithm in ("hyperband", "hyperband "):
        spec = a_study(algorithm, SPACES[name], trials, points=points)
        history = lived(spec)
        counts = Counter(t.proposal.resource or 0 for t in history.trials)
        assert assembly.plan(spec) == in_words(counts, "epochs")
    spec = a_study("asha", SPACES[name], trials, points=points)
    history = lived(spec)
    said = re.findall("[0-9]+", assembly.plan(spec))
    assert int(said[0]) == history.next_id
    if trials is None:
        assert f"{sum(t.proposal.resource or 0 for t in history.trials)} epochs in all" in assembly.plan(spec)


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_history_alone_decides(algorithm: str) -> None:
    spec = a_study(algorithm, SPACES["ruled"])
    runs = [lived(spec, workers=3, seed=5, anew=anew) for anew in (False, True)]
    assert [(key_of(t), t.proposal.resource) for t in runs[0].trials] == [
        (key_of(t), t.proposal.resource) for t in runs[1].trials
    ]


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_who_failed_and_is_retried_goes_on(algorithm: str) -> None:
    from hpo_engine.study.events import TrialReopened

    spec = a_study(algorithm, SPACES["24"])
    history = lived(spec, fails=lambda trial: trial.id % 5 == 2)
    for trial in list(history.trials):
        if trial.state is not TrialState.COMPLETED:
            history = apply(history, TrialReopened(0.0, trial.id))
    history = lived(spec, history, workers=2)
    check_whole(history, 24)
    assert all(t.state is TrialState.COMPLETED for t in history.trials)


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_points_are_tried_first_and_once(algorithm: str) -> None:
    points: tuple[dict[str, Any], ...] = (
        {"a": "x", "n": 1},
        {"a": "x", "n": 1, "d": 0.5},
        {"a": "x", "n": 1},
        {"a": "x", "n": 1},
        {},
    )
    history = lived(a_study(algorithm, SPACES["24"], points=points), workers=2)
    check_whole(history, 24)
    placed = {t.proposal.queued.number: t for t in history.trials if t.proposal.queued}
    assert set(placed) >= set(range(5))
    assert placed[0].params["d"] == 0.0, "what the second one says is left to it"
    assert all(placed[i].params["a"] == "x" and placed[i].params["n"] == 1 for i in (0, 1))


@pytest.mark.parametrize("algorithm", ["hyperband", "asha", "bohb", "auto", "random"])
def test_a_configuration_without_its_continuous_parameter_is_one(algorithm: str) -> None:
    space = SearchSpace((Choice("a", ("x", "y")), Float("f", 0, 1, when={"a": "x"})))
    history = lived(a_study(algorithm, space, 60), workers=3)
    check(history)
    assert history.next_id == 60


@pytest.mark.parametrize("algorithm", ["hyperband", "asha", "bohb"])
def test_the_best_that_waits_goes_on_first(algorithm: str) -> None:
    history = lived(a_study(algorithm, SPACES["24"]))
    last = max(t.id for t in history.trials if t.proposal.repeats is None)
    assert last < history.next_id - 10
    for trial in list(history.trials)[-10:]:
        before = [t for t in history.trials if t.id < trial.id]
        carried = {t.proposal.repeats for t in before}
        waiting = [t for t in before if t.id not in carried and (t.proposal.resource or 0) < 9]
        best = min(waiting, key=lambda t: (-(t.proposal.resource or 0), t.loss))
        assert trial.proposal.repeats == best.id


@pytest.mark.parametrize("seed", range(12))
def test_random_spaces(seed: int) -> None:
    rng = random.Random(seed)
    params: list[Any] = []
    for i in range(rng.randint(1, 3)):
        parents = [p for p in params if isinstance(p, Choice)]
        when = {parents[0].name: parents[0].choices[0]} if parents and rng.random() < 0.4 else None
        params.append(
            rng.choice(
                [
                    Choice(f"p{i}", tuple("abcd"[: rng.randint(1, 4)]), when=when),
                    Int(f"p{i}", 0, rng.randint(0, 5), when=when),
                    Float(f"p{i}", 0, 0.1 * rng.randint(1, 4), step=0.1, when=when),
                ]
            )
        )
    rules = (f"{params[0].name} == {params[-1].name} or true",) if rng.random() < 0.3 else ()
    space = SearchSpace(tuple(params), rules)
    count = sum(map(space.allows, space.grid(1)))
    algorithm = rng.choice(list(ALGORITHMS))
    most, least = rng.choice([(9, 1), (27, 1), (7, 2), (1, 1), (5, 5)])
    spec = a_study(algorithm, space, resource=Resource("epochs", most, least), seed=seed)
    rate = rng.choice([0, 0, 0.3])
    history = lived(spec, workers=rng.choice([1, 2, 7]), seed=seed, fails=lambda _: rng.random() < rate)
    check(history)
    ran = {key_of(t) for t in history.trials}
    done = {key_of(t) for t in history.trials if t.proposal.resource == most or t.state is not TrialState.COMPLETED}
    assert len(ran) == count and done == ran
