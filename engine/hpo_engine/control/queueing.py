"""Configurations that the user puts first in a study's line."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from hpo_engine.control.requests import change

if TYPE_CHECKING:
    from hpo_engine.contract.paths import StudyPaths
    from hpo_engine.study.events import Event
    from hpo_engine.study.history import History
    from hpo_engine.study.spec import Params


@dataclass(frozen=True)
class Entry:
    """A configuration that was queued: its `number` in the queue, and the `trial` that it became (None: it waits)."""

    number: int
    trial: int | None
    params: Params

    def to_json(self) -> dict[str, Any]:
        return {"number": self.number, "trial": self.trial, "params": dict(self.params)}


def enqueue(paths: StudyPaths, history: History, configurations: Sequence[Any]) -> tuple[str, list[int]]:
    """Queues configurations, complete or partial ones.

    Args:
        history: the study as it was read last.

    Returns:
        What events call the request if an engine has carried it out ("": none runs the study, and they are in the log),
        and then the numbers that they have in the queue (of a request: those that it would have got).

    Raises:
        SpecError: with the problems of all of them. EngineError: the engine does not answer; nothing was changed.
    """
    from hpo_engine.store.inbox import Request
    from hpo_engine.study.revision import queued

    numbers: list[int] = []

    def events(history: History, now: float) -> Sequence[Event]:
        made = queued(history, configurations, now)
        numbers[:] = [event.number for event in made]
        return made

    events(history, 0.0)  # what is wrong is said here, whoever carries it out
    name = change(paths, Request("enqueue", why="enqueue", body={"configurations": list(configurations)}), events)
    return name, numbers


def numbers_in(paths: StudyPaths, after: int, request: str) -> list[int]:
    """The numbers that an engine has given to the configurations of a request.

    Args:
        after: an event of the log before it.
    """
    import contextlib

    from hpo_engine.store.journal import Journal
    from hpo_engine.study.events import TrialQueued

    with contextlib.closing(Journal(paths.db)) as journal:
        events = journal.read(after)
    return [event.number for event in events if isinstance(event, TrialQueued) and event.request == request]


def entries(history: History, numbers: Collection[int]) -> list[Entry]:
    """Of the configurations that were ever queued those with these numbers, in order."""
    waiting = [Entry(entry.number, None, entry.params) for entry in history.queue]
    begun = [Entry(t.proposal.queued.number, t.id, t.params) for t in history.trials if t.proposal.queued is not None]
    wanted = set(numbers)
    return sorted([e for e in (*waiting, *begun) if e.number in wanted], key=lambda entry: entry.number)
