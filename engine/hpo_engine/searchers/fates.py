"""How the end of a trial counts for a searcher: the one place that decides what is a failure."""

from __future__ import annotations

import enum
from collections.abc import Mapping

from hpo_engine.study.trial import Trial, TrialState


class Fate(enum.IntEnum):
    """RUNNING has not ended. FINISHED has a result. Searchers avoid the surroundings of FAILED trials.

    PRUNED and STOPPED were ended early, by a rule, or by the user or the end of the study. What they had reached counts
    as `evidence`, which is not the loss of a whole trial. Without any, searchers avoid the surroundings of a pruned
    trial, and a stopped one tells nothing. UNKNOWN tells nothing about the configuration: it was lost with its machine.
    """

    RUNNING = 0
    FINISHED = 1
    FAILED = 2
    PRUNED = 3
    UNKNOWN = 4
    STOPPED = 5


_FATES: Mapping[TrialState, Fate] = {
    TrialState.PENDING: Fate.RUNNING,
    TrialState.RUNNING: Fate.RUNNING,
    TrialState.PAUSED: Fate.RUNNING,
    TrialState.COMPLETED: Fate.FINISHED,
    TrialState.FAILED: Fate.FAILED,
    TrialState.TIMED_OUT: Fate.FAILED,
    TrialState.PRUNED: Fate.PRUNED,
    TrialState.STOPPED: Fate.STOPPED,
    TrialState.LOST: Fate.UNKNOWN,
}


def fate(trial: Trial) -> Fate:
    return _FATES[trial.state]
