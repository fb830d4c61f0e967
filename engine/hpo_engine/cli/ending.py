"""Verbs that end studies: stop, remove."""

from __future__ import annotations

import os
import sys
import time
from typing import TYPE_CHECKING, Any

import click

from hpo_engine.cli.common import find, root_option, study_argument
from hpo_engine.errors import EngineError, SpecError

if TYPE_CHECKING:
    from hpo_engine.contract.paths import StudyPaths
    from hpo_engine.store.journal import Follower
    from hpo_engine.study.history import History

_POLL_S = 0.05


@click.command()
@study_argument
@click.argument("trial", type=int, required=False)
@root_option
@click.option("--kill", is_flag=True, help="SIGKILL at once, without a grace period.")
def stop(study: str, trial: int | None, root: str | None, kill: bool) -> int:
    """Stop STUDY (it can be resumed), or one TRIAL of it."""
    from hpo_engine.executors.local.processes import need_proc
    from hpo_engine.store import inbox
    from hpo_engine.store.journal import Follower
    from hpo_engine.store.lock import who_leads

    need_proc()
    paths = find(study, root)
    log = Follower(paths.db)
    history = log.history
    if trial is not None and trial not in range(history.next_id):
        raise SpecError(f"{history.spec.name} has no trial {trial}; it has {history.next_id}")
    if trial is not None and trial not in history.open_ids:
        click.echo(f"trial {trial} is {history.trials[trial].state.value} already")
        return 0
    if trial is None and who_leads(paths.lock) is None:
        return _stop_unled(paths, history, kill=kill)
    request = inbox.post(
        paths.inbox, inbox.Request("stop", trial, kill, "stopped by the user" if trial is not None else "stop")
    )
    if trial is not None and who_leads(paths.lock) is None:
        return _stop_unled_trial(paths, history, trial, kill=kill)
    return _await_stop(paths, log, trial, request)


@click.command()
@study_argument
@root_option
@click.option("--yes", "-y", is_flag=True, help="Do not ask for confirmation.")
def remove(study: str, root: str | None, yes: bool) -> None:
    """Delete STUDY: its folder and all results in it."""
    from hpo_engine import studies

    paths = find(study, root)
    if not yes:
        if not sys.stdin.isatty():
            raise click.UsageError(f"this deletes {paths.root}; add --yes")
        click.confirm(f"Delete {paths.root}?", abort=True)
    studies.remove(paths)


VERBS = (stop, remove)


def _stop_unled(paths: StudyPaths, history: History, *, kill: bool) -> int:
    """Stops a study that no engine runs: its running trials are taken over and stopped."""
    if history.running:
        from hpo_engine.cli.start import run_study

        how: dict[str, Any] = {"known": history, "stop": "stop", "kill": kill}
        run_study(paths, detach=False, as_json=False, quiet=True, wait_s=1.0, **how)
    else:
        click.echo(f"{history.spec.name} is not running")
    return 0


def _stop_unled_trial(paths: StudyPaths, history: History, trial: int, *, kill: bool) -> int:
    from hpo_engine import studies

    name = history.spec.name
    if original := _copied_from(paths, history):
        click.echo(f"trial {trial} runs in {original}, of which {paths.root} is a copy; it is not stopped.")
        click.echo(f"It will not run again in the copy: resume {name} to record that")
        return 0
    studies.stop_unled_trial(paths, history.trials[trial], kill=kill)
    click.echo(f"trial {trial} was asked to stop; no engine runs {name}: resume it to record that")
    return 0


def _await_stop(paths: StudyPaths, log: Follower, trial: int | None, request: str) -> int:
    """Waits until the engine has carried out the request, which may take the grace period."""
    from hpo_engine.store import inbox
    from hpo_engine.store.lock import who_leads

    deadline = time.monotonic() + log.history.spec.trial.grace_s + 10.0
    while time.monotonic() < deadline:
        left = who_leads(paths.lock) is None
        log.news()
        if left or (not os.path.exists(request) and trial is not None and trial not in log.history.open_ids):
            break
        time.sleep(_POLL_S)
    log.news()
    now = log.history
    if os.path.exists(request):
        inbox.done(request)  # or a later engine would carry it out
        raise EngineError(f"{now.spec.name}: its engine does not answer ({who_leads(paths.lock)}); nothing was stopped")
    if trial is None:
        click.echo(f"{now.spec.name} is {now.state.value}; to continue: hpo-engine resume {now.spec.name}")
    else:
        click.echo(f"trial {trial} is {now.trials[trial].state.value}")
    return 0


def _copied_from(paths: StudyPaths, history: History) -> str:
    from hpo_engine.executors.local.origin import origin

    return origin(paths, history)
