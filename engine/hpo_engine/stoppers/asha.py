"""Ending trials by successive halving: of all that come to a rung one in eta trains on."""

from __future__ import annotations

import random
from itertools import accumulate

from hpo_engine.plugins.card import Card, Option
from hpo_engine.stoppers.live import no_live_rows
from hpo_engine.stoppers.rule import Rule
from hpo_engine.stoppers.rungs import Rungs, rungs
from hpo_engine.study.history import History
from hpo_engine.study.spec import StudySpec
from hpo_engine.study.trial import Trial


class AshaStopper(Rule):
    """Ends a running trial that is not in the best 1/`eta` of all trials that have come to its rung.

    Rungs are the steps `grace`, and then each `eta` times the one before. On the highest one that a trial has reached,
    at most floor(n / eta) of n trials may be better than it, but at least one; while n < `eta` all continue. The answer
    is looked at again as others come to the rung, so that it does not depend on who was there first.

    With `brackets` = K > 1, trials begin to be compared at different rungs, so that slow learners get a chance: those
    of bracket s = 0 ... K - 1 at rung s. The bracket follows from the seed and the trial's number alone, with
    probabilities as Hyperband's shares, K / (K - s) * eta^(K - s - 1). At a rung all trials count, of every bracket.

    Otherwise as in RankStopper: fronts for several objectives, the amount of the resource, the last step.

    Source: Li et al., A System for Massively Parallel Hyperparameter Tuning, MLSys 2020, algorithm 2, in the variant
    that stops at a rung instead of pausing there; Li et al., Hyperband, JMLR 18 (2018), algorithm 1, for the shares.
    """

    card = Card(
        summary="ends running trials that are not in the best 1/eta of those that have come to the same rung",
        suits="many trials, and curves whose order settles early; keeps fewer than any other rule",
        source="Li et al., A System for Massively Parallel Hyperparameter Tuning (ASHA), MLSys 2020",
        options={
            "eta": Option(
                "one in eta trains on; also how far apart the rungs are: each is eta times the one before",
                float, 3.0, least=1, above=True, most=1000,
            ),
            "grace": Option("the first rung: no trial ends before this step", float, 1.0, least=0, above=True),
            "brackets": Option(
                "trials are spread over this many brackets; those of each begin to be compared one rung later", int, 1,
                least=1, most=20,
            ),
        },
    )  # fmt: skip

    def __init__(self, spec: StudySpec, *, eta: float = 3.0, grace: float = 1.0, brackets: int = 1) -> None:
        self._eta, self._seed = eta, spec.seed or 0
        shares = [brackets / (brackets - s) * eta ** (brackets - s - 1) for s in range(brackets)]
        self._ends = [part / sum(shares) for part in accumulate(shares)]  # of the brackets, in [0, 1]
        self._rungs = Rungs(rungs(1 / eta, grace))

    def end_trial(self, trial: Trial, history: History, now: float) -> str | None:
        found = self._rungs.place(trial, history, first=self.bracket(trial.id))
        if found is None or (n := found.rivals + 1) < self._eta:
            return None
        if found.better < max(1, int(n / self._eta)) or self._rungs.at_end(trial, history):
            return None
        return found.not_promising()

    def idle(self, history: History, now: float) -> str | None:
        return no_live_rows(history, "asha", "has nothing to compare")

    def bracket(self, trial_id: int) -> int:
        """The number of the trial's bracket, from 0."""
        drawn = random.Random(f"{self._seed} {trial_id}").random()
        return next((s for s, end in enumerate(self._ends) if drawn < end), len(self._ends) - 1)
