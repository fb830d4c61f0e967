"""Ending trials by their rank among the others at the same step."""

from __future__ import annotations

import math

from hpo_engine.plugins.card import Card, Option
from hpo_engine.stoppers.live import no_live_rows
from hpo_engine.stoppers.rule import Rule
from hpo_engine.stoppers.rungs import Rungs, rungs
from hpo_engine.study.history import History
from hpo_engine.study.spec import RANK, StudySpec
from hpo_engine.study.trial import Trial


class RankStopper(Rule):
    """Ends a running trial whose reported values are among the worst of all trials at the same step.

    Looked at are rungs: the steps `from_step`, and then each 1/`keep` times the one before, in whole steps. A rung is
    reached by the first row with an objective at or beyond it by which every objective has been reported, and holds
    what the trial had by then. On the highest rung that it has reached, a trial is held against all trials that have
    reached it (with as much of the resource, if any). It ends if at least a share `keep` of them is better, but not
    while fewer than `min_rivals` others are there. So it may continue and be ended later, when better ones have come as
    far.

    With one objective better means a lower loss, with several a front ahead: a trial that none of the others dominates
    is never ended, since what it would add to the front is not known from here. Equal values are not better, so equal
    curves all continue. Values that are not finite are worse than all others. A trial at a step where completed trials
    end is left alone: its training is done. For the same reason there is no rung at the last of these steps.

    Source: Li et al., A System for Massively Parallel Hyperparameter Tuning (ASHA), MLSys 2020, in the variant that
    stops instead of pausing (eta = 1 / keep); for several objectives Schmucker et al., Multi-objective asynchronous
    successive halving, arXiv:2106.12639, section 3.
    """

    card = Card(
        summary="ends running trials whose reported values are among the worst of all trials at the same step",
        suits="when in doubt: looks at a few steps and ends at most about half at each",
        source="Li et al., A System for Massively Parallel Hyperparameter Tuning (ASHA), MLSys 2020",
        options={
            "keep": Option(
                "a trial ends if at least this share of the trials is better; also how far apart the steps are that "
                "are looked at: each is 1/keep times the one before",
                float, 0.5, least=0, above=True, most=0.9,
            ),
            "min_rivals": Option(
                "a trial ends at a step only if at least this many others have reached it", int, 5, least=1
            ),
            "from_step": Option("the first step that is looked at", float, 1.0, least=0, above=True),
        },
    )  # fmt: skip

    def __init__(self, spec: StudySpec, *, keep: float = 0.5, min_rivals: int = 5, from_step: float = 1.0) -> None:
        self._keep, self._min_rivals = keep, min_rivals
        self._rungs = Rungs(rungs(keep, from_step))

    def end_trial(self, trial: Trial, history: History, now: float) -> str | None:
        found = self._rungs.place(trial, history)
        if found is None or found.rivals < self._min_rivals:
            return None
        if found.better < math.ceil(self._keep * (found.rivals + 1)) or self._rungs.at_end(trial, history):
            return None
        return found.not_promising()

    def idle(self, history: History, now: float) -> str | None:
        return no_live_rows(history, RANK, "has nothing to compare")
