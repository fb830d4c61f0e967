"""Histories made of events through `events.apply`, as an engine makes them. Knows no searcher by name."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from hpo_engine.searchers.interface import Asks
from hpo_engine.searchers.prior import starts
from hpo_engine.space.searchspace import Choice, Constant, Float, Int, SearchSpace
from hpo_engine.study.events import (
    AttemptEnded,
    AttemptIntended,
    AttemptStarted,
    EngineStarted,
    Event,
    MetricsSeen,
    TrialCarriedOn,
    TrialEnded,
    TrialProposed,
    apply,
    fold,
    opening,
)
from hpo_engine.study.history import History
from hpo_engine.study.objective import Objective, Row
from hpo_engine.study.spec import Budget, StudySpec
from hpo_engine.study.trial import Proposal, Trial

SPACES: Mapping[str, SearchSpace] = {
    "one float": SearchSpace((Float("x", -5, 5),)),
    "mixed": SearchSpace(
        (
            Float("lr", 1e-5, 1e-1, log=True),
            Int("hidden", 16, 256, log=True),
            Int("width", 3, 6, power=2),
            Float("dropout", 0, 0.5, step=0.1),
            Choice("act", ("relu", "tanh", None, True, 1)),
            Choice("size", (1, 2, 4), ordered=True),
            Constant("epochs", 5),
        )
    ),
    "conditional": SearchSpace(
        (
            Choice("opt", ("adam", "sgd")),
            Float("lr", 0.001, 1, log=True),
            Float("momentum", 0.5, 0.99, when={"opt": "sgd"}),
            Choice("nesterov", (True, False), when={"opt": "sgd"}),
            Int("delay", 1, 9, when={"nesterov": True}),
        )
    ),
    "tiny": SearchSpace((Choice("a", (0, 1)), Int("b", 1, 3))),
    "one value": SearchSpace((Int("a", 3, 3), Constant("c", [1, {"k": None}]))),
}


def spec_of(space: SearchSpace, **changes: Any) -> StudySpec:
    """An opened study over `space`: 60 trials, seed 7, unless said otherwise."""
    fields: dict[str, Any] = {"name": "law", "objectives": (Objective("loss"),), "command": ("true",), "model_dir": "/"}
    return StudySpec(**{**fields, "space": space, "seed": 7, "budget": Budget(trials=60), **changes})


def opened(spec: StudySpec) -> History:
    """The history of a study that has no trials yet."""
    return fold(_opening(spec))


def _opening(spec: StudySpec) -> list[Event]:
    return [*opening(spec, 0.0, earlier=starts(spec) if spec.prior else ()), EngineStarted(0.0, pid=1)]


def applied(history: History, *events: Event) -> History:
    for event in events:
        history = apply(history, event)
    return history


def proposed(history: History, proposals: Sequence[Proposal]) -> History:
    """The history after these proposals became trials, or carry trials on; they are pending. Goes through JSON, as the
    log does."""
    for p in proposals:
        history = apply(history, proposal_event(history, p))
    return history


def proposal_event(history: History, p: Proposal) -> Event:
    at, (params, note) = history.last_at + 1, json.loads(json.dumps([dict(p.params), p.note]))
    if p.carry_on is not None:
        assert p.resource is not None
        return TrialCarriedOn(at, p.carry_on, params, p.resource, note, p.keep or None)
    queued = None if p.queued is None else p.queued.number
    return TrialProposed(at, history.next_id, params, p.resource, note, p.start_from, p.repeats, queued, p.replaces)


Loss = Callable[[Trial, np.random.Generator], float]


FATES = ("completed", "completed", "completed", "failed", "timed_out", "stopped", "lost", "running", "pending", "nan")


def noise(trial: Trial, rng: np.random.Generator) -> float:
    """A loss that has nothing to do with the parameters."""
    return float(rng.normal())


def with_fate(history: History, trial_id: int, fate: str, value: float = 0.0) -> History:
    """What happens to a pending trial: a state's name, or "nan" (fails after reporting NaN), or "retried"."""
    return applied(history, *fate_events(history, trial_id, fate, value))


def fate_events(history: History, trial_id: int, fate: str, value: float = 0.0, steps: int = 1) -> list[Event]:
    """The events of `with_fate`; the trial reports `steps` rows, one event each."""
    at = history.last_at + 1
    if fate == "pending":
        return []
    number = len(history.trials[trial_id].attempts) + 1
    loss = math.nan if fate == "nan" else value
    events: list[Event] = [
        AttemptIntended(at, trial_id, number, f"n{trial_id}.{number}"),
        AttemptStarted(at, trial_id, number, pid=100 + trial_id),
    ]
    for step in range(1, steps + 1):
        events.append(MetricsSeen(at, trial_id, (Row(step, {"loss": loss, "other": math.inf}),)))
    if fate == "retried":
        events.append(AttemptEnded(at, trial_id, number, {"code": 1}, "exit code 1"))
    elif fate == "completed":
        events.append(_completed(history, trial_id, value))
    elif fate != "running":
        state = "failed" if fate == "nan" else fate
        events.append(TrialEnded(at, trial_id, state, None, state, {"code": 1}))
    return events


def with_values(history: History, trial_id: int, value: float) -> History:
    """A trial ends well. Its second objective, where there is one, has little to do with the first. If promoted trials
    go on from checkpoints that they find, two in three trials leave one."""
    return apply(history, _completed(history, trial_id, value))


def _completed(history: History, trial_id: int, value: float) -> TrialEnded:
    other = math.sin(math.fmod(1e3 * math.fmod(value, 10.0), 10.0) + trial_id)
    values = (value, other) if len(history.spec.objectives) > 1 else None
    resource = history.spec.resource
    left = "last.ckpt" if resource and resource.resume == "auto" and trial_id % 3 else None
    return TrialEnded(history.last_at + 1, trial_id, "completed", value, "", {"code": 0}, None, values, checkpoint=left)


def random_events(spec: StudySpec, trials: int = 12, seed: int = 0, steps: int = 3) -> list[Event]:
    """The log of a study with random parameters and every fate; its trials report live, one row per step."""
    rng = np.random.default_rng(seed)
    events = _opening(spec)
    history = fold(events)
    for trial_id in range(trials):
        fate = (FATES + ("retried",))[int(rng.integers(len(FATES) + 1))]
        more: list[Event] = [TrialProposed(history.last_at + 1, trial_id, dict(spec.space.sample(rng)))]
        history = applied(history, *more)
        more += fate_events(history, trial_id, fate, float(rng.normal()), steps)
        history = applied(history, *more[1:])
        events += more
    return events


def simulated(
    history: History,
    searcher: Asks,
    trials: int,
    rng: np.random.Generator,
    *,
    batch: int = 3,
    fates: Sequence[str] = FATES,
    loss: Loss = noise,
) -> History:
    """The history after up to `trials` more runs of `searcher`, asked for in batches, with random fates."""
    end = history.runs + trials
    while history.runs < end:
        first, answer = history.next_id, searcher.ask(history, min(batch, end - history.runs))
        history = proposed(history, answer)
        if not answer:
            # "Wait" while something is open: let that end; else the search is over.
            if not history.open_ids:
                break
            history = all_completed(history, rng, loss)
            continue
        carried = [p.carry_on for p in answer if p.carry_on is not None]
        for trial_id in (*carried, *range(first, history.next_id)):
            value = loss(history.trials[trial_id], rng)
            history = with_fate(history, trial_id, fates[int(rng.integers(len(fates)))], value)
    return history


def all_completed(history: History, rng: np.random.Generator, loss: Loss = noise) -> History:
    """Every open trial completes."""
    for trial in history.open:
        if not trial.attempts or trial.state.value == "pending":
            history = with_fate(history, trial.id, "completed", loss(trial, rng))
        else:
            history = with_values(history, trial.id, loss(trial, rng))
    return history


def as_text(proposals: Sequence[Proposal]) -> str:
    """Proposals as text, types and order of the parameters included."""
    return json.dumps(
        [
            [dict(p.params), p.resource, None if p.note is None else dict(p.note), p.repeats, p.carry_on, p.start_from]
            for p in proposals
        ]
    )


def snapshot(history: History) -> str:
    """A history as text, to see that nobody changed it."""
    return json.dumps(
        [history.spec.to_json(), [repr(t) for t in history.trials], history.open_ids, history.best_id], default=str
    )
