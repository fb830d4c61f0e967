"""`watch`: the same display as `submit`, fed from the event log by a process that only reads."""

from __future__ import annotations

import os
import sys
import time
from functools import partial

import click

from hpo_engine.cli.common import find, root_option, study_argument

_POLL_S = 0.25


@click.command()
@study_argument
@root_option
def watch(study: str, root: str | None) -> int:
    """Watch STUDY while it runs; Ctrl-C ends only the display."""
    from hpo_engine import assembly
    from hpo_engine.executors.machine import waits
    from hpo_engine.store.journal import Follower
    from hpo_engine.store.lock import who_leads
    from hpo_engine.trackers.console import ConsoleTracker

    paths = find(study, root)
    log = Follower(paths.db)
    console = ConsoleTracker(sys.stdout, folder=paths.root, waits=partial(waits, paths.root, os.environ))
    clock = assembly.Clock()
    try:
        console.open(log.history, clock())
        while True:
            led = who_leads(paths.lock) is not None
            for event, history in log.news():
                console.on(event, history)
            console.tick(log.history, clock())
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
        console.note("the study keeps running")
    finally:
        console.close(log.history)
        log.close()
    return 0


VERBS = (watch,)
