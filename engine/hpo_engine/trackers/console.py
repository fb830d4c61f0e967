"""Shows a study where it was started: a live display on a terminal, plain lines elsewhere.

On a terminal nothing is drawn more than four times a second, nor more than once a second where only the clock has
moved. rich is imported only when there is a terminal to draw on. A closed stream ends the showing, never the study.
"""

from __future__ import annotations

import atexit
import os
from collections.abc import Callable
from typing import TYPE_CHECKING, Protocol, TextIO

from hpo_engine.study.events import (
    AttemptEnded,
    Event,
    SourceUsed,
    SpecChanged,
    StopAsked,
    TrialEnded,
    TrialPaused,
    TrialQueued,
    TrialResumed,
)
from hpo_engine.study.history import History, StudyState
from hpo_engine.study.trial import BAD
from hpo_engine.text import streams
from hpo_engine.text.commands import advised
from hpo_engine.text.tables import assignments, columns, safe_text
from hpo_engine.trackers import lines
from hpo_engine.trackers.next_steps import Steps, next_steps

if TYPE_CHECKING:
    from rich.live import Live

    from hpo_engine.trackers.keys import Keys

CHANGED_S, CLOCK_S = 0.25, 1.0
MAX_FAILURES = 10
"""Failures shown above the live display; further ones are only counted in it."""

NextSteps = Callable[[History, str], Steps]


class ConsoleTracker:
    """Tracker for `submit` and `resume`.

    Args:
        stream: usually sys.stdout or sys.stderr.
        quiet: nothing but notes and the summary at the end.
        folder: the study's folder, for the summary.
        next_steps: (history, folder) -> commands for the end of the summary.
        waits: a line about the other studies whose trials this one waits for, or "".
    """

    def __init__(
        self,
        stream: TextIO,
        *,
        quiet: bool = False,
        folder: str = "",
        next_steps: NextSteps = next_steps,
        waits: Callable[[], str] = lambda: "",
    ) -> None:
        self._folder, self._next_steps, self._quiet = folder, next_steps, quiet
        self._screen: _Screen = _Live(stream) if _draws(stream) and not quiet else _Plain(stream)
        self._now = 0.0
        self._closed = False
        self._waits, self._waiting, self._look_at = waits, "", float("-inf")
        self._waited = False
        self._failures = 0
        self._said = lines.Said()

    @property
    def unheard(self) -> bool:
        """Whether the stream was closed at the other end, so that nobody sees the output."""
        return self._screen.gone

    @property
    def problem(self) -> OSError | None:
        """Why lines were lost though somebody may look: a full disk, say."""
        return self._screen.problem

    def open(self, history: History, now: float) -> None:
        if not self._quiet and not self._screen.live:
            self._screen.line(lines.begin(history))
        self.tick(history, now)

    def on(self, event: Event, history: History) -> None:
        self._now = max(self._now, event.at)
        self._screen.changed = True
        if not self._quiet:
            text = self._text(event, history)
            if text:
                self._screen.line(text)

    def tick(self, history: History, now: float) -> None:
        self._now = now
        if self._quiet:
            return
        if now >= self._look_at:
            self._look_at, self._waiting = now + CLOCK_S, self._waits()
        if self._waiting and not self._waited and not self._screen.live:  # without a display that shows it
            self._waited = True
            self.note(self._waiting)
        self._screen.tick(history, now, self._waiting)

    def note(self, text: str) -> None:
        """A line of the caller's, above the live picture."""
        text = safe_text(advised(text))
        self._said.takes(text)
        self._screen.line(text)

    def close(self, history: History) -> None:
        """Leaves the summary on the screen, and the terminal as it was."""
        if self._closed:
            return
        self._closed = True
        self._screen.restore()
        steps = self._next_steps(history, self._folder)
        good = history.state is StudyState.FINISHED
        block = lines.summary(history, self._now, self._folder, steps, self._screen.width())
        self._screen.block(["", *block] if not self._quiet else block, good=good)

    def restore(self) -> None:
        """Takes the live picture away and shows the cursor again, on whichever way out; harmless to call twice."""
        self._screen.restore()

    def _text(self, event: Event, history: History) -> str:
        if isinstance(event, TrialEnded):
            trial = history.trials[event.trial]
            if not self._screen.live:
                return lines.ended(trial, history, self._said)
            if trial.state not in BAD:
                return ""
            self._failures += 1
            if self._failures <= MAX_FAILURES:
                return lines.failure(trial, self._said)
            return "more trials fail; from here on they are only counted" if self._failures == MAX_FAILURES + 1 else ""
        if isinstance(event, TrialPaused) or (isinstance(event, AttemptEnded) and event.paused):
            return lines.paused(history.trials[event.trial])
        if isinstance(event, TrialResumed):
            return f"trial {event.trial} is resumed"
        if isinstance(event, TrialQueued) and event.first:
            return f"queued by the user: {assignments(event.params, lines.PARAMS_WIDTH)}"
        if isinstance(event, AttemptEnded):
            silent = self._screen.live or event.exit.get("machine")  # of the latter the engine tells, once
            return "" if silent else lines.again(event.trial, event.attempt, event.reason)
        if isinstance(event, SourceUsed):
            return lines.metrics_from(history, history.metrics_from[-1])
        if isinstance(event, SpecChanged):
            return lines.changed(event.changes) if event.spec is None else lines.revised(event.lines or ())
        if isinstance(event, StopAsked) and event.trial is None:
            return f"stopping: {self._said.once(safe_text(event.why))}"
        return ""


def _draws(stream: TextIO) -> bool:
    """Whether the stream is a terminal that can be drawn on."""
    try:
        utf = (getattr(stream, "encoding", None) or "").lower().replace("-", "").startswith("utf")
        return stream.isatty() and utf and os.environ.get("TERM", "") not in ("", "dumb", "unknown")
    except ValueError:  # closed
        return False


class _Screen(Protocol):
    live: bool
    changed: bool
    gone: bool
    problem: OSError | None

    def line(self, text: str) -> None: ...
    def block(self, texts: list[str], *, good: bool) -> None: ...
    def tick(self, history: History, now: float, waiting: str) -> None: ...
    def restore(self) -> None: ...
    def width(self) -> int: ...


class _Plain:
    """Lines into any stream; characters that it cannot encode become question marks."""

    live = False
    changed = False

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self._encoding = getattr(stream, "encoding", None) or "utf-8"
        self.gone = False
        self.problem: OSError | None = None

    def line(self, text: str) -> None:
        if self.gone:
            return
        try:
            self._stream.write(text.encode(self._encoding, "replace").decode(self._encoding) + "\n")
            self._stream.flush()
            self.problem = None
        except (OSError, ValueError) as error:
            self.gone = streams.gone(error)  # else this line is lost, and there may be room for the next one
            self.problem = error if isinstance(error, OSError) and not self.gone else None

    def block(self, texts: list[str], *, good: bool) -> None:
        self.line("\n".join(texts))

    def tick(self, history: History, now: float, waiting: str) -> None:
        pass

    def restore(self) -> None:
        pass

    def width(self) -> int:
        return 1000


def _keys(stream: TextIO) -> Keys | None:
    from hpo_engine.trackers.keys import Keys

    try:
        return Keys(stream.fileno())
    except (OSError, ValueError):  # not a real file
        return None


def _broken_pipe() -> None:
    """In place of rich's own, which ends the program."""
    raise BrokenPipeError


class _Live:
    """A picture at the bottom of a terminal, redrawn in place; lines go above it."""

    live = True

    def __init__(self, stream: TextIO) -> None:
        from rich.console import Console

        self._console = Console(file=stream, highlight=False, markup=False, emoji=False, soft_wrap=False)
        self._keys = _keys(stream)
        self._console.on_broken_pipe = _broken_pipe  # type: ignore[method-assign]
        self._picture: Live | None = None
        self._drawn_at = float("-inf")
        self._drawn: list[int] = []  # columns of the lines that stand there
        self.gone = self._dead = self._over = False
        self.problem: OSError | None = None
        self.changed = True

    def tick(self, history: History, now: float, waiting: str) -> None:
        wait_s = CHANGED_S if self.changed else CLOCK_S
        if self._keys is not None and self._keys.asked:  # Ctrl-Z, say
            self._take_away()
            self._keys.leave()
            self._drawn_at = float("-inf")
        if self._dead or self._over or 0 <= now - self._drawn_at < wait_s:
            return
        if self._keys is not None and not self._keys.in_front:
            return  # a shell has the terminal
        self._drawn_at, self.changed = now, False
        self._guarded(lambda: self._draw(history, now, waiting))

    def line(self, text: str) -> None:
        from rich.text import Text

        self._guarded(lambda: self._console.print(Text(text)))

    def block(self, texts: list[str], *, good: bool) -> None:
        from rich.text import Text

        heads = [i for i, text in enumerate(texts) if text and (not any(texts[:i]) or text.startswith("best "))]
        styles = dict(zip(heads, ("bold green" if good else "bold yellow", "bold"), strict=False))
        shown = Text("\n").join([Text(text, styles.get(i, "")) for i, text in enumerate(texts)])
        self._guarded(lambda: self._console.print(shown))

    def restore(self) -> None:
        self._over = True
        self._take_away()
        atexit.unregister(self.restore)
        if self._keys is not None:
            self._keys.leave()

    def _take_away(self) -> None:
        if self._picture is not None:
            picture, self._picture = self._picture, None
            self._guarded(picture.stop)
        if self._keys is not None:
            self._keys.free()

    def width(self) -> int:
        return self._console.width

    def _draw(self, history: History, now: float, waiting: str) -> None:
        from hpo_engine.trackers.display import display

        width, height = self._console.size
        picture = display(history, now, width, height, waiting)
        if self._keys is not None:
            self._keys.hush()
        if self._picture is not None:
            self._unwrap(width)
        self._drawn = [columns(line) for line in picture.plain.split("\n")]
        if self._picture is None:
            from rich.live import Live

            self._picture = Live(
                picture, console=self._console, auto_refresh=False, transient=True, vertical_overflow="crop",
                redirect_stdout=False, redirect_stderr=False,
            )  # fmt: skip
            atexit.register(self.restore)
            self._picture.start(refresh=True)
        else:
            self._picture.update(picture, refresh=True)

    def _unwrap(self, width: int) -> None:
        """Erases what the lines have grown by, where the terminal has become narrower and has wrapped them."""
        more = sum(-(-length // max(1, width)) - 1 for length in self._drawn if length > width)
        if more:
            self._console.file.write("\r" + "\x1b[2K\x1b[1A" * more)

    def _guarded(self, action: Callable[[], object]) -> None:
        if self._dead:
            return
        try:
            action()
        except (OSError, ValueError) as error:  # a terminal that fails once is hung up: a signal says that, if anything
            self._dead, self.gone = True, streams.gone(error)
            self.problem = error if isinstance(error, OSError) and not self.gone else None
