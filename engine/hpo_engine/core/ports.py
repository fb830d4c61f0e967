"""The five ports of the loop; the searcher's is `searchers.interface`, since searchers see no higher floor.

What implements them is chosen in `assembly.py` and nowhere else.
"""

from __future__ import annotations

import enum
from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from hpo_engine.searchers import Searcher as Searcher
from hpo_engine.study.events import Event
from hpo_engine.study.history import History
from hpo_engine.study.spec import Resources, StudySpec
from hpo_engine.study.trial import Exit, StopCause, Trial

if TYPE_CHECKING:
    from hpo_engine.stoppers import Halt


class Stopper(Protocol):
    """Ends things early. Answers are a reason in words, or None to go on; see `stoppers.Rule`."""

    def diverged(self, trial: Trial, history: History, now: float) -> str | None: ...

    def end_trial(self, trial: Trial, history: History, now: float) -> str | None: ...

    def end_study(self, history: History, now: float) -> str | None: ...

    def halt(self, history: History, now: float) -> Halt | None: ...


@dataclass(frozen=True)
class Launch:
    """An attempt that is to start. Its argv, environment and folders are the executor's to find, as is its place.

    `nonce` names the attempt among all attempts of all studies. `request`: what it needs to run. `preload`: whether a
    Python script may start with its imports done, see `study.TrialPolicy`.
    """

    trial_id: int
    attempt: int
    nonce: str
    request: Resources = Resources()
    time_limit_s: float | None = None
    grace_s: float = 10.0
    log_bytes: int = 16 << 20
    preload: str | tuple[str, ...] = "off"
    begun: bool = False  # it is known to have begun, whatever its records say
    devices: tuple[str, ...] = ()  # that it is known to have; for `adopt`
    resume: tuple[int, int] | None = None  # trial whose files RESULT_DIR has, and the resource that went into them


@dataclass(frozen=True)
class Started:
    """An attempt's process exists. `devices`: the GPUs that it has, as CUDA_VISIBLE_DEVICES names them."""

    trial_id: int
    attempt: int
    pid: int
    devices: tuple[str, ...] = ()


@dataclass(frozen=True)
class Ended:
    """An attempt and every process it left are gone; `exit` says how."""

    trial_id: int
    attempt: int
    exit: Exit


class Adoption(enum.Enum):
    """What became of an attempt while no engine looked."""

    RUNNING = "running"  # it goes on; Ended follows one day
    ENDED = "ended"  # it ended or was lost; Ended follows
    NEVER = "never"  # it did not start: lay its folder out and launch it under the same nonce


class Executor(Protocol):
    """Runs attempts, at most once each. Never looks at results; never blocks except in `wait` and `close`."""

    def free(self, request: Resources, wanted: int) -> int:
        """How many of `wanted` more attempts, each of which needs `request`, can start now; at most
        `request.parallel` run at a time."""

    def launch(self, launch: Launch) -> None:
        """Starts the attempt as soon as there is room for it. Whatever happens, an Ended for it comes out of `reap` in
        the end; if the machine could not start it, with `exit.machine`."""

    def adopt(self, launch: Launch) -> Adoption:
        """After a restart: takes over an attempt that an earlier engine intended, whatever became of it."""

    def reap(self) -> list[Started | Ended]:
        """What has happened since the last call, in order."""

    def stop(self, trial_id: int, cause: StopCause, *, kill: bool = False) -> None:
        """SIGTERM to the attempt's whole tree, SIGKILL after its grace (at once with `kill`); Ended follows with
        `exit.stop_cause` set to `cause`. Unknown or ended trials are ignored."""

    def wait(self, timeout_s: float) -> None:
        """Returns when something happened that `reap` would tell, after `wake`, or at the timeout (seconds)."""

    def wake(self) -> None:
        """Ends the present or the next `wait`; safe in a signal handler."""

    def close(self) -> None:
        """Lets go without stopping anything: attempts that run go on."""


class Tracker(Protocol):
    """Listens. A tracker that raises is switched off with one warning; it can never fail a study."""

    def open(self, history: History, now: float) -> None:
        """Called once when the engine begins (also on resume)."""

    def on(self, event: Event, history: History) -> None:
        """Called after each event, in order, with the history as it was right after it."""

    def tick(self, history: History, now: float) -> None:
        """Called at each turn of the loop, also when nothing happened."""

    def close(self, history: History) -> None: ...


class Store(Protocol):
    """The event log of one study; read gives every event in order.

    What was appended survives the death of every process from then on, and, within moments, a power cut; all of it
    does when `close` has returned.
    """

    def append(self, events: Iterable[Event], history: History | None = None) -> None:
        """Commits all of them or none. `history`: what the log makes with them, to be kept in short. Raises
        JournalError."""

    def read(self, after: int = 0) -> list[Event]:
        """The events from number `after` + 1 on."""

    def close(self) -> None: ...


def no_more(spec: StudySpec, history: History) -> bool:
    """Whether the trial budget is spent."""
    return spec.budget.trials is not None and history.next_id >= spec.budget.trials
