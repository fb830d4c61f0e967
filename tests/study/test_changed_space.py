"""A study whose space has changed: which trials are evidence, by an independent reading; what its searcher sees."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hpo_engine import assembly
from hpo_engine.core.queue import TrialQueue
from hpo_engine.searchers.observations import Observer
from hpo_engine.space.searchspace import Choice, Float, Int, SearchSpace
from hpo_engine.study.events import (
    AttemptIntended,
    Event,
    SpecChanged,
    StudyOpened,
    TrialEnded,
    TrialProposed,
    TrialQueued,
    fold,
)
from hpo_engine.study.history import History
from hpo_engine.study.projection import Projection, fitting, member
from hpo_engine.study.spec import Budget, Named, PriorTrial, Resource, StudySpec
from hpo_engine.study.trial import Queued, TrialState
from tests.support.random_logs import spec as spec_of

OLD = SearchSpace((Float("lr", 0.001, 0.1, log=True), Int("depth", 1, 4), Choice("pool", ("max", "mean", "none"))))


def told(space: SearchSpace, params: dict[str, Any], was: dict[str, Any]) -> dict[str, Any] | None:
    """By trial: a configuration is in the space if it decodes from itself."""
    whole = {**{name: value for name, value in was.items() if name in space and name not in params}, **params}
    whole = {name: v for name, v in whole.items() if name in params or _applies(space, name, whole)}
    return space.tidied(whole) if space.problem_with(whole) is None else None


def _applies(space: SearchSpace, name: str, params: dict[str, Any]) -> bool:
    return all(params.get(parent) == value for parent, value in (space[name].when or {}).items())


@given(
    st.floats(0.001, 0.1), st.integers(1, 4), st.sampled_from(["max", "mean", "none"]),
    st.sampled_from([(0.001, 0.1), (0.01, 0.3), (0.05, 0.06)]), st.sampled_from([(1, 4), (2, 9), (3, 3)]),
    st.sampled_from([("max", "mean", "none"), ("max",), ("mean", "none", "both")]),
    st.sampled_from([None, 0.0, 0.25, 0.9]), st.booleans(),
)  # fmt: skip
def test_a_trial_is_evidence_if_its_configuration_is_in_the_new_space(
    lr: float, depth: int, pool: str, ends: tuple[float, float], whole: tuple[int, int], pools: tuple[str, ...],
    was: float | None, conditional: bool,
) -> None:  # fmt: skip
    when = {"pool": pools[0]} if conditional else None
    space = SearchSpace(
        (Float("lr", *ends, log=True), Int("depth", *whole), Choice("pool", pools), Float("drop", 0.0, 0.5, when=when))
    )
    params, values = {"lr": lr, "depth": depth, "pool": pool}, {} if was is None else {"drop": was}
    assert member(params, space, values) == told(space, params, values)


def log_of(count: int, changed: StudySpec | None = None, opened: StudySpec | None = None) -> list[Event]:
    """A study of `count` completed trials, which is changed after them."""
    opened = opened or spec_of(space=OLD, budget=Budget(40))
    events: list[Event] = [StudyOpened(0.0, opened.to_json())]
    for i in range(count):
        unit = [((i * k + 1) % 11) / 11 for k in (3, 5, 7)]
        resource = None if opened.resource is None else opened.resource.max
        note = None if opened.resource is None else {"bracket": 0, "rung": 0, "place": i}
        events += [
            TrialProposed(1.0, i, opened.space.decode(unit), resource, note),
            AttemptIntended(1.0, i, 1, str(i)),
            TrialEnded(2.0, i, "completed", sum(unit), "", {"code": 0}),
        ]
    return events if changed is None else [*events, SpecChanged(3.0, {}, changed.to_json())]


NEW = SearchSpace(
    (Float("lr", 0.01, 0.3, log=True), Int("depth", 1, 8), Choice("pool", ("max", "mean")), Float("drop", 0.0, 0.5))
)


def changed_study(**changes: Any) -> StudySpec:
    return spec_of(**{"space": NEW, "was": {"drop": 0.0}, "budget": Budget(40), **changes})


def test_a_study_that_was_never_changed_is_seen_as_it_is() -> None:
    history = fold(log_of(5))
    assert Projection().of(history) is history
    limited = fold([*log_of(5), SpecChanged(3.0, {"trials": 50})])
    assert Projection().of(limited) is limited


def test_trials_outside_keep_their_number_and_their_place_and_are_no_evidence() -> None:
    history = fold(log_of(10, changed_study()))
    seen = Projection().of(history)
    inside = [t.id for t in history.trials if t.params["lr"] >= 0.01 and t.params["pool"] != "none"]
    assert 0 < len(inside) < 10 and [t.id for t in seen.trials] == list(range(10))
    assert [t.id for t in seen.trials if t.state is TrialState.COMPLETED] == inside == list(seen.losses)
    assert all(seen.trials[i].params == {**history.trials[i].params, "drop": 0.0} for i in inside)
    assert seen.counts == {TrialState.COMPLETED: len(inside), TrialState.STOPPED: 10 - len(inside)}
    assert history.best_id == 0 and all(t.state is TrialState.COMPLETED for t in history.trials), "tables have all"


def test_what_is_kept_between_calls_changes_no_answer() -> None:
    """Along a log in which the space changes twice and trials go on."""
    opened = spec_of(space=OLD, budget=Budget(40))
    events = [*log_of(8, changed_study()), *log_of(12)[1 + 3 * 8 :], SpecChanged(4.0, {}, opened.to_json())]
    kept = Projection()
    for end in range(1, len(events) + 1):
        history = fold(events[:end])
        assert kept.of(history) == Projection().of(history)


ALGORITHMS = ["random", "sobol", "tpe", "bayesian", "cmaes", "evolution", "auto"]


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_every_searcher_proposes_inside_the_new_space_and_the_same_after_a_restart(algorithm: str) -> None:
    opened = spec_of(space=OLD, budget=Budget(40), algorithm=Named(algorithm))
    changed = changed_study(algorithm=Named(algorithm))
    events = log_of(12, changed, opened)
    queue = TrialQueue(changed, assembly.searcher(changed))  # as it is made when the change is taken
    for number in range(12, 16):
        history = fold(events)
        (proposal,) = queue.ask(history, 1)
        assert NEW.problem_with(proposal.params) is None
        again = TrialQueue(changed, assembly.searcher(changed))  # as it is made by an engine that resumes here
        assert again.ask(history, 1) == [proposal]
        events += [
            TrialProposed(4.0, number, proposal.params, note=proposal.note),
            AttemptIntended(4.0, number, 1, str(number)),
            TrialEnded(5.0, number, "completed", 1.0 / number, "", {"code": 0}),
        ]


@pytest.mark.parametrize("algorithm", ["hyperband", "asha", "bohb"])
def test_what_is_outside_is_not_promoted(algorithm: str) -> None:
    """All of the first rung are outside but two, which are the worst."""
    resource = Resource("epochs", 9)
    fixed: dict[str, Any] = {"algorithm": Named(algorithm), "resource": resource, "budget": Budget(40)}
    opened = spec_of(space=OLD, **fixed)
    history, made = fold([StudyOpened(0.0, opened.to_json())]), assembly.searcher(opened)
    events: list[Event] = [StudyOpened(0.0, opened.to_json())]
    queue = TrialQueue(opened, made)
    for i in range(9):
        (proposal,) = queue.ask(history, 1)
        events.append(
            TrialProposed(1.0, i, proposal.params, proposal.resource, proposal.note, repeats=proposal.repeats)
        )
        history = fold(events)
    depths = [t.params["depth"] for t in history.trials]
    for i in range(9):
        value = float(depths[i] == max(depths)) + i / 100
        events += [AttemptIntended(1.0, i, 1, str(i)), TrialEnded(2.0, i, "completed", value, "", {"code": 0})]
    narrow = SearchSpace((OLD["lr"], Int("depth", max(depths), 9), OLD["pool"]))
    changed = spec_of(space=narrow, **fixed)
    events.append(SpecChanged(3.0, {}, changed.to_json()))
    history, queue = fold(events), TrialQueue(changed, assembly.searcher(changed))
    for _ in range(6):
        for proposal in queue.ask(history, 1):
            assert narrow.problem_with(proposal.params) is None
            if proposal.carry_on is None:
                number = history.next_id
                events += [
                    TrialProposed(4.0, number, proposal.params, proposal.resource, proposal.note, repeats=proposal.repeats),
                    AttemptIntended(4.0, number, 1, str(number)),
                    TrialEnded(5.0, number, "completed", 1.0 / number, "", {"code": 0}),
                ]  # fmt: skip
        history = fold(events)


# -- the queue, and earlier studies ------------------------------------------------------------------------------------


def test_queued_configurations_outside_leave_the_queue_and_parts_of_earlier_ones_stay() -> None:
    events: list[Event] = [
        *log_of(0),
        TrialQueued(1.0, 0, {"lr": 0.05, "depth": 2}),
        TrialQueued(1.0, 1, {"lr": 0.002, "depth": 2}),
        TrialQueued(1.0, 2, {"lr": 0.002, "depth": 3}, 0),
        TrialQueued(1.0, 3, {"pool": "none"}, 0),
        TrialQueued(1.0, 4, {"pool": "max"}, None, True),
        SpecChanged(2.0, {}, changed_study().to_json()),
    ]
    assert fold(events).queue == (
        Queued(4, {"pool": "max"}, None, True), Queued(0, {"lr": 0.05, "depth": 2}), Queued(2, {"depth": 3}, 0)
    )  # fmt: skip


def test_an_entry_that_fits_is_the_same_one() -> None:
    entry = Queued(0, {"lr": 0.05})
    assert fitting(entry, NEW) is entry


def test_trials_of_earlier_studies_are_reduced_to_the_new_space() -> None:
    from hpo_engine.study.revision import revised

    prior = (PriorTrial(0, {"lr": 0.002, "depth": 2}, 0.0), PriorTrial(0, {"pool": "none"}, 1.0))
    history = fold([StudyOpened(0.0, spec_of(space=OLD, prior=prior, warm_start=("a",)).to_json())])
    new = revised(history, replace(history.spec, space=NEW, prior=()))
    assert new.prior == (PriorTrial(0, {"depth": 2}, 0.0),)


def test_a_space_that_is_widened_again_has_its_trials_back() -> None:
    opened = spec_of(space=OLD, budget=Budget(40))
    events = [*log_of(10, changed_study()), SpecChanged(4.0, {}, opened.to_json())]
    seen: History = Projection().of(fold(events))
    assert list(seen.losses) == list(range(10))


def test_a_new_study_learns_from_one_whose_space_has_changed() -> None:
    """As `studies.with_prior` reads it: a choice that is gone has no place in the space."""
    history = fold(log_of(10, changed_study()))
    with pytest.raises(ValueError):
        Observer(NEW).read(history)
    seen = Projection().of(history)
    assert Observer(NEW).read(seen).losses.tolist() == list(seen.losses.values())
