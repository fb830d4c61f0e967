"""Trials that are carried on, and trials that start from others: the loop with fakes for its ports."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy
import pytest

from hpo_engine.assembly import stopper
from hpo_engine.cli.show import _show_trial
from hpo_engine.contract.workspace import LocalWorkspace
from hpo_engine.errors import SearcherError
from hpo_engine.executors.local.bound import BoundLaunch as Launch
from hpo_engine.searchers import Searcher, Traits
from hpo_engine.study.events import TrialReopened, fold
from hpo_engine.study.history import History, StudyState
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


def test_promotion_is_another_attempt_of_the_same_trial(bench: Bench, script: Counter) -> None:
    history = bench.run(opened(bench))
    assert [len(t.attempts) for t in history.trials] == [4, 2, 1, 1, 1]
    assert [(n, by, had) for n, by, had, _, _ in script.runs] == [
        (0, None, None), (1, None, None), (2, None, None), (3, None, None),
        (0, "0", "1"), (1, "1", "1"), (0, "0", "2"), (4, "0", "4"), (0, "0", "4"),
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
        (4, "0", "4", 4, 8), (0, "0", "4", 4, 8), (4, "0", "4", 4, 8),
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


class Once(Searcher):
    """Completes trial 0 with 2 epochs, then proposes this."""

    traits = Traits(carries_on=True)

    def __init__(self, proposal: Proposal, first: int | None = 2) -> None:
        self.proposal, self.first = proposal, first

    def ask(self, history: History, count: int) -> Sequence[Proposal]:
        if not history.next_id:
            return [Proposal({"x": 1.0}, self.first)]
        return [] if history.open_ids else [self.proposal]


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
