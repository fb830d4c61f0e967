"""What a study's log would have come to under other stopping rules: its runs, played again on a clock of their own.

A run does what the log says that it did, until a rule ends it; then the next one in the log's order begins. What a
searcher would have proposed instead is not known: the proposals are those of the log. A run that the log made of
another one (a promotion, a copy) is left out if that other one was ended.
"""

from __future__ import annotations

import heapq
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace

from hpo_engine.reports.pace import most_at_once
from hpo_engine.stoppers.rule import Rule, end_of
from hpo_engine.study import usage
from hpo_engine.study.events import (
    AttemptIntended,
    EngineStarted,
    Event,
    StopAsked,
    StudyOpened,
    TrialCarriedOn,
    TrialEnded,
    TrialProposed,
    TrialQueued,
    TrialReopened,
    apply,
    fold,
)
from hpo_engine.study.history import History
from hpo_engine.study.objective import pick_values
from hpo_engine.study.spec import StudySpec
from hpo_engine.study.trial import Exit, StopCause, Trial, TrialState

_MAY_COUNT = (StopCause.DIVERGED, StopCause.CONVERGED)  # what a trial had reported that was ended
_STATES = {
    StopCause.EARLY: TrialState.PRUNED,
    StopCause.DIVERGED: TrialState.PRUNED,
    StopCause.CONVERGED: TrialState.PRUNED,
    StopCause.STALLED: TrialState.FAILED,
    StopCause.STUDY_OVER: TrialState.STOPPED,
}
_Head = TrialProposed | TrialCarriedOn | TrialReopened


@dataclass(frozen=True)
class Replay:
    """How it ended.

    Attributes:
        history: of the study as it would have been.
        ended: the trials that a rule ended, each with the reason. omitted: those that would not have run at all.
        over: why a rule ended the study ("": none did).
        parallel: how many ran at a time at most, as in the log.
        steps: those that all trials trained, as a budget counts them. train_s: seconds of all runs.
        wall_s: from the first start to the last end (seconds).
    """

    history: History
    ended: Mapping[int, str]
    omitted: tuple[int, ...]
    over: str
    parallel: int
    steps: float
    train_s: float
    wall_s: float


def replay(events: Sequence[Event], spec: StudySpec, rule: Rule) -> Replay:
    """The runs of a log under a rule, which is asked after each report as a running study asks it.

    Args:
        events: the whole log. spec: what the study has come to, with its rules replaced.
    """
    simulated = _Simulated(events, spec, rule)
    simulated.run()
    return simulated.result()


@dataclass
class _Run:
    """A trial's life from its proposal, promotion or retry to its next end: what happened, and how long after its
    start (seconds). Waiting to be started counts for nothing."""

    head: _Head
    events: list[tuple[float, Event]] = field(default_factory=list)
    began_at: float = 0.0
    last_at: float = 0.0

    @property
    def trial(self) -> int:
        return self.head.trial

    @property
    def void(self) -> bool:
        """Whether it ended before anything was started."""
        return isinstance(self.events[0][1], TrialEnded)

    @property
    def source(self) -> int | None:
        """The trial that must have ended before."""
        if isinstance(self.head, TrialProposed):
            return self.head.start_from if self.head.repeats is None else self.head.repeats
        return self.head.trial

    def add(self, event: Event) -> None:
        passed = event.at - self.last_at if self.events and not isinstance(event, AttemptIntended) else 0.0
        before = self.events[-1][0] if self.events else 0.0
        if not self.events:
            self.began_at = event.at
        self.events.append((before + max(0.0, passed), event))
        self.last_at = event.at


def runs_of(events: Iterable[Event]) -> list[_Run]:
    """The runs of a log, in the order in which they began, or ended without having begun."""
    open_runs: dict[int, _Run] = {}
    found: list[_Run] = []
    for event in events:
        if isinstance(event, _Head):
            open_runs[event.trial] = _Run(event)
        trial: int | None = getattr(event, "trial", None)
        run = None if trial is None else open_runs.get(trial)
        if run is None or event is run.head:
            continue
        if not run.events:
            if not isinstance(event, AttemptIntended | TrialEnded):
                continue
            found.append(run)
        run.add(event)
        if isinstance(event, TrialEnded):
            del open_runs[event.trial]
    return found


class _Simulated:
    def __init__(self, events: Sequence[Event], spec: StudySpec, rule: Rule) -> None:
        self._rule, self._began = rule, events[0].at
        self._waiting = runs_of(events)
        self._parallel = max(1, most_at_once((run.began_at, run.last_at) for run in self._waiting))
        self._proposals = {event.trial: event for event in events if isinstance(event, TrialProposed)}
        queued = [replace(event, at=self._began) for event in events if isinstance(event, TrialQueued)]
        self._history = fold([
            StudyOpened(self._began, spec.to_json()), EngineStarted(self._began, pid=0), *queued
        ])  # fmt: skip
        self._running: list[tuple[float, int, int, float, _Run]] = []  # when, trial, which of its events, began, run
        self._ended: dict[int, str] = {}
        self._omitted: list[int] = []
        self._over = ""
        self._train_s, self._now = 0.0, self._began

    def run(self) -> None:
        while not self._over:
            self._start()
            if not self._running:
                break
            self._now = self._running[0][0]
            while self._running and self._running[0][0] <= self._now:
                self._happen()
            self._ask()
        for run in self._waiting:
            self._omit(run)

    def result(self) -> Replay:
        steps = sum(
            usage.epochs(trial, attempt, self._history) for trial in self._history.trials for attempt in trial.attempts
        )
        return Replay(
            self._history, self._ended, tuple(sorted(self._omitted)), self._over, self._parallel, steps,
            self._train_s, self._now - self._began,
        )  # fmt: skip

    # -- runs ------------------------------------------------------------------------------------------------------

    def _start(self) -> None:
        """Starts what there is room for."""
        for run in list(self._waiting):
            if len(self._running) >= self._parallel and not run.void:
                return
            ready = self._ready(run)
            if ready is None:
                continue
            self._waiting.remove(run)
            if ready:
                self._propose(run.trial)
                if not isinstance(run.head, TrialProposed):
                    self._record(run.head)
                if run.void:
                    self._record(run.events[0][1])
                    continue
                heapq.heappush(self._running, (self._now, run.trial, 0, self._now, run))
            else:
                self._omit(run)

    def _ready(self, run: _Run) -> bool | None:
        """Whether the run can begin; None: not yet."""
        if run.source is None:
            return True
        if run.source >= self._history.next_id:
            return None
        source = self._history.trials[run.source]
        if not source.state.ended:
            return None
        if isinstance(run.head, TrialReopened):
            return run.source not in self._ended and source.state is not TrialState.COMPLETED
        if isinstance(run.head, TrialCarriedOn):
            return source.state is TrialState.COMPLETED
        return bool(source.results)

    def _propose(self, trial_id: int) -> None:
        """The log's proposals up to this trial's, since trials are numbered in order."""
        while (next_id := self._history.next_id) <= trial_id:
            proposal, source = self._proposals[next_id], self._proposals[next_id].start_from
            if source is not None and self._history.trials[source].state is not TrialState.COMPLETED:
                proposal = replace(proposal, start_from=None)  # it has been trained further since, or has not run
            self._record(proposal)

    def _omit(self, run: _Run) -> None:
        self._propose(run.trial)
        if isinstance(run.head, TrialProposed) and not run.void:
            self._record(TrialEnded(self._now, run.trial, TrialState.STOPPED.value, reason="not run"))
            self._omitted.append(run.trial)

    def _happen(self) -> None:
        """The next event of a run."""
        _, trial_id, number, began, run = heapq.heappop(self._running)
        event = run.events[number][1]
        self._record(event)
        if number + 1 < len(run.events):
            heapq.heappush(self._running, (began + run.events[number + 1][0], trial_id, number + 1, began, run))
        else:
            self._train_s += self._now - began

    def _record(self, event: Event) -> None:
        self._history = apply(self._history, replace(event, at=self._now))

    # -- rules -----------------------------------------------------------------------------------------------------

    def _ask(self) -> None:
        stopped: list[int] = []
        for trial in self._history.running:
            if end := end_of(self._rule, trial, self._history, self._now):
                self._record(StopAsked(self._now, trial.id, end.reason, cause=end.cause.value))
                self._ended[trial.id] = end.reason
                stopped.append(trial.id)
        for trial_id in stopped:
            self._end(self._history.trials[trial_id])
        self._over = self._rule.end_study(self._history, self._now) or ""
        if self._over:
            for trial in self._history.running:
                self._record(StopAsked(self._now, trial.id, self._over, cause=StopCause.STUDY_OVER.value))
                self._end(self._history.trials[trial.id])

    def _end(self, trial: Trial) -> None:
        """A run is ended by the rules, at once."""
        assert trial.stop is not None
        kept = [entry for entry in self._running if entry[1] != trial.id]
        self._train_s += sum(self._now - entry[3] for entry in self._running if entry[1] == trial.id)
        self._running = kept
        heapq.heapify(self._running)
        cause, objectives = trial.stop.cause, self._history.spec.objectives
        values = pick_values(trial.rows, objectives) if cause in _MAY_COUNT else None
        state = _STATES[cause] if values is None else TrialState.COMPLETED
        self._record(
            TrialEnded(
                self._now, trial.id, state.value, values[0] if values else None, trial.stop.reason,
                Exit(signal=15, stop_cause=cause).to_json(), values=values if len(objectives) > 1 else None,
            )
        )  # fmt: skip
