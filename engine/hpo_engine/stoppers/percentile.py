"""Ending trials that are not among a share of the best at the step that they have come to."""

from __future__ import annotations

import math

from hpo_engine.plugins.card import Card, Option
from hpo_engine.stoppers.live import no_live_rows
from hpo_engine.stoppers.rule import Rule
from hpo_engine.stoppers.rungs import Place, Steps
from hpo_engine.study.history import History
from hpo_engine.study.spec import StudySpec
from hpo_engine.study.trial import Trial

GRACE = Option("no trial ends before this step", float, 1.0, least=0)
MIN_RIVALS = Option("a trial ends at a step only if at least this many others have come as far", int, 5, least=1)


class PercentileStopper(Rule):
    """Ends a running trial if at least a share `keep` of all trials that have come as far had a better value there.

    It is held against the others at each step that it reports, from `grace` on: its value there, best or last as the
    objective counts, against theirs at the same step. The trials with as much of the resource count, whether they run
    or how they have ended; an ended one keeps what it had.

    Source: the rule of Optuna's PercentilePruner (Akiba et al., Optuna, KDD 2019), with two differences: trials that
    were ended early count as well, since a share of the survivors alone would rise with each of them, and with several
    objectives fronts decide, as in RankStopper.
    """

    card = Card(
        summary="ends running trials that are not in the best share of the trials at the same step",
        suits="few or short trials: looks at every step, where rank and asha look at a few",
        source="the rule of Optuna's PercentilePruner; Akiba et al., Optuna, KDD 2019",
        options={
            "keep": Option(
                "a trial ends if at least this share of the trials is better",
                float,
                0.5,
                least=0,
                above=True,
                most=0.95,
            ),
            "grace": GRACE,
            "min_rivals": MIN_RIVALS,
        },
    )

    def __init__(self, spec: StudySpec, *, keep: float = 0.5, grace: float = 1.0, min_rivals: int = 5) -> None:
        self._keep, self._grace, self._min_rivals = keep, grace, min_rivals
        self._steps = Steps()

    def end_trial(self, trial: Trial, history: History, now: float) -> str | None:
        step = self._steps.last(trial, history)
        if step is None or step < self._grace:
            return None
        place = Place(step, *self._steps.group(trial).at(step).better_than(trial.id))
        if place.rivals < self._min_rivals or place.better < math.ceil(self._keep * (place.rivals + 1)):
            return None
        return None if self._steps.at_end(trial, history) else place.not_promising()

    def idle(self, history: History, now: float) -> str | None:
        return no_live_rows(history, "percentile", "has nothing to compare")
