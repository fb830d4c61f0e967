"""Verbs that run studies: submit, resume, retry."""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING, Any

import click

from hpo_engine.cli.common import (
    chosen_server,
    find,
    json_option,
    note,
    root_option,
    server_option,
    study_argument,
    yes_option,
)
from hpo_engine.cli.results import nothing_to_retry, show_result
from hpo_engine.cli.trials import TrialNumbers, resumed, retried
from hpo_engine.text import streams

if TYPE_CHECKING:
    from hpo_engine.contract.paths import StudyPaths
    from hpo_engine.study.history import History
    from hpo_engine.study.spec import StudySpec

_trials = click.option("--trials", type=click.IntRange(1), metavar="N", help="Trials in total (not additional).")
_runs = click.option(
    "--runs", type=click.IntRange(1), metavar="N", help="Runs in total, where configurations are promoted."
)
_parallel = click.option("--parallel", type=click.IntRange(1), metavar="N", help="Trials that run at the same time.")
_detach = click.option("--detach", is_flag=True, help="Run in the background; see `watch`, `stop`.")
_quiet = click.option("--quiet", "-q", is_flag=True, help="Only the result.")
_wait = click.option(
    "--wait", type=float, default=0.0, metavar="S", help="Wait up to S seconds for another engine to finish."
)


@click.command()
@click.argument("file", metavar="FILE", type=click.Path())
@root_option
@server_option
@click.option("--name", metavar="N", help="Name of the study [from the file or its folder].")
@_trials
@_runs
@_parallel
@click.option("--seed", type=click.IntRange(0), metavar="N", help="Seed of the search.")
@click.option("--dry-run", is_flag=True, help="Show the first trials' commands and files; start nothing.")
@click.option("--update", is_flag=True, help="Change the study of that name to what FILE says, as `edit` does.")
@yes_option
@_detach
@json_option
@_quiet
@_wait
def submit(
    file: str,
    root: str | None,
    name: str | None,
    trials: int | None,
    runs: int | None,
    parallel: int | None,
    seed: int | None,
    dry_run: bool,
    update: bool,
    yes: bool,
    detach: bool,
    as_json: bool,
    quiet: bool,
    wait: float,
) -> int:
    """Run the study in FILE, or continue it.

    FILE is a study file (YAML, JSON, a Python dict) or a WMLA request. Progress goes to stdout. With --json
    it goes to stderr, and the last line on stdout is the result.
    """
    from hpo_engine import assembly, studies
    from hpo_engine.cli.start import run_study
    from hpo_engine.contract.paths import StudyPaths, is_study, runs_root
    from hpo_engine.control.changes import with_current_limits
    from hpo_engine.control.submitting import continued, overridden
    from hpo_engine.store.lock import who_leads

    given = {"trials": trials, "runs": runs, "parallel": parallel}
    if (server := chosen_server(root)) is not None:
        from hpo_engine.cli import remote

        _lenient(as_json)
        return remote.submit(
            server, file, name, given, seed, update=update, dry_run=dry_run, yes=yes, detach=detach, as_json=as_json,
            quiet=quiet,
        )  # fmt: skip
    _begin(as_json)
    spec, source = assembly.load_spec(file, os.environ)
    spec = overridden(spec, name, given, seed)
    for text in spec.notes:
        note(text)
    paths = StudyPaths(os.path.join(runs_root(root, os.environ), spec.name))
    if update and is_study(paths):
        from hpo_engine.cli.edit import revise

        history = studies.read(paths)
        new = with_current_limits(history, spec, given)
        revise(paths, history, new, source, dry_run=dry_run, yes=yes, hint=False)
        if dry_run or who_leads(paths.lock) is not None:
            return 0
        return _go_on(paths, studies.read(paths), {}, detach=detach, as_json=as_json, quiet=quiet, wait_s=wait)
    if dry_run:
        from hpo_engine.cli.dry import show_first

        show_first(spec, paths)
        return 0
    if _made(spec, source, paths, quiet=quiet, as_json=as_json):
        return run_study(paths, detach=detach, as_json=as_json, quiet=quiet, wait_s=wait)
    history, changes = continued(spec, paths, given)
    return _go_on(paths, history, changes, detach=detach, as_json=as_json, quiet=quiet, wait_s=wait)


@click.command()
@study_argument
@click.argument("paused", metavar="[TRIAL]...", nargs=-1, type=TrialNumbers())
@root_option
@server_option
@_trials
@_runs
@_parallel
@click.option("--time-limit", metavar="T", help="Time limit of the whole study, such as 2h or 90s.")
@_detach
@json_option
@_quiet
@_wait
def resume(
    study: str,
    paused: tuple[range, ...],
    root: str | None,
    trials: int | None,
    runs: int | None,
    parallel: int | None,
    time_limit: str | None,
    detach: bool,
    as_json: bool,
    quiet: bool,
    wait: float,
) -> int:
    """Continue STUDY, and take over trials that still run.

    With TRIALs, such as 3 or 5-7: those that are paused go on. Only that happens if an engine runs the study.
    """
    from hpo_engine import studies
    from hpo_engine.control.changes import new_limits, refuse_fewer

    changes = new_limits({"trials": trials, "runs": runs, "parallel": parallel}, time_limit, "--time-limit")
    if (server := chosen_server(root, study)) is not None:
        from hpo_engine.cli import remote

        _lenient(as_json)
        if paused:
            return remote.again(server, study, "resume", paused, detach=detach, as_json=as_json, quiet=quiet)
        return remote.resume(server, study, changes, detach=detach, as_json=as_json, quiet=quiet)
    _begin(as_json)
    paths = find(study, root)
    if paused and resumed(paths, paused, as_json=as_json):
        return 0
    history = studies.read(paths)
    refuse_fewer(history, changes, "--{} ")
    return _go_on(paths, history, changes, detach=detach, as_json=as_json, quiet=quiet, wait_s=wait)


@click.command()
@study_argument
@click.argument("trials", metavar="[TRIAL]...", nargs=-1, type=TrialNumbers())
@click.option("--failed", is_flag=True, help="Those that failed, timed out or were lost.")
@root_option
@server_option
@_detach
@json_option
@_quiet
@_wait
def retry(
    study: str,
    trials: tuple[range, ...],
    failed: bool,
    root: str | None,
    detach: bool,
    as_json: bool,
    quiet: bool,
    wait: float,
) -> int:
    """Run trials of STUDY again: those that --failed, or TRIALs such as 3 or 5-7 that ended without a result.

    Only that happens if an engine runs the study and TRIALs are named.
    """
    from hpo_engine import studies
    from hpo_engine.cli.start import run_study
    from hpo_engine.control.changes import note_changed_files

    if failed is bool(trials):
        raise click.UsageError("name trials, as in 3 or 5-7, or all that --failed")
    if (server := chosen_server(root, study)) is not None:
        from hpo_engine.cli import remote

        _lenient(as_json)
        if trials:
            return remote.again(server, study, "retry", trials, detach=detach, as_json=as_json, quiet=quiet)
        return remote.retry(server, study, detach=detach, as_json=as_json, quiet=quiet)
    _begin(as_json)
    paths = find(study, root)
    how: dict[str, Any] = {"detach": detach, "as_json": as_json, "quiet": quiet, "wait_s": wait}
    if trials:
        if retried(paths, trials, as_json=as_json):
            return 0
        history = studies.read(paths)
        return _go_on(paths, history, {}, **how)
    history = studies.read(paths)
    note_changed_files(paths, history, note)
    if nothing_to_retry(history, paths, as_json):
        return 0
    return run_study(paths, retry=True, known=history, **how)


VERBS = (submit, resume, retry)


def _begin(as_json: bool) -> None:
    """For a verb that runs a study: refuses a machine that cannot; without JSON, stdout is only a display."""
    from hpo_engine.executors.local.processes import need_proc

    need_proc()
    _lenient(as_json)


def _lenient(as_json: bool) -> None:
    """Without JSON, stdout is only a display."""
    if not as_json:
        streams.be_lenient(sys.stdout)


def _made(spec: StudySpec, source: str, paths: StudyPaths, *, quiet: bool, as_json: bool) -> bool:
    """Makes the study's folder and prints notes on the study; False: something with its name exists already."""
    from hpo_engine import assembly
    from hpo_engine.cli.plan import time_and_disk
    from hpo_engine.control.submitting import created
    from hpo_engine.probe.pacefile import recall
    from hpo_engine.text.tables import safe_text

    if not created(spec, source, paths, note):
        return False
    if not quiet and (about := assembly.about(spec)):
        click.echo(f"{safe_text(spec.algorithm.name)}: {safe_text(about)}", err=as_json)
    if not quiet and (plan := assembly.plan(spec)):
        click.echo(f"plan: {safe_text(plan)}", err=as_json)
    if not quiet and (pace := recall(os.path.dirname(paths.root), spec)) is not None:
        found = assembly.rehearsed(spec, pace, quick=True)
        if found is not None:
            click.echo(f"by the short trials of plan or check: {time_and_disk(spec, found, pace)}", err=as_json)
    return True


def _go_on(paths: StudyPaths, history: History, changes: dict[str, Any], *, as_json: bool, **how: Any) -> int:
    """Runs a study that exists, or shows its result if it is complete. `how`: as `run_study` takes it."""
    from hpo_engine.cli.start import run_study
    from hpo_engine.control.changes import note_changed_files
    from hpo_engine.control.submitting import over

    note_changed_files(paths, history, note)
    if over(paths, history, changes):
        return show_result(history, paths, as_json)
    return run_study(paths, as_json=as_json, known=history, changes=changes, **how)
