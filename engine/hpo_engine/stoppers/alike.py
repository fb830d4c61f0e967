"""Stopping a study whose trials all fail in the same way: each further one would only pay for the same mistake."""

from __future__ import annotations

import re
from collections.abc import Iterable

from hpo_engine.plugins.card import Card, Option
from hpo_engine.space.searchspace import Choice
from hpo_engine.stoppers.rule import Halt, Rule
from hpo_engine.study.history import History
from hpo_engine.study.spec import StudySpec
from hpo_engine.study.table import TrialTable
from hpo_engine.study.trial import Exit, Trial, TrialState

_BAD = (TrialState.FAILED, TrialState.TIMED_OUT)
_PASSED_OVER = (TrialState.STOPPED, TrialState.LOST)  # the user's doing, and the machine's
_NOT_FINITE = "not finite"
_MOST_VALUES, _MOST_TEXT = 1_000, 1_000


class AlikeStopper(Rule):
    """Halts the study when the `first` trials to end have all failed alike, or later `in_a_row` trials.

    Alike means for the same cause, but for what differs from trial to trial: numbers, paths, the values of parameters.
    A trial that was completed or pruned ends a row. Trials that were stopped or lost are passed over. Values that are
    not finite come from the configuration more often than from a mistake: they count for `in_a_row` only. Counted is
    what has ended since the user last let the study continue after a stop. Nothing stops once all trials have begun.
    """

    card = Card(
        summary="stops the study, to be resumed, when its trials fail for the same cause",
        options={
            "first": Option("this many trials, the first to end, before anything succeeded", int, 3, least=1, off=True),
            "in_a_row": Option("this many trials in a row at any time", int, 10, least=1, off=True),
        },
    )

    def __init__(self, spec: StudySpec, *, first: int | None = 3, in_a_row: int | None = 10) -> None:
        self._first, self._in_a_row = first, in_a_row
        self._values = _values_of(spec)
        self._restart(TrialTable(), 0.0)

    def _restart(self, table: TrialTable, since: float) -> None:
        self._table, self._since = table, since
        self._good = False  # something succeeded
        self._row: list[tuple[str, Trial]] = []  # the latest trials that failed alike, with their cause
        self._latest = -1.0

    def halt(self, history: History, now: float) -> Halt | None:
        self._look(history)
        if not self._row or (_spent(history) and not history.pending):
            return None
        none = not self._good and TrialState.COMPLETED not in history.counts
        first = self._first if none and self._row[0][0] != _NOT_FINITE else None
        if not any(limit is not None and len(self._row) >= limit for limit in (first, self._in_a_row)):
            return None
        trials = [trial for _, trial in self._row]
        which = _listed(sorted(trial.id for trial in trials))
        what = f"trial {which} failed" if len(trials) == 1 else f"trials {which} failed alike"
        how = "and none has succeeded" if none else f"{len(trials)} in a row"
        return Halt("failures", f"{what}, {how}: {_cause(trials[-1])}")

    def _look(self, history: History) -> None:
        if history.trials is self._table and history.counted_from == self._since:
            return
        if history.counted_from != self._since or len(history.trials) < len(self._table):
            self._restart(TrialTable(), history.counted_from)
        news = self._ended(history.trials.changed(self._table))
        if news and (news[0].ended_at or 0.0) < self._latest:  # not what has happened since, but another history
            self._restart(TrialTable(), history.counted_from)
            news = self._ended(history.trials)
        for trial in news:
            self._latest = trial.ended_at or 0.0
            self._take(trial)
        self._table = history.trials

    def _ended(self, trials: Iterable[Trial]) -> list[Trial]:
        found = [t for t in trials if t.state.ended and t.ended_at is not None and t.ended_at > self._since]
        return sorted(found, key=lambda t: (t.ended_at, t.id))

    def _take(self, trial: Trial) -> None:
        if trial.state in _PASSED_OVER:
            return
        cause = failure_key(trial, self._values)
        if cause is None:
            self._good, self._row = True, []
            return
        if self._row and self._row[-1][0] != cause:
            self._row, self._good = [], True  # the trials fail in different ways: not what they all have in common
        self._row.append((cause, trial))


def failure_key(trial: Trial, values: re.Pattern[str] | None = None) -> str | None:
    """What trials that fail alike have in common; None for a trial that did not fail. `values`: those of parameters."""
    if trial.state is TrialState.PRUNED and trial.reason.startswith("diverged: "):
        return _NOT_FINITE
    if trial.state not in _BAD:
        return None
    exit_ = trial.attempt.exit if trial.attempt is not None else None
    if exit_ is not None and exit_.clean and "not finite" in trial.reason:
        return _NOT_FINITE
    how = "" if exit_ is None else _how(exit_)
    return f"{trial.state.value} {how} {_general(trial.reason, values)}"


def _values_of(spec: StudySpec) -> re.Pattern[str] | None:
    """A pattern of the texts that parameters may be: a reason may quote one."""
    choices = [c for p in spec.space.params if isinstance(p, Choice) for c in p.choices if isinstance(c, str)]
    words = sorted({c for c in choices if c.strip()}, key=lambda c: (-len(c), c))[:_MOST_VALUES]
    return re.compile(rf"(?<!\w)(?:{'|'.join(map(re.escape, words))})(?!\w)") if words else None


def _how(exit_: Exit) -> str:
    return "error" if exit_.error else f"signal {exit_.signal}" if exit_.signal else f"code {exit_.code}"


def _general(reason: str, values: re.Pattern[str] | None) -> str:
    """The reason without what differs from trial to trial."""
    text = reason[:_MOST_TEXT]
    text = text if values is None else values.sub("?", text)
    text = re.sub(r"(?:[\w.~+-]*/)+[\w.+@-]*", "/", text)  # paths
    text = re.sub(r"\b(0x)?(?=[0-9a-fA-F-]*[0-9])[0-9a-fA-F-]{6,}\b", "#", text)  # addresses, hashes, ids
    text = re.sub(r"[-+]?\d+(?:[.,:]\d+)*(?:[eE][-+]?\d+)?", "#", text)
    return re.sub(r"\s+", " ", text).strip()


def _cause(trial: Trial) -> str:
    return trial.reason.removeprefix(f"trial {trial.id}: ")


def _listed(numbers: list[int]) -> str:
    """`0 to 2, 4, 5 and 7`."""
    runs: list[list[int]] = []
    for number in numbers:
        if runs and number == runs[-1][-1] + 1:
            runs[-1].append(number)
        else:
            runs.append([number])
    shown = [text for r in runs for text in ([f"{r[0]} to {r[-1]}"] if len(r) > 2 else map(str, r))]
    return shown[0] if len(shown) == 1 else f"{', '.join(shown[:-1])} and {shown[-1]}"


def _spent(history: History) -> bool:
    return 0 in (history.trials_left, history.runs_left)
