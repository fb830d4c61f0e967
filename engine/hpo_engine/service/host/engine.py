"""What the host knows of one study that it runs, and the rules by which it goes on after an engine has died. No I/O."""

from __future__ import annotations

from dataclasses import dataclass

BACKOFF_S = (1.0, 5.0, 20.0, 60.0, 180.0)
"""How long to wait before an engine is started again that has died, each time in a row."""
WELL_S = 600.0
"""An engine that has run this long has not died of its start."""


@dataclass
class EngineProcess:
    """`number`: of the submission. `handle`: a pidfd, -1 until the process is known. `ours`: the forker will report its
    end; if not, the handle does. `since`: monotonic seconds."""

    number: int
    name: str
    owner: str
    since: float
    pid: int = 0
    handle: int = -1
    ours: bool = True
    refused: str = ""
    again: bool = False


@dataclass
class Failures:
    """How often the engine of a study has died in a row. `due`: when to try again (monotonic seconds)."""

    count: int = 0
    due: float = 0.0

    def after(self, ran_s: float, now: float) -> bool:
        """Counts one more, of an engine that ran so long. Whether to try again."""
        self.count = 1 if ran_s > WELL_S else self.count + 1
        if self.count > len(BACKOFF_S):
            return False
        self.due = now + BACKOFF_S[self.count - 1]
        return True
