"""Whether trials at the same time keep more processes busy than there are cores: checks a few times, warns once.

Threads are kept in bounds by the environment (`system.threads`); worker processes, as those of a DataLoader, are not.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable

from hpo_engine.text.tables import counted

_LOOKS_S = (3.0, 10.0, 30.0, 120.0)  # from one look to the next, while trials run; the last is the last
_BETWEEN_S = 1.0  # the two halves of a look
_BUSY = 0.5  # of that time a process has run, or waited for a core


class Crowd:
    """Called when attempts start and end.

    Args:
        cores: how many there are; say: called with a one-line warning.
        clock: monotonic seconds.
    """

    def __init__(self, cores: int, say: Callable[[str], None], clock: Callable[[], float] = time.monotonic) -> None:
        self._cores, self._say, self._clock = cores, say, clock
        self._shims: dict[str, int] = {}  # by nonce of the attempt: the process above it
        self._looks = iter(_LOOKS_S)
        self._due = self._never = float("inf")
        self._before: dict[int, int] | None = None
        self._at = 0.0

    def started(self, nonce: str, shim: int) -> None:
        self._shims[nonce] = shim
        if self._due == self._never and len(self._shims) > 1:
            self._due = self._clock() + next(self._looks, self._never)

    def ended(self, nonce: str) -> None:
        self._shims.pop(nonce, None)

    def look(self) -> None:
        """To be called often; does something a few times in a study."""
        now = self._clock()
        if now < self._due:
            return
        if len(self._shims) < 2:
            self._due, self._before = self._never, None  # until two run again
            return
        if self._before is None:
            self._before, self._at, self._due = _demand(self._shims), now, now + _BETWEEN_S
            return
        wanted = _BUSY * (now - self._at) * 1e9
        busy = [p for p, ns in _demand(self._shims).items() if ns - self._before.get(p, 0) >= wanted]
        self._before = None
        if len(busy) > self._cores and len(busy) > len(self._shims):
            self._due, self._looks = self._never, iter(())
            cores = counted(self._cores, "core")
            self._say(
                f"{len(busy)} busy processes of {len(self._shims)} trials share {cores}: fewer worker processes in "
                "each (num_workers, n_jobs), or fewer trials at a time (--parallel), may end sooner"
            )
            return
        self._due = now + next(self._looks, self._never)


def _demand(shims: dict[str, int]) -> dict[int, int]:
    """For each process of these trials: ns that it has run or waited for a core, from schedstat (proc(5))."""
    parents: dict[int, int] = {}
    for name in os.listdir("/proc"):
        if name.isdigit():
            try:
                with open(f"/proc/{name}/stat", "rb") as file:
                    parents[int(name)] = int(file.read().rpartition(b")")[2].split()[1])
            except (OSError, IndexError, ValueError):  # it has gone
                pass
    above = set(shims.values())
    found = {}
    for pid in parents:
        over = parents[pid]
        while over in parents and over not in above:
            over = parents[over]
        if over in above:
            try:
                with open(f"/proc/{pid}/schedstat", "rb") as file:
                    ran, waited = file.read().split()[:2]
                found[pid] = int(ran) + int(waited)
            except (OSError, ValueError):  # it has ended, or this kernel does not say
                pass
    return found
