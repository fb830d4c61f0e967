"""The keyboard while the picture is live: what is typed does not appear in it, and the terminal is as it was afterwards."""

from __future__ import annotations

import os
import pty
import re
import signal
import sys
import termios
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from hpo_engine.trackers.keys import Keys

LIVE = """
import os, sys, time
from pathlib import Path
from tests.support.study_by_hand import Study
from hpo_engine.trackers.console import ConsoleTracker
study = Study(Path({folder!r}))
study.listen(ConsoleTracker(sys.stdout))
study.start()
while not os.path.exists({go!r}):
    study.tick(0.3)
    time.sleep(0.02)
{ending}
"""
SHELL = """
import os, signal, sys, termios
signal.signal(signal.SIGTTOU, signal.SIG_IGN)
child = os.fork()
if child == 0:
    os.setpgid(0, 0)
    os.tcsetpgrp(0, os.getpid())
    signal.signal(signal.SIGTTOU, signal.SIG_DFL)
    os.execv(sys.executable, [sys.executable, "-c", sys.argv[1]])
while True:
    _, status = os.waitpid(child, os.WUNTRACED)
    os.tcsetpgrp(0, os.getpid())
    echo = bool(termios.tcgetattr(0)[3] & termios.ECHO)
    print("SHELL", "stopped" if os.WIFSTOPPED(status) else f"ended {status}", "echo" if echo else "silent", flush=True)
    if not os.WIFSTOPPED(status):
        break
    while not os.path.exists(sys.argv[2]): pass
    os.unlink(sys.argv[2])
    os.tcsetpgrp(0, child)
    os.kill(child, signal.SIGCONT)
"""


class Terminal:
    """A program that leads the session of a terminal of its own."""

    def __init__(self, *args: str) -> None:
        path = str(Path(__file__).parents[2])
        env = {**os.environ, "TERM": "xterm", "PYTHONPATH": path, "PYTHONIOENCODING": "utf-8"}
        self.pid, self.fd = pty.fork()
        if self.pid == 0:
            os.execve(sys.executable, [sys.executable, "-c", *args], env)
        self.seen = ""

    def until(self, done: Callable[[], bool]) -> None:
        deadline = time.monotonic() + 60
        os.set_blocking(self.fd, False)
        while not done():
            assert time.monotonic() < deadline, self.seen
            try:
                self.seen += os.read(self.fd, 1 << 16).decode("utf-8", "replace")
            except BlockingIOError:
                time.sleep(0.01)
            except OSError:  # the other end is closed
                return

    @property
    def echo(self) -> bool:
        return bool(termios.tcgetattr(self.fd)[3] & termios.ECHO)

    def type(self, text: str) -> None:
        os.write(self.fd, text.encode())

    def close(self) -> int:
        self.until(lambda: False)
        os.close(self.fd)
        return os.waitpid(self.pid, 0)[1]


def live(tmp_path: Path, ending: str) -> str:
    return LIVE.format(folder=str(tmp_path / "s"), go=str(tmp_path / "go"), ending=ending)


@pytest.mark.by_default(1)
@pytest.mark.parametrize("ending", ["study.close()", "raise SystemExit(3)", "raise RuntimeError"])
def test_keys_leave_nothing_in_the_picture_and_wait_for_the_next_reader(tmp_path: Path, ending: str) -> None:
    code = live(
        tmp_path, f"try:\n    {ending}\nfinally:\n    study.tracker.restore(); print('NEXT', repr(input()), flush=True)"
    )
    terminal = Terminal(code)
    terminal.until(lambda: "\x1b[?25l" in terminal.seen and not terminal.echo)
    terminal.type("make clean\n")
    redrawn = terminal.seen.count("starting")
    terminal.until(lambda: terminal.seen.count("starting") > redrawn + 2)
    assert "clean" not in terminal.seen
    (tmp_path / "go").touch()
    terminal.until(lambda: "NEXT" in terminal.seen)
    assert terminal.echo
    terminal.close()
    assert "NEXT 'make clean'" in terminal.seen
    assert terminal.seen.rfind("\x1b[?25h") > terminal.seen.rfind("\x1b[?25l")


@pytest.mark.by_default("[15]")
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT])
def test_terminal_is_as_it_was_after_a_signal_that_ends_the_process(tmp_path: Path, number: signal.Signals) -> None:
    terminal = Terminal(SHELL, live(tmp_path, ""), "")
    terminal.until(lambda: "\x1b[?25l" in terminal.seen and not terminal.echo)
    os.kill(os.tcgetpgrp(terminal.fd), number)
    assert terminal.close() == 0
    assert re.search(rf"SHELL ended ({int(number)}|{int(number) + 128}) echo", terminal.seen)
    assert terminal.seen.rfind("\x1b[?25h") > terminal.seen.rfind("\x1b[?25l")


def test_stopped_by_the_keyboard_the_terminal_is_the_shell_s_and_then_drawn_on_again(tmp_path: Path) -> None:
    terminal = Terminal(SHELL, live(tmp_path, "study.close()"), str(tmp_path / "fg"))
    for _ in range(2):
        terminal.until(lambda: "\x1b[?25l" in terminal.seen and not terminal.echo)
        terminal.seen = ""
        terminal.type("\x1a")  # Ctrl-Z
        terminal.until(lambda: "SHELL" in terminal.seen)
        assert "SHELL stopped echo" in terminal.seen and "\x1b[?25h" in terminal.seen
        terminal.seen = ""
        (tmp_path / "fg").touch()
    terminal.until(lambda: "\x1b[?25l" in terminal.seen and not terminal.echo)
    (tmp_path / "go").touch()
    assert terminal.close() == 0
    assert "SHELL ended 0 echo" in terminal.seen


def test_process_in_the_background_leaves_the_terminal_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    ours, theirs = pty.openpty()
    with os.fdopen(theirs) as terminal:
        monkeypatch.setattr(sys, "stdin", terminal)
        keys = Keys(theirs)
        monkeypatch.setattr(os, "tcgetpgrp", lambda fd: os.getpgrp() + 1)
        keys.hush()
        assert termios.tcgetattr(theirs)[3] & termios.ECHO and not keys.in_front
        monkeypatch.setattr(os, "tcgetpgrp", lambda fd: os.getpgrp())
        keys.hush()
        assert not termios.tcgetattr(theirs)[3] & termios.ECHO and keys.in_front
        monkeypatch.setattr(os, "tcgetpgrp", lambda fd: os.getpgrp() + 1)
        keys.free()
        assert not termios.tcgetattr(theirs)[3] & termios.ECHO, "it is somebody else's to change by now"
    os.close(ours)


def test_without_a_keyboard_nothing_is_touched(monkeypatch: pytest.MonkeyPatch) -> None:
    ours, theirs = pty.openpty()
    with open(os.devnull) as nothing:
        for stdin in (nothing, None):
            monkeypatch.setattr(sys, "stdin", stdin)
            monkeypatch.setattr(os, "tcgetpgrp", lambda fd: os.getpgrp())
            keys = Keys(theirs)
            keys.hush()
            assert termios.tcgetattr(theirs)[3] & termios.ECHO
            keys.free()
    os.close(ours)
    os.close(theirs)
