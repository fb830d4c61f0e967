"""Verbs that end studies: stop, remove."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

import click

from hpo_engine.cli.common import chosen_server, find, root_option, server_option, study_argument, yes_option
from hpo_engine.cli.trials import TrialNumbers, changed, stopped

if TYPE_CHECKING:
    from hpo_engine.contract.paths import StudyPaths
    from hpo_engine.study.history import History


@click.command()
@study_argument
@click.argument("trials", metavar="[TRIAL]...", nargs=-1, type=TrialNumbers())
@root_option
@server_option
@click.option("--kill", is_flag=True, help="SIGKILL at once, without a grace period.")
def stop(study: str, trials: tuple[range, ...], root: str | None, kill: bool) -> int:
    """Stop STUDY (it can be resumed), or end TRIALs of it for good, as `cancel` does."""
    from hpo_engine.control.stopping import ask_to_stop, await_stop
    from hpo_engine.executors.local.processes import need_proc
    from hpo_engine.store.journal import Follower
    from hpo_engine.store.lock import who_leads

    if (server := chosen_server(root, study)) is not None:
        from hpo_engine.cli import remote

        return changed(server, study, "stop", trials, kill=kill) if trials else remote.stop(server, study, kill=kill)
    need_proc()
    paths = find(study, root)
    if trials:
        return stopped(paths, trials, kill=kill)
    log = Follower(paths.db)
    if who_leads(paths.lock) is None:
        return _stop_unled(paths, log.history, kill=kill)
    await_stop(paths, ask_to_stop(paths, kill=kill), log.history.spec.trial.grace_s)
    log.news()
    now = log.history
    click.echo(f"{now.spec.name} is {now.state.value}; to continue: hpo-engine resume {now.spec.name}")
    return 0


@click.command()
@study_argument
@root_option
@server_option
@yes_option
def remove(study: str, root: str | None, yes: bool) -> None:
    """Delete STUDY: its folder and all results in it."""
    from hpo_engine import studies

    paths = find(study, root)
    if not yes:
        if not sys.stdin.isatty():
            raise click.UsageError(f"this deletes {paths.root}; add --yes")
        click.confirm(f"Delete {paths.root}?", abort=True)
    if (server := chosen_server(root, study)) is not None:
        from hpo_engine.cli import remote

        remote.remove(server, study)
        return
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
