"""Which checkpoints are deleted, and that nothing else is."""

from __future__ import annotations

import os
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hpo_engine.core.tidying import taken_up, to_delete
from hpo_engine.errors import JournalError
from hpo_engine.executors.local.bound import BoundLaunch as Launch
from hpo_engine.study.events import CheckpointsDeleted
from hpo_engine.study.history import History
from hpo_engine.study.spec import Budget, Checkpoints, Resource, Resources
from hpo_engine.study.trial import Exit, Origin, Proposal, Result, StopCause, Trial, TrialState
from tests.support import random_logs
from tests.support.doubling import Doubling
from tests.support.loop_bench import Bench

SPEC = random_logs.spec(resource=Resource("epochs", 9, resume="auto"), checkpoints=Checkpoints((), "promotable", 1000))
STATES = st.sampled_from([TrialState.COMPLETED, TrialState.COMPLETED, TrialState.PRUNED, TrialState.FAILED, TrialState.RUNNING])  # fmt: skip


@st.composite
def histories(draw: st.DrawFn) -> History:
    history = History(SPEC)
    for number in range(draw(st.integers(1, 12))):
        state, amount = draw(STATES), draw(st.sampled_from([1, 3, 9]))
        had = state is TrialState.COMPLETED or draw(st.booleans())
        results = (Result(1, amount, (draw(st.sampled_from([0.1, 0.5, 0.5, 2.0])),), "last.pt"),) if had else ()
        origin = Origin(draw(st.integers(0, number - 1)), 1) if number and draw(st.integers(0, 3)) == 0 else None
        size = 0 if state is TrialState.RUNNING else draw(st.sampled_from([0, 100, 250, 400]))
        trial = Trial(
            number, Proposal({"x": 0.5}, amount), state, results=results, origin=origin, checkpoint_bytes=size
        )
        history = history.with_trial(trial)
    return history


@given(histories(), st.data())
def test_as_little_as_possible_goes_and_nothing_that_is_needed(history: History, data: st.DataObject) -> None:
    ids = [trial.id for trial in history.trials]
    promotable = data.draw(st.none() | st.sets(st.sampled_from(ids), max_size=4))
    limit = data.draw(st.integers(0, 3000))
    gone = to_delete(history, promotable, limit)
    for trial in gone:  # each for a reason of its own
        assert trial.state.ended and trial.checkpoint_bytes and trial.id != history.best_id
        assert trial.id not in (promotable or ())
        assert promotable is not None or not trial.results
        assert not any(t.origin is not None and t.origin.trial == trial.id for t in history.open)
    left = taken_up(history) - sum(trial.checkpoint_bytes for trial in gone)
    if gone:
        assert left + gone[-1].checkpoint_bytes > limit, "one less would do"
    if left > limit:
        rest = [t for t in history.trials if t.checkpoint_bytes and t not in gone and t.state.ended and not t.results]
        assert {t.id for t in rest} <= {*(promotable or ()), *(t.origin.trial for t in history.open if t.origin)}
    losses = [(trial.trained, -(trial.loss or 0)) for trial in gone if trial.results]
    assert losses == sorted(losses), "those with less of the resource first, then the worst"


def test_winners_stay_even_if_another_one_is_the_best() -> None:
    history = History(SPEC)
    for number, (amount, loss) in enumerate([(1, 0.9), (9, 0.5), (9, 0.1), (3, 0.2)]):
        trial = Trial(number, Proposal({"x": 0.5}, amount), TrialState.COMPLETED, results=(Result(1, amount, (loss,)),),
                      checkpoint_bytes=100)  # fmt: skip
        history = history.with_trial(trial)
    assert [trial.id for trial in to_delete(history, (), 0)] == [0, 3]
    history = replace(history, spec=replace(SPEC, resource=None))
    assert to_delete(history, None, 0) == []


class Halving(Doubling):
    """Knows that only those who wait among the better half can still be promoted."""

    def promotable(self, history: History) -> set[int]:
        return {0} if len(history.trials) >= 4 else {trial.id for trial in history.trials}


def script(launch: Launch) -> Exit:
    folder = Path(launch.paths.result_dir)
    epochs = launch.values["epochs"]
    (folder / "checkpoints/sub").mkdir(parents=True, exist_ok=True)
    (folder / f"checkpoints/epoch_{epochs}.pt").write_bytes(b"x" * 100_000)
    (folder / f"checkpoint-{epochs}/deep").mkdir(parents=True)
    (folder / f"checkpoint-{epochs}/deep/model.pt").write_bytes(b"x" * 100_000)
    (folder / "checkpoints/sub/notes.md").write_text("to be kept")
    (folder / "report.txt").write_text("to be kept")
    os.symlink(launch.env["ELSEWHERE"], folder / "last.pt") if not (folder / "last.pt").is_symlink() else None
    os.symlink(os.path.dirname(launch.env["ELSEWHERE"]), folder / "ckpt-9") if not (folder / "ckpt-9").is_symlink() else None  # fmt: skip
    (folder / "val_dict_list.json").write_text(f'[{{"step": {epochs}, "loss": {launch.values["x"] + 1 / epochs}}}]')
    return Exit(code=0)


@pytest.mark.parametrize("disk", [450_000, None])
def test_checkpoints_of_losers_go_and_nothing_else(tmp_path: Path, disk: int | None) -> None:
    elsewhere = tmp_path / "outside/model.pt"
    elsewhere.parent.mkdir()
    elsewhere.write_bytes(b"x" * 100_000)
    bench = Bench(tmp_path)
    bench.now, bench.behave = time.time() + 5, script
    env = {"ELSEWHERE": str(elsewhere)}
    limits = Checkpoints((), "promotable", disk) if disk else Checkpoints()
    parts: dict[str, Any] = {"resource": Resource("epochs", 8, resume="auto"), "budget": Budget(4), "env": env}
    engine = bench.open(**parts, resources=Resources(1), checkpoints=limits)
    bench.searcher = Halving(engine.history.spec)
    history = bench.run(bench.lead())
    deleted = {event.trial for event in bench.store.read() if isinstance(event, CheckpointsDeleted)}
    assert deleted == ({1, 2, 3} if disk else set())
    for trial in history.trials:
        folder = Path(bench.paths.trial(trial.id).result_dir)
        found = {str(path.relative_to(folder)) for path in folder.rglob("*.pt") if not path.is_symlink()}
        assert bool(found) is (trial.id not in deleted)
        assert (trial.results[-1].checkpoint is None) is (trial.id in deleted) is trial.cleared
        assert (folder / "report.txt").exists() and (folder / "checkpoints/sub/notes.md").exists()
        assert (folder / "last.pt").is_symlink() and (folder / "ckpt-9").is_symlink()
        assert [path.name for path in folder.glob("checkpoint-*")] == [] or trial.id not in deleted
    assert elsewhere.stat().st_size == 100_000
    assert len(history.trials[0].attempts) > 1, "what is promoted goes on"


def test_what_was_written_after_the_trial_had_ended_stays(tmp_path: Path) -> None:
    bench = Bench(tmp_path)
    bench.now, bench.behave = time.time() - 3600, lambda launch: script(launch) and Exit(code=0)
    engine = bench.open(resource=Resource("epochs", 8, resume="auto"), budget=Budget(4), env={"ELSEWHERE": "/nowhere/x"},
                        checkpoints=Checkpoints((), "promotable", 1))  # fmt: skip
    bench.searcher = Halving(engine.history.spec)
    history = bench.run(bench.lead())
    assert history.trials[3].cleared
    assert (Path(bench.paths.trial(3).result_dir) / "checkpoints/epoch_1.pt").exists(), "an hour later: not the trial's"


def test_checkpoints_of_a_trial_that_runs_cannot_be_deleted() -> None:
    trial = Trial(0, Proposal({"x": 0.5}), TrialState.RUNNING)
    from hpo_engine.study.events import apply

    with pytest.raises(JournalError, match="is running: its checkpoints cannot be deleted"):
        apply(History(SPEC).with_trial(trial), CheckpointsDeleted(1.0, 0, 100))


def test_checkpoints_of_a_trial_that_a_rule_ended_count_too(tmp_path: Path) -> None:
    bench = Bench(tmp_path)
    bench.now = time.time() + 5
    bench.behave = lambda launch: script(launch) and Exit(signal=15, stop_cause=StopCause.EARLY)
    engine = bench.open(resource=Resource("epochs", 8, resume="auto"), budget=Budget(4), env={"ELSEWHERE": "/nowhere/x"},
                        checkpoints=Checkpoints((), "promotable", 1))  # fmt: skip
    bench.searcher = Halving(engine.history.spec)
    history = bench.run(bench.lead())
    assert [(t.state, t.cleared) for t in history.trials] == [(TrialState.PRUNED, i > 0) for i in range(4)]
