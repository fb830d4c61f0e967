"""Shared by several verbs: common options, finding a study, and the JSON objects that `--json` prints."""

from __future__ import annotations

import os
import sys
import textwrap
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, ClassVar, TypeVar

import click

from hpo_engine.text import commands

if TYPE_CHECKING:
    from hpo_engine.contract.paths import StudyPaths
    from hpo_engine.study.history import History
    from hpo_engine.study.trial import Trial

Function = TypeVar("Function", bound=Callable[..., Any])


def root_option(function: Function) -> Function:
    return click.option(
        "--root", metavar="DIR", help="Folder of the studies [./hpo-runs, or $HPO_ENGINE_ROOT if set]."
    )(function)


_SERVER = "hpo_engine.server"  # in the context of a verb: what --server says


def server_option(function: Function) -> Function:
    """--server, for verbs that can work on studies at a server. `find` and `chosen_server` read it."""

    def keep(context: click.Context, option: click.Parameter, value: str | None) -> None:
        context.meta[_SERVER] = value

    return click.option(
        "--server",
        metavar="URL",
        expose_value=False,
        callback=keep,
        help="Work with the studies at an `hpo-engine serve` [$HPO_ENGINE_SERVER if set, unless --root is given].",
    )(function)


def chosen_server(root: str | None, study: str = "") -> str | None:
    """The server that the verb is to work with; None: this machine. What is given on the command line counts first,
    also a study's folder in place of its name."""
    context = click.get_current_context()
    by_variable = os.environ.get("HPO_ENGINE_SERVER") if root is None and os.sep not in study else None
    if _SERVER not in context.meta:
        if by_variable:
            raise click.UsageError(
                f"{context.info_name} works on this machine only, and $HPO_ENGINE_SERVER is set; "
                "give --root, or unset it"
            )
        return None
    given: str | None = context.meta[_SERVER]
    if given is not None and root is not None:
        raise click.UsageError("--server and --root exclude each other")
    if given:
        commands.name_server(given)
    return given or by_variable or None


def json_option(function: Function) -> Function:
    return click.option("--json", "as_json", is_flag=True, help="Print JSON.")(function)


yes_option = click.option("--yes", "-y", is_flag=True, help="Do not ask for confirmation.")


class Goal(click.Choice):  # type: ignore[type-arg,unused-ignore]
    """minimize or maximize, in any spelling that a study file accepts."""

    _SAME: ClassVar = {"min": "minimize", "max": "maximize", "minimise": "minimize", "maximise": "maximize"}

    def __init__(self) -> None:
        super().__init__(["minimize", "maximize"], case_sensitive=False)

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        return super().convert(self._SAME.get(str(value).lower(), value), param, ctx)


def judging_options(function: Function) -> Function:
    """--metric, --goal, --over: see `judged`."""
    for option in (
        click.option("--over", type=click.Choice(["best", "last"]), help="Which row counts for a trial."),
        click.option("--goal", type=Goal(), help="Direction of the metric [as in the study file]."),
        click.option("--metric", metavar="NAME", help="Rank the trials by this metric, without training."),
    ):
        function = option(function)
    return function


def judged(history: History, metric: str | None, goal: str | None, over: str | None) -> History:
    """The history; with any of these options, its trials are judged again accordingly."""
    if metric is None and goal is None and over is None:
        return history
    from hpo_engine.reports.ranking import judged_again, objective_for

    return judged_again(history, objective_for(history, metric, goal, over))


study_argument = click.argument("study", metavar="STUDY")


def find(study: str, root: str | None) -> StudyPaths:
    """The folder of the study that the user named; of one at a server, that of a copy as it stands now."""
    from hpo_engine.contract.paths import locate, runs_root

    if (server := chosen_server(root, study)) is not None:
        from hpo_engine.cli.mirrors import mirrored

        return mirrored(server, study)
    return locate(study, runs_root(root, os.environ))


def refreshed(paths: StudyPaths, wait_s: float) -> None:
    """Waits a moment; a copy of a study at a server then has what is new there."""
    if paths.is_local:
        time.sleep(wait_s)
    else:
        from hpo_engine.cli import mirrors

        mirrors.of(paths).sync(wait_s)


def trial_of(history: History, number: int) -> Trial:
    """The trial that the user named."""
    from hpo_engine.errors import SpecError

    if number not in range(history.next_id):
        raise SpecError(f"{history.spec.name} has no trial {number}; it has {history.next_id} (from 0)")
    return history.trials[number]


def terminal_size() -> tuple[int, int]:
    """Columns and lines of the terminal on stdout; 80 and 24 if it is unknown."""
    columns, lines = os.get_terminal_size(sys.stdout.fileno())
    return columns or 80, lines or 24


def output_width() -> int | None:
    """The terminal's width; None (no limit) if the output is not a terminal."""
    return terminal_size()[0] if sys.stdout.isatty() else None


def to_stderr(text: str) -> None:
    """One line on stderr; on a terminal it is broken between words."""
    from hpo_engine.text.tables import safe_text

    columns = os.get_terminal_size(sys.stderr.fileno()).columns or 80 if sys.stderr.isatty() else None
    click.echo(_broken(safe_text(commands.advised(text)), columns), err=True)


def to_stdout(text: str) -> None:
    """As `to_stderr`, on stdout."""
    from hpo_engine.text.tables import safe_text

    click.echo(_broken(safe_text(commands.advised(text)), output_width()))


def _broken(line: str, columns: int | None) -> str:
    return line if columns is None else textwrap.fill(line, columns, break_long_words=False, break_on_hyphens=False)


def note(text: str) -> None:
    to_stderr(f"hpo-engine: note: {text}")


def read_history(paths: StudyPaths) -> History:
    """For a verb that prints something and exits: the garbage collector need not look at the history."""
    import gc

    from hpo_engine.store import journal

    history = journal.read_history(paths.db)
    gc.freeze()
    return history
