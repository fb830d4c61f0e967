"""The short look says what the fold of the same log says."""

from __future__ import annotations

from pathlib import Path

import pytest

from hpo_engine.core.ports import Searcher
from hpo_engine.errors import JournalError
from hpo_engine.executors.local.bound import BoundLaunch
from hpo_engine.store.journal import Journal
from hpo_engine.store.summary import glance
from hpo_engine.study.events import SpecChanged, fold
from hpo_engine.study.history import History
from hpo_engine.study.objective import Objective
from hpo_engine.study.spec import Budget, Resource, TrialPolicy
from hpo_engine.study.trial import Exit, Proposal
from tests.support.loop_bench import Bench


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    return Bench(tmp_path)


def check(bench: Bench) -> None:
    """At every prefix of the log."""
    events = bench.store.read()
    path = bench.paths.db
    journal = Journal(path, write=True)
    for number, event in enumerate(events, 1):
        journal.append([event])
        seen, history = glance(path), fold(events[:number])
        best = None if history.best_id is None else (history.best_id, history.best_value)
        assert seen.counts == {state.value: count for state, count in history.counts.items()}
        assert (seen.state, seen.best, seen.total) == (history.state.value, best, history.spec.budget.trials)
        assert (seen.metrics, seen.front) == (tuple(o.metric for o in history.spec.objectives), len(history.front))
        assert seen.ended == history.ended_count
        assert seen.seconds == pytest.approx(history.spent_s)
        assert (seen.engine_at, seen.last_at) == (history.engine_at, history.last_at)
    journal.close()


def test_finished_study(bench: Bench) -> None:
    bench.run(bench.open(objectives=(Objective("loss", "maximize"),)))
    check(bench)


def test_study_with_two_objectives(bench: Bench) -> None:
    def behave(launch: BoundLaunch) -> Exit:
        i = launch.trial_id
        bench.write(launch, [{"loss": (3 * i) % 7, "speed": (3 * i) % 7}] if i != 2 else [{"loss": 1}])
        return Exit(code=0)

    bench.behave = behave
    aims = (Objective("loss", over="last"), Objective("speed", "maximize", "last"))
    history = bench.run(bench.open(objectives=aims, budget=Budget(8)))
    assert len(history.front) > 1 and history.trials[2].state.value == "failed"
    check(bench)


def test_study_with_failures_retries_interrupts_and_new_limits(bench: Bench) -> None:
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
    check(bench)


def test_study_with_a_resource(bench: Bench) -> None:
    class Rationing(Searcher):
        def ask(self, history: History, count: int) -> list[Proposal]:
            ids = range(history.next_id, history.next_id + count)
            return [Proposal({"x": 0.1}, (None, 1, 3, 2)[i % 4]) for i in ids]

    bench.searcher = Rationing()
    history = bench.run(bench.open(budget=Budget(9), resource=Resource("epochs", 3)))
    assert history.best_id == 0, "who says nothing of the resource gets the most"
    assert [t.proposal.resource for t in history.trials] == [3, 1, 3, 2, 3, 1, 3, 2, 3]
    check(bench)


def test_what_is_no_log_is_told(tmp_path: Path) -> None:
    path = tmp_path / "study.db"
    for content in (b"", b"not a database" * 100):
        path.write_bytes(content)
        with pytest.raises(JournalError, match="study.db"):
            glance(str(path))
