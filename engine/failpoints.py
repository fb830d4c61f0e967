"""Named points at which a test may kill the engine: `HPO_FAILPOINT=name:n:kill` dies at the n-th passage of `name`.

Inert (one comparison) unless the variable is set. One stands at each durable step: commit, rename, link, fork.
"""

from __future__ import annotations

import os
import signal

NAMES: tuple[str, ...] = (
    "study.folder-made",
    "study.frozen",
    "study.placed",
    "journal.before-commit",
    "journal.after-commit",
    "trial.proposed",
    "trial.aside",
    "trial.laid-out",
    "trial.config-written",
    "attempt.intended",
    "attempt.sent",
    "attempt.started",
    "attempt.reaped",
    "attempt.judged",
    "trial.metrics-seen",
    "trial.ended",
    "command.taken",
    "command.done",
    "study.closed",
    "resume.folded",
    "resume.adopted",
)

_name, _count, _action = "", 0, ""
if os.environ.get("HPO_FAILPOINT"):
    _name, _number, _action = (*os.environ["HPO_FAILPOINT"].split(":"), "1", "kill")[:3]
    _count = int(_number)


def failpoint(name: str) -> None:
    """Dies here (SIGKILL, so nothing is cleaned up) when the environment asks for it."""
    global _count
    if _name != name:
        return
    _count -= 1
    if _count == 0:
        os.kill(os.getpid(), signal.SIGKILL)
