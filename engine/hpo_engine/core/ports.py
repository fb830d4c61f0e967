"""The five ports of the loop; the searcher's is in `searchers.interface`, because searchers import no higher floor.

Their implementations are chosen in `assembly/` and nowhere else.
"""

from __future__ import annotations

import enum
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, ClassVar, Protocol

from hpo_engine.contract.binding import Resumed
from hpo_engine.contract.checkpoints.finding import Left
from hpo_engine.contract.sources.interface import Reading
from hpo_engine.searchers import Searcher as Searcher
from hpo_engine.searchers import Traits
from hpo_engine.study.events import Event
from hpo_engine.study.history import History
from hpo_engine.study.objective import Row
from hpo_engine.study.spec import Resources, StudySpec
from hpo_engine.study.trial import Attempt, Exit, StopCause, Trial

if TYPE_CHECKING:
    from hpo_engine.stoppers import Halt, TrialEnd


class Stopper(Protocol):
    """Ends things early; see `stoppers.Rule`. Each method returns a reason or None, `idle` one line per rule."""

    def diverged(self, trial: Trial, history: History, now: float) -> str | None: ...

    def end_trial(self, trial: Trial, history: History, now: float) -> TrialEnd | str | None: ...

    def stalled(self, trial: Trial, history: History, now: float) -> str | None: ...

    def end_study(self, history: History, now: float) -> str | None: ...

    def halt(self, history: History, now: float) -> Halt | None: ...

    def idle(self, history: History, now: float) -> str | None: ...


@dataclass(frozen=True)
class Launch:
    """An attempt that is to start. Its argv, environment and folders are the executor's to find, as is its place.

    `nonce` names the attempt among all attempts of all studies. `request`: what it needs to run. `preload`: whether a
    Python script may start with its imports done, see `study.TrialPolicy`. `values`: the trial's parameters, and the
    resource under its name. `variables`: those that trackers set; `shared`: which of them all attempts have alike.
    """

    trial_id: int
    attempt: int
    nonce: str
    request: Resources = Resources()
    time_limit_s: float | None = None
    grace_s: float = 10.0
    log_bytes: int = 16 << 20
    preload: str | tuple[str, ...] = "off"
    begun: bool = False  # it is known to have started, even if its records do not show it
    devices: tuple[str, ...] = ()  # those it is known to have; for `adopt`
    values: Mapping[str, Any] = field(default_factory=dict)
    resumed: Resumed | None = None  # None: it begins afresh
    variables: Mapping[str, str] = field(default_factory=dict)
    shared: frozenset[str] = frozenset()


@dataclass(frozen=True)
class Started:
    """An attempt's process exists. `devices`: the GPUs that it has, as CUDA_VISIBLE_DEVICES names them."""

    nonce: str
    pid: int
    devices: tuple[str, ...] = ()


@dataclass(frozen=True)
class Ended:
    """An attempt and all its processes have ended; `exit` says how."""

    nonce: str
    exit: Exit


class Adoption(enum.Enum):
    """What happened to an attempt while no engine was running."""

    RUNNING = "running"  # it continues; Ended follows later
    ENDED = "ended"  # it ended or was lost; Ended follows
    NEVER = "never"  # it did not start: prepare its folder and launch it under the same nonce


class Executor(Protocol):
    """Runs attempts, at most once each, and knows each by its nonce. Never looks at results; never blocks except in
    `wait` and `close`."""

    def free(self, request: Resources, wanted: int) -> int:
        """How many of `wanted` more attempts, each of which needs `request`, can start now; at most
        `request.parallel` run at a time."""

    def launch(self, launch: Launch) -> None:
        """Starts the attempt as soon as there is room for it. In every case `reap` returns an Ended for it in the end;
        if the machine could not start it, with `exit.machine`."""

    def adopt(self, launch: Launch) -> Adoption:
        """After a restart: takes over an attempt that an earlier engine announced, whether or not it ever started."""

    def reap(self) -> list[Started | Ended]:
        """What has happened since the last call, in order."""

    def stop(self, nonce: str, cause: StopCause, *, kill: bool = False, reason: str = "") -> None:
        """SIGTERM to the attempt's whole tree, SIGKILL after its grace (at once with `kill`); Ended follows with
        `exit.stop_cause` set to `cause`. Unknown and ended attempts are ignored. `reason`: the cause in words; before
        the signal, the script finds both in stop.json."""

    def wait(self, timeout_s: float) -> None:
        """Returns when `reap` has something to return, after `wake`, or at the timeout (seconds)."""

    def wake(self) -> None:
        """Ends the current or the next `wait`; safe in a signal handler."""

    def close(self) -> None:
        """Releases everything without stopping anything: running attempts continue."""


class Workspace(Protocol):
    """The files of a study's trials, wherever they are."""

    @property
    def place(self) -> tuple[str, tuple[int, ...]]:
        """Where the study is, and what identifies that place, so that a moved or copied study is recognised."""

    def sound(self) -> bool:
        """Whether the study's own folders are intact; if not, a trial that cannot start is not to blame."""

    def recover(self, next_id: int) -> list[int]:
        """Sets aside the files of trials that are not in the log (from `next_id` on); returns these trials."""

    def prepare(self, trial: Trial, config: Mapping[str, Any], history: History) -> bool:
        """Prepares the files of a trial's latest attempt: fresh, carried on, or copied from another trial.

        Returns whether they are; if not, files are still being copied: call it again.

        Raises:
            LaunchError, ContractError: it cannot be prepared. MachineError: the study is gone.
            OSError: see `faults.at_fault`.
        """

    def resumed(self, trial: Trial, history: History) -> Resumed | None:
        """What the trial's latest attempt, whose files are prepared, goes on from; None: it begins afresh."""

    def abandon(self, trial_id: int) -> None:
        """The trial's files are not needed any more: what copies them is cancelled."""

    def await_room(self) -> None:
        """Raises OSError while there is no disk space for what a trial writes."""

    def discard(self, trial_id: int) -> None:
        """Removes what was prepared for a trial that never started."""

    def next_ahead(self, history: History) -> int | None:
        """A future trial that can be prepared while others run; None if there is no need."""

    def lay_ahead(self, trial_id: int) -> None:
        """Prepares what does not depend on its parameters."""

    def clear_ahead(self) -> None:
        """Removes what was prepared for trials that will not come."""

    def fresh_rows(self, trial: Trial, used: Sequence[str] = ()) -> tuple[tuple[Row, ...], bool] | None:
        """What a running trial has reported since the last call and False, or all of it and True; None: nothing new.

        Of a trial that was carried on, only what it has reported since then counts. `used`: `History.sources_used`."""

    def provisional(self, trial_id: int) -> bool:
        """Whether what `fresh_rows` returned last may not be what counts in the end, see `Trial.provisional`."""

    def final_rows(self, trial: Trial, *, cut: bool, used: Sequence[str] = ()) -> Reading:
        """What a trial has reported whose processes have gone, see `fresh_rows`; `cut`: see `MetricSource.final`.
        Raises OSError: it cannot be read at present."""

    def checkpoint(self, trial: Trial) -> Left | None:
        """The checkpoints that a trial has left whose processes have gone; None if they do not matter in the study."""

    def delete_checkpoints(self, trial: Trial) -> None:
        """Deletes the checkpoints of an ended trial; what is gone already does not matter. Never raises."""

    def error(self, trial_id: int, attempt: int) -> str:
        """The error that an attempt's output ends with, or ""."""

    def cause(self, trial_id: int, attempt: int, *, killed: bool) -> str:
        """Why an attempt failed, according to its output; "" if that does not say. `killed`: by a signal."""

    def out_of_room(self, trial_id: int, output: str, *, seen: bool) -> str:
        """Why a full disk may have made an attempt fail, or ""; see `faults.out_of_room`."""

    def over(self, trial_id: int) -> None:
        """The trial and all its processes have ended: files that it did not touch may be passed on to a later one."""

    def was_uprooted(self, trial_id: int, history: History) -> bool:
        """Whether somebody removed the trial's files while it ran; call it once per trial. Raises MachineError."""

    def revise(self, spec: StudySpec) -> None:
        """The study has changed: attempts that are prepared from now on follow this spec."""

    def close(self) -> None:
        """Nothing is copied any more."""


class Listener(Protocol):
    """What every tracker has. One that raises is switched off with one warning; it can never fail a study."""

    def open(self, history: History, now: float) -> None:
        """Called once when the engine begins (also on resume)."""

    def on(self, event: Event, history: History) -> None:
        """Called after each event, in order, with the history as it was right after it."""

    def tick(self, history: History, now: float) -> None:
        """Called in every turn of the loop, even if nothing happened."""

    def close(self, history: History) -> None:
        """Called once when the engine ends."""


class Tracker(Listener, Protocol):
    """A listener that may also say what a script's own logger needs to join it. Plugins derive from it."""

    shared_variables: ClassVar[frozenset[str]] = frozenset()
    """Names of variables that `environment` gives to all attempts alike: a preloaded script's imports see them."""

    def environment(self, history: History, trial: Trial, attempt: Attempt) -> Mapping[str, str]:
        """Variables for an attempt's script, with which its own logger joins this tracker. Called before each attempt,
        which waits for the answer; the study file's `env` takes precedence."""
        return {}


class Store(Protocol):
    """The event log of one study; read gives every event in order.

    Appended events survive the death of every process at once, and a power cut within moments; all of them do
    when `close` has returned.
    """

    def append(self, events: Iterable[Event], history: History | None = None) -> None:
        """Commits all of them or none. `history`: the fold of the log including them, for the summary. Raises
        JournalError."""

    def read(self, after: int = 0) -> list[Event]:
        """The events from number `after` + 1 on."""

    def close(self) -> None: ...


def no_more(history: History, traits: Traits) -> bool:
    """Whether nothing that the searcher could propose is allowed any more; promotions take runs, and no trials."""
    if history.runs_left == 0:
        return True
    return history.trials_left == 0 and not (traits.rations or traits.carries_on)
