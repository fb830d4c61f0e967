"""The values of the field: objective, table of trials, history and its indices, spec and its JSON form."""

from __future__ import annotations

import json
import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.events import Event, apply
from engine.space import Choice, Constant, Float, Int, SearchSpace
from engine.study import (
    Attempt,
    Budget,
    Exit,
    History,
    Objective,
    Proposal,
    Resources,
    Row,
    StudySpec,
    Trial,
    TrialPolicy,
    TrialState,
    TrialTable,
)
from tests import random_logs

# -- the objective -----------------------------------------------------------------------------------------------------


def rows(*values: float | None) -> list[Row]:
    return [Row(i, {"other": 5.0} if v is None else {"loss": v}) for i, v in enumerate(values)]


@pytest.mark.parametrize(
    ("goal", "over", "values", "picked"),
    [
        ("minimize", "best", (3.0, 1.0, 2.0), 1.0),
        ("maximize", "best", (1.0, 3.0, 2.0), 3.0),
        ("minimize", "last", (1.0, 3.0, 2.0), 2.0),
        ("maximize", "last", (1.0, 3.0, 2.0), 2.0),
        ("minimize", "best", (math.nan, -math.inf, 2.0), 2.0),
        ("maximize", "best", (math.nan, math.inf, 2.0), 2.0),
        ("minimize", "last", (1.0, math.nan, None), 1.0),
        ("minimize", "last", (1.0, math.inf, None), 1.0),
        ("minimize", "best", (math.nan, math.inf), None),
        ("minimize", "best", (None, None), None),
        ("maximize", "last", (), None),
        ("maximize", "best", (0.0, -1.0), 0.0),
    ],
)
def test_pick_is_the_best_or_last_finite_value(
    goal: str, over: str, values: tuple[float | None, ...], picked: float | None
) -> None:
    assert Objective("loss", goal, over).pick(rows(*values)) == picked


@given(st.floats(allow_nan=False), st.floats(allow_nan=False), st.sampled_from(["minimize", "maximize"]))
def test_smaller_loss_is_the_better_value_and_goes_back_to_it(a: float, b: float, goal: str) -> None:
    objective = Objective("loss", goal)
    assert objective.value(objective.loss(a)) == a
    better = a < b if goal == "minimize" else a > b
    assert (objective.loss(a) < objective.loss(b)) == better


@given(st.lists(st.floats(), max_size=6), st.sampled_from(["minimize", "maximize"]))
def test_no_row_has_a_smaller_loss_than_the_pick(values: list[float], goal: str) -> None:
    objective = Objective("loss", goal)
    picked = objective.pick(rows(*values))
    finite = [objective.loss(v) for v in values if math.isfinite(v)]
    assert (None if picked is None else objective.loss(picked)) == (min(finite) if finite else None)


# -- the table of trials -----------------------------------------------------------------------------------------------


def a_trial(number: int, note: str = "") -> Trial:
    return Trial(number, Proposal({"x": number}), reason=note)


def same(table: TrialTable, trials: Sequence[Trial]) -> None:
    """The table is this sequence, whichever way it is looked at."""
    assert len(table) == len(trials)
    assert list(table) == list(trials)
    assert [table[i] for i in range(len(trials))] == list(trials)
    assert [table[i] for i in range(-len(trials), 0)] == list(trials)
    assert table == TrialTable(trials)
    for index in (len(trials), -len(trials) - 1):
        with pytest.raises(IndexError):
            table[index]


@pytest.mark.parametrize("length", [0, 1, 127, 128, 129, 255, 256, 257, 300])
def test_table_grows_and_changes_over_the_borders_of_its_chunks(length: int) -> None:
    table, trials = TrialTable(), [a_trial(i) for i in range(length)]
    for each in trials:
        table = table.put(each)
    same(table, trials)
    for number in {0, 1, 126, 127, 128, 129, 254, 255, 256, length - 1} & set(range(length)):
        changed = table.put(a_trial(number, "changed"))
        same(table, trials)  # this one stays as it was
        same(changed, [*trials[:number], a_trial(number, "changed"), *trials[number + 1 :]])
        assert changed != table
    same(table.put(a_trial(length)), [*trials, a_trial(length)])
    for number in (length + 1, length + 128, -1):
        with pytest.raises(IndexError):
            table.put(a_trial(number))


def test_table_gives_slices() -> None:
    trials = [a_trial(i) for i in range(300)]
    table = TrialTable(trials)
    for part in (slice(None), slice(120, 140), slice(-5, None), slice(None, None, -50), slice(250, 900), slice(9, 3)):
        assert list(table[part]) == trials[part]


def test_table_is_told_apart_from_other_sequences() -> None:
    assert TrialTable([a_trial(0)]) != [a_trial(0)]
    assert TrialTable([a_trial(0)]) != TrialTable([a_trial(0, "x")])
    with pytest.raises(TypeError):
        hash(TrialTable())


@settings(max_examples=40, deadline=None)
@given(st.lists(st.integers(0, 260), max_size=60), st.integers(0, 260))
def test_table_is_the_list_that_it_stands_for(numbers: list[int], length: int) -> None:
    trials = [a_trial(i) for i in range(length)]
    table = TrialTable(trials)
    for turn, number in enumerate(numbers):
        number = min(number, len(trials))
        new = a_trial(number, str(turn))
        trials[number : number + 1] = [new]
        table = table.put(new)
    same(table, trials)


# -- the history -------------------------------------------------------------------------------------------------------


def check_indices(history: History) -> None:
    """What the history keeps in step is what a look at all its trials gives."""
    trials = list(history.trials)
    assert [t.id for t in trials] == list(range(history.next_id))
    assert dict(history.counts) == Counter(t.state for t in trials)
    ongoing = [t for t in trials if t.state in (TrialState.PENDING, TrialState.RUNNING)]
    assert history.open_ids == tuple(t.id for t in ongoing)
    assert history.open == tuple(ongoing)
    assert history.running == tuple(t for t in trials if t.state is TrialState.RUNNING)
    assert history.pending == tuple(t for t in trials if t.state is TrialState.PENDING)
    assert history.finished == tuple(t for t in trials if t not in ongoing)
    assert history.ended_count == len(history.finished)
    good = {t.id: t.loss for t in trials if t.state is TrialState.COMPLETED and t.loss is not None}
    assert history.losses == good
    most = max((trials[i].proposal.resource or 0 for i in good), default=0)
    at_most = [i for i in good if (trials[i].proposal.resource or 0) == most]
    best = min(at_most, key=lambda i: (good[i], i), default=None)
    assert history.best_id == best
    assert history.best == (None if best is None else trials[best])
    sign = -1 if history.spec.objective.goal == "maximize" else 1
    assert history.best_value == (None if best is None else sign * good[best])


@settings(max_examples=100, deadline=None)
@given(random_logs.logs(60))
def test_indices_stay_what_a_count_from_scratch_gives(events: list[Event]) -> None:
    history: History | None = None
    for event in events:
        history = apply(history, event)
        check_indices(history)


puts = st.lists(
    st.tuples(
        st.integers(0, 5),
        st.just(TrialState.COMPLETED) | st.sampled_from(TrialState),  # with more good ones than else
        random_logs.VALUES | st.none(),
    ),
    min_size=1,
    max_size=40,
)


@settings(max_examples=150, deadline=None)
@given(puts)
def test_indices_stay_right_whatever_a_trial_becomes(changes: list[tuple[int, TrialState, float | None]]) -> None:
    history = History(random_logs.spec())
    for number, state, loss in changes:
        number = min(number, history.next_id)
        history = history.with_trial(replace(a_trial(number), state=state, loss=loss))
        check_indices(history)


def test_earliest_of_equals_is_the_best_also_when_it_ends_later() -> None:
    history = History(random_logs.spec())
    for number in (0, 1, 2):
        history = history.with_trial(a_trial(number))
    for number in (2, 0, 1):
        history = history.with_trial(replace(a_trial(number), state=TrialState.COMPLETED, loss=1.0))
    assert history.best_id == 0


def test_best_is_sought_among_those_that_got_the_most_of_the_resource() -> None:
    history = History(random_logs.spec(resource_name="epochs"))

    def done(number: int, resource: int, loss: float) -> Trial:
        return Trial(number, Proposal({}, resource), TrialState.COMPLETED, loss=loss)

    bests = []
    for trial in (done(0, 1, 0.2), done(1, 1, 0.1), done(2, 3, 0.9), done(3, 1, 0.0), done(4, 3, 0.8), done(5, 3, 0.8)):
        history = history.with_trial(trial)
        bests.append(history.best_id)
    assert bests == [0, 1, 2, 2, 4, 4]
    history = history.with_trial(replace(history.trials[4], state=TrialState.PENDING, loss=None))
    assert history.best_id == 5


def test_config_has_the_resource_under_its_name_and_leaves_the_parameters_alone() -> None:
    trial = Trial(0, Proposal({"x": 1, "epochs": 9}, resource=3))
    assert History(random_logs.spec()).config(trial) == {"x": 1, "epochs": 9}
    history = History(random_logs.spec(resource_name="epochs"))
    assert history.config(trial) == {"x": 1, "epochs": 3}
    assert trial.params == {"x": 1, "epochs": 9}
    assert history.config(Trial(0, Proposal({"x": 1}))) == {"x": 1}


@pytest.mark.parametrize(
    ("attempts", "seconds"),
    [
        ((), None),
        ((Attempt(1, "a", started_at=1.0),), None),
        ((Attempt(1, "a", started_at=1.0, ended_at=4.0),), 3.0),
        ((Attempt(1, "a", started_at=1.0, ended_at=4.0, exit=Exit(0, seconds=2.5)),), 2.5),
        ((Attempt(1, "a", started_at=4.0, ended_at=1.0, exit=Exit(lost=True)),), 0.0),
        ((Attempt(1, "a", exit=Exit(1, seconds=2.5)), Attempt(2, "b", started_at=5.0)), 2.5),
        ((Attempt(1, "a", exit=Exit(1, seconds=2.5)), Attempt(2, "b", exit=Exit(0, seconds=7.0))), 7.0),
    ],
)
def test_time_that_a_trial_ran_is_that_of_its_latest_ended_run(
    attempts: tuple[Attempt, ...], seconds: float | None
) -> None:
    assert Trial(0, Proposal({}), attempts=attempts).ran_s == seconds


# -- the spec ----------------------------------------------------------------------------------------------------------

words = st.text(max_size=6)
finite = st.floats(allow_nan=False, allow_infinity=False)
json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | finite | words,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(words, inner, max_size=3),
    max_leaves=5,
)
objects = st.dictionaries(words, json_values, max_size=3)
spaces = st.sampled_from(
    [
        SearchSpace(()),
        SearchSpace((Float("x", 1e-5, 1.0, log=True), Int("n", 1, 9, step=2), Constant("c", [1, {"a": None}]))),
        SearchSpace((Choice("k", (1, 1.0, True, "1", None)), Float("m", 0.0, 0.5, step=0.1, when={"k": [1, "1"]}))),
    ]
)
specs = st.builds(
    StudySpec,
    name=words,
    space=spaces,
    objective=st.builds(Objective, words, st.sampled_from(["minimize", "maximize"]), st.sampled_from(["best", "last"])),
    command=st.lists(words, max_size=3).map(tuple),
    model_dir=words,
    algorithm=words,
    algorithm_options=objects,
    budget=st.builds(Budget, st.none() | st.integers(1), st.none() | finite),
    resources=st.builds(Resources, st.integers(1, 99), st.none() | st.integers(1), st.none() | finite),
    trial=st.builds(TrialPolicy, st.none() | finite, st.integers(0, 9), finite, finite),
    env=st.dictionaries(words, words, max_size=3),
    data_dir=st.none() | words,
    data_root=st.none() | words,
    interpreter=st.none() | words,
    resource_name=st.none() | words,
    resource_max=st.none() | st.integers(),
    experiments=st.lists(objects, max_size=3).map(tuple),
    extra_metrics=st.dictionaries(words, st.sampled_from(["minimize", "latest"]), max_size=2),
    labels=objects,
    seed=st.none() | st.integers(0),
)


@settings(max_examples=60, deadline=None)
@given(specs)
def test_spec_comes_back_from_its_json(spec: StudySpec) -> None:
    text = json.dumps(spec.to_json(), allow_nan=False)
    again = StudySpec.from_json(json.loads(text))
    assert again == spec
    assert repr(again) == repr(spec)  # tuples stay tuples, 1 and 1.0 differ
    assert json.dumps(again.to_json()) == text


def test_every_field_of_a_spec_is_in_its_json() -> None:
    data = random_logs.spec().to_json()
    assert set(data) == set(StudySpec.__dataclass_fields__)
    assert data["trial"] == {"time_limit_s": None, "retries": 0, "grace_s": 10.0, "log_mb": 16.0}


def test_spec_of_another_version_is_read_where_it_is_known() -> None:
    spec = random_logs.spec(trial=TrialPolicy(retries=2))
    data: dict[str, Any] = {**spec.to_json(), "wormhole": 1}
    data["trial"] = {"retries": 2, "teleport": True}
    del data["labels"], data["experiments"], data["budget"]
    assert StudySpec.from_json(data) == replace(spec, budget=Budget())
