"""What a trial says to a searcher, by how it ended: the one place that decides what counts as a failure."""

from __future__ import annotations

import enum
from collections.abc import Mapping

from hpo_engine.study.trial import Trial, TrialState


class Fate(enum.IntEnum):
    """RUNNING has not ended. FINISHED has a result. FAILED and PRUNED keep searchers away: that a pruned trial would
    have caught up is unlikely, and its last loss is not the result of a whole trial. UNKNOWN says nothing about the
    configuration: it was stopped by the user, or the machine was lost."""

    RUNNING = 0
    FINISHED = 1
    FAILED = 2
    PRUNED = 3
    UNKNOWN = 4


_FATES: Mapping[TrialState, Fate] = {
    TrialState.PENDING: Fate.RUNNING,
    TrialState.RUNNING: Fate.RUNNING,
    TrialState.COMPLETED: Fate.FINISHED,
    TrialState.FAILED: Fate.FAILED,
    TrialState.TIMED_OUT: Fate.FAILED,
    TrialState.PRUNED: Fate.PRUNED,
    TrialState.STOPPED: Fate.UNKNOWN,
    TrialState.LOST: Fate.UNKNOWN,
}


def fate(trial: Trial) -> Fate:
    return _FATES[trial.state]
