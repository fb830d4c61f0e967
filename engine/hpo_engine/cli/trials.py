"""Verbs for single trials: cancel, pause; what `stop`, `resume` and `retry` with trials share with them."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import click

from hpo_engine.cli.common import chosen_server, find, json_option, root_option, server_option, study_argument
from hpo_engine.cli.results import say
from hpo_engine.reports.objects import dump

if TYPE_CHECKING:
    from hpo_engine.contract.paths import StudyPaths
    from hpo_engine.control.trials import Answer

_kill = click.option("--kill", is_flag=True, help="SIGKILL at once, without a grace period.")


class TrialNumbers(click.ParamType):  # type: ignore[type-arg,unused-ignore]
    """A trial, or a range such as 3-7."""

    name = "trial"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> range:
        if isinstance(value, range):
            return value
        found = re.fullmatch(r"([0-9]{1,9})(?:-([0-9]{1,9}))?", value)
        if found is None:
            self.fail(f'"{value}" is not a trial; write its number, or a range such as 3-7', param, ctx)
        first, last = int(found[1]), int(found[2] or found[1])
        if last < first:
            self.fail(f'"{value}": the range ends before it begins', param, ctx)
        return range(first, last + 1)


trials_argument = click.argument("trials", metavar="TRIAL...", nargs=-1, required=True, type=TrialNumbers())


@click.command()
@study_argument
@trials_argument
@root_option
@server_option
@_kill
@json_option
def cancel(study: str, trials: tuple[range, ...], root: str | None, kill: bool, as_json: bool) -> int:
    """End TRIALs of STUDY for good, such as 3 or 5-7; the study continues. Same as `stop STUDY TRIAL`."""
    if (server := chosen_server(root, study)) is not None:
        return changed(server, study, "stop", trials, kill=kill, as_json=as_json)
    return stopped(find(study, root), trials, kill=kill, as_json=as_json)


@click.command()
@study_argument
@trials_argument
@root_option
@server_option
@_kill
@json_option
def pause(study: str, trials: tuple[range, ...], root: str | None, kill: bool, as_json: bool) -> int:
    """Pause TRIALs of STUDY, such as 3 or 5-7, until `resume STUDY TRIAL`.

    A trial that runs is stopped as at the end of the study, and keeps its files; others get its place. Resumed, it
    goes on from its newest checkpoint if it has left one (see `resource.resume` in the study file), else it begins
    anew.
    """
    from hpo_engine.control.trials import pause_trials

    if (server := chosen_server(root, study)) is not None:
        return changed(server, study, "pause", trials, kill=kill, as_json=as_json)
    return _told(pause_trials(find(study, root), trials, kill=kill), as_json)


VERBS = (cancel, pause)


def changed(server: str, study: str, do: str, trials: Sequence[range], *, kill: bool, as_json: bool = False) -> int:
    """Stops or pauses trials of a study at a server. Returns the exit code."""
    from hpo_engine.cli import remote

    return _told(remote.change_trials(server, study, do, trials, kill=kill)[0], as_json)


def stopped(paths: StudyPaths, trials: Sequence[range], *, kill: bool, as_json: bool = False) -> int:
    """Ends trials for good. Returns the exit code."""
    from hpo_engine.control.trials import stop_trials

    return _told(stop_trials(paths, trials, kill=kill), as_json)


def resumed(paths: StudyPaths, trials: Sequence[range], *, as_json: bool) -> bool:
    """Lets paused trials run again. Returns whether an engine leads the study."""
    from hpo_engine.control.trials import resume_trials

    answers, led = resume_trials(paths, trials)
    say(answers, as_json)
    return led


def retried(paths: StudyPaths, trials: Sequence[range], *, as_json: bool) -> bool:
    """Lets trials that ended without a result run again. Returns whether an engine leads the study."""
    from hpo_engine.control.trials import retry_trials

    answers, led = retry_trials(paths, trials)
    say(answers, as_json)
    return led


def _told(answers: Sequence[Answer], as_json: bool) -> int:
    if as_json:
        click.echo(dump([{"trial": answer.trial, "state": answer.state} for answer in answers]))
    else:
        say(answers, as_json)
    return 0
