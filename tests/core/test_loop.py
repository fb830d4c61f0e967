"""The loop with fakes for its ports and a hand-moved clock: no process, no sleep."""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from hpo_engine.assembly import stopper
from hpo_engine.core.loop import Engine
from hpo_engine.core.ports import Searcher
from hpo_engine.core.searcher_thread import Answer
from hpo_engine.errors import SearcherError, StopperError
from hpo_engine.executors.local.bound import BoundLaunch
from hpo_engine.stoppers import BudgetStopper, FirstOf, Rule
from hpo_engine.store import inbox
from hpo_engine.study.events import SpecChanged, StopAsked, TrialReopened, apply, fold
from hpo_engine.study.history import History, StudyState
from hpo_engine.study.objective import Objective
from hpo_engine.study.spec import GUARDS, RANK, Budget, Named, Resources, TrialPolicy
from hpo_engine.study.trial import Exit, Proposal, StopCause, Trial, TrialState
from tests.support.loop_bench import Bench, Counting, states


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    return Bench(tmp_path)


def test_study_runs_its_budget_and_finds_the_best(bench: Bench) -> None:
    history = bench.run(bench.open())
    assert history.state is StudyState.FINISHED and states(history) == ["completed"] * 3
    assert history.best_id == 0 and history.best_value == 0.5
    assert [t.rows[-1].values["loss"] for t in history.trials] == [0.5, 1.5, 2.5]


def test_maximise_and_last_change_the_verdict(bench: Bench) -> None:
    history = bench.run(bench.open(objectives=(Objective("loss", "maximize", "last"),)))
    assert history.best_id == 2 and history.best_value == 2.5 and history.losses == {0: -0.5, 1: -1.5, 2: -2.5}


TWO = (Objective("loss", over="last"), Objective("acc", "maximize", "last"))


def test_two_objectives_make_a_front(bench: Bench) -> None:
    def behave(launch: BoundLaunch) -> Exit:
        loss, acc = [(3.0, 0.9), (1.0, 0.5), (4.0, 0.8), (1.0, 0.5)][launch.trial_id]
        bench.write(launch, [{"loss": 0.1, "acc": 0.1}, {"loss": loss, "acc": acc}])
        return Exit(code=0)

    bench.behave = behave
    history = bench.run(bench.open(objectives=TWO, budget=Budget(4)))
    assert history.state is StudyState.FINISHED
    assert [t.losses for t in history.trials] == [(3.0, -0.9), (1.0, -0.5), (4.0, -0.8), (1.0, -0.5)]
    assert history.front_ids == (0, 1) and history.best_id == 1 and history.best_value == 1.0
    assert history.values(history.trials[0]) == (3.0, 0.9)


def test_trial_without_one_of_its_objectives_fails_and_names_it(bench: Bench) -> None:
    bench.behave = lambda launch: (bench.write(launch, [{"loss": 1.0}]), Exit(code=0))[1]
    history = bench.run(bench.open(objectives=TWO, budget=Budget(1)))
    assert states(history) == ["failed"] and not history.front_ids and history.hypervolume is None
    assert history.trials[0].reason == 'trial 0: no metric "acc" in val_dict_list.json; it has "loss" (step 1)'


def test_objectives_that_are_never_finite_together_fail_the_trial(bench: Bench) -> None:
    rows = [{"loss": 1.0, "acc": float("nan")}, {"loss": float("nan"), "acc": 0.5}]
    bench.behave = lambda launch: (bench.write(launch, rows), Exit(code=0))[1]
    history = bench.run(bench.open(objectives=TWO, budget=Budget(1)))
    why = 'trial 0: "loss" and "acc" are never finite in the same row (2 rows) of val_dict_list.json'
    assert states(history) == ["failed"] and history.trials[0].reason == why


def test_rule_ends_a_trial_that_is_not_promising(bench: Bench) -> None:
    def behave(launch: BoundLaunch) -> Exit | None:
        steps = [1] if launch.trial_id == 3 else [1, 2]
        bench.write(launch, [{"step": step, "loss": launch.trial_id} for step in steps])
        return None if launch.trial_id == 3 else Exit(code=0)

    stop = (*GUARDS, Named(RANK, {"min_rivals": 3}))
    bench.behave = behave
    engine = bench.open(budget=Budget(5), stop=stop, trial=TrialPolicy(retries=2), resources=Resources(1))
    bench.stopper = stopper(engine.history.spec)
    history = bench.run(bench.lead())
    assert states(history) == ["completed"] * 3 + ["pruned", "completed"]
    pruned = history.trials[3]
    assert pruned.reason == "not promising: 3 of 3 other trials were better at step 1"
    assert pruned.losses == () and pruned.rows[-1].values == {"loss": 3} and len(pruned.attempts) == 1
    assert bench.executor.stops == [(3, StopCause.EARLY, False)] and history.front_ids == (0,)


def test_no_more_than_parallel_run_at_a_time(bench: Bench) -> None:
    bench.behave = lambda launch: None
    engine = bench.open(budget=Budget(10), resources=Resources(3))
    engine.step(bench.now)
    engine.step(bench.now)
    assert len(bench.executor.running) == 3
    bench.write(bench.executor.running[1], [{"loss": 1}])
    bench.executor.finish(1, Exit(code=0))
    engine.step(bench.now)
    assert sorted(bench.executor.running) == [0, 2, 3], "a freed slot is filled in the same turn"


def test_config_holds_the_parameters_before_launch(bench: Bench) -> None:
    seen = []
    bench.behave = lambda launch: (seen.append(json.loads(Path(launch.paths.config).read_text())), bench.good(launch))[
        1
    ]
    bench.run(bench.open())
    assert seen == [{"x": 0.0}, {"x": 0.01}, {"x": 0.02}]


@pytest.mark.parametrize(
    ("exit_", "rows", "state", "words"),
    [
        (Exit(code=1), [{"loss": 1}], "failed", "exit code 1"),
        (Exit(signal=9), [{"loss": 1}], "failed", "signal 9"),
        (Exit(error="cannot start x"), None, "failed", "cannot start x"),
        (Exit(code=0), [{"val_loss": 1, "acc": 2}], "failed", 'no metric "loss" in val_dict_list.json; it has'),
        (Exit(code=0), None, "failed", "val_dict_list.json"),
        (Exit(code=0, stop_cause=StopCause.TIME_LIMIT), [{"loss": 1}], "timed_out", "time limit of 5 s"),
        (Exit(signal=15, stop_cause=StopCause.OUTSIDE), [{"loss": 1}], "failed", "from outside"),
    ],
)  # fmt: skip
def test_how_a_run_ends_decides_its_trial(bench: Bench, exit_: Exit, rows: Any, state: str, words: str) -> None:
    def behave(launch: BoundLaunch) -> Exit:
        if rows is not None:
            bench.write(launch, rows)
        return exit_

    bench.behave = behave
    history = bench.run(bench.open(budget=Budget(1), trial=TrialPolicy(time_limit_s=5)))
    (trial,) = history.trials
    assert trial.state.value == state and words in trial.reason and trial.loss is None
    assert history.state is StudyState.FAILED and history.best is None


def test_failed_run_is_retried_then_given_up(bench: Bench) -> None:
    bench.behave = lambda launch: Exit(code=4)
    history = bench.run(bench.open(budget=Budget(1), trial=TrialPolicy(retries=2)))
    (trial,) = history.trials
    assert len(trial.attempts) == 3 and trial.state is TrialState.FAILED
    assert len({a.nonce for a in trial.attempts}) == 3


def test_retry_that_succeeds_completes_with_a_fresh_result_dir(bench: Bench) -> None:
    def behave(launch: BoundLaunch) -> Exit:
        if launch.attempt == 1:
            bench.write(launch, [{"loss": -99}])
            return Exit(code=4)
        assert not os.path.exists(launch.paths.result_file), "the first attempt's result is still there"
        return bench.good(launch) or Exit()

    bench.behave = behave
    history = bench.run(bench.open(budget=Budget(1), trial=TrialPolicy(retries=1)))
    assert history.best_value == 0.5
    assert Path(bench.paths.trial(0).attempt(1), "result", "val_dict_list.json").exists(), "it is kept aside"


def test_lost_attempt_runs_again_without_a_retry_but_not_for_ever(bench: Bench) -> None:
    bench.behave = lambda launch: Exit(lost=True) if launch.attempt == 1 else bench.good(launch)
    assert states(bench.run(bench.open(budget=Budget(1)))) == ["completed"]


def test_trial_that_is_always_lost_ends_as_lost(bench: Bench) -> None:
    bench.behave = lambda launch: Exit(lost=True)
    history = bench.run(bench.open(budget=Budget(1)))
    assert states(history) == ["lost"] and len(history.trials[0].attempts) == 4


def test_live_rows_are_seen_while_a_trial_runs(bench: Bench) -> None:
    bench.behave = lambda launch: None
    engine = bench.open(budget=Budget(1))
    engine.step(bench.now)
    launch = bench.executor.running[0]
    bench.write(launch, [{"loss": 3.0}])
    engine.step(bench.now + 1)
    assert [r.values for r in engine.history.trials[0].rows] == [{"loss": 3.0}]
    bench.write(launch, [{"loss": 3.0}, {"loss": float("nan")}])
    engine.step(bench.now + 2)
    engine.step(bench.now + 3)
    assert len(engine.history.trials[0].rows) == 2
    bench.executor.finish(0, Exit(code=0))
    assert bench.run(engine).best_value == 3.0


def test_rows_that_were_seen_live_are_not_logged_again_at_the_end(bench: Bench) -> None:
    bench.behave = lambda launch: None
    engine = bench.open(budget=Budget(1))
    engine.step(bench.now)
    bench.write(bench.executor.running[0], [{"loss": 3.0}])
    engine.step(bench.now + 1)
    bench.executor.finish(0, Exit(code=0))
    assert bench.run(engine).best_value == 3.0
    assert [e.kind for e in bench.store.read()].count("metrics_seen") == 1


def test_clock_that_is_set_back_keeps_live_rows_coming(bench: Bench) -> None:
    bench.behave = lambda launch: None
    engine = bench.open(budget=Budget(1))
    engine.step(bench.now)
    bench.write(bench.executor.running[0], [{"loss": 3.0}])
    for back_s in (3600, 3599, 3598):
        engine.step(bench.now - back_s)
    assert [r.values for r in engine.history.trials[0].rows] == [{"loss": 3.0}]


def test_interrupt_stops_now_and_resume_runs_the_trial_again(bench: Bench) -> None:
    bench.behave = lambda launch: None
    engine = bench.open()
    engine.step(bench.now)
    engine.interrupt("Ctrl-C", bench.now)
    history = bench.run(engine)
    assert history.state is StudyState.STOPPED and history.reason == "Ctrl-C"
    assert states(history) == ["pending", "pending"]
    bench.behave = bench.good
    history = bench.run(bench.lead())
    assert history.state is StudyState.FINISHED and states(history) == ["completed"] * 3
    assert [len(t.attempts) for t in history.trials] == [2, 2, 1]


def test_second_interrupt_kills(bench: Bench) -> None:
    bench.behave = lambda launch: None
    engine = bench.open(budget=Budget(1))
    engine.step(bench.now)
    stops: list[tuple[str, str, bool]] = []

    def stop(nonce: str, cause: StopCause, *, kill: bool = False, reason: str = "") -> None:
        assert reason == "Ctrl-C"
        stops.append((nonce, cause, kill))

    bench.executor.stop = stop  # type: ignore[method-assign]
    engine.interrupt("Ctrl-C", bench.now)
    engine.interrupt("Ctrl-C", bench.now, kill=True)
    nonce = engine.history.trials[0].nonce
    assert stops == [(nonce, "interrupt", False), (nonce, "interrupt", True)]
    asked = [e for e in bench.store.read() if isinstance(e, StopAsked)]
    assert [(e.trial, e.cause) for e in asked] == [(None, "user"), (0, "interrupt")]


def test_request_stops_one_trial_and_the_study_goes_on(bench: Bench) -> None:
    bench.behave = lambda launch: None if launch.trial_id == 0 else bench.good(launch)
    engine = bench.open()
    engine.step(bench.now)
    path = inbox.post(bench.paths.inbox, inbox.Request("stop", 0))
    history = bench.run(engine)
    assert states(history) == ["stopped", "completed", "completed"] and not os.path.exists(path)


def test_request_stops_the_study(bench: Bench) -> None:
    bench.behave = lambda launch: None
    engine = bench.open()
    engine.step(bench.now)
    inbox.post(bench.paths.inbox, inbox.Request("stop"))
    assert bench.run(engine).state is StudyState.STOPPED


@pytest.mark.parametrize(
    "text", ["", "{", "[]", '{"do": "explode"}', '{"do": "stop", "trial": "x"}', '{"do": "stop", "trial": 99}']
)
def test_garbage_request_is_dropped(bench: Bench, text: str) -> None:
    engine = bench.open()
    Path(bench.paths.inbox, "1.json").write_text(text)
    assert bench.run(engine).state is StudyState.FINISHED
    assert os.listdir(bench.paths.inbox) == []


def test_study_time_limit_stops_what_runs(bench: Bench) -> None:
    bench.behave = lambda launch: bench.good(launch) if launch.trial_id == 0 else None
    history = bench.run(bench.open(budget=Budget(None, 10.0)))
    assert history.state is StudyState.FINISHED and "time limit of 10 s" in history.reason
    assert set(states(history)) == {"completed", "stopped"}
    assert history.elapsed_s(bench.now + 1000) <= 12


def test_time_between_engines_does_not_count(bench: Bench) -> None:
    bench.behave = lambda launch: None
    engine = bench.open(budget=Budget(5, 100.0))
    for _ in range(5):
        bench.now += 1
        engine.step(bench.now)
    bench.now += 100_000  # killed; nobody ran it
    bench.executor.alive = {launch.nonce for launch in bench.executor.launched}
    engine = bench.engine()
    assert engine.step(bench.now + 1)
    assert not engine.history.reason and engine.history.elapsed_s(bench.now) < 20


def test_clock_that_falls_back_makes_no_timeout_and_no_negative_time(bench: Bench) -> None:
    bench.behave = lambda launch: None
    engine = bench.open(budget=Budget(1, 100.0))
    engine.step(bench.now)
    for jump in (-86400.0, -1000.0, -999.0):
        assert engine.step(bench.now + jump)
        assert engine.history.elapsed_s(bench.now + jump) == 0.0


def test_resume_adopts_what_runs_and_launches_what_never_started(bench: Bench) -> None:
    bench.behave = lambda launch: None
    engine = bench.open()
    engine.step(bench.now)
    first, second = bench.executor.launched
    bench.executor.running.clear()
    bench.executor.alive = {first.nonce}
    Path(second.paths.result_dir, "half").write_text("made")
    executor = bench.new_executor(lambda launch: None)
    executor.alive = {first.nonce}
    bench.executor = executor
    engine = bench.engine()
    assert [(x.trial_id, x.nonce) for x in executor.launched] == [(1, second.nonce)], "same attempt, same nonce"
    assert not Path(second.paths.result_dir, "half").exists()
    assert [len(t.attempts) for t in engine.history.trials] == [1, 1]


def test_attempt_that_ended_unseen_is_judged_on_resume(bench: Bench) -> None:
    bench.behave = lambda launch: None
    engine = bench.open(budget=Budget(1))
    engine.step(bench.now)
    (launch,) = bench.executor.launched
    bench.write(launch, [{"loss": 0.125}])
    executor = bench.new_executor()
    executor.past = {launch.nonce: Exit(code=0)}
    bench.executor = executor
    assert bench.run(bench.engine()).best_value == 0.125
    assert executor.launched == []


def test_searcher_that_raises_closes_the_study_as_failed(bench: Bench) -> None:
    class Broken(Searcher):
        def ask(self, history: History, count: int) -> Sequence[Proposal]:
            if history.next_id:
                raise ZeroDivisionError("oops")
            return [Proposal({"x": 1.0})]

    bench.searcher = Broken()
    engine = bench.open(resources=Resources(1))
    with pytest.raises(SearcherError, match=r"Broken failed at trial 1: ZeroDivisionError: oops"):
        bench.run(engine)
    assert bench.checked(engine).state is StudyState.FAILED


def test_proposal_outside_the_space_is_refused(bench: Bench) -> None:
    bench.searcher.ask = lambda history, count: [Proposal({"x": 11.0})]
    engine = bench.open()
    with pytest.raises(SearcherError, match="x"):
        bench.run(engine)
    assert bench.executor.launched == []


class Thinking:
    """An asker whose answers are there when the test says so."""

    def __init__(self, bench: Bench) -> None:
        self.bench, self.asked, self.busy, self.closed = bench, list[tuple[History, int]](), False, False
        self.answer: Answer | None = None

    def ask(self, history: History, count: int) -> None:
        assert not self.busy
        self.busy = True
        self.asked.append((history, count))

    def think(self) -> None:
        history, count = self.asked[-1]
        try:
            self.answer = Answer(history, count, tuple(self.bench.searcher.ask(history, count)))
        except ArithmeticError as error:
            self.answer = Answer(history, count, error=error)

    def take(self, patience_s: float = 0.0) -> Answer | None:
        answer, self.answer = self.answer, None
        self.busy = self.busy and answer is None
        return answer

    def close(self) -> None:
        self.closed = True


@pytest.fixture
def thinking(bench: Bench) -> Thinking:
    bench.asker = Thinking(bench)
    bench.behave = lambda launch: None
    return bench.asker


def turn(bench: Bench, engine: Engine) -> bool:
    bench.now += 1.0
    return engine.step(bench.now)


def ends(bench: Bench, trial_id: int) -> None:
    bench.write(bench.executor.running[trial_id], [{"loss": 1.0}])
    bench.executor.finish(trial_id, Exit(code=0))


def test_loop_goes_on_while_the_searcher_thinks(bench: Bench, thinking: Thinking) -> None:
    engine = bench.open(budget=Budget(5), resources=Resources(2))
    assert turn(bench, engine) and turn(bench, engine) and not bench.executor.launched, "it waits without a trial"
    assert [count for _, count in thinking.asked] == [2], "one question, for all free slots"
    thinking.think()
    assert turn(bench, engine) and sorted(bench.executor.running) == [0, 1]
    ends(bench, 0)
    assert turn(bench, engine) and [count for _, count in thinking.asked] == [2, 1]
    bench.write(bench.executor.running[1], [{"loss": 3.0}])
    assert turn(bench, engine)
    assert engine.history.trials[1].rows and states(engine.history) == ["completed", "running"]
    inbox.post(bench.paths.inbox, inbox.Request("stop", 1))
    assert turn(bench, engine) and bench.executor.stops == [(1, "user", False)]
    thinking.think()
    assert turn(bench, engine) and sorted(bench.executor.running) == [2]
    assert [count for _, count in thinking.asked] == [2, 1, 1], "the slot that got free meanwhile is asked for at once"
    thinking.think()
    assert turn(bench, engine) and sorted(bench.executor.running) == [2, 3]


def test_searcher_is_asked_about_the_newest_history(bench: Bench, thinking: Thinking) -> None:
    engine = bench.open(budget=Budget(5), resources=Resources(1))
    turn(bench, engine)
    thinking.think()
    turn(bench, engine)
    ends(bench, 0)
    turn(bench, engine)
    history, _ = thinking.asked[-1]
    assert history.losses == {0: 1.0}


def test_answer_is_taken_only_as_far_as_there_are_slots_for_it(bench: Bench, thinking: Thinking) -> None:
    bench.behave = lambda launch: Exit(code=3) if launch.attempt == 1 and launch.trial_id == 0 else None
    engine = bench.open(budget=Budget(9), resources=Resources(3), trial=TrialPolicy(retries=1))
    turn(bench, engine)
    thinking.asked[-1] = (thinking.asked[-1][0], 1)
    thinking.think()
    turn(bench, engine)  # trial 0 fails at once; its retry takes one of the three slots
    turn(bench, engine)
    assert sorted(bench.executor.running) == [0] and [count for _, count in thinking.asked[1:]] == [2]
    thinking.asked[-1] = (thinking.asked[-1][0], 7)
    thinking.think()
    turn(bench, engine)
    assert sorted(bench.executor.running) == [0, 1, 2]


@pytest.mark.parametrize("end", ["interrupt", "time limit"])
def test_end_of_the_study_does_not_wait_for_a_thought(bench: Bench, thinking: Thinking, end: str) -> None:
    engine = bench.open(budget=Budget(5, 10.0))
    turn(bench, engine)
    if end == "interrupt":
        engine.interrupt("Ctrl-C", bench.now)
    else:
        bench.now += 20
    assert not turn(bench, engine) and thinking.busy
    thinking.think()
    engine.close()
    assert thinking.closed and not bench.checked(engine).trials


def test_killed_while_the_searcher_thinks_nothing_is_lost(bench: Bench, thinking: Thinking) -> None:
    turn(bench, bench.open())
    bench.asker, bench.behave = None, bench.good
    history = bench.run(bench.lead())
    assert states(history) == ["completed"] * 3 and [t.params["x"] for t in history.trials] == [0.0, 0.01, 0.02]


def test_error_of_a_thought_closes_the_study(bench: Bench, thinking: Thinking) -> None:
    def ask(history: History, count: int) -> Sequence[Proposal]:
        raise ZeroDivisionError("oops")

    bench.searcher.ask = ask
    engine = bench.open()
    assert turn(bench, engine)
    thinking.think()
    with pytest.raises(SearcherError, match=r"Counting failed at trial 0: ZeroDivisionError: oops \(test_loop.py:"):
        turn(bench, engine)
    assert bench.checked(engine).state is StudyState.FAILED


def test_nothing_to_propose_is_asked_again_only_after_something_happened(bench: Bench, thinking: Thinking) -> None:
    bench.searcher = Counting(limit=1)
    engine = bench.open(budget=Budget(5), resources=Resources(2))
    turn(bench, engine)
    thinking.think()
    turn(bench, engine)  # one of two
    turn(bench, engine)
    thinking.think()
    for _ in range(5):
        assert turn(bench, engine)
    assert len(thinking.asked) == 2 and not thinking.busy
    ends(bench, 0)
    assert turn(bench, engine) and len(thinking.asked) == 3
    thinking.think()
    assert not turn(bench, engine) and states(engine.history) == ["completed"]


def test_nothing_more_that_was_said_while_a_trial_ran_is_no_end(bench: Bench, thinking: Thinking) -> None:
    class OneAtATime(Counting):
        def ask(self, history: History, count: int) -> Sequence[Proposal]:
            return [] if history.open_ids else super().ask(history, 1)

    bench.searcher = OneAtATime()
    engine = bench.open(budget=Budget(2), resources=Resources(2))
    turn(bench, engine)
    thinking.think()
    turn(bench, engine)
    turn(bench, engine)  # thinks about the second slot
    ends(bench, 0)
    turn(bench, engine)
    thinking.think()  # "wait", of a history in which trial 0 still runs
    assert turn(bench, engine)
    thinking.think()
    assert turn(bench, engine) and sorted(bench.executor.running) == [1]


def test_empty_answer_while_trials_run_means_wait(bench: Bench) -> None:
    class OneAtATime(Counting):
        def ask(self, history: History, count: int) -> Sequence[Proposal]:
            return [] if history.open_ids else super().ask(history, 1)

    bench.searcher = OneAtATime()
    assert states(bench.run(bench.open())) == ["completed"] * 3


def test_searcher_with_no_more_ends_an_unlimited_study(bench: Bench) -> None:
    bench.searcher = Counting(limit=4)
    history = bench.run(bench.open(budget=Budget(None)))
    assert states(history) == ["completed"] * 4 and history.state is StudyState.FINISHED


@pytest.mark.parametrize(("word", "reason"), [("searched it all", "searched it all"), (ValueError("no"), "")])
def test_searcher_has_the_last_word_on_why_the_search_is_over(bench: Bench, word: Any, reason: str) -> None:
    def over(history: History) -> str:
        if isinstance(word, Exception):
            raise word
        return str(word)

    bench.searcher = Counting(limit=2)
    bench.searcher.over = over
    history = bench.run(bench.open(budget=Budget(None)))
    assert history.state is StudyState.FINISHED and history.reason == reason


def test_every_start_that_fails_does_not_end_the_study_early(bench: Bench) -> None:
    bench.behave = lambda launch: Exit(error="no")
    assert states(bench.run(bench.open(budget=Budget(7)))) == ["failed"] * 7


def test_link_in_place_of_a_result_dir_fails_that_trial_only(bench: Bench, tmp_path: Path) -> None:
    canary = tmp_path / "canary"
    canary.mkdir()
    engine = bench.open()
    os.symlink(canary, bench.paths.trial(1).result_dir)
    history = bench.run(engine)
    assert states(history) == ["completed", "failed", "completed"]
    assert list(canary.iterdir()) == []


@pytest.mark.parametrize("error", [RuntimeError("no"), SystemExit(3), KeyboardInterrupt(), GeneratorExit()])
def test_failing_tracker_is_switched_off_and_harms_nothing(
    bench: Bench, error: BaseException, caplog: pytest.LogCaptureFixture
) -> None:
    class Bad:
        calls = 0

        def open(self, history: History, now: float) -> None: ...
        def tick(self, history: History, now: float) -> None: ...
        def close(self, history: History) -> None: ...
        def on(self, event: Any, history: History) -> None:
            Bad.calls += 1
            raise error

    bench.trackers = [Bad()]
    assert bench.run(bench.open()).state is StudyState.FINISHED
    assert Bad.calls == 1 and len(caplog.messages) == 1
    assert caplog.messages[0] == f"Bad is switched off: {str(error) or type(error).__name__}"


def test_more_trials_and_retries_reopen_an_ended_study(bench: Bench) -> None:
    bench.behave = lambda launch: Exit(code=1) if launch.trial_id == 1 else bench.good(launch)
    history = bench.run(bench.open())
    assert states(history) == ["completed", "failed", "completed"]
    bench.behave = bench.good
    history = bench.run(bench.lead(SpecChanged(bench.now, {"trials": 5}), TrialReopened(bench.now, 1)))
    assert states(history) == ["completed"] * 5 and len(history.trials[1].attempts) == 2


def test_every_prefix_of_a_log_resumes_to_the_same_end(bench: Bench, tmp_path: Path) -> None:
    """A kill between any two commits: what was promised is kept, no trial is lost or doubled."""
    bench.run(bench.open(budget=Budget(4)))
    rows = bench.store.rows
    expected = [(t.id, dict(t.params), t.loss) for t in fold(bench.store.read()).trials]
    for cut in range(1, len(rows)):
        again = Bench(tmp_path / str(cut))
        again.store.rows = rows[:cut]
        history = again.run(again.lead())
        assert [(t.id, dict(t.params), t.loss) for t in history.trials] == expected, f"cut after {cut}"


def test_same_events_give_the_same_history_and_refuse_nonsense(bench: Bench) -> None:
    history = bench.run(bench.open())
    from hpo_engine.errors import JournalError
    from hpo_engine.study.events import AttemptStarted, TrialEnded

    for event in (TrialEnded(1.0, 0, "completed", 1.0), AttemptStarted(1.0, 0, 1, 5), TrialReopened(1.0, 0)):
        with pytest.raises(JournalError):
            apply(history, event)


def test_folders_laid_ahead_are_used_or_gone_in_the_end(bench: Bench) -> None:
    bench.behave = lambda launch: None
    engine = bench.open(budget=Budget(None), resources=Resources(2))
    for _ in range(4):
        engine.step(bench.now)
    assert sorted(os.listdir(bench.paths.results)) == ["0", "1", "2", "3"], "two run, two are to come"
    seen = Path(bench.paths.trial(2).result_dir).stat().st_ino
    bench.write(bench.executor.running[0], [{"loss": 1}])
    bench.executor.finish(0, Exit(code=0))
    engine.step(bench.now)
    assert Path(bench.paths.trial(2).config).exists() and Path(bench.paths.trial(2).result_dir).stat().st_ino == seen
    engine.interrupt("enough", bench.now)
    bench.run(engine)
    for folder in (bench.paths.results, bench.paths.logs, bench.paths.trials):
        assert sorted(os.listdir(folder)) == ["0", "1", "2"]


def test_no_folder_is_laid_beyond_the_budget(bench: Bench) -> None:
    bench.behave = lambda launch: None
    engine = bench.open(budget=Budget(3), resources=Resources(2))
    for _ in range(5):
        engine.step(bench.now)
    assert sorted(os.listdir(bench.paths.results)) == ["0", "1", "2"]


@pytest.mark.parametrize(
    ("over", "rows", "state", "value"),
    [
        ("best", [1.0, 0.1, "nan", "nan"], "completed", 0.1),
        ("best", ["nan"] * 10, "pruned", None),
    ],
)
def test_diverged_trial_counts_by_what_it_had(bench: Bench, over: str, rows: Any, state: str, value: Any) -> None:
    values = [{"loss": float(v)} for v in rows]
    bench.behave = lambda launch: bench.write(launch, values)
    engine = bench.open(budget=Budget(1), objectives=(Objective("loss", over=over),), trial=TrialPolicy(retries=2))
    bench.stopper = stopper(engine.history.spec)
    (trial,) = bench.run(bench.lead()).trials
    assert (trial.state.value, trial.attempts[0].exit.stop_cause, len(trial.attempts)) == (state, "diverged", 1)  # type: ignore[union-attr]
    assert (trial.losses or (None,))[0] == value and trial.reason.startswith("diverged: loss is nan since step ")


def test_a_rule_that_ended_a_trial_says_why_to_the_next_engine_as_well(bench: Bench) -> None:
    bench.behave = lambda launch: bench.write(launch, [{"loss": 1}, *[{"loss": float("nan")}] * 2])
    engine = bench.open(budget=Budget(1), resources=Resources(1))
    bench.stopper = stopper(engine.history.spec)
    engine = bench.lead()
    while not bench.executor.stops:
        bench.now += 1
        engine.step(bench.now)
    again = bench.engine()  # the same processes, another engine
    assert bench.run(again).trials[0].reason == "diverged: loss is nan since step 2"


@pytest.mark.parametrize(
    ("policy", "rows", "state", "words"),
    [
        ("keep", [{"loss": 2}, {"loss": 1}], "completed", "ended by its time limit of 5 s"),
        ("keep", [{"acc": 2}], "timed_out", 'before it had reported a value: no metric "loss"'),
        ("keep", None, "timed_out", "before it had reported a value: wrote no val_dict_list.json"),
        ("fail", [{"loss": 2}], "timed_out", "over its time limit of 5 s"),
    ],
)
def test_rows_of_a_trial_that_ran_into_its_time_limit_count_if_they_may(
    bench: Bench, policy: str, rows: Any, state: str, words: str
) -> None:
    bench.behave = lambda launch: (
        rows and bench.write(launch, rows),
        Exit(signal=15, stop_cause=StopCause.TIME_LIMIT),
    )[1]  # fmt: skip
    trial_policy = TrialPolicy(time_limit_s=5, on_time_limit=policy, retries=1)
    (trial,) = bench.run(bench.open(budget=Budget(1), trial=trial_policy)).trials
    assert trial.state.value == state and words in trial.reason and len(trial.attempts) == 1
    assert trial.losses == ((1.0,) if state == "completed" else ())


@pytest.mark.parametrize("cause", [StopCause.TIME_LIMIT, StopCause.DIVERGED])
def test_rows_that_were_seen_count_where_the_end_came_while_the_file_was_written(
    bench: Bench, cause: StopCause
) -> None:
    bench.behave = lambda launch: bench.write(launch, [{"loss": 3}, {"loss": 2}])
    policy = TrialPolicy(time_limit_s=5, on_time_limit="keep")
    engine = bench.open(budget=Budget(1), resources=Resources(1), trial=policy)
    for _ in range(3):
        bench.now += 1
        engine.step(bench.now)
    Path(bench.executor.running[0].paths.result_file).write_text('[{"los')
    bench.executor.finish(0, Exit(signal=15, stop_cause=cause))
    (trial,) = bench.run(engine).trials
    assert trial.state is TrialState.COMPLETED and trial.losses == (2.0,) and len(trial.rows) == 2


def test_rows_that_were_seen_and_are_gone_in_the_end_are_named_in_the_reason(bench: Bench) -> None:
    bench.behave = lambda launch: bench.write(launch, [{"loss": 3}, {"loss": 2}])
    engine = bench.open(budget=Budget(1), resources=Resources(1))
    for _ in range(3):
        bench.now += 1
        engine.step(bench.now)
    os.remove(bench.executor.running[0].paths.result_file)
    bench.executor.finish(0, Exit(code=0))
    (trial,) = bench.run(engine).trials
    assert trial.state is TrialState.FAILED and "wrote no val_dict_list.json" in trial.reason
    assert trial.reason.endswith("(2 rows read while it ran: what held them is gone or was emptied)")


@pytest.mark.parametrize("method", ["stalled", "diverged", "end_trial", "end_study", "halt"])
@pytest.mark.parametrize("error", [ValueError("no\nand no"), SystemExit(3), KeyboardInterrupt()])
def test_stopper_that_raises_closes_the_study_as_failed_in_one_line(
    bench: Bench, method: str, error: BaseException
) -> None:
    class Bad(Rule):
        pass

    def broken(*args: Any) -> None:
        if args[-2].next_id:
            raise error

    setattr(Bad, method, broken)
    bench.stopper, bench.behave = FirstOf([BudgetStopper(), Bad()]), lambda launch: None
    engine = bench.open()
    with pytest.raises(StopperError, match=rf"the stopper Bad failed: {type(error).__name__}.*test_loop.py") as caught:
        bench.run(engine)
    assert len(str(caught.value).splitlines()) == 1 and caught.value.exit_code == 3
    assert bench.checked(engine).state is StudyState.FAILED and "stopped" in states(engine.history)


def test_trial_that_is_told_to_end_keeps_its_reason_when_the_study_ends_at_once(bench: Bench) -> None:
    class Ends(Rule):
        def end_trial(self, trial: Trial, history: History, now: float) -> str | None:
            return "not good"

        def end_study(self, history: History, now: float) -> str | None:
            return "enough" if history.trials else None

    bench.stopper, bench.behave = Ends(), lambda launch: None
    history = bench.run(bench.open(budget=Budget(1)))
    asked = [(e.trial, e.cause) for e in bench.store.read() if isinstance(e, StopAsked)]
    assert asked == [(0, StopCause.EARLY.value)] and states(history) == ["pruned"]
