"""`watch`: the same display as `submit`, fed from the event log by a process that only reads."""

from __future__ import annotations

import sys
import time

from hpo_engine import assembly
from hpo_engine.contract.paths import StudyPaths
from hpo_engine.store.journal import Journal
from hpo_engine.store.lock import who_leads
from hpo_engine.study.events import apply, fold
from hpo_engine.trackers.console import ConsoleTracker

_POLL_S = 0.25


def follow(paths: StudyPaths) -> int:
    """Until the study closes, its engine goes away, or Ctrl-C. Returns 0."""
    journal = Journal(paths.db)
    events = journal.read()
    history, seen = fold(events), len(events)
    console = ConsoleTracker(sys.stdout, folder=paths.root)
    clock = assembly.Clock()
    try:
        console.open(history, clock())
        while True:
            led = who_leads(paths.lock) is not None
            for event in journal.read(seen):
                seen += 1
                history = apply(history, event)
                console.on(event, history)
            console.tick(history, clock())
            if console.problem is not None:
                raise console.problem
            if console.unheard:
                raise BrokenPipeError
            if not led:
                break
            time.sleep(_POLL_S)
        if history.state.value == "running":
            console.note(f"no engine leads it; to go on: hpo-engine resume {history.spec.name}")
    except KeyboardInterrupt:
        console.note("it goes on")
    finally:
        console.close(history)
        journal.close()
    return 0
