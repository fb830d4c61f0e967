"""The calls that a plugin was made, as the log has them: in the notes of what it proposed.

A plugin is asked for some configurations, and told which trials have ended since it was asked before. Its answer may be
used up over several turns of the engine, so each trial's note says which call it came from, and from which place in the
answer; the first one's says with what the call was made.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from hpo_engine.study.history import History
from hpo_engine.study.trial import Trial

Told = tuple[int, int]
"""A trial whose end a plugin was told of, and how many attempts it had had."""


@dataclass(frozen=True)
class Call:
    """One call of `search`. `number`: from 0. `asked`: for how many. `told`: what had ended since the one before.
    `given`: how many configurations it answered with."""

    number: int
    asked: int
    told: tuple[Told, ...]
    given: int

    def note(self, nth: int) -> dict[str, Any]:
        """For the proposal at place `nth` of the answer."""
        out: dict[str, Any] = {"call": self.number, "nth": nth}
        if nth == 0:
            out.update(asked=self.asked, given=self.given, told=[list(pair) for pair in self.told])
        return out


@dataclass(frozen=True)
class Recorded:
    """The calls in a history, in order, and how many configurations of the last one's answer have become trials."""

    calls: tuple[Call, ...] = ()
    used: int = 0

    @property
    def last(self) -> Call | None:
        return self.calls[-1] if self.calls else None


def recorded(history: History) -> Recorded:
    calls: list[Call] = []
    used = 0
    for note in _notes(history):
        number, nth = note["call"], note["nth"]
        if nth == 0 and number == len(calls):
            calls.append(Call(number, note["asked"], tuple((t, n) for t, n in note["told"]), note["given"]))
            used = 0
        if calls and number == calls[-1].number:
            used = max(used, nth + 1)
    return Recorded(tuple(calls), used)


def _notes(history: History) -> Iterator[Mapping[str, Any]]:
    for trial in history.trials:
        note = trial.proposal.note
        if note is not None and "call" in note and "nth" in note:
            yield note


def to_tell(history: History, told: Collection[Told]) -> tuple[Told, ...]:
    """The trials that have ended and were not told of yet, in the order in which they ended."""
    ended = [trial for trial in history.finished if (trial.id, len(trial.attempts)) not in told]
    return tuple((trial.id, len(trial.attempts)) for trial in sorted(ended, key=_ended))


def _ended(trial: Trial) -> tuple[float, int]:
    return trial.ended_at or 0.0, trial.id
