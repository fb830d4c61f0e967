"""A whole log read in one pass: rows stay unread, and what cannot be read or cannot follow is refused with its number."""

from __future__ import annotations

import json
import sqlite3
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hpo_engine.errors import JournalError
from hpo_engine.executors.local.bound import BoundLaunch
from hpo_engine.store.journal import Follower, Journal, read_history
from hpo_engine.study.decoding import Record, decoded
from hpo_engine.study.events import (
    AttemptIntended,
    AttemptStarted,
    Event,
    MetricsSeen,
    SpecChanged,
    StopAsked,
    StudyClosed,
    StudyOpened,
    TrialEnded,
    TrialProposed,
    TrialReopened,
    apply,
    fold,
)
from hpo_engine.study.history import History
from hpo_engine.study.objective import Objective, Row
from hpo_engine.study.rows import Unread
from hpo_engine.study.spec import TrialPolicy
from hpo_engine.study.trial import Exit
from tests.support import random_logs
from tests.support.examples import some
from tests.support.helpers import seal
from tests.support.loop_bench import Bench


def records(events: list[Event]) -> list[Record]:
    """As the journal has them."""
    texts = [json.dumps(e.body(), allow_nan=False, separators=(",", ":")) for e in events]
    return [(i, e.at, e.kind, text) for i, (e, text) in enumerate(zip(events, texts, strict=True), 1)]


def stepwise(events: list[Event]) -> History:
    """The history made by one event at a time."""
    history: History | None = None
    for event in events:
        history = apply(history, event)
    assert history is not None
    return history


def same(one: History, other: History) -> bool:
    """Also in what looks alike (1 and 1.0), and where NaN is not itself."""
    return one.counts == other.counts and repr(one.trials[:]) == repr(other.trials[:]) and shown(one) == shown(other)


def shown(history: History) -> str:
    return repr({name: value for name, value in sorted(vars(history).items()) if name not in ("trials", "counts")})


@pytest.mark.parametrize("examples", [40, pytest.param(400, marks=pytest.mark.slow)])
def test_log_read_at_once_is_what_its_events_make_one_by_one(examples: int) -> None:
    @settings(max_examples=some(examples), deadline=None)
    @given(random_logs.logs(max_size=60), st.data())
    def holds(events: list[Event], data: st.DataObject) -> None:
        for count in (data.draw(st.integers(1, len(events))), len(events)):
            found = decoded(records(events[:count]), lazy=data.draw(st.booleans()))
            assert same(fold(found), stepwise(events[:count]))

    holds()


VALUES = [None, -1, 0, 1, 99, 1.5, True, "x", "failed", "completed", [], ["x"], [1.0, 2.0], {}, {"code": 1}, {"odd": 1}]


@settings(max_examples=some(100), deadline=None)
@given(random_logs.logs(), st.data())
def test_log_with_a_fault_is_refused_with_a_number_or_read_as_one_by_one(
    events: list[Event], data: st.DataObject
) -> None:
    found = records(events)
    at = data.draw(st.integers(0, len(found) - 1))
    number, when, kind, text = found[at]
    body = json.loads(text)
    name = data.draw(st.sampled_from(sorted(body) or ["odd"]))  # some have no fields
    fault = data.draw(st.sampled_from(["change", "change", "change", "drop", "add", "kind", "lose", "twice", "early"]))
    if fault == "change":
        body[name] = data.draw(st.sampled_from(VALUES))
    elif fault == "drop":
        body.pop(name, None)
    elif fault == "add":
        body[data.draw(st.sampled_from(["at", "odd", "value", "values", "exit", "trial"]))] = 1
    elif fault == "kind":
        kind = data.draw(st.sampled_from(sorted({k for _, _, k, _ in found} | {"odd", "study_opened"})))
    found[at] = (number, when, kind, json.dumps(body, separators=(",", ":")))
    if fault == "lose":
        del found[at]
    elif fault == "twice":
        found.insert(at, found[at])
    elif fault == "early":
        found.insert(data.draw(st.integers(0, at)), found.pop(at))
    try:
        history = fold(decoded(found))
    except JournalError as error:
        assert str(error).startswith(("event ", "the event log is empty")), error
    else:
        assert same(history, stepwise(list(decoded(found))))


def test_log_of_a_real_study_is_read_at_any_time(tmp_path: Path) -> None:
    """Retries, failures, an engine that is killed, an interrupt, a resume with other limits, a retry of the failed."""
    bench = Bench(tmp_path)

    def behave(launch: BoundLaunch) -> Exit | None:
        if launch.trial_id == 2 and launch.attempt == 1:
            bench.write(launch, [{"step": 1, "loss": float("nan")}])
            return None
        return Exit(code=3) if launch.trial_id % 4 == 1 else bench.good(launch)

    bench.behave = behave
    engine = bench.open(trial=TrialPolicy(retries=1), objectives=(Objective("loss", "maximize"),))
    for _ in range(6):
        bench.now += 1
        engine.step(bench.now)
    engine = bench.lead()  # the first was killed
    engine.interrupt("Ctrl-C", bench.now)
    bench.run(engine)
    bench.run(bench.lead(SpecChanged(bench.now, {"trials": 7, "parallel": 3})))
    bench.behave = bench.good
    bench.run(bench.lead(TrialReopened(bench.now, 1)))
    events = bench.store.read()
    found = records(events)
    for count in range(1, len(found) + 1):
        assert same(fold(decoded(found[:count], lazy=True)), stepwise(events[:count]))


# -- rows --------------------------------------------------------------------------------------------------------------


def opened_log(path: Path, *events: Event) -> str:
    journal = Journal(str(path), write=True)
    first: list[Event] = [StudyOpened(0.0, random_logs.spec().to_json()), TrialProposed(1.0, 0, {"x": 0.5})]
    first += [AttemptIntended(1.0, 0, 1, "n"), AttemptStarted(1.0, 0, 1, 7)]
    journal.append([*first, MetricsSeen(2.0, 0, (Row(1, {"loss": 0.5}),), True), *events])
    journal.close()
    return str(path)


def change(path: str, kind: str, body: str) -> None:
    db = sqlite3.connect(path)
    db.execute("UPDATE events SET body = ? WHERE kind = ?", (body, kind))
    db.commit()
    db.close()
    seal(path)


def test_rows_stay_unread_until_somebody_looks(tmp_path: Path) -> None:
    path = opened_log(tmp_path / "study.db", MetricsSeen(3.0, 0, (Row(2, {"loss": 0.25}),)))
    rows = read_history(path).trials[0].rows
    assert isinstance(rows, Unread)
    assert rows[-1] == Row(2, {"loss": 0.25}) and [row.step for row in rows] == [1, 2]


@pytest.mark.parametrize("text", ["[[1,2,3]]", '[[1,{"loss":}]]'])
def test_rows_that_are_none_are_told_to_who_looks_at_them(tmp_path: Path, text: str) -> None:
    path = opened_log(tmp_path / "study.db")
    change(path, "metrics_seen", f'{{"trial":0,"rows":{text},"replace":true}}')
    rows = read_history(path).trials[0].rows
    with pytest.raises(JournalError, match="rows in the event log cannot be read"):
        list(rows)


# -- a log that goes on ------------------------------------------------------------------------------------------------


def test_follower_applies_what_is_new_and_reads_nothing_twice(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = opened_log(tmp_path / "study.db")
    follower = Follower(path)
    assert follower.news() == [] and follower.history.events == 5
    monkeypatch.setattr(Journal, "history", None)
    writer = Journal(path, write=True)
    ended = TrialEnded(3.0, 0, "completed", 0.5)
    writer.append([ended, StudyClosed(4.0, "finished")])
    (first, after), (last, history) = follower.news()
    assert first == ended and last.kind == "study_closed"
    assert (after.best_id, after.state.value, history.state.value) == (0, "running", "finished")
    assert follower.history is history and follower.news() == []
    writer.close()
    follower.close()


def test_follower_refuses_an_event_that_cannot_follow(tmp_path: Path) -> None:
    path = opened_log(tmp_path / "study.db")
    follower = Follower(path)
    writer = Journal(path, write=True)
    writer.append([TrialProposed(3.0, 7, {})])
    writer.close()
    with pytest.raises(JournalError, match=r"event 6 \(trial_proposed\) cannot be applied: trial 7"):
        follower.news()


def test_known_history_is_continued_and_nothing_of_it_is_read_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = opened_log(tmp_path / "study.db")
    known = read_history(path)
    journal = Journal(path, write=True)
    journal.append([TrialEnded(3.0, 0, "completed", 0.5)])
    whole = read_history(path)
    read, asked = Journal.records, []
    monkeypatch.setattr(Journal, "records", lambda self, after=0: (asked.append(after), read(self, after))[1])
    assert same(journal.history(known), whole) and journal.history(whole) == whole
    assert asked == [5, 6]
    journal.close()


@pytest.mark.parametrize("other", ["cut", "cut and another end", "another study"])
def test_known_history_of_another_log_is_not_continued(tmp_path: Path, other: str) -> None:
    path = opened_log(tmp_path / "study.db", TrialEnded(3.0, 0, "completed", 0.5), StudyClosed(4.0, "finished"))
    known = read_history(path)
    events = Journal(path).read()
    if other == "another study":
        events[0] = replace(events[0], at=0.5)
    else:
        events = events[:-1] if other == "cut" else [*events[:-2], *(StopAsked(at, None) for at in (5.0, 6.0, 7.0))]
    Path(path).unlink()
    journal = Journal(path, write=True)
    journal.append(events)
    assert same(journal.history(known), stepwise(events))
    journal.close()


# -- what is refused, and how ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("kind", "body", "said"),
    [
        ("attempt_started", "{", "event 4 (attempt_started) cannot be read: "),
        ("attempt_started", "[]", "event 4: event of kind 'attempt_started' cannot be read"),
        ("attempt_started", "1,2", "event 4 (attempt_started) cannot be read: "),
        ("attempt_started", '["trial","attempt","pid"]', "event 4: event of kind 'attempt_started' cannot be read"),
        ("attempt_started", '{"trial":0,"attempt":1,"pid":1,"odd":1}', "event 4: event of kind 'attempt_started'"),
        ("attempt_started", '{"trial":0,"attempt":2,"pid":1}', "event 4 (attempt_started) cannot be applied: trial 0"),
        ("attempt_started", '{"trial":7,"attempt":1,"pid":1}', "event 4 (attempt_started) cannot be applied: there is"),
        ("study_opened", '{"trial":0}', "event 1: event of kind 'study_opened' cannot be read"),
        ("study_opened", '{"spec":{}}', "event 1 (study_opened) cannot be applied: "),
        ("metrics_seen", "{", "event 5 (metrics_seen) cannot be read: "),
        ("metrics_seen", '{"trial":3,"rows":[],"replace":true}', "event 5 (metrics_seen) cannot be applied: there is"),
        ("metrics_seen", '{"trial":3,"rows":[[1,{}]],"replace":true}', "event 5 (metrics_seen) cannot be applied: the"),
    ],
)
def test_what_is_wrong_is_told_with_the_file_and_the_number(tmp_path: Path, kind: str, body: str, said: str) -> None:
    path = opened_log(tmp_path / "study.db")
    change(path, kind, body)
    with pytest.raises(JournalError) as caught:
        read_history(path)
    assert str(caught.value).startswith(f"{path}: {said}") and "\n" not in str(caught.value)
