"""Stopping a study whose objective is misspelt: the first row of a trial can tell that no trial will ever report it.

Only another spelling of the same name is proof. A row that lacks the objective is none: training losses come before
validation losses, a score may be measured every fifth epoch, a test error at the very end. The end of a trial is proof
if its rows have the name with a word more or less: `loss` and `val_loss`.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Sequence

from engine.objective import Objective, Row
from engine.stoppers.rule import Halt, Rule
from engine.study import History, StudySpec, Trial, TrialState, TrialTable

_SHOWN = 6
_SAME = {
    **dict.fromkeys(("val", "valid", "validation", "validate", "eval", "evaluation"), "val"),
    **dict.fromkeys(("train", "training", "trn"), "train"),
    **dict.fromkeys(("test", "testing", "tst"), "test"),
    **dict.fromkeys(("acc", "accuracy"), "acc"),
    **dict.fromkeys(("err", "error"), "err"),
    **dict.fromkeys(("avg", "average", "mean"), "mean"),
    **dict.fromkeys(("ppl", "perplexity"), "ppl"),
}
_EVALUATION = re.compile(r"(?i)val|eval|test|dev")
_TRAINING = re.compile(r"(?i)train|trn|^lr$|learning|epoch|grad")
# Words that are metrics' own and that no other word of a metric's name is one letter away from.
_PLAIN = {"loss", "score", "reward", "train", *(word for word in _SAME if len(word) > 4)}


class MisnamedStopper(Rule):
    """Halts the study when a trial's rows lack an objective and have the same name in another spelling, or when a trial
    ended by itself, with exit code 0, and its rows have the name with a word more or less.

    Not where any trial has reported the objective, where the user has named both spellings, or once the user has gone
    on after such a stop.
    """

    def __init__(self, spec: StudySpec) -> None:
        self._aims = spec.aims
        self._named = {aim.metric for aim in spec.aims} | set(spec.extra_metrics)
        self._more_may_tell = spec.resource_name is not None  # a score may be measured every fifth epoch
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
        text = f"trial {trial.id} ended: {lacks(aim.metric, names, near or '')}; did you mean {_quoted(near or '')}?"
        return None if near is None else Halt("objective", text)


def lacks(metric: str, names: Sequence[str], nearest: str = "") -> str:
    """`no "valid_loss" in its rows; it has "val_loss"`."""
    shown = [nearest, *(name for name in names if name != nearest)] if nearest else list(names)
    more = f" and {len(shown) - _SHOWN} more" if len(shown) > _SHOWN else ""
    has = ", ".join(_quoted(name) for name in shown[:_SHOWN]) + more if shown else "no numbers at all"
    return f"no {_quoted(metric)} in its rows; it has {has}"


def metrics_of(rows: Iterable[Row]) -> list[str]:
    """The metrics that the rows have, in order of appearance."""
    return list({name: None for row in rows for name in row.values})


def other_spelling(metric: str, names: Collection[str]) -> str | None:
    """The one of the names that can only be the same metric in other letters: `valid_loss` and `val_loss`, `valLoss`
    and `val/loss`, `accuracy` and `acuracy`. Not `val_loss` and `train_loss`, `mae` and `mse`, `loss1` and `loss2`."""
    if metric in names:
        return None
    words = _words(metric)
    same = (
        name
        for name in names
        if words and (_letters(_words(name)) == _letters(words) or _letters(_split(name)) == _letters(_split(metric)))
    )
    near = (name for name in names if words and _typo(words, _words(name)))
    return next(same, None) or next(near, None)


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
    words = set(_words(metric))
    return next((name for name in names if words < set(_words(name)) or set() < set(_words(name)) < words), None)


def _words(name: str) -> list[str]:
    return [_SAME.get(word, word) for word in _split(name)]


def _split(name: str) -> list[str]:
    """The words of a name in small letters, without the s of a plural."""
    spaced = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", " ", name[:200])
    return [re.sub(r"(?<=[a-z]{3}[^\Ws])s$", "", word) for word in re.findall(r"[^\W_]+", spaced.lower())]


def _letters(words: Sequence[str]) -> str:
    """The words as one, and without double letters."""
    return re.sub(r"([^\W\d])\1+", r"\1", "".join(words))


def _typo(wrong: Sequence[str], right: Sequence[str]) -> bool:
    """Whether one word has one wrong letter, where that cannot be another word."""
    if len(wrong) != len(right):
        return False
    different = [(a, b) for a, b in zip(wrong, right, strict=True) if a != b]
    if len(different) != 1:
        return False
    a, b = different[0]
    if not (a.isalpha() and b.isalpha()) or a in _PLAIN or a in _SAME.values():
        return False
    plain = {"acc": "accuracy", "val": "validation", "err": "error", "ppl": "perplexity", "mean": "average"}.get(b, b)
    return (plain in _PLAIN and _one_letter(a, plain)) or (min(len(a), len(b)) >= 6 and _one_letter(a, b))


def _one_letter(a: str, b: str) -> bool:
    """Whether one letter is missing, surplus, another one, or two neighbours are exchanged."""
    if len(a) > len(b):
        a, b = b, a
    if len(b) - len(a) > 1 or a == b:
        return False
    i = next((i for i, c in enumerate(a) if c != b[i]), len(a))
    if len(a) < len(b):
        return a[i:] == b[i + 1 :]
    return a[i + 1 :] == b[i + 1 :] or (a[i : i + 2] == b[i : i + 2][::-1] and a[i + 2 :] == b[i + 2 :])


def _quoted(name: str) -> str:
    short = name if len(name) <= 60 else name[:57] + "..."
    return f'"{short}"' if short.isprintable() else ascii(short)
