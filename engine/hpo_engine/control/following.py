"""A study that is displayed while another process runs it."""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Callable, Iterator
from functools import partial
from typing import TYPE_CHECKING, Any, TextIO

if TYPE_CHECKING:
    from hpo_engine.contract.paths import StudyPaths
    from hpo_engine.study.history import History

_POLL_S = 0.25


Turn = Callable[["History", Callable[[str], None]], None]
"""Called a few times each second with the study as it stands, and with what prints a line above the display."""


def display(
    paths: StudyPaths, stream: TextIO, *, on_interrupt: str = "", quiet: bool = False, turn: Turn | None = None
) -> History:
    """Shows the study on `stream`, from its event log, until no engine runs it. Returns how it stood then.

    Args:
        on_interrupt: what to print at Ctrl-C, which ends the display; "": KeyboardInterrupt is raised.
        quiet: only the result is shown. turn: may raise what ends the display.

    Raises:
        JournalError, StudyGone; BrokenPipeError if nobody reads `stream`.
    """
    from hpo_engine.assembly import Clock
    from hpo_engine.executors.machine import waits
    from hpo_engine.store.journal import Follower
    from hpo_engine.store.lock import who_leads
    from hpo_engine.trackers.console import ConsoleTracker

    log = Follower(paths.db)
    console = ConsoleTracker(stream, quiet=quiet, folder=paths.root, waits=partial(waits, paths.root, os.environ))
    clock = Clock()
    try:
        console.open(log.history, clock())
        while True:
            led = who_leads(paths.lock) is not None
            for event, history in log.news():
                console.on(event, history)
            console.tick(log.history, clock())
            if turn is not None:
                turn(log.history, console.note)
            if console.problem is not None:
                raise console.problem
            if console.unheard:
                raise BrokenPipeError
            if not led:
                break
            time.sleep(_POLL_S)
        if log.history.state.value == "running":
            console.note(f"no engine runs it; to continue: hpo-engine resume {log.history.spec.name}")
    except KeyboardInterrupt:
        if not on_interrupt:
            raise
        console.note(on_interrupt)
    finally:
        console.close(log.history)
        log.close()
    return log.history


def happenings(paths: StudyPaths, after: int = 0, turn: Callable[[], None] = lambda: None) -> Iterator[dict[str, Any]]:
    """The study's events as `reports.happenings` has them, from the one after number `after`, as they happen; the last
    one is `end`, when no engine runs the study any more.

    Args:
        turn: called a few times each second; may raise what ends it.

    Raises:
        SpecError: there are not so many events. JournalError, StudyGone.
    """
    from hpo_engine.errors import SpecError
    from hpo_engine.reports.happenings import ending, happening
    from hpo_engine.reports.objects import state_word
    from hpo_engine.store.journal import Journal
    from hpo_engine.store.lock import who_leads
    from hpo_engine.study.events import apply, fold

    with contextlib.closing(Journal(paths.db)) as journal:
        known = journal.read(0)
        if after > len(known):
            raise SpecError(f"--after {after}: the study has {len(known)} events so far")
        history: History | None = fold(known[:after]) if after else None
        fresh = known[after:]
        while True:
            led = who_leads(paths.lock) is not None
            turn()
            for event in fresh:
                history = fold([event]) if history is None else apply(history, event)
                if (found := happening(history.events, event, history)) is not None:
                    yield found
            assert history is not None  # a study's log begins with its opening
            fresh = journal.read(history.events)
            if not fresh:
                if not led:
                    yield ending(history.events, state_word(history.state.value, led), history)
                    return
                time.sleep(_POLL_S)
                fresh = journal.read(history.events)
