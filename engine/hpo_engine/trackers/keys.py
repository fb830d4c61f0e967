"""The keyboard while a picture is drawn: keys that are typed must not appear in it, and stay for whoever reads next.

Touches nothing but the echo of the terminal that standard input is, and only while this process is in the foreground.
"""

from __future__ import annotations

import contextlib
import os
import signal
import sys
import termios
import threading
from collections.abc import Iterator

_WAYS_OUT = (signal.SIGTSTP, signal.SIGQUIT, signal.SIGTERM, signal.SIGHUP)
_ECHO_FLAGS = 3  # where `tcgetattr` has ECHO


class Keys:
    """Turns the echo off while a picture is shown.

    Args:
        shown: a descriptor of the terminal that the picture is drawn on.

    `asked`: the signal that asks this process to stop or to end (0: none); call `free` and then `leave` soon.
    """

    def __init__(self, shown: int) -> None:
        self._shown = shown
        self._fd = _keyboard(shown)
        self._off = False
        self._caught: dict[int, object] = {}
        self.asked = 0

    @property
    def in_front(self) -> bool:
        """Whether the terminal is this process's to draw on: not, where a shell runs it in the background."""
        try:
            return os.tcgetpgrp(self._shown) == os.getpgrp()
        except OSError:
            return True  # not the terminal of this session: nobody else draws there by job control

    def hush(self) -> None:
        """Echo off, also if something has put it on again since the last call; signals are caught from now on."""
        if not self._caught and threading.current_thread() is threading.main_thread():
            for number in _WAYS_OUT:
                if signal.getsignal(number) is signal.SIG_DFL:
                    self._caught[number] = signal.signal(number, self._ask)
        self._off = self._set_echo(False) or self._off

    def free(self) -> None:
        """Echo as it was; signals act as before."""
        if self._off:
            self._set_echo(True)
            self._off = False
        for number in list(self._caught):
            if signal.getsignal(number) == self._ask:
                signal.signal(number, signal.SIG_DFL)
            del self._caught[number]

    def leave(self) -> None:
        """Acts on the signal after the terminal was restored. Returns when the process resumes."""
        number, self.asked = self.asked, 0
        if number:
            os.kill(os.getpid(), number)

    def _ask(self, number: int, frame: object) -> None:
        self.asked = number

    def _set_echo(self, on: bool) -> bool:
        """Returns whether that changed anything."""
        if self._fd < 0 or not self._ours():
            return False
        # Between that look and the change it may have become a background process, and would be stopped for it.
        with contextlib.suppress(termios.error, OSError), _blocked(signal.SIGTTOU):
            modes = termios.tcgetattr(self._fd)
            if bool(modes[_ECHO_FLAGS] & termios.ECHO) != on:
                modes[_ECHO_FLAGS] ^= termios.ECHO
                termios.tcsetattr(self._fd, termios.TCSADRAIN, modes)
                return True
        return False

    def _ours(self) -> bool:
        try:
            return os.tcgetpgrp(self._fd) == os.getpgrp()
        except OSError:
            return False


def _keyboard(shown: int) -> int:
    """The descriptor of standard input if it is the terminal that shows the display, else -1."""
    try:
        fd = sys.stdin.fileno()
        same = os.isatty(fd) and os.fstat(fd).st_rdev == os.fstat(shown).st_rdev
    except (OSError, ValueError, AttributeError):
        return -1
    return fd if same else -1


@contextlib.contextmanager
def _blocked(number: signal.Signals) -> Iterator[None]:
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {number})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
