"""An optimizer in this process proposes what a study proposes, and takes every answer or refuses it in one line."""

from __future__ import annotations

import copy
import gc
import math
import pickle
import threading
import weakref
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import hpo_engine as hpo
from hpo_engine.api.optimizer import Suggestion
from hpo_engine.errors import EngineError

SPACE: Mapping[str, Any] = {
    "x": hpo.float(0, 1),
    "n": hpo.int(1, 9),
    "act": hpo.choice(["relu", "tanh"]),
    "beta": hpo.float(0.1, 1, log=True, when={"act": "tanh"}),
    "fixed": 3,
}


def loss(params: Mapping[str, Any]) -> float:
    return (params["x"] - 0.3) ** 2 + params["n"] / 10 + params.get("beta", 0.0)


def played(optimizer: hpo.Optimizer, trials: int) -> hpo.Optimizer:
    for _ in range(trials):
        trial = optimizer.ask()
        optimizer.tell(trial, loss(trial.params))
    return optimizer


def tried(optimizer: hpo.Optimizer) -> list[dict[str, Any]]:
    return [trial.params for trial in optimizer.trials]


@pytest.mark.by_default("random", "tpe")
@pytest.mark.parametrize(
    ("algorithm", "options", "trials"), [("random", {}, 3), ("tpe", {"n_startup": 3}, 7), ("auto", {}, 11)]
)
def test_it_proposes_what_a_study_with_the_same_seed_tries(
    algorithm: str, options: dict[str, Any], trials: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "run.sh").write_text('echo "loss=$1"\n')
    space = hpo.Space(x=hpo.float(-1, 1), n=hpo.int(1, 9), act=hpo.choice(["a", "b"]))
    fields = {
        "name": "s", "command": "sh run.sh {x}", "objective": "maximize loss", "results": "stdout", "space": space,
        "algorithm": algorithm, "options": {**options, "seed": 4}, "trials": trials, "trackers": [],
        "points": [{"x": 0.5, "n": 2}],
    }  # fmt: skip
    study = hpo.run(fields, quiet=True)
    optimizer = hpo.Optimizer(
        space, algorithm, seed=4, objectives="maximize loss", options=options, points=[{"x": 0.5, "n": 2}]
    )
    for _ in range(trials):
        trial = optimizer.ask()
        optimizer.tell(trial, trial["x"])
    assert tried(optimizer) == [trial.params for trial in study.trials]
    assert [t.values for t in optimizer.trials] == [t.values for t in study.trials]
    assert (optimizer.best or study.trials[0]).id == (study.best or study.trials[-1]).id


@pytest.mark.by_default("[random]", "[tpe]")
@pytest.mark.parametrize("algorithm", ["random", "tpe", "bayesian", "cmaes", "evolution", "sobol"])
def test_a_copy_a_saved_one_and_the_original_go_on_alike(algorithm: str, tmp_path: Path) -> None:
    begun = played(hpo.Optimizer(SPACE, algorithm, seed=3), 8)
    begun.ask()  # one is open
    begun.save(tmp_path / "saved")
    others = [hpo.Optimizer.load(tmp_path / "saved"), copy.deepcopy(begun), pickle.loads(pickle.dumps(begun))]  # noqa: S301
    assert list(tmp_path.iterdir()) == [tmp_path / "saved"]
    results = [tried(played(one, 4)) for one in [begun, *others]]
    assert results[0] == results[1] == results[2] == results[3] and len(results[0]) == 13


def test_several_are_asked_for_at_once_and_told_in_any_order() -> None:
    optimizer = hpo.Optimizer(SPACE, "tpe", seed=1)
    asked = optimizer.ask(4)
    assert [trial.id for trial in asked] == [0, 1, 2, 3] and len({str(trial.params) for trial in asked}) == 4
    optimizer.tell(asked[2], 0.5)
    optimizer.tell(0, np.float32(0.25))
    optimizer.tell(asked[1].params, 0.75)  # an open trial, by its configuration
    optimizer.tell(asked[3], state="failed", reason="out of memory")
    assert [trial.state for trial in optimizer.trials] == ["completed"] * 3 + ["failed"]
    assert [trial.value for trial in optimizer.trials] == [0.25, 0.75, 0.5, None]
    assert optimizer.best == optimizer.trials[0] and optimizer.trials[3].reason == "out of memory"


def test_a_value_that_is_not_finite_makes_a_failed_trial() -> None:
    optimizer = hpo.Optimizer(SPACE, "tpe", seed=1)
    for value in (math.nan, math.inf, -math.inf, np.nan):
        optimizer.tell(optimizer.ask(), value)
    assert {trial.state for trial in optimizer.trials} == {"failed"} and optimizer.best is None
    assert optimizer.trials[0].reason == "the value is not a finite number: nan"
    played(optimizer, 20)


def test_a_pruned_trial_counts_as_in_a_study_by_what_it_had_reached() -> None:
    optimizer = hpo.Optimizer(SPACE, "tpe", seed=1)
    for number in range(12):
        trial = optimizer.ask()
        for step in (1, 2):
            optimizer.report(trial, loss(trial.params) + 1 / step, step)
        if number % 3:
            optimizer.tell(trial, loss(trial.params), state="pruned", step=3)
        else:
            optimizer.tell(trial, loss(trial.params))
    assert optimizer.trials[1].state == "pruned" and [row["step"] for row in optimizer.trials[1].rows] == [1, 2, 3]
    from hpo_engine.searchers.observations import Observer

    seen = Observer(optimizer.space.search_space).read(optimizer.history)
    assert len(seen.losses) == 4 and len(seen.partial_losses) == 8


def test_what_was_evaluated_elsewhere_counts_as_a_trial() -> None:
    optimizer = hpo.Optimizer(SPACE, "tpe", seed=1)
    optimizer.tell({"x": 0.25, "n": 2.0, "act": "relu", "fixed": 3}, 0.1)
    assert optimizer.best is not None and optimizer.best.params == {"x": 0.25, "n": 2, "act": "relu", "fixed": 3}
    assert optimizer.ask().id == 1
    for params, words in (
        ({"x": 2, "n": 2, "act": "relu", "fixed": 3}, "x: "),
        ({"x": 0.5, "n": 2, "act": "relu", "fixed": 3, "beta": 0.5}, "beta is given, but applies only"),
        ({"x": 0.5, "n": 2}, "is missing"),
        ({"y": 1}, "y is not a parameter of the space"),
    ):
        with pytest.raises(hpo.SpecError, match=words):
            optimizer.tell(params, 0.5)
    assert len(optimizer.trials) == 2


def test_wrong_answers_are_refused_in_one_line_and_change_nothing() -> None:
    optimizer, other = hpo.Optimizer(SPACE, seed=1), hpo.Optimizer(SPACE, seed=2)
    trial = optimizer.ask()
    cases: list[tuple[Any, Any, dict[str, Any], str]] = [
        (trial, None, {}, "value: is missing"),
        (trial, "much", {}, "value: must be a number, not 'much'"),
        (trial, True, {}, "value: must be a number, not True"),
        (trial, [1, 2], {}, "value: must be 1"),
        (trial, {"loss": 1}, {}, "value: must have value, not loss"),
        (trial, 1, {"state": "done"}, "state: must be completed, failed or pruned"),
        (7, 1, {}, "trial: there is no trial 7; there are 1"),
        (-1, 1, {}, "trial: there is no trial -1"),
        (None, 1, {}, "trial: must be what ask returned"),
        (other.ask(), 1, {}, "it is from another optimizer"),
        (trial, 1, {"state": "pruned", "step": math.nan}, "step: must be a number"),
        (trial, 1, {"state": "pruned", "step": 10**400}, "step: must be a number"),
        (trial, 1, {"reason": 9}, "reason: must be text"),
    ]
    for which, value, how, words in cases:
        with pytest.raises(hpo.SpecError, match=words) as error:
            optimizer.tell(which, value, **how)
        assert "\n" not in str(error.value)
    assert optimizer.trials[0].rows == [] and not optimizer.trials[0].value
    optimizer.tell(trial, 0.5)
    with pytest.raises(hpo.SpecError, match=r"trial 0 has ended already: completed with 0\.5"):
        optimizer.tell(trial, 0.6)
    for n in (0, 1.5, True):
        with pytest.raises(hpo.SpecError, match="n: must be a whole number"):
            optimizer.ask(n)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"algorithm": "tpee"}, 'tpee.*did you mean "tpe"'),
        ({"algorithm": 3}, "algorithm: must be a name"),
        ({"algorithm": "tpe", "options": {"n_start": 2}}, "n_start"),
        ({"algorithm": "hyperband"}, "resource: is missing"),
        ({"seed": -1}, "seed: must be a whole number"),
        ({"objectives": "best"}, "objectives: must be minimize, maximize"),
        ({"objectives": ["minimize a", "maximize a"]}, '"a" is already listed'),
        ({"objectives": []}, "objectives: is empty"),
        ({"points": [{"y": 1}]}, "points"),
        ({"resource": {"name": "epochs"}}, "resource.max"),
        ({"resource": 9}, "resource: must be a mapping"),
        ({"objectives": None}, "objectives: must be text"),
        ({"options": 9}, "options: must map names"),
        ({"options": {1: 1}}, "options: must map names"),
        ({"trials": "9"}, "trials: must be a whole number"),
        ({"trials": 0}, "trials: must be a whole number of at least 1"),
        ({"points": {"x": 1}}, "points: must be a list"),
        ({"points": [9]}, "points: must be a list"),
    ],
)
def test_a_wrong_argument_is_refused(arguments: dict[str, Any], words: str) -> None:
    with pytest.raises(hpo.SpecError, match=words):
        hpo.Optimizer(SPACE, **arguments)


def test_numbers_of_numpy_are_whole_numbers_too() -> None:
    whole: Any = np.int64
    optimizer = hpo.Optimizer(SPACE, seed=whole(1), trials=whole(9))
    for trial in optimizer.ask(whole(2)):
        optimizer.tell(whole(trial.id), np.float32(0.5))
    assert [trial.value for trial in optimizer.trials] == [0.5, 0.5]


def test_several_objectives_have_a_front() -> None:
    optimizer = hpo.Optimizer(SPACE, "auto", seed=1, objectives=["minimize loss", "maximize gain"])
    for number in range(12):
        trial = optimizer.ask()
        x = trial["x"]
        values: Any = ((x, x), {"gain": x, "loss": x}, np.array([x, x]))[number % 3]
        optimizer.tell(trial, values)
    assert len(optimizer.front) >= 10 and optimizer.trials[1].values == {
        "loss": optimizer.trials[1].params["x"], "gain": optimizer.trials[1].params["x"],
    }  # fmt: skip
    with pytest.raises(hpo.SpecError, match=r"value: must be 2 \(loss, gain\), not 1"):
        optimizer.tell(optimizer.ask(), 1.0)


def test_a_search_that_is_over_says_so() -> None:
    optimizer = hpo.Optimizer({"a": hpo.choice([1, 2]), "b": hpo.int(1, 2)}, "random", seed=1)
    asked = optimizer.ask(9)
    assert len(asked) == 4
    with pytest.raises(EngineError, match="waits for results"):
        optimizer.ask()
    for trial in asked:
        optimizer.tell(trial, 1.0)
    assert optimizer.ask(3) == []
    with pytest.raises(EngineError, match="the search is over: searched it all: all 4 configurations were tried"):
        optimizer.ask()
    assert optimizer.done
    grid = hpo.Optimizer({"a": hpo.choice([1, 2]), "b": hpo.int(1, 2)}, "grid", seed=1)
    while not grid.done:  # known without asking once more
        grid.tell(grid.ask(), 1.0)
    assert len(grid.trials) == 4
    limited = played(hpo.Optimizer(SPACE, seed=1, trials=3), 3)
    assert limited.done and limited.ask(2) == []


@pytest.mark.by_default("hyperband")
@pytest.mark.parametrize("algorithm", ["hyperband", "asha", "auto"])
def test_trials_with_less_of_a_resource_are_promoted(algorithm: str) -> None:
    optimizer = hpo.Optimizer(SPACE, algorithm, seed=1, resource={"name": "epochs", "max": 9})
    amounts = []
    for _ in range(20):
        trial = optimizer.ask()
        amounts.append(trial.resource)
        optimizer.tell(trial, loss(trial.params) + 1 / (trial.resource or 1))
    assert max(a or 0 for a in amounts) > min(a or 0 for a in amounts) and optimizer.best is not None


def test_threads_share_one() -> None:
    optimizer = hpo.Optimizer(SPACE, "random", seed=1)
    lock, ids = threading.Lock(), list[int]()

    def work(_: int) -> None:
        trial: Suggestion = optimizer.ask()
        with lock:
            ids.append(trial.id)
        optimizer.tell(trial, loss(trial.params))

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(work, range(60)))
    assert sorted(ids) == list(range(60)) and {t.state for t in optimizer.trials} == {"completed"}


def test_a_large_space_and_one_of_constants_are_searched() -> None:
    wide = hpo.Optimizer({f"p{i}": hpo.float(0, 1) for i in range(300)}, "tpe", seed=1)
    for _ in range(15):
        trial = wide.ask()
        wide.tell(trial, sum(trial.params.values()))
    huge = hpo.Optimizer({"a": hpo.int(-(2**62), 2**62), "b": hpo.choice(list(range(5000)))}, "tpe", seed=1)
    for _ in range(15):
        trial = huge.ask()
        huge.tell(trial, trial["b"])
    assert len(huge.trials) == 15
    alone = hpo.Optimizer({"a": 1}, seed=1)
    alone.tell(alone.ask(), 1.0)
    assert alone.ask(1) == []


def test_a_file_that_is_no_saved_one_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "saved"
    played(hpo.Optimizer(SPACE, "random", seed=1), 3).save(path)
    text = path.read_text()
    for damaged in ("", "{}", text[: len(text) // 2], text.replace("trial_ended", "trial_over", 1), "\n" + text):
        path.write_text(damaged)
        with pytest.raises(hpo.SpecError, match="is not a saved optimizer"):
            hpo.Optimizer.load(path)


def test_histories_of_the_past_are_not_kept() -> None:
    optimizer = hpo.Optimizer(SPACE, "random", seed=1)
    optimizer.tell(optimizer.ask(), 1.0)
    past = weakref.ref(optimizer.history)
    optimizer.tell(optimizer.ask(), 2.0)
    gc.collect()
    assert past() is None
