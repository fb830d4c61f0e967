"""The laws of trackers over ours, and over one that breaks each."""

from __future__ import annotations

import io
from collections.abc import Callable
from pathlib import Path

import pytest

from hpo_engine.contract.paths import StudyPaths
from hpo_engine.core.ports import Listener
from hpo_engine.study.events import Event
from hpo_engine.study.history import History
from hpo_engine.study.trial import Attempt, Trial
from hpo_engine.testing import TrackerLaws
from hpo_engine.trackers.console import ConsoleTracker
from hpo_engine.trackers.tensorboard import TensorBoardTracker


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


class TestConsole(TrackerLaws):
    def make(self, paths: StudyPaths) -> Listener:
        return ConsoleTracker(io.StringIO())


class TestConsoleThatDraws(TrackerLaws):
    def make(self, paths: StudyPaths) -> Listener:
        return ConsoleTracker(Terminal())


class TestTensorBoard(TrackerLaws):
    def make(self, paths: StudyPaths) -> Listener:
        return TensorBoardTracker(paths, host="box")


class Silent:
    def open(self, history: History, now: float) -> None: ...

    def on(self, event: Event, history: History) -> None: ...

    def tick(self, history: History, now: float) -> None: ...

    def close(self, history: History) -> None: ...


class NeedsABest(Silent):
    def close(self, history: History) -> None:
        assert history.best is not None


class OnceOnly(Silent):
    """Makes a file that must not be there yet: a resumed study finds the one of the engine before."""

    def __init__(self, paths: StudyPaths) -> None:
        self.paths = paths

    def open(self, history: History, now: float) -> None:
        Path(self.paths.root, "mine").open("x").close()


class Clears(Silent):
    def tick(self, history: History, now: float) -> None:
        for trial in history.trials:
            trial.params.clear()  # type: ignore[attr-defined]


class Counts(Silent):
    """Gives the same attempt another value each time."""

    calls = 0

    def environment(self, history: History, trial: Trial, attempt: Attempt) -> dict[str, str]:
        self.calls += 1
        return {"CALL": str(self.calls)}


class Differs(Silent):
    """Says that all attempts have alike what names the attempt."""

    shared_variables = frozenset(["NONCE"])

    def environment(self, history: History, trial: Trial, attempt: Attempt) -> dict[str, str]:
        return {"NONCE": attempt.nonce}


class Takes(Silent):
    def environment(self, history: History, trial: Trial, attempt: Attempt) -> dict[str, str]:
        return {"RESULT_DIR": "/mine"}


JOINING = "test_what_scripts_get_to_join_is_text_and_the_same_for_the_same_attempt"


@pytest.mark.parametrize(
    ("broken", "law"),
    [
        (lambda paths: NeedsABest(), "test_a_study_may_close_before_anything_happened"),
        (OnceOnly, "test_a_study_that_is_resumed_is_taken_up_where_it_stands"),
        (lambda paths: Clears(), "test_the_history_is_left_as_it_is"),
        (lambda paths: Counts(), JOINING),
        (lambda paths: Differs(), JOINING),
        (lambda paths: Takes(), JOINING),
    ],
)
def test_a_tracker_that_breaks_a_law_is_caught_by_it(
    broken: Callable[[StudyPaths], Silent], law: str, tmp_path: Path
) -> None:
    class Laws(TrackerLaws):
        root = tmp_path

        def make(self, paths: StudyPaths) -> Listener:
            return broken(paths)

    with pytest.raises((AssertionError, FileExistsError)):
        getattr(Laws(), law)()
