"""The values of the field: study, trial, attempt, history. Frozen, no I/O, no clock.

A change makes a new value; only `events.apply` makes new histories. Losses are minimised, whatever the goals say.
"""

from __future__ import annotations

import enum
import math
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from functools import cached_property, lru_cache
from typing import Any, TypeVar, overload

from engine import front
from engine.objective import Objective as Objective
from engine.objective import Row as Row
from engine.objective import pick_values as pick_values
from engine.space import SearchSpace

Params = Mapping[str, Any]


@dataclass(frozen=True)
class Budget:
    """When the search ends: `trials` in all (None: unlimited), `time_s` seconds of running in all (None: unlimited)."""

    trials: int | None = None
    time_s: float | None = None


@dataclass(frozen=True)
class Resources:
    """How trials share the machine.

    `parallel`: trials at a time. `cpus`: cores a trial (None: not counted, thread counts left alone).
    `gpus`: devices a trial, 0.5 = two trials on one (None: GPUs not managed, 0: hidden from trials).
    """

    parallel: int = 1
    cpus: int | None = None
    gpus: float | None = None


@dataclass(frozen=True)
class TrialPolicy:
    """How one trial runs: `time_limit_s` a run, `retries` after a failed run, `grace_s` between SIGTERM and SIGKILL,
    `log_mb` of output kept. `on_time_limit`: fail, or keep: what a run has reported until its time limit counts.
    `warm_start`: whether a Python script begins in a fork of a process that has its imports
    done: auto (those that its text names), off, or the modules to import."""

    time_limit_s: float | None = None
    retries: int = 0
    grace_s: float = 10.0
    log_mb: float = 16.0
    warm_start: str | tuple[str, ...] = "auto"
    on_time_limit: str = "fail"


@dataclass(frozen=True)
class Failures:
    """When a study stops because its trials fail alike: the `first` to end, or later so many `in_a_row` (None: never).
    See `stoppers.AlikeStopper`."""

    first: int | None = 3
    in_a_row: int | None = 10


@dataclass(frozen=True)
class EarlyStopping:
    """When a running trial is ended because others were better: by `rule` rank, see `stoppers.RankStopper`.

    `keep`: the share of the trials that goes on, in (0, 1). `warm_up`: how many others must have come as far before any
    is ended. `from_step`: the first step that is looked at.
    """

    rule: str = "rank"
    keep: float = 0.5
    warm_up: int = 5
    from_step: float = 1


@dataclass(frozen=True)
class StudySpec:
    """One search, as asked for. `command` is an argv; paths are absolute; `seed` is None until the study is opened.

    `objectives`: two or more, or none; where there are some, `objective` is the first of them.
    `experiments`: fixed parameter sets to run instead of a search (WMLA's ExperimentGridSearch). `points`: parameter
    sets to try first, partial ones filled in. `warm_start`: earlier studies, names or absolute paths; `prior`:
    what they had to say when the study was made, as `searchers.prior.reduced` puts it.
    `failures`: when failing trials stop the study (None: never). `diverged`: whether a trial ends whose objective stays
    nan or infinite.
    `resource_name`: what trials get more or less of, as whole numbers from `resource_min` to `resource_max`.
    `extra_metrics`: metric -> minimize | maximize | latest, shown beside the objective.
    `exclude`: patterns, as in a .gitignore, of what in `model_dir` is not copied. `base_config`: a JSON file there that
    each trial's config.json begins with; `base`: what was in it when the study was made.
    `labels`: what the dialect wants back unchanged (WMLA's sigName, args ...); no meaning here.
    """

    name: str
    space: SearchSpace
    objective: Objective
    command: tuple[str, ...]
    model_dir: str
    exclude: tuple[str, ...] = ()
    base_config: str | None = None
    base: Mapping[str, Any] = field(default_factory=dict)
    objectives: tuple[Objective, ...] = ()
    algorithm: str = "random"
    algorithm_options: Mapping[str, Any] = field(default_factory=dict)
    budget: Budget = Budget()
    resources: Resources = Resources()
    trial: TrialPolicy = TrialPolicy()
    early_stopping: EarlyStopping | None = None
    diverged: bool = True
    failures: Failures | None = Failures()
    env: Mapping[str, str] = field(default_factory=dict)
    data_dir: str | None = None
    data_root: str | None = None
    interpreter: str | None = None
    resource_name: str | None = None
    resource_max: int | None = None
    resource_min: int = 1
    experiments: tuple[Params, ...] = ()
    points: tuple[Params, ...] = ()
    warm_start: tuple[str, ...] = ()
    prior: tuple[Mapping[str, Any], ...] = ()
    extra_metrics: Mapping[str, str] = field(default_factory=dict)
    labels: Mapping[str, Any] = field(default_factory=dict)
    seed: int | None = None

    def __post_init__(self) -> None:
        if self.objectives and (len(self.objectives) < 2 or self.objective != self.objectives[0]):
            raise ValueError("objectives are two or more, and objective is the first of them")

    @property
    def aims(self) -> tuple[Objective, ...]:
        """What is searched for: one objective, or all of them."""
        return self.objectives or (self.objective,)

    def to_json(self) -> dict[str, Any]:
        """A JSON object that `from_json` reads back."""
        out: dict[str, Any] = {}
        for f in fields(self):
            value = getattr(self, f.name)
            if f.name == "space":
                out["space"] = self.space.to_json()
            elif f.name in _PARTS:
                out[f.name] = _part_to_json(value)
            elif f.name == "objectives":
                out[f.name] = [_part_to_json(v) for v in value]
            elif f.name in ("early_stopping", "failures"):
                out[f.name] = None if value is None else _part_to_json(value)
            elif isinstance(value, tuple):
                out[f.name] = [dict(v) if isinstance(v, Mapping) else v for v in value]
            else:
                out[f.name] = dict(value) if isinstance(value, Mapping) else value
        return out

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> StudySpec:
        """The inverse of `to_json`; keys that this version does not know are ignored."""
        known = {f.name for f in fields(cls)}
        args = {k: v for k, v in data.items() if k in known}
        args["space"] = SearchSpace.from_json(args["space"])
        for name, part in _PARTS.items():
            if name in args:
                args[name] = _part_from_json(part, args[name])
        args["objectives"] = tuple(_part_from_json(Objective, o) for o in args.get("objectives", ()))
        if args.get("early_stopping") is not None:
            args["early_stopping"] = _part_from_json(EarlyStopping, args["early_stopping"])
        if args.get("failures") is not None:
            args["failures"] = _part_from_json(Failures, args["failures"])
        args["command"] = tuple(args["command"])
        args["experiments"] = tuple(args.get("experiments", ()))
        for name in ("points", "warm_start", "prior", "exclude"):
            args[name] = tuple(args.get(name, ()))
        return cls(**args)


def noted(spec: StudySpec, *notes: str) -> StudySpec:
    """The study with more one-line notes for its user, printed with the first lines of `submit`."""
    before = spec.labels.get("notes", ())
    new = [note for note in dict.fromkeys(notes) if note not in before]
    return replace(spec, labels={**spec.labels, "notes": [*before, *new]}) if new else spec


_PARTS: dict[str, Any] = {"objective": Objective, "budget": Budget, "resources": Resources, "trial": TrialPolicy}


def _part_to_json(part: Any) -> dict[str, Any]:
    return {f.name: getattr(part, f.name) for f in fields(part)}


def _part_from_json(cls: Any, data: Mapping[str, Any]) -> Any:
    known = {f.name: data[f.name] for f in fields(cls) if f.name in data}
    return cls(**{name: tuple(value) if isinstance(value, list) else value for name, value in known.items()})


Value = TypeVar("Value")


def changed(value: Value, **changes: Any) -> Value:
    """`dataclasses.replace` for values that check nothing when they are made, in a tenth of its time: a log of
    thousands of trials is folded with it. What the value has cached is not carried over."""
    cls: Any = type(value)
    new: Value = object.__new__(cls)
    old = value.__dict__
    new.__dict__.update({name: old[name] for name in _names(cls) if name in old})
    new.__dict__.update(changes)
    return new


@lru_cache(maxsize=16)
def _names(cls: Any) -> tuple[str, ...]:
    return tuple(f.name for f in fields(cls))


@dataclass(frozen=True)
class Proposal:
    """What a searcher returns: parameters to try, a resource (Hyperband), and its own note `slot` (JSON values)."""

    params: Params
    resource: int | None = None
    slot: Mapping[str, Any] | None = None


INTERRUPT, USER, STUDY_OVER, EARLY, DIVERGED = "interrupt", "user", "study_over", "early", "diverged"
"""Why an engine ends a run: it stops (the trial runs again), the user wants the trial stopped, the study ends, a rule
finds the trial not promising, its objective has become nan or infinite."""
COPIED = "copied"
"""The run is another folder's, of which the study's is a copy: it is not this study's to end."""
TIME_LIMIT, OUTSIDE = "time_limit", "outside"
"""Why a shim ends a run without an engine's word: its limit is reached, or a signal that no engine sent."""


@dataclass(frozen=True)
class Exit:
    """How a run ended: `code` or `signal` (None: neither is known), `asked_for` why it was ended (None: by itself).

    `lost`: nobody saw it end. `error`: it never started, or why it was ended; `machine`: it never started, or it failed
    on a full disk, and that was the machine's fault, no trial's. `full`: its record or its output met a full disk.
    `leftovers`: processes that it left and we killed.
    """

    code: int | None = None
    signal: int | None = None
    asked_for: str | None = None
    lost: bool = False
    error: str | None = None
    leftovers: int = 0
    seconds: float | None = None
    machine: bool = False
    full: bool = False

    @property
    def clean(self) -> bool:
        return self.code == 0 and self.asked_for is None

    @property
    def unstarted(self) -> bool:
        """The machine could not start it: there was no run."""
        return self.machine and self.code is None and self.signal is None

    def __str__(self) -> str:
        if self.error:
            return self.error
        if self.lost:
            return "lost: nothing recorded how it ended"
        if self.signal is not None:
            return f"killed by signal {self.signal}"
        return f"exit code {self.code}"


class TrialState(str, enum.Enum):
    """A trial's life. Only COMPLETED trials have a loss that counts.

    PENDING --> RUNNING --> COMPLETED   ended with exit code 0 and a valid value (or was ended, and the value counts)
       ^           |------> FAILED      exit code, signal, or no valid value
       |           |------> TIMED_OUT   over the trial's time limit (and what it had reported does not count)
       |           |------> STOPPED     ended by the user or by the study's end
       |           |------> PRUNED      ended early by a rule: not promising, or diverged with nothing that counts
       |           |------> LOST        nobody saw it end (reboot, killed supervisor), too often
       +-----------+   a retry, or the study was interrupted: it runs again
    """

    PENDING = "pending"
    RUNNING = "running"
    COMPLETED = "completed"
    FAILED = "failed"
    TIMED_OUT = "timed_out"
    STOPPED = "stopped"
    PRUNED = "pruned"
    LOST = "lost"

    @property
    def ended(self) -> bool:
        return self not in (TrialState.PENDING, TrialState.RUNNING)


class StudyState(str, enum.Enum):
    """RUNNING until an engine closes it: FINISHED (a good trial), FAILED (none), STOPPED (asked to; can go on)."""

    RUNNING = "running"
    FINISHED = "finished"
    FAILED = "failed"
    STOPPED = "stopped"


@dataclass(frozen=True)
class Attempt:
    """One start of a trial's process: `number` from 1, `nonce` names it at most once, `gpus` it was given."""

    number: int
    nonce: str
    gpus: tuple[str, ...] = ()
    started_at: float | None = None
    pid: int | None = None
    exit: Exit | None = None
    ended_at: float | None = None


@dataclass(frozen=True)
class Trial:
    """One parameter set and its runs. `id` counts from 0; times are UTC seconds.

    `losses`: one for each objective, none unless COMPLETED.
    """

    id: int
    proposal: Proposal
    state: TrialState = TrialState.PENDING
    rows: Sequence[Row] = ()
    losses: tuple[float, ...] = ()
    attempts: tuple[Attempt, ...] = ()
    reason: str = ""
    proposed_at: float = 0.0
    started_at: float | None = None
    ended_at: float | None = None

    @property
    def params(self) -> Params:
        return self.proposal.params

    @property
    def loss(self) -> float | None:
        """The loss; with several objectives that of the first one, which alone orders no trials. None: no value."""
        return self.losses[0] if self.losses else None

    @property
    def ran_s(self) -> float | None:
        """Seconds that its latest ended run took; None where none has ended."""
        for attempt in reversed(self.attempts):
            if attempt.exit is not None and attempt.exit.seconds is not None:
                return attempt.exit.seconds
            if attempt.ended_at is not None and attempt.started_at is not None:
                return max(0.0, attempt.ended_at - attempt.started_at)
        if self.started_at is not None and self.ended_at is not None and len(self.attempts) == 1:
            return max(0.0, self.ended_at - self.started_at)
        return None

    @property
    def attempt(self) -> Attempt | None:
        """The latest attempt."""
        return self.attempts[-1] if self.attempts else None


class TrialTable(Sequence[Trial]):
    """The trials of a study by id: immutable, in chunks, so that a change costs the same at 10,000 trials."""

    __slots__ = ("_chunks", "_length")
    _SIZE = 128

    def __init__(self, trials: Sequence[Trial] = ()) -> None:
        size = self._SIZE
        self._chunks = tuple(tuple(trials[i : i + size]) for i in range(0, len(trials), size))
        self._length = len(trials)

    def __len__(self) -> int:
        return self._length

    @overload
    def __getitem__(self, index: int) -> Trial: ...
    @overload
    def __getitem__(self, index: slice) -> Sequence[Trial]: ...
    def __getitem__(self, index: int | slice) -> Trial | Sequence[Trial]:
        if isinstance(index, slice):
            return tuple(self)[index]
        if index < 0:
            index += self._length
        if not 0 <= index < self._length:
            raise IndexError(index)
        return self._chunks[index // self._SIZE][index % self._SIZE]

    def __iter__(self) -> Iterator[Trial]:
        for chunk in self._chunks:
            yield from chunk

    def __eq__(self, other: object) -> bool:
        return isinstance(other, TrialTable) and self._chunks == other._chunks

    __hash__ = None  # type: ignore[assignment]

    def changed(self, since: TrialTable) -> Iterator[Trial]:
        """The trials that `since` has not, or has as another object: quick where it is an earlier state."""
        for k, chunk in enumerate(self._chunks):
            old = since._chunks[k] if k < len(since._chunks) else ()
            if chunk is not old:
                for i, trial in enumerate(chunk):
                    if i >= len(old) or old[i] is not trial:
                        yield trial

    def put(self, trial: Trial) -> TrialTable:
        """A table in which `trial` stands at its id (appended where the id is the length)."""
        if not 0 <= trial.id <= self._length:
            raise IndexError(trial.id)
        which, where = divmod(trial.id, self._SIZE)
        chunk = self._chunks[which] if which < len(self._chunks) else ()
        new = TrialTable.__new__(TrialTable)
        new._chunks = (*self._chunks[:which], (*chunk[:where], trial, *chunk[where + 1 :]), *self._chunks[which + 1 :])
        new._length = max(self._length, trial.id + 1)
        return new


@dataclass(frozen=True)
class History:
    """All that is known of a study: the fold of its events. What a searcher sees, a stopper judges, a table shows.

    `open_ids`: trials that have not ended, in order. `counts`: trials by state. `members`: the COMPLETED trials that
    no other one dominates, by their losses (of equal ones the earliest); with one objective, the best one. Where trials
    get more or less of a resource, those count that got the most so far, because losses after one epoch and after fifty
    do not compare. `early`: the losses of the first ten COMPLETED.
    `spent_s`: seconds that earlier engines ran; `engine_at`: when this one began; `last_at`: the latest event.
    `path`, `folder`: where that engine found the study, and the folder's device and inode (empty: not known).
    `halted`: the rule that stopped the study, see `stoppers.Halt` (""; none did); `overruled`: the latest one after
    which the user let it go on. `counted_from`: failures before that do not count any more.
    """

    spec: StudySpec
    trials: TrialTable = field(default_factory=TrialTable)
    state: StudyState = StudyState.RUNNING
    reason: str = ""
    stop_asked: str | None = None
    open_ids: tuple[int, ...] = ()
    counts: Mapping[TrialState, int] = field(default_factory=dict)
    members: tuple[front.Member, ...] = ()
    early: tuple[tuple[float, ...], ...] = ()
    opened_at: float = 0.0
    engine_at: float | None = None
    spent_s: float = 0.0
    last_at: float = 0.0
    closed_at: float | None = None
    path: str = ""
    folder: tuple[int, ...] = ()
    halted: str = ""
    overruled: str = ""
    counted_from: float = 0.0

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

    @cached_property
    def finished(self) -> tuple[Trial, ...]:
        """Trials that ended, whichever way."""
        return tuple(t for t in self.trials if t.state.ended)

    @cached_property
    def front(self) -> tuple[int, ...]:
        """The ids of `members`, in order."""
        return tuple(sorted(number for _, number in self.members))

    @property
    def best_id(self) -> int | None:
        """Of the `members` the one with the lowest loss, with several objectives by the first of them."""
        return self.members[0][1] if self.members else None

    @property
    def best(self) -> Trial | None:
        return None if self.best_id is None else self.trials[self.best_id]

    @property
    def best_value(self) -> float | None:
        """The best trial's objective value (of the first objective), in the user's own sign."""
        best = self.best
        return None if best is None or best.loss is None else self.spec.objective.value(best.loss)

    def values(self, trial: Trial) -> tuple[float, ...]:
        """The trial's values in the user's own signs, one for each objective; none where it has none."""
        return tuple([aim.value(loss) for aim, loss in zip(self.spec.aims, trial.losses, strict=False)])

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
        most = {2: 10_000, 3: 2_000, 4: 150, 5: 60}.get(len(self.spec.aims), 30)
        if not self.spec.objectives or not self.members or len(self.members) > most:
            return None
        return _hypervolume(tuple(vector for vector, _ in self.members), self.reference)

    @property
    def losses(self) -> dict[int, float]:
        """Trial id -> loss of the COMPLETED trials (of the first objective, where there are several)."""
        return {t.id: t.loss for t in self.trials if t.loss is not None and t.state is TrialState.COMPLETED}

    @property
    def ended_count(self) -> int:
        return len(self.trials) - len(self.open_ids)

    def elapsed_s(self, now: float) -> float:
        """Seconds that engines have run this study for; gaps between engines do not count."""
        if self.engine_at is None or self.closed_at is not None:
            return self.spent_s
        return self.spent_s + max(0.0, now - self.engine_at)

    def whole_config(self, trial: Trial) -> dict[str, Any]:
        """The content of the trial's config.json: what `base_config` had, with the trial's own over it."""
        return {**self.spec.base, **self.config(trial)}

    def config(self, trial: Trial) -> dict[str, Any]:
        """What the study decides of the trial's config.json: its parameters, and the resource under its name."""
        out = dict(trial.params)
        if trial.proposal.resource is not None and self.spec.resource_name:
            out[self.spec.resource_name] = trial.proposal.resource
        return out

    def with_trial(self, trial: Trial) -> History:
        """A history in which `trial` replaces the one of its id; indices kept in step."""
        old = self.trials[trial.id] if trial.id < len(self.trials) else None
        trials = self.trials.put(trial)
        return changed(self, trials=trials, **self._in_step(old, trial, trials))

    def _in_step(self, old: Trial | None, trial: Trial, trials: Sequence[Trial]) -> dict[str, Any]:
        """The indices that are others where `trial` stands for `old` in `trials`."""
        changes: dict[str, Any] = {}
        if old is None or old.state is not trial.state:
            counts = dict(self.counts)
            if old is not None:
                counts[old.state] -= 1
                if not counts[old.state]:
                    del counts[old.state]
            counts[trial.state] = counts.get(trial.state, 0) + 1
            changes["counts"] = counts
            was_open, is_open = old is not None and not old.state.ended, not trial.state.ended
            if is_open and not was_open:
                changes["open_ids"] = tuple(sorted((*self.open_ids, trial.id)))
            elif was_open and not is_open:
                changes["open_ids"] = tuple(i for i in self.open_ids if i != trial.id)
        counts_now = trial.losses if trial.state is TrialState.COMPLETED else ()
        if old is not None and old.state is TrialState.COMPLETED and old.losses not in ((), counts_now):
            changes["members"] = _front_of(trials)
        elif counts_now:
            changes["members"] = _with_member(self.members, self.trials, trial)
            if changes.get("counts", self.counts).get(TrialState.COMPLETED, 0) <= _EARLY:
                changes["early"] = (*self.early, counts_now)
        return changes


class Growing(History):
    """A history that changes in place: for the one who folds a long log and shows nobody what is in between."""

    trials: list[Trial]  # type: ignore[assignment]

    @classmethod
    def of(cls, history: History) -> Growing:
        new: Growing = object.__new__(cls)
        new.__dict__.update({name: getattr(history, name) for name in _names(History)})
        new.__dict__["trials"] = list(history.trials)
        return new

    def with_trial(self, trial: Trial) -> History:
        old = self.trials[trial.id] if trial.id < len(self.trials) else None
        if old is None:
            self.trials.append(trial)
        else:
            self.trials[trial.id] = trial
        self.__dict__.update(self._in_step(old, trial, self.trials))
        return self

    def grown(self) -> History:
        """The history that it has come to."""
        known = {name: self.__dict__[name] for name in _names(History)}
        return History(**{**known, "trials": TrialTable(self.trials)})


_EARLY = 10


def indices(trials: Sequence[Trial], done: Sequence[int]) -> dict[str, Any]:
    """The indices of a history of these trials, of which the `done` ones have COMPLETED, in this order."""
    counts: dict[TrialState, int] = {}
    for state in [trial.state for trial in trials]:
        counts[state] = counts.get(state, 0) + 1
    given = [trials[number].proposal.resource or 0 for number in done]
    most = max(given, default=0)
    members: tuple[front.Member, ...] = ()
    for number, resource in zip(done, given, strict=True):
        losses = trials[number].losses
        if resource == most and not (len(losses) == 1 and members and members[0][0] < losses):
            members = front.joined(members, (losses, number))
    early = tuple(trials[number].losses for number in done[:_EARLY])
    open_ids = tuple([trial.id for trial in trials if trial.state in (TrialState.PENDING, TrialState.RUNNING)])
    return {"open_ids": open_ids, "counts": counts, "members": members, "early": early}


def _front_of(trials: Sequence[Trial]) -> tuple[front.Member, ...]:
    members: tuple[front.Member, ...] = ()
    for trial in trials:
        if trial.state is TrialState.COMPLETED and trial.losses:
            members = _with_member(members, trials, trial)
    return members


def _with_member(members: tuple[front.Member, ...], trials: Sequence[Trial], trial: Trial) -> tuple[front.Member, ...]:
    """The front when this trial has completed; one that got less of the resource than its members does not count."""
    given = trial.proposal.resource or 0
    most = trials[members[0][1]].proposal.resource or 0 if members else given
    if given < most:
        return members
    return front.joined(members if given == most else (), (trial.losses, trial.id))


@lru_cache(maxsize=8)
def _reference(early: tuple[tuple[float, ...], ...]) -> tuple[float, ...]:
    if not early:
        return ()
    import numpy as np

    from engine.maths.outputs import reined

    losses = np.array(early, dtype=float)
    losses[np.abs(losses) < 1e-100] = 0.0  # next to these, anything would be enormous
    ends = [(float(column.min()), float(column.max())) for column in map(reined, losses.T)]
    return tuple(min(high + 0.1 * (high - low), sys.float_info.max) for low, high in ends)


@lru_cache(maxsize=8)
def _hypervolume(losses: tuple[tuple[float, ...], ...], reference: tuple[float, ...]) -> float | None:
    from engine.maths import pareto  # numpy: only studies with several objectives need it

    try:
        volume = pareto.hypervolume(losses, reference)
    except ValueError:  # the reference is beyond what numbers hold
        return None
    return volume if math.isfinite(volume) else None
