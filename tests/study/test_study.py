"""The values of the field: objective, table of trials, history and its indices, spec and its JSON form."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hpo_engine.maths import pareto
from hpo_engine.space.searchspace import Choice, Constant, Float, Int, SearchSpace
from hpo_engine.study.events import Event, apply
from hpo_engine.study.history import History
from hpo_engine.study.objective import Objective
from hpo_engine.study.spec import Budget, LinkedFile, Named, PriorTrial, Resource, Resources, StudySpec, TrialPolicy
from hpo_engine.study.table import TrialTable
from hpo_engine.study.trial import Attempt, Exit, Proposal, Result, Trial, TrialState
from tests.support import random_logs
from tests.support.examples import some

# -- the table of trials -----------------------------------------------------------------------------------------------


def a_trial(number: int, note: str = "") -> Trial:
    return Trial(number, Proposal({"x": number}), reason=note)


def had(*losses: float, resource: int | None = None) -> tuple[Result, ...]:
    """The results of a trial that had these losses."""
    return (Result(0, resource, losses),)


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


def test_table_tells_what_has_changed_since_an_earlier_one() -> None:
    table = TrialTable([a_trial(i) for i in range(300)])
    later = table.put(a_trial(5, "x")).put(a_trial(300)).put(a_trial(299, "x")).put(a_trial(301))
    assert [trial.id for trial in later.changed(table)] == [5, 299, 300, 301]
    assert [trial.id for trial in later.changed(later)] == []
    assert [trial.id for trial in table.changed(later)] == [5, 299]
    assert list(table.changed(TrialTable())) == list(table)


def test_table_is_told_apart_from_other_sequences() -> None:
    assert TrialTable([a_trial(0)]) != [a_trial(0)]
    assert TrialTable([a_trial(0)]) != TrialTable([a_trial(0, "x")])
    with pytest.raises(TypeError):
        hash(TrialTable())


@settings(max_examples=some(40), deadline=None)
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
    ongoing = [t for t in trials if t.state in (TrialState.PENDING, TrialState.RUNNING, TrialState.PAUSED)]
    assert history.open_ids == tuple(t.id for t in ongoing)
    assert history.open == tuple(ongoing)
    assert history.running == tuple(t for t in trials if t.state is TrialState.RUNNING)
    assert history.pending == tuple(t for t in trials if t.state is TrialState.PENDING)
    assert history.paused == tuple(t for t in trials if t.state is TrialState.PAUSED)
    assert history.finished == tuple(t for t in trials if t not in ongoing)
    assert history.ended_count == len(history.finished)
    good = {t.id: t.loss for t in trials if t.loss is not None}
    assert history.losses == good
    most = max((trials[i].trained for i in good), default=0)
    at_most = [i for i in good if trials[i].trained == most]
    best = min(at_most, key=lambda i: (trials[i].losses, i), default=None)
    assert history.best_id == best
    assert history.best == (None if best is None else trials[best])
    vectors = {i: trials[i].losses for i in at_most}
    assert history.front_ids == tuple(i for i in vectors if not any(beats(vectors, j, i) for j in vectors))
    sign = -1 if history.spec.objectives[0].goal == "maximize" else 1
    assert history.best_value == (None if best is None else sign * good[best])


def beats(vectors: Mapping[int, tuple[float, ...]], a: int, b: int) -> bool:
    """Whether trial a keeps b out of the front: it dominates it, or is the earlier one of equals."""
    x, y = vectors[a], vectors[b]
    return all(u <= v for u, v in zip(x, y, strict=True)) and (x != y or a < b)


@settings(max_examples=some(50), deadline=None)
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


@settings(max_examples=some(60), deadline=None)
@given(puts)
def test_indices_stay_right_whatever_a_trial_becomes(changes: list[tuple[int, TrialState, float | None]]) -> None:
    history = History(random_logs.spec())
    for number, state, loss in changes:
        number = min(number, history.next_id)
        history = history.with_trial(replace(a_trial(number), state=state, results=() if loss is None else had(loss)))
        check_indices(history)


def test_earliest_of_equals_is_the_best_also_when_it_ends_later() -> None:
    history = History(random_logs.spec())
    for number in (0, 1, 2):
        history = history.with_trial(a_trial(number))
    for number in (2, 0, 1):
        history = history.with_trial(replace(a_trial(number), state=TrialState.COMPLETED, results=had(1.0)))
    assert history.best_id == 0


def test_best_is_sought_among_those_that_got_the_most_of_the_resource() -> None:
    history = History(random_logs.spec(resource=Resource("epochs", 9)))

    def done(number: int, resource: int, loss: float) -> Trial:
        return Trial(number, Proposal({}, resource), TrialState.COMPLETED, results=had(loss, resource=resource))

    bests = []
    for trial in (done(0, 1, 0.2), done(1, 1, 0.1), done(2, 3, 0.9), done(3, 1, 0.0), done(4, 3, 0.8), done(5, 3, 0.8)):
        history = history.with_trial(trial)
        bests.append(history.best_id)
    assert bests == [0, 1, 2, 2, 4, 4]
    history = history.with_trial(replace(history.trials[4], state=TrialState.PENDING, results=()))
    assert history.best_id == 5


# -- progress with several objectives ----------------------------------------------------------------------------------

TWO = (Objective("loss"), Objective("acc", "maximize"))


def completed(*losses: tuple[float, ...]) -> Iterator[History]:
    """The history after each of these trials has ended."""
    history = History(random_logs.spec(objectives=TWO))
    for number, vector in enumerate(losses):
        trial = replace(a_trial(number), state=TrialState.COMPLETED, results=had(*vector))
        history = history.with_trial(trial)
        yield history


coordinates = st.floats(-9, 9).map(lambda x: round(x, 9))  # next to 1e-100, say, a later 1 is enormous
pairs = st.lists(st.tuples(coordinates, coordinates), min_size=1, max_size=30)


@settings(max_examples=some(50), deadline=None)
@given(pairs)
def test_hypervolume_never_shrinks_and_is_that_of_all_trials(losses: list[tuple[float, float]]) -> None:
    before = 0.0
    for count, history in enumerate(completed(*losses), 1):
        volume = history.hypervolume
        assert volume is not None and volume >= before * (1 - 1e-9)
        assert volume == pytest.approx(pareto.hypervolume(losses[:count], history.reference), rel=1e-9, abs=1e-12)
        before = volume


def test_reference_is_not_that_of_an_enormous_loss() -> None:
    losses = [(float(i), 9.0 - i) for i in range(8)]
    for one in ((1e200, -0.5), (-0.5, 1e308), (1.7e308, 1.7e308), (-1e300, 0.5)):
        for place in (0, 4, 8):
            *_, history = completed(*losses[:place], one, *losses[place:])
            assert max(history.reference) < 30
            assert history.hypervolume is not None and history.hypervolume > 10
    assert list(completed((1.7e308, -1.7e308), (-1.7e308, 1.7e308)))[-1].hypervolume is None


def test_reference_is_beyond_the_first_ten_and_stays() -> None:
    losses = [(float(i), 10.0 - i) for i in range(11)]
    histories = list(completed((0.0, 0.0), *losses, (-99.0, 99.0)))
    assert histories[0].reference == (0.0, 0.0) and histories[0].hypervolume == 0.0
    assert histories[3].reference == (2.2, 11.0)
    assert {h.reference for h in histories[9:]} == {(8.8, 11.0)}
    assert histories[-1].hypervolume == pytest.approx(8.8 * 11.0)  # the last one is beyond the reference


def test_no_hypervolume_without_trials_with_one_objective_or_beyond_numbers() -> None:
    assert History(random_logs.spec(objectives=TWO)).hypervolume is None
    history = History(random_logs.spec()).with_trial(replace(a_trial(0), state=TrialState.COMPLETED, results=had(1.0)))
    assert history.hypervolume is None and history.front_ids == (0,)
    huge = list(completed((1e308, -1e308), (-1e308, 1e308)))[-1]
    assert huge.hypervolume is None and huge.front_ids == (0, 1)


def test_a_study_has_an_objective() -> None:
    with pytest.raises(ValueError, match="needs an objective"):
        random_logs.spec(objectives=())


# -- trials ------------------------------------------------------------------------------------------------------------


def test_config_has_the_resource_under_its_name_and_leaves_the_parameters_alone() -> None:
    trial = Trial(0, Proposal({"x": 1, "epochs": 9}, resource=3))
    assert History(random_logs.spec()).config(trial) == {"x": 1, "epochs": 9}
    history = History(random_logs.spec(resource=Resource("epochs", 9)))
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
named = st.builds(Named, words, objects)
specs = st.builds(
    StudySpec,
    name=words,
    space=spaces,
    objectives=st.lists(
        st.builds(Objective, words, st.sampled_from(["minimize", "maximize"]), st.sampled_from(["best", "last"])),
        min_size=1,
        max_size=3,
    ).map(tuple),
    command=st.lists(words, max_size=3).map(tuple),
    model_dir=words,
    algorithm=named,
    budget=st.builds(Budget, st.none() | st.integers(1), st.none() | finite),
    resources=st.builds(Resources, st.integers(1, 99), st.none() | st.integers(1), st.none() | finite),
    trial=st.builds(TrialPolicy, st.none() | finite, st.integers(0, 9), finite, finite),
    env=st.dictionaries(words, words, max_size=3),
    data_dir=st.none() | words,
    data_root=st.none() | words,
    interpreter=st.none() | words,
    resource=st.none() | st.builds(Resource, words, st.integers(), st.integers()),
    experiments=st.lists(objects, max_size=3).map(tuple),
    extra_metrics=st.dictionaries(words, st.sampled_from(["minimize", "latest"]), max_size=2),
    prior=st.lists(st.builds(PriorTrial, st.integers(0, 3), objects, finite), max_size=3).map(tuple),
    stop=st.lists(named, max_size=3).map(tuple),
    trackers=st.lists(named, max_size=2).map(tuple),
    notes=st.lists(words, max_size=2).map(tuple),
    linked=st.lists(st.builds(LinkedFile, words, st.integers(0), st.integers(0)), max_size=2).map(tuple),
    dialect=objects,
    seed=st.none() | st.integers(0),
)


@pytest.mark.parametrize("examples", [30, pytest.param(300, marks=pytest.mark.slow)])
def test_spec_comes_back_from_its_json(examples: int) -> None:
    @settings(max_examples=examples, deadline=None)
    @given(specs)
    def holds(spec: StudySpec) -> None:
        text = json.dumps(spec.to_json(), allow_nan=False)
        again = StudySpec.from_json(json.loads(text))
        assert again == spec
        assert repr(again) == repr(spec)  # tuples stay tuples, 1 and 1.0 differ
        assert json.dumps(again.to_json()) == text

    holds()


def test_every_field_of_a_spec_is_in_its_json() -> None:
    data = random_logs.spec().to_json()
    assert set(data) == set(StudySpec.__dataclass_fields__)
    assert data["trial"] == {
        "time_limit_s": None,
        "on_time_limit": "fail",
        "retries": 0,
        "grace_s": 10.0,
        "log_mb": 16.0,
        "preload": "auto",
    }


def test_spec_of_another_version_is_read_where_it_is_known() -> None:
    spec = random_logs.spec(trial=TrialPolicy(retries=2))
    data: dict[str, Any] = {**spec.to_json(), "wormhole": 1}
    data["trial"] = {"retries": 2, "teleport": True}
    del data["dialect"], data["experiments"], data["budget"]
    assert StudySpec.from_json(data) == replace(spec, budget=Budget())


def test_what_a_trial_took_is_all_that_it_was_trained_with() -> None:
    def ran(number: int, seconds: float, resume: int | None) -> Attempt:
        return Attempt(number, f"n{number}", resume=resume, exit=Exit(code=0, seconds=seconds))

    interrupted, first, more = ran(1, 5.0, None), ran(2, 3.0, None), ran(3, 4.0, 0)
    trial = Trial(0, Proposal({}), attempts=(interrupted, first, more))
    assert (trial.took_s, trial.ran_s) == (7.0, 4.0)
    assert Trial(0, Proposal({}), attempts=(ran(1, 3.0, 7),)).took_s == 3.0, "the other trial's time is its own"
    assert Trial(0, Proposal({})).took_s is None
