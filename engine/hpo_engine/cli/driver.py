"""Drives a led study to its end in the foreground: the loop, signals, and what is said at the end."""

from __future__ import annotations

import gc
import logging
import os
import select
import signal
import stat
import sys
from typing import TYPE_CHECKING, Any, TextIO

from hpo_engine.cli.common import dump, summary
from hpo_engine.errors import StudyGone, StudyLocked
from hpo_engine.study.history import StudyState
from hpo_engine.text.tables import counted

if TYPE_CHECKING:
    from hpo_engine.assembly import Clock, Led
    from hpo_engine.contract.paths import StudyPaths

_TICK_S = 0.25
_WHY = {signal.SIGINT: "Ctrl-C", signal.SIGTERM: "SIGTERM", signal.SIGHUP: "SIGHUP"}
_UNHEARD = "its output was closed"


class Driver:
    """Leads `paths` and runs it until it closes.

    Args:
        options: further arguments of `assembly.lead`.
    """

    def __init__(self, paths: StudyPaths, *, as_json: bool, quiet: bool, **options: Any) -> None:
        self._paths, self._as_json, self._quiet, self._options = paths, as_json, quiet, options
        self._stream = sys.stderr if as_json else sys.stdout
        self._signals: list[int] = []
        self._console: Any = None
        self._led: Led | None = None

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
        self._led = led = assembly.lead(self._paths, clock, listeners, say=self._say, **self._options)
        gc.freeze()  # what is loaded by now stays: not to be looked through again and again
        close = led.close
        try:
            self._loop(led, clock)
            history = led.engine.history
        except (StudyLocked, StudyGone):
            close = led.leave
            self._console.restore()
            raise
        finally:
            close()
        if self._as_json:
            print(dump(summary(history, False, clock())), flush=True)
        if self._signals:
            return 128 + self._signals[0]
        return 3 if history.state is StudyState.FAILED or history.halted else 0

    def _loop(self, led: Led, clock: Clock) -> None:
        engine, taken = led.engine, 0
        if led.adopted:
            first = led.before.next_id
            self.note(f"took over {counted(led.adopted, 'running trial')}; the next new one is trial {first}")
        while True:
            if len(self._signals) > taken:
                taken = self._interrupt(led, clock(), taken)
            if not engine.step(clock()):
                return
            engine.executor.wait(_TICK_S)
            if not self._signals and (self._console.unheard or _hung_up(self._stream)):  # `| head` has read enough
                self._signals.append(signal.SIGPIPE)

    def _interrupt(self, led: Led, now: float, taken: int) -> int:
        engine, again, taken = led.engine, taken > 0, len(self._signals)  # one that comes from here on is another one
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
        """Says something without tearing the live picture."""
        if self._console is not None:
            self._console.note(text)
        else:
            print(text, file=sys.stderr, flush=True)

    def _on_signal(self, number: int, frame: object) -> None:
        self._signals.append(number)
        if self._led is not None:
            self._led.engine.executor.wake()
        elif len(self._signals) > 2:
            raise KeyboardInterrupt


def _hung_up(stream: TextIO) -> bool:
    """Whether whoever read the pipe has gone, which a write would only tell later."""
    poller = select.poll()
    try:
        if not stat.S_ISFIFO(os.fstat(stream.fileno()).st_mode):
            return False
        poller.register(stream.fileno(), 0)
    except (OSError, ValueError):
        return False
    return any(state & select.POLLERR for _, state in poller.poll(0))


class _Noted(logging.Handler):
    """Warnings go where the study is shown."""

    def __init__(self, driver: Driver) -> None:
        super().__init__(logging.WARNING)
        self._driver = driver

    def emit(self, record: logging.LogRecord) -> None:
        self._driver.note(f"hpo-engine: {record.getMessage()}")
