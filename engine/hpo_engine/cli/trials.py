"""Verbs for single trials: cancel, pause; what `stop STUDY TRIAL` and `resume STUDY TRIAL` share with them."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import click

from hpo_engine.cli.common import find, json_option, root_option, study_argument
from hpo_engine.control.requests import change
from hpo_engine.errors import EngineError, SpecError
from hpo_engine.reports.objects import dump

if TYPE_CHECKING:
    from hpo_engine.contract.paths import StudyPaths
    from hpo_engine.store.journal import Follower
    from hpo_engine.study.events import Event
    from hpo_engine.study.history import History
    from hpo_engine.study.trial import StopCause, Trial

_POLL_S = 0.05
_kill = click.option("--kill", is_flag=True, help="SIGKILL at once, without a grace period.")


class TrialNumbers(click.ParamType):  # type: ignore[type-arg,unused-ignore]
    """A trial, or a range such as 3-7."""

    name = "trial"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> range:
        if isinstance(value, range):
            return value
        found = re.fullmatch(r"([0-9]{1,9})(?:-([0-9]{1,9}))?", value)
        if found is None:
            self.fail(f'"{value}" is not a trial; write its number, or a range such as 3-7', param, ctx)
        first, last = int(found[1]), int(found[2] or found[1])
        if last < first:
            self.fail(f'"{value}": the range ends before it begins', param, ctx)
        return range(first, last + 1)


trials_argument = click.argument("trials", metavar="TRIAL...", nargs=-1, required=True, type=TrialNumbers())


@click.command()
@study_argument
@trials_argument
@root_option
@_kill
@json_option
def cancel(study: str, trials: tuple[range, ...], root: str | None, kill: bool, as_json: bool) -> int:
    """End TRIALs of STUDY for good, such as 3 or 5-7; the study continues. Same as `stop STUDY TRIAL`."""
    return stopped(find(study, root), trials, kill=kill, as_json=as_json)


@click.command()
@study_argument
@trials_argument
@root_option
@_kill
@json_option
def pause(study: str, trials: tuple[range, ...], root: str | None, kill: bool, as_json: bool) -> int:
    """Pause TRIALs of STUDY, such as 3 or 5-7, until `resume STUDY TRIAL`.

    A trial that runs is stopped as at the end of the study, and keeps its files; others get its place. Resumed, it
    goes on from its newest checkpoint if it has left one (see `resource.resume` in the study file), else it begins
    anew.
    """
    return paused(find(study, root), trials, kill=kill, as_json=as_json)


VERBS = (cancel, pause)


def stopped(paths: StudyPaths, trials: Sequence[range], *, kill: bool, as_json: bool = False) -> int:
    """Ends trials for good. Returns the exit code."""
    from hpo_engine.study.events import TrialEnded
    from hpo_engine.study.trial import StopCause, TrialState

    why = "stopped by the user"

    def event(trial: Trial, now: float) -> Event | None:
        return None if trial.state.ended else TrialEnded(now, trial.id, TrialState.STOPPED.value, reason=why)

    return _Change(paths, "stop", why, StopCause.USER, event).of(trials, kill=kill, as_json=as_json)


def paused(paths: StudyPaths, trials: Sequence[range], *, kill: bool, as_json: bool = False) -> int:
    """Pauses trials. Returns the exit code."""
    from hpo_engine.study.events import TrialPaused
    from hpo_engine.study.trial import StopCause, TrialState

    why = "paused by the user"

    def event(trial: Trial, now: float) -> Event | None:
        return TrialPaused(now, trial.id, why) if trial.state is TrialState.PENDING else None

    return _Change(paths, "pause", why, StopCause.PAUSE, event).of(trials, kill=kill, as_json=as_json)


def resumed(paths: StudyPaths, trials: Sequence[range], *, as_json: bool) -> bool:
    """Lets paused trials run again. Returns whether an engine leads the study."""
    from hpo_engine.store import journal
    from hpo_engine.store.inbox import Request
    from hpo_engine.store.lock import who_leads
    from hpo_engine.study.events import TrialResumed
    from hpo_engine.study.trial import TrialState

    history = journal.read_history(paths.db)
    led = who_leads(paths.lock) is not None
    for number in numbers_of(history, trials):
        state = history.trials[number].state
        if state.ended or state is TrialState.PENDING:
            if not as_json:
                click.echo(f"trial {number} is {state.value}{' already' if state.ended else ''}")
            continue

        def events(now_history: History, now: float, number: int = number) -> list[Event]:
            paused = now_history.trials[number].state is TrialState.PAUSED
            return [TrialResumed(now, number)] if paused else []

        led = bool(change(paths, Request("resume", number, why="resumed by the user"), events))
        if not as_json and (trial := journal.read_history(paths.db).trials[number]).state is not TrialState.PAUSED:
            click.echo(f"trial {number} {_how(trial)}")
    return led


def numbers_of(history: History, trials: Sequence[range]) -> list[int]:
    """The trials that the user named, in order. Raises SpecError if one does not exist."""
    numbers = sorted({number for each in trials for number in each if number < history.next_id})
    missing = next((each[-1] for each in trials if each[-1] >= history.next_id), None)
    if missing is not None:
        raise SpecError(f"{history.spec.name} has no trial {missing}; it has {history.next_id} (from 0)")
    return numbers


@dataclass(frozen=True)
class _Change:
    """One verb for trials. `event`: what records it if no engine leads the study (None: there is nothing to record)."""

    paths: StudyPaths
    do: str
    why: str
    cause: StopCause
    event: Callable[[Trial, float], Event | None]

    def of(self, trials: Sequence[range], *, kill: bool, as_json: bool) -> int:
        from hpo_engine.executors.local.processes import need_proc
        from hpo_engine.store.journal import Follower

        need_proc()
        log = Follower(self.paths.db)
        answers = [self._changed(log, number, kill=kill) for number in numbers_of(log.history, trials)]
        self._await(log, [number for number, text in answers if text is None])
        for number, text in answers:
            if not as_json:
                click.echo(text or _now(log.history.trials[number], log.history.spec.name))
        if as_json:
            states = {number: log.history.trials[number].state.value for number, _ in answers}
            click.echo(dump([{"trial": number, "state": state} for number, state in states.items()]))
        log.close()
        return 0

    def _changed(self, log: Follower, number: int, *, kill: bool) -> tuple[int, str | None]:
        """The trial, and the line to print of it; None: it has not ended yet."""
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

        deadline = time.monotonic() + log.history.spec.trial.grace_s + 10.0
        while True:
            left = who_leads(self.paths.lock) is None
            log.news()
            if left or all(log.history.trials[number].state is not TrialState.RUNNING for number in numbers):
                return
            if time.monotonic() > deadline:
                raise EngineError(f"{log.history.spec.name}: trials {numbers} have not ended yet; see `show`")
            time.sleep(_POLL_S)


def _now(trial: Trial, study: str) -> str:
    """What has become of the trial."""
    from hpo_engine.study.trial import TrialState

    if trial.state is not TrialState.PAUSED:
        return f"trial {trial.id} is {trial.state.value}"
    return f"trial {trial.id} is paused; hpo-engine resume {study} {trial.id}: it {_how(trial)}"


def _how(trial: Trial) -> str:
    """How a paused trial runs on."""
    if not trial.attempts:
        return "begins"
    return "goes on from its files" if trial.goes_on else "begins anew"
