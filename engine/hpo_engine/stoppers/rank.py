"""Ending trials by their rank among the others at the same step."""

from __future__ import annotations

import math
from bisect import bisect_left
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from hpo_engine.plugins.card import Card, Option
from hpo_engine.stoppers.ends import Ends
from hpo_engine.stoppers.live import no_live_rows
from hpo_engine.stoppers.rule import Rule
from hpo_engine.study.history import History
from hpo_engine.study.objective import Objective, Row, has_one, pick_values
from hpo_engine.study.spec import RANK, StudySpec
from hpo_engine.study.table import TrialTable
from hpo_engine.study.trial import Trial

_MOST_RUNGS = 200
_LAST_RUNG = 2.0**63  # no step is beyond it
_MOST_RIVALS = 1_000  # of several objectives: the latest ones, for fronts of more take too long


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
        self._steps = rungs(keep, from_step)
        self._ends = Ends()
        self._table = TrialTable()
        self._rungs: dict[tuple[int, int], _Rung] = {}  # by number and resource
        self._highest: dict[int, tuple[int, int]] = {}  # of each trial that has one

    def end_trial(self, trial: Trial, history: History, now: float) -> str | None:
        self._look(history)
        if trial.id not in self._highest:
            return None
        highest, resource = self._highest[trial.id]
        number = min(highest, bisect_left(self._steps, self._ends.last(trial, history)) - 1)
        if number < 0:
            return None
        better, rivals = self._rungs[number, resource].better_than(trial.id)
        if rivals < self._min_rivals or better < math.ceil(self._keep * (rivals + 1)):
            return None
        if self._ends.reached(trial, history):
            return None
        return f"not promising: {better} of {rivals} other trials were better at step {self._steps[number]:g}"

    def idle(self, history: History, now: float) -> str | None:
        return no_live_rows(history, RANK, "has nothing to compare")

    def _look(self, history: History) -> None:
        if history.trials is self._table:
            return
        if len(history.trials) < len(self._table):
            self._table, self._rungs, self._highest = TrialTable(), {}, {}
        known = len(self._table)
        for trial in history.trials.changed(self._table):
            # What else changes does not matter here.
            if trial.id >= known or self._table[trial.id].rows is not trial.rows:
                self._take(trial, history.spec.objectives)
        self._table = history.trials

    def _take(self, trial: Trial, aims: Sequence[Objective]) -> None:
        resource = trial.proposal.resource or 0
        self._highest.pop(trial.id, None)
        found = _at_rungs(() if trial.provisional else trial.rows, aims, self._steps)
        for number, losses in enumerate(found):
            self._rungs.setdefault((number, resource), _Rung()).put(trial.id, losses)
            self._highest[trial.id] = number, resource
        number = len(found)
        while (rung := self._rungs.get((number, resource))) is not None:  # an earlier run had come farther
            rung.drop(trial.id)
            number += 1


def rungs(keep: float, from_step: float) -> tuple[float, ...]:
    """The steps that are looked at: `from_step` and then each 1/`keep` times the one before, as whole steps (but below
    1, for scripts that count in fractions of an epoch), each once."""
    out: list[float] = []
    step = float(from_step)
    while len(out) < _MOST_RUNGS and step < _LAST_RUNG:
        whole = float(round(step)) if step >= 1 else step
        if not out or whole > out[-1]:
            out.append(whole)
        step /= keep
    return tuple(out)


@dataclass
class _Rung:
    """What trials had when they came to a step: losses by trial, infinite where they were not finite."""

    losses: dict[int, tuple[float, ...]] = field(default_factory=dict)
    _order: list[float] = field(default_factory=list)  # for one objective; empty if it must be rebuilt
    _fronts: dict[int, int] = field(default_factory=dict)  # of several: trial -> the number of its front

    def put(self, trial_id: int, losses: tuple[float, ...]) -> None:
        if self.losses.get(trial_id) != losses:
            self.losses[trial_id] = losses
            self._order, self._fronts = [], {}

    def drop(self, trial_id: int) -> None:
        if self.losses.pop(trial_id, None) is not None:
            self._order, self._fronts = [], {}

    def better_than(self, trial_id: int) -> tuple[int, int]:
        """How many others are better than this one, and of how many."""
        own = self.losses[trial_id]
        if len(own) == 1:
            self._order = self._order or sorted(losses[0] for losses in self.losses.values())
            return bisect_left(self._order, own[0]), len(self.losses) - 1
        self._fronts = self._fronts or _fronts(self.losses)
        others = [self._fronts[i] for i in list(self.losses)[-_MOST_RIVALS:] if i != trial_id]
        return sum(front < self._fronts[trial_id] for front in others), len(others)


def _fronts(losses: Mapping[int, tuple[float, ...]]) -> dict[int, int]:
    """Trial -> the number of its front; those that are not finite come last."""
    import numpy as np

    from hpo_engine.maths import pareto  # numpy: only studies with several objectives need it

    recent = list(losses)[-_MOST_RIVALS:]
    finite = [i for i in recent if all(map(math.isfinite, losses[i]))]
    out = dict.fromkeys(losses, len(losses))
    if finite:
        out.update(zip(finite, pareto.ranks(np.array([losses[i] for i in finite])).tolist(), strict=True))
    return out


def _at_rungs(rows: Sequence[Row], aims: Sequence[Objective], steps: Sequence[float]) -> list[tuple[float, ...]]:
    """The losses on each rung that the rows reach: of the rows up to the first one with an objective at that step or
    beyond it by which every objective has been reported. Infinite if one of them is not finite."""
    out: list[tuple[float, ...]] = []
    missing = {aim.metric for aim in aims}
    for i, row in enumerate(rows):
        if not has_one(row, aims):
            continue
        missing -= row.values.keys()
        while not missing and len(out) < len(steps) and row.step >= steps[len(out)]:
            values = pick_values(rows[: i + 1], aims)
            out.append(
                (math.inf,) * len(aims)
                if values is None
                else tuple(aim.loss(value) for aim, value in zip(aims, values, strict=True))
            )
    return out
