"""What can happen to a study, as frozen values; their JSON form; and `apply(history, event) -> history`.

The event log is the study: resume, trackers, answers and reports are folds of it. An event that cannot follow the
history it meets is refused (JournalError), never guessed at.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, fields, replace
from typing import Any, ClassVar

from hpo_engine.errors import JournalError
from hpo_engine.study import rows
from hpo_engine.study.history import Growing, History, StudyState
from hpo_engine.study.objective import Row
from hpo_engine.study.spec import Budget, Resources, StudySpec
from hpo_engine.study.trial import Attempt, Exit, Proposal, Trial, TrialState
from hpo_engine.study.values import changed


@dataclass(frozen=True)
class Event:
    """`at`: UTC seconds."""

    at: float
    kind: ClassVar[str] = ""

    def body(self) -> dict[str, Any]:
        """The event's own fields as JSON values (without `at`, and without those that hold None)."""
        return {f.name: v for f in fields(self) if f.name != "at" and (v := getattr(self, f.name)) is not None}


@dataclass(frozen=True)
class StudyOpened(Event):
    """The first event. `spec` is StudySpec.to_json() with a seed in it; `source` the text as submitted."""

    kind: ClassVar[str] = "study_opened"
    spec: Mapping[str, Any]
    source: str = ""


@dataclass(frozen=True)
class EngineStarted(Event):
    """An engine took the lead (first start, or resume). A closed or stopping study runs again.

    `path`, `folder`: the study's folder, and its device and inode (none: not known).
    """

    kind: ClassVar[str] = "engine_started"
    pid: int
    host: str = ""
    path: str = ""
    folder: tuple[int, ...] = ()


@dataclass(frozen=True)
class TrialProposed(Event):
    kind: ClassVar[str] = "trial_proposed"
    trial: int
    params: Mapping[str, Any]
    resource: int | None = None
    slot: Mapping[str, Any] | None = None


@dataclass(frozen=True)
class AttemptIntended(Event):
    """Committed before the launch: from here on the attempt may exist. Earlier rows of the trial are dropped."""

    kind: ClassVar[str] = "attempt_intended"
    trial: int
    attempt: int
    nonce: str
    gpus: tuple[str, ...] = ()


@dataclass(frozen=True)
class AttemptStarted(Event):
    kind: ClassVar[str] = "attempt_started"
    trial: int
    attempt: int
    pid: int


@dataclass(frozen=True)
class MetricsSeen(Event):
    """New rows of a running trial: [[step, {metric: value}], ...]. `replace`: they stand for all rows so far.

    Values that are not finite are written as the strings "nan", "inf" and "-inf" (the log is strict JSON).
    """

    kind: ClassVar[str] = "metrics_seen"
    trial: int
    rows: tuple[Row, ...]
    replace: bool = False

    def body(self) -> dict[str, Any]:
        return {"trial": self.trial, "rows": rows.to_json(self.rows), "replace": self.replace}


@dataclass(frozen=True)
class AttemptEnded(Event):
    """A run ended but its trial goes on: it will be run again (`reason` says why)."""

    kind: ClassVar[str] = "attempt_ended"
    trial: int
    attempt: int
    exit: Mapping[str, Any]
    reason: str = ""


@dataclass(frozen=True)
class TrialEnded(Event):
    """The verdict. `value` is the objective in the user's own sign (given only if `state` is completed).

    `values`: with several objectives all of them, in their order; the first is `value`.
    """

    kind: ClassVar[str] = "trial_ended"
    trial: int
    state: str
    value: float | None = None
    reason: str = ""
    exit: Mapping[str, Any] | None = None
    digest: str | None = None
    values: tuple[float, ...] | None = None


@dataclass(frozen=True)
class TrialReopened(Event):
    """An ended trial is to run again with the same parameters (`retry`)."""

    kind: ClassVar[str] = "trial_reopened"
    trial: int


@dataclass(frozen=True)
class StopAsked(Event):
    """Somebody, or a rule, wants an end: of one trial, or (None) of the study. `rule`: the one that halts the study."""

    kind: ClassVar[str] = "stop_asked"
    trial: int | None = None
    why: str = "stop"
    rule: str | None = None


@dataclass(frozen=True)
class SpecChanged(Event):
    """New limits: any of trials, time_s, parallel. The keys that are present change; null means unlimited."""

    kind: ClassVar[str] = "spec_changed"
    changes: Mapping[str, Any]


@dataclass(frozen=True)
class StudyClosed(Event):
    kind: ClassVar[str] = "study_closed"
    state: str
    reason: str = ""


KINDS: dict[str, type[Event]] = {
    cls.kind: cls
    for cls in (
        StudyOpened,
        EngineStarted,
        TrialProposed,
        AttemptIntended,
        AttemptStarted,
        MetricsSeen,
        AttemptEnded,
        TrialEnded,
        TrialReopened,
        StopAsked,
        SpecChanged,
        StudyClosed,
    )
}


def from_body(kind: str, at: float, body: Mapping[str, Any]) -> Event:
    """The inverse of `Event.body`.

    Raises:
        JournalError: unknown kind (a newer version wrote it), or missing fields.
    """
    try:
        cls = KINDS[kind]
        if cls is MetricsSeen:
            return MetricsSeen(at, body["trial"], rows.from_json(body["rows"]), body["replace"])
        if cls is AttemptIntended:
            body = {**body, "gpus": tuple(body.get("gpus", ()))}
        if cls is EngineStarted:
            body = {**body, "folder": tuple(body.get("folder", ()))}
        if cls is TrialEnded and body.get("values") is not None:
            body = {**body, "values": tuple(body["values"])}
        return cls(at, **body)
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise JournalError(
            f"event of kind {kind!r} cannot be read ({error}); was it written by a newer version?"
        ) from None


def fold(events: Iterable[Event]) -> History:
    """The history that the events make. Raises JournalError where one cannot be applied, with its number."""
    history: History | None = None
    for number, event in enumerate(events, 1):
        try:
            history = apply(history, event)
            if number == 1:
                history = Growing.of(history)
        except (JournalError, LookupError, TypeError, ValueError, AttributeError) as error:
            raise JournalError(f"event {number} ({event.kind}) cannot be applied: {error}") from error
    if history is None:
        raise JournalError("the event log is empty: the study was never opened")
    assert isinstance(history, Growing)
    return history.grown()


def apply(history: History | None, event: Event) -> History:
    """The history after `event`."""
    if isinstance(event, StudyOpened):
        if history is not None:
            raise JournalError("the study is open already")
        return History(StudySpec.from_json(event.spec), opened_at=event.at, last_at=event.at)
    if history is None:
        raise JournalError("the first event must open the study")
    after: History = _APPLY[type(event)](history, event)
    last_at = max(event.at, history.last_at)
    if after is history and not isinstance(history, Growing):
        return changed(history, last_at=last_at)
    after.__dict__["last_at"] = last_at  # nobody has seen it yet
    return after


def _engine_started(h: History, e: EngineStarted) -> History:
    spent = h.spent_s
    if h.engine_at is not None and h.closed_at is None:  # the engine before this one was killed
        spent += max(0.0, h.last_at - h.engine_at)
    # An engine that goes on after one that was killed counts on; one that was told to go on after a stop counts anew.
    counted_from = e.at if h.closed_at is not None or h.stop_asked is not None else h.counted_from
    return changed(
        h, state=StudyState.RUNNING, reason="", stop_asked=None, engine_at=e.at, spent_s=spent, closed_at=None,
        path=e.path, folder=e.folder,
        halted="", overruled=h.halted or h.overruled, counted_from=counted_from,
    )  # fmt: skip


def _trial_proposed(h: History, e: TrialProposed) -> History:
    if e.trial != h.next_id:
        raise JournalError(f"trial {e.trial} proposed where {h.next_id} is next")
    return h.with_trial(Trial(e.trial, Proposal(e.params, e.resource, e.slot), proposed_at=e.at))


def _attempt_intended(h: History, e: AttemptIntended) -> History:
    trial = _in_state(h, e.trial, TrialState.PENDING)
    if e.attempt != len(trial.attempts) + 1:
        raise JournalError(f"trial {e.trial}: attempt {e.attempt} after {len(trial.attempts)}")
    attempt = Attempt(e.attempt, e.nonce, tuple(e.gpus))
    return h.with_trial(
        changed(trial, state=TrialState.RUNNING, rows=(), reason="", attempts=(*trial.attempts, attempt),
                started_at=trial.started_at or e.at)
    )  # fmt: skip


def _attempt_started(h: History, e: AttemptStarted) -> History:
    trial = _in_state(h, e.trial, TrialState.RUNNING)
    return h.with_trial(_with_attempt(trial, e.attempt, started_at=e.at, pid=e.pid))


def _metrics_seen(h: History, e: MetricsSeen) -> History:
    trial = _in_state(h, e.trial, TrialState.RUNNING)
    return h.with_trial(changed(trial, rows=e.rows if e.replace else rows.joined(trial.rows, e.rows)))


def _attempt_ended(h: History, e: AttemptEnded) -> History:
    trial = _in_state(h, e.trial, TrialState.RUNNING)
    trial = _with_attempt(trial, e.attempt, exit=Exit(**e.exit), ended_at=e.at)
    return h.with_trial(changed(trial, state=TrialState.PENDING, reason=e.reason))


def _trial_ended(h: History, e: TrialEnded) -> History:
    trial = _trial(h, e.trial)
    state = TrialState(e.state)
    if trial.state.ended or not state.ended:
        raise JournalError(f"trial {e.trial} is {trial.state.value}: it cannot become {e.state}")
    if (state is TrialState.COMPLETED) != (e.value is not None):
        raise JournalError(f"trial {e.trial}: a value goes with state completed, and only with it")
    if trial.attempts and e.exit is not None:
        trial = _with_attempt(trial, len(trial.attempts), exit=Exit(**e.exit), ended_at=e.at)
    losses: tuple[float, ...] = ()
    if e.value is not None:
        values = e.values if h.spec.objectives and e.values is not None else (e.value,)
        if len(values) != len(h.spec.aims):
            raise JournalError(f"trial {e.trial}: {len(values)} values for {len(h.spec.aims)} objectives")
        losses = tuple(aim.loss(value) for aim, value in zip(h.spec.aims, values, strict=True))
    return h.with_trial(changed(trial, state=state, losses=losses, reason=e.reason, ended_at=e.at))


def _trial_reopened(h: History, e: TrialReopened) -> History:
    trial = _trial(h, e.trial)
    if not trial.state.ended or trial.state is TrialState.COMPLETED:
        raise JournalError(f"trial {e.trial} is {trial.state.value}: it cannot be run again")
    trial = changed(trial, state=TrialState.PENDING, losses=(), reason="retry", rows=(), ended_at=None)
    return changed(h, counted_from=e.at).with_trial(trial)


def _stop_asked(h: History, e: StopAsked) -> History:
    if e.trial is None:
        return changed(h, stop_asked=e.why, halted=e.rule or "")
    _trial(h, e.trial)  # it must exist
    return h


def _spec_changed(h: History, e: SpecChanged) -> History:
    unknown = set(e.changes) - {"trials", "time_s", "parallel"}
    if unknown:
        raise JournalError(f"cannot change {sorted(unknown)}")
    limits = {k: v for k, v in e.changes.items() if k != "parallel"}
    budget = Budget(**{"trials": h.spec.budget.trials, "time_s": h.spec.budget.time_s, **limits})
    resources = Resources(
        e.changes.get("parallel", h.spec.resources.parallel), h.spec.resources.cpus, h.spec.resources.gpus
    )
    return changed(h, spec=replace(h.spec, budget=budget, resources=resources))


def _study_closed(h: History, e: StudyClosed) -> History:
    return changed(
        h, state=StudyState(e.state), reason=e.reason, spent_s=h.elapsed_s(e.at), closed_at=e.at, engine_at=None
    )


_APPLY: dict[type[Event], Any] = {
    EngineStarted: _engine_started,
    TrialProposed: _trial_proposed,
    AttemptIntended: _attempt_intended,
    AttemptStarted: _attempt_started,
    MetricsSeen: _metrics_seen,
    AttemptEnded: _attempt_ended,
    TrialEnded: _trial_ended,
    TrialReopened: _trial_reopened,
    StopAsked: _stop_asked,
    SpecChanged: _spec_changed,
    StudyClosed: _study_closed,
}


def _trial(history: History, trial_id: int) -> Trial:
    if not 0 <= trial_id < history.next_id:
        raise JournalError(f"there is no trial {trial_id}")
    return history.trials[trial_id]


def _in_state(history: History, trial_id: int, state: TrialState) -> Trial:
    trial = _trial(history, trial_id)
    if trial.state is not state:
        raise JournalError(f"trial {trial_id} is {trial.state.value}, not {state.value}")
    return trial


def _with_attempt(trial: Trial, number: int, **changes: Any) -> Trial:
    if number != len(trial.attempts):
        raise JournalError(f"trial {trial.id}: attempt {number} is not the latest ({len(trial.attempts)})")
    return changed(trial, attempts=(*trial.attempts[:-1], changed(trial.attempts[-1], **changes)))
