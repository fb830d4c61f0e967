"""A trial and its attempts: what was proposed, how each run ended. Frozen; a change makes a new value.

Losses are minimised, whatever the goals say.
"""

from __future__ import annotations

import enum
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields
from typing import Any

from hpo_engine.study.objective import Row
from hpo_engine.study.spec import Params
from hpo_engine.study.values import changed, made


@dataclass(frozen=True)
class Queued:
    """A configuration to be tried before the searcher is asked; what `params` leaves open is filled in then.

    `number` counts from 0 within the study. `study`: its place in `spec.prior`, if it comes from an earlier study.
    `first`: the user put it in front of those that were there before (`enqueue`).
    """

    number: int
    params: Params
    study: int | None = None
    first: bool = False


@dataclass(frozen=True)
class Proposal:
    """What a searcher returns: parameters, and how much of the study's resource is to go into the trial in all.

    `carry_on`: the COMPLETED trial that is to be trained further, to more of the resource than it has had: no new
    trial, but another attempt, which finds the files that the last one left. `keep`: a copy of these files is kept, so
    that others can start from them while the trial goes on. `start_from`: the trial whose files a new trial begins
    with, a copy of them; see `Trial.startable`. At most one of the two. `replaces`: the trial of a population that ends
    for the new one, which takes its place. `note` (JSON values) is the searcher's own: nobody else reads it. `repeats`:
    the trial whose configuration a new trial runs again on purpose, from the beginning, with more of the resource.
    `queued`: the queued configuration that it was made of; set by the engine.
    """

    params: Params
    resource: int | None = None
    carry_on: int | None = None
    start_from: int | None = None
    note: Mapping[str, Any] | None = None
    repeats: int | None = None
    queued: Queued | None = None
    replaces: int | None = None
    keep: bool = False

    @property
    def begins(self) -> bool:
        """Whether its configuration is meant to be a new one."""
        return self.begun and self.carry_on is None

    @property
    def begun(self) -> bool:
        """Whether its trial began as one of a new configuration, and so is one of the budget's `trials`."""
        return self.repeats is None and self.replaces is None


class StopCause(str, enum.Enum):
    """Why a run was ended that did not end by itself."""

    INTERRUPT = "interrupt"  # the engine stops; the trial runs again on resume
    USER = "user"  # the user stopped the trial
    PAUSE = "pause"  # the user paused the trial: it waits until it is resumed
    STUDY_OVER = "study_over"
    EARLY = "early"  # a rule found the trial not promising
    DIVERGED = "diverged"  # its objective had become nan or infinite
    CONVERGED = "converged"  # it did not improve any more: what it had reported counts
    STALLED = "stalled"  # it neither reported nor computed any more
    COPIED = "copied"  # it runs in the folder that the study's was copied from: not this study's to end
    TIME_LIMIT = "time_limit"
    OUTSIDE = "outside"  # its supervisor got a signal that no engine had sent


@dataclass(frozen=True)
class Exit:
    """How a run ended: `code` or `signal` (None: neither is known); `stop_cause` is None if it ended by itself.

    `lost`: nobody saw it end. `error`: it never started, or why it was ended; `machine`: it never started, or it failed
    on a full disk, and that was the machine's fault, not the trial's. `full`: its record or its output met a full disk.
    `leftovers`: number of processes that it left behind and that were killed. `seconds`: wall-clock time. `cpu_s`:
    processor seconds, user and system, of all its processes. `memory_peak_mb`: the largest resident set (MiB) of any
    single one of them. `oom`: the kernel killed a process for want of memory while it ran.
    """

    code: int | None = None
    signal: int | None = None
    stop_cause: StopCause | None = None
    lost: bool = False
    error: str | None = None
    leftovers: int = 0
    seconds: float | None = None
    cpu_s: float | None = None
    memory_peak_mb: float | None = None
    machine: bool = False
    full: bool = False
    oom: bool = False

    def to_json(self) -> dict[str, Any]:
        """What differs from the defaults, and the code."""
        found = {k: v for k, v in self.__dict__.items() if v not in (None, False, 0) or k == "code"}
        return found if self.stop_cause is None else {**found, "stop_cause": StopCause(self.stop_cause).value}

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Exit:
        """The inverse of `to_json`. Raises TypeError or ValueError for what this version does not know."""
        values = {"code": None, **data}
        if not values.keys() <= _EXIT_FIELDS:
            raise TypeError(f"unknown: {', '.join(sorted(values.keys() - _EXIT_FIELDS))}")
        if values.get("stop_cause") is not None:
            values["stop_cause"] = StopCause(values["stop_cause"])
        return made(cls, values)

    @property
    def clean(self) -> bool:
        return self.code == 0 and self.stop_cause is None

    @property
    def unstarted(self) -> bool:
        """The machine could not start it: there was no run."""
        return self.machine and self.code is None and self.signal is None

    def __str__(self) -> str:
        if self.error:
            return self.error
        if self.lost:
            return "lost: nothing recorded how it ended"
        how = f"exit code {self.code}" if self.signal is None else f"killed by signal {self.signal}"
        return f"{how} (the kernel ran out of memory and killed it)" if self.oom else how


_EXIT_FIELDS = frozenset(f.name for f in fields(Exit))


class FailureKind(str, enum.Enum):
    """Why an attempt failed."""

    EXIT_CODE = "exit_code"  # not 0
    SIGNAL = "signal"
    OUT_OF_MEMORY = "out_of_memory"  # the kernel killed it for want of memory, or its last words say so
    NO_RESULT = "no_result"  # exit code 0, but its files have no value of the objective
    BAD_RESULT = "bad_result"  # exit code 0, but the value is not a finite number, or its files cannot be read
    TIME_LIMIT = "time_limit"
    STALLED = "stalled"  # it neither reported nor computed any more, and was ended
    LAUNCH = "launch"  # its program or its folder is not what it must be
    OUTSIDE = "outside"  # something told its supervisor to stop
    LOST = "lost"  # nobody saw it end
    MACHINE = "machine"  # the machine could not start it, or its disk was full; it runs again


class TrialState(str, enum.Enum):
    """A trial's life. Only COMPLETED trials have a loss that counts.

    PENDING --> RUNNING --> COMPLETED   ended with exit code 0 and a valid value (or was ended, and the value counts)
       ^           |------> FAILED      exit code, signal, or no valid value
       |           |------> TIMED_OUT   over the trial's time limit (and what it had reported does not count)
       |           |------> STOPPED     ended by the user or by the study's end
       |           |------> PRUNED      ended early by a rule: not promising, or diverged with nothing that counts
       |           |------> LOST        nobody saw it end (reboot, killed supervisor), too often
       +-----------+   a retry, or the study was interrupted: it runs again
       |           v
       +-------- PAUSED   by the user, while it ran or before; PENDING again when the user resumes it

    A COMPLETED trial that is carried on with more of the resource is PENDING once more.
    """

    PENDING = "pending"
    RUNNING = "running"
    PAUSED = "paused"
    COMPLETED = "completed"
    FAILED = "failed"
    TIMED_OUT = "timed_out"
    STOPPED = "stopped"
    PRUNED = "pruned"
    LOST = "lost"

    __hash__ = str.__hash__  # Enum's own is Python, and slow: counts of thousands of trials are kept by state

    @property
    def ended(self) -> bool:
        return self not in _OPEN


_OPEN = frozenset((TrialState.PENDING, TrialState.RUNNING, TrialState.PAUSED))

BAD = (TrialState.FAILED, TrialState.TIMED_OUT, TrialState.LOST)
"""Ended by a fault; `retry` runs these trials again."""


@dataclass(frozen=True)
class Outcome:
    """What the end of an attempt means for its trial: the next `state` (PENDING: it runs again), the kind of
    `failure` (None: it did not fail), and the `reason` in words."""

    state: TrialState
    failure: FailureKind | None = None
    reason: str = ""


@dataclass(frozen=True)
class Attempt:
    """One start of a trial's process, and what it was started with.

    `number` from 1; `nonce` names it at most once. `resume`: the trial whose files it went on from, its own or another
    one (None: it began afresh). `devices` it was given. `failure`: why it failed (None: it did not). Times are UTC
    seconds.
    `variables`: those that trackers set for its script.
    `rows`, `before`: the trial's when it ended, kept if a later attempt has begun and this one had no result, as the
    trial no longer has them. `anew`: its rows replace all those of before, although it was to go on from these.
    """

    number: int
    nonce: str
    params: Params = field(default_factory=dict)
    resource: int | None = None
    resume: int | None = None
    devices: tuple[str, ...] = ()
    started_at: float | None = None
    pid: int | None = None
    exit: Exit | None = None
    ended_at: float | None = None
    failure: FailureKind | None = None
    anew: bool = False
    rows: Sequence[Row] = ()
    before: Sequence[Row] = ()
    variables: Mapping[str, str] = field(default_factory=dict)

    @property
    def ran_s(self) -> float | None:
        """Seconds that its process took; None if it has not ended, or nobody knows."""
        if self.exit is not None and self.exit.seconds is not None:
            return self.exit.seconds
        if self.ended_at is not None and self.started_at is not None:
            return max(0.0, self.ended_at - self.started_at)
        return None

    @property
    def may_have_run(self) -> bool:
        """Whether its process is known to have existed, or may have."""
        if self.exit is None or self.started_at is not None:
            return self.started_at is not None
        return self.exit.lost or self.exit.code is not None or self.exit.signal is not None


@dataclass(frozen=True)
class Result:
    """What a trial had when one of its attempts ended well: `losses`, one for each objective, and the `resource` that
    had gone into it (None: the study has none). `rows`: the trial's at that time.

    `checkpoint`: the newest one that the attempt left, by its path in RESULT_DIR (None: none was found, none was looked
    for, or it was deleted). `latest`: the losses of its last row, if the study has a resource and one of its objectives
    counts by the best row (None: the same as `losses`; empty: they are not finite).
    """

    attempt: int
    resource: int | None
    losses: tuple[float, ...]
    checkpoint: str | None = None
    latest: tuple[float, ...] | None = None
    rows: Sequence[Row] = field(default=(), compare=False, repr=False)

    @property
    def now(self) -> tuple[float, ...]:
        """The losses of what the attempt has left: those of its last row; empty if they are not finite."""
        return self.losses if self.latest is None else self.latest


@dataclass(frozen=True)
class Origin:
    """The files that a trial starts from: what `attempt` of another `trial` left, whose last row then had `step`."""

    trial: int
    attempt: int
    step: float | None = field(default=None, compare=False)


@dataclass(frozen=True)
class Stop:
    """That a trial was told to end: why, in a word and in words, and when (UTC seconds)."""

    cause: StopCause
    reason: str
    at: float


@dataclass(frozen=True)
class MetricsFrom:
    """A source that a study's metrics come from; it was found with this trial.

    `key`: which source, see `contract.sources.candidates`. `source`: what it read, a file mostly. `steps`: how they are
    counted ("": it does not say). `others`: what had the objectives as well.
    """

    trial: int
    key: str
    source: str
    steps: str = ""
    others: tuple[str, ...] = ()


MOST_SEEN = 65
"""Of how many readings of a running trial's rows the time is kept."""


@dataclass(frozen=True)
class Trial:
    """One configuration and all that was trained with it. `id` counts from 0; times are UTC seconds.

    `proposal`: what it is to be trained with, or was last; one that is carried on gets a new one. `results`: what it
    had with each amount of the resource, so that it keeps what it had whatever becomes of it when it is carried on.
    `rows` as merged over the attempts that went on; `before`: as they were when the latest attempt began; `base`: as
    they were at the latest result, when it was carried on.
    `provisional`: the rows are those of a source that need not be the one that counts in the end: no rule judges them.
    `seen_at`: when rows of the latest attempt were read (UTC seconds): of a running one the first time and the latest
    ones, see `MOST_SEEN`, of an ended one the first time only. `objective_at`: when all objectives were in them.
    `checkpoint_bytes`: what all its checkpoints took up when its latest attempt ended. `cleared`: they were deleted, or
    are about to be, and no attempt has begun since.
    `origin`: the files that it started from. `kept`: its attempts whose files were kept when it was carried on, see
    `Proposal.keep`. `suspended`: it was paused, and what it left is there for its next attempt to go on from.
    `failure`: why it failed (None: it did not). `stop`: a request to end it (None: there was none, or it has begun
    again since).
    """

    id: int
    proposal: Proposal
    state: TrialState = TrialState.PENDING
    rows: Sequence[Row] = ()
    before: Sequence[Row] = ()
    base: Sequence[Row] = ()
    provisional: bool = False
    seen_at: tuple[float, ...] = ()
    objective_at: float | None = None
    results: tuple[Result, ...] = ()
    attempts: tuple[Attempt, ...] = ()
    checkpoint_bytes: int = 0
    cleared: bool = False
    origin: Origin | None = None
    kept: tuple[int, ...] = ()
    suspended: bool = False
    failure: FailureKind | None = None
    stop: Stop | None = None
    reason: str = ""
    proposed_at: float = 0.0
    started_at: float | None = None
    ended_at: float | None = None

    def carried_on(self, proposal: Proposal) -> dict[str, Any]:
        """The fields that change when it is to be trained further as the proposal says."""
        proposal = changed(
            self.proposal, params=proposal.params, resource=proposal.resource, carry_on=self.id, note=proposal.note,
            keep=proposal.keep,
        )  # fmt: skip
        kept = (*self.kept, self.done) if proposal.keep else self.kept
        return {
            "state": TrialState.PENDING, "proposal": proposal, "base": self.rows, "kept": kept, "reason": "",
            "stop": None, "ended_at": None,
        }  # fmt: skip

    @property
    def params(self) -> Params:
        return self.proposal.params

    @property
    def goes_on(self) -> bool:
        """Whether its next attempt goes on from its own files: it has had a result and was carried on since, or it was
        paused and left something to go on from."""
        return bool(self.results) or self.suspended

    @property
    def resume(self) -> int | None:
        """The trial whose files its next attempt goes on from, its own or another one; None: it begins afresh."""
        if self.goes_on:
            return self.id
        return None if self.origin is None else self.origin.trial

    @property
    def live(self) -> bool:
        """Whether its latest attempt was seen to report the objectives while it ran, not only when it had ended."""
        if self.objective_at is None:
            return False
        return self.state is TrialState.RUNNING or self.objective_at < (self.ended_at or 0.0)

    @property
    def startable(self) -> int | None:
        """The attempt whose files a new trial can start from: that of the latest result, if nothing has gone on in its
        folder since, or a copy was kept."""
        there = self.state is TrialState.COMPLETED or self.done in self.kept
        return self.done if self.results and there else None

    @property
    def told_to_end(self) -> bool:
        """Whether its attempt was told to end and must not run again by itself, whatever happens."""
        return self.stop is not None and self.stop.cause is not StopCause.INTERRUPT

    @property
    def judgeable(self) -> bool:
        """Whether a rule may judge it by its rows: not an attempt that goes on and has reported nothing yet, nor rows
        that may not be what counts in the end."""
        return not (self.provisional or (self.before and self.rows is self.before))

    @property
    def losses(self) -> tuple[float, ...]:
        """Those of its latest result, one for each objective; none if it has no result."""
        return self.results[-1].losses if self.results else ()

    @property
    def loss(self) -> float | None:
        """The loss; with several objectives that of the first one, which alone orders no trials. None: no value."""
        return self.results[-1].losses[0] if self.results else None

    @property
    def runs(self) -> int:
        """How often it was to be trained to some amount of the resource: one run for each result, and the one that it
        is in or that failed. A run that is retried counts once."""
        return len(self.results) + (self.state is not TrialState.COMPLETED)

    @property
    def done(self) -> int:
        """How many of its attempts belong to its results; those after them are tries to get the next one."""
        return self.results[-1].attempt if self.results else 0

    @property
    def trained(self) -> int:
        """The resource that had gone into its latest result; 0 if it has none, or the study no resource."""
        return (self.results[-1].resource or 0) if self.results else 0

    @property
    def took_s(self) -> float | None:
        """Seconds of all the runs that its training is made of: the latest one that began afresh, and those that went
        on from it. None if none has ended."""
        total: float | None = None
        for attempt in reversed(self.attempts):
            if (seconds := attempt.ran_s) is not None:
                total = (total or 0.0) + seconds
            if attempt.resume != self.id:
                break
        return self.ran_s if total is None else total

    @property
    def ran_s(self) -> float | None:
        """Seconds that its latest ended run took; None if none has ended."""
        for attempt in reversed(self.attempts):
            if (seconds := attempt.ran_s) is not None:
                return seconds
        if self.started_at is not None and self.ended_at is not None and len(self.attempts) == 1:
            return max(0.0, self.ended_at - self.started_at)
        return None

    @property
    def cpu_s(self) -> float | None:
        """Processor seconds of its attempts; None if those of none are known."""
        known = [a.exit.cpu_s for a in self.attempts if a.exit is not None and a.exit.cpu_s is not None]
        return round(sum(known), 6) if known else None

    @property
    def memory_peak_mb(self) -> float | None:
        """The largest resident set (MiB) of any process of its attempts; None if unknown."""
        known = [a.exit.memory_peak_mb for a in self.attempts if a.exit is not None]
        return max((peak for peak in known if peak is not None), default=None)

    def attempt_of(self, result: Result) -> Attempt | None:
        """The attempt that one of its results is from; None if that one is not known."""
        return self.attempts[result.attempt - 1] if 0 < result.attempt <= len(self.attempts) else None

    def by_itself(self, result: Result) -> bool:
        """Whether the attempt that one of its results is from ended without being told to, as far as is known."""
        attempt = self.attempt_of(result)
        return attempt is None or attempt.exit is None or attempt.exit.stop_cause is None

    @property
    def attempt(self) -> Attempt | None:
        """The latest attempt."""
        return self.attempts[-1] if self.attempts else None

    @property
    def nonce(self) -> str:
        """Of the latest attempt; "" if there is none."""
        return self.attempts[-1].nonce if self.attempts else ""
