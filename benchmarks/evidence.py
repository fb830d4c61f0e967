"""What trials that were ended early are worth to a searcher: `python -m benchmarks.evidence [ALGORITHM ...]`

On the tasks with real learning curves, a stopper ends trials, and what becomes of these for the searcher differs: they
count as `evidence` at the step that they reached, as `failed` trials, whose surroundings are avoided, or are `ignored`.
Shown is the normalised regret of the best full-length run, after so much training in all, as the mean over seeds with
its standard error. Deterministic; `--workers` have virtual time.
"""

from __future__ import annotations

import argparse
import heapq
import os
import random
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

for _name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ.setdefault(_name, "1")

import numpy as np  # noqa: E402

from benchmarks.search.problems import Problem, chosen, problem  # noqa: E402

ALGORITHMS = ("tpe", "cmaes", "evolution", "bayesian")
TREATMENTS = ("evidence", "failed", "ignored")
SPREAD = 0.5  # sigma of the logarithm of a training's duration, with several workers


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("algorithms", nargs="*", default=list(ALGORITHMS), metavar="ALGORITHM")
    parser.add_argument("--problems", nargs="+", default=["curves"])
    parser.add_argument("--stop", nargs="+", default=["rank"], help="stoppers, each alone")
    parser.add_argument("--seeds", type=int, default=10)
    parser.add_argument("--trainings", type=float, default=30, help="full trainings that may be spent")
    parser.add_argument("--workers", type=int, default=1)
    args = parser.parse_args()
    warnings.filterwarnings("ignore")
    print("| algorithm | stopper | task | " + " | ".join(TREATMENTS) + " |")
    print("| --- | --- | --- |" + " --- |" * len(TREATMENTS))
    for algorithm in args.algorithms:
        for stop in args.stop:
            rows = {name: _row(algorithm, stop, problem(name), args) for name in chosen(args.problems)}
            for name, row in rows.items():
                print(f"| {algorithm} | {stop} | {name} | {' | '.join(map(_cell, row))} |", flush=True)
            together = [np.mean(column, axis=0) for column in zip(*rows.values(), strict=True)]
            print(f"| {algorithm} | {stop} | all | {' | '.join(map(_cell, together))} |", flush=True)


def _row(algorithm: str, stop: str, task: Problem, args: argparse.Namespace) -> list[np.ndarray]:
    return [
        np.array([regret(algorithm, stop, how, task, seed, args.trainings, args.workers) for seed in range(args.seeds)])
        for how in TREATMENTS
    ]


def _cell(regrets: np.ndarray) -> str:
    return f"{regrets.mean():.4f} ± {regrets.std(ddof=1) / np.sqrt(len(regrets)):.4f}"


def regret(algorithm: str, stop: str, how: str, task: Problem, seed: int, trainings: float, workers: int) -> float:
    """Of the best full-length run within so many full trainings; 1 if there is none."""
    with _treated(how):
        losses = list(full_runs(algorithm, stop, task, seed, trainings, workers))
    return float(task.regret(np.array([min(losses, default=task.median)]))[0])


def full_runs(
    algorithm: str, stop: str, task: Problem, seed: int, trainings: float, workers: int = 1
) -> Iterator[float]:
    """The losses of the trials that were not ended early, one after the other."""
    from hpo_engine import assembly
    from hpo_engine.core.queue import TrialQueue
    from hpo_engine.study.events import (
        AttemptIntended,
        AttemptStarted,
        EngineStarted,
        MetricsSeen,
        TrialEnded,
        TrialProposed,
        apply,
        fold,
        opening,
    )
    from hpo_engine.study.objective import Objective, Row
    from hpo_engine.study.spec import Budget, Named, Resources, StudySpec

    spec = StudySpec(
        "benchmark", task.space, (Objective("loss", over="last"),), ("true",), "/", algorithm=Named(algorithm),
        budget=Budget(trials=10_000), resources=Resources(parallel=workers), seed=seed, stop=(Named(stop),),
    )  # fmt: skip
    history = fold([*opening(spec, 0.0), EngineStarted(0.0, 1)])
    searcher, stopper = TrialQueue(spec, assembly.searcher(spec)), assembly.stopper(spec)
    durations = random.Random(f"durations/{seed}")
    running: list[tuple[float, int, int, float, Mapping[str, Any]]] = []  # next report, trial, level, speed, parameters
    now, spent = 0.0, 0.0
    while True:
        while len(running) < workers and spent < trainings:
            (asked,) = searcher.ask(history, 1)
            trial = history.next_id
            for event in (
                TrialProposed(now, trial, asked.params, asked.resource, asked.note),
                AttemptIntended(now, trial, 1, f"n{trial}"),
                AttemptStarted(now, trial, 1, 1),
            ):
                history = apply(history, event)
            speed = durations.lognormvariate(0, SPREAD) if workers > 1 else 1.0
            heapq.heappush(running, (now + speed * task.levels[0], trial, 0, speed, asked.params))
        if not running:
            return
        now, trial, level, speed, params = heapq.heappop(running)
        step, most = task.levels[level], task.levels[-1]
        spent += (step - (task.levels[level - 1] if level else 0)) / most
        loss = task.evaluate(params, step)
        history = apply(history, MetricsSeen(now, trial, (Row(step, {"loss": loss}),)))
        if step == most:
            yield loss
            history = apply(history, TrialEnded(now, trial, "completed", loss, "", {"code": 0}))
        elif stopper.end_trial(history.trials[trial], history, now):
            history = apply(history, TrialEnded(now, trial, "pruned", None, "", {"code": None, "stop_cause": "early"}))
        else:
            ahead = task.levels[level + 1] - step
            heapq.heappush(running, (now + speed * ahead, trial, level + 1, speed, params))


@contextmanager
def _treated(how: str) -> Iterator[None]:
    """Makes searchers treat trials that were ended early in this way."""
    from hpo_engine.searchers import evidence, fates
    from hpo_engine.study.trial import TrialState

    read, known = evidence.Evidence.read, dict(fates._FATES)
    try:
        if how != "evidence":
            evidence.Evidence.read = lambda self, trials: {}  # type: ignore[method-assign]
        if how == "ignored":
            fates._FATES[TrialState.PRUNED] = fates.Fate.UNKNOWN  # type: ignore[index]
        yield
    finally:
        evidence.Evidence.read = read  # type: ignore[method-assign]
        fates._FATES.update(known)  # type: ignore[attr-defined]


if __name__ == "__main__":
    main()
