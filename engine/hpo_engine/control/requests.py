"""Changes to a study from outside its engine: by a request to the engine that leads it, or in the log if none does."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Sequence
from functools import reduce
from typing import TYPE_CHECKING

from hpo_engine.errors import EngineError, SpecError, StudyLocked

if TYPE_CHECKING:
    from hpo_engine.contract.paths import StudyPaths
    from hpo_engine.store.inbox import Request
    from hpo_engine.study.events import Event
    from hpo_engine.study.history import History

_POLL_S = 0.05
_PATIENCE_S = 30.0  # an engine that copies large files, or whose disk is slow, answers late

Events = Callable[["History", float], Sequence["Event"]]
"""The events that a change comes to, now (UTC seconds). Raises SpecError if it is refused."""


def change(paths: StudyPaths, request: Request, events: Events) -> str:
    """Carries out a change. Returns what its events call the request, if an engine has done it; "": none did.

    Args:
        request: for the engine; events: the same for a study that no engine leads.

    Raises:
        SpecError: it was refused. EngineError: the engine does not answer; nothing was changed.
    """
    from hpo_engine.store.lock import who_leads

    while True:
        if who_leads(paths.lock) is None:
            try:
                record(paths, events)
                return ""
            except StudyLocked:  # an engine was quicker
                if who_leads(paths.lock) is None:
                    raise
        if name := _asked(paths, request):
            return name


def record(paths: StudyPaths, events: Events) -> History:
    """Records events of a study that no engine leads, all or none. Raises StudyLocked if one does, or what `events`
    raises."""
    from hpo_engine import assembly
    from hpo_engine.study.events import EngineGone, apply

    with assembly.open_study(paths) as study:
        now = time.time()
        found = list(events(study.history, now))
        if found and study.history.engine_at is not None:  # else the time since it was killed would count as running
            found.insert(0, EngineGone(now))
        history = reduce(apply, found, study.history)
        if found:
            study.journal.append(found, history)
        return history


def _asked(paths: StudyPaths, request: Request) -> str:
    """The name of the request once the engine has carried it out; "": it has gone without taking it."""
    from hpo_engine.store import inbox
    from hpo_engine.store.journal import read_history
    from hpo_engine.store.lock import who_leads

    path = inbox.post(paths.inbox, request)
    deadline = time.monotonic() + _PATIENCE_S
    while os.path.exists(path):
        led = who_leads(paths.lock)
        if (led is None or time.monotonic() > deadline) and _withdrawn(path):
            if inbox.name_of(path) in read_history(paths.db).requests:  # the engine died before it removed the request
                return inbox.name_of(path)
            if led is None:
                return ""
            raise EngineError(
                f"{os.path.basename(paths.root)}: its engine does not answer ({led}); nothing was changed"
            )
        time.sleep(_POLL_S)
    if why := inbox.refusal(path):
        raise SpecError(why)
    return inbox.name_of(path)


def _withdrawn(path: str) -> bool:
    """Whether the request could be taken back before anybody took it."""
    try:
        os.unlink(path)
    except OSError:
        return False
    return True
