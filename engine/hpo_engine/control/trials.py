"""What people do to single trials: end them, pause them, let them run again; with or without an engine."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from hpo_engine.control.requests import change
from hpo_engine.errors import EngineError, SpecError

if TYPE_CHECKING:
    from hpo_engine.contract.paths import StudyPaths
    from hpo_engine.store.journal import Follower
    from hpo_engine.study.events import Event
    from hpo_engine.study.history import History
    from hpo_engine.study.trial import StopCause, Trial

_POLL_S = 0.05
_MORE_S = 10.0  # beyond the grace period of a trial


@dataclass(frozen=True)
class Answer:
    """What has become of one trial: its `state`, and the same in words for people."""

    trial: int
    state: str
    text: str


def numbers_of(history: History, trials: Sequence[range]) -> list[int]:
    """The trials that the user named, in order. Raises SpecError if one does not exist."""
    numbers = sorted({number for each in trials for number in each if number < history.next_id})
    missing = next((each[-1] for each in trials if each[-1] >= history.next_id), None)
    if missing is not None:
        raise SpecError(f"{history.spec.name} has no trial {missing}; it has {history.next_id} (from 0)")
    return numbers


def stop_trials(paths: StudyPaths, trials: Sequence[range], *, kill: bool = False, wait: bool = True) -> list[Answer]:
    """Ends trials for good; the study continues.

    Args:
        kill: without their grace period. wait: until they have ended.

    Raises:
        SpecError: one does not exist. EngineError: they do not end, or the engine does not answer.
    """
    from hpo_engine.study.events import TrialEnded
    from hpo_engine.study.trial import StopCause, TrialState

    why = "stopped by the user"

    def event(trial: Trial, now: float) -> Event | None:
        return None if trial.state.ended else TrialEnded(now, trial.id, TrialState.STOPPED.value, reason=why)

    return _Change(paths, "stop", why, StopCause.USER, event).of(trials, kill=kill, wait=wait)


def pause_trials(paths: StudyPaths, trials: Sequence[range], *, kill: bool = False, wait: bool = True) -> list[Answer]:
    """Trials wait until they are resumed; otherwise as `stop_trials`."""
    from hpo_engine.study.events import TrialPaused
    from hpo_engine.study.trial import StopCause, TrialState

    why = "paused by the user"

    def event(trial: Trial, now: float) -> Event | None:
        return TrialPaused(now, trial.id, why) if trial.state is TrialState.PENDING else None

    return _Change(paths, "pause", why, StopCause.PAUSE, event).of(trials, kill=kill, wait=wait)


def resume_trials(paths: StudyPaths, trials: Sequence[range]) -> tuple[list[Answer], bool]:
    """Lets paused trials run again.

    Returns:
        What has become of each, and whether an engine leads the study.

    Raises:
        SpecError: one does not exist, or is still being paused. EngineError: the engine does not answer.
    """
    from hpo_engine.study.events import TrialResumed
    from hpo_engine.study.trial import TrialState

    def event(trial: Trial, now: float) -> Event | None:
        return TrialResumed(now, trial.id) if trial.state is TrialState.PAUSED else None

    def how(trial: Trial) -> str:
        return "" if trial.state is TrialState.PAUSED else f"trial {trial.id} {_how(trial)}"

    return _again(paths, trials, "resume", event, _running_on, how)


def retry_trials(paths: StudyPaths, trials: Sequence[range]) -> tuple[list[Answer], bool]:
    """Lets ended trials run again with the same parameters: those that failed, were lost, stopped or pruned.

    Returns, raises: as `resume_trials`.
    """
    from hpo_engine.study.events import TrialReopened
    from hpo_engine.study.trial import TrialState

    def event(trial: Trial, now: float) -> Event | None:
        return TrialReopened(now, trial.id) if _unsuccessful(trial) else None

    def already(trial: Trial) -> str:
        if _unsuccessful(trial):
            return ""
        if trial.state is TrialState.PAUSED:
            return f"trial {trial.id} is paused; resume it"
        succeeded = "; to run its configuration once more, enqueue it"
        return f"trial {trial.id} is {trial.state.value}{succeeded if trial.state.ended else ' already'}"

    return _again(paths, trials, "retry", event, already, lambda trial: f"trial {trial.id} {_how(trial)}")


def _running_on(trial: Trial) -> str:
    """Why there is nothing to resume; "": there is."""
    from hpo_engine.study.trial import TrialState

    if trial.state is TrialState.RUNNING or trial.state is TrialState.PAUSED:
        return ""  # one that runs may be about to be paused, which the engine knows
    return f"trial {trial.id} is {trial.state.value}{' already' if trial.state.ended else ''}"


def _unsuccessful(trial: Trial) -> bool:
    from hpo_engine.study.trial import TrialState

    return trial.state.ended and trial.state is not TrialState.COMPLETED


def _again(
    paths: StudyPaths,
    trials: Sequence[range],
    do: str,
    event: Callable[[Trial, float], Event | None],
    already: Callable[[Trial], str],
    after: Callable[[Trial], str],
) -> tuple[list[Answer], bool]:
    """`do`: the request. `event`: what records it without an engine. `already`: why there is nothing to do for a trial.
    `after`: what is said once it is done."""
    from hpo_engine.store import journal
    from hpo_engine.store.inbox import Request
    from hpo_engine.store.lock import who_leads

    history = journal.read_history(paths.db)
    led, answers = who_leads(paths.lock) is not None, []
    for number in numbers_of(history, trials):
        if text := already(trial := history.trials[number]):
            answers.append(Answer(number, trial.state.value, text))
            continue

        def events(now_history: History, now: float, number: int = number) -> list[Event]:
            return [found for found in [event(now_history.trials[number], now)] if found is not None]

        led = bool(change(paths, Request(do, number, why=f"{do} by the user"), events))
        trial = journal.read_history(paths.db).trials[number]
        answers.append(Answer(number, trial.state.value, after(trial)))
    return answers, led


@dataclass(frozen=True)
class _Change:
    """One verb for trials. `event`: what records it if no engine leads the study (None: there is nothing to record)."""

    paths: StudyPaths
    do: str
    why: str
    cause: StopCause
    event: Callable[[Trial, float], Event | None]

    def of(self, trials: Sequence[range], *, kill: bool, wait: bool) -> list[Answer]:
        from hpo_engine.executors.local.processes import need_proc
        from hpo_engine.store.journal import Follower

        need_proc()
        log = Follower(self.paths.db)
        try:
            found = [self._changed(log, number, kill=kill) for number in numbers_of(log.history, trials)]
            if wait:
                self._await(log, [number for number, text in found if text is None])
            log.news()
            return [self._answer(log.history, number, text) for number, text in found]
        finally:
            log.close()

    def _changed(self, log: Follower, number: int, *, kill: bool) -> tuple[int, str | None]:
        """The trial, and what is to be said of it; None: it has not ended yet."""
        from hpo_engine.store.inbox import Request, post
        from hpo_engine.store.lock import who_leads
        from hpo_engine.study.trial import TrialState

        log.news()
        trial, request = log.history.trials[number], Request(self.do, number, kill, self.why)
        if trial.state.ended or (trial.state is TrialState.PAUSED and self.do == "pause"):
            return number, f"trial {number} is {trial.state.value} already"
        if trial.state is TrialState.RUNNING and who_leads(self.paths.lock) is None:
            post(self.paths.inbox, request)
            if who_leads(self.paths.lock) is None:
                return number, self._ask_unled(log.history, trial, kill=kill)
            return number, None

        def events(history: History, now: float) -> list[Event]:
            return [event for event in [self.event(history.trials[number], now)] if event is not None]

        change(self.paths, request, events)
        return number, None

    def _ask_unled(self, history: History, trial: Trial, *, kill: bool) -> str:
        """Asks a trial that runs without an engine to end; the next engine records it."""
        from hpo_engine import studies
        from hpo_engine.executors.local.origin import origin

        name = history.spec.name
        if original := origin(self.paths, history):
            return (
                f"trial {trial.id} runs in {original}, of which {self.paths.root} is a copy; it is not stopped.\n"
                f"It will not run again in the copy: resume {name} to record that"
            )
        studies.stop_unled_trial(self.paths, trial, kill=kill, cause=self.cause)
        return f"trial {trial.id} was asked to {self.do}; no engine runs {name}: resume it to record that"

    def _await(self, log: Follower, numbers: Sequence[int]) -> None:
        """Waits until the trials have ended or are paused, which may take their grace period."""
        from hpo_engine.store.lock import who_leads
        from hpo_engine.study.trial import TrialState

        deadline = time.monotonic() + log.history.spec.trial.grace_s + _MORE_S
        while True:
            left = who_leads(self.paths.lock) is None
            log.news()
            if left or all(log.history.trials[number].state is not TrialState.RUNNING for number in numbers):
                return
            if time.monotonic() > deadline:
                raise EngineError(f"{log.history.spec.name}: trials {numbers} have not ended yet; see `show`")
            time.sleep(_POLL_S)

    def _answer(self, history: History, number: int, text: str | None) -> Answer:
        from hpo_engine.study.trial import TrialState

        trial = history.trials[number]
        if text is None and trial.state is TrialState.RUNNING:  # nobody has waited for it, or its engine has gone
            text = f"trial {number} was asked to {self.do}"
        return Answer(number, trial.state.value, text or outcome_text(trial, history.spec.name))


def outcome_text(trial: Trial, study: str) -> str:
    """What has become of the trial."""
    from hpo_engine.study.trial import TrialState

    if trial.state is not TrialState.PAUSED:
        return f"trial {trial.id} is {trial.state.value}"
    return f"trial {trial.id} is paused; hpo-engine resume {study} {trial.id}: it {_how(trial)}"


def _how(trial: Trial) -> str:
    """How a trial that waits runs on."""
    if not trial.attempts:
        return "begins"
    return "goes on from its files" if trial.goes_on else "begins anew"
