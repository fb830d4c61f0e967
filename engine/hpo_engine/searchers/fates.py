"""How the end of a trial counts for a searcher: the one place that decides what is a failure."""

from __future__ import annotations

import enum
from collections.abc import Mapping

from hpo_engine.study.trial import Trial, TrialState


class Fate(enum.IntEnum):
    """RUNNING has not ended. FINISHED has a result. Searchers avoid the surroundings of FAILED and PRUNED: a pruned
    trial would hardly have caught up, and its last loss is not that of a whole trial. UNKNOWN tells nothing about the
    configuration: the trial was stopped by the user, or lost with its machine."""

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
