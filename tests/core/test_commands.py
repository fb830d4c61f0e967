"""Requests to an engine between two turns: pause, resume, cancel, enqueue; refused ones change nothing."""

from __future__ import annotations

import os
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from hpo_engine.core.commands import Parts
from hpo_engine.core.loop import Engine
from hpo_engine.space.searchspace import Float, Int, SearchSpace
from hpo_engine.stoppers import BudgetStopper
from hpo_engine.store import inbox
from hpo_engine.study.events import TrialQueued, fold
from hpo_engine.study.history import StudyState
from hpo_engine.study.revision import fingerprint
from hpo_engine.study.spec import Budget, Resources, StudySpec
from hpo_engine.study.trial import StopCause, TrialState
from tests.support.loop_bench import Bench, Counting, states


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    return Bench(tmp_path)


STOPPER: Any = BudgetStopper()


def ask(bench: Bench, engine: Engine, do: str, trial: int | None = None, **body: Any) -> str:
    """Posts a request and lets the engine take it. Returns why it was refused ("": it was not)."""
    path = inbox.post(bench.paths.inbox, inbox.Request(do, trial, body=body))
    turn(bench, engine)
    assert not os.path.exists(path)
    return inbox.refusal(path)


def turn(bench: Bench, engine: Engine, times: int = 1) -> bool:
    for _ in range(times):
        bench.now += 1.0
        if not engine.step(bench.now):
            return False
    return True


def test_a_paused_trial_leaves_its_slot_to_others_and_runs_again_when_it_is_resumed(bench: Bench) -> None:
    bench.behave = lambda launch: None
    engine = bench.open(budget=Budget(3), resources=Resources(1))
    turn(bench, engine, 2)
    assert ask(bench, engine, "pause", 0) == "" and turn(bench, engine, 2)
    assert bench.executor.stops == [(0, StopCause.PAUSE, False)]
    assert states(engine.history) == ["paused", "running"]
    bench.behave = bench.good
    bench.executor.finish(1, bench.good(bench.executor.running[1]))  # type: ignore[arg-type]
    turn(bench, engine, 2)
    assert ask(bench, engine, "resume", 0) == ""
    history = bench.run(engine)
    assert states(history) == ["completed"] * 3 and len(history.trials[0].attempts) == 2
    assert history.state is StudyState.FINISHED


def test_a_study_whose_other_trials_have_ended_waits_for_paused_ones_stopped(bench: Bench) -> None:
    engine = bench.open(budget=Budget(2), resources=Resources(1))
    bench.behave = lambda launch: None if launch.trial_id == 0 and launch.attempt == 1 else bench.good(launch)
    turn(bench, engine, 2)
    ask(bench, engine, "pause", 0)
    history = bench.run(engine)
    assert (history.state, history.reason) == (StudyState.STOPPED, "waits for paused trial 0")
    assert states(history) == ["paused", "completed"]
    again = bench.lead()  # it is still paused for the next engine
    assert not turn(bench, again) and states(again.history) == ["paused", "completed"]
    once_more = bench.lead()
    ask(bench, once_more, "resume", 0)
    assert states(bench.run(once_more)) == ["completed", "completed"]


def test_a_trial_that_ends_well_while_it_is_being_paused_has_ended(bench: Bench) -> None:
    engine = bench.open(budget=Budget(1))
    bench.behave = lambda launch: None
    turn(bench, engine, 2)
    launch = bench.executor.running[0]
    bench.executor.finish(0, bench.good(launch))  # type: ignore[arg-type]
    ask(bench, engine, "pause", 0)
    assert states(bench.run(engine)) == ["completed"]


def test_an_engine_that_died_while_a_trial_was_being_paused_leaves_it_to_the_next(bench: Bench) -> None:
    engine = bench.open(budget=Budget(1))
    bench.behave = lambda launch: None
    turn(bench, engine, 2)
    nonce = engine.history.trials[0].nonce
    bench.executor.stop = lambda *args, **kwargs: None  # type: ignore[method-assign]
    ask(bench, engine, "pause", 0)
    assert states(engine.history) == ["running"]
    bench.executor = bench.new_executor(lambda launch: None)
    bench.executor.alive = {nonce}
    again = bench.engine()
    turn(bench, again, 2)
    assert states(again.history) == ["paused"] and not turn(bench, again)


def test_a_paused_trial_can_be_ended(bench: Bench) -> None:
    engine = bench.open(budget=Budget(1))
    bench.behave = lambda launch: None
    turn(bench, engine, 2)
    ask(bench, engine, "pause", 0)
    ask(bench, engine, "stop", 0)
    assert states(bench.run(engine) if turn(bench, engine) else engine.history) == ["stopped"]


@pytest.mark.parametrize(
    ("do", "trial", "words"),
    [
        ("pause", 7, "there is no trial 7"),
        ("pause", -1, "there is no trial -1"),
        ("pause", None, "there is no trial None"),
        ("pause", 0, "trial 0 is completed already"),
        ("resume", 0, "trial 0 is completed already"),
    ],
)
def test_requests_that_name_no_open_trial_are_refused(bench: Bench, do: str, trial: int | None, words: str) -> None:
    engine = bench.open(budget=Budget(3), resources=Resources(1))
    turn(bench, engine, 3)
    events = len(bench.store.rows)
    path = inbox.post(bench.paths.inbox, inbox.Request(do, trial))
    engine._take_requests(bench.now)
    assert inbox.refusal(path) == words and len(bench.store.rows) == events
    assert inbox.refusal(path) == "" and not os.listdir(bench.paths.inbox), "it is said once"


# -- the queue ---------------------------------------------------------------------------------------------------------


def test_what_the_user_queues_is_next_in_the_order_in_which_it_came(bench: Bench) -> None:
    engine = bench.open(budget=Budget(9), resources=Resources(1), points=({"x": 1.0}, {"x": 2.0}, {"x": 3.0}))
    bench.behave = lambda launch: None
    turn(bench, engine)  # trial 0 runs
    assert ask(bench, engine, "enqueue", configurations=[{"x": 8.0}, {"x": 9.0}]) == ""
    assert ask(bench, engine, "enqueue", configurations=[{"x": 7}]) == ""
    bench.behave = bench.good
    bench.executor.finish(0, bench.good(bench.executor.running[0]))  # type: ignore[arg-type]
    history = bench.run(engine)
    assert [t.params["x"] for t in history.trials][:6] == [1.0, 8.0, 9.0, 7.0, 2.0, 3.0]
    assert isinstance(history.trials[3].params["x"], float)


def test_a_request_that_is_taken_again_after_a_crash_queues_nothing_twice(bench: Bench) -> None:
    engine = bench.open(budget=Budget(9), resources=Resources(1))
    request = inbox.Request("enqueue", body={"configurations": [{"x": 8.0}]})
    path = inbox.post(bench.paths.inbox, request)
    text = Path(path).read_text()
    turn(bench, engine)
    Path(path).write_text(text)  # as if the engine had died before it removed it
    again = bench.lead()
    turn(bench, again, 3)
    assert sum(isinstance(event, TrialQueued) for event in bench.store.read()) == 1
    assert sum(t.params["x"] == 8.0 for t in again.history.trials) == 1


@pytest.mark.parametrize(
    ("configurations", "words"),
    [
        ([{"x": 1.0}, {"y": 2.0}], r"\[1\].y: is not a parameter of the space"),
        ([{"x": 11.0}], "x: 11.0 is outside"),
        ([{"x": float("inf")}], "x: "),
        ([{"x": 10**400}], "x: "),
        ([{}], "must be a mapping"),
        ([3], "must be a mapping"),
        ([{"x": i / 10} for i in range(9)], "has room for 2 more: of 3 trials 1 have begun, and 0 are queued"),
    ],
)
def test_configurations_that_cannot_be_tried_are_refused_as_a_whole(
    bench: Bench, configurations: list[Any], words: str
) -> None:
    engine = bench.open(budget=Budget(3), resources=Resources(1))
    bench.behave = lambda launch: None
    turn(bench, engine)
    before = len(bench.store.rows)
    path = inbox.post(bench.paths.inbox, inbox.Request("enqueue", body={"configurations": configurations}))
    engine._take_requests(bench.now)
    assert re.search(words, inbox.refusal(path)) and len(bench.store.rows) == before


def test_a_thousand_configurations_are_tried_in_their_order(bench: Bench) -> None:
    engine = bench.open(budget=Budget(1000), resources=Resources(1))
    bench.behave = lambda launch: None
    found = [{"x": i / 100} for i in range(999, 0, -1)]
    turn(bench, engine)
    assert ask(bench, engine, "enqueue", configurations=found) == ""
    history = fold(bench.store.read())
    assert [entry.params for entry in history.queue] == found
    assert all(state is TrialState.RUNNING for state in history.counts)


# -- the study itself --------------------------------------------------------------------------------------------------


def body(old: StudySpec, new: StudySpec) -> dict[str, Any]:
    return {"spec": new.to_json(), "source": "text", "lines": ["x"], "who": "me", "before": fingerprint(old)}


def test_a_study_goes_on_with_other_parts_after_a_change(bench: Bench) -> None:
    engine = bench.open(budget=Budget(9), resources=Resources(1))
    bench.behave = lambda launch: None
    turn(bench, engine, 2)
    adopted: list[StudySpec] = []

    class Seven(Counting):
        def ask(self, history: Any, count: int) -> Any:
            return [replace(p, params={"x": 7.0, "n": 3}) for p in super().ask(history, 1)]

    bench.remake = lambda spec: Parts(Seven(), STOPPER, adopt=lambda: adopted.append(spec))
    old = engine.history.spec
    new = replace(old, space=SearchSpace((Float("x", 0.0, 10.0), Int("n", 1, 9))), was={"n": 2}, budget=Budget(3))
    assert ask(bench, engine, "edit", **body(old, new)) == "" and adopted == [new]
    assert states(engine.history) == ["running"], "what runs goes on"
    bench.behave = bench.good
    bench.executor.finish(0, bench.good(bench.executor.running[0]))  # type: ignore[arg-type]
    history = bench.run(engine)
    assert len(history.trials) == 3 and history.trials[0].params == {"x": 0.0}
    assert history.trials[1].params == {"x": 7.0, "n": 3}


def test_of_two_who_edit_the_same_study_the_second_is_told(bench: Bench) -> None:
    engine = bench.open(budget=Budget(9), resources=Resources(1))
    bench.behave = lambda launch: None
    turn(bench, engine)
    bench.remake = lambda spec: Parts(Counting(), STOPPER)
    old = engine.history.spec
    assert ask(bench, engine, "edit", **body(old, replace(old, budget=Budget(5)))) == ""
    why = ask(bench, engine, "edit", **body(old, replace(old, budget=Budget(7))))
    assert "changed by somebody else meanwhile" in why and engine.history.spec.budget.trials == 5


def test_a_change_whose_searcher_cannot_be_made_is_refused_and_nothing_is_recorded(bench: Bench) -> None:
    engine = bench.open(budget=Budget(9), resources=Resources(1))
    bench.behave = lambda launch: None
    turn(bench, engine)
    old, before = engine.history.spec, len(bench.store.rows)
    path = inbox.post(bench.paths.inbox, inbox.Request("edit", body=body(old, replace(old, budget=Budget(5)))))
    engine._take_requests(bench.now)
    assert "cannot change its study while it runs" in inbox.refusal(path) and len(bench.store.rows) == before


@pytest.mark.parametrize("found", [{}, {"spec": 3}, {"before": "x"}, {"spec": {"name": "s"}, "before": "x"}])
def test_requests_of_another_form_are_refused(bench: Bench, found: dict[str, Any]) -> None:
    engine = bench.open(budget=Budget(9), resources=Resources(1))
    turn(bench, engine)
    for do in ("edit", "enqueue"):
        assert ask(bench, engine, do, **found)


POINTS = ({"x": 1.0, "n": 2}, {"x": 1.0, "n": 3})


def test_a_trial_that_waits_with_a_parameter_that_was_removed_does_not_run_again(bench: Bench) -> None:
    space = SearchSpace((Float("x", 0.0, 10.0), Int("n", 1, 9)))
    engine = bench.open(budget=Budget(2), resources=Resources(1), space=space, points=POINTS)
    bench.behave = lambda launch: None
    turn(bench, engine, 2)
    ask(bench, engine, "pause", 0)
    bench.remake = lambda spec: Parts(Counting(), STOPPER)
    old = engine.history.spec
    assert ask(bench, engine, "edit", **body(old, replace(old, space=SearchSpace((space["x"],))))) == ""
    bench.behave = bench.good
    ask(bench, engine, "resume", 0)
    trial = engine.history.trials[0]
    assert (trial.state.value, trial.reason) == ("stopped", "it has n, which is not a parameter any more")
