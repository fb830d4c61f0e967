"""Events from the records of a log: their bodies are JSON text, and the rows of trials stay text until they are needed.

Knows the form of every kind of event, not what any of them means.
"""

from __future__ import annotations

import contextlib
import json
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from hpo_engine.errors import JournalError
from hpo_engine.study import rows
from hpo_engine.study.events import KINDS, Event, MetricsSeen
from hpo_engine.study.values import made

Record = tuple[int, float, str, str]
"""An event as the log has it: number, UTC seconds, kind, JSON text of the body."""
_ROWS = re.compile(r'\{"trial":(0|[1-9][0-9]*),"rows":(\[\[.*\]\]),"replace":(true|false)\}').fullmatch
_FORMS: set[tuple[str, ...]] = set()
"""Kinds with the names of the fields in their bodies, as far as they were checked."""


def decoded(records: Sequence[Record], *, lazy: bool = False) -> Iterator[Event]:
    """The events of the records, in one pass.

    Args:
        lazy: leave the rows of trials unread until they are needed; what is wrong with them is reported then.

    Raises:
        JournalError: one of them cannot be read; it says which.
    """
    unread = [_ROWS(text) if lazy and kind == MetricsSeen.kind else None for _, _, kind, text in records]
    bodies = iter(_bodies([record for record, found in zip(records, unread, strict=True) if found is None]))
    for (number, at, kind, _), found in zip(records, unread, strict=True):
        if found is not None:
            yield _unread_rows(at, *found.groups())
            continue
        try:
            event = _event(kind, at, next(bodies))
        except JournalError as error:
            raise JournalError(f"event {number}: {error}") from None
        yield event


def _unread_rows(at: float, trial: str, text: str, replace: str) -> MetricsSeen:
    return made(
        MetricsSeen, {"at": at, "trial": int(trial), "rows": rows.Unread((text,)), "replace": replace == "true"}
    )


def _bodies(records: Sequence[Record]) -> list[Any]:
    with contextlib.suppress(ValueError):
        # all at once: one call per event takes twice as long
        found: list[Any] = json.loads(f"[{','.join([text for _, _, _, text in records])}]")
        if len(found) == len(records):
            return found
    found = []
    for number, _, kind, text in records:
        try:
            found.append(json.loads(text))
        except ValueError as error:
            raise JournalError(f"event {number} ({kind}) cannot be read: {error}") from None
    return found


def from_body(kind: str, at: float, body: Any) -> Event:
    """The inverse of `Event.body`.

    Raises:
        JournalError: unknown kind (a newer version wrote it), or missing or unknown fields.
    """
    return _event(kind, at, dict(body) if isinstance(body, Mapping) else body)


def _event(kind: str, at: float, body: Any) -> Event:
    """`from_body` that takes over the body."""
    try:
        cls = KINDS[kind]
        values = cls.parsed(body)
        if (kind, *values) not in _FORMS:
            cls(at, **values)  # raises if this version does not know them
            _FORMS.add((kind, *values))
        values["at"] = at
        return made(cls, values)
    except (LookupError, TypeError, ValueError, AttributeError) as error:
        raise JournalError(
            f"event of kind {kind!r} cannot be read ({error}); was it written by a newer version?"
        ) from None
