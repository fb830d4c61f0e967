"""A study without an engine: events by hand, the folders that an engine would lay out, a tracker that listens."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from hpo_engine.contract.paths import StudyPaths
from hpo_engine.core.ports import Listener
from hpo_engine.space.searchspace import Choice, Float, Int, SearchSpace
from hpo_engine.study.events import (
    AttemptEnded,
    AttemptIntended,
    EngineStarted,
    Event,
    MetricsSeen,
    StudyClosed,
    StudyOpened,
    TrialEnded,
    TrialProposed,
    apply,
)
from hpo_engine.study.history import History
from hpo_engine.study.objective import Objective, Row
from hpo_engine.study.spec import Budget, StudySpec

SPACE = SearchSpace(
    (
        Float("lr", 1e-4, 1e-1, log=True),
        Int("hidden", 16, 256),
        Choice("optimizer", ("adam", "sgd")),
        Float("momentum", 0.5, 0.99, when={"optimizer": "sgd"}),
    )
)
PARAMS = {"lr": 0.01, "hidden": 64, "optimizer": "adam"}


class Study:
    """Feeds events to `apply` and to a tracker, one second apart."""

    def __init__(self, root: Path, **changes: Any) -> None:
        spec = StudySpec(
            "digits", SPACE, (Objective("loss"),), ("python", "train.py"), "/model", budget=Budget(trials=30)
        )
        self.now = 1_700_000_000.0
        self.paths = StudyPaths(str(root))
        self.tracker: Listener | None = None
        Path(self.paths.logs).mkdir(parents=True, exist_ok=True)
        self.history: History = apply(None, StudyOpened(self.now, replace(spec, **changes).to_json()))

    def listen(self, tracker: Listener) -> None:
        """A new engine with this tracker."""
        if self.tracker is not None:
            self.history = apply(self.history, EngineStarted(self.now, 1, "box"))
        self.tracker = tracker
        self.feed(EngineStarted(self.now, 1, "box"))
        tracker.open(self.history, self.now)

    def feed(self, event: Event) -> None:
        self.history = apply(self.history, event)
        if self.tracker is not None:
            self.tracker.on(event, self.history)

    def turn(self, *events: Event) -> None:
        """Events of one turn of the loop: the tracker hears of each, with the history right after it, at the end."""
        after = []
        for event in events:
            self.history = apply(self.history, event)
            after.append((event, self.history))
        for event, history in after:
            if self.tracker is not None:
                self.tracker.on(event, history)

    def tick(self, seconds: float = 1.0) -> None:
        self.now += seconds
        if self.tracker is not None:
            self.tracker.tick(self.history, self.now)

    def start(self, params: Mapping[str, Any] = PARAMS) -> int:
        trial = self.history.next_id
        self.feed(TrialProposed(self.now, trial, dict(params)))
        self.attempt(trial)
        return trial

    def attempt(self, trial: int) -> None:
        number = len(self.history.trials[trial].attempts) + 1
        log_dir = Path(self.paths.trial(trial).log_dir)
        if number > 1:
            aside = Path(self.paths.trial(trial).attempt(number - 1), "logs")
            aside.parent.mkdir(parents=True)
            shutil.move(log_dir, aside)
        log_dir.mkdir(parents=True)
        self.feed(AttemptIntended(self.now, trial, number, f"{trial}-{number}"))

    def report(self, trial: int, *rows: tuple[float, Mapping[str, float]], replace: bool = False) -> None:
        self.feed(MetricsSeen(self.now, trial, tuple(Row(step, dict(values)) for step, values in rows), replace))

    def lose(self, trial: int, reason: str = "exit code 1") -> None:
        """The attempt failed; another one follows."""
        number = len(self.history.trials[trial].attempts)
        self.feed(AttemptEnded(self.now, trial, number, {"code": 1}, reason))

    def end(self, trial: int, value: float | None = None, state: str = "", reason: str = "") -> None:
        state = state or ("failed" if value is None else "completed")
        self.feed(TrialEnded(self.now, trial, state, value, reason))

    def close(self, state: str = "finished") -> None:
        assert self.tracker is not None
        self.feed(StudyClosed(self.now, state))
        self.tracker.close(self.history)
