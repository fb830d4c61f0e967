"""What can happen to a study: each kind of event with its JSON form and its step, the one transition that it makes.

The event log is the study: resume, trackers, answers and reports are folds of it. `fold` runs the steps of a whole log
over one draft, `apply` runs the step of one event. An event that cannot follow what came before it is refused
(JournalError), never guessed at.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from typing import Any, ClassVar

from hpo_engine.errors import JournalError
from hpo_engine.study import rows
from hpo_engine.study.draft import Draft
from hpo_engine.study.history import History, StudyState
from hpo_engine.study.merging import began_anew
from hpo_engine.study.objective import Row, latest_losses
from hpo_engine.study.projection import fitting
from hpo_engine.study.provenance import Code, Runtime
from hpo_engine.study.spec import Params, StudySpec
from hpo_engine.study.trial import (
    MOST_SEEN,
    Attempt,
    Exit,
    FailureKind,
    MetricsFrom,
    Origin,
    Proposal,
    Queued,
    Result,
    Stop,
    StopCause,
    Trial,
    TrialState,
)
from hpo_engine.study.values import amend, changed, made


@dataclass(frozen=True)
class Event:
    """`at`: UTC seconds."""

    at: float
    kind: ClassVar[str] = ""

    def body(self) -> dict[str, Any]:
        """The event's own fields as JSON values (without `at`, and without those that hold None)."""
        return {f.name: v for f in fields(self) if f.name != "at" and (v := getattr(self, f.name)) is not None}

    @classmethod
    def parsed(cls, body: dict[str, Any]) -> dict[str, Any]:
        """The values of the fields from a body, which is taken over: the inverse of `body`.

        Raises:
            LookupError, TypeError, ValueError, AttributeError: it is not such a body.
        """
        return body

    def step(self, draft: Draft) -> None:
        """Takes the study to where it stands after the event. Raises JournalError if it cannot follow here."""
        raise NotImplementedError


@dataclass(frozen=True)
class StudyOpened(Event):
    """The first event. `spec` is StudySpec.to_json() with a seed in it; `source` the text as submitted."""

    kind: ClassVar[str] = "study_opened"
    spec: Mapping[str, Any]
    source: str = ""

    def step(self, draft: Draft) -> None:
        raise JournalError("the study is open already")

    def opened(self) -> History:
        spec = StudySpec.from_json(self.spec)
        old = "runs" not in self.spec.get("budget", {}) and _promotes(spec)
        spec = _in_runs(spec) if old else spec
        counts_runs = old or spec.counts_runs
        return History(spec, events=1, opened_at=self.at, last_at=self.at, counts_runs=counts_runs)


@dataclass(frozen=True)
class EngineStarted(Event):
    """An engine started to run the study (first start, or resume). A closed or stopping study runs again.

    `path`, `folder`: the study's folder, and its device and inode (empty: unknown).
    """

    kind: ClassVar[str] = "engine_started"
    pid: int
    host: str = ""
    path: str = ""
    folder: tuple[int, ...] = ()

    @classmethod
    def parsed(cls, body: dict[str, Any]) -> dict[str, Any]:
        return {**body, "folder": tuple(body.get("folder", ()))}

    def step(self, draft: Draft) -> None:
        _without_engine(draft)
        study = draft.study
        # An engine that follows a killed one keeps its count of failures; one that follows a stop begins a new one.
        stopped = study.closed_at is not None or study.stop_asked is not None
        draft.study = changed(
            study, state=StudyState.RUNNING, reason="", by_rule=False, stop_asked=None, engine_at=self.at,
            closed_at=None, path=self.path, folder=self.folder, halted="",
            overruled=study.halted or study.overruled,
            counted_from=self.at if stopped else study.counted_from, revised=False,
        )  # fmt: skip


@dataclass(frozen=True)
class ProvenanceFound(Event):
    """What the study is run with was found out, see `study.provenance`; logs of older versions have none.

    `code`: Code.to_json(), when the study is made. `runtime`: Runtime.to_json(), when an engine runs on something else
    than the one before it.
    """

    kind: ClassVar[str] = "provenance_found"
    code: Mapping[str, Any] | None = None
    runtime: Mapping[str, Any] | None = None

    def step(self, draft: Draft) -> None:
        study = draft.study
        if self.code is not None:
            study = changed(study, code=Code.from_json(self.code))
        if self.runtime is not None:
            runtime = replace(Runtime.from_json(self.runtime), at=self.at)
            study = changed(study, runtimes=(*study.runtimes, runtime))
        draft.study = study


@dataclass(frozen=True)
class EngineGone(Event):
    """It was found that no engine runs the study, although the latest one has not closed it: that one was killed."""

    kind: ClassVar[str] = "engine_gone"

    def step(self, draft: Draft) -> None:
        _without_engine(draft)


@dataclass(frozen=True)
class TrialQueued(Event):
    """A configuration is to be tried before the searcher is asked, behind those that wait already; see `Queued`.

    `first`: in front of them, behind others of that kind. `request`: the one that it comes from.
    """

    kind: ClassVar[str] = "trial_queued"
    number: int
    params: Mapping[str, Any]
    study: int | None = None
    first: bool | None = None
    request: str | None = None

    def step(self, draft: Draft) -> None:
        if self.request is None:
            _without_engine(draft)
        study = draft.study
        if self.number != study.queued:
            raise JournalError(f"configuration {self.number} queued where {study.queued} is next")
        entry = Queued(self.number, self.params, self.study, bool(self.first))
        ahead = [other for other in study.queue if other.first or not entry.first]
        behind = study.queue[len(ahead) :]  # those of the kind `first` are in front
        draft.study = changed(
            study, queue=(*ahead, entry, *behind), queued=study.queued + 1,
            revised=study.revised or (entry.first and study.closed_at is not None),
        )  # fmt: skip
        _carried_out(draft, self.request)


@dataclass(frozen=True)
class TrialProposed(Event):
    """A new trial. `queued`: the number of the queued configuration that it was made of, which leaves the queue.

    `replaces`: see `Proposal`.
    """

    kind: ClassVar[str] = "trial_proposed"
    trial: int
    params: Mapping[str, Any]
    resource: int | None = None
    note: Mapping[str, Any] | None = None
    start_from: int | None = None
    repeats: int | None = None
    queued: int | None = None
    replaces: int | None = None

    def step(self, draft: Draft) -> None:
        proposal = {
            "params": self.params, "resource": self.resource, "start_from": self.start_from, "note": self.note,
            "repeats": self.repeats, "queued": None if self.queued is None else self._taken(draft),
            "replaces": self.replaces,
        }  # fmt: skip
        trial = {"id": self.trial, "proposal": made(Proposal, proposal), "proposed_at": self.at}
        if self.start_from is not None:
            other = draft.trial(self.start_from)
            if (attempt := other.startable) is None:
                raise JournalError(f"trial {other.id} is {other.state.value}, not completed")
            then = other.rows if other.state is TrialState.COMPLETED else other.base
            trial["origin"] = Origin(other.id, attempt, then[-1].step if then else None)
        draft.add(made(Trial, trial))

    def _taken(self, draft: Draft) -> Queued:
        queue = draft.study.queue
        entry = next((entry for entry in queue if entry.number == self.queued), None)
        if entry is None:
            raise JournalError(f"trial {self.trial}: configuration {self.queued} is not in the queue")
        draft.study = changed(draft.study, queue=tuple([other for other in queue if other is not entry]))
        return entry


@dataclass(frozen=True)
class TrialCarriedOn(Event):
    """A COMPLETED trial is to be trained further, until `resource` in all has gone into it. `keep`: see `Proposal`."""

    kind: ClassVar[str] = "trial_carried_on"
    trial: int
    params: Mapping[str, Any]
    resource: int
    note: Mapping[str, Any] | None = None
    keep: bool | None = None

    def step(self, draft: Draft) -> None:
        trial = draft.trial(self.trial, TrialState.COMPLETED)
        if self.resource <= trial.trained:
            raise JournalError(f"trial {self.trial}: resource {self.resource} after {trial.trained}")
        proposal = Proposal(self.params, self.resource, note=self.note, keep=bool(self.keep))
        amend(trial, **trial.carried_on(proposal))


@dataclass(frozen=True)
class AttemptIntended(Event):
    """Committed before the launch: from here on the attempt may exist.

    Earlier rows of the trial are dropped, unless the attempt goes on from the trial's own files. `variables`: those of
    trackers for its script.
    """

    kind: ClassVar[str] = "attempt_intended"
    trial: int
    attempt: int
    nonce: str
    variables: Mapping[str, str] | None = None

    def step(self, draft: Draft) -> None:
        trial = draft.trial(self.trial, TrialState.PENDING)
        if self.attempt != len(trial.attempts) + 1:
            raise JournalError(f"trial {self.trial}: attempt {self.attempt} after {len(trial.attempts)}")
        _keep_rows(trial)
        before = trial.rows if trial.goes_on else ()
        attempt = {
            "number": self.attempt, "nonce": self.nonce, "params": trial.params, "resource": trial.proposal.resource,
            "resume": trial.resume, "variables": self.variables or {},
        }  # fmt: skip
        amend(
            trial, state=TrialState.RUNNING, rows=before, before=before, provisional=False, cleared=False, seen_at=(),
            objective_at=None, reason="",
            started_at=trial.started_at or self.at,
            attempts=(*trial.attempts, made(Attempt, attempt)), stop=None, failure=None,
        )  # fmt: skip


@dataclass(frozen=True)
class AttemptStarted(Event):
    kind: ClassVar[str] = "attempt_started"
    trial: int
    attempt: int
    pid: int
    devices: tuple[str, ...] = ()

    @classmethod
    def parsed(cls, body: dict[str, Any]) -> dict[str, Any]:
        body["devices"] = tuple(body.get("devices", ()))
        return body

    def step(self, draft: Draft) -> None:
        trial = draft.trial(self.trial, TrialState.RUNNING)
        amend(draft.latest_attempt(trial, self.attempt), started_at=self.at, pid=self.pid, devices=self.devices)


@dataclass(frozen=True)
class MetricsSeen(Event):
    """New rows of a running trial: [[step, {metric: value}], ...]. `replace`: they replace all rows of this attempt.

    `provisional`: see `Trial.provisional`; it belongs to all rows of the attempt.
    Values that are not finite are written as the strings "nan", "inf" and "-inf" (the log is strict JSON).
    """

    kind: ClassVar[str] = "metrics_seen"
    trial: int
    rows: Sequence[Row]
    replace: bool = False
    provisional: bool = False

    def body(self) -> dict[str, Any]:
        found = {"trial": self.trial, "rows": rows.to_json(self.rows), "replace": self.replace}
        return {**found, "provisional": True} if self.provisional else found

    @classmethod
    def parsed(cls, body: dict[str, Any]) -> dict[str, Any]:
        return {**body, "rows": rows.from_json(body["rows"]), "replace": body["replace"]}

    def step(self, draft: Draft) -> None:
        trial = draft.trial(self.trial, TrialState.RUNNING)
        if self.replace or trial.rows is trial.before:  # the first of this attempt
            amend(trial, rows=rows.continued(trial.before, self.rows), provisional=self.provisional)
            if trial.goes_on:
                anew = began_anew(trial.base, self.rows)
                amend(draft.latest_attempt(trial, len(trial.attempts)), anew=anew)
        else:
            amend(trial, rows=rows.joined(trial.rows, self.rows), provisional=self.provisional)
        amend(trial, seen_at=(*trial.seen_at[:1], *trial.seen_at[1:][2 - MOST_SEEN :], self.at))
        objectives = draft.study.spec.objectives
        if trial.objective_at is not None or not any(rows.has_metric(self.rows, aim.metric) for aim in objectives):
            return
        if len(objectives) == 1 or all(rows.has_metric(trial.rows, aim.metric) for aim in objectives):
            amend(trial, objective_at=self.at)


@dataclass(frozen=True)
class SourceUsed(Event):
    """A trial has a value, and its metrics come from a source that no trial before had them from; see `MetricsFrom`."""

    kind: ClassVar[str] = "source_used"
    trial: int
    key: str
    source: str
    steps: str = ""
    others: tuple[str, ...] = ()

    @classmethod
    def parsed(cls, body: dict[str, Any]) -> dict[str, Any]:
        return {**body, "others": tuple(body.get("others", ()))}

    def step(self, draft: Draft) -> None:
        draft.trial(self.trial, TrialState.RUNNING)
        study = draft.study
        if self.key in study.sources_used:
            raise JournalError(f"trial {self.trial}: {self.key} has been used before")
        found = MetricsFrom(self.trial, self.key, self.source, self.steps, self.others)
        draft.study = changed(study, metrics_from=(*study.metrics_from, found))


@dataclass(frozen=True)
class AttemptEnded(Event):
    """An attempt ended and the trial will run again; `reason` says why, `failure` is a FailureKind.

    `paused`: the user paused the trial: it waits until it is resumed. `goes_on`: its next attempt then goes on from the
    files that it has left.
    """

    kind: ClassVar[str] = "attempt_ended"
    trial: int
    attempt: int
    exit: Mapping[str, Any]
    reason: str = ""
    failure: str | None = None
    paused: bool | None = None
    goes_on: bool | None = None

    def step(self, draft: Draft) -> None:
        trial, failure = draft.trial(self.trial, TrialState.RUNNING), _failure(self.failure)
        amend(
            draft.latest_attempt(trial, self.attempt), exit=Exit.from_json(self.exit), ended_at=self.at, failure=failure
        )
        amend(trial, state=TrialState.PAUSED if self.paused else TrialState.PENDING, reason=self.reason)
        if self.paused:
            amend(trial, suspended=bool(self.goes_on), base=trial.rows if self.goes_on else trial.base)


@dataclass(frozen=True)
class TrialPaused(Event):
    """The user paused a trial that waits to run; of one that runs, AttemptEnded says so."""

    kind: ClassVar[str] = "trial_paused"
    trial: int
    why: str = ""

    def step(self, draft: Draft) -> None:
        amend(draft.trial(self.trial, TrialState.PENDING), state=TrialState.PAUSED, reason=self.why)


@dataclass(frozen=True)
class TrialResumed(Event):
    """The user lets a paused trial run again."""

    kind: ClassVar[str] = "trial_resumed"
    trial: int

    def step(self, draft: Draft) -> None:
        amend(draft.trial(self.trial, TrialState.PAUSED), state=TrialState.PENDING, stop=None)


@dataclass(frozen=True)
class TrialEnded(Event):
    """The verdict. `value` is the objective in the user's own sign (given only if `state` is completed).

    `values`: with several objectives all of them, in their order; the first is `value`. `checkpoint`: see `Result`.
    `checkpoint_bytes`: see `Trial`.
    """

    kind: ClassVar[str] = "trial_ended"
    trial: int
    state: str
    value: float | None = None
    reason: str = ""
    exit: Mapping[str, Any] | None = None
    digest: str | None = None
    values: tuple[float, ...] | None = None
    failure: str | None = None
    checkpoint: str | None = None
    checkpoint_bytes: int | None = None

    @classmethod
    def parsed(cls, body: dict[str, Any]) -> dict[str, Any]:
        values = body.get("values")
        return body if values is None else {**body, "values": tuple(values)}

    def step(self, draft: Draft) -> None:
        trial, state = draft.trial(self.trial), TrialState(self.state)
        if trial.state.ended or not state.ended:
            raise JournalError(f"trial {self.trial} is {trial.state.value}: it cannot become {self.state}")
        if (state is TrialState.COMPLETED) is (self.value is None):
            raise JournalError(f"trial {self.trial}: a value goes with state completed, and only with it")
        failure = _failure(self.failure)
        if trial.attempts and self.exit is not None:
            amend(trial.attempts[-1], exit=Exit.from_json(self.exit), ended_at=self.at, failure=failure)
        if self.value is not None:
            losses = self._losses(self.value, draft.study.spec)
            spec = draft.study.spec
            result = {
                "attempt": len(trial.attempts), "resource": trial.proposal.resource, "losses": losses,
                "checkpoint": self.checkpoint, "rows": trial.rows,
                "latest": None if spec.resource is None else latest_losses(trial.rows, spec.objectives),
            }  # fmt: skip
            draft.result(trial, made(Result, result))
        if self.checkpoint_bytes is not None:
            amend(trial, checkpoint_bytes=self.checkpoint_bytes)
        amend(trial, state=state, failure=failure, reason=self.reason, ended_at=self.at, seen_at=trial.seen_at[:1])

    def _losses(self, value: float, spec: StudySpec) -> tuple[float, ...]:
        values = self.values if spec.multi_objective and self.values is not None else (value,)
        if len(values) != len(spec.objectives):
            raise JournalError(f"trial {self.trial}: {len(values)} values for {len(spec.objectives)} objectives")
        return tuple([aim.loss(value) for aim, value in zip(spec.objectives, values, strict=True)])


@dataclass(frozen=True)
class CheckpointsDeleted(Event):
    """Committed before it is done: the checkpoints of an ended trial, `size` bytes in all, are deleted to make room."""

    kind: ClassVar[str] = "checkpoints_deleted"
    trial: int
    size: int

    def step(self, draft: Draft) -> None:
        trial = draft.trial(self.trial)
        if not trial.state.ended:
            raise JournalError(f"trial {self.trial} is {trial.state.value}: its checkpoints cannot be deleted")
        results = tuple([changed(result, checkpoint=None) for result in trial.results])
        amend(trial, results=results, checkpoint_bytes=0, cleared=True)


@dataclass(frozen=True)
class TrialReopened(Event):
    """An ended trial is to run again with the same parameters (`retry`). `request`: the one that it comes from."""

    kind: ClassVar[str] = "trial_reopened"
    trial: int
    request: str | None = None

    def step(self, draft: Draft) -> None:
        if self.request is None:
            _without_engine(draft)
        trial = draft.trial(self.trial)
        if not trial.state.ended or trial.state is TrialState.COMPLETED:
            raise JournalError(f"trial {self.trial} is {trial.state.value}: it cannot be run again")
        _keep_rows(trial)
        rows = trial.rows if trial.goes_on else ()
        amend(
            trial, state=TrialState.PENDING, reason="retry", rows=rows, provisional=False, stop=None, failure=None,
            ended_at=None,
        )  # fmt: skip
        study = draft.study
        draft.study = changed(study, counted_from=self.at, revised=study.revised or study.closed_at is not None)
        _carried_out(draft, self.request)


@dataclass(frozen=True)
class StopAsked(Event):
    """The user or a rule asked to stop one trial or, if `trial` is None, the study.

    `cause`: a StopCause, for a trial. `rule`: the one that halts the study.
    """

    kind: ClassVar[str] = "stop_asked"
    trial: int | None = None
    why: str = "stop"
    rule: str | None = None
    cause: str = StopCause.USER.value

    def step(self, draft: Draft) -> None:
        if self.trial is None:
            draft.study = changed(draft.study, stop_asked=self.why, halted=self.rule or "")
        else:
            amend(draft.trial(self.trial), stop=Stop(StopCause(self.cause), self.why, self.at))


@dataclass(frozen=True)
class SpecChanged(Event):
    """The user has changed the study. What it was before is what the events before this one make.

    `changes`: new limits, any of trials, runs, time_s, parallel. The keys that are present change; null means
    unlimited. The trials of a study that `counts_runs` are runs.
    `spec`: StudySpec.to_json() of the study from now on, in place of `changes`; `source`: its study file as text;
    `lines`: what is different, one line each, for people; `who` has changed it. `request`: the one that it comes from.
    """

    kind: ClassVar[str] = "spec_changed"
    changes: Mapping[str, Any]
    spec: Mapping[str, Any] | None = None
    source: str | None = None
    lines: tuple[str, ...] | None = None
    who: str | None = None
    request: str | None = None

    @classmethod
    def parsed(cls, body: dict[str, Any]) -> dict[str, Any]:
        lines = body.get("lines")
        return body if lines is None else {**body, "lines": tuple(lines)}

    def step(self, draft: Draft) -> None:
        if self.request is None:
            _without_engine(draft)
        if self.spec is None:
            self._limits(draft)
            return
        study, spec = draft.study, StudySpec.from_json(self.spec)
        spec = _in_runs(spec) if study.counts_runs else spec
        draft.study = changed(
            study, spec=spec, first_spec=study.opened_spec, revised=study.revised or study.closed_at is not None,
            respaced=study.respaced or spec.space != study.spec.space or spec.was != study.spec.was,
            queue=tuple(filter(None, [fitting(entry, spec.space) for entry in study.queue])),
        )  # fmt: skip
        _carried_out(draft, self.request)

    def _limits(self, draft: Draft) -> None:
        if unknown := set(self.changes) - {"trials", "runs", "time_s", "parallel"}:
            raise JournalError(f"cannot change {sorted(unknown)}")
        spec = draft.study.spec
        limits = {name: value for name, value in self.changes.items() if name != "parallel"}
        if "trials" in limits and draft.study.counts_runs:
            limits["runs"] = limits.pop("trials")
        parallel = self.changes.get("parallel", spec.resources.parallel)
        spec = replace(
            spec, budget=replace(spec.budget, **limits), resources=replace(spec.resources, parallel=parallel)
        )
        draft.study = changed(draft.study, spec=spec, first_spec=draft.study.opened_spec)


@dataclass(frozen=True)
class StudyClosed(Event):
    """`by_rule`: a rule ended the study, although there were more trials to run."""

    kind: ClassVar[str] = "study_closed"
    state: str
    reason: str = ""
    by_rule: bool = False

    def body(self) -> dict[str, Any]:
        found = {"state": self.state, "reason": self.reason}
        return {**found, "by_rule": True} if self.by_rule else found

    def step(self, draft: Draft) -> None:
        study, state = draft.study, StudyState(self.state)
        spent = study.elapsed_s(self.at)
        draft.study = changed(
            study, state=state, reason=self.reason, by_rule=self.by_rule, spent_s=spent, closed_at=self.at,
            engine_at=None,
        )  # fmt: skip


KINDS: dict[str, type[Event]] = {
    cls.kind: cls
    for cls in (
        StudyOpened,
        EngineStarted,
        ProvenanceFound,
        EngineGone,
        TrialQueued,
        TrialProposed,
        TrialCarriedOn,
        AttemptIntended,
        AttemptStarted,
        MetricsSeen,
        SourceUsed,
        AttemptEnded,
        TrialPaused,
        TrialResumed,
        TrialEnded,
        CheckpointsDeleted,
        TrialReopened,
        StopAsked,
        SpecChanged,
        StudyClosed,
    )
}


def opening(
    spec: StudySpec,
    at: float,
    source: str = "",
    earlier: Sequence[tuple[int, Params]] = (),
    code: Code | None = None,
) -> list[Event]:
    """The first events of a study: its opening, and the configurations that it begins with.

    Args:
        earlier: configurations of earlier studies, each with the place of its study in `spec.prior`.
        code: the commit of the script's folder, if it has one.
    """
    queued = [*((None, point) for point in spec.points), *earlier]
    return [
        StudyOpened(at, spec.to_json(), source),
        *([] if code is None else [ProvenanceFound(at, code.to_json())]),
        *(TrialQueued(at, number, dict(params), study) for number, (study, params) in enumerate(queued)),
    ]


# -- folds -------------------------------------------------------------------------------------------------------------


def fold(events: Iterable[Event], history: History | None = None) -> History:
    """The history that the events make after `history`, or from the first one on.

    Raises:
        JournalError: one cannot be applied; it says which.
    """
    left = iter(events)
    if history is None:
        first = next(left, None)
        if first is None:
            raise JournalError("the event log is empty: the study was never opened")
        history = _opened(first)
    draft = Draft(history)
    _take(draft, left)
    return draft.frozen()


def apply(history: History | None, event: Event) -> History:
    """The history after `event`. Raises JournalError if it cannot be applied, with its number."""
    if history is None:
        return _opened(event)
    draft = Draft(history)
    _take(draft, (event,))
    return draft.frozen()


_FAULTS = (JournalError, LookupError, TypeError, ValueError, AttributeError)


def _opened(event: Event) -> History:
    try:
        if not isinstance(event, StudyOpened):
            raise JournalError("the first event must open the study")
        return event.opened()
    except _FAULTS as error:
        raise _refused(1, event, error) from error


def _take(draft: Draft, events: Iterable[Event]) -> None:
    for event in events:
        try:
            event.step(draft)
        except _FAULTS as error:
            raise _refused(draft.events + 1, event, error) from error
        draft.events += 1
        if event.at > draft.last_at:
            draft.last_at = event.at


def _refused(number: int, event: Event, error: Exception) -> JournalError:
    return JournalError(f"event {number} ({event.kind}) cannot be applied: {error}")


def _keep_rows(trial: Trial) -> None:
    """The latest attempt keeps what it has reported, unless it had a result."""
    if len(trial.attempts) > trial.done and trial.rows:
        amend(trial.attempts[-1], rows=trial.rows, before=trial.before)


_REQUESTS = 64
"""How many of the latest requests a history remembers: more than can be left between a commit and their removal."""


def _without_engine(draft: Draft) -> None:
    """No engine runs the study now: if the latest one did not close it, that one was killed after its last event."""
    study = draft.study
    if study.engine_at is not None and study.closed_at is None:
        spent = study.spent_s + max(0.0, draft.last_at - study.engine_at)
        draft.study = changed(study, engine_at=None, spent_s=spent)


def _carried_out(draft: Draft, request: str | None) -> None:
    if request is not None and request not in draft.study.requests:
        draft.study = changed(draft.study, requests=(*draft.study.requests, request)[-_REQUESTS:])


def _in_runs(spec: StudySpec) -> StudySpec:
    """The study of a user who means runs by trials."""
    if spec.budget.trials is None:
        return spec
    return replace(spec, budget=replace(spec.budget, trials=None, runs=spec.budget.trials))


def _promotes(spec: StudySpec) -> bool:
    """Whether its searcher is one of the built-in ones that promote configurations."""
    return spec.resource is not None and spec.algorithm.name in ("hyperband", "asha", "bohb", "auto")


def _failure(kind: str | None) -> FailureKind | None:
    return None if kind is None else FailureKind(kind)
