"""The laws of a stopper, as a class to inherit from: give it `make` and run pytest."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from hpo_engine.stoppers import Halt, Rule, TrialEnd
from hpo_engine.study.events import apply
from hpo_engine.study.history import History
from hpo_engine.study.spec import StudySpec
from hpo_engine.testing.histories import SPACES, opened, random_events, snapshot, spec_of


class StopperLaws:
    """Subclass it and say how to `make` a stopper. `seeds`: each gives another history of every study."""

    seeds = range(3)

    def make(self, spec: StudySpec) -> Rule:
        raise NotImplementedError

    def specs(self) -> Mapping[str, StudySpec]:
        """The studies that the laws are tried on, by name."""
        return {name: spec_of(SPACES[name]) for name in ("one float", "mixed", "conditional")}

    def histories(self) -> Iterator[tuple[str, StudySpec, list[History]]]:
        """Every history that an engine would have shown it, one per event."""
        for name, spec in self.specs().items():
            for seed in self.seeds:
                history, seen = opened(spec), []
                for event in random_events(spec, seed=seed)[2:]:
                    history = apply(history, event)
                    seen.append(history)
                yield f"{name}, seed {seed}", spec, seen

    def test_a_study_without_trials_goes_on(self) -> None:
        for name, spec in self.specs().items():
            assert self.answers(self.make(spec), opened(spec)) == [], name

    def test_an_answer_is_a_reason_in_one_line(self) -> None:
        for label, spec, histories in self.histories():
            for history in histories:
                for answer in self.answers(self.make(spec), history):
                    reason = answer.reason if isinstance(answer, Halt | TrialEnd) else answer
                    assert isinstance(reason, str) and reason.strip() == reason and len(reason.splitlines()) == 1, (
                        f"{label}: {answer!r} is not a reason in one line"
                    )

    def test_a_new_one_answers_as_one_that_saw_every_history(self) -> None:
        for label, spec, histories in self.histories():
            old = self.make(spec)
            for number, history in enumerate(histories):
                assert self.answers(old, history) == self.answers(self.make(spec), history), f"{label}, event {number}"

    def test_the_same_question_has_the_same_answer(self) -> None:
        for label, spec, histories in self.histories():
            old = self.make(spec)
            for history in (*histories, *histories[::-1]):
                assert self.answers(old, history) == self.answers(old, history), label

    def test_the_history_is_left_as_it_is(self) -> None:
        for label, spec, histories in self.histories():
            before = snapshot(histories[-1])
            self.answers(self.make(spec), histories[-1])
            assert snapshot(histories[-1]) == before, f"{label}: the history was changed"

    def answers(self, stopper: Rule, history: History) -> list[Any]:
        """All that it says about a history, a second after its last event."""
        now = history.last_at + 1
        said: list[Any] = [stopper.halt(history, now), stopper.end_study(history, now)]
        if callable(getattr(stopper, "idle", None)):
            said += (stopper.idle(history, now) or "").splitlines()
        for trial in history.running:
            said += [stopper.stalled(trial, history, now)] if callable(getattr(stopper, "stalled", None)) else []
            said += [stopper.diverged(trial, history, now), stopper.end_trial(trial, history, now)]
        return [answer for answer in said if answer is not None]
