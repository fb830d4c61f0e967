"""The history straight from the records is the fold of the events, and what the fold refuses is left to it."""

from __future__ import annotations

import json
import sqlite3
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hpo_engine.core.ports import Launch
from hpo_engine.errors import JournalError
from hpo_engine.store import digest
from hpo_engine.store.journal import Journal, Record
from hpo_engine.study.events import (
    AttemptIntended,
    AttemptStarted,
    Event,
    MetricsSeen,
    SpecChanged,
    StudyOpened,
    TrialEnded,
    TrialProposed,
    TrialReopened,
    fold,
    from_body,
)
from hpo_engine.study.history import History
from hpo_engine.study.objective import Objective, Row
from hpo_engine.study.rows import Unread
from hpo_engine.study.spec import TrialPolicy
from hpo_engine.study.trial import Exit
from tests.support import random_logs
from tests.support.helpers import seal
from tests.support.loop_bench import Bench


def records(events: list[Event]) -> list[Record]:
    """As the journal has them."""
    texts = [json.dumps(e.body(), allow_nan=False, separators=(",", ":")) for e in events]
    return [(i, e.at, e.kind, text) for i, (e, text) in enumerate(zip(events, texts, strict=True), 1)]


def folded(found: list[Record]) -> History:
    return fold([from_body(kind, at, json.loads(text)) for _, at, kind, text in found])


def same(one: History | None, other: History) -> bool:
    """Also in what looks alike (1 and 1.0), and where NaN is not itself."""
    assert one is not None
    assert (one.counts, one.members, one.early) == (other.counts, other.members, other.early)
    return repr(one.trials[:]) == repr(other.trials[:]) and repr(told(one)) == repr(told(other))


def told(history: History) -> dict[str, Any]:
    return {name: value for name, value in vars(history).items() if name not in ("trials", "counts")}


@settings(max_examples=80, deadline=None)
@given(random_logs.logs(max_size=60), st.data())
def test_any_log_has_the_history_that_it_folds_to_at_any_time(events: list[Event], data: st.DataObject) -> None:
    found = records(events)
    for count in (data.draw(st.integers(1, len(found))), len(found)):
        assert same(digest.history(found[:count], lazy=data.draw(st.booleans())), fold(events[:count]))


VALUES = [None, -1, 0, 1, 99, 1.5, True, "x", "failed", "completed", [], ["x"], [1.0, 2.0], {}, {"code": 1}, {"odd": 1}]


@settings(max_examples=250, deadline=None)
@given(random_logs.logs(), st.data())
def test_log_with_a_fault_is_refused_or_read_as_the_fold_does(events: list[Event], data: st.DataObject) -> None:
    found = records(events)
    at = data.draw(st.integers(0, len(found) - 1))
    number, when, kind, text = found[at]
    body = json.loads(text)
    name = data.draw(st.sampled_from(sorted(body)))
    fault = data.draw(st.sampled_from(["change", "change", "change", "drop", "add", "kind", "lose", "twice", "early"]))
    if fault == "change":
        body[name] = data.draw(st.sampled_from(VALUES))
    elif fault == "drop":
        del body[name]
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
    quick = digest.history(found)
    try:
        history = folded(found)
    except JournalError:
        assert quick is None
    else:
        assert quick is None or same(quick, history)


def test_log_of_a_real_study_is_read_at_any_time(tmp_path: Path) -> None:
    """Retries, failures, an engine that is killed, an interrupt, a resume with other limits, a retry of the failed."""
    bench = Bench(tmp_path)

    def behave(launch: Launch) -> Exit | None:
        if launch.trial_id == 2 and launch.attempt == 1:
            bench.write(launch, [{"step": 1, "loss": float("nan")}])
            return None
        return Exit(code=3) if launch.trial_id % 4 == 1 else bench.good(launch)

    bench.behave = behave
    engine = bench.open(trial=TrialPolicy(retries=1), objective=Objective("loss", "maximize"))
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
        assert same(digest.history(found[:count], lazy=True), fold(events[:count]))


def test_more_of_a_resource_begins_the_front_anew() -> None:
    opened = random_logs.spec(resource_name="epochs", resource_max=9)
    events: list[Event] = [StudyOpened(0.0, opened.to_json())]
    for trial, resource in enumerate([1, 3, 1, 3, 9]):
        events += [TrialProposed(1.0, trial, {"x": 0.5}, resource, {"rung": 0}), AttemptIntended(1.0, trial, 1, "n")]
    for trial, value in [(1, 0.5), (0, 0.1), (3, 0.4), (2, 0.05), (4, 2.0)]:
        events.append(TrialEnded(2.0, trial, "completed", value))
        history = digest.history(records(events))
        assert same(history, fold(events))
    assert history is not None and history.best_id == 4


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
    rows = digest.read(path).trials[0].rows
    assert isinstance(rows, Unread)
    assert rows[-1] == Row(2, {"loss": 0.25}) and [row.step for row in rows] == [1, 2]


def test_what_is_wrong_with_a_body_is_said_as_the_fold_says_it(tmp_path: Path) -> None:
    for kind, body in [("attempt_started", "{"), ("attempt_started", '{"trial":0,"attempt":2,"pid":1}'),
                       ("attempt_started", "[]"), ("attempt_started", "1,2"), ("study_opened", '{"trial":0}'),
                       ("metrics_seen", "{"), ("metrics_seen", '{"trial":0,"rows":[[1,{"loss":}]],"replace":true}'),
                       ("metrics_seen", '{"trial":3,"rows":[],"replace":true}')]:  # fmt: skip
        path = opened_log(tmp_path / f"{abs(hash((kind, body)))}.db")
        change(path, kind, body)
        with pytest.raises(JournalError) as said:
            digest.read(path)
        journal = Journal(path)
        with pytest.raises(JournalError) as expected:
            fold(journal.read())
        journal.close()
        assert str(said.value) == str(expected.value)


def test_rows_that_are_none_are_told_to_who_looks_at_them(tmp_path: Path) -> None:
    path = opened_log(tmp_path / "study.db")
    change(path, "metrics_seen", '{"trial":0,"rows":[[1,2,3]],"replace":true}')
    rows = digest.read(path).trials[0].rows
    with pytest.raises(JournalError, match="rows in the event log cannot be read"):
        list(rows)
