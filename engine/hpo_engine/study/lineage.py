"""What led to a trial: the values that it, and the trials it started from, were trained with, one after the other."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from hpo_engine.study.history import History
from hpo_engine.study.spec import Params
from hpo_engine.study.trial import Trial

LAST_VALUES = "its last values; others came before, while it trained"


@dataclass(frozen=True)
class Segment:
    """One run of a lineage: an attempt of a trial, with `params` from `start` of the resource to `end`.

    `losses`: what it came to; empty if it has not ended well (yet).
    """

    trial: int
    attempt: int
    start: int
    end: int
    params: Params
    losses: tuple[float, ...] = ()


def schedule(history: History, trial: Trial) -> tuple[Segment, ...]:
    """The runs that a trial's files come from, the first one first; of a study without a resource none.

    A run that failed and was repeated is not part of it. One that has not ended well is the last.
    """
    if history.spec.resource is None:
        return ()
    found = list(_ended(history, trial, trial.done))
    if not trial.state.ended or not found or found[-1].trial != trial.id:
        start = found[-1].end if found else 0
        number = max(len(trial.attempts), trial.done + 1)
        found.append(Segment(trial.id, number, start, trial.proposal.resource or start, trial.params))
    return tuple(found)


def has_schedule(history: History, trial: Trial) -> bool:
    """Whether a trial was trained with one set of values after another."""
    if history.spec.resource is None or not (trial.origin or trial.results):
        return False
    return trial.origin is not None or any(a.params != trial.params for a in trial.attempts[: trial.done])


def _ended(history: History, trial: Trial, upto: int) -> Iterator[Segment]:
    """The runs that ended well, up to the trial's attempt `upto`."""
    end = 0
    if trial.origin is not None:
        for segment in _ended(history, history.trials[trial.origin.trial], trial.origin.attempt):
            yield segment
            end = segment.end
    for result in trial.results:
        if result.attempt <= upto:
            attempt = trial.attempt_of(result)
            params = trial.params if attempt is None else attempt.params
            yield Segment(trial.id, result.attempt, end, result.resource or 0, params, result.losses)
            end = result.resource or 0
