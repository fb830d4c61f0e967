"""A trial and its attempts: what was proposed, how each run ended. Frozen; a change makes a new value.

Losses are minimised, whatever the goals say.
"""

from __future__ import annotations

import enum
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from hpo_engine.study.objective import Row
from hpo_engine.study.spec import Params


@dataclass(frozen=True)
class Proposal:
    """What a searcher returns: parameters to try, a resource (Hyperband), and a `note` to itself (JSON values), which
    nobody else reads."""

    params: Params
    resource: int | None = None
    note: Mapping[str, Any] | None = None


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
