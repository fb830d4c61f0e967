"""All that is known of a study: the fold of its events. Frozen; only `events.apply` makes new histories.

Losses are minimised, whatever the goals say.
"""

from __future__ import annotations

import enum
import math
import sys
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import cached_property, lru_cache
from typing import Any

from hpo_engine.maths.front import Member, joined
from hpo_engine.study.provenance import Code, Provenance, Runtime
from hpo_engine.study.spec import StudySpec
from hpo_engine.study.table import TrialTable
from hpo_engine.study.trial import MetricsFrom, Proposal, Queued, Trial, TrialState
from hpo_engine.study.values import changed
from hpo_engine.text.secrets import words_without_secrets


class StudyState(str, enum.Enum):
    """RUNNING until an engine closes it: FINISHED (a good trial), FAILED (none), STOPPED (asked to; can go on)."""

    RUNNING = "running"
    FINISHED = "finished"
    FAILED = "failed"
    STOPPED = "stopped"


@dataclass(frozen=True)
class History:
    """All that is known of a study: the fold of its events. It is what searchers see, stoppers judge and tables show.

    `open_ids`: trials that have not ended, in order. `counts`: trials by state. `begun`: configurations that were new,
    `runs`: how often one was to be trained; both count what has ended and what has not, see `Budget`. `front`: the
    trials with a result that no other one dominates, by their losses (of equal ones the earliest); with one objective,
    the best one. If trials get more or less of a resource, only results with the most of it so far count
    (`front_resource`), because losses after one epoch and after fifty do not compare. `early`: the losses of the first
    ten trials with a result.

    `events`: their number. `first_spec`: see `opened_spec` (None: it never changed). `respaced`: its space has changed.
    `revised`: the user has changed it or queued something since it was closed. `requests`: the latest ones that were
    carried out, so that none is carried out twice (see `store.inbox`). `spent_s`: seconds that
    earlier engines ran; `engine_at`: when the present one began; `last_at`: the latest event (UTC seconds).
    `path`, `folder`: where that engine found the study, and the folder's device and inode (empty: unknown).
    `metrics_from`: the sources that results have come from, in the order in which they were first used; none for a
    study whose sources leave no choice.
    `queue`: configurations that wait to be tried, in order; `queued`: how many were ever queued.
    `counts_runs`: see `StudySpec.counts_runs`; so does a study of an older version, for which a run of a promoted
    configuration was one of its `trials`.
    `by_rule`: the latest `reason` is that of a rule which ended the study for good, with trials left to run.
    `code`: the commit of the script's folder (None: it has none, or an older version made the study). `runtimes`: what
    its engines ran on, in order, each only if it was not the same as before.
    `halted`: the rule that stopped the study, see `stoppers.Halt` ("": none did); `overruled`: the latest one after
    which the user let it go on. `counted_from`: failures before that time no longer count.
    """

    spec: StudySpec
    trials: TrialTable = field(default_factory=TrialTable)
    state: StudyState = StudyState.RUNNING
    reason: str = ""
    by_rule: bool = False
    stop_asked: str | None = None
    open_ids: tuple[int, ...] = ()
    counts: Mapping[TrialState, int] = field(default_factory=dict)
    begun: int = 0
    runs: int = 0
    front: tuple[Member, ...] = ()
    front_resource: int = 0
    early: tuple[tuple[float, ...], ...] = ()
    events: int = 0
    queue: tuple[Queued, ...] = ()
    queued: int = 0
    opened_at: float = 0.0
    first_spec: StudySpec | None = None
    engine_at: float | None = None
    spent_s: float = 0.0
    last_at: float = 0.0
    closed_at: float | None = None
    path: str = ""
    folder: tuple[int, ...] = ()
    counts_runs: bool = False
    halted: str = ""
    overruled: str = ""
    counted_from: float = 0.0
    metrics_from: tuple[MetricsFrom, ...] = ()
    respaced: bool = False
    revised: bool = False
    requests: tuple[str, ...] = ()
    code: Code | None = None
    runtimes: tuple[Runtime, ...] = ()

    @property
    def sources_used(self) -> tuple[str, ...]:
        """The keys of `metrics_from`."""
        return tuple([found.key for found in self.metrics_from])

    @property
    def opened_spec(self) -> StudySpec:
        """The spec that the study was opened with, before any change."""
        return self.first_spec or self.spec

    @property
    def runtime(self) -> Runtime | None:
        """What the latest engine and its trials ran on; None if that is not known."""
        return self.runtimes[-1] if self.runtimes else None

    @property
    def provenance(self) -> Provenance:
        """What the study was run with, for people and trackers: nothing in it is secret."""
        return Provenance(words_without_secrets(self.spec.command), self.code, self.runtime)

    @property
    def next_id(self) -> int:
        return len(self.trials)

    @cached_property
    def open(self) -> tuple[Trial, ...]:
        """Trials that have not ended."""
        return tuple(self.trials[i] for i in self.open_ids)

    @property
    def running(self) -> tuple[Trial, ...]:
        return tuple(t for t in self.open if t.state is TrialState.RUNNING)

    @property
    def pending(self) -> tuple[Trial, ...]:
        return tuple(t for t in self.open if t.state is TrialState.PENDING)

    @property
    def paused(self) -> tuple[Trial, ...]:
        return tuple(t for t in self.open if t.state is TrialState.PAUSED)

    @cached_property
    def finished(self) -> tuple[Trial, ...]:
        """Trials that ended, whichever way."""
        return tuple(t for t in self.trials if t.state.ended)

    @cached_property
    def front_ids(self) -> tuple[int, ...]:
        """The ids of the `front`'s trials, in order."""
        return tuple(sorted(number for _, number in self.front))

    @property
    def best_id(self) -> int | None:
        """Of the `front` the trial with the lowest loss, with several objectives by the first of them."""
        return self.front[0][1] if self.front else None

    @property
    def best(self) -> Trial | None:
        return None if self.best_id is None else self.trials[self.best_id]

    @property
    def best_value(self) -> float | None:
        """The best trial's objective value (of the first objective), in the user's own sign."""
        best = self.best
        return None if best is None or best.loss is None else self.spec.objectives[0].value(best.loss)

    def values(self, trial: Trial) -> tuple[float, ...]:
        """The trial's values in the user's own signs, one for each objective; none where it has none."""
        return tuple([aim.value(loss) for aim, loss in zip(self.spec.objectives, trial.losses, strict=False)])

    @property
    def reference(self) -> tuple[float, ...]:
        """The losses that `hypervolume` is measured from: the worst of the first ten COMPLETED trials for each
        objective, and a tenth of their range more. It stays once they are there. Enormous losses do not count: next
        to them everything else would be the same."""
        return _reference(self.early)

    @property
    def hypervolume(self) -> float | None:
        """With several objectives, the volume that the front dominates below `reference`: it never shrinks (but where
        a trial is the first to get more of a resource, and the front begins anew, or where one of the first ten shows
        that a loss before it was enormous).

        None: one objective, no COMPLETED trial, beyond what numbers hold, or a front too large to be worth the time
        (4 objectives: over 150 trials, 5: 60, more: 30).
        """
        most = {2: 10_000, 3: 2_000, 4: 150, 5: 60}.get(len(self.spec.objectives), 30)
        if not self.spec.multi_objective or not self.front or len(self.front) > most:
            return None
        return _hypervolume(tuple(vector for vector, _ in self.front), self.reference)

    @property
    def losses(self) -> dict[int, float]:
        """Trial id -> loss of the trials with a result (of the first objective if there are several)."""
        return {t.id: t.loss for t in self.trials if t.loss is not None}

    @property
    def ended_count(self) -> int:
        return len(self.trials) - len(self.open_ids)

    @property
    def runs_ended(self) -> int:
        return self.runs - len(self.open_ids)

    @property
    def progress(self) -> tuple[int, int | None]:
        """What has ended of what the study is to do, and how much that is (None: unlimited): trials whose first run has
        ended, or runs if only these are limited."""
        budget = self.spec.budget
        if self.counts_runs or (budget.trials is None and budget.runs is not None):
            return self.runs_ended, budget.runs
        beginning = sum(trial.proposal.begun and not trial.results for trial in self.open)
        return self.begun - beginning, budget.trials

    @property
    def progress_unit(self) -> str:
        """What `progress` counts, "trial" or "run"; see `counts_runs`."""
        budget = self.spec.budget
        return "run" if budget.trials is None and budget.runs is not None and not self.counts_runs else "trial"

    @property
    def trials_left(self) -> int | None:
        """How many new configurations the budget allows; None: it sets no limit to them."""
        limit = self.spec.budget.trials
        return None if limit is None else max(0, limit - self.begun)

    @property
    def runs_left(self) -> int | None:
        """How many runs the budget allows; None: it sets no limit to them."""
        limit = self.spec.budget.runs
        return None if limit is None else max(0, limit - self.runs)

    def elapsed_s(self, now: float) -> float:
        """Seconds that engines have run this study for; gaps between engines do not count."""
        if self.engine_at is None or self.closed_at is not None:
            return self.spent_s
        return self.spent_s + max(0.0, now - self.engine_at)

    def inherited(self, trial: Trial) -> int:
        """The resource that had gone into the files with which the trial's attempt begins, or has begun."""
        earlier = trial.results[:-1] if trial.state is TrialState.COMPLETED else trial.results
        if not earlier and trial.origin is not None:
            earlier = tuple([r for r in self.trials[trial.origin.trial].results if r.attempt <= trial.origin.attempt])
        return max((r.resource or 0 for r in earlier), default=0)

    def resumed_step(self, trial: Trial) -> float | None:
        """The step of the last row of what the trial's latest attempt goes on from; None: it has none."""
        if trial.goes_on:
            return trial.before[-1].step if trial.before else None
        return None if trial.origin is None else trial.origin.step

    def whole_config(self, trial: Trial) -> dict[str, Any]:
        """The content of the trial's config.json when it begins: what `base_config` had, with the trial's own over it.
        The key that names a checkpoint to go on from is there, too."""
        key = self.spec.resume_key
        return {**({} if key is None else {key: None}), **self.spec.base, **self.config(trial)}

    def config(self, trial: Trial) -> dict[str, Any]:
        """What the study decides of the trial's config.json: its parameters, and the resource under its name."""
        return self._config(trial.params, trial.proposal.resource)

    def result_config(self, trial: Trial) -> dict[str, Any]:
        """`config` as it was for the trial's latest result; of a trial without one, as it is."""
        if not trial.results or not trial.results[-1].attempt:
            return self.config(trial)
        attempt = trial.attempts[trial.results[-1].attempt - 1]
        return self._config(attempt.params, attempt.resource)

    def _config(self, params: Mapping[str, Any], resource: int | None) -> dict[str, Any]:
        out = dict(params)
        if resource is not None and self.spec.resource:
            out[self.spec.resource.name] = resource
        return out

    def with_trial(self, trial: Trial) -> History:
        """A history in which `trial` replaces the one of its id."""
        before = self.trials[trial.id].results if trial.id < len(self.trials) else ()
        trials, front = self.trials.put(trial), Front(self)
        if trial.results[: len(before)] != before:  # it has lost what it may be in the front for
            front.begin_anew(trials)
        elif trial.results != before:
            front.join(trial, first=not before)
        return changed(self, trials=trials, **moved(self, (trial,)), **front.fields())

    def with_proposals(self, proposals: Iterable[Proposal]) -> History:
        """A history in which the proposals have become trials that wait, or their trials wait to be carried on."""
        history = self
        for proposal in proposals:
            if proposal.carry_on is None:
                history = history.with_trial(Trial(history.next_id, proposal))
            else:
                trial = history.trials[proposal.carry_on]
                history = history.with_trial(changed(trial, **trial.carried_on(proposal)))
        return history


_STATES = tuple(TrialState)


def moved(history: History, trials: Iterable[Trial]) -> dict[str, Any]:
    """`counts`, `open_ids`, `begun` and `runs` of the history with these trials in place of those of their ids."""
    known = len(history.trials)
    counts, begun, runs = dict(history.counts), history.begun, history.runs
    opened, ended = list[int](), set[int]()
    for trial in trials:
        state = trial.state
        runs += trial.runs
        if trial.id < known:
            former = history.trials[trial.id]
            before = former.state
            runs -= former.runs
            if before is state:
                continue
            counts[before] -= 1
        else:
            begun += trial.proposal.begun
        counts[state] = counts.get(state, 0) + 1
        if state.ended:
            ended.add(trial.id)
        else:
            opened.append(trial.id)
    open_ids = history.open_ids
    if opened or ended:
        open_ids = tuple(sorted({*open_ids, *opened} - ended))
    found = {state: counts[state] for state in _STATES if counts.get(state)}
    return {"counts": found, "open_ids": open_ids, "begun": begun, "runs": runs}


class Front:
    """`front`, `front_resource` and `early` of a history while its trials get results."""

    def __init__(self, history: History | None = None) -> None:
        self._front: tuple[Member, ...] = history.front if history else ()
        self._early = history.early if history else ()
        self._resource = history.front_resource if history else 0

    def join(self, trial: Trial, *, first: bool) -> None:
        """Takes in the latest result of a trial, which is its `first` one or not.

        A trial with less of the resource than those in the front does not count; one with more counts alone.
        """
        given = trial.trained
        if not self._front or given > self._resource:
            self._front, self._resource = ((trial.losses, trial.id),), given
        elif given == self._resource:
            self._front = joined(self._front, (trial.losses, trial.id))
        if first and len(self._early) < _EARLY:
            self._early = (*self._early, trial.losses)

    def begin_anew(self, trials: Iterable[Trial]) -> None:
        """The front of these trials."""
        self._front = ()
        for trial in trials:
            if trial.results:
                self.join(trial, first=False)

    def fields(self) -> dict[str, Any]:
        return {"front": self._front, "front_resource": self._resource, "early": self._early}


_EARLY = 10


@lru_cache(maxsize=8)
def _reference(early: tuple[tuple[float, ...], ...]) -> tuple[float, ...]:
    if not early:
        return ()
    import numpy as np

    from hpo_engine.maths.transforms import reined

    losses = np.array(early, dtype=float)
    losses[np.abs(losses) < 1e-100] = 0.0  # next to these, anything would be enormous
    ends = [(float(column.min()), float(column.max())) for column in map(reined, losses.T)]
    return tuple(min(high + 0.1 * (high - low), sys.float_info.max) for low, high in ends)


@lru_cache(maxsize=8)
def _hypervolume(losses: tuple[tuple[float, ...], ...], reference: tuple[float, ...]) -> float | None:
    from hpo_engine.maths import pareto  # numpy: only studies with several objectives need it

    try:
        volume = pareto.hypervolume(losses, reference)
    except ValueError:  # the reference is beyond what numbers hold
        return None
    return volume if math.isfinite(volume) else None
