"""Runs a study to its end in the foreground: the loop, signals, and what is printed at the end."""

from __future__ import annotations

import contextlib
import gc
import logging
import os
import select
import signal
import stat
import sys
import traceback
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TextIO

from hpo_engine.errors import EngineError, StudyGone, StudyLocked
from hpo_engine.reports.objects import dump, summary
from hpo_engine.study.history import StudyState
from hpo_engine.text.tables import counted

if TYPE_CHECKING:
    from collections.abc import Mapping

    from hpo_engine.assembly import Clock, OpenStudy
    from hpo_engine.contract.paths import StudyPaths
    from hpo_engine.core.loop import Engine
    from hpo_engine.study.history import History

_TICK_S = 0.25
_WHY = {signal.SIGINT: "Ctrl-C", signal.SIGTERM: "SIGTERM", signal.SIGHUP: "SIGHUP"}
_UNHEARD = "its output was closed"


@dataclass(frozen=True)
class RunOptions:
    """What the user requested.

    `wait_s`: how long to wait for another engine to finish. `known`: the study as it was read before, if it existed.
    `changes`: new limits. `retry`: run failed trials again. `stop`: do not continue but stop at once, for this reason;
    `kill`: without a grace period.
    """

    wait_s: float = 0.0
    known: History | None = None
    changes: Mapping[str, Any] | None = None
    retry: bool = False
    stop: str | None = None
    kill: bool = False


class Driver:
    """Locks the study at `paths` and runs it until it closes."""

    def __init__(self, paths: StudyPaths, options: RunOptions, *, as_json: bool, quiet: bool) -> None:
        self._paths, self._options, self._as_json, self._quiet = paths, options, as_json, quiet
        self._stream = sys.stderr if as_json else sys.stdout
        self._signals: list[int] = []
        self._console: Any = None
        self._engine: Engine | None = None

    def run(self) -> int:
        """Returns the exit code."""
        from hpo_engine import assembly

        if not logging.getLogger().handlers:  # else --debug has set it up
            logging.getLogger().addHandler(_Noted(self))
        for number in _WHY:
            if signal.getsignal(number) is not signal.SIG_IGN:  # under nohup, or `&` in a script
                signal.signal(number, self._on_signal)
        clock = assembly.Clock()
        self._console, listeners = assembly.trackers(self._paths, self._stream, quiet=self._quiet)
        options = self._options
        with assembly.open_study(self._paths, wait_s=options.wait_s, known=options.known) as study:
            self._engine = engine = assembly.engine_for(
                study, clock, listeners, changes=options.changes, retry=options.retry, say=self._say
            )
            gc.freeze()  # loaded modules stay alive, so the collector need not scan them again
            close = engine.close
            try:
                self._resume(engine, study, clock)
                self._loop(engine, clock)
            except (StudyLocked, StudyGone):
                close = engine.leave
                self._console.restore()
                raise
            except Exception as error:
                self._keep_traceback(error)
                raise
            finally:
                close()
        history = engine.history
        if self._as_json:
            print(dump(summary(history, False, clock())), flush=True)
        if self._signals:
            return 128 + self._signals[0]
        return 3 if history.state is StudyState.FAILED or history.halted else 0

    def _keep_traceback(self, error: Exception) -> None:
        """What a plugin raised, or what is our fault, is in the engine's log in full; people are told one line."""
        cause = error.__cause__ if isinstance(error, EngineError) else error
        if cause is not None:
            with contextlib.suppress(OSError), open(self._paths.engine_log, "a", encoding="utf-8") as log:
                traceback.print_exception(cause, file=log)

    def _resume(self, engine: Engine, study: OpenStudy, clock: Clock) -> None:
        if adopted := engine.resume(clock()):
            first = study.history.next_id
            self.note(f"took over {counted(adopted, 'running trial')}; the next new one is trial {first}")
        if self._options.stop is not None:
            engine.interrupt(self._options.stop, clock(), kill=self._options.kill)

    def _loop(self, engine: Engine, clock: Clock) -> None:
        taken = 0
        while True:
            if len(self._signals) > taken:
                taken = self._interrupt(engine, clock(), taken)
            if not engine.step(clock()):
                return
            engine.executor.wait(_TICK_S)
            if not self._signals and (self._console.unheard or _hung_up(self._stream)):  # `| head` has read enough
                self._signals.append(signal.SIGPIPE)

    def _interrupt(self, engine: Engine, now: float, taken: int) -> int:
        """Stops the study, or kills its trials if it is already stopping. Returns how many signals were handled."""
        again, taken = taken > 0, len(self._signals)  # a signal that arrives from here on is a new one
        running, grace = len(engine.history.running), engine.history.spec.trial.grace_s
        if again:
            self.note(f"killing {counted(running, 'trial')}")
        elif running:
            get = "gets" if running == 1 else "get"
            self.note(f"{counted(running, 'trial')} {get} SIGTERM and {grace:g} s to end; press Ctrl-C again to kill")
        why = _WHY.get(signal.Signals(self._signals[0]), _UNHEARD)
        engine.interrupt(why, now, kill=again)
        return taken

    def _say(self, text: str) -> None:
        if not self._quiet:
            self.note(text)

    def note(self, text: str) -> None:
        """Prints a line without breaking the live display."""
        if self._console is not None:
            self._console.note(text)
        else:
            print(text, file=sys.stderr, flush=True)

    def _on_signal(self, number: int, frame: object) -> None:
        self._signals.append(number)
        if self._engine is not None:
            self._engine.executor.wake()
        elif len(self._signals) > 2:
            raise KeyboardInterrupt


def _hung_up(stream: TextIO) -> bool:
    """Whether the pipe's reader has closed it; otherwise only the next write would tell."""
    poller = select.poll()
    try:
        if not stat.S_ISFIFO(os.fstat(stream.fileno()).st_mode):
            return False
        poller.register(stream.fileno(), 0)
    except (OSError, ValueError):
        return False
    return any(state & select.POLLERR for _, state in poller.poll(0))


class _Noted(logging.Handler):
    """Prints warnings where the study is displayed."""

    def __init__(self, driver: Driver) -> None:
        super().__init__(logging.WARNING)
        self._driver = driver

    def emit(self, record: logging.LogRecord) -> None:
        self._driver.note(f"hpo-engine: {record.getMessage()}")
