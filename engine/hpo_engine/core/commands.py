"""Requests of users that an engine carries out between two turns: to pause, resume or retry a trial, to queue
configurations, to change the study.

Each records its event, commits it, and only then acts. Nothing is recorded of a request that is refused.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from hpo_engine.core.attempts import Attempts
from hpo_engine.core.ports import Searcher, Stopper
from hpo_engine.core.recorder import Recorder
from hpo_engine.core.searcher_thread import Ask, Asker, InLine
from hpo_engine.errors import EngineError, SpecError
from hpo_engine.failpoints import failpoint
from hpo_engine.store.inbox import Request
from hpo_engine.study import revision
from hpo_engine.study.events import StopAsked, TrialPaused, TrialReopened, TrialResumed
from hpo_engine.study.spec import StudySpec
from hpo_engine.study.trial import StopCause, Trial, TrialState


@dataclass(frozen=True)
class Parts:
    """What follows from a spec: its `searcher`, what asks it, and its `stopper`. `adopt`: makes everything else in the
    engine follow it, too; called when the change is durable."""

    searcher: Searcher
    stopper: Stopper
    asker: Callable[[Ask], Asker] = InLine
    adopt: Callable[[], None] = lambda: None


Remake = Callable[[StudySpec], Parts]
"""Makes the parts for a changed study. Raises SpecError if it cannot be served; nothing is changed then."""


def no_parts(spec: StudySpec) -> Parts:
    raise SpecError("this engine cannot change its study while it runs; stop it, edit, resume")


class Commands:
    """Carries out requests, one at a time.

    Args:
        remake: makes the parts for a changed study. use: takes them into the loop.
    """

    def __init__(self, recorder: Recorder, attempts: Attempts, remake: Remake, use: Callable[[Parts], None]) -> None:
        self._recorder, self._attempts, self._remake, self._use = recorder, attempts, remake, use

    def carry_out(self, request: Request, name: str, now: float) -> None:
        """Args:
            name: of the request, so that it is carried out once, however often it is taken.

        Raises:
            EngineError, ValueError, LookupError, TypeError: it is refused.
        """
        if name in self._recorder.history.requests:
            return
        if request.do == "pause":
            self.pause(self._open_trial(request.trial), request.why, now, kill=request.kill)
        elif request.do == "resume":
            self.resume(self._open_trial(request.trial), now)
        elif request.do == "retry":
            self.retry(request.trial, name, now)
        elif request.do == "enqueue":
            self.enqueue(request.body, name, now)
        elif request.do == "edit":
            self.edit(request.body, name, now)

    def pause(self, trial: Trial, why: str, now: float, *, kill: bool = False) -> None:
        """The trial waits from now on, or as soon as its attempt has ended."""
        if trial.state is TrialState.PENDING:
            self._recorder.record(TrialPaused(now, trial.id, why))
            self._recorder.commit()
            failpoint("trial.paused")
        elif trial.state is TrialState.RUNNING:
            if trial.told_to_end and trial.stop is not None and trial.stop.cause is not StopCause.PAUSE:
                raise EngineError(f"trial {trial.id} is being ended already")
            self._recorder.record(StopAsked(now, trial.id, why, cause=StopCause.PAUSE.value))
            self._recorder.commit()
            failpoint("trial.pause-asked")
            self._attempts.stop(trial, StopCause.PAUSE, now, kill=kill)

    def resume(self, trial: Trial, now: float) -> None:
        """A paused trial may run again."""
        if trial.state is TrialState.PAUSED:
            self._recorder.record(TrialResumed(now, trial.id))
            self._recorder.commit()
            failpoint("trial.resumed")
        elif trial.stop is not None and trial.stop.cause is StopCause.PAUSE:
            raise EngineError(f"trial {trial.id} is still being paused; try again when it is")

    def retry(self, number: int | None, name: str, now: float) -> None:
        """A trial that ended without a result runs again."""
        trial = self._trial(number)
        if trial.state is TrialState.COMPLETED:
            raise EngineError(f"trial {number} is {trial.state.value} already")
        if trial.state.ended:
            self._recorder.record(TrialReopened(now, trial.id, name))
            self._recorder.commit()
            failpoint("trial.reopened")

    def enqueue(self, body: Mapping[str, Any], name: str, now: float) -> None:
        """Puts configurations in front of those that wait, all of them or none."""
        history = self._recorder.history
        for event in revision.queued(history, list(body["configurations"]), now, name):
            self._recorder.record(event)
        self._recorder.commit()
        failpoint("trial.queued")

    def edit(self, body: Mapping[str, Any], name: str, now: float) -> None:
        """Changes the study, if it is still the one that was edited."""
        history = self._recorder.history
        event = revision.changed_by(history, body, now, name)
        parts = self._remake(StudySpec.from_json(body["spec"]))
        self._recorder.record(event)
        self._recorder.commit()
        failpoint("study.revised")
        self._use(parts)

    def _trial(self, number: int | None) -> Trial:
        history = self._recorder.history
        if number is None or number not in range(history.next_id):
            raise EngineError(f"there is no trial {number}")
        return history.trials[number]

    def _open_trial(self, number: int | None) -> Trial:
        trial = self._trial(number)
        if trial.state.ended:
            raise EngineError(f"trial {number} is {trial.state.value} already")
        return trial
