"""Whether trials report anything while they run. If not, rules that judge running trials have nothing to work on."""

from __future__ import annotations

from itertools import islice

from hpo_engine.study.history import History
from hpo_engine.study.trial import TrialState

_ENOUGH = 3  # trials; one alone may have been too short to be looked at
_LOOKED_AT = 64


def no_live_rows(history: History, rule: str, lacks: str) -> str | None:
    """A reason for `Rule.idle`: some trials have ended with rows, and none of them was seen to report while it ran.

    Args:
        rule: what the study file calls it. lacks: what the rule cannot do, such as "has nothing to compare".
    """
    trials = list(islice(history.trials, _LOOKED_AT))  # a script does not change during a study
    if any(trial.live for trial in trials):
        return None
    silent = sum(trial.state is TrialState.COMPLETED for trial in trials)
    if silent < _ENOUGH:
        return None
    metrics = " and ".join(f'"{aim.metric}"' for aim in history.spec.objectives)
    return (
        f"stop: {rule} {lacks}: {silent} trials ended before any row with {metrics} was read. Trials this short, or "
        "rows written only at the end, cannot be judged while they run; let the script report after each epoch "
        "(docs/early-stopping.md)"
    )
