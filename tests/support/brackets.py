"""Whole searches of a searcher that rations a resource."""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Any

from hpo_engine.core.ports import Searcher
from hpo_engine.space.searchspace import Choice, Float, SearchSpace
from hpo_engine.study.events import Event, TrialCarriedOn, TrialEnded, TrialProposed, apply
from hpo_engine.study.history import History
from hpo_engine.study.spec import Budget, Named, Resource, StudySpec
from hpo_engine.study.trial import Proposal, Trial
from hpo_engine.testing.histories import spec_of

SPACE = SearchSpace((Float("x", 0, 1), Choice("kind", ("a", "b", "c"))))
Fail = Callable[[Trial], bool]


def study(
    most: int = 9,
    least: int = 1,
    runs: int | None = None,
    space: SearchSpace = SPACE,
    trials: int | None = None,
    resume: str = "never",
) -> StudySpec:
    return spec_of(
        space,
        resource=Resource("epochs", most, least, resume),
        budget=Budget(trials, runs=runs),
        algorithm=Named("hyperband"),
    )


def loss_of(trial: Trial) -> float:
    """A curve that crosses others: what is best early is not always best late."""
    x = trial.params.get("x", 0.5)
    return (x - 0.7) ** 2 + (1 + 2 * x) / (trial.proposal.resource or 1)


def never(trial: Trial) -> bool:
    return False


def run(
    searcher: Searcher,
    history: History,
    *,
    workers: int = 1,
    seed: int = 0,
    fail: Fail = never,
    most: int = 5000,
    leaves: Fail = never,
    loss: Callable[[Trial], float] = loss_of,
) -> History:
    """The whole search with so many workers, trials ending in random order; checks what every answer must keep.

    Args:
        leaves: whether the run that a trial ends leaves a checkpoint.
    """
    rng = random.Random(seed)
    places, left_out = {place_of(t) for t in history.trials}, set[int]()
    while history.runs < most:
        wanted = workers - len(history.open_ids)
        if history.runs_left is not None:
            wanted = min(wanted, history.runs_left)
        got = searcher.ask(history, wanted) if wanted > 0 else []
        for p in got:
            assert history.spec.resource is not None and p.resource is not None
            assert history.spec.resource.min <= p.resource <= history.spec.resource.max
            assert place_of(p) not in places, "two trials in one place"
            places.add(place_of(p))
            assert p.carry_on not in left_out, "it had said that this trial cannot be promoted any more"
        for p in got:
            history = apply(history, _event(history, p))
            assert history.spec.budget.trials is None or history.begun <= history.spec.budget.trials
        if not history.open_ids:
            return history
        if (promotable := searcher.promotable(history)) is not None:
            left_out |= {t.id for t in history.trials if t.results and t.state.ended} - {*promotable}
        trial = history.trials[rng.choice(history.open_ids)]
        state = rng.choice(["failed", "timed_out", "stopped", "lost"]) if fail(trial) else "completed"
        value, left = (loss(trial), "last.ckpt" if leaves(trial) else None) if state == "completed" else (None, None)
        history = apply(history, TrialEnded(0.0, trial.id, state, value, checkpoint=left))
    return history


def _event(history: History, p: Proposal) -> Event:
    if p.carry_on is None:
        return TrialProposed(0.0, history.next_id, p.params, p.resource, p.note, repeats=p.repeats)
    assert p.resource is not None
    return TrialCarriedOn(0.0, p.carry_on, p.params, p.resource, p.note)


def place_of(trial: Trial | Proposal) -> tuple[int, int, int]:
    proposal = trial.proposal if isinstance(trial, Trial) else trial
    slot: Any = proposal.note
    return slot["bracket"], slot["rung"], slot["place"]
