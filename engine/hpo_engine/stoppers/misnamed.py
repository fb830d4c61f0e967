"""Stopping a study whose objective is misspelt: the first row of a trial can tell that no trial will ever report it.

Only another spelling of the same name is proof. A row that lacks the objective is none: training losses come before
validation losses, a score may be measured every fifth epoch, a test error at the very end. The end of a trial is proof
if its rows have the name with a word more or less: `loss` and `val_loss`.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

from hpo_engine.plugins.card import Card
from hpo_engine.stoppers.rule import Halt, Rule
from hpo_engine.stoppers.spelling import other_spelling, words_of
from hpo_engine.study.history import History
from hpo_engine.study.objective import Objective, Row
from hpo_engine.study.spec import StudySpec
from hpo_engine.study.table import TrialTable
from hpo_engine.study.trial import Trial, TrialState
from hpo_engine.text.quoting import listed, quoted

_SHOWN = 6
_EVALUATION = re.compile(r"(?i)val|eval|test|dev")
_TRAINING = re.compile(r"(?i)train|trn|^lr$|learning|epoch|grad")


class MisnamedStopper(Rule):
    """Halts the study when a trial's rows lack an objective and have the same name in another spelling, or when a trial
    ended by itself, with exit code 0, and its rows have the name with a word more or less.

    Not where any trial has reported the objective, where the user has named both spellings, or once the user has gone
    on after such a stop.
    """

    card = Card(summary="stops the study, to be resumed, when its objective is misspelt")

    def __init__(self, spec: StudySpec) -> None:
        self._aims = spec.objectives
        self._named = {aim.metric for aim in spec.objectives} | set(spec.extra_metrics)
        self._more_may_tell = spec.resource is not None  # a score may be measured every fifth epoch
        self._told: set[str] = set()  # objectives that have been reported
        self._table = TrialTable()
        self._halt: Halt | None = None

    def halt(self, history: History, now: float) -> Halt | None:
        if history.overruled == "objective" or len(self._told) == len(self._aims):
            return None
        if history.trials is not self._table:
            if len(history.trials) < len(self._table):
                self._table, self._told, self._halt = TrialTable(), set(), None
            for trial in history.trials.changed(self._table):
                self._take(trial)
            self._table = history.trials
            suspects = [t for t in history.trials if t.rows and t.state in (TrialState.RUNNING, TrialState.FAILED)]
            halts = (halt for trial in suspects for aim in self._aims if (halt := self._found(trial, aim)))
            self._halt = next(halts, None)
        return self._halt

    def _take(self, trial: Trial) -> None:
        for aim in self._aims:
            if aim.metric not in self._told and any(aim.metric in row.values for row in trial.rows):
                self._told.add(aim.metric)

    def _found(self, trial: Trial, aim: Objective) -> Halt | None:
        if aim.metric in self._told:
            return None
        names = metrics_of(trial.rows)
        twin = other_spelling(aim.metric, [name for name in names if name not in self._named])
        if twin is not None:
            return Halt("objective", f"trial {trial.id}: {lacks(aim.metric, names, twin)}")
        if self._more_may_tell or not _ran_to_its_end(trial) or not unexpected(aim.metric, names):
            return None
        near = _in_more_or_fewer_words(aim.metric, [name for name in names if name not in self._named])
        text = f"trial {trial.id} ended: {lacks(aim.metric, names, near or '')}; did you mean {quoted(near or '')}?"
        return None if near is None else Halt("objective", text)


def lacks(metric: str, names: Sequence[str], nearest: str = "") -> str:
    """`no "valid_loss" in its rows; it has "val_loss"`."""
    shown = [nearest, *(name for name in names if name != nearest)] if nearest else list(names)
    has = listed([quoted(name) for name in shown], _SHOWN) or "no numbers at all"
    return f"no {quoted(metric)} in its rows; it has {has}"


def metrics_of(rows: Iterable[Row]) -> list[str]:
    """The metrics that the rows have, in order of appearance."""
    return list({name: None for row in rows for name in row.values})


def unexpected(metric: str, names: Sequence[str]) -> bool:
    """Whether rows with these metrics should have had that one: not where only training has been reported so far."""
    if not names or all(_TRAINING.search(name) for name in names):
        return False
    return not _EVALUATION.search(metric) or any(map(_EVALUATION.search, names))


def _ran_to_its_end(trial: Trial) -> bool:
    exit_ = trial.attempt.exit if trial.attempt is not None else None
    # Of one whose metric is a text, say, its reason tells more.
    return exit_ is not None and exit_.clean and trial.state.ended and "not a number" not in trial.reason


def _in_more_or_fewer_words(metric: str, names: Sequence[str]) -> str | None:
    """The first of the names that has all words of the metric and others, or some of its words and no others."""
    words = set(words_of(metric))
    return next((name for name in names if words < set(words_of(name)) or set() < set(words_of(name)) < words), None)
