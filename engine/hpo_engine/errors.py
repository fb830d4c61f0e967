"""The error tree: what went wrong, in fields first and in one line of text second.

EngineError                 the CLI prints the line and leaves with `exit_code`
+-- SpecError (ValueError)       2   bad input: refuse it, show every problem at once
+-- StudyNotFound (KeyError)     2   no such study: 404
+-- StudyExists                  2   the name is taken by something else: 409
+-- ContractError                -   this trial fails; the study goes on
+-- LaunchError                  -   this attempt fails; the study goes on
+-- SearcherError                3   the study cannot go on: close it as failed
+-- StopperError                 3   likewise
+-- NothingYet                   2   there is nothing of that kind in the study yet: 404
+-- StudyLocked                  4   another engine leads this study: wait or leave
+-- StudyGone                    5   its folder was moved or removed under the engine: leave, write nothing more
+-- JournalError                 5   the event log cannot be read or written: stop, lose nothing
+-- MachineError                 5   no room for processes or files, or the study's folder is gone: stop, resume later
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple


class EngineError(Exception):
    """Base of all errors that a user may see; `str(error)` is one line that says what, where and what to do."""

    exit_code = 3

    def _render_traceback_(self) -> list[str]:
        """What a notebook shows of it: the line says it all."""
        return [f"{type(self).__name__}: {self}"]


class Problem(NamedTuple):
    """One thing wrong with an input: `path` is the field ("space.lr.float"), `line` counts from 1 (None: unknown)."""

    path: str
    text: str
    line: int | None = None

    def __str__(self) -> str:
        return f"{self.path}: {self.text}" if self.path else self.text


class SpecError(EngineError, ValueError):
    """The input is wrong; nothing was started. The catcher shows all `problems` and exits with 2 (REST: 400)."""

    exit_code = 2

    def __init__(self, problems: Iterable[Problem] | str, source: str = "") -> None:
        self.problems = [Problem("", problems)] if isinstance(problems, str) else list(problems)
        self.source = source
        super().__init__("\n".join(self._lines()))

    def _lines(self) -> Iterable[str]:
        for problem in self.problems:
            where = self.source + (f":{problem.line}" if self.source and problem.line else "")
            yield f"{where}: {problem}" if where else str(problem)


class StudyNotFound(EngineError, KeyError):
    """There is no study of that name or path. Exit 2 (REST: 404)."""

    exit_code = 2

    def __str__(self) -> str:
        return str(self.args[0]) if self.args else "no such study"


class StudyExists(EngineError):
    """A different study has that name. Exit 2 (REST: 409)."""

    exit_code = 2


class NothingYet(EngineError):
    """The study has nothing yet of what was asked for, such as too few trials for a figure. Exit 2 (REST: 404)."""

    exit_code = 2


class StudyLocked(EngineError):
    """Another engine leads the study (`holder` says which), or has its place or its log by now. Exit 4."""

    exit_code = 4

    def __init__(self, text: str, holder: str = "") -> None:
        self.holder = holder
        super().__init__(text)


class StudyGone(EngineError):
    """The study's folder was moved or removed while a process led it, or waited for that. Exit 5."""

    exit_code = 5


class ContractError(EngineError):
    """A trial broke the file contract (result file torn, not a file, too big ...). The trial fails with this reason."""


class LaunchError(EngineError):
    """An attempt could not be started. The attempt fails with this reason."""


class SearcherError(EngineError):
    """A searcher raised or proposed something outside the space. The study is closed as failed."""


class StopperError(EngineError):
    """A stopper raised. The study is closed as failed."""


class JournalError(EngineError):
    """The event log cannot be read, written or applied. Exit 5; nothing is deleted, nothing is acknowledged."""

    exit_code = 5


class MachineError(EngineError):
    """The machine has no room for trials (processes, files, disk), or the study's folder is gone. Exit 5; no trial
    failed, and the study can be resumed."""

    exit_code = 5


def nearest(word: str, known: Iterable[str], also: Iterable[str] = ()) -> str:
    """Text that names the closest known word, else all of them: '; did you mean "metric"?' (for error messages).

    Args:
        also: words that may be the closest one, but are not listed.
    """
    import difflib  # only on the way to an error

    names = sorted(set(known))
    close = [name for name in names if name.lower() == word.lower()]
    close = close or difflib.get_close_matches(word, [*names, *also], n=1, cutoff=0.6)
    if close:
        return f'; did you mean "{close[0]}"?'
    return f"; known: {', '.join(names)}" if names else ""
