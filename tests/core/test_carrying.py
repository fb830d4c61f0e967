"""Trials that are carried on, and trials that start from others: the loop with fakes for its ports."""

from __future__ import annotations

import errno
import json
import math
import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy
import pytest

from hpo_engine.assembly import stopper
from hpo_engine.cli.show import _show_trial
from hpo_engine.contract.copies import Copies, Key
from hpo_engine.contract.foldercopy import Check
from hpo_engine.contract.workspace import LocalWorkspace
from hpo_engine.errors import SearcherError
from hpo_engine.executors.local.bound import BoundLaunch as Launch
from hpo_engine.searchers import Searcher, Traits
from hpo_engine.stoppers import BudgetStopper
from hpo_engine.study.events import TrialReopened, fold
from hpo_engine.study.history import History, StudyState
from hpo_engine.study.objective import Objective
from hpo_engine.study.spec import Budget, Named, Resource, Resources, TrialPolicy
from hpo_engine.study.trial import Exit, FailureKind, Origin, Proposal, Queued, StopCause, Trial, TrialState
from tests.support.doubling import Doubling
from tests.support.loop_bench import Bench

EPOCHS: dict[str, Any] = {"resource": Resource("epochs", 8), "budget": Budget(5)}


class Counter:
    """A script that counts epochs in a file, goes on from it, and reports the epochs of this run only."""

    def __init__(self, bench: Bench) -> None:
        self.bench, self.runs = bench, list[tuple[int, str | None, str | None, int, int]]()
        self.on: Callable[[Launch], Exit | None] = lambda launch: None

    def __call__(self, launch: Launch) -> Exit | None:
        folder = Path(launch.paths.result_dir)
        config, state = json.loads((folder / "config.json").read_text()), folder / "state"
        resumed, trained = launch.env.get("HPO_RESUME_FROM"), launch.env.get("HPO_RESUME_RESOURCE")
        if resumed is not None:
            assert os.path.dirname(resumed) == self.bench.paths.results
            resumed = os.path.basename(resumed)
        assert state.exists() == (resumed is not None)
        begin = int(state.read_text()) if resumed is not None else 0
        self.runs.append((launch.trial_id, resumed, trained, begin, config["epochs"]))
        if (end := self.on(launch)) is not None:
            return end
        state.write_text(str(config["epochs"]))
        rows = [{"step": n, "loss": config["x"] + 1 / n} for n in range(begin + 1, config["epochs"] + 1)]
        self.bench.write(launch, rows)
        return Exit(code=0)


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    return Bench(tmp_path)


@pytest.fixture
def script(bench: Bench) -> Counter:
    bench.behave = script = Counter(bench)
    return script


def opened(bench: Bench, **changes: Any) -> Any:
    engine = bench.open(**{**EPOCHS, **changes})
    bench.searcher = Doubling(engine.history.spec)
    return bench.lead()


def shown(trial: Trial) -> list[tuple[int | None, float]]:
    return [(result.resource, result.losses[0]) for result in trial.results]


def steps(trial: Trial) -> list[float]:
    return [row.step for row in trial.rows]


def test_no_attempt_finds_that_an_earlier_one_was_ended(bench: Bench, script: Counter) -> None:
    """Neither in the folder that it goes on in, nor in a copy; a file of the script's own by that name stays."""
    note = dict.fromkeys(("cause", "reason", "at", "deadline", "grace_s", "attempt"), 1)
    found = []

    def leave(launch: Launch) -> None:
        path = Path(launch.paths.result_dir, "stop.json")
        found.append((launch.trial_id, path.read_text() if path.exists() else ""))
        path.write_text("mine" if launch.trial_id == 1 else json.dumps(note))

    script.on = leave
    bench.run(opened(bench))
    assert found == [(0, ""), (1, ""), (2, ""), (3, ""), (0, ""), (1, "mine"), (0, ""), (4, ""), (0, "")]


def test_promotion_is_another_attempt_of_the_same_trial(bench: Bench, script: Counter) -> None:
    history = bench.run(opened(bench))
    assert [len(t.attempts) for t in history.trials] == [4, 2, 1, 1, 1]
    assert [(n, by, had) for n, by, had, _, _ in script.runs] == [
        (0, None, None), (1, None, None), (2, None, None), (3, None, None),
        (0, "0", "1"), (1, "1", "1"), (0, "0", "2"), (4, "4", "4"), (0, "0", "4"),
    ]  # fmt: skip
    assert all(begin == int(had or 0) and begin < end for _, _, had, begin, end in script.runs)
    first = history.trials[0]
    assert shown(first) == [(1, 1.0), (2, 0.5), (4, 0.25), (8, 0.125)] and steps(first) == list(range(1, 9))
    assert [(a.resource, a.resume) for a in first.attempts] == [(1, None), (2, 0), (4, 0), (8, 0)]
    assert steps(history.trials[1]) == [1, 2] and history.trials[1].trained == 2
    fifth = history.trials[4]
    assert (fifth.origin, fifth.attempts[0].resume, steps(fifth)) == (Origin(0, 3), 0, [5, 6, 7, 8])
    assert history.best_id == 0 and history.state is StudyState.FINISHED
    assert history.result_config(first) == {"x": 0.0, "epochs": 8}
    assert not os.path.exists(bench.paths.trial(0).attempt(1) + "/result"), "nothing was set aside"


def test_budget_bounds_new_trials_and_no_promotions(bench: Bench, script: Counter) -> None:
    history = bench.run(opened(bench, budget=Budget(4)))
    assert [len(t.attempts) for t in history.trials] == [4, 2, 1, 1]


def test_budget_bounds_queued_configurations_of_a_searcher_that_carries_on(bench: Bench, script: Counter) -> None:
    points = ({"x": 7.0}, {"x": 8.0}, {"x": 9.0})
    history = bench.run(opened(bench, budget=Budget(2), points=points))
    assert history.next_id == 2


def test_what_others_start_from_is_kept_until_they_have_ended(bench: Bench, script: Counter) -> None:
    def behave(launch: Launch) -> Exit | None:
        failed = launch.trial_id == 4 and launch.attempt == 1
        return Exit(code=1) if failed else None

    script.on = behave
    history = bench.run(opened(bench, trial=TrialPolicy(retries=1)))
    assert [run for run in script.runs if run[0] in (0, 4)][-3:] == [
        (4, "4", "4", 4, 8), (0, "0", "4", 4, 8), (4, "4", "4", 4, 8),
    ]  # fmt: skip
    assert Path(bench.paths.trial(0).attempt(3), "result/state").read_text() == "4"
    assert [a.resume for a in history.trials[4].attempts] == [0, 0]
    assert history.trials[4].state is TrialState.COMPLETED


def test_retry_of_a_trial_that_is_carried_on_goes_on_from_what_it_left(bench: Bench, script: Counter) -> None:
    def behave(launch: Launch) -> Exit | None:
        if (launch.trial_id, launch.attempt) != (0, 2):
            return None
        Path(launch.paths.result_dir, "state").write_text("1")
        bench.write(launch, [{"step": 9, "loss": -5.0}])  # and then it crashes
        return Exit(code=1)

    script.on = behave
    history = bench.run(opened(bench, trial=TrialPolicy(retries=1)))
    first = history.trials[0]
    assert [(a.resume, a.failure) for a in first.attempts[:3]] == [(None, None), (0, FailureKind.EXIT_CODE), (0, None)]
    assert shown(first)[:2] == [(1, 1.0), (2, 0.5)] and steps(first) == list(range(1, 9)), "the crashed run's are gone"


def test_failure_of_a_promotion_leaves_the_trial_what_it_had(bench: Bench, script: Counter) -> None:
    script.on = lambda launch: Exit(code=1) if launch.trial_id == 0 and launch.attempt == 3 else None
    history = bench.run(opened(bench))
    first = history.trials[0]
    assert (first.state, first.failure, first.trained) == (TrialState.FAILED, FailureKind.EXIT_CODE, 2)
    assert shown(first) == [(1, 1.0), (2, 0.5)]
    script.on = lambda launch: None
    history = bench.run(bench.lead(TrialReopened(bench.now, 0)))
    assert shown(history.trials[0])[2] == (4, 0.25) and script.runs[-2][:3] != (0, None, None)


def test_trial_is_the_best_one_while_it_is_carried_on(bench: Bench, script: Counter) -> None:
    engine = opened(bench, resources=Resources(1))
    while script.runs[-1:] != [(0, "0", "1", 1, 2)]:
        script.on = lambda launch: None
        if len(script.runs) == 4:
            bench.behave = lambda launch: script.runs.append((0, "0", "1", 1, 2))
        bench.now += 1
        engine.step(bench.now)
    history = engine.history
    assert history.trials[0].state is TrialState.RUNNING and history.best_id == 0
    assert history.result_config(history.trials[0]) == {"x": 0.0, "epochs": 1}
    assert history.config(history.trials[0]) == {"x": 0.0, "epochs": 2}


def test_rule_may_end_a_trial_that_is_carried_on_and_its_result_counts(bench: Bench, script: Counter) -> None:
    def behave(launch: Launch) -> Exit | None:
        if (launch.trial_id, launch.attempt) != (1, 2):
            return None
        bench.write(launch, [{"step": 2, "loss": float("nan")}])
        return Exit(signal=15, stop_cause=StopCause.EARLY)

    script.on = behave
    history = bench.run(opened(bench, stop=(Named("rank", {}),)))
    assert history.trials[1].state is TrialState.PRUNED and shown(history.trials[1]) == [(1, 2.0)]


def test_stopping_rules_see_one_curve(bench: Bench, script: Counter) -> None:
    engine = opened(bench, stop=(Named("rank", {"min_rivals": 1}),))
    bench.stopper = stopper(engine.history.spec)
    history = bench.run(bench.lead())
    assert history.state is StudyState.FINISHED and steps(history.trials[0]) == list(range(1, 9))


def test_files_to_go_on_from_that_are_gone_fail_the_trial_and_not_the_study(bench: Bench, script: Counter) -> None:
    def behave(launch: Launch) -> Exit | None:
        if launch.trial_id == 3:
            for name in ("0", "1"):
                os.rename(f"{bench.paths.results}/{name}", f"{bench.paths.results}/gone{name}")
        return None

    script.on = behave
    history = bench.run(opened(bench))
    for number in (0, 1):
        trial = history.trials[number]
        assert (trial.state, trial.failure, trial.trained) == (TrialState.FAILED, FailureKind.LAUNCH, 1)
        assert f"trial {number}: cannot be carried on: {bench.paths.results}/{number} was removed" in trial.reason
    assert history.best_id == 0


def test_killed_engine_is_followed_by_one_that_goes_on(bench: Bench, script: Counter) -> None:
    """Wherever the engine is killed, and with it what it has not written yet."""
    bench.run(opened(bench))
    rows, expected = list(bench.store.rows), [shown(t) for t in fold(bench.store.read()).trials]
    for count in range(len(rows)):
        if rows[count][1] not in ("trial_carried_on", "attempt_intended", "trial_proposed"):
            continue
        other = Bench(Path(bench.paths.root, str(count)))
        other.behave = Counter(other)
        engine = opened(other)
        while len(other.store.rows) <= count:
            other.now += 1
            engine.step(other.now)
        history = other.run(other.engine())
        assert [shown(t) for t in history.trials] == expected, count


# -- copies are made beside the loop ----------------------------------------------------------------------------------


class ByHand(Copies):
    """Copies are made when the test wants them."""

    def __init__(self) -> None:
        super().__init__()
        self.waiting: dict[Key, Callable[[Check], None]] = {}
        self.whole = set[Key]()

    def made(self, key: Key, make: Callable[[Check], None]) -> bool:
        self.waiting.setdefault(key, make)
        return key in self.whole

    def make(self) -> None:
        for key, make in self.waiting.items():
            if key not in self.whole:
                make(lambda: None)
                self.whole.add(key)

    def has(self, key: Key) -> bool:
        return key in self.waiting and key not in self.whole

    def cancel(self, trial_id: int) -> None:
        self.waiting = {key: make for key, make in self.waiting.items() if key[0] != trial_id}


def copying(bench: Bench, script: Counter, **changes: Any) -> tuple[Any, ByHand]:
    """The study when the copy for trial 4 is being made, and that which trial 0 has to leave behind."""
    bench.copies = copies = ByHand()
    engine = opened(bench, **changes)
    for _ in range(20):
        if len(copies.waiting) == 2:
            return engine, copies
        bench.now += 1
        engine.step(bench.now)
    raise AssertionError(script.runs)


def test_loop_goes_on_while_files_are_copied_and_their_trials_keep_their_room(bench: Bench, script: Counter) -> None:
    engine, copies = copying(bench, script)
    assert sorted(copies.waiting) == [(0, 4), (4, 1)], "first the copy of what trial 0 has, then it may change it"
    runs = len(script.runs)
    for _ in range(5):
        bench.now += 1
        assert engine.step(bench.now)
    history = engine.history
    assert len(script.runs) == runs and [t.id for t in history.running] == [0, 4]
    assert all(t.attempts[-1].started_at is None for t in history.running)
    copies.make()
    history = bench.run(engine)
    assert history.trials[4].state is TrialState.COMPLETED and shown(history.trials[0])[-1] == (8, 0.125)


@pytest.mark.parametrize("how", ["study", "trial", "rule"])
def test_stop_while_files_are_copied_ends_the_trial_at_once(bench: Bench, script: Counter, how: str) -> None:
    four = list[int]()

    class Ends(BudgetStopper):
        def end_trial(self, trial: Trial, history: History, now: float) -> str | None:
            return "not promising" if trial.id in four else None

    bench.stopper = Ends()
    engine, copies = copying(bench, script)
    runs = len(script.runs)
    if how == "study":
        engine.interrupt("Ctrl-C", bench.now)
        assert not engine.step(bench.now + 1) and not copies.waiting
        assert [t.state for t in engine.history.trials][::4] == [TrialState.PENDING] * 2
        bench.copies = None
        assert [len(t.attempts) for t in bench.run(bench.lead()).trials][::4] == [5, 2]
        assert script.runs[runs:] == [(0, "0", "4", 4, 8), (4, "4", "4", 4, 8)], "trial 0 was kept as it was"
        return
    if how == "rule":
        four.append(4)
    else:
        engine.stop_trial(4, "by hand", bench.now)
    bench.now += 1
    assert engine.step(bench.now)
    trial = engine.history.trials[4]
    assert trial.state is (TrialState.PRUNED if how == "rule" else TrialState.STOPPED)
    assert sorted(copies.waiting) == [(0, 4)] and not trial.rows and len(script.runs) == runs
    copies.make()
    assert shown(bench.run(engine).trials[0])[-1] == (8, 0.125)


def test_disk_that_is_full_while_files_are_copied_is_the_machines_fault(
    bench: Bench, script: Counter, caplog: pytest.LogCaptureFixture
) -> None:
    engine, copies = copying(bench, script)

    def full(check: Check) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), "/a/disk")

    make = copies.made
    copies.made = lambda key, made: make(key, made) if key != (4, 1) else full(lambda: None)  # type: ignore
    bench.now += 1
    engine.step(bench.now)
    (attempt,) = engine.history.trials[4].attempts
    assert attempt.failure is FailureKind.MACHINE and attempt.exit is not None and attempt.exit.unstarted
    (line,) = [r.getMessage() for r in caplog.records]
    assert line.startswith("/a/disk: No space left on device") and line.endswith(
        "; waiting, trial 4 will be started again"
    )
    for _ in range(10):
        copies.make()
        bench.now += 10
        if not engine.step(bench.now):
            break
    assert engine.history.trials[4].state is TrialState.COMPLETED


def test_copy_for_what_others_start_from_that_failed_is_made_again(bench: Bench, script: Counter) -> None:
    """Else the next attempt would change what trial 4 has not got yet."""
    engine, copies = copying(bench, script)
    failing, make = [(0, 4)], copies.made

    def made(key: Key, copy: Callable[[Check], None]) -> bool:
        if key in failing:
            failing.remove(key)
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), "/a/disk")
        return make(key, copy)

    copies.made = made  # type: ignore
    for turn in range(30):
        bench.now += 10
        if not engine.step(bench.now):
            break
        if turn > 2:
            copies.make()
    assert [a.failure for a in engine.history.trials[0].attempts[3:]] == [FailureKind.MACHINE, None]
    assert [t.state for t in engine.history.trials][::4] == [TrialState.COMPLETED] * 2
    assert Path(bench.paths.trial(0).attempt(3), "result/state").read_text() == "4"


# -- what an attempt that goes on has reported itself ------------------------------------------------------------------


def promoted(bench: Bench, write: Callable[[Launch], Exit], *, over: str = "last", **changes: Any) -> Trial:
    """Trial 0, which has had steps 1 to 4, after another attempt that leaves what `write` writes."""

    def behave(launch: Launch) -> Exit:
        if launch.attempt > 1:
            return write(launch)
        bench.write(launch, [{"step": n, "loss": 1 / n} for n in range(1, 5)])
        return Exit(code=0)

    bench.behave = behave
    bench.open(**{**EPOCHS, "budget": Budget(1), "objectives": (Objective("loss", over=over),), **changes})
    bench.searcher = Once(Proposal({"x": 1.0}, 8, carry_on=0), 4)
    return bench.run(bench.lead()).trials[0]


def rows(*losses: tuple[float, float]) -> list[dict[str, float]]:
    return [{"step": step, "loss": loss} for step, loss in losses]


OLD = rows((1, 1.0), (2, 0.5), (3, 1 / 3), (4, 0.25))


@pytest.mark.parametrize("what", ["nothing", "the same again", "the last of the same", "no rows", "torn", "a link"])
def test_attempt_that_reports_nothing_new_has_no_result(bench: Bench, what: str) -> None:
    def write(launch: Launch) -> Exit:
        if what in ("the same again", "the last of the same"):
            bench.write(launch, OLD if what == "the same again" else OLD[2:])
        elif what == "no rows":
            bench.write(launch, [])
        elif what == "torn":
            Path(launch.paths.result_file).write_text('[{"step": 5, "lo')
        elif what == "a link":
            os.unlink(launch.paths.result_file)
            os.symlink("elsewhere", launch.paths.result_file)
        return Exit(code=0)

    trial = promoted(bench, write)
    kind = FailureKind.BAD_RESULT if what in ("torn", "a link") else FailureKind.NO_RESULT
    assert (trial.state, trial.failure, trial.trained) == (TrialState.FAILED, kind, 4)
    assert steps(trial) == [1, 2, 3, 4] and shown(trial) == [(4, 0.25)]
    if what in ("nothing", "the same again"):
        assert trial.reason == (
            "trial 0: val_dict_list.json has nothing new: the trial had its 4 rows before it was carried on"
        ), trial.reason


NEW = [
    ("only the new", rows((5, 0.2), (6, 0.1)), [1, 2, 3, 4, 5, 6], 0.1),
    ("all", [*OLD, *rows((5, 0.2), (6, 0.1))], [1, 2, 3, 4, 5, 6], 0.1),
    ("the last few", [*OLD[2:], *rows((5, 0.2))], [1, 2, 3, 4, 5], 0.2),
    ("one step again", rows((4, 0.3), (5, 0.2)), [1, 2, 3, 4, 5], 0.2),
    ("it jumps", rows((10, 0.2), (20, 0.1)), [1, 2, 3, 4, 10, 20], 0.1),
    ("it counts anew", rows((1, 0.2), (2, 0.1)), [1, 2, 3, 4, 5, 6], 0.1),
    ("it counts anew, from 0", rows((0, 0.2), (1, 0.1)), [1, 2, 3, 4, 5, 6], 0.1),
    ("without steps", [{"loss": 0.2}, {"loss": 0.1}], [1, 2, 3, 4, 5, 6], 0.1),
    ("it trained all again", [*OLD, *rows((5, 0.2))], [1, 2, 3, 4, 5], 0.2),
]


@pytest.mark.parametrize(("what", "written", "seen", "value"), NEW, ids=[case[0] for case in NEW])
def test_rows_of_an_attempt_that_goes_on_are_added_to_the_curve(
    bench: Bench, what: str, written: Any, seen: list[float], value: float
) -> None:
    def write(launch: Launch) -> Exit:
        bench.write(launch, written)
        return Exit(code=0)

    trial = promoted(bench, write)
    assert (trial.state, steps(trial), shown(trial)) == (TrialState.COMPLETED, seen, [(4, 0.25), (8, value)])
    assert [row.values["loss"] for row in trial.rows][:3] == [1.0, 0.5, 1 / 3]


def test_best_value_is_that_of_the_whole_curve_but_the_attempt_needs_one_of_its_own(bench: Bench) -> None:
    def write(launch: Launch) -> Exit:
        bench.write(launch, rows((5, 0.9)) if launch.attempt == 2 else rows((5, 0.9), (6, math.nan)))
        return Exit(code=0)

    assert shown(promoted(bench, write, over="best")) == [(4, 0.25), (8, 0.25)]


def test_attempt_whose_own_values_are_nan_has_a_bad_result(bench: Bench) -> None:
    def write(launch: Launch) -> Exit:
        bench.write(launch, [*OLD, *rows((5, math.nan))])
        return Exit(code=0)

    trial = promoted(bench, write, over="best")
    assert (trial.state, trial.failure, shown(trial)) == (TrialState.FAILED, FailureKind.BAD_RESULT, [(4, 0.25)])


@pytest.mark.parametrize("keep", ["keep", "fail"])
def test_time_limit_before_the_first_row_of_its_own_is_no_result(bench: Bench, keep: Any) -> None:
    trial = promoted(
        bench, lambda launch: Exit(signal=15, stop_cause=StopCause.TIME_LIMIT),
        trial=TrialPolicy(time_limit_s=5.0, on_time_limit=keep),
    )  # fmt: skip
    assert (trial.state, trial.failure) == (TrialState.TIMED_OUT, FailureKind.TIME_LIMIT)
    assert shown(trial) == [(4, 0.25)] and steps(trial) == [1, 2, 3, 4]


def test_earlier_rows_end_no_attempt_that_goes_on(bench: Bench) -> None:
    class Strict(BudgetStopper):
        def end_trial(self, trial: Trial, history: History, now: float) -> str | None:
            return "bad" if len(trial.attempts) > 1 else None

    def behave(launch: Launch) -> Exit | None:
        if launch.attempt > 1:
            return None
        bench.write(launch, OLD)
        return Exit(code=0)

    bench.behave, bench.stopper = behave, Strict()
    bench.open(**{**EPOCHS, "budget": Budget(1)})
    bench.searcher = Once(Proposal({"x": 1.0}, 8, carry_on=0), 4)
    engine = bench.lead()
    for _ in range(8):
        bench.now += 1
        engine.step(bench.now)
    assert bench.executor.running[0].attempt == 2 and bench.executor.stops == []
    bench.write(bench.executor.running[0], rows((5, 0.2)))
    bench.run(engine)
    assert bench.executor.stops == [(0, StopCause.EARLY, False)]


def test_emetrics_of_the_attempt_before_do_not_count(bench: Bench) -> None:
    """LOG_DIR stays while a trial is carried on, and a script appends to what it finds there."""

    def write(launch: Launch) -> Exit:
        log = Path(launch.paths.log_dir, launch.paths.name, "evaluation-metrics.txt")
        found = log.exists()
        lines = [(n, 1 / n) for n in ((1, 2) if launch.attempt == 1 else (3, 4) if launch.attempt == 2 else ())]
        with log.open("a") as file:
            for step, loss in lines:
                entry = {"grouplabel": "test", "etimes": {"iteration": step}, "values": {"loss": loss}}
                file.write(json.dumps(entry) + "\n")
        assert not found
        return Exit(code=0)

    bench.behave = write
    bench.open(**{**EPOCHS, "budget": Budget(1)})
    bench.searcher = Once(Proposal({"x": 1.0}, 4, carry_on=0), 2)
    trial = bench.run(bench.lead()).trials[0]
    assert shown(trial) == [(2, 0.5), (4, 0.25)] and steps(trial) == [1, 2, 3, 4]
    assert Path(bench.paths.trial(0).log_dir, "0/evaluation-metrics.1.txt").exists()


def test_rows_before_an_interruption_stay_and_what_they_reached_counts(bench: Bench, script: Counter) -> None:
    """The training of an attempt may have been over when it was stopped: the next one finds nothing left to do."""
    writes: list[Any] = [rows((5, 0.2), (6, 0.15)), rows((7, 0.1)), None]

    def write(launch: Launch) -> Exit:
        if (written := writes.pop(0)) is not None:
            bench.write(launch, written)
        return Exit(code=0) if not writes else Exit(code=1)

    trial = promoted(bench, write, trial=TrialPolicy(retries=2))
    assert steps(trial) == [1, 2, 3, 4, 5, 6, 7] and shown(trial) == [(4, 0.25), (8, 0.1)]


def test_rule_does_not_judge_an_attempt_by_what_earlier_ones_reported(bench: Bench) -> None:
    class Strict(BudgetStopper):
        seen = list[tuple[int, int]]()

        def end_trial(self, trial: Trial, history: History, now: float) -> str | None:
            self.seen.append((len(trial.attempts), len(trial.rows)))
            return "worse" if len(trial.attempts) > 1 else None

    bench.stopper = Strict()

    def write(launch: Launch) -> Exit:
        bench.write(launch, rows((5, 0.2)))
        return Exit(code=0)

    trial = promoted(bench, write)
    assert trial.state is TrialState.COMPLETED, "it had not reported anything while it was looked at"


class Once(Searcher):
    """Completes trial 0 with 2 epochs, then proposes this, once."""

    traits = Traits(carries_on=True)

    def __init__(self, proposal: Proposal, first: int | None = 2) -> None:
        self.proposal, self.first = proposal, first

    def ask(self, history: History, count: int) -> Sequence[Proposal]:
        if not history.next_id:
            return [Proposal({"x": 1.0}, self.first)]
        return [] if history.open_ids or len(history.trials[0].attempts) > 1 else [self.proposal]


@pytest.mark.parametrize(
    ("proposal", "words"),
    [
        (Proposal({"x": 1.0}, 2, carry_on=0), "cannot carry on trial 0 to resource 2: it has had 2"),
        (Proposal({"x": 1.0}, 4, carry_on=1), "proposed to carry on trial 1, which does not exist"),
        (Proposal({"x": 1.0}, 4, start_from=7), "proposed to start from trial 7, which does not exist"),
        (Proposal({"x": 1.0}, 4, carry_on=0, start_from=0), "to carry on one trial and to start from another at once"),
        (Proposal({"x": 99.0}, 4, carry_on=0), "proposed a configuration outside the space"),
    ],
)
def test_wrong_proposal_ends_the_study_with_its_reason(
    bench: Bench, script: Counter, proposal: Proposal, words: str
) -> None:
    engine = bench.open(**EPOCHS)
    bench.searcher = Once(proposal)
    with pytest.raises(SearcherError, match=words):
        bench.run(bench.lead())
    assert fold(bench.store.read()).state is StudyState.FAILED and engine is not None


def test_trial_that_failed_is_no_source(bench: Bench, script: Counter) -> None:
    script.on = lambda launch: Exit(code=1)
    bench.open(**EPOCHS)
    bench.searcher = Once(Proposal({"x": 1.0}, 4, start_from=0))
    with pytest.raises(SearcherError, match="proposed to start from trial 0, which is failed"):
        bench.run(bench.lead())


def test_without_a_resource_nothing_is_carried_on(bench: Bench) -> None:
    bench.open(budget=Budget(3))
    bench.searcher = Once(Proposal({"x": 1.0}, carry_on=0), None)
    with pytest.raises(SearcherError, match="cannot carry on trial 0 to resource None"):
        bench.run(bench.lead())


def test_folder_laid_ahead_is_not_what_a_trial_starts_with(bench: Bench, script: Counter) -> None:
    engine = opened(bench, resources=Resources(1))
    workspaces: list[LocalWorkspace] = [value for value in vars(engine).values() if isinstance(value, LocalWorkspace)]
    history = bench.run(engine)
    assert workspaces and history.trials[4].origin is not None and steps(history.trials[4]) == [5, 6, 7, 8]


made: Any = Proposal  # whatever the types of its fields


@pytest.mark.parametrize(
    ("proposal", "words"),
    [
        *(
            (made({"x": 2.0}, value), rf"Once proposed resource {shown} for trial 1: {why}")
            for value, shown, why in [
                (9, "9", "must be from 1 to 8"), (0, "0", "must be from 1 to 8"), (-1, "-1", "must be from 1 to 8"),
                (2.5, "2.5", "must be a whole number"), (True, "True", "must be a whole number"),
                ("9", "'9'", "must be a whole number"), ([1], r"\[1\]", "must be a whole number"),
                (float("nan"), "nan", "must be a whole number"), (numpy.int64(9), "9", "must be from 1 to 8"),
            ]
        ),
        (made({"x": 1.0}, 4, carry_on="0"), "proposed carry_on '0' for trial 1: must be a whole number"),
        (made({"x": 1.0}, 4, start_from=False), "proposed start_from False for trial 1: must be a whole number"),
        (made({"x": 1.0}, 4, repeats=[0]), r"proposed repeats \[0\] for trial 1: must be a whole number"),
        (made({"x": 1.0}, 4, repeats=5), "proposed repeats 5 for trial 1: there is no such trial"),
        (made({"x": 2.0}, 4, queued=3), "proposed queued 3 for trial 1: is set by the engine only"),
        (made({"x": 2.0}, 4, queued=Queued(7, {})), "for trial 1: is not in the queue"),
        (made({"x": 2.0}, 4, note={"a": object()}), "for trial 1: has no JSON form"),
        (made({"x": 2.0}, 4, note={"a": float("nan")}), "for trial 1: has no JSON form"),
        (made({"x": 2.0}, 4, note=[1]), r"proposed note \[1\] for trial 1: must be a mapping"),
        ({"x": 2.0}, "Once failed at trial 1: AttributeError"),
    ],
)  # fmt: skip
def test_field_of_a_proposal_that_is_not_what_it_must_be_ends_the_study_in_one_line(
    bench: Bench, script: Counter, proposal: Any, words: str
) -> None:
    bench.open(**EPOCHS)
    bench.searcher = Once(proposal)
    with pytest.raises(SearcherError, match=words) as caught:
        bench.run(bench.lead())
    assert len(str(caught.value).splitlines()) == 1
    assert fold(bench.store.read()).state is StudyState.FAILED


def test_numbers_of_numpy_are_whole_numbers(bench: Bench, script: Counter) -> None:
    bench.open(**{**EPOCHS, "budget": Budget(2)})
    four: Any = numpy.int64(4)
    bench.searcher = Once(Proposal({"x": 2.0}, four, start_from=numpy.int32(0)))
    history = bench.run(bench.lead())
    assert history.trials[1].proposal == Proposal({"x": 2.0}, 4, start_from=0) and history.trials[1].trained == 4


def test_resource_in_a_study_without_one_is_refused(bench: Bench) -> None:
    bench.open()
    bench.searcher = Once(Proposal({"x": 2.0}))
    with pytest.raises(SearcherError, match="proposed resource 2 for trial 0: the study has no resource"):
        bench.run(bench.lead())


def test_show_lists_the_result_of_a_trial_that_failed_when_it_was_carried_on(
    bench: Bench, script: Counter, capsys: pytest.CaptureFixture[str]
) -> None:
    script.on = lambda launch: Exit(code=1) if (launch.trial_id, launch.attempt) == (0, 2) else None
    history = bench.run(opened(bench))
    assert shown(history.trials[0]) == [(1, 1.0)] and history.trials[0].state is TrialState.FAILED
    _show_trial(history, history.trials[0], bench.paths, as_json=False)
    assert "\n  with epochs 1: loss 1\n" in capsys.readouterr().out
