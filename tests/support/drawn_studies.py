"""Studies made of events at once, as an engine with several workers would have made them: for figures and reports.

    python -m tests.support.drawn_studies FOLDER [SITUATION [TRIALS]]

writes studies that `hpo-engine report` and `show` can read.
"""

from __future__ import annotations

import heapq
import math
import os
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from hpo_engine.assembly import parts
from hpo_engine.contract.paths import StudyPaths
from hpo_engine.space.searchspace import Choice, Float, Int, SearchSpace
from hpo_engine.store.journal import Journal
from hpo_engine.study.events import (
    AttemptEnded,
    AttemptIntended,
    AttemptStarted,
    EngineStarted,
    Event,
    MetricsSeen,
    StudyClosed,
    TrialEnded,
    apply,
    fold,
    opening,
)
from hpo_engine.study.history import History
from hpo_engine.study.objective import Objective, Row
from hpo_engine.study.spec import Budget, Named, Resource, Resources, StudySpec
from hpo_engine.study.trial import Proposal, Trial
from hpo_engine.testing.histories import proposal_event

MIXED = SearchSpace(
    (
        Float("lr", 1e-5, 1e-1, log=True),
        Int("hidden", 16, 512, log=True),
        Float("dropout", 0.0, 0.6),
        Choice("optimizer", ("adam", "sgd", "rmsprop")),
        Choice("batch_size", (16, 32, 64, 128), ordered=True),
    )
)
CONDITIONAL = SearchSpace(
    (
        Choice("optimizer", ("adam", "sgd")),
        Float("lr", 1e-4, 1.0, log=True),
        Float("momentum", 0.0, 0.99, when={"optimizer": "sgd"}),
        Choice("nesterov", (True, False), when={"optimizer": "sgd"}),
        Float("beta2", 0.9, 0.9999, when={"optimizer": "adam"}),
        Int("layers", 1, 4),
    )
)
WIDE = SearchSpace(tuple(Float(f"model.block_{i:02d}.scale", 0.01, 10, log=True) for i in range(20)))
EVIL = "</script><img src=x onerror=alert(1)>$x^2$ %{x} {lr} & <b>bold</b>"
LONG = SearchSpace((Float("lr" * 100, 1e-5, 1e-1, log=True), Float(EVIL, 0, 1), Choice("🦀é", ("a" * 10_000, EVIL))))

Fate = Callable[[Trial, np.random.Generator], str]
"""What becomes of an attempt: completed, pruned, failed, retried, nan, timed_out, or running."""


@dataclass(frozen=True)
class Story:
    """A study to be made. `epochs`: rows of a trial without a resource. `fate`: of each attempt. `open_end`: it still
    runs. `pause_s`: how long nothing ran in the middle of it."""

    spec: StudySpec
    epochs: int = 20
    fate: Fate = lambda trial, rng: "completed"
    open_end: bool = False
    pause_s: float = 0.0
    seed: int = 0


def spec_of(name: str, space: SearchSpace = MIXED, trials: int = 30, **changes: Any) -> StudySpec:
    fields: dict[str, Any] = {
        "objectives": (Objective("val_loss"),), "command": ("python", "train.py"), "model_dir": "/",
        "budget": Budget(trials), "resources": Resources(parallel=4), "seed": 1, "trackers": (),
    }  # fmt: skip
    return StudySpec(**{**fields, "name": name, "space": space, **changes})


def made(story: Story) -> tuple[list[Event], History]:
    """The log of the study, and its history. The workers' clock is simulated: a second of training per row."""
    spec, rng = story.spec, np.random.default_rng(story.seed)
    events: list[Event] = [*opening(spec, 0.0, "name: drawn"), EngineStarted(1.0, pid=1)]
    history, searcher = fold(events), parts.searcher(spec)
    quick = spec.algorithm.name == "random"
    running: list[tuple[float, int, str]] = []
    now = 1_700_000_000.0
    events[:] = [replace(event, at=now) for event in events]
    history = fold(events)
    most, asked = spec.budget.most or 0, 0
    paused = story.pause_s == 0.0

    def happens(*more: Event) -> None:
        nonlocal history
        for event in more:
            history = apply(history, event)
            events.append(event)

    def begin(trial_id: int) -> None:
        trial = history.trials[trial_id]
        number = len(trial.attempts) + 1
        happens(
            AttemptIntended(now, trial_id, number, f"{trial_id}.{number}"),
            AttemptStarted(now + 0.2, trial_id, number, 100 + trial_id, _devices(history)),
        )
        trial = history.trials[trial_id]
        rows, fate, end = _attempt(story, history, trial, rng)
        heapq.heappush(running, (now + end, trial_id, fate))
        attempts[trial_id] = rows

    attempts: dict[int, list[Row]] = {}
    while True:
        free = spec.resources.parallel - len(running)
        for trial in history.pending[: max(0, free)]:
            begin(trial.id)
        free = spec.resources.parallel - len(running)
        if free > 0 and most and (not quick or asked < most):
            answer: Sequence[Proposal]
            if quick:
                answer = [Proposal(spec.space.sample(rng), spec.full_resource) for _ in range(min(free, most - asked))]
            else:
                answer = searcher.ask(history, free) if history.trials_left != 0 or searcher.traits.carries_on else []
            asked += len(answer)
            for proposal in answer:
                happens(replace(proposal_event(history, proposal), at=now))
            if answer:
                continue
        if not running:
            break
        if story.open_end and asked >= most and len(running) <= spec.resources.parallel // 2 + 1:
            for _, trial_id, _ in running:
                half = attempts[trial_id][: max(1, len(attempts[trial_id]) // 2)]
                happens(MetricsSeen(now, trial_id, tuple(half)))
            return events, history
        now, trial_id, fate = heapq.heappop(running)
        happens(*_ended(history, history.trials[trial_id], attempts.pop(trial_id), fate, now))
        if not paused and history.ended_count > most // 2:
            paused = True
            for _, number, _ in running:
                end = {"signal": 15, "stop_cause": "interrupt", "seconds": 1.0}
                happens(AttemptEnded(now, number, len(history.trials[number].attempts), end))
            running.clear()
            happens(StudyClosed(now, "stopped"))
            now += story.pause_s
            happens(EngineStarted(now, pid=2))
    happens(StudyClosed(now + 0.1, "finished" if history.front else "failed"))
    return events, history


def _devices(history: History) -> tuple[str, ...]:
    """The first GPU that no attempt has, if the study has GPUs."""
    if not history.spec.resources.gpus:
        return ()
    taken = {device for trial in history.running for device in trial.attempts[-1].devices}
    return (next(gpu for gpu in map(str, range(100)) if gpu not in taken),)


def _attempt(story: Story, history: History, trial: Trial, rng: np.random.Generator) -> tuple[list[Row], str, float]:
    """The rows that the trial's latest attempt reports, what becomes of it, and after how many seconds."""
    spec, fate = history.spec, story.fate(trial, rng)
    first = history.inherited(trial)
    last = trial.proposal.resource or story.epochs
    if fate == "pruned":
        last = first + max(1, int((last - first) * rng.uniform(0.1, 0.6)))
    if fate in ("failed", "retried", "timed_out", "lost"):
        last = first + int((last - first) * rng.uniform(0.0, 0.7))
    u = np.nan_to_num(np.array(spec.space.vector(trial.params)), nan=0.5)
    rows = [_row(spec, u, step, rng) for step in range(first + 1, last + 1)]
    if fate == "nan" and rows:
        rows[-1] = Row(rows[-1].step, dict.fromkeys(rows[-1].values, math.nan))
    pace = 0.5 + 2 * u.mean()
    return rows, fate, 2 + float(pace * max(1, len(rows)) * rng.uniform(0.8, 1.2))


def _row(spec: StudySpec, u: np.ndarray, step: int, rng: np.random.Generator) -> Row:
    """Metrics after some steps: a curve that falls to a level which depends on the parameters, the first ones most."""
    weights = 0.5 ** np.arange(len(u))
    level = 0.08 + float((weights * (u - 0.6) ** 2).sum())
    loss = level + 1.6 * (step + 0.5) ** -(0.4 + float(u[0])) + 0.01 * float(rng.normal())
    found = {}
    for k, aim in enumerate(spec.objectives):
        value = loss if k == 0 else 0.2 + float(u[(k - 1) % len(u)]) * 3 * k + 0.3 / (0.1 + loss)
        found[aim.metric] = 1 / (1 + value) if aim.goal == "maximize" else value
    return Row(step, {**found, "train_loss": 0.8 * loss})


def _ended(history: History, trial: Trial, rows: list[Row], fate: str, now: float) -> list[Event]:
    spec, number = history.spec, len(trial.attempts)
    started = trial.attempts[-1].started_at or now
    end = {"code": 0, "seconds": now - started, "cpu_s": 0.9 * (now - started), "memory_peak_mb": 300.0}
    out: list[Event] = [MetricsSeen(now - 0.1, trial.id, tuple(rows))] if rows else []
    if fate == "retried":
        return [*out, AttemptEnded(now, trial.id, number, {**end, "code": 1}, "exit code 1", "exit_code")]
    if fate == "completed":
        every = [*trial.before, *rows]
        values = tuple([aim.pick(every) or 0.0 for aim in spec.objectives])
        several = values if len(values) > 1 else None
        left = "last.ckpt" if spec.seeks_checkpoints else None
        return [*out, TrialEnded(now, trial.id, fate, values[0], "", end, values=several, checkpoint=left)]
    if fate == "pruned":
        return [
            *out,
            TrialEnded(now, trial.id, fate, None, "worse than the median of 12 trials", {**end, "stop_cause": "early"}),
        ]
    kind, reason, code = {
        "failed": ("exit_code", "exit code 1; last line: ValueError: loss is negative", 1),
        "oom": ("out_of_memory", "killed by signal 9 (the kernel ran out of memory and killed it)", 137),
        "nan": ("bad_result", f'no finite "{spec.objectives[0].metric}" in its rows', 0),
        "timed_out": ("time_limit", "over the time limit of 60 s", None),
        "lost": ("lost", "lost: nothing recorded how it ended", None),
    }[fate]  # fmt: skip
    state = fate if fate in ("timed_out", "lost") else "failed"
    return [*out, TrialEnded(now, trial.id, state, None, reason, {**end, "code": code}, failure=kind)]


def fates(**shares: float) -> Fate:
    """Fates at random in these shares; the rest completes."""
    words, odds = [*shares, "completed"], [*shares.values(), 1 - sum(shares.values())]
    return lambda trial, rng: words[int(rng.choice(len(words), p=odds))]


_SOME = fates(pruned=0.3, failed=0.05, oom=0.02, nan=0.02, timed_out=0.02, lost=0.01, retried=0.03)
_THREE = (Objective("val_loss"), Objective("accuracy", "maximize"), Objective("latency_ms"))
_EPOCHS = Resource("epochs", 27, resume="auto")


def _one_bad(trial: Trial, rng: np.random.Generator) -> str:
    return "failed" if trial.id == 1 else "completed"


SITUATIONS: Mapping[str, Callable[[int], Story]] = {
    "plain": lambda n: Story(spec_of("plain", trials=n), fate=_SOME),
    "one_failed": lambda n: Story(spec_of("one_failed", trials=n), fate=_one_bad),
    "all_failed": lambda n: Story(spec_of("all_failed", trials=n), fate=fates(failed=0.6, oom=0.2, timed_out=0.2)),
    "one_param": lambda n: Story(spec_of("one_param", SearchSpace((Float("x", -5, 5),)), n)),
    "twenty": lambda n: Story(spec_of("twenty", WIDE, n), fate=_SOME),
    "conditional": lambda n: Story(spec_of("conditional", CONDITIONAL, n), fate=_SOME),
    "long_names": lambda n: Story(
        spec_of("long_names", LONG, n, objectives=(Objective(EVIL), Objective("metric" * 2000, "maximize"))), fate=_SOME
    ),
    "two": lambda n: Story(spec_of("two", trials=n, objectives=_THREE[:2]), fate=_SOME),
    "three": lambda n: Story(spec_of("three", trials=n, objectives=_THREE), fate=_SOME),
    "running": lambda n: Story(spec_of("running", trials=n), fate=_SOME, open_end=True),
    "paused": lambda n: Story(spec_of("paused", trials=n), fate=_SOME, pause_s=5e5),
    "asha": lambda n: Story(
        spec_of("asha", trials=n, algorithm=Named("asha"), resource=_EPOCHS), fate=fates(failed=0.05)
    ),
    "hyperband": lambda n: Story(
        spec_of("hyperband", trials=n, algorithm=Named("hyperband"), resource=replace(_EPOCHS, resume="never"))
    ),
    "pbt": lambda n: Story(
        spec_of("pbt", MIXED, n, algorithm=Named("pbt"), resource=Resource("epochs", 60, resume="always")),
    ),
    "one_trial": lambda n: Story(spec_of("one_trial", trials=1)),
    "no_trial": lambda n: Story(spec_of("no_trial", trials=0)),
    "gpus": lambda n: Story(spec_of("gpus", trials=n, resources=Resources(8, gpus=1)), fate=_SOME),
    "no_curves": lambda n: Story(spec_of("no_curves", trials=n), epochs=1),
}


def history_of(situation: str, trials: int = 30) -> History:
    return made(SITUATIONS[situation](trials))[1]


def written(root: str, situation: str, trials: int = 30) -> str:
    """A study's folder with such a log in it; its path."""
    events, history = made(SITUATIONS[situation](trials))
    folder = os.path.join(root, situation)
    os.makedirs(folder)
    journal = Journal(StudyPaths(folder).db, write=True)
    journal.append(events, history)
    journal.close()
    return folder


if __name__ == "__main__":
    for one in sys.argv[2:3] or SITUATIONS:
        print(written(sys.argv[1], one, int(sys.argv[3]) if len(sys.argv) > 3 else 30))
