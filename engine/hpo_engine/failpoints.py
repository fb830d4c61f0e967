"""Named points at which a test may kill a process: `HPO_FAILPOINT=name:n:kill` dies at the n-th passage of `name`.

Inert (one comparison) unless the variable is set. One stands at each durable step: commit, rename, link, fork. Those of
the launcher and of shims, of which there are many, die once in all: the first to make the file HPO_FAILPOINT_ONCE.
"""

from __future__ import annotations

import os
import signal

NAMES: tuple[str, ...] = (
    "study.folder-made",
    "study.frozen",
    "study.placed",
    "study.removed",
    "study.unshared",
    "check.kept",
    "plan.pace-aside",
    "journal.made",
    "journal.before-commit",
    "journal.after-commit",
    "provenance.recorded",
    "trial.proposed",
    "trial.carried-on",
    "trial.half-aside",
    "trial.aside",
    "trial.unknown-aside",
    "folder.handed",
    "trial.laid-out",
    "trial.copying",
    "trial.kept",
    "trial.copied",
    "trial.started-from",
    "trial.emetrics-aside",
    "file.before-rename",
    "trial.config-written",
    "trial.earlier-recorded",
    "attempt.intended",
    "lease.renamed",
    "attempt.sent",
    "attempt.started",
    "attempt.reaped",
    "attempt.judged",
    "checkpoints.deletion-recorded",
    "checkpoints.deleted",
    "trial.metrics-seen",
    "trial.stop-asked",
    "trial.user-stop-asked",
    "trial.pause-asked",
    "trial.paused",
    "trial.resumed",
    "trial.reopened",
    "trial.queued",
    "study.revised",
    "trial.ended",
    "command.posted",
    "command.taken",
    "command.refused",
    "command.done",
    "study.closed",
    "searcher.state-aside",
    "searcher.state-saved",
    "algorithm.installed",
    "algorithm.removed",
    "resume.folded",
    "resume.adopted",
    "stop.before-reason",
    "launcher.preloaded",
    "launcher.forked",
    "shim.before-token",
    "shim.token-made",
    "shim.child-started",
    "shim.child-forked",
    "shim.stop-noted",
    "shim.before-exit-record",
    "shim.exit-recorded",
    "service.database-made",
    "service.before-commit",
    "service.after-commit",
    "accounts.before-commit",
    "model.unpacked",
    "copy.before-commit",
    "host.asked",
    "host.before-fork",
    "host.forked",
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
    if _count == 0 and _first():
        os.kill(os.getpid(), signal.SIGKILL)


def _first() -> bool:
    once = os.environ.get("HPO_FAILPOINT_ONCE")
    if once is None:
        return True
    try:
        os.close(os.open(once, os.O_CREAT | os.O_EXCL | os.O_WRONLY))
    except FileExistsError:
        return False
    return True
