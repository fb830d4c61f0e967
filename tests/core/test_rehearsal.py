"""What is foretold of a study is what it then runs, trains and takes."""

from __future__ import annotations

import random
from dataclasses import replace
from pathlib import Path
from statistics import median
from typing import Any

import pytest

from hpo_engine import assembly
from hpo_engine.core.rehearsal import rehearse
from hpo_engine.reports.pace import Pace, pace_of, pace_of_history
from hpo_engine.stoppers import FirstOf, Rule
from hpo_engine.study.events import EngineStarted, fold
from hpo_engine.study.history import History
from hpo_engine.study.spec import Budget, Named, Resource, Resources
from hpo_engine.study.trial import Exit
from tests.support.loop_bench import Bench

PACE = Pace(start_s=2.0, unit_s=3.0, checkpoints=True)


class Paced(Bench):
    """Trials that take as long as `PACE` says, with losses that keep their order."""

    def trained(self, algorithm: Named, parallel: int, resume: str, budget: Budget, seed: int = 1) -> History:
        self.behave = lambda launch: None
        self.stopper = FirstOf([Rule()])
        changes: dict[str, Any] = {
            "algorithm": algorithm, "resource": Resource("epochs", 9, resume=resume), "budget": budget,
            "resources": Resources(parallel), "seed": seed,
        }  # fmt: skip
        engine = self.open(**changes)
        self.store.rows.clear()  # another searcher than the bench's
        self.searcher = assembly.searcher(engine.history.spec)
        engine = self.open(**changes)
        due: dict[int, float] = {}
        while True:
            more = engine.step(self.now)
            while more and self.executor.news:
                more = engine.step(self.now)
            if not more:
                return engine.history
            for trial_id in self.executor.running:
                due.setdefault(trial_id, self.now + self.seconds(engine.history, trial_id))
            self.now = min(due.values())
            for trial_id in [i for i, at in due.items() if at <= self.now]:
                launch = self.executor.running[trial_id]
                epochs, x = launch.values["epochs"], launch.values["x"]
                self.write(launch, [{"step": k, "loss": x - k / 1000} for k in range(1, epochs + 1)])
                self.executor.finish(trial_id, Exit(code=0, seconds=self.seconds(engine.history, trial_id)))
                del due[trial_id]

    @staticmethod
    def seconds(history: History, trial_id: int) -> float:
        trial = history.trials[trial_id]
        return PACE.run_s((trial.proposal.resource or 0) - history.inherited(trial))


def ran(history: History) -> dict[int | None, int]:
    found: dict[int | None, int] = {}
    for trial in history.trials:
        for result in trial.results:
            found[result.resource] = found.get(result.resource, 0) + 1
    return found


@pytest.mark.by_default("1-hyperband-always", "4-hyperband-never")
@pytest.mark.parametrize("resume", ["always", "never"])
@pytest.mark.parametrize(
    ("algorithm", "budget"),
    [(Named("hyperband"), Budget()), (Named("hyperband"), Budget(trials=30)), (Named("random"), Budget(trials=7))],
    ids=["hyperband", "hyperband-30", "random"],
)
@pytest.mark.parametrize("parallel", [1, 4])
def test_a_plan_is_what_the_study_then_takes(
    tmp_path: Path, algorithm: Named, budget: Budget, parallel: int, resume: str
) -> None:
    real = Paced(tmp_path).trained(algorithm, parallel, resume, budget)
    found = assembly.rehearsed(real.spec, replace(PACE, checkpoints=resume == "always"))
    assert found is not None and found.whole
    assert found.seconds == real.last_at - real.opened_at
    assert found.runs == ran(real)
    assert found.trials == real.begun
    assert bool(found.carried_on) is (resume == "always" and algorithm.name != "random")


@pytest.mark.slow
def test_a_plan_of_asha_is_the_middle_of_what_such_studies_take(tmp_path: Path) -> None:
    """Which trials are promoted depends on who comes first: of 60 trials, a study's time has a spread of a sixth."""
    times = []
    for seed in range(3):
        (folder := tmp_path / str(seed)).mkdir()
        real = Paced(folder).trained(Named("asha"), 4, "always", Budget(trials=60), seed)
        times.append(real.last_at - real.opened_at)
    found = assembly.rehearsed(real.spec, PACE)
    assert found is not None and found.between_s is not None
    assert found.seconds == pytest.approx(median(times), rel=0.15)  # for these seeds, whatever the machine
    low_s, high_s = found.between_s
    assert low_s <= found.seconds <= high_s


def test_the_rest_of_a_study_is_what_is_left_of_it(tmp_path: Path) -> None:
    bench = Paced(tmp_path)
    whole = bench.trained(Named("hyperband"), 2, "always", Budget())
    events = bench.store.read()
    half = fold([*events[: len(events) // 2], EngineStarted(events[len(events) // 2].at, pid=1)])
    left = rehearse(half, assembly.searcher(whole.spec), PACE.run_s, leaves_checkpoints=True)
    done = sum(len(trial.results) for trial in half.trials)
    assert done + sum(left.runs.values()) == whole.runs
    assert half.begun + left.trials == whole.begun


def test_a_study_without_an_end_has_no_plan(tmp_path: Path) -> None:
    spec = Paced(tmp_path).open(algorithm=Named("random"), budget=Budget()).history.spec
    assert assembly.rehearsed(spec, PACE) is None


@pytest.mark.parametrize("pace", [None, replace(PACE, checkpoints=False)])
def test_a_population_is_planned_as_one_that_leaves_checkpoints(tmp_path: Path, pace: Pace | None) -> None:
    algorithm, epochs = Named("pbt", {"interval": 3}), Resource("epochs", 9, resume="auto")
    spec = Paced(tmp_path).open(algorithm=algorithm, resource=epochs, budget=Budget(4)).history.spec
    found = assembly.rehearsed(spec, pace)
    assert found is not None and (found.units, found.trials, sum(found.carried_on.values())) == (36, 4, 8)


@pytest.mark.parametrize("noise", [0.0, 0.05])
def test_a_pace_is_found_in_runs_of_several_lengths(noise: float) -> None:
    draw = random.Random(3)
    runs = [(units, PACE.run_s(units) * (1 + noise * draw.uniform(-1, 1))) for units in (1, 1, 1, 3, 3, 9, 27)]
    found = pace_of(runs)
    assert found is not None and found.sure
    assert found.run_s(27) == pytest.approx(PACE.run_s(27), rel=0.01 + 2 * noise)
    assert found.run_s(1) == pytest.approx(PACE.run_s(1), rel=0.01 + 5 * noise)


def test_with_one_length_all_of_the_time_is_training() -> None:
    found = pace_of([(3, 6.0), (3, 6.0)])
    assert found is not None and not found.sure
    assert (found.start_s, found.unit_s) == (0.0, 2.0)


@pytest.mark.parametrize("runs", [[(1, 1.0), (10, 1.0)], [(1, 0.0), (2, 10.0)], [(1, 5.0), (9, 1.0)]])
def test_a_pace_is_never_below_nothing(runs: list[tuple[int | None, float]]) -> None:
    found = pace_of(runs)
    assert found is not None and found.start_s >= 0 and found.unit_s >= 0


def test_the_pace_of_a_study_counts_what_each_run_trained_itself(tmp_path: Path) -> None:
    real = Paced(tmp_path).trained(Named("hyperband"), 2, "always", Budget())
    found = pace_of_history(real)
    assert found is not None
    assert found.runs == real.runs
    assert [found.start_s, found.unit_s] == pytest.approx([2.0, 3.0])
