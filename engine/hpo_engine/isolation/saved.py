"""What a plugin's process knew after a call, on the disk beside the log: written aside, then renamed.

The log is the study; this file only saves repeating a plugin's calls. It may be missing, older than the log (the engine
was killed before it wrote, or a backup was put back) or one call newer (it was killed before the answer was logged);
whatever fits neither is ignored.
"""

from __future__ import annotations

import json
import os
from dataclasses import dataclass
from typing import Any

from hpo_engine.failpoints import failpoint
from hpo_engine.isolation.calls import Call, Recorded
from hpo_engine.study.history import History

_VERSION = 1


@dataclass(frozen=True)
class Saved:
    """After `call`, the plugin's `answer` to it, and its `state` (b"": it keeps none)."""

    call: Call
    answer: tuple[dict[str, Any], ...]
    state: bytes = b""

    def fits(self, log: Recorded, history: History) -> bool:
        """Whether the log has had this call, or whether it can be the next one."""
        if self.call.number < len(log.calls):
            return log.calls[self.call.number] == self.call
        if self.call.number > len(log.calls):
            return False
        known = {(t.id, len(t.attempts)) for t in history.finished}
        return known.issuperset(self.call.told) and (log.last is None or log.used >= log.last.given)


def write(path: str, saved: Saved, study: float) -> None:
    """Durable when it returns. `study`: when that was opened, which tells studies apart. Raises OSError."""
    head = {
        "version": _VERSION,
        "study": study,
        "call": [saved.call.number, saved.call.asked, saved.call.told, saved.call.given],
        "answer": saved.answer,
        "bytes": len(saved.state),
    }
    aside = f"{path}.new"
    with open(aside, "wb") as file:
        file.write(json.dumps(head).encode() + b"\n" + saved.state)
        file.flush()
        os.fsync(file.fileno())
    failpoint("searcher.state-aside")
    os.replace(aside, path)
    folder = os.open(os.path.dirname(path), os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)
    failpoint("searcher.state-saved")


def read(path: str, study: float) -> Saved | None:
    """What was written for this study; None if there is nothing of use."""
    try:
        with open(path, "rb") as file:
            head = json.loads(file.readline())
            state = file.read()
        number, asked, told, given = head["call"]
        if head["version"] != _VERSION or head["study"] != study or len(state) != head["bytes"]:
            return None
        call = Call(number, asked, tuple((trial, attempts) for trial, attempts in told), given)
        return Saved(call, tuple(head["answer"]), state)
    except (OSError, ValueError, LookupError, TypeError):
        return None
