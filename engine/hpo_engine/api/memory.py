"""The events of an optimizer, in memory and as a file."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from hpo_engine.errors import JournalError, SpecError
from hpo_engine.system.files import put_in_place

if TYPE_CHECKING:
    from hpo_engine.study.events import Event
    from hpo_engine.study.history import History
    from hpo_engine.study.spec import StudySpec

_FORMAT = "hpo-engine optimizer 1"


class Memory:
    """A Store (see core.ports) that keeps its events in memory. `events`: all of them, the opening first."""

    def __init__(self, spec: StudySpec, events: Iterable[Event]) -> None:
        self.spec, self.events = spec, list(events)

    def append(self, events: Iterable[Event], history: History | None = None) -> None:
        self.events += events

    def read(self, after: int = 0) -> list[Event]:
        return self.events[after:]

    def close(self) -> None:
        pass

    def save(self, path: str) -> None:
        """One event per line; the file is complete or as it was before. Raises OSError."""
        lines = [[event.at, event.kind, event.body()] for event in self.events]
        text = "\n".join([json.dumps(_FORMAT), *(json.dumps(line, allow_nan=False) for line in lines)]) + "\n"
        aside = f"{path}.{os.urandom(8).hex()}.tmp"
        try:
            with open(aside, "x", encoding="utf-8") as file:
                file.write(text)
                file.flush()
                os.fsync(file.fileno())
            put_in_place(aside, path)
        except BaseException:
            if os.path.lexists(aside):
                os.unlink(aside)
            raise

    @classmethod
    def load(cls, path: str) -> Memory:
        """Raises SpecError: it is not such a file, or not whole; OSError."""
        from hpo_engine.study.decoding import decoded
        from hpo_engine.study.events import StudyOpened

        with open(path, encoding="utf-8", errors="replace") as file:
            first, *lines = file.read().splitlines() or [""]
        try:
            if json.loads(first) != _FORMAT:
                raise SpecError("is not a saved optimizer", path)
            records = [_record(number, json.loads(line)) for number, line in enumerate(lines, 1)]
            events = list(decoded(records))
            opened = events[0]
            if not isinstance(opened, StudyOpened):
                raise ValueError("it does not begin with its opening")
            return cls(opened.opened().spec, events)
        except (ValueError, TypeError, LookupError, JournalError) as error:
            if isinstance(error, SpecError):
                raise
            raise SpecError(f"is not a saved optimizer, or damaged: {error}", path) from None


def _record(number: int, line: Any) -> tuple[int, float, str, str]:
    at, kind, body = line
    return number, float(at), str(kind), json.dumps(body)
