"""BOHB: the schedule is that of ASHA or Hyperband; the model sees each configuration once, by its longest run."""

from __future__ import annotations

import numpy as np
import pytest

from hpo_engine.searchers.asha import Asha
from hpo_engine.searchers.bohb import Bohb
from hpo_engine.searchers.hyperband import Hyperband
from hpo_engine.searchers.model_source import ModelSource, by_configuration, shares
from hpo_engine.searchers.tpe import Tpe
from hpo_engine.study.history import History
from hpo_engine.study.spec import StudySpec
from hpo_engine.study.trial import Proposal
from hpo_engine.testing.histories import as_text, opened, proposed, with_fate
from tests.support.brackets import place_of, run, study


def lived(spec: StudySpec) -> History:
    """Three configurations with 1 epoch, two of them go on, one of these fails; a third still runs."""
    first = [
        Proposal({"x": x, "kind": "a"}, 1, note={"bracket": 0, "rung": 0, "place": i})
        for i, x in enumerate((0.1, 0.2, 0.3))
    ]
    history = proposed(opened(spec), first)
    for i, loss in enumerate((3.0, 1.0, 2.0)):
        history = with_fate(history, i, "completed", loss)
    up = [
        Proposal(history.trials[i].params, 3, note={"bracket": 0, "rung": 1, "place": k}, repeats=i)
        for k, i in enumerate((1, 2))
    ]
    history = proposed(history, up)
    history = with_fate(with_fate(history, 3, "completed", 5.0), 4, "failed")
    return proposed(history, [Proposal({"x": 0.4, "kind": "b"}, 1, note={"bracket": 0, "rung": 0, "place": 3})])


def test_runs_of_one_configuration_are_told_by_its_first_trial() -> None:
    results, failed, running = by_configuration(lived(study(9)).trials)
    assert results == {1: {0: 3.0, 1: 1.0, 2: 2.0}, 3: {1: 5.0}}
    assert failed == [2] and running == [5]


def test_among_equal_runs_a_share_is_the_rank_and_equals_are_equal() -> None:
    assert shares({1: {0: 3.0, 1: 1.0, 2: 2.0, 3: 2.0}}) == {0: 0.875, 1: 0.125, 2: 0.5, 3: 0.5}
    assert shares({}) == {}


def test_who_went_on_stays_ahead_of_who_did_not_in_the_order_of_the_longer_runs() -> None:
    short = {i: float(i) for i in range(9)}
    told = shares({1: short, 3: {0: 50.0, 1: 70.0, 2: 40.0}, 9: {2: -1.0}})
    assert sorted(told, key=lambda i: told[i]) == [2, 0, 1, 3, 4, 5, 6, 7, 8]
    assert told[3] == shares({1: short})[3]


def test_a_long_run_is_no_merit_where_a_configuration_began_with_it() -> None:
    short, long = {i: float(i) for i in range(9)}, {0: 50.0, 1: 70.0, 2: 60.0}
    told = shares({1: short, 3: {**long, 100: 71.0, 101: 90.0, 102: 55.0, 103: 10.0}})
    assert told[103] < told[0] < told[102] < told[2] < told[1] < told[100] < told[101]
    assert told[100] > told[3]


def test_a_configuration_that_gave_a_loss_once_has_not_failed() -> None:
    spec = study(9)
    seen = ModelSource(spec, Tpe(spec), 0.0).observed(lived(spec))
    assert seen.points.shape == (3, 2) and np.argsort(seen.losses).tolist() == [1, 2, 0]
    assert seen.failed.shape == (0, 2)
    assert seen.pending.tolist() == [spec.space.encode({"x": 0.4, "kind": "b"}).tolist()]


@pytest.mark.parametrize(("scheduler", "plain"), [("asha", Asha), ("hyperband", Hyperband)])
def test_without_a_model_it_is_its_scheduler(scheduler: str, plain: type) -> None:
    spec = study(27, runs=60)
    options = {"brackets": 1, "eta": 3, "keep": 3} if scheduler == "asha" else {}
    history = run(Bohb(spec, scheduler=scheduler, model="random", **options), opened(spec), workers=3)
    same = run(plain(spec), opened(spec), workers=3)
    assert [as_text([t.proposal]) for t in history.trials] == [as_text([t.proposal]) for t in same.trials]


@pytest.mark.parametrize("workers", [1, 8])
def test_places_are_those_of_hyperband_whatever_the_model_says(workers: int) -> None:
    spec = study(9)
    history = run(Bohb(spec, scheduler="hyperband"), opened(spec), workers=workers)
    same = run(Hyperband(spec), opened(spec))
    assert {place_of(t) for t in history.trials} == {place_of(t) for t in same.trials}


@pytest.mark.parametrize(
    ("least", "most", "begin"), [(1, 81, {1, 9}), (1, 27, {3, 27}), (1, 9, {1, 9}), (1, 4, {1, 4}), (2, 2, {2})]
)
def test_the_two_least_amounts_are_begun_with_by_default(least: int, most: int, begin: set[int]) -> None:
    spec = study(most, least, runs=150)
    history = run(Bohb(spec), opened(spec), workers=2)
    new = [t for t in history.trials if t.proposal.note and t.proposal.repeats is None]
    assert {t.proposal.resource for t in new} == begin
    assert {s["bracket"] for t in history.trials if (s := t.proposal.note)} == set(range(len(begin)))


def test_one_in_so_many_goes_on() -> None:
    spec = study(9, runs=400)
    for keep in (5, 20):
        history = run(Asha(spec, eta=9, keep=keep), opened(spec))
        begun = sum(t.proposal.repeats is None for t in history.trials)
        assert len(history.trials) - begun == begun // keep


@pytest.mark.by_default("tpe")
@pytest.mark.parametrize("model", ["tpe", "bayesian"])
def test_model_looks_where_losses_are_low(model: str) -> None:
    spec = study(9, runs=60)

    def loss(trial: object) -> float:
        params = trial.params  # type: ignore[attr-defined]
        return (params["x"] - 0.7) ** 2 + (params["kind"] != "b")

    history = run(Bohb(spec, model=model), opened(spec), loss=loss)
    late = [t.params for t in history.trials if t.id >= 20 and t.proposal.repeats is None]
    drawn = run(Bohb(spec, model="random"), opened(spec), loss=loss)
    others = [t.params for t in drawn.trials if t.id >= 20 and t.proposal.repeats is None]
    assert np.median([abs(p["x"] - 0.7) for p in late]) < 0.6 * np.median([abs(p["x"] - 0.7) for p in others])
    assert np.mean([p["kind"] == "b" for p in late]) > 0.6


def test_a_batch_holds_no_configuration_twice() -> None:
    spec = study(9, runs=200)
    history = run(Bohb(spec, random_share=0.0), opened(spec), most=40)
    got = [p for p in Bohb(spec, random_share=0.0).ask(history, 12) if p.repeats is None]
    assert len({as_text([Proposal(p.params)]) for p in got}) == len(got) > 6


def test_all_fail() -> None:
    spec = study(9, runs=40)
    for model in ("tpe", "bayesian"):
        assert run(Bohb(spec, model=model), opened(spec), workers=3, fail=lambda _: True).next_id == 40
