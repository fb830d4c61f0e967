"""The study and the trials that a URL names."""

from __future__ import annotations

import re
from typing import NamedTuple

from hpo_engine.contract.paths import StudyPaths
from hpo_engine.errors import EngineError, SpecError, StudyNotFound
from hpo_engine.service.desk import Caller, Desk, View
from hpo_engine.study.history import History
from hpo_engine.study.trial import Trial

_MOST_DIGITS = 9


class Found(NamedTuple):
    """A study that can be read: `view` with its history and its folder."""

    view: View
    history: History
    paths: StudyPaths

    def trial(self, number: int) -> Trial:
        """Raises StudyNotFound: there is no such trial (404)."""
        if not 0 <= number < self.history.next_id:
            count = self.history.next_id
            raise StudyNotFound(
                f"{self.view.name} has no trial {number}; it has {count}" + (" (from 0)" if count else "")
            )
        return self.history.trials[number]


def found(desk: Desk, caller: Caller, name: str) -> Found:
    """Raises StudyNotFound; EngineError: it has not begun, or its log cannot be read."""
    view = desk.view(caller, name)
    if view.history is None or view.paths is None:
        raise EngineError(view.problem or f"{name} has not begun yet: no trial of it exists")
    return Found(view, view.history, view.paths)


def numbers(text: str, most: int) -> list[int]:
    """The trials in `1,2,7`, each once. Raises SpecError."""
    words = [word.strip() for word in text.split(",") if word.strip()]
    wrong = next((word for word in words if not re.fullmatch(rf"[0-9]{{1,{_MOST_DIGITS}}}", word)), None)
    if wrong is not None:
        raise SpecError(f'"{wrong[:40]}" is not a trial; write their numbers, as in 1,2,7')
    chosen = list(dict.fromkeys(map(int, words)))
    if len(chosen) > most:
        raise SpecError(f"{len(chosen)} trials are too many at once; at most {most}")
    return chosen
