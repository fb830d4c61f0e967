"""What each route begins with: who asks, the desk, and the study that the address names."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated

from fastapi import Depends, Path, Request

from hpo_engine.errors import EngineError, JournalError, StudyNotFound
from hpo_engine.service.dependencies import caller_of, desk_of
from hpo_engine.service.desk import Caller, Desk, View

if TYPE_CHECKING:
    from hpo_engine.contract.paths import StudyPaths
    from hpo_engine.study.history import History
    from hpo_engine.study.trial import Trial

MOST_TRIALS = 10_000_000
Study = Annotated[
    str,
    Path(description="The study's name.", min_length=1, max_length=255, examples=["digits"]),
]
Number = Annotated[int, Path(description="The trial's number, from 0.", ge=0, le=MOST_TRIALS, examples=[7])]


class TrialNotFound(StudyNotFound):
    """The study has no such trial, or the trial no such file."""


@dataclass(frozen=True)
class Known:
    """A study whose log can be read."""

    view: View
    history: History
    paths: StudyPaths

    def trial(self, number: int) -> Trial:
        if number not in range(self.history.next_id):
            raise TrialNotFound(f"{self.view.name} has no trial {number}; it has {self.history.next_id} (from 0)")
        return self.history.trials[number]


@dataclass(frozen=True)
class Asking:
    """One request."""

    request: Request
    desk: Desk
    caller: Caller

    def view(self, name: str) -> View:
        """Raises StudyNotFound."""
        return self.desk.view(self.caller, name)

    def study(self, name: str) -> Known:
        """The study with its history.

        Raises:
            StudyNotFound. EngineError: it is queued, and has no trials yet. JournalError: its log cannot be read.
        """
        view = self.view(name)
        if view.history is None or view.paths is None:
            if view.problem:
                raise JournalError(view.problem)
            raise EngineError(f"{name} is {view.state}: it has not begun yet; try again when it runs")
        return Known(view, view.history, view.paths)


def asking(
    request: Request, desk: Annotated[Desk, Depends(desk_of)], caller: Annotated[Caller, Depends(caller_of)]
) -> Asking:
    return Asking(request, desk, caller)


Ask = Annotated[Asking, Depends(asking)]
