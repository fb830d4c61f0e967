"""The laws of a tracker, as a class to inherit from: give it `make` and run pytest."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

import pytest

from hpo_engine.contract.binding import reserved
from hpo_engine.contract.layout import lay_out, lay_out_study
from hpo_engine.contract.paths import StudyPaths
from hpo_engine.core.ports import Listener
from hpo_engine.study.events import AttemptIntended, EngineStarted, StudyClosed, TrialProposed, apply, fold
from hpo_engine.study.history import History
from hpo_engine.study.spec import StudySpec
from hpo_engine.study.trial import Attempt
from hpo_engine.testing.histories import SPACES, opened, random_events, snapshot, spec_of


class TrackerLaws:
    """Subclass it and say how to `make` a tracker for a study's folder, in which the folders of its trials exist."""

    def make(self, paths: StudyPaths) -> Listener:
        raise NotImplementedError

    def specs(self) -> Mapping[str, StudySpec]:
        """The studies that the laws are tried on, by name."""
        return {name: spec_of(space) for name, space in SPACES.items()}

    @pytest.fixture(autouse=True)
    def _root(self, tmp_path: Path) -> None:
        self.root = tmp_path / "a 'b' $c"

    def paths(self, name: str) -> StudyPaths:
        paths = StudyPaths(str(self.root / name))
        os.makedirs(paths.root)
        lay_out_study(paths, "law")
        return paths

    def heard(self, tracker: Listener, paths: StudyPaths, spec: StudySpec, history: History, seed: int = 0) -> History:
        """The tracker hears a whole study, two ticks after each event."""
        tracker.open(history, history.last_at)
        for event in random_events(spec, seed=seed)[2:]:
            if isinstance(event, TrialProposed):
                lay_out(paths.trial(event.trial))
            history = apply(history, event)
            tracker.on(event, history)
            for now in (history.last_at, history.last_at + 0.5):
                tracker.tick(history, now)
        return history

    def closed(self, tracker: Listener, history: History) -> None:
        end = StudyClosed(history.last_at + 1, "finished")
        history = apply(history, end)
        tracker.on(end, history)
        tracker.close(history)

    def test_any_study_is_heard_from_beginning_to_end(self) -> None:
        for name, spec in self.specs().items():
            paths = self.paths(name)
            tracker = self.make(paths)
            self.closed(tracker, self.heard(tracker, paths, spec, opened(spec)))

    def test_a_study_that_is_resumed_is_taken_up_where_it_stands(self) -> None:
        for name, spec in self.specs().items():
            paths = self.paths(name)
            history = self.heard(self.make(paths), paths, spec, opened(spec))
            begun = EngineStarted(history.last_at + 1, pid=2)
            history = apply(history, begun)
            later = self.make(paths)  # the first one was never closed: its engine was killed
            later.open(history, history.last_at)
            later.on(begun, history)
            self.closed(later, history)

    def test_a_study_may_close_before_anything_happened(self) -> None:
        for name, spec in self.specs().items():
            tracker, history = self.make(self.paths(name)), opened(spec)
            tracker.open(history, history.last_at)
            self.closed(tracker, history)

    def test_the_history_is_left_as_it_is(self) -> None:
        for name, spec in self.specs().items():
            paths = self.paths(name)
            tracker, history = self.make(paths), opened(spec)
            history = self.heard(tracker, paths, spec, history)
            tracker.tick(history, history.last_at + 10)
            tracker.close(history)
            assert snapshot(history) == snapshot(fold(random_events(spec))), f"{name}: the history was changed"

    def test_what_scripts_get_to_join_is_text_and_the_same_for_the_same_attempt(self) -> None:
        for name, spec in self.specs().items():
            paths = self.paths(name)
            tracker, history = self.make(paths), opened(spec)
            asked: dict[str, dict[str, str]] = {}
            if not hasattr(tracker, "environment"):
                return
            tracker.open(history, history.last_at)
            for event in random_events(spec, seed=0)[2:]:
                if isinstance(event, TrialProposed):
                    lay_out(paths.trial(event.trial))
                if isinstance(event, AttemptIntended):
                    trial = history.trials[event.trial]
                    attempt = Attempt(event.attempt, event.nonce, trial.params, resume=trial.resume)
                    variables = dict(tracker.environment(history, trial, attempt))
                    assert dict(tracker.environment(history, trial, attempt)) == variables, f"{name}: asked twice"
                    assert all(isinstance(text, str) for text in (*variables, *variables.values())), variables
                    assert not [variable for variable in variables if reserved(variable)], "the engine sets these"
                    asked[event.nonce] = variables
                history = apply(history, event)
                tracker.on(event, history)
                tracker.tick(history, history.last_at)
            shared: frozenset[str] = getattr(tracker, "shared_variables", frozenset())
            for variable in shared:
                assert len({each.get(variable) for each in asked.values()}) <= 1, f"{variable} is not the same for all"
            tracker.close(history)
