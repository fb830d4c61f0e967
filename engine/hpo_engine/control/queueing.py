"""Configurations that the user puts first in a study's line."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from hpo_engine.control.requests import change

if TYPE_CHECKING:
    from hpo_engine.contract.paths import StudyPaths
    from hpo_engine.study.events import Event
    from hpo_engine.study.history import History


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
