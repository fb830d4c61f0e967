"""The trials of a check, one after the other: each depends on what those before it have shown.

A searcher for the engine, which runs these trials like any others. It also says when a trial has shown enough.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from hpo_engine.probe.choosing import breeds, differing, far_apart, goes_on, least, with_one_changed
from hpo_engine.probe.values import Purpose, Why, alike, ended_well
from hpo_engine.reports.remarks import Unlike
from hpo_engine.searchers.interface import Searcher, Traits
from hpo_engine.study.history import History
from hpo_engine.study.objective import Row, has_one
from hpo_engine.study.spec import Params, StudySpec
from hpo_engine.study.trial import Proposal, Trial

_EACH_S = 60.0  # that the trials with one parameter changed may take altogether, unless the user wants all of them
_ENOUGH = 3  # rows with the objective, of a trial that is too long to be waited for
_STOPPABLE_S = 1.0  # a shorter trial is over before it can be stopped
_STOP_S = 10.0  # after which a long trial is stopped to see how it ends, if it is not half-way before


class Plan(Searcher):
    """Args:
    each: whether each parameter is changed by itself; None: if it does not take long.
    """

    traits = Traits(title="check", quick=True, listed=True)

    def __init__(self, spec: StudySpec, *, each: bool | None = None) -> None:
        self._spec, self._each = spec, each
        self._first, self._other = far_apart(spec)
        self._clock = Unlike(spec)
        self._left: list[str] | None = None  # parameters that have not been changed by themselves yet
        self._spent_s = 0.0
        self.purposes: list[Purpose] = []
        self.untried: list[str] = []

    def ask(self, history: History, count: int) -> Sequence[Proposal]:
        if history.open_ids:
            return ()
        found = self._next(history)
        if found is None:
            return ()
        purpose, params = found
        self.purposes.append(purpose)
        more = purpose.why in (Why.MORE, Why.RESUMED, Why.NEW)
        return (Proposal(params, self._amount(more=more), start_from=self._origin(purpose)),)

    def enough(self, trial: Trial, history: History, elapsed_s: float) -> bool:
        """Whether a running trial has shown what it is there for."""
        purpose = self.purposes[trial.id]
        if purpose.base is None or not self._objective_rows(trial.rows):
            return purpose.why is Why.STOP and self._is_time(purpose, history, elapsed_s)
        base = history.trials[purpose.base]
        cut = base.stop is not None and len(self._objective_rows(trial.rows)) >= self._need(base)
        if purpose.why in (Why.OTHER, Why.MORE, Why.RESUMED, Why.NEW):
            return cut
        if purpose.why is Why.ONE:
            return cut or alike(base.rows, trial.rows, self._clock) is False
        if purpose.why is Why.AGAIN:
            live = elapsed_s >= _STOPPABLE_S / 2 and (base.ran_s or 0.0) >= _STOPPABLE_S
            return cut or (live and len(trial.rows) >= math.ceil(len(base.rows) / 2))
        return self._is_time(purpose, history, elapsed_s)

    # -- which one is next -----------------------------------------------------------------------------------------

    def _next(self, history: History) -> tuple[Purpose, Params] | None:
        trials = list(history.trials)
        if not trials:
            return Purpose(Why.FIRST), self._first
        if len(trials) == 1 and self._other is not None:
            return Purpose(Why.OTHER, 0), self._other
        base = next((trial for trial in trials[:2] if ended_well(trial)), None)
        if base is None:
            return None
        again = self._trial_for(Why.AGAIN, trials)
        if again is None:
            return Purpose(Why.AGAIN, base.id), base.params
        return (
            self._more(trials, base)
            or self._resumed(trials, base)
            or self._one(trials, again)
            or self._stop(trials, base)
        )

    def _more(self, trials: Sequence[Trial], base: Trial) -> tuple[Purpose, Params] | None:
        resource = self._spec.resource
        if resource is None or resource.max == least(self._spec) or base.stop is not None:
            return None
        if self._trial_for(Why.MORE, trials) is not None:
            return None
        return Purpose(Why.MORE, base.id, resource.name), base.params

    def _resumed(self, trials: Sequence[Trial], base: Trial) -> tuple[Purpose, Params] | None:
        """For a study whose trials go on with other values: whether these arrive, each changed by itself."""
        names, resource = breeds(self._spec), self._spec.resource
        if resource is None or not names or base.stop is not None or not goes_on(base, self._spec):
            return None
        first = self._trial_for(Why.RESUMED, trials)
        if first is None:
            return (Purpose(Why.RESUMED, base.id), base.params) if resource.max != least(self._spec) else None
        tried = [each.parameter for each in self.purposes if each.why is Why.NEW]
        left = [name for name in names if name in base.params and name not in tried]
        spent_s = len(tried) * (first.ran_s or 0.0)
        if not left or not ended_well(first) or (self._each is not True and tried and spent_s > _EACH_S):
            return None
        params = with_one_changed(self._spec.space, base.params, trials[1 - base.id].params, left[0])
        return None if params is None else (Purpose(Why.NEW, first.id, left[0]), params)

    def _origin(self, purpose: Purpose) -> int | None:
        """The trial whose files it begins with."""
        if purpose.why is Why.NEW:
            return self.purposes[purpose.base or 0].base
        return purpose.base if purpose.why is Why.RESUMED else None

    def _amount(self, *, more: bool) -> int | None:
        """Of the resource: the least that a trial gets, or more than that."""
        resource, amount = self._spec.resource, least(self._spec)
        if resource is None or amount is None or not more:
            return amount
        return min(resource.max, max(_ENOUGH, 2 * amount))

    def _one(self, trials: Sequence[Trial], again: Trial) -> tuple[Purpose, Params] | None:
        if self._left is None:
            self._left = self._worth_changing(trials, again)
        if (doubtful := self._doubtful(trials)) is not None:
            return doubtful
        while self._left:
            if self._each is None and self._spent_s + (trials[0].ran_s or 0.0) > _EACH_S:
                self.untried, self._left = [*self.untried, *self._left], []
                break
            name = self._left.pop(0)
            base = next(trial for trial in trials[:2] if name in trial.params)
            if (found := self._changed(base, trials, name)) is not None:
                return found
            self.untried.append(name)
        return None

    def _doubtful(self, trials: Sequence[Trial]) -> tuple[Purpose, Params] | None:
        """A parameter that changed nothing is changed once more, from the other end of the space: weight decay hardly
        matters where the learning rate is small."""
        last, purpose = trials[-1], self.purposes[-1]
        if purpose.why is not Why.ONE or alike(trials[purpose.base or 0].rows, last.rows, self._clock) is not True:
            return None
        tried = {each.base for each in self.purposes if each.why is Why.ONE and each.parameter == purpose.parameter}
        left = [trial for trial in trials[:2] if trial.id not in tried and purpose.parameter in trial.params]
        return self._changed(left[0], trials, purpose.parameter) if left else None

    def _changed(self, base: Trial, trials: Sequence[Trial], name: str) -> tuple[Purpose, Params] | None:
        params = with_one_changed(self._spec.space, base.params, trials[1 - base.id].params, name)
        if params is None:
            return None
        self._spent_s += base.ran_s or 0.0
        return Purpose(Why.ONE, base.id, name), params

    def _worth_changing(self, trials: Sequence[Trial], again: Trial) -> list[str]:
        """Those whose effect another trial can show: not where two trials with the same values differ, or where trials
        that differ in everything do not."""
        if self._each is False or self._spec.experiments or len(trials) < 3:
            return []
        base = trials[self.purposes[again.id].base or 0]
        steady = alike(base.rows, again.rows, self._clock)
        differ = alike(trials[0].rows, trials[1].rows, self._clock) is False
        names = differing(trials[0].params, trials[1].params)
        both = all(map(ended_well, trials[:2]))
        return names if both and steady and differ and len(names) > 1 else []

    def _stop(self, trials: Sequence[Trial], base: Trial) -> tuple[Purpose, Params] | None:
        """The last one, if no trial was stopped so far."""
        if any(trial.stop is not None for trial in trials) or (base.ran_s or 0.0) < _STOPPABLE_S:
            return None
        return Purpose(Why.STOP, base.id), base.params

    def _trial_for(self, why: Why, trials: Sequence[Trial]) -> Trial | None:
        return next((t for t, purpose in zip(trials, self.purposes, strict=False) if purpose.why is why), None)

    # -- when is it enough -----------------------------------------------------------------------------------------

    def _is_time(self, purpose: Purpose, history: History, elapsed_s: float) -> bool:
        base = history.trials[purpose.base or 0]
        return elapsed_s >= min(_STOP_S, (base.ran_s or 0.0) / 2)

    def _need(self, base: Trial) -> int:
        return max(1, min(_ENOUGH, len(self._objective_rows(base.rows))))

    def _objective_rows(self, rows: Sequence[Row]) -> list[Row]:
        return [row for row in rows if has_one(row, self._spec.objectives)] or list(rows)
