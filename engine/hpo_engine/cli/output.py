"""`logs`: a trial's output, as a terminal would show it, and live."""

from __future__ import annotations

import sys
import time

import click

from hpo_engine.cli.common import find, root_option, server_option, study_argument, terminal_size, trial_of
from hpo_engine.contract.outputlog.screen import MOST_OPEN, Screen
from hpo_engine.errors import EngineError

_FOLLOW_S = 0.1
_FOLLOW_THERE_S = 0.5


@click.command()
@study_argument
@click.argument("trial", type=int)
@root_option
@server_option
@click.option("--follow", "-f", is_flag=True, help="Continue until the trial ends.")
@click.option("--raw", is_flag=True, help="The bytes as they are, control characters included.")
def logs(study: str, trial: int, root: str | None, follow: bool, raw: bool) -> None:
    """Print the output of a TRIAL of STUDY.

    It is shown as a terminal would show it: a progress bar that redraws itself appears in its last state.
    """
    from hpo_engine.contract.outputlog import logfiles
    from hpo_engine.store.journal import Follower

    paths = find(study, root)
    log = Follower(paths.db)
    attempt = trial_of(log.history, trial).attempt
    if attempt is None:
        raise EngineError(f"trial {trial} has not started yet")
    local = paths.is_local
    if not local:
        from hpo_engine.cli import mirrors
    tail = logfiles.Follower(paths.trial(trial).attempt(attempt.number))
    printer = None if raw else _Printer(follow=follow, live=follow and sys.stdout.isatty())
    wrote = False
    while True:
        if not local:
            mirrors.refresh(paths)
        log.news()
        over = not follow or trial not in log.history.open_ids
        if not local:
            mirrors.fetch_output(paths, trial)
        for chunk in tail.fresh():
            wrote = True
            if printer is None:
                sys.stdout.buffer.write(chunk)
            else:
                printer.print(chunk)
        if printer is not None:
            printer.paint()
        sys.stdout.buffer.flush()
        if over:
            break
        time.sleep(_FOLLOW_S if local else _FOLLOW_THERE_S)
    log.close()
    if printer is not None:
        printer.close()
    if not wrote and not follow:
        click.echo(f"(trial {trial} has printed nothing)", err=True)


VERBS = (logs,)


class _Printer:
    """Prints finished lines. `live`: on a terminal, lines that can still change are shown below them and redrawn."""

    def __init__(self, *, follow: bool, live: bool) -> None:
        # Into a pipe, complete lines are written at once, so the line of a progress bar may appear twice.
        self._live, self._screen = live, Screen(MOST_OPEN if live or not follow else 0)
        self._painted: list[str] = []  # as they stand on the terminal

    def print(self, data: bytes) -> None:
        self._screen.feed(data)
        if done := self._screen.settled():
            self._wipe()
            self._write("".join([f"{_safe(line)}\n" for line in done]))

    def paint(self) -> None:
        """Shows the lines that can still change."""
        if not self._live:
            return
        from hpo_engine.text.tables import cut

        width, height = terminal_size()
        lines = [cut(_safe(line), max(1, width - 1)) for line in self._screen.open()[-max(1, height - 1) :]]
        if lines != self._painted:
            self._wipe()
            self._write("\n".join(lines))
            self._painted = lines

    def close(self) -> None:
        self._screen.feed(b"", last=True)
        self._wipe()
        self._write("".join([f"{_safe(line)}\n" for line in [*self._screen.settled(), *self._screen.open()]]))
        sys.stdout.buffer.flush()

    def _wipe(self) -> None:
        if self._painted:
            up = len(self._painted) - 1
            self._write("\r" + (f"\x1b[{up}A" if up else "") + "\x1b[J")
            self._painted = []

    def _write(self, text: str) -> None:
        sys.stdout.buffer.write(text.encode("utf-8", "replace"))


def _safe(line: str) -> str:
    from hpo_engine.text.tables import safe_text

    return safe_text(line)
