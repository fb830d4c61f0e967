"""Runs a study that exists: in the foreground, or by an engine in the background."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

import click

from hpo_engine.reports.objects import dump

if TYPE_CHECKING:
    from hpo_engine.contract.paths import StudyPaths


def run_study(paths: StudyPaths, *, detach: bool, as_json: bool, quiet: bool, **options: Any) -> int:
    if detach:
        return _in_background(paths, options, as_json)
    from hpo_engine.cli.driver import Driver, RunOptions

    return Driver(paths, RunOptions(**options), as_json=as_json, quiet=quiet).run()


def _in_background(paths: StudyPaths, options: dict[str, Any], as_json: bool) -> int:
    """Starts an engine in a session of its own and says how to follow it."""
    from hpo_engine import studies
    from hpo_engine.control.engines import start_engine
    from hpo_engine.trackers.next_steps import called

    started = start_engine(paths, options)
    if started.code:
        click.echo(started.output, err=True)
        return started.code
    name = os.path.basename(paths.root)
    if as_json:
        click.echo(dump({"study": name, "pid": started.pid, "folder": paths.root}))
    else:
        word = called(studies.read(paths), paths.root)
        click.echo(f"{name} runs in the background (process {started.pid}); its folder: {paths.root}")
        click.echo(f"  hpo-engine watch {word} | hpo-engine stop {word} | log: {paths.engine_log}")
    return 0
