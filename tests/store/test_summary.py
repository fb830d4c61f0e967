"""The study in short says what the fold of the same log says, and is written with the events or not at all."""

from __future__ import annotations

import sqlite3
from pathlib import Path

import pytest

from hpo_engine.errors import JournalError
from hpo_engine.executors.local.bound import BoundLaunch
from hpo_engine.searchers import Searcher
from hpo_engine.store import journal as journals
from hpo_engine.store.journal import Journal, read_history, read_summary
from hpo_engine.store.summary import Summary, kept
from hpo_engine.study.events import SpecChanged, StudyClosed, apply, fold
from hpo_engine.study.history import History
from hpo_engine.study.objective import Objective
from hpo_engine.study.spec import Budget, Resource, TrialPolicy
from hpo_engine.study.trial import Exit, Proposal
from tests.support.helpers import seal
from tests.support.loop_bench import Bench


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    return Bench(tmp_path)


def check(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    """At every prefix of the log, without a look at its events."""
    events = bench.store.read()
    path = bench.paths.db
    journal = Journal(path, write=True)
    monkeypatch.setattr(journals, "read_history", None)
    for number, event in enumerate(events, 1):
        history = fold(events[:number])
        journal.append([event], history)
        seen = read_summary(path)
        best = None if history.best_id is None else (history.best_id, history.best_value)
        assert seen.counts == {state.value: count for state, count in history.counts.items()}
        assert (seen.state, seen.best, seen.total) == (history.state.value, best, history.spec.budget.trials)
        assert (seen.metrics, seen.front) == (tuple(o.metric for o in history.spec.objectives), len(history.front_ids))
        assert (seen.done, seen.runs, seen.last_at) == (history.ended_count, history.next_id, history.last_at)
    journal.close()


def test_finished_study(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    bench.run(bench.open(objectives=(Objective("loss", "maximize"),)))
    check(bench, monkeypatch)


def test_study_with_two_objectives(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    def behave(launch: BoundLaunch) -> Exit:
        i = launch.trial_id
        bench.write(launch, [{"loss": (3 * i) % 7, "speed": (3 * i) % 7}] if i != 2 else [{"loss": 1}])
        return Exit(code=0)

    bench.behave = behave
    aims = (Objective("loss", over="last"), Objective("speed", "maximize", "last"))
    history = bench.run(bench.open(objectives=aims, budget=Budget(8)))
    assert len(history.front_ids) > 1 and history.trials[2].state.value == "failed"
    check(bench, monkeypatch)


def test_study_with_failures_retries_interrupts_and_new_limits(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    bench.behave = lambda launch: Exit(code=1) if launch.trial_id % 2 else bench.good(launch)
    bench.run(bench.open(budget=Budget(5), trial=TrialPolicy(retries=1)))
    bench.behave = lambda launch: None
    bench.now += 500
    engine = bench.lead(SpecChanged(bench.now, {"trials": 9}))
    engine.step(bench.now)
    bench.now += 100  # killed here
    bench.executor.alive = {launch.nonce for launch in bench.executor.launched}
    engine = bench.engine()
    engine.interrupt("Ctrl-C", bench.now + 7)
    bench.run(engine)
    check(bench, monkeypatch)


def test_study_with_a_resource(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    class Rationing(Searcher):
        def ask(self, history: History, count: int) -> list[Proposal]:
            ids = range(history.next_id, history.next_id + count)
            return [Proposal({"x": 0.1}, (None, 1, 3, 2)[i % 4]) for i in ids]

    bench.searcher = Rationing()
    history = bench.run(bench.open(budget=Budget(9), resource=Resource("epochs", 3)))
    assert history.best_id == 0, "a proposal without a resource gets the most"
    assert [t.proposal.resource for t in history.trials] == [3, 1, 3, 2, 3, 1, 3, 2, 3]
    check(bench, monkeypatch)


# -- a summary that is not of these events -----------------------------------------------------------------------------


@pytest.fixture
def log(bench: Bench) -> str:
    bench.run(bench.open(budget=Budget(4)))
    events = bench.store.read()
    journal = Journal(bench.paths.db, write=True)
    journal.append(events[:-1])
    journal.append(events[-1:], fold(events))
    journal.close()
    return bench.paths.db


def sql(path: str, statement: str) -> None:
    db = sqlite3.connect(path)
    db.execute(statement)
    db.commit()
    db.close()


@pytest.mark.parametrize(
    "change",
    ["UPDATE events SET summary = NULL", "DELETE FROM events WHERE seq > 6", "ALTER TABLE events DROP COLUMN summary",
     "UPDATE events SET summary = replace(summary, '4', '5')", "UPDATE events SET summary = 6",
     "UPDATE events SET summary = (SELECT summary FROM events WHERE seq = 1)", "UPDATE events SET summary = x'00'"],
)  # fmt: skip
def test_summary_that_is_missing_behind_or_changed_is_made_from_the_events(log: str, change: str) -> None:
    if "DROP COLUMN" in change:  # it is named by no trigger then
        sql(log, "DROP TRIGGER changed")
        sql(log, "DROP TRIGGER removed")
    sql(log, change)
    assert read_summary(log) == Summary.of(read_history(log))


def test_summary_of_a_writer_that_gave_none_is_made_from_the_events(log: str) -> None:
    journal = Journal(log, write=True)
    journal.append([StudyClosed(1e9, "stopped")])
    journal.close()
    assert (read_summary(log).state, read_summary(log).last_at) == ("stopped", 1e9)


def test_events_that_are_not_committed_leave_the_summary_as_it_was(log: str) -> None:
    before = read_summary(log)
    journal = Journal(log, write=True)
    sql(log, "CREATE TRIGGER no BEFORE INSERT ON events BEGIN SELECT RAISE(ABORT, 'no'); END")
    closed = StudyClosed(1e9, "stopped")
    history = fold([*journal.read(), closed])
    with pytest.raises(JournalError):
        journal.append([closed], history)
    sql(log, "DROP TRIGGER no")
    assert read_summary(log) == before == Summary.of(read_history(log))
    journal.append([closed], history)
    assert read_summary(log) == Summary.of(history) and kept(journal._db) == Summary.of(history)
    journal.close()


def test_summary_is_written_when_something_of_it_has_changed(log: str) -> None:
    """Else a number stands for it: reports of a running trial add eight bytes."""
    journal = Journal(log, write=True)
    history = journal.history()
    for at in (1e9, 2e9, 1.5e9):  # the clock was set back
        history = apply(history, SpecChanged(at, {"parallel": 3}))
        journal.append([SpecChanged(at, {"parallel": 3})], history)
        assert kept(journal._db) == Summary.of(history)
    values = [value for (value,) in journal._db.execute("SELECT summary FROM events ORDER BY seq DESC LIMIT 3")]
    assert [type(value) for value in values] == [str, int, str]
    journal.close()


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ("UPDATE events SET kind = 'trial_teleported' WHERE seq = 4", "event 4 is not what was written"),
        ("UPDATE events SET body = replace(body, '0', '1') WHERE seq = 4", "event 4 is not what was written"),
        ("DELETE FROM events WHERE seq = 4", "event 4 is missing"),
        ("DELETE FROM events WHERE seq < 4", "event 1 is missing"),
        ("DELETE FROM events", "the event log is empty"),
        ("DROP TABLE events", "no such table: events"),
    ],
)
@pytest.mark.parametrize("size", ["small", "large"])
def test_damage_is_refused_as_reading_the_whole_log_does(
    log: str, change: str, words: str, size: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    if size == "large":
        monkeypatch.setattr(journals, "_CHECKED", 2)
    sql(log, change)
    for read in (read_history, read_summary):
        with pytest.raises(JournalError, match=words):
            read(log)


def test_byte_flipped_in_one_of_the_latest_events_is_seen(log: str) -> None:
    data = Path(log).read_bytes()
    place = data.index(b'"trial":3,"attempt":1')
    Path(log).write_bytes(data[: place + 8] + b"2" + data[place + 9 :])
    for read in (read_history, read_summary):
        with pytest.raises(JournalError, match="is not what was written"):
            read(log)


def test_engine_whose_events_somebody_changes_writes_nothing_more(log: str) -> None:
    journal = Journal(log, write=True)
    sql(log, "UPDATE events SET body = replace(body, '0', '1') WHERE seq = 4")
    with pytest.raises(JournalError, match="somebody changed events while the engine ran"):
        journal.append([StudyClosed(1e9, "stopped")])
    journal.close()


def test_what_is_wrong_with_the_events_is_told_if_they_are_needed(log: str) -> None:
    sql(log, "UPDATE events SET kind = 'trial_teleported' WHERE seq = 4")
    seal(log)
    with pytest.raises(JournalError, match="event 4: event of kind 'trial_teleported'"):
        read_summary(log)


def test_what_is_no_log_is_told(tmp_path: Path) -> None:
    path = tmp_path / "study.db"
    for content in (b"", b"not a database" * 100):
        path.write_bytes(content)
        with pytest.raises(JournalError, match="study.db"):
            read_summary(str(path))
